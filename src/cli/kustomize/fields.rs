//! Names, namespaces and replicas of resources, and the way to fields wherever lists stand between.
//! Source: sigs.k8s.io/kustomize/api/filters, api/internal/builtins/{Prefix,Suffix,Namespace,ReplicaCount}Transformer.go.

use serde_json::json;

use super::Resource;
use super::file::Replica;
use crate::api::schema::Schema;
use crate::api::{Gvk, Json};
use crate::cli::CliError;

/// Calls `change` with every value at the path; lists on the way are gone through. `create`: maps that are missing are made.
pub fn visit(tree: &mut Json, path: &[&str], create: bool, change: &mut dyn FnMut(&mut Json)) {
    if let Json::Array(items) = tree {
        items.iter_mut().for_each(|item| visit(item, path, create, change));
        return;
    }
    let Some((first, rest)) = path.split_first() else {
        change(tree);
        return;
    };
    let Some(map) = tree.as_object_mut() else { return };
    if create && map.get(*first).is_none_or(Json::is_null) {
        map.insert((*first).to_owned(), json!({}));
    }
    if let Some(inner) = map.get_mut(*first) {
        visit(inner, rest, create, change);
    }
}

/// The way as words: `spec/template/spec`.
pub fn words(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

fn is_cluster_scoped(gvk: &Gvk) -> bool {
    Schema::get().resource_of(gvk).is_some_and(|resource| !resource.namespaced)
}

/// Puts all into a namespace; what refers to the namespaces' default accounts follows.
pub fn set_namespace(resources: &mut [Resource], namespace: &str) -> Result<(), CliError> {
    for resource in resources.iter_mut() {
        resource.remember();
        let gvk = resource.object().gvk();
        match (gvk.group.as_str(), gvk.kind.as_str()) {
            ("", "Namespace") => resource.tree["metadata"]["name"] = namespace.into(),
            ("apiregistration.k8s.io", "APIService") => resource.tree["spec"]["service"]["namespace"] = namespace.into(),
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                let path = words("spec/conversion/webhook/clientConfig/service/namespace");
                visit(&mut resource.tree, &path, false, &mut |value| *value = namespace.into());
            }
            (_, "RoleBinding" | "ClusterRoleBinding") => {
                for subject in resource.tree.get_mut("subjects").and_then(Json::as_array_mut).into_iter().flatten() {
                    if subject["name"] == "default" {
                        subject["namespace"] = namespace.into();
                    }
                }
            }
            _ => {}
        }
        if !is_cluster_scoped(&gvk) {
            resource.tree["metadata"]["namespace"] = namespace.into();
        }
    }
    let twice = |(at, one): (usize, &Resource)| resources[..at].iter().any(|other| super::is_same(one, other));
    if let Some((_, resource)) = resources.iter().enumerate().find(|(at, one)| twice((*at, one))) {
        let (kind, name) = (resource.object().kind().to_owned(), resource.name());
        return Err(CliError::message(format!("namespace transformation produces ID conflict: {kind} {name}")));
    }
    Ok(())
}

/// Puts words before and behind names. Definitions and namespaces keep theirs: others know them by it.
pub fn rename(resources: &mut [Resource], prefix: &str, suffix: &str) {
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    for resource in resources {
        let gvk = resource.object().gvk();
        if matches!(gvk.kind.as_str(), "CustomResourceDefinition" | "Namespace")
            || (gvk.group == "apiregistration.k8s.io" && gvk.kind == "APIService")
        {
            continue;
        }
        resource.remember();
        let name = format!("{prefix}{}{suffix}", resource.name());
        resource.tree["metadata"]["name"] = name.into();
    }
}

pub fn set_replicas(resources: &mut [Resource], replica: &Replica) -> Result<(), CliError> {
    let mut found = false;
    for resource in resources.iter_mut() {
        let kind = resource.object().kind().to_owned();
        let scales = matches!(kind.as_str(), "Deployment" | "ReplicationController" | "ReplicaSet" | "StatefulSet");
        if scales && resource.was_called(&replica.name) {
            found = true;
            resource.tree["spec"]["replicas"] = replica.count.into();
        }
    }
    if found {
        return Ok(());
    }
    Err(CliError::message(format!(
        "resource with name {} does not match a config with the following GVK [Deployment.[noVer].[noGrp] \
         ReplicationController.[noVer].[noGrp] ReplicaSet.[noVer].[noGrp] StatefulSet.[noVer].[noGrp]]",
        replica.name
    )))
}
