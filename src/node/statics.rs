//! Static pods: read from files, run by this node alone, shown in the API by mirror pods.
//! Source: pkg/kubelet/config/common.go, file.go; pkg/kubelet/pod/mirror_client.go.

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::identity;
use crate::api::{Gvk, Json, Object, defaults, validation};
use crate::manifest;

/// Annotation: what a static pod, and its mirror, is told apart by.
pub const HASH: &str = "kubernetes.io/config.hash";
/// Of a mirror pod: the static pod's hash. Where a pod of the node comes from: [`FILE`], [`HTTP`], or `api`.
pub use crate::api::pod::{CONFIG_MIRROR as MIRROR, CONFIG_SOURCE as SOURCE};
/// What [`SOURCE`] says of pods of files.
pub const FILE: &str = "file";
/// What [`SOURCE`] says of pods of a URL.
pub const HTTP: &str = "http";
/// Annotation: when it was first seen.
const SEEN: &str = "kubernetes.io/config.seen";

/// The static pods of one file, as this node runs them; `Err` tells what is wrong with the file. `source`: [`FILE`] or [`HTTP`].
pub fn read(source: &str, file: &str, bytes: &[u8], node_name: &str, now: Timestamp) -> Result<Vec<Object>, String> {
    let parsed = manifest::parse(file, bytes);
    if let Some(problem) = parsed.problems.first() {
        return Err(format!("{file}: {}", problem.message()));
    }
    parsed.documents.iter().map(|document| static_pod(source, file, document.json(), node_name, now)).collect()
}

fn static_pod(source: &str, file: &str, mut tree: Json, node_name: &str, now: Timestamp) -> Result<Object, String> {
    let gvk = Gvk { group: "".into(), version: "v1".into(), kind: "Pod".into() };
    if tree["kind"] != "Pod" || tree["apiVersion"] != "v1" {
        return Err(format!("{file}: only v1 Pods can be static pods"));
    }
    let name = tree.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(format!("{file}: the pod has no name"));
    }
    let hash = hash(&tree, file, node_name);
    let meta = &mut tree["metadata"];
    meta["name"] = json!(format!("{name}-{}", node_name.to_lowercase()));
    if meta["namespace"].as_str().unwrap_or_default().is_empty() {
        meta["namespace"] = json!("default");
    }
    meta["uid"] = json!(hash);
    meta["creationTimestamp"] = Json::Null;
    meta["annotations"][HASH] = json!(hash);
    meta["annotations"][SEEN] = json!(now.to_string());
    meta["annotations"][SOURCE] = json!(source);
    tree["spec"]["nodeName"] = json!(node_name);
    if source == FILE {
        tolerate_everything(&mut tree["spec"]);
    }
    tree["status"] = json!({"phase": "Pending"});
    defaults::fill(&gvk, &mut tree);
    let object = Object::new(tree);
    let errors = validation::create(&gvk, &object);
    let first = errors.first().map(|e| format!("{file}: invalid pod {name:?}: {}: {}", e.field, e.message));
    match first {
        Some(why) => Err(why),
        None => Ok(object),
    }
}

/// Pods of files stay whatever befalls the node; those of a URL do not.
/// Source: applyDefaults; pkg/apis/core/v1/helper: AddOrUpdateTolerationInPod.
fn tolerate_everything(spec: &mut Json) {
    let everything = json!({"operator": "Exists", "effect": "NoExecute"});
    let is_like = |one: &Json| {
        let word = |name: &str| one[name].as_str().unwrap_or_default();
        (word("key"), word("operator"), word("value"), word("effect")) == ("", "Exists", "", "NoExecute")
    };
    match spec["tolerations"].as_array_mut() {
        Some(list) => match list.iter_mut().find(|one| is_like(one)) {
            Some(one) => *one = everything,
            None => list.push(everything),
        },
        None => spec["tolerations"] = json!([everything]),
    }
}

/// Equal files on one node give equal hashes; it is the uid of the pod.
fn hash(tree: &Json, file: &str, node_name: &str) -> String {
    let mut hash = Sha256::new();
    for part in [node_name, file, &tree.to_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    identity::hex(&hash.finalize()[..16])
}

/// The API's picture of a static pod.
pub fn mirror(pod: &Object, node_uid: &str) -> Json {
    let mut tree = pod.json().clone();
    let meta = &mut tree["metadata"];
    meta["annotations"][MIRROR] = json!(pod.uid());
    let node = pod.str_at("/spec/nodeName").unwrap_or_default();
    meta["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": true}]);
    if let Some(meta) = meta.as_object_mut() {
        meta.remove("uid");
        meta.remove("resourceVersion");
        meta.remove("creationTimestamp");
    }
    tree
}

/// The hash of the static pod that a pod of the API is the picture of.
pub fn mirrored(object: &Object) -> Option<&str> {
    object.annotation(MIRROR)
}

/// Whether a pod was read from a file.
pub fn is_static(pod: &Object) -> bool {
    is_local(pod.annotation(SOURCE))
}

/// The same, of a typed pod.
pub fn is_static_pod(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    is_local(pod.metadata.annotations.as_ref().and_then(|a| a.get(SOURCE)).map(String::as_str))
}

fn is_local(source: Option<&str>) -> bool {
    source.is_some_and(|source| source != "api")
}

/// The pod with the status that its mirror has, ending if its file is gone.
pub fn with_status(pod: &Object, status: &Json, ends_at: Option<Timestamp>) -> Object {
    let mut tree = pod.json().clone();
    tree["status"] = status.clone();
    if let Some(at) = ends_at {
        let grace = tree.pointer("/spec/terminationGracePeriodSeconds").and_then(Json::as_i64).unwrap_or(30);
        tree["metadata"]["deletionTimestamp"] = json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        tree["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    }
    Object::new(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers: [{name: c, image: a:1}]\n";

    fn one(text: &str) -> Object {
        read(FILE, "/m/web.yaml", text.as_bytes(), "n1", Timestamp::UNIX_EPOCH).expect("a pod").remove(0)
    }

    #[test]
    fn a_file_becomes_a_pod_of_this_node() {
        let pod = one(TEXT);
        assert_eq!((pod.name(), pod.namespace(), pod.str_at("/spec/nodeName")), ("web-n1", "default", Some("n1")));
        assert_eq!(pod.annotation(HASH), Some(pod.uid()));
        assert_eq!(pod.uid().len(), 32);
        assert_eq!(pod.uid(), one(TEXT).uid());
        assert_ne!(pod.uid(), one(&TEXT.replace("a:1", "a:2")).uid());
        let mirror = Object::new(mirror(&pod, "u"));
        assert_eq!((mirrored(&mirror), mirror.uid()), (Some(pod.uid()), ""));
        assert!(is_static(&pod));
    }

    #[test]
    fn only_pods_of_files_tolerate_whatever_befalls_the_node() {
        let everything = json!({"operator": "Exists", "effect": "NoExecute"});
        assert_eq!(one(TEXT).at("/spec/tolerations"), Some(&json!([everything])));
        let list = "[{key: k, operator: Exists}, {operator: Exists, effect: NoExecute, tolerationSeconds: 5}]";
        let pod = one(&format!("{TEXT}  tolerations: {list}\n"));
        assert_eq!(pod.at("/spec/tolerations"), Some(&json!([{"key": "k", "operator": "Exists"}, everything])));
        let of_url = read(HTTP, "http://x/", TEXT.as_bytes(), "n1", Timestamp::UNIX_EPOCH).expect("a pod").remove(0);
        assert_eq!((of_url.name(), of_url.at("/spec/tolerations")), ("web-n1", None));
    }

    #[test]
    fn what_is_no_pod_is_refused_with_the_file_named() {
        for text in ["kind: Pod\n  bad: [", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "apiVersion: v1\nkind: Pod\n"] {
            let why = read(FILE, "/m/x.yaml", text.as_bytes(), "n1", Timestamp::UNIX_EPOCH).expect_err("refused");
            assert!(why.starts_with("/m/x.yaml: "), "{why}");
        }
    }
}
