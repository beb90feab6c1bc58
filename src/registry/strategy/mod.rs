//! What each kind does of its own around a write: what it resets, counts, allocates, and how it is deleted.
//! Source: pkg/registry/*/*/strategy.go.

mod batch;
mod cluster;
mod custom;
mod dropped;
mod namespace;
mod plain;
mod pod;
mod rbac;
mod rules;
mod service;
mod volumes;
mod workloads;

use std::sync::Arc;

pub(crate) use rules::{Collect, Generation, Rules, StatusMetadata};

use super::delete::{DeleteOptions, Deleted};
use super::run::Run;
use crate::api::validation::{self, field::Errors};
use crate::api::{Gvk, Object, Resource, Status};

/// Which part of an object a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    /// A subresource with rules of its own (`ephemeralcontainers`, `resize`, `finalize` …).
    Other,
}

/// The rules of one kind. What is not said is what most kinds do.
pub(crate) trait Strategy: Sync {
    fn rules(&self) -> &'static Rules;

    /// Resets what a client may not set.
    fn prepare_create(&self, run: &mut Run<'_, '_>, object: &mut Object) {
        let _ = run;
        plain::prepare_create(self.rules(), object);
    }

    fn prepare_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        let _ = run;
        plain::prepare_update(self.rules(), new, old, part);
    }

    /// What is wrong with a new object.
    fn validate_create(&self, run: &Run<'_, '_>, object: &Object) -> Errors {
        validation::create(&run.gvk(), object)
    }

    /// What is odd about an object that is accepted.
    fn warnings(&self, gvk: &Gvk, new: &Object, old: Option<&Object>) -> Vec<String> {
        validation::warnings(gvk, new, old)
    }

    /// What is wrong with a change.
    fn validate_update(&self, run: &Run<'_, '_>, new: &Object, old: &Object, part: Part) -> Errors {
        let gvk = run.gvk();
        match part {
            Part::Main => validation::update(&gvk, new, old),
            Part::Status => validation::update_status(&gvk, new, old),
            Part::Other => {
                let mut errors = validation::update_generic(&gvk, new, old);
                errors.extend(self.validate_other(run, new, old));
                errors
            }
        }
    }

    /// What is wrong with a change by a subresource of its own.
    fn validate_other(&self, run: &Run<'_, '_>, new: &Object, old: &Object) -> Errors {
        let _ = (run, new, old);
        Errors::new()
    }

    /// Allocates; before the object is validated, as what is given out is validated too.
    fn begin_create(&self, run: &mut Run<'_, '_>, object: &mut Object) -> Result<(), Status> {
        let _ = (run, object);
        Ok(())
    }

    fn begin_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) -> Result<(), Status> {
        let _ = (run, new, old, part);
        Ok(())
    }

    /// Releases what the object had.
    fn after_delete(&self, run: &mut Run<'_, '_>, object: &Object) {
        let _ = (run, object);
    }

    fn warn_on_delete(&self, run: &mut Run<'_, '_>, options: &DeleteOptions) {
        let _ = (run, options);
    }

    /// How many seconds a deletion leaves the object; `None`: the kind knows no grace.
    fn grace(&self, object: &Object, options: &DeleteOptions) -> Option<i64> {
        let _ = (object, options);
        None
    }

    /// A deletion that goes another way than all others.
    fn delete_instead(
        &self,
        run: &mut Run<'_, '_>,
        object: &Arc<Object>,
        options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Option<Deleted>, Status> {
        let _ = (run, object, options, dry_run);
        Ok(None)
    }

    /// Whether an object in deletion goes with its last finalizer.
    fn deletes_when_let_go(&self, object: &Object) -> bool {
        let _ = object;
        true
    }
}

/// The strategy of a resource.
pub(crate) fn of(resource: &Resource) -> &'static dyn Strategy {
    if resource.custom { &custom::Customs } else { rules::of(&resource.group, &resource.resource) }
}
