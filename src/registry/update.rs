//! PUT, and the second half of every other change of an object that is there.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/update.go, …/registry/rest/update.go, …/generic/registry/store.go.

use std::sync::Arc;

use super::run::Run;
use super::strategy::{self, Part};
use super::{Answer, admit, body, conversion, create, metadata, ownership};
use crate::api::{Object, Status, defaults, validation};

const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

pub(crate) fn update(mut run: Run<'_, '_>, part: Part) -> Result<Answer, Status> {
    let mut object = body::object(&mut run)?;
    metadata::match_namespace(&run, &mut object)?;
    create::match_name(&run, &object)?;
    let Some(old) = run.state.get(&run.key(&run.request.name)).cloned() else {
        return create_missing(run, object, part);
    };
    let gvk = run.gvk();
    defaults::fill(&gvk, object.json_mut());
    let object = Object::new(conversion::kept(&run.request.resource, object.into_json()));
    let kept = replace(&mut run, object, &old, part, Change::Put)?;
    Ok(run.answer(200, &kept))
}

/// A few kinds are created by an update of what is not there.
fn create_missing(mut run: Run<'_, '_>, mut object: Object, part: Part) -> Result<Answer, Status> {
    let not_found = Status::not_found(&run.group_resource(), object.name());
    let strategy = strategy::of(&run.request.resource);
    if part != Part::Main || !strategy.rules().create_on_update {
        return Err(not_found);
    }
    if !object.uid().is_empty() {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {}, UID in object meta: ",
            storage_key(&run, &object),
            object.uid()
        );
        return Err(Status::conflict(&run.group_resource(), object.name(), &why));
    }
    object.metadata_mut().remove("resourceVersion");
    let kept = create::new_object(&mut run, object)?;
    Ok(run.answer(201, &kept))
}

/// Where etcd would keep the object; part of one message.
fn storage_key(run: &Run<'_, '_>, object: &Object) -> String {
    let resource = &run.request.resource.resource;
    match object.namespace() {
        "" => format!("/registry/{resource}/{}", object.name()),
        namespace => format!("/registry/{resource}/{namespace}/{}", object.name()),
    }
}

/// How the new object came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was sent whole.
    Put,
    /// It is the old one with a patch.
    Patch,
    /// It was merged by server-side apply, which has written `managedFields` already.
    Apply,
}

/// Puts `new` in the place of `old`: checks, admits, keeps. Answers with what is kept then.
pub(crate) fn replace(
    run: &mut Run<'_, '_>,
    mut new: Object,
    old: &Arc<Object>,
    part: Part,
    change: Change,
) -> Result<Arc<Object>, Status> {
    let strategy = strategy::of(&run.request.resource);
    check_preconditions(run, &mut new, old, change, strategy.rules().unconditional_update)?;
    if change != Change::Apply {
        ownership::written(run, &mut new, Some(old));
    }
    admit::mutate(run, admit::Operation::Update, &mut new, Some(old))?;
    strategy.begin_update(run, &mut new, old, part)?;
    metadata::keep_generation(&mut new, old);
    strategy.prepare_update(run, &mut new, old, part);
    metadata::keep_old(&mut new, old);
    check(run, &new, old, part)?;
    ownership::keep_times(&mut new, old);
    admit::validate(run, admit::Operation::Update, &new, Some(old))?;
    keep(run, new, old)
}

/// Validation sees the objects in the version of the request.
fn check(run: &mut Run<'_, '_>, new: &Object, old: &Object, part: Part) -> Result<(), Status> {
    let gvk = run.gvk();
    let shown = |object: &Object| match conversion::shown(&run.request.resource, object.json()) {
        std::borrow::Cow::Borrowed(_) => None,
        std::borrow::Cow::Owned(tree) => Some(Object::new(tree)),
    };
    let (shown_new, shown_old) = (shown(new), shown(old));
    let (new, old) = (shown_new.as_ref().unwrap_or(new), shown_old.as_ref().unwrap_or(old));
    let strategy = strategy::of(&run.request.resource);
    let errors = strategy.validate_update(run, new, old, part);
    run.refuse(new.name(), errors)?;
    run.warn(match part {
        Part::Main => strategy.warnings(&gvk, new, Some(old)),
        Part::Status => validation::status_warnings(&gvk, new),
        Part::Other => Vec::new(),
    });
    Ok(())
}

fn check_preconditions(
    run: &Run<'_, '_>,
    new: &mut Object,
    old: &Object,
    change: Change,
    unconditional: bool,
) -> Result<(), Status> {
    let resource = run.group_resource();
    // A patch has no precondition of its own; another uid is an invalid change then.
    if change == Change::Put && !new.uid().is_empty() && new.uid() != old.uid() {
        let key = storage_key(run, old);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {}, UID in object meta: {}",
            new.uid(),
            old.uid()
        );
        return Err(Status::conflict(&resource, new.name(), &why));
    }
    let version = new.resource_version();
    if !version.is_empty() && version.parse::<u64>().is_err() {
        let text = crate::api::status::quote(version);
        return Err(Status::new(500, "", format!("strconv.ParseUint: parsing {text}: invalid syntax")));
    }
    if version.is_empty() || version == "0" {
        if !unconditional {
            let path = validation::field::Path::new("metadata").child("resourceVersion");
            let must = validation::field::invalid(&path, 0, "must be specified for an update");
            // Here Kubernetes names the resource where it names the kind elsewhere.
            return Err(Status::invalid(&resource.group, &resource.resource, new.name(), &[must]));
        }
        let kept = old.resource_version().to_owned();
        new.metadata_mut().insert("resourceVersion".into(), kept.into());
        return Ok(());
    }
    if version != old.resource_version() {
        return Err(Status::conflict(&resource, new.name(), MODIFIED));
    }
    Ok(())
}

/// What has been kept is read with its defaults: labels of the template that came after the decoding, for one.
pub(crate) fn as_read_back(object: &mut Object) {
    let gvk = crate::api::Gvk::of(object.api_version(), object.kind());
    defaults::fill(&gvk, object.json_mut());
}

/// Keeps a checked object, or deletes it if nothing holds it any more.
pub(crate) fn keep(run: &mut Run<'_, '_>, mut new: Object, old: &Arc<Object>) -> Result<Arc<Object>, Status> {
    let strategy = strategy::of(&run.request.resource);
    let key = run.key(old.name());
    as_read_back(&mut new);
    if is_let_go(&new, old) && strategy.deletes_when_let_go(&new) {
        run.state.remove(&key);
        strategy.after_delete(run, &new);
        return Ok(Arc::new(new));
    }
    if run.request.options.dry_run || new == **old {
        return Ok(if new == **old { old.clone() } else { Arc::new(new) });
    }
    Ok(run.state.put(key, new))
}

/// Its deletion was only waiting for finalizers, and there are none now.
fn is_let_go(new: &Object, old: &Object) -> bool {
    old.is_deleting()
        && new.finalizers().next().is_none()
        && old.i64_at("/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
}
