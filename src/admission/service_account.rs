//! `ServiceAccount`: every Pod has an account, and a volume with its token.
//! Source: plugin/pkg/admission/serviceaccount/admission.go.

use std::collections::HashSet;

use serde_json::json;

use super::{Attributes, Operation, World};
use crate::api::pod::CONFIG_MIRROR;
use crate::api::tree::{self, Tree};
use crate::api::{Json, Object, Random, Status};

const DEFAULT: &str = "default";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A little over an hour, so that tokens of an hour are recognised. Source: `WarnOnlyBoundTokenExpirationPeriod`.
const EXPIRATION_SECONDS: i64 = 3607;
const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

fn concerns(attributes: &Attributes<'_>) -> bool {
    attributes.is_pods() && attributes.is_main() && attributes.operation == Operation::Create
}

pub(super) fn mutate(
    world: &World<'_>,
    random: &mut dyn Random,
    attributes: &Attributes<'_>,
    object: &mut Object,
) -> Result<(), Status> {
    if !concerns(attributes) || object.annotation(CONFIG_MIRROR).is_some() {
        return Ok(());
    }
    let Some(spec) = tree::child(object.json_mut(), "spec") else { return Ok(()) };
    tree::default_text(spec, "serviceAccountName", DEFAULT);
    // The deprecated twin of the field.
    let name = spec.text("serviceAccountName").to_owned();
    if let Some(map) = spec.as_object_mut() {
        map.insert("serviceAccount".into(), name.clone().into());
    }
    let account = account(world, attributes, object, &name)?;
    let Some(spec) = tree::child(object.json_mut(), "spec") else { return Ok(()) };
    let mounts = |tree: &Json| tree.field("automountServiceAccountToken").as_bool();
    if mounts(spec).or_else(|| mounts(&account)).unwrap_or(true) {
        mount_token(spec, random);
    }
    let secrets = account.list("imagePullSecrets");
    if spec.list("imagePullSecrets").is_empty() && !secrets.is_empty() {
        let secrets: Vec<_> = secrets.iter().map(|s| json!({"name": s.text("name")})).collect();
        spec["imagePullSecrets"] = Json::Array(secrets);
    }
    Ok(())
}

/// The account's tree. The default account of a namespace counts as there before its controller has made it.
fn account(world: &World<'_>, attributes: &Attributes<'_>, object: &Object, name: &str) -> Result<Json, Status> {
    let namespace = attributes.namespace;
    match world.get("", "serviceaccounts", namespace, name) {
        Some(account) => Ok(account.json().clone()),
        None if name == DEFAULT => Ok(Json::Null),
        None => {
            let missing = format!("serviceaccount {} not found", crate::api::status::quote(name));
            let why = format!("error looking up service account {namespace}/{name}: {missing}");
            Err(attributes.forbidden(object, &why))
        }
    }
}

fn mount_token(spec: &mut Json, random: &mut dyn Random) {
    let names: HashSet<String> = spec.list("volumes").iter().map(|v| v.text("name").to_owned()).collect();
    let present = spec.list("volumes").iter().map(|v| v.text("name")).find(|n| n.starts_with(VOLUME_PREFIX));
    let present = present.map(str::to_owned);
    let volume = present.clone().unwrap_or_else(|| fresh_name(&names, random));
    let mut needed = false;
    for list in ["initContainers", "containers"] {
        for container in tree::items(spec, list) {
            if container.list("volumeMounts").iter().any(|m| m.text("mountPath") == MOUNT_PATH) {
                continue;
            }
            tree::default_to(container, "volumeMounts", Json::Array(Vec::new()));
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Json::as_array_mut) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
                needed = true;
            }
        }
    }
    if present.is_some() || !needed {
        return;
    }
    tree::default_to(spec, "volumes", Json::Array(Vec::new()));
    if let Some(volumes) = spec.get_mut("volumes").and_then(Json::as_array_mut) {
        volumes.push(token_volume(&volume));
    }
}

fn fresh_name(taken: &HashSet<String>, random: &mut dyn Random) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    loop {
        let letter = |n: u64| char::from(ALPHABET[usize::try_from(n % ALPHABET.len() as u64).unwrap_or(0)]);
        let suffix: String = (0..5).map(|_| letter(random.next_u64())).collect();
        let name = format!("{VOLUME_PREFIX}{suffix}");
        if !taken.contains(&name) {
            return name;
        }
    }
}

fn token_volume(name: &str) -> Json {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": EXPIRATION_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

pub(super) fn validate(world: &World<'_>, attributes: &Attributes<'_>, object: &Object) -> Result<(), Status> {
    if !concerns(attributes) {
        return Ok(());
    }
    let refuse = |why: &str| Err(attributes.forbidden(object, why));
    let spec = object.json().field("spec");
    let name = spec.text("serviceAccountName");
    if object.annotation(CONFIG_MIRROR).is_some() {
        return validate_mirror(object).or_else(|why| refuse(&why));
    }
    if name.is_empty() {
        return refuse(&format!("no service account specified for pod {}/{}", object.namespace(), object.name()));
    }
    let account = account(world, attributes, object, name)?;
    let enforced = account.field("metadata").field("annotations").text(MOUNTABLE) == "true";
    if enforced && let Err(why) = only_mountable_secrets(&account, spec) {
        return refuse(&why);
    }
    Ok(())
}

/// Mirror Pods of static ones have no account and refer to nothing.
fn validate_mirror(object: &Object) -> Result<(), String> {
    let spec = object.json().field("spec");
    if !spec.text("serviceAccountName").is_empty() {
        return Err("a mirror pod may not reference service accounts".into());
    }
    let containers = ["initContainers", "containers"].into_iter().flat_map(|l| spec.list(l));
    for env in containers.clone().flat_map(|c| c.list("env")) {
        if env.field("valueFrom").has("secretKeyRef") {
            return Err("a mirror pod may not reference secrets".into());
        }
    }
    for volume in spec.list("volumes") {
        let projected = volume.field("projected").list("sources").iter().any(|s| s.has("serviceAccountToken"));
        if projected {
            return Err("a mirror pod may not use ServiceAccountToken volume projections".into());
        }
        if volume.has("secret") {
            return Err("a mirror pod may not reference secrets".into());
        }
    }
    Ok(())
}

/// Source: `limitSecretReferences`.
fn only_mountable_secrets(account: &Json, spec: &Json) -> Result<(), String> {
    let names = |list: &str| account.list(list).iter().map(|s| s.text("name")).collect::<HashSet<_>>();
    let (mountable, pullable) = (names("secrets"), names("imagePullSecrets"));
    let account_name = account.field("metadata").text("name");
    for volume in spec.list("volumes") {
        let secret = volume.field("secret").text("secretName");
        if volume.has("secret") && !mountable.contains(secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {account_name} \
                 does not reference that secret"
            ));
        }
    }
    for (list, word) in [("initContainers", "init container"), ("containers", "container")] {
        for container in spec.list(list) {
            let name = container.text("name");
            for from in container.list("envFrom").iter().filter(|e| e.has("secretRef")) {
                let secret = from.field("secretRef").text("name");
                if !mountable.contains(secret) {
                    return Err(format!(
                        "{word} {name} with envFrom referencing secret.secretName=\"{secret}\" is not allowed because \
                         service account {account_name} does not reference that secret"
                    ));
                }
            }
            for env in container.list("env").iter().filter(|e| e.field("valueFrom").has("secretKeyRef")) {
                let secret = env.field("valueFrom").field("secretKeyRef").text("name");
                if !mountable.contains(secret) {
                    return Err(format!(
                        "{word} {name} with envVar {} referencing secret.secretName=\"{secret}\" is not allowed because \
                         service account {account_name} does not reference that secret",
                        env.text("name")
                    ));
                }
            }
        }
    }
    for (i, secret) in spec.list("imagePullSecrets").iter().enumerate() {
        let secret = secret.text("name");
        if !pullable.contains(secret) {
            return Err(format!(
                "imagePullSecrets[{i}].name=\"{secret}\" is not allowed because service account {account_name} \
                 does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}
