//! OpenAPI v3, one document for each group and version, made from the schema data.

use std::sync::Arc;

use super::Call;
use super::answer::Reply;
use super::negotiate::Media;
use crate::api::{Resource, Status};

pub(crate) fn answer(_call: &Call, _resources: &[Arc<Resource>], _path: &[String], _media: Media) -> Result<Reply, Status> {
    Ok(Reply::text(404, "404 page not found\n"))
}
