//! DELETE of one object: at once, gracefully, or once its finalizers are gone.
//! Source: k8s.io/apiserver/pkg/registry/rest/delete.go, …/generic/registry/store.go.

use std::sync::Arc;

use serde::Deserialize;

use super::run::Run;
use super::strategy::{self, Collect, Strategy};
use super::{Answer, Body, admit, metadata, text};
use crate::api::validation::field::{self, Path};
use crate::api::schema::Schema;
use crate::api::{GroupResource, Gvk, Json, Object, Status, decode, status::quote};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Option<Preconditions>,
    pub orphan_dependents: Option<bool>,
    pub propagation_policy: Option<String>,
    pub dry_run: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

/// What became of a deletion.
pub(crate) enum Deleted {
    /// The object is gone; as it was last.
    Gone(Arc<Object>),
    /// The object stays for now, marked.
    Held(Arc<Object>),
}

pub(crate) fn delete(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let options = options(&run)?;
    let dry_run = run.request.options.dry_run || options.dry_run.as_ref().is_some_and(|d| !d.is_empty());
    let object = run.get(&run.request.name)?;
    admit::delete(&mut run, &object)?;
    let strategy = strategy::of(&run.request.resource);
    strategy.warn_on_delete(&mut run, &options);
    let deleted = one(&mut run, &object, &options, dry_run)?;
    Ok(match deleted {
        Deleted::Gone(object) if strategy.rules().returns_deleted => run.answer(200, &object),
        Deleted::Gone(object) => run.answer_deleted(&object),
        Deleted::Held(object) => {
            let code = if options.orphan_dependents == Some(false) { 202 } else { 200 };
            run.answer(code, &object)
        }
    })
}

/// The options in the body; without one, those in the query have been put there by the server.
pub(crate) fn options(run: &Run<'_, '_>) -> Result<DeleteOptions, Status> {
    let tree = match &run.request.body {
        Body::None => return Ok(DeleteOptions::default()),
        Body::Tree(tree) | Body::Patch { tree, .. } => tree.clone(),
        Body::Text { bytes, .. } if bytes.is_empty() => return Ok(DeleteOptions::default()),
        Body::Text { media_type, bytes } => {
            let parse = |why: String| Status::bad_request(format!("couldn't get version/kind; json parse error: {why}"));
            let read = match media_type.split(';').next().unwrap_or("").trim() {
                "application/yaml" => text::read_yaml(bytes),
                "application/json" | "" | "*/*" => text::read_json(bytes),
                "application/vnd.kubernetes.protobuf" => {
                    Ok(text::Text::of(super::body::protobuf(&Gvk::of("v1", "DeleteOptions"), bytes)?))
                }
                _ => return Err(super::body::unsupported_media_type(super::body::ACCEPTED)),
            };
            read.map_err(parse)?.tree
        }
    };
    parse(tree)
}

/// Reads DeleteOptions and checks them.
pub(crate) fn parse(tree: Json) -> Result<DeleteOptions, Status> {
    let kind = tree.get("kind").and_then(Json::as_str).unwrap_or("DeleteOptions");
    let version = tree.get("apiVersion").and_then(Json::as_str).unwrap_or("v1");
    if kind != "DeleteOptions" || !knows_delete_options(version) {
        let why = format!(
            "no kind {} is registered for version {} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            quote(kind),
            quote(version)
        );
        return Err(Status::bad_request(why));
    }
    let read = decode::decode(&Gvk::of("v1", "DeleteOptions"), tree).map_err(Status::bad_request)?;
    let options: DeleteOptions = serde_json::from_value(read.tree).map_err(|e| Status::bad_request(e.to_string()))?;
    validate(&options)?;
    Ok(options)
}

/// Every version of every group has DeleteOptions; of the versions that are not offered those before the first are known.
fn knows_delete_options(version: &str) -> bool {
    let before_the_first = |name: &str| name.contains("alpha") || name.contains("beta");
    let (group, name) = version.split_once('/').unwrap_or(("", version));
    let mut resources = Schema::get().resources.iter().filter(|resource| resource.group == group);
    version == "meta.k8s.io/v1" || resources.any(|resource| resource.version == name || before_the_first(name))
}

/// k8s.io/apimachinery/pkg/apis/meta/v1/validation: ValidateDeleteOptions.
fn validate(options: &DeleteOptions) -> Result<(), Status> {
    let mut errors = Vec::new();
    let path = Path::new("propagationPolicy");
    if let Some(policy) = &options.propagation_policy {
        if options.orphan_dependents.is_some() {
            errors.push(field::invalid(
                &path,
                policy.as_str(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if !["Foreground", "Background", "Orphan"].contains(&policy.as_str()) {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(field::not_supported(&path, policy.as_str(), &known));
        }
    }
    if let Some(dry_run) = &options.dry_run {
        errors.extend(dry_run_error(dry_run));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &errors)) }
}

/// What is wrong with the values of `dryRun`.
pub fn dry_run_error(values: &[String]) -> Option<crate::api::Cause> {
    if values.iter().all(|value| value == "All") {
        return None;
    }
    Some(field::not_supported(&Path::new("dryRun"), Json::from(values.to_vec()), &["All"]))
}

/// Deletes one object as far as that goes now.
pub(crate) fn one(
    run: &mut Run<'_, '_>,
    object: &Arc<Object>,
    options: &DeleteOptions,
    dry_run: bool,
) -> Result<Deleted, Status> {
    check_preconditions(run, object, options)?;
    let strategy = strategy::of(&run.request.resource);
    if let Some(held) = strategy.delete_instead(run, object, options, dry_run)? {
        return Ok(held);
    }
    let mut new = Object::clone(object);
    let grace = graceful(run, strategy, &mut new, options);
    if grace == Grace::Pending {
        return Ok(Deleted::Held(object.clone()));
    }
    let finalizers = garbage_finalizers(strategy, object, options);
    if let Some(finalizers) = finalizers {
        metadata::set_finalizers(&mut new, finalizers);
    }
    let held = new.finalizers().next().is_some();
    if grace == Grace::None && held {
        mark(run, &mut new);
    }
    let stays = held || matches!(grace, Grace::Seconds(seconds) if seconds > 0);
    let key = run.key(object.name());
    if stays {
        if dry_run || new == **object {
            return Ok(Deleted::Held(Arc::new(new)));
        }
        return Ok(Deleted::Held(run.state.put(key, new)));
    }
    if !dry_run {
        run.state.remove(&key);
        strategy.after_delete(run, &new);
    }
    Ok(Deleted::Gone(Arc::new(new)))
}

pub(crate) fn check_preconditions(run: &Run<'_, '_>, object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    let Some(wanted) = &options.preconditions else { return Ok(()) };
    // Here Kubernetes names the kind where it names the resource elsewhere.
    let resource = GroupResource::new(&run.request.resource.group, &run.request.resource.kind);
    if let Some(uid) = wanted.uid.as_deref().filter(|uid| *uid != object.uid()) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). \
             The object might have been deleted and then recreated",
            object.uid()
        );
        return Err(Status::conflict(&resource, object.name(), &why));
    }
    if let Some(version) = wanted.resource_version.as_deref().filter(|v| *v != object.resource_version()) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            object.resource_version()
        );
        return Err(Status::conflict(&resource, object.name(), &why));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    /// The kind knows none, or it is over.
    None,
    Seconds(i64),
    /// An earlier deletion is under way and this one asks for no less.
    Pending,
}

/// rest.BeforeDelete, for kinds whose objects end gracefully.
fn graceful(run: &Run<'_, '_>, strategy: &dyn Strategy, object: &mut Object, options: &DeleteOptions) -> Grace {
    let Some(seconds) = strategy.grace(object, options) else { return Grace::None };
    if object.is_deleting() {
        let present = object.i64_at("/metadata/deletionGracePeriodSeconds").unwrap_or(0);
        if present == 0 {
            return Grace::None;
        }
        // A negative grace period is one second.
        return match options.grace_period_seconds.map(|wanted| if wanted < 0 { 1 } else { wanted }) {
            Some(wanted) if wanted < present => {
                shorten(object, present, wanted);
                Grace::Seconds(wanted)
            }
            _ => Grace::Pending,
        };
    }
    let at = run.env.now + jiff::SignedDuration::from_secs(seconds);
    let generation = object.generation();
    let metadata = object.metadata_mut();
    metadata.insert("deletionTimestamp".into(), at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    metadata.insert("deletionGracePeriodSeconds".into(), seconds.into());
    if generation > 0 {
        metadata.insert("generation".into(), (generation + 1).into());
    }
    Grace::Seconds(seconds)
}

fn shorten(object: &mut Object, present: i64, wanted: i64) {
    if let Some(at) = object.deletion_timestamp() {
        let at = at - jiff::SignedDuration::from_secs(present) + jiff::SignedDuration::from_secs(wanted);
        let text = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        object.metadata_mut().insert("deletionTimestamp".into(), text.into());
    }
    object.metadata_mut().insert("deletionGracePeriodSeconds".into(), wanted.into());
}

/// store.go: markAsDeleting.
fn mark(run: &Run<'_, '_>, object: &mut Object) {
    let generation = object.generation();
    let first = !object.is_deleting();
    let later = object.deletion_timestamp().is_some_and(|at| at > run.env.now);
    let now = run.now();
    let metadata = object.metadata_mut();
    if first && generation > 0 {
        metadata.insert("generation".into(), (generation + 1).into());
    }
    if first || later {
        metadata.insert("deletionTimestamp".into(), now.into());
    }
    metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
}

/// The finalizers as the garbage collector will need them; `None`: as they are
/// (store.go: deletionFinalizersForGarbageCollection).
pub(crate) fn garbage_finalizers(strategy: &dyn Strategy, object: &Object, options: &DeleteOptions) -> Option<Vec<String>> {
    let wanted = collection(strategy, object, options);
    let old: Vec<&str> = object.finalizers().collect();
    let mut new: Vec<String> =
        old.iter().filter(|f| **f != ORPHAN && **f != FOREGROUND).map(|f| (*f).to_owned()).collect();
    match wanted {
        Wanted::Orphan => new.push(ORPHAN.into()),
        Wanted::Foreground => new.push(FOREGROUND.into()),
        Wanted::Background => {}
    }
    let same = old.len() == new.len() && new.iter().all(|f| old.contains(&f.as_str()));
    (!same).then_some(new)
}

enum Wanted {
    Orphan,
    Foreground,
    Background,
}

/// What becomes of the object's dependents: what the options say, else its finalizers, else its kind.
fn collection(strategy: &dyn Strategy, object: &Object, options: &DeleteOptions) -> Wanted {
    let default = strategy.rules().collect;
    if default == Collect::Unsupported {
        return Wanted::Background;
    }
    match options.orphan_dependents {
        Some(true) => return Wanted::Orphan,
        Some(false) => return Wanted::Background,
        None => {}
    }
    match options.propagation_policy.as_deref() {
        Some("Orphan") => return Wanted::Orphan,
        Some("Foreground") => return Wanted::Foreground,
        Some(_) => return Wanted::Background,
        None => {}
    }
    for finalizer in object.finalizers() {
        match finalizer {
            ORPHAN => return Wanted::Orphan,
            FOREGROUND => return Wanted::Foreground,
            _ => {}
        }
    }
    if default == Collect::Orphan { Wanted::Orphan } else { Wanted::Background }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_read_as_kubernetes_decodes_them() {
        let refused = |tree: Json| parse(tree).map(|_| ()).unwrap_err().message;
        assert_eq!(
            refused(json!({"gracePeriodSeconds": "soon"})),
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
        );
        let unknown = refused(json!({"kind": "DeleteOptions", "apiVersion": "v7"}));
        assert!(unknown.starts_with("no kind \"DeleteOptions\" is registered for version \"v7\""), "{unknown}");
        for version in ["v1", "apps/v1", "policy/v1beta1", "meta.k8s.io/v1"] {
            let options = parse(json!({"kind": "DeleteOptions", "apiVersion": version, "gracePeriodSeconds": 3, "odd": 1}));
            assert_eq!(options.map(|o| o.grace_period_seconds), Ok(Some(3)), "{version}");
        }
        assert_eq!(parse(Json::Null), Ok(DeleteOptions::default()));
    }
}
