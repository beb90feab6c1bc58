//! Pods, and templates of pods. Source: k8s.io/kubectl/pkg/describe/describe.go (`describePod`, `DescribePodTemplate`).

use super::Related;
use super::containers::{containers, resources};
use super::document::Document;
use super::events::events;
use super::volumes::volumes;
use crate::api::tree::Tree;
use crate::api::{Json, pod as facts, shown};
use crate::cli::print::gosort;

pub fn pod(doc: &mut Document, pod: &Json, related: &Related) {
    let (spec, status) = (pod.field("spec"), pod.field("status"));
    head(doc, pod);
    addresses(doc, status);
    doc.controlled_by(pod);
    doc.some_field(0, "NominatedNodeName", status.text("nominatedNodeName"));
    if spec.has("resources") {
        doc.line(0, "Resources:");
        resources(doc, 1, spec.field("resources"));
    }
    for (title, specs, statuses, always) in [
        ("Init Containers", "initContainers", "initContainerStatuses", false),
        ("Containers", "containers", "containerStatuses", true),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses", false),
    ] {
        if always || !spec.list(specs).is_empty() {
            containers(doc, title, spec.list(specs), status.list(statuses), Some(pod));
        }
    }
    conditions(doc, spec, status);
    volumes(doc, spec.list("volumes"), false);
    let class = status.opt_text("qosClass").filter(|c| !c.is_empty()).unwrap_or_else(|| facts::qos_class(spec));
    doc.field(0, "QoS Class", class);
    doc.labels("Node-Selectors", spec.field("nodeSelector"));
    placement(doc, "", spec);
    scheduling_group(doc, "", spec);
    events(doc, related.events());
}

fn head(doc: &mut Document, pod: &Json) {
    let (metadata, spec, status) = (pod.field("metadata"), pod.field("spec"), pod.field("status"));
    doc.name(pod);
    doc.namespace(pod);
    if let Some(priority) = spec.opt_int("priority") {
        doc.field(0, "Priority", priority);
    }
    doc.some_field(0, "Priority Class Name", spec.text("priorityClassName"));
    doc.some_field(0, "Runtime Class Name", spec.text("runtimeClassName"));
    doc.some_field(0, "Service Account", spec.text("serviceAccountName"));
    match spec.text("nodeName") {
        "" => doc.field(0, "Node", "<none>"),
        node => doc.field(0, "Node", format!("{node}/{}", status.text("hostIP"))),
    }
    if status.has("startTime") {
        doc.field(0, "Start Time", doc.date(status.text("startTime")));
    }
    doc.marks(pod);
    let phase = status.text("phase");
    if metadata.has("deletionTimestamp") && !matches!(phase, "Failed" | "Succeeded") {
        doc.field(0, "Status", format!("Terminating (lasts {})", doc.since(metadata.text("deletionTimestamp"))));
        doc.field(0, "Termination Grace Period", format!("{}s", metadata.int("deletionGracePeriodSeconds")));
    } else {
        doc.field(0, "Status", phase);
    }
    doc.some_field(0, "Reason", status.text("reason"));
    doc.some_field(0, "Message", status.text("message"));
    let seccomp = spec.field("securityContext").field("seccompProfile");
    if !seccomp.is_null() {
        doc.field(0, "SeccompProfile", seccomp.text("type"));
        if seccomp.text("type") == "Localhost" {
            doc.field(0, "LocalhostProfile", seccomp.text("localhostProfile"));
        }
    }
}

fn addresses(doc: &mut Document, status: &Json) {
    doc.field(0, "IP", status.text("podIP"));
    if status.list("podIPs").is_empty() {
        return doc.field(0, "IPs", "<none>");
    }
    doc.line(0, "IPs:");
    status.list("podIPs").iter().for_each(|ip| doc.field(1, "IP", ip.text("ip")));
}

fn conditions(doc: &mut Document, spec: &Json, status: &Json) {
    let all = status.list("conditions");
    let gates = spec.list("readinessGates");
    if !gates.is_empty() {
        doc.line(0, "Readiness Gates:\n  Type\tStatus");
    }
    for gate in gates {
        let kind = gate.text("conditionType");
        let met = all.iter().find(|c| c.text("type") == kind).map_or("<none>", |c| c.text("status"));
        doc.line(1, &format!("{kind} \t{met} "));
    }
    if !all.is_empty() {
        doc.line(0, "Conditions:\n  Type\tStatus");
    }
    all.iter().for_each(|c| doc.line(1, &format!("{} \t{} ", c.text("type"), c.text("status"))));
}

/// The template of a workload's pods.
pub fn template(doc: &mut Document, template: &Json) {
    doc.line(0, "Pod Template:");
    if template.is_null() {
        return doc.write(1, "<unset>");
    }
    let (metadata, spec) = (template.field("metadata"), template.field("spec"));
    doc.labels("  Labels", metadata.field("labels"));
    if !metadata.entries("annotations").is_empty() {
        doc.annotations("  Annotations", metadata.field("annotations"));
    }
    doc.some_field(1, "Service Account", spec.text("serviceAccountName"));
    if !spec.list("initContainers").is_empty() {
        containers(doc, "Init Containers", spec.list("initContainers"), &[], None);
    }
    containers(doc, "Containers", spec.list("containers"), &[], None);
    volumes(doc, spec.list("volumes"), true);
    spreading(doc, "  ", spec);
    doc.some_field(1, "Priority Class Name", spec.text("priorityClassName"));
    doc.labels("  Node-Selectors", spec.field("nodeSelector"));
    tolerations(doc, "  ", spec);
    scheduling_group(doc, "  ", spec);
}

fn placement(doc: &mut Document, space: &str, spec: &Json) {
    tolerations(doc, space, spec);
    spreading(doc, space, spec);
}

fn tolerations(doc: &mut Document, space: &str, spec: &Json) {
    let mut all: Vec<&Json> = spec.list("tolerations").iter().collect();
    gosort::sort(&mut all, |a, b| a.text("key") < b.text("key"));
    let shown: Vec<String> = all.into_iter().map(toleration).collect();
    doc.column(0, &format!("{space}Tolerations"), &shown);
}

fn toleration(toleration: &Json) -> String {
    let (key, value, effect) = (toleration.text("key"), toleration.text("value"), toleration.text("effect"));
    let mut shown = if value.is_empty() { key.to_owned() } else { format!("{key}={value}") };
    if !effect.is_empty() {
        shown.push_str(&format!(":{effect}"));
    }
    if toleration.text("operator") == "Exists" && value.is_empty() {
        shown.push_str(if key.is_empty() && effect.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration.opt_int("tolerationSeconds") {
        shown.push_str(&format!(" for {seconds}s"));
    }
    shown
}

fn spreading(doc: &mut Document, space: &str, spec: &Json) {
    let mut all: Vec<&Json> = spec.list("topologySpreadConstraints").iter().collect();
    if all.is_empty() {
        return;
    }
    gosort::sort(&mut all, |a, b| a.text("topologyKey") < b.text("topologyKey"));
    doc.write(0, &format!("{space}Topology Spread Constraints:\t"));
    for (i, constraint) in all.into_iter().enumerate() {
        if i > 0 {
            doc.write(0, &format!("{space}\t"));
        }
        let selector = match constraint.field("labelSelector") {
            Json::Null => String::new(),
            selector => format!(" for selector {}", shown::selector(selector)),
        };
        let (key, action, skew) =
            (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"), constraint.int("maxSkew"));
        doc.line(0, &format!("{key}:{action} when max skew {skew} is exceeded{selector}"));
    }
}

fn scheduling_group(doc: &mut Document, space: &str, spec: &Json) {
    let group = spec.field("schedulingGroup");
    if !group.is_null() {
        doc.line(0, &format!("{space}SchedulingGroup:"));
        doc.field(1, "PodGroupName", group.text("podGroupName"));
    }
}
