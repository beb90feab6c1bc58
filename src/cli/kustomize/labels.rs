//! Where labels and annotations of a kustomization go.
//! Source: sigs.k8s.io/kustomize/api/internal/konfig/builtinpluginconsts/{commonlabels,metadatalabels,commonannotations}.go.

use super::Resource;
use super::fields::{visit, words};
use super::file::{Label, Texts};
use crate::api::{Gvk, Json};

/// Pod templates: group (any where empty), kind, the way to their metadata.
const TEMPLATES: &[(&str, &str, &str)] = &[
    ("", "ReplicationController", "spec/template/metadata"),
    ("", "Deployment", "spec/template/metadata"),
    ("", "ReplicaSet", "spec/template/metadata"),
    ("", "DaemonSet", "spec/template/metadata"),
    ("apps", "StatefulSet", "spec/template/metadata"),
    ("batch", "Job", "spec/template/metadata"),
    ("batch", "CronJob", "spec/jobTemplate/metadata"),
    ("batch", "CronJob", "spec/jobTemplate/spec/template/metadata"),
];

/// Selectors: group, kind, the way, and whether one is made where there is none.
const SELECTORS: &[(&str, &str, &str, bool)] = &[
    ("", "Service", "spec/selector", true),
    ("", "ReplicationController", "spec/selector", true),
    ("", "Deployment", "spec/selector/matchLabels", true),
    ("", "ReplicaSet", "spec/selector/matchLabels", true),
    ("", "DaemonSet", "spec/selector/matchLabels", true),
    ("apps", "StatefulSet", "spec/selector/matchLabels", true),
    ("batch", "Job", "spec/selector/matchLabels", false),
    ("batch", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
    ("policy", "PodDisruptionBudget", "spec/selector/matchLabels", false),
    ("networking.k8s.io", "NetworkPolicy", "spec/podSelector/matchLabels", false),
    ("networking.k8s.io", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
    ("networking.k8s.io", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
];

/// Selectors of pods that pods want beside them or not, in the pods' spec of Deployments and StatefulSets.
const NEIGHBOURS: &[&str] = &[
    "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "topologySpreadConstraints/labelSelector/matchLabels",
];

fn is(gvk: &Gvk, group: &str, kind: &str) -> bool {
    gvk.kind == kind && (group.is_empty() || gvk.group == group)
}

pub fn add(resources: &mut [Resource], label: &Label) {
    for resource in resources {
        let gvk = resource.object().gvk();
        put(&mut resource.tree, "metadata/labels", true, &label.pairs);
        if label.selectors || label.templates {
            for (_, _, path) in TEMPLATES.iter().filter(|(group, kind, _)| is(&gvk, group, kind)) {
                put(&mut resource.tree, &format!("{path}/labels"), true, &label.pairs);
            }
        }
        if (label.selectors || label.claim_templates) && is(&gvk, "apps", "StatefulSet") {
            put(&mut resource.tree, "spec/volumeClaimTemplates/metadata/labels", true, &label.pairs);
        }
        if !label.selectors {
            continue;
        }
        for (_, _, path, create) in SELECTORS.iter().filter(|(group, kind, ..)| is(&gvk, group, kind)) {
            put(&mut resource.tree, path, *create, &label.pairs);
        }
        if is(&gvk, "apps", "Deployment") || is(&gvk, "apps", "StatefulSet") {
            for path in NEIGHBOURS {
                put(&mut resource.tree, &format!("spec/template/spec/{path}"), false, &label.pairs);
            }
        }
    }
}

pub fn annotate(resources: &mut [Resource], annotations: &Texts) {
    for resource in resources.iter_mut().filter(|_| !annotations.is_empty()) {
        let gvk = resource.object().gvk();
        put(&mut resource.tree, "metadata/annotations", true, annotations);
        for (_, _, path) in TEMPLATES.iter().filter(|(group, kind, _)| is(&gvk, group, kind)) {
            put(&mut resource.tree, &format!("{path}/annotations"), true, annotations);
        }
    }
}

fn put(tree: &mut Json, path: &str, create: bool, pairs: &Texts) {
    // A list that is not there is not made: there would be nothing in it.
    let create = create && !(path.starts_with("spec/volumeClaimTemplates") && tree.pointer("/spec/volumeClaimTemplates").is_none());
    visit(tree, &words(path), create, &mut |map| {
        if let Some(map) = map.as_object_mut() {
            map.extend(pairs.iter().map(|(key, value)| (key.clone(), Json::from(value.as_str()))));
        }
    });
}
