//! Who manages which field, written into `metadata.managedFields` at each write.

use super::conversion;
use super::custom;
use super::run::Run;
use crate::api::{Json, Object};
use crate::apply::{FieldManager, manager_name, managed};

/// Notes that the request's manager has written `new` in the place of `old`.
pub(crate) fn written(run: &Run<'_, '_>, new: &mut Object, old: Option<&Object>) {
    let resource = &run.request.resource;
    let options = &run.request.options;
    let manager = manager_name(options.field_manager.as_deref(), &options.user_agent);
    let subresource = run.request.subresource.as_deref().unwrap_or("");
    let convert = |tree: &Json, version: &str| conversion::at_version(tree, version);
    let types = custom::types(run.state, resource);
    let mut managers = FieldManager::new(&resource.gvk(), subresource).with_converter(&convert);
    if let Some(types) = &types {
        managers = managers.with_types(types);
    }
    // Kept trees may have another version than the request's.
    let old = old.map(|old| conversion::shown(resource, old.json()));
    let tree = conversion::shown(resource, new.json());
    let written = managers.update(old.as_deref(), tree.into_owned(), &manager, run.env.now);
    let metadata = new.metadata_mut();
    match written.pointer("/metadata/managedFields") {
        Some(entries) => metadata.insert("managedFields".into(), entries.clone()),
        None => metadata.remove("managedFields"),
    };
}

/// A write that moved nothing but the times of managers leaves the object as it was.
pub(crate) fn keep_times(new: &mut Object, old: &Object) {
    managed::keep_times_of_unchanged(new.json_mut(), old.json());
}
