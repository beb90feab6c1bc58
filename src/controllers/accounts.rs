//! What every namespace holds: its `default` ServiceAccount and the ConfigMap with the API's certificate.
//! Source: pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher.

use serde_json::json;

use super::{Context, Controller, Decision, Write};
use crate::api::{GroupResource, Key, Object};
use crate::state::{Change, State};

/// Text of the ConfigMap's annotation (rootcacertpublisher/publisher.go).
const ABOUT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Makes them where they are missing.
pub struct Accounts;

fn namespaces() -> GroupResource {
    GroupResource::new("", "namespaces")
}

fn account(namespace: &str) -> Key {
    Key::new(GroupResource::new("", "serviceaccounts"), namespace, "default")
}

fn certificate(namespace: &str) -> Key {
    Key::new(GroupResource::new("", "configmaps"), namespace, "kube-root-ca.crt")
}

impl Controller for Accounts {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn wakes(&self, _state: &State, change: &Change) -> Vec<Key> {
        let key = &change.key;
        let own = key.resource == namespaces() && change.after.is_some();
        let gone = change.after.is_none() && (*key == account(&key.namespace) || *key == certificate(&key.namespace));
        if own {
            vec![key.clone()]
        } else if gone {
            vec![Key::new(namespaces(), "", &key.namespace)]
        } else {
            Vec::new()
        }
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let Some(namespace) = state.get(key).filter(|n| !n.is_deleting()) else { return Decision::default() };
        let name = namespace.name();
        let mut writes = Vec::new();
        if state.get(&account(name)).is_none() {
            let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}});
            writes.push(Write::Create { object: Object::new(object) });
        }
        if state.get(&certificate(name)).is_none() {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "kube-root-ca.crt", "namespace": name, "annotations": {"kubernetes.io/description": ABOUT}},
                "data": {"ca.crt": ""},
            });
            writes.push(Write::Create { object: Object::new(object) });
        }
        Decision { writes, wake_at: None }
    }
}
