//! What the server itself writes into `metadata`.
//! Source: k8s.io/apiserver/pkg/registry/rest/{create,update,meta}.go, …/storage/names/generate.go.

use super::run::Run;
use crate::api::{Json, Object, Random, Status};

/// Longest name that `generateName` makes, and the part of it that is random.
const MAX_GENERATED: usize = 63;
const SUFFIX: usize = 5;
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What a client may not say of a new object is dropped, and the server says it itself.
pub(crate) fn fill_new(run: &mut Run<'_, '_>, object: &mut Object) {
    let uid = uuid(run.env.random);
    let now = run.now();
    let metadata = object.metadata_mut();
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), now.into());
}

/// A random (version 4) UUID.
pub fn uuid(random: &mut dyn Random) -> String {
    let (a, b) = (random.next_u64(), random.next_u64());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        (b >> 48) & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}

/// A name from `generateName`.
pub fn generated_name(base: &str, random: &mut dyn Random) -> String {
    let mut cut = base.len().min(MAX_GENERATED - SUFFIX);
    while !base.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut name = base[..cut].to_owned();
    for _ in 0..SUFFIX {
        let index = usize::try_from(random.next_u64() % ALPHABET.len() as u64).unwrap_or(0);
        name.push(char::from(ALPHABET[index]));
    }
    name
}

/// The body's namespace must be the path's, or nothing.
pub(crate) fn match_namespace(run: &Run<'_, '_>, object: &mut Object) -> Result<(), Status> {
    let wanted = run.request.namespace.as_str();
    let found = object.namespace();
    if found == wanted {
        return Ok(());
    }
    if !found.is_empty() && run.request.resource.namespaced {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    set_namespace(object, wanted);
    Ok(())
}

fn set_namespace(object: &mut Object, namespace: &str) {
    let metadata = object.metadata_mut();
    if namespace.is_empty() {
        metadata.remove("namespace");
    } else {
        metadata.insert("namespace".into(), namespace.into());
    }
}

/// What no update can change keeps its old value.
pub(crate) fn keep_old(object: &mut Object, old: &Object) {
    let uid_missing = object.uid().is_empty();
    let metadata = object.metadata_mut();
    let mut keep = |field: &str, always: bool| match old.at(&format!("/metadata/{field}")) {
        Some(value) if always || !metadata.contains_key(field) => {
            metadata.insert(field.into(), value.clone());
        }
        _ => {}
    };
    if uid_missing {
        keep("uid", true);
    }
    keep("creationTimestamp", true);
    keep("deletionTimestamp", true);
    keep("deletionGracePeriodSeconds", false);
}

pub(crate) fn keep_generation(object: &mut Object, old: &Object) {
    set_generation(object, old.generation());
}

pub(crate) fn set_generation(object: &mut Object, generation: i64) {
    let metadata = object.metadata_mut();
    if generation == 0 {
        metadata.remove("generation");
    } else {
        metadata.insert("generation".into(), generation.into());
    }
}

/// The finalizers become these; none: the field goes.
pub(crate) fn set_finalizers(object: &mut Object, finalizers: Vec<String>) {
    let metadata = object.metadata_mut();
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), finalizers.into());
    }
}

/// Makes `tree[field]` what it is in `old`, or removes it.
pub(crate) fn take_from(tree: &mut Json, old: &Json, field: &str) {
    let Some(map) = tree.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.remove(field),
    };
}
