//! The old AppArmor annotations fill the fields that took their place.
//! Source: pkg/registry/core/pod/strategy.go: applyAppArmorVersionSkew.

use serde_json::json;

use crate::api::validation::pod::is_apparmor_profile;
use crate::api::{Json, Object};

const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Kubernetes goes through a Pod's containers in this order.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

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
    for list in LISTS {
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

/// What the field says where the annotation says `value`; `None` if no field may say so.
fn profile(value: &str) -> Option<Json> {
    let profile = match value {
        "runtime/default" => json!({"type": "RuntimeDefault"}),
        "unconfined" => json!({"type": "Unconfined"}),
        local => json!({"type": "Localhost", "localhostProfile": local.strip_prefix("localhost/")?}),
    };
    is_apparmor_profile(&profile).then_some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_that_no_field_can_say_are_warned_of_and_not_taken() {
        let key = |name: &str| format!("{PREFIX}{name}");
        let mut pod = Object::new(json!({
            "metadata": {"annotations": {key("web"): "localhost/", key("setup"): "runtime/default", key("side"): "localhost/ x"}},
            "spec": {"containers": [{"name": "web"}, {"name": "side"}], "initContainers": [{"name": "setup"}]},
        }));
        let warnings = take_annotations(&mut pod);
        let named: Vec<&str> = warnings.iter().filter_map(|w| w.split([']', '/']).nth(1)).collect();
        assert_eq!(named, ["setup", "web", "side"], "init containers come first");
        assert_eq!(pod.at("/spec/containers"), Some(&json!([{"name": "web"}, {"name": "side"}])));
        let setup = pod.at("/spec/initContainers/0/securityContext/appArmorProfile");
        assert_eq!(setup, Some(&json!({"type": "RuntimeDefault"})));
    }
}
