//! DELETE of all objects that a list would give.
//! Source: k8s.io/apiserver/pkg/registry/generic/registry/store.go: DeleteCollection.

use std::sync::Arc;

use serde_json::json;

use super::run::Run;
use super::{Answer, delete, list};
use crate::api::{Json, Object, Status};

pub(crate) fn delete_collection(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let options = delete::options(&run)?;
    let dry_run = run.request.options.dry_run || options.dry_run.as_ref().is_some_and(|d| !d.is_empty());
    let asked = &run.request.options;
    let selection = list::Selection::parse(
        &run.request.resource,
        asked.label_selector.as_deref().unwrap_or(""),
        asked.field_selector.as_deref().unwrap_or(""),
    )?;
    let kept_as = run.kept_as();
    let limit = asked.limit.filter(|limit| *limit > 0).map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
    let found: Vec<Arc<Object>> = list::objects(run.state, &kept_as, &run.request.namespace)
        .filter(|object| selection.matches(object))
        .take(limit)
        .cloned()
        .collect();
    for object in &found {
        delete::one(&mut run, object, &options, dry_run)?;
    }
    let resource = &run.request.resource;
    let items: Vec<Json> = found.iter().map(|object| list::item(resource, object)).collect();
    let body = json!({
        "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": run.state.revision().to_string()}, "items": items,
    });
    Ok(Answer { code: 200, body, warnings: run.warnings })
}
