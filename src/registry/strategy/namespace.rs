//! Namespaces: their own finalizers, and a deletion that waits for them.
//! Source: pkg/registry/core/namespace/{strategy.go,storage/storage.go}.

use std::sync::Arc;

use serde_json::json;

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::validation::{self, field::Errors};
use crate::api::{Json, Object, Status};
use crate::registry::delete::{self, DeleteOptions, Deleted};
use crate::registry::metadata;
use crate::registry::run::Run;

pub(crate) struct Namespaces;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";

fn label(namespace: &mut Object) {
    let name = namespace.name().to_owned();
    let labels = namespace.metadata_mut().entry("labels").or_insert_with(|| json!({}));
    if !name.is_empty() && labels.is_object() {
        labels[NAME_LABEL] = name.into();
    }
}

fn own_finalizers(namespace: &Object) -> &[Json] {
    namespace.at("/spec/finalizers").and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

impl Strategy for Namespaces {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "namespaces")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, namespace: &mut Object) {
        plain::prepare_create(self.rules(), namespace);
        let mut finalizers = own_finalizers(namespace).to_vec();
        if !finalizers.iter().any(|f| f.as_str() == Some(FINALIZER)) {
            finalizers.push(FINALIZER.into());
        }
        namespace.json_mut()["spec"] = json!({"finalizers": finalizers});
        label(namespace);
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        let kept: &[&str] = match part {
            Part::Main => &["spec", "status"],
            Part::Status => &["spec"],
            Part::Other => &["status"],
        };
        for field in kept {
            metadata::take_from(new.json_mut(), old.json(), field);
        }
        label(new);
    }

    fn validate_other(&self, _run: &Run<'_, '_>, new: &Object, old: &Object) -> Errors {
        validation::cluster::namespace_finalize(new, old)
    }

    fn delete_instead(
        &self,
        run: &mut Run<'_, '_>,
        namespace: &Arc<Object>,
        options: &DeleteOptions,
        dry_run: bool,
    ) -> Result<Option<Deleted>, Status> {
        if namespace.is_deleting() {
            let held = !own_finalizers(namespace).is_empty();
            return Ok(held.then(|| Deleted::Held(namespace.clone())));
        }
        let mut new = Object::clone(namespace);
        let now = run.now();
        new.metadata_mut().insert("deletionTimestamp".into(), now.into());
        new.json_mut()["status"]["phase"] = "Terminating".into();
        if let Some(finalizers) = delete::garbage_finalizers(self, namespace, options) {
            metadata::set_finalizers(&mut new, finalizers);
        }
        let kept = if dry_run { Arc::new(new) } else { run.state.put(run.key(namespace.name()), new) };
        Ok(Some(Deleted::Held(kept)))
    }

    fn deletes_when_let_go(&self, namespace: &Object) -> bool {
        own_finalizers(namespace).is_empty()
    }
}
