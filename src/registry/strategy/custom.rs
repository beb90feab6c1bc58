//! Definitions of custom resources, and their objects.
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/{customresource,customresourcedefinition}/{strategy,status_strategy,etcd}.go.

use std::sync::Arc;

use serde_json::json;

use super::rules::{self, CUSTOM};
use super::{Part, Rules, Strategy, plain};
use crate::api::tree::Tree;
use crate::api::validation::field::{Errors, Path};
use crate::api::validation::{meta, names};
use crate::api::{Json, Object, Status, custom};
use crate::registry::custom::settle::{CLEANUP, condition};
use crate::registry::custom::{self as registry, definition};
use crate::registry::delete::{DeleteOptions, Deleted};
use crate::registry::metadata;
use crate::registry::run::Run;

/// Objects of custom resources.
pub(crate) struct Customs;
/// CustomResourceDefinitions.
pub(crate) struct Definitions;

fn has_status(run: &Run<'_, '_>) -> bool {
    run.request.resource.subresources.iter().any(|sub| sub.text("name") == "status")
}

/// Whether anything but metadata (and the status, where it is apart) differs.
fn differs(new: &Object, old: &Object, status_apart: bool) -> bool {
    let rest = |object: &Object| {
        let mut map = object.json().as_object().cloned().unwrap_or_default();
        map.retain(|key, _| key != "metadata" && key != "apiVersion" && !(status_apart && key == "status"));
        map
    };
    rest(new) != rest(old)
}

impl Customs {
    fn check(&self, run: &Run<'_, '_>, new: &Object, old: Option<&Object>) -> Errors {
        let schema = registry::schema(run.state, &run.request.resource).unwrap_or_default();
        if !schema.is_object() {
            return Errors::new();
        }
        custom::check(&schema, new.json(), old.map(Object::json), &Path::root())
    }
}

impl Strategy for Customs {
    fn rules(&self) -> &'static Rules {
        &CUSTOM
    }

    fn begin_create(&self, run: &mut Run<'_, '_>, _object: &mut Object) -> Result<(), Status> {
        let resource = &run.request.resource;
        if definition(run.state, resource).is_none_or(|definition| !definition.is_deleting()) {
            return Ok(());
        }
        let details = json!({"group": resource.group, "kind": resource.resource});
        let message = "create not allowed while custom resource definition is terminating";
        Err(Status::new(405, "MethodNotAllowed", message).with_details(details))
    }

    fn prepare_create(&self, run: &mut Run<'_, '_>, object: &mut Object) {
        if has_status(run) {
            crate::api::tree::remove(object.json_mut(), "status");
        }
        metadata::set_generation(object, 1);
    }

    fn prepare_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        let status_apart = has_status(run);
        if part == Part::Status {
            let sent = new.at("/metadata").cloned().unwrap_or_default();
            let status = new.at("/status").cloned();
            let version = new.api_version().to_owned();
            *new = old.clone();
            for field in ["resourceVersion", "managedFields"] {
                metadata::take_from(&mut new.json_mut()["metadata"], &sent, field);
            }
            new.json_mut()["apiVersion"] = version.into();
            let status = status.map_or_else(|| json!({}), |status| json!({"status": status}));
            metadata::take_from(new.json_mut(), &status, "status");
            return;
        }
        if status_apart {
            metadata::take_from(new.json_mut(), old.json(), "status");
        }
        if differs(new, old, status_apart) {
            metadata::set_generation(new, old.generation() + 1);
        }
    }

    fn validate_create(&self, run: &Run<'_, '_>, object: &Object) -> Errors {
        let mut errors = meta::create(object, run.request.resource.namespaced, names::name_is_subdomain);
        errors.extend(self.check(run, object, None));
        errors
    }

    fn validate_update(&self, run: &Run<'_, '_>, new: &Object, old: &Object, _part: Part) -> Errors {
        let mut errors = meta::update(new, old);
        errors.extend(self.check(run, new, Some(old)));
        errors
    }
}

/// The version that objects are kept in has been one of those that there may be objects in.
fn note_stored(definition: &mut Object) {
    let versions = definition.json().field("spec").list("versions");
    let Some(stored) = versions.iter().find(|v| v.flag("storage")).map(|v| v.text("name").to_owned()) else { return };
    let status = &mut definition.json_mut()["status"];
    let mut all = status.list("storedVersions").to_vec();
    if !all.iter().any(|version| version.as_str() == Some(&stored)) {
        all.push(stored.into());
        status["storedVersions"] = Json::Array(all);
    }
}

impl Strategy for Definitions {
    fn rules(&self) -> &'static Rules {
        rules::rules("apiextensions.k8s.io", "customresourcedefinitions")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, object: &mut Object) {
        plain::prepare_create(self.rules(), object);
        note_stored(object);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        if part == Part::Main {
            note_stored(new);
        }
    }

    fn delete_instead(
        &self,
        run: &mut Run<'_, '_>,
        object: &Arc<Object>,
        _options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Option<Deleted>, Status> {
        if object.is_deleting() {
            return Ok(None);
        }
        let now = run.now();
        let mut new = Object::clone(object);
        let mut finalizers: Vec<String> = object.finalizers().map(str::to_owned).collect();
        if !finalizers.iter().any(|f| f == CLEANUP) {
            finalizers.push(CLEANUP.into());
        }
        metadata::set_finalizers(&mut new, finalizers);
        new.metadata_mut().insert("deletionTimestamp".into(), now.as_str().into());
        let why = (
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        );
        condition(&mut new, ("Terminating", true), why, &now);
        let kept = if dry_run { Arc::new(new) } else { run.state.put(run.key(object.name()), new) };
        Ok(Some(Deleted::Held(kept)))
    }
}
