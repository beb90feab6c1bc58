//! Strategic merge patch: lists merge by their merge keys, directives (`$patch`, `$retainKeys`,
//! `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say what a plain merge cannot.
//! Source of the rules: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go.

mod diff;
mod directives;
mod merge;
mod meta;
mod order;
mod restore;

pub use diff::{three_way_strategic_patch, two_way_strategic_patch};
pub use merge::strategic_merge_patch;
pub use restore::restore;

use serde_json::json;

use crate::api::{Json, JsonMap, Status};
use crate::api::go;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Why a strategic merge patch cannot be applied or made. Each has its HTTP status.
/// Source: `interpretStrategicMergePatchError` in k8s.io/apiserver/pkg/endpoints/handlers/patch.go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("invalid patch format of primitive list")]
    PrimitiveListFormat,
    #[error("invalid patch format of retainKeys")]
    RetainKeysFormat,
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrderFormat,
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// All else: the API answers it as it is, with 500.
    #[error("{0}")]
    Other(String),
}

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Status {
        match error {
            PatchError::PrimitiveListFormat | PatchError::RetainKeysFormat | PatchError::SetElementOrderFormat => {
                Status::bad_request(error.to_string())
            }
            PatchError::ListOfLists => {
                let message = "the server rejected our request due to an error in our request";
                Status::new(422, "Invalid", message).with_details(json!({}))
            }
            PatchError::Other(message) => Status::new(500, "", message),
        }
    }
}

fn no_merge_key(map: &JsonMap, key: &str) -> PatchError {
    let map = go::display(&Json::Object(map.clone()));
    PatchError::Other(format!("map: {map} does not contain declared merge key: {key}"))
}

fn bad_argument(expected: &str, actual: &Json) -> PatchError {
    let actual = match actual {
        Json::Null => "%!s(<nil>)".into(),
        other => go::type_name(other).to_owned(),
    };
    PatchError::Other(format!("expected a {expected}, but received a {actual}"))
}

const LIST: &str = "[]interface {}";
const MAP: &str = "map[string]interface {}";

#[cfg(test)]
mod tests;
