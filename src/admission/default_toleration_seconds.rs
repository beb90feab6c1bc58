//! `DefaultTolerationSeconds`: Pods stay five minutes on a node that is not ready or unreachable.
//! Source: plugin/pkg/admission/defaulttolerationseconds/admission.go.

use serde_json::json;

use super::{Attributes, Operation};
use crate::api::tree::{self, Tree};
use crate::api::{Json, Object};

/// Source: the flags `--default-not-ready-toleration-seconds` and `--default-unreachable-toleration-seconds`.
const SECONDS: i64 = 300;

const TAINTS: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn mutate(attributes: &Attributes<'_>, object: &mut Object) {
    if !attributes.is_pods() || !attributes.is_main() || attributes.operation == Operation::Delete {
        return;
    }
    let spec = object.json().field("spec");
    let tolerates = |taint: &str| {
        spec.list("tolerations").iter().any(|t| {
            let (key, effect) = (t.text("key"), t.text("effect"));
            (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        })
    };
    let missing: Vec<&str> = TAINTS.iter().copied().filter(|t| !tolerates(t)).collect();
    if missing.is_empty() {
        return;
    }
    let Some(spec) = tree::child(object.json_mut(), "spec") else { return };
    tree::default_to(spec, "tolerations", Json::Array(Vec::new()));
    let Some(list) = spec.get_mut("tolerations").and_then(Json::as_array_mut) else { return };
    for taint in missing {
        list.push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
    }
}
