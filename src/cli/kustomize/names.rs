//! Names that others refer to: where an object got another name, its users follow.
//! Source: sigs.k8s.io/kustomize/api/internal/konfig/builtinpluginconsts/namereference.go, api/filters/nameref.

use super::Resource;
use super::fields::{visit, words};
use crate::api::Json;

/// Where the spec of pods is, by kind.
const PODS: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("PodTemplate", "template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicaSet", "spec/template/spec"),
    ("ReplicationController", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
];

/// In the spec of pods: the kind that is named, and where.
const IN_PODS: &[(&str, &str)] = &[
    ("ConfigMap", "volumes/configMap/name"),
    ("ConfigMap", "containers/env/valueFrom/configMapKeyRef/name"),
    ("ConfigMap", "initContainers/env/valueFrom/configMapKeyRef/name"),
    ("ConfigMap", "containers/envFrom/configMapRef/name"),
    ("ConfigMap", "initContainers/envFrom/configMapRef/name"),
    ("ConfigMap", "volumes/projected/sources/configMap/name"),
    ("Secret", "volumes/secret/secretName"),
    ("Secret", "containers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "initContainers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "containers/envFrom/secretRef/name"),
    ("Secret", "initContainers/envFrom/secretRef/name"),
    ("Secret", "imagePullSecrets/name"),
    ("Secret", "volumes/projected/sources/secret/name"),
    ("ServiceAccount", "serviceAccountName"),
    ("PersistentVolumeClaim", "volumes/persistentVolumeClaim/claimName"),
    ("PriorityClass", "priorityClassName"),
];

/// Elsewhere: the kind that is named, the kind that names it, and where.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("Deployment", "HorizontalPodAutoscaler", "spec/scaleTargetRef"),
    ("ReplicationController", "HorizontalPodAutoscaler", "spec/scaleTargetRef"),
    ("ReplicaSet", "HorizontalPodAutoscaler", "spec/scaleTargetRef"),
    ("StatefulSet", "HorizontalPodAutoscaler", "spec/scaleTargetRef"),
    ("ConfigMap", "Role", "rules/resourceNames"),
    ("ConfigMap", "ClusterRole", "rules/resourceNames"),
    ("Secret", "Role", "rules/resourceNames"),
    ("Secret", "ClusterRole", "rules/resourceNames"),
    ("Secret", "Ingress", "spec/tls/secretName"),
    ("Secret", "ServiceAccount", "imagePullSecrets/name"),
    ("Secret", "StorageClass", "parameters/secretName"),
    ("Secret", "StorageClass", "parameters/adminSecretName"),
    ("Secret", "StorageClass", "parameters/userSecretName"),
    ("Secret", "StorageClass", "parameters/secretRef"),
    ("Secret", "PersistentVolume", "spec/azureFile/secretName"),
    ("Service", "StatefulSet", "spec/serviceName"),
    ("Service", "Ingress", "spec/rules/http/paths/backend/service/name"),
    ("Service", "Ingress", "spec/defaultBackend/service/name"),
    ("Service", "APIService", "spec/service/name"),
    ("Service", "ValidatingWebhookConfiguration", "webhooks/clientConfig/service/name"),
    ("Service", "MutatingWebhookConfiguration", "webhooks/clientConfig/service/name"),
    ("Role", "RoleBinding", "roleRef"),
    ("ClusterRole", "RoleBinding", "roleRef"),
    ("ClusterRole", "ClusterRoleBinding", "roleRef"),
    ("ServiceAccount", "RoleBinding", "subjects"),
    ("ServiceAccount", "ClusterRoleBinding", "subjects"),
    ("PersistentVolume", "PersistentVolumeClaim", "spec/volumeName"),
    ("StorageClass", "PersistentVolume", "spec/storageClassName"),
    ("StorageClass", "PersistentVolumeClaim", "spec/storageClassName"),
    ("StorageClass", "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
    ("IngressClass", "Ingress", "spec/ingressClassName"),
    ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "spec/policyName"),
];

/// A resource as others know it.
struct Known {
    kind: String,
    namespace: String,
    name: String,
    before: Vec<(String, String)>,
}

/// Gives all references the names that are meant now.
pub fn follow(resources: &mut [Resource]) {
    let known: Vec<Known> = resources
        .iter()
        .filter(|r| !r.before.is_empty())
        .map(|r| Known {
            kind: r.object().kind().to_owned(),
            namespace: r.namespace().to_owned(),
            name: r.name().to_owned(),
            before: r.before.clone(),
        })
        .collect();
    for resource in resources.iter_mut().filter(|_| !known.is_empty()) {
        let kind = resource.object().kind().to_owned();
        let namespaces: Vec<String> =
            resource.before.iter().map(|(ns, _)| ns.clone()).chain([resource.namespace().to_owned()]).collect();
        for (_, spec) in PODS.iter().filter(|(user, _)| *user == kind) {
            for (wanted, path) in IN_PODS {
                let mut change = |value: &mut Json| rename(value, wanted, &namespaces, &known);
                visit(&mut resource.tree, &words(&format!("{spec}/{path}")), false, &mut change);
            }
        }
        for (wanted, _, path) in ELSEWHERE.iter().filter(|(_, user, _)| *user == kind) {
            let mut change = |value: &mut Json| match value {
                Json::Object(_) => of_kind(value, wanted, &namespaces, &known),
                _ => rename(value, wanted, &namespaces, &known),
            };
            visit(&mut resource.tree, &words(path), false, &mut change);
        }
    }
}

/// A reference that tells its kind: `{kind, name}`.
fn of_kind(value: &mut Json, wanted: &str, namespaces: &[String], known: &[Known]) {
    if value["kind"] != wanted {
        return;
    }
    let own: Vec<String> = match value.get("namespace").and_then(Json::as_str) {
        Some(namespace) => vec![namespace.to_owned()],
        None => namespaces.to_vec(),
    };
    let Some(found) = value["name"].as_str().and_then(|name| find(name, wanted, &own, known)) else { return };
    if wanted == "ServiceAccount" && !found.namespace.is_empty() {
        value["namespace"] = found.namespace.as_str().into();
    }
    value["name"] = found.name.as_str().into();
}

fn rename(value: &mut Json, wanted: &str, namespaces: &[String], known: &[Known]) {
    if let Some(found) = value.as_str().and_then(|name| find(name, wanted, namespaces, known)) {
        *value = found.name.as_str().into();
    }
}

/// The one resource that was called so in one of the namespaces; with several, or none, nothing is changed.
fn find<'a>(name: &str, kind: &str, namespaces: &[String], known: &'a [Known]) -> Option<&'a Known> {
    let was = |k: &&Known| {
        let by_name = |(namespace, before): &(String, String)| {
            before == name && (namespace.is_empty() || namespaces.iter().any(|own| own == namespace))
        };
        k.kind == kind && (k.before.iter().any(by_name) || (k.name == name && namespaces.contains(&k.namespace)))
    };
    let mut hits = known.iter().filter(was);
    let first = hits.next()?;
    hits.next().is_none().then_some(first)
}
