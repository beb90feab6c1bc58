//! Nodes and service accounts.
//! Source: pkg/registry/core/{node,serviceaccount}/strategy.go.

use serde_json::json;

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::{Json, Object};
use crate::registry::run::Run;

pub(crate) struct Nodes;
pub(crate) struct ServiceAccounts;

impl Strategy for Nodes {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "nodes")
    }

    /// A kubelet registers its node with its status.
    fn prepare_create(&self, _run: &mut Run<'_, '_>, node: &mut Object) {
        drop_configuration(node);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        drop_configuration(new);
    }
}

impl Strategy for ServiceAccounts {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "serviceaccounts")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, account: &mut Object) {
        only_names(account);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        only_names(new);
    }
}

/// Kubelets are not configured by the API any more (dropDisabledFields).
fn drop_configuration(node: &mut Object) {
    for (holder, name) in [("spec", "configSource"), ("status", "config")] {
        if let Some(holder) = node.json_mut().get_mut(holder) {
            crate::api::tree::remove(holder, name);
        }
    }
}

/// Secrets are named and nothing else (cleanSecretReferences).
fn only_names(account: &mut Object) {
    let has = account.at("/secrets").is_some();
    let secrets = if has { account.json_mut().get_mut("secrets").and_then(Json::as_array_mut) } else { None };
    for secret in secrets.into_iter().flatten() {
        *secret = match secret.get("name") {
            Some(name) => json!({"name": name}),
            None => json!({}),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_no_configuration() {
        let mut node = Object::new(json!({"spec": {"configSource": {}, "podCIDR": "c"}, "status": {"config": {}}}));
        drop_configuration(&mut node);
        assert_eq!(node.json(), &json!({"spec": {"podCIDR": "c"}, "status": {}}));
    }
}
