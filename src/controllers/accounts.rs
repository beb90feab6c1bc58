//! What every namespace holds: its `default` ServiceAccount and the ConfigMap with the API's certificate.
//! Source: pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Context, Controller, Decision, Write};
use crate::api::{GroupResource, Key, Object};
use crate::state::{Change, State};

const DESCRIPTION: &str = "kubernetes.io/description";
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

/// Where the authority that signs the API's certificate is kept, with its key.
pub fn authority() -> Key {
    Key::new(GroupResource::new("", "secrets"), "kube-system", "wl-api-authority")
}

/// The authority's certificate, where there is one.
fn bundle(state: &State) -> Option<String> {
    let encoded = state.get(&authority())?.at("/data")?.get("tls.crt")?.as_str()?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

/// What makes the authority known in a namespace, where it is not (publisher.go: syncNamespace).
fn publish(state: &State, namespace: &str) -> Option<Write> {
    let data = bundle(state).map(|text| json!({"ca.crt": text}));
    let Some(there) = state.get(&certificate(namespace)) else {
        let annotations = json!({DESCRIPTION: ABOUT});
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt", "namespace": namespace, "annotations": annotations},
            "data": data.unwrap_or_else(|| json!({"ca.crt": ""})),
        });
        return Some(Write::Create { object: Object::new(object) });
    };
    let data = data.filter(|data| there.at("/data") != Some(data))?;
    let mut object = Object::clone(there);
    object.json_mut()["metadata"]["annotations"][DESCRIPTION] = ABOUT.into();
    object.json_mut()["data"] = data;
    Some(Write::Update { object })
}

impl Controller for Accounts {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        let key = &change.key;
        let own = key.resource == namespaces() && change.after.is_some();
        let gone = change.after.is_none() && *key == account(&key.namespace);
        if own {
            vec![key.clone()]
        } else if *key == authority() {
            state.all(&namespaces()).map(|n| Key::new(namespaces(), "", n.name())).collect()
        } else if gone || *key == certificate(&key.namespace) {
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
        writes.extend(publish(state, name));
        Decision { writes, wake_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Json;
    use crate::controllers::testing;

    fn state(objects: &[(Key, Json)]) -> State {
        let mut state = State::new();
        for (key, tree) in objects {
            let mut tree = tree.clone();
            tree["metadata"] = json!({"name": &*key.name, "namespace": &*key.namespace});
            state.put(key.clone(), Object::new(tree));
        }
        state
    }

    #[test]
    fn the_authority_is_made_known_in_every_namespace() {
        let data = |write: Option<Write>| match write {
            Some(Write::Create { object }) => format!("create {}", object.json()["data"]),
            Some(Write::Update { object }) => format!("update {}", object.json()["data"]),
            _ => String::new(),
        };
        assert_eq!(data(publish(&State::new(), "a")), r#"create {"ca.crt":""}"#);
        let secret = (authority(), json!({"kind": "Secret", "data": {"tls.crt": STANDARD.encode("PEM"), "tls.key": "eA=="}}));
        assert_eq!(data(publish(&state(std::slice::from_ref(&secret)), "a")), r#"create {"ca.crt":"PEM"}"#);
        let map = |text: &str| (certificate("a"), json!({"kind": "ConfigMap", "data": {"ca.crt": text}}));
        assert_eq!(data(publish(&state(&[secret.clone(), map("")]), "a")), r#"update {"ca.crt":"PEM"}"#);
        assert_eq!(data(publish(&state(&[secret, map("PEM")]), "a")), "");
        assert_eq!(data(publish(&state(&[map("kept")]), "a")), "", "without an authority nothing is taken away");
    }

    #[test]
    fn a_namespace_is_given_its_account_and_what_it_lacks_wakes_it() {
        let namespace = |name: &str| (Key::new(namespaces(), "", name), json!({"kind": "Namespace"}));
        let state = state(&[namespace("a"), namespace("b"), (certificate("b"), json!({"kind": "ConfigMap"})), (account("b"), json!({}))]);
        let made = |name: &str| {
            let writes = testing::look(&Accounts, &state, &Key::new(namespaces(), "", name));
            let kind = |write: Write| match write {
                Write::Create { object } => object.kind().to_owned(),
                other => format!("{other:?}"),
            };
            writes.into_iter().map(kind).filter(|kind| kind == "ServiceAccount").count()
        };
        assert_eq!((made("a"), made("b"), made("c")), (1, 0, 0));

        let there = std::sync::Arc::new(Object::new(json!({})));
        let woken = |key: Key, is_gone: bool| {
            let after = (!is_gone).then(|| there.clone());
            let change = Change { revision: 1, key, before: None, after };
            Accounts.wakes(&state, &change).iter().map(|key| key.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        let of = |name: &str| Key::new(namespaces(), "", name);
        assert_eq!((woken(of("a"), false), woken(of("a"), true)), ("a".into(), String::new()));
        assert_eq!((woken(account("a"), true), woken(account("a"), false)), ("a".into(), String::new()));
        assert_eq!((woken(certificate("a"), true), woken(certificate("a"), false)), ("a".into(), "a".into()));
        assert_eq!(woken(authority(), false), "a b");
        let other = Key::new(GroupResource::new("", "serviceaccounts"), "a", "mine");
        assert_eq!(woken(other, true), "");
    }
}
