//! `StorageObjectInUseProtection`: claims and volumes hold a finalizer until nothing uses them.
//! Source: plugin/pkg/admission/storage/storageobjectinuseprotection/admission.go.

use super::{Attributes, Operation};
use crate::api::{Json, Object};

pub(super) fn mutate(attributes: &Attributes<'_>, object: &mut Object) {
    if attributes.operation != Operation::Create || !attributes.is_main() {
        return;
    }
    let finalizer = if attributes.is("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else if attributes.is("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else {
        return;
    };
    if object.finalizers().any(|f| f == finalizer) {
        return;
    }
    let finalizers = object.metadata_mut().entry("finalizers").or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(list) = finalizers {
        list.push(finalizer.into());
    }
}
