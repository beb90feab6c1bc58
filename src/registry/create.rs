//! POST: a new object.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/create.go, …/registry/rest/create.go, …/generic/registry/store.go.

use std::sync::Arc;

use super::run::Run;
use super::strategy;
use super::update::{self, Change};
use super::{Answer, admit, body, conversion, metadata, ownership};
use crate::api::{Object, Status, defaults};

/// How often a generated name that is taken is drawn anew.
const DRAWS: usize = 8;

pub(crate) fn create(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let mut object = body::object(&mut run)?;
    metadata::match_namespace(&run, &mut object)?;
    let kept = new_object(&mut run, object)?;
    Ok(run.answer(201, &kept))
}

/// Makes a decoded object a kept one; also for updates that create.
pub(crate) fn new_object(run: &mut Run<'_, '_>, object: Object) -> Result<Arc<Object>, Status> {
    new_object_by(run, object, Change::Put)
}

/// The same for an apply that creates.
pub(crate) fn new_object_by(run: &mut Run<'_, '_>, mut object: Object, change: Change) -> Result<Arc<Object>, Status> {
    let gvk = run.gvk();
    run.unlabelled = object.labels().next().is_none();
    defaults::fill(&gvk, object.json_mut());
    metadata::fill_new(run, &mut object);
    if change != Change::Apply {
        ownership::written(run, &mut object, None);
    }
    admit::mutate(run, admit::Operation::Create, &mut object, None)?;
    let strategy = strategy::of(&run.request.resource);
    let draws = name(run, &mut object);
    strategy.begin_create(run, &mut object)?;
    strategy.prepare_create(run, &mut object);
    run.refuse(object.name(), strategy.validate_create(run, &object))?;
    let warnings = strategy.warnings(&gvk, &object, None);
    run.warn(warnings);
    admit::validate(run, admit::Operation::Create, &object, None)?;
    place_new(run, object, draws)
}

/// Draws a name where only `generateName` is given; returns how often more that may be done.
fn name(run: &mut Run<'_, '_>, object: &mut Object) -> usize {
    let base = object.str_at("/metadata/generateName").unwrap_or("").to_owned();
    if !object.name().is_empty() || base.is_empty() {
        return 0;
    }
    let name = metadata::generated_name(&base, run.env.random);
    object.metadata_mut().insert("name".into(), name.into());
    DRAWS - 1
}

fn place_new(run: &mut Run<'_, '_>, mut object: Object, draws: usize) -> Result<Arc<Object>, Status> {
    update::as_read_back(&mut object);
    let mut key = run.key(object.name());
    for _ in 0..draws {
        if run.state.get(&key).is_none() {
            break;
        }
        let base = object.str_at("/metadata/generateName").unwrap_or("").to_owned();
        let name = metadata::generated_name(&base, run.env.random);
        key = run.key(&name);
        object.metadata_mut().insert("name".into(), name.into());
    }
    if let Some(present) = run.state.get(&key) {
        let mut taken = Status::already_exists(&run.group_resource(), object.name());
        if present.is_deleting() {
            taken.message = format!("object is being deleted: {}", taken.message);
        }
        return Err(taken);
    }
    let kept = |object: Object| Object::new(conversion::kept(&run.request.resource, object.into_json()));
    if run.request.options.dry_run {
        return Ok(Arc::new(kept(object)));
    }
    if object.resource_version().parse::<u64>().is_ok_and(|version| version != 0) {
        return Err(Status::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let object = kept(object);
    Ok(run.state.put(key, object))
}

/// The name in the body must be the one in the path.
pub(crate) fn match_name(run: &Run<'_, '_>, object: &Object) -> Result<(), Status> {
    let (wanted, found) = (run.request.name.as_str(), object.name());
    if found.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    }
    if found != wanted {
        return Err(Status::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}
