//! The old AppArmor annotations fill the fields that took their place.
//! Source: pkg/registry/core/pod/strategy.go: applyAppArmorVersionSkew.

use serde_json::json;

use crate::api::{Json, Object};

const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Returns a warning for each annotation that filled a field, or could not.
pub(super) fn take_annotations(pod: &mut Object) -> Vec<String> {
    let found: Vec<(String, String)> = pod
        .annotations()
        .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value.to_owned())))
        .collect();
    let on_windows = pod.str_at("/spec/os/name") == Some("windows");
    if found.is_empty() || on_windows {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let of_pod = pod.at("/spec/securityContext/appArmorProfile").cloned();
    for list in ["containers", "initContainers"] {
        let containers = pod.json_mut().pointer_mut(&format!("/spec/{list}")).and_then(Json::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container.get("name").and_then(Json::as_str).unwrap_or("");
            let Some((_, value)) = found.iter().find(|(container, _)| container == name) else { continue };
            if container.pointer("/securityContext/appArmorProfile").is_some() {
                continue;
            }
            let profile = profile(value);
            if profile.is_some() && profile == of_pod {
                continue;
            }
            warnings.push(format!(
                "metadata.annotations[{PREFIX}{name}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
            ));
            let Some(profile) = profile else { continue };
            let context = &mut container["securityContext"];
            if !context.is_object() {
                *context = json!({});
            }
            context["appArmorProfile"] = profile;
        }
    }
    warnings
}

fn profile(value: &str) -> Option<Json> {
    match value {
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        "unconfined" => Some(json!({"type": "Unconfined"})),
        local => local.strip_prefix("localhost/").map(|name| json!({"type": "Localhost", "localhostProfile": name})),
    }
}
