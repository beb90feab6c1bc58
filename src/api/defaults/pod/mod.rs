//! Defaults of Pods and of the templates they are made from.
//! Sources: pkg/apis/core/v1/{defaults,zz_generated.defaults,conversion}.go.

pub mod image;
mod resources;
mod volumes;

use serde_json::json;

use crate::api::tree::{Tree, child, default_text, default_to, items, object_at, present};
use crate::api::{Json, JsonMap};

pub use resources::round_resources;

/// Where old versions kept init containers; what is there is dropped.
const OLD_INIT_CONTAINERS: [&str; 4] = [
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
];

/// Fills a Pod, given whole.
pub fn fill_pod(pod: &mut Json) {
    fill_template(pod);
    let Some(spec) = child(pod, "spec") else { return };
    for kind in ["containers", "initContainers"] {
        items(spec, kind).for_each(resources::requests_from_limits);
    }
    resources::fill_pod_level(spec);
    default_to(spec, "enableServiceLinks", true);
    if spec.flag("hostNetwork") {
        for kind in ["containers", "initContainers"] {
            items(spec, kind).flat_map(|c| items(c, "ports")).for_each(host_port);
        }
    }
    pod_addresses(pod);
    let Some(spec) = child(pod, "spec") else { return };
    // A pod must be given time to die, however it was asked for.
    if spec.int("terminationGracePeriodSeconds") < 0 {
        default_to(spec, "terminationGracePeriodSeconds", 1);
        spec["terminationGracePeriodSeconds"] = 1.into();
    }
}

/// `podIP` is the first of `podIPs`, and counts where they differ.
fn pod_addresses(pod: &mut Json) {
    let Some(status) = present(pod, "status") else { return };
    let own = status.text("podIP").to_owned();
    let first = status.list("podIPs").first().map_or("", |entry| entry.text("ip")).to_owned();
    if !own.is_empty() && own != first {
        status["podIPs"] = json!([{"ip": own}]);
    } else if own.is_empty() && !first.is_empty() {
        status["podIP"] = first.into();
    }
}

/// Fills a PodTemplateSpec (`spec.template` of a workload): what a Pod gets but for what only a Pod gets.
pub fn fill_template(template: &mut Json) {
    if let Some(annotations) = template.pointer_mut("/metadata/annotations").and_then(Json::as_object_mut) {
        for name in OLD_INIT_CONTAINERS {
            annotations.remove(name);
        }
        if annotations.is_empty()
            && let Some(metadata) = template.get_mut("metadata").and_then(Json::as_object_mut)
        {
            metadata.remove("annotations");
        }
    }
    if let Some(spec) = child(template, "spec") {
        fill_pod_spec(spec);
    }
}

/// Fills a PodSpec wherever it stands.
pub fn fill_pod_spec(spec: &mut Json) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default_to(spec, "securityContext", Json::Object(JsonMap::new()));
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    items(spec, "volumes").for_each(volumes::fill);
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        items(spec, kind).for_each(container);
    }
    round_resources(spec.get_mut("overhead"));
    fill_requirements(spec.get_mut("resources"));
}

/// The old and the new name of the field are kept equal; the new one wins.
fn service_account(spec: &mut Json) {
    let new = spec.text("serviceAccountName");
    let name = if new.is_empty() { spec.text("serviceAccount") } else { new }.to_owned();
    if let Some(spec) = spec.as_object_mut().filter(|_| !name.is_empty()) {
        spec.insert("serviceAccountName".into(), name.clone().into());
        spec.insert("serviceAccount".into(), name.into());
    }
}

fn container(container: &mut Json) {
    let policy = image::default_pull_policy(container.text("image"));
    default_text(container, "imagePullPolicy", policy);
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    for port in items(container, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        let Some(from) = present(variable, "valueFrom") else { continue };
        fill_field_ref(from);
        if let Some(file) = present(from, "fileKeyRef") {
            default_to(file, "optional", false);
        }
    }
    fill_requirements(object_at(container, "resources").is_some().then(|| &mut container["resources"]));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = present(container, name) {
            probe(found);
        }
    }
    if let Some(lifecycle) = present(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = present(lifecycle, name) {
                http_get(handler);
            }
        }
    }
}

/// `fieldRef` of a variable or of a file.
fn fill_field_ref(holder: &mut Json) {
    if let Some(reference) = present(holder, "fieldRef") {
        default_text(reference, "apiVersion", "v1");
    }
}

fn fill_requirements(requirements: Option<&mut Json>) {
    let Some(requirements) = requirements else { return };
    round_resources(requirements.get_mut("limits"));
    round_resources(requirements.get_mut("requests"));
}

fn probe(probe: &mut Json) {
    http_get(probe);
    if let Some(grpc) = present(probe, "grpc") {
        default_to(grpc, "service", "");
    }
    for (name, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
        if probe.int(name) == 0
            && let Some(probe) = probe.as_object_mut()
        {
            probe.insert(name.into(), json!(value));
        }
    }
}

fn http_get(handler: &mut Json) {
    if let Some(get) = present(handler, "httpGet") {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
}

/// On the host's network a port of the container is the host's.
fn host_port(port: &mut Json) {
    if port.int("hostPort") == 0 {
        let number = port.int("containerPort");
        if let Some(port) = port.as_object_mut().filter(|_| number != 0) {
            port.insert("hostPort".into(), number.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_twice_changes_nothing() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {
            "hostNetwork": true,
            "serviceAccount": "s",
            "terminationGracePeriodSeconds": -5,
            "volumes": [{"name": "v"}, {"name": "w", "configMap": {"name": "c"}}],
            "containers": [{"name": "c", "image": "a", "resources": {"limits": {"cpu": "0.0001"}},
                "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}}}],
        }});
        fill_pod(&mut pod);
        let once = pod.clone();
        fill_pod(&mut pod);
        assert_eq!(pod, once);
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["ports"][0]["hostPort"], 80);
        assert_eq!(container["resources"]["requests"]["cpu"], "1m");
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 1);
        assert_eq!(pod["spec"]["serviceAccountName"], "s");
        assert_eq!(pod["spec"]["volumes"][0]["emptyDir"], json!({}));
    }

    #[test]
    fn a_template_gets_neither_requests_nor_service_links() {
        let limits = json!({"limits": {"cpu": "1"}});
        let mut template = json!({"spec": {"containers": [{"name": "c", "image": "a:1", "resources": limits}]}});
        fill_template(&mut template);
        assert!(template["spec"].get("enableServiceLinks").is_none());
        assert_eq!(template["spec"]["containers"][0]["resources"], limits);
        assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 30);
    }
}
