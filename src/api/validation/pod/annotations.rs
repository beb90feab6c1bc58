//! Annotations that mean something to Pods.

use super::super::field::{self, Errors, Path};
use super::mounts::local_path;
use super::scheduling;
use super::spec::Options;
use crate::api::tree::Tree;
use crate::api::{Cause, Json, status::quote};

pub(super) use crate::api::pod::CONFIG_MIRROR as MIRROR;
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What the annotations at `path` must be.
pub(super) fn validate(annotations: &Json, spec: &Json, path: &Path, options: &Options) -> Errors {
    let mut errors = Errors::new();
    if let Some(value) = annotations.opt_text(MIRROR)
        && spec.text("nodeName").is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(field::invalid(&path.key(MIRROR), value, detail));
    }
    errors.extend(tolerations(annotations.text(TOLERATIONS), path));
    if !options.any_deletion_cost {
        errors.extend(deletion_cost(annotations, path));
    }
    errors.extend(seccomp(annotations, path));
    errors.extend(apparmor(annotations, spec, path));
    errors
}

fn tolerations(text: &str, path: &Path) -> Errors {
    if text.is_empty() {
        return Errors::new();
    }
    match crate::api::decode::json::read(text.as_bytes()).map(|v| v.into_json()) {
        Ok(Json::Array(list)) => scheduling::tolerations(&list, &path.child(TOLERATIONS)),
        Ok(Json::Null) => Errors::new(),
        Ok(_) => {
            let detail = "json: cannot unmarshal object into Go value of type []core.Toleration";
            vec![field::invalid(path, TOLERATIONS, detail)]
        }
        Err(why) => vec![field::invalid(path, TOLERATIONS, &why)],
    }
}

/// A whole number of 32 bits without a plus sign or leading zeros.
pub(super) fn deletion_cost(annotations: &Json, path: &Path) -> Errors {
    let Some(text) = annotations.opt_text(DELETION_COST) else { return Errors::new() };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" && text == "0" || digits.bytes().next().is_some_and(|b| (b'1'..=b'9').contains(&b));
    if plain && text.parse::<i32>().is_ok() {
        return Errors::new();
    }
    vec![field::invalid(&path.key(DELETION_COST), text, "must be a 32bit integer")]
}

fn seccomp(annotations: &Json, path: &Path) -> Errors {
    let of = |profile: &str, path: &Path| match profile.strip_prefix("localhost/") {
        _ if ["runtime/default", "docker/default", "unconfined"].contains(&profile) => Errors::new(),
        Some(file) => local_path(file, path),
        None => vec![field::invalid(path, profile, "must be a valid seccomp profile")],
    };
    let mut errors = Errors::new();
    if let Some(profile) = annotations.opt_text(SECCOMP_POD) {
        errors.extend(of(profile, &path.child(SECCOMP_POD)));
    }
    for (key, profile) in annotations.as_object().into_iter().flatten() {
        if key.starts_with(SECCOMP_CONTAINER) {
            errors.extend(of(profile.as_str().unwrap_or(""), &path.child(key)));
        }
    }
    errors
}

fn apparmor(annotations: &Json, spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (key, profile) in annotations.as_object().into_iter().flatten() {
        let Some(name) = key.strip_prefix(APPARMOR) else { continue };
        let profile = profile.as_str().unwrap_or("");
        if !super::all_containers(spec, &Path::root()).iter().any(|(c, _)| c.text("name") == name) {
            errors.push(field::invalid(&path.key(key), name, "container not found"));
        }
        if !["", "runtime/default", "unconfined"].contains(&profile) && !profile.starts_with("localhost/") {
            let detail = format!("invalid AppArmor profile name: {}", quote(profile));
            errors.push(field::invalid(&path.key(key), profile, &detail));
        }
    }
    errors
}

/// A profile in a field says what the old annotation says. `None`: it does.
fn mismatch(noun: &str, annotation: &str, profile: &Json, path: &Path) -> Option<Cause> {
    let wrong_type = || Some(field::forbidden(&path.child("type"), &format!("{noun} type in annotation and field must match")));
    match profile.text("type") {
        "Unconfined" if annotation != "unconfined" => wrong_type(),
        "RuntimeDefault" => {
            let fits = annotation == "runtime/default" || (noun == "seccomp" && annotation == "docker/default");
            if fits { None } else { wrong_type() }
        }
        "Localhost" => match annotation.strip_prefix("localhost/") {
            None => wrong_type(),
            Some(file) if profile.opt_text("localhostProfile") == Some(file) => None,
            Some(_) => {
                let detail = format!("{noun} profile in annotation and field must match");
                Some(field::forbidden(&path.child("localhostProfile"), &detail))
            }
        },
        _ => None,
    }
}

/// Seccomp profiles in fields and annotations are the same.
pub(super) fn seccomp_matches(annotations: &Json, spec: &Json, path: &Path) -> Errors {
    let check = |key: &str, holder: &Json, path: &Path| {
        let profile = holder.field("securityContext").field("seccompProfile");
        let annotation = annotations.opt_text(key)?;
        let at = path.child("securityContext").child("seccompProfile");
        if profile.is_null() { None } else { mismatch("seccomp", annotation, profile, &at) }
    };
    let mut errors: Errors = check(SECCOMP_POD, spec, path).into_iter().collect();
    for (container, path) in super::all_containers(spec, path) {
        errors.extend(check(&format!("{SECCOMP_CONTAINER}{}", container.text("name")), container, &path));
    }
    errors
}

/// AppArmor profiles in fields and annotations are the same.
pub(super) fn apparmor_matches(annotations: &Json, spec: &Json, path: &Path) -> Errors {
    if spec.field("os").text("name") == "windows" {
        return Errors::new();
    }
    let of = |holder: &Json| holder.field("securityContext").field("appArmorProfile").clone();
    let mut errors = Errors::new();
    for (container, path) in super::all_containers(spec, path) {
        let own = of(container);
        let profile = if own.is_null() { of(spec) } else { own };
        let annotation = annotations.opt_text(&format!("{APPARMOR}{}", container.text("name")));
        if let Some(annotation) = annotation.filter(|_| !profile.is_null()) {
            let at = path.child("securityContext").child("appArmorProfile");
            errors.extend(mismatch("apparmor", annotation, &profile, &at));
        }
    }
    errors
}

/// What a change of a Pod may do to its annotations.
pub(super) fn change(new: &Json, old: &Json, spec: &Json, options: &Options) -> Errors {
    let path = Path::new("metadata").child("annotations");
    let empty = crate::api::JsonMap::new();
    let (new_map, old_map) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
    let mut errors = Errors::new();
    for (key, value) in old_map {
        if new_map.get(key) == Some(value) {
            continue;
        }
        if key.starts_with(APPARMOR) {
            errors.push(field::forbidden(&path.key(key), "may not remove or update AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(field::forbidden(&path.key(key), "may not remove or update mirror pod annotation"));
        }
    }
    for key in new_map.keys().filter(|k| !old_map.contains_key(*k)) {
        if key.starts_with(APPARMOR) {
            errors.push(field::forbidden(&path.key(key), "may not add AppArmor annotations"));
        }
        if key == MIRROR {
            errors.push(field::forbidden(&path.key(key), "may not add mirror pod annotation"));
        }
    }
    errors.extend(validate(new, spec, &path, options));
    errors
}
