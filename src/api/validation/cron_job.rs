//! Whether a CronJob may be. Source: pkg/apis/batch/validation/validation.go.

use super::field::{self, Errors, Path};
use super::rules::{self, not_negative_at};
use super::{job, meta, names};
use crate::api::tree::Tree;
use crate::api::{Json, Object, cron};

/// A Job's name is the CronJob's and eleven characters for the time.
const MAX_NAME: usize = 52;
const POLICIES: &[&str] = &["Allow", "Forbid", "Replace"];

pub fn create(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(spec(object.json().field("spec"), None));
    if object.name().len() > MAX_NAME {
        let path = Path::new("metadata").child("name");
        let detail = format!("must be no more than {MAX_NAME} characters");
        errors.push(field::invalid(&path, object.name(), &detail));
    }
    errors
}

pub fn update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(spec(new.json().field("spec"), Some(old.json().field("spec"))));
    errors
}

fn spec(spec: &Json, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let mut errors = schedule(spec, old, &path.child("schedule"));
    errors.extend(not_negative_at(spec, &path, "startingDeadlineSeconds"));
    if old.is_none_or(|old| old.field("timeZone") != spec.field("timeZone")) {
        errors.extend(time_zone(spec.field("timeZone"), &path.child("timeZone")));
    }
    match spec.text("concurrencyPolicy") {
        "" => errors.push(field::required(&path.child("concurrencyPolicy"), "")),
        policy if !POLICIES.contains(&policy) => {
            errors.push(field::not_supported(&path.child("concurrencyPolicy"), policy, POLICIES));
        }
        _ => {}
    }
    errors.extend(job_template(spec, old, &path.child("jobTemplate").child("spec")));
    errors.extend(not_negative_at(spec, &path, "successfulJobsHistoryLimit"));
    errors.extend(not_negative_at(spec, &path, "failedJobsHistoryLimit"));
    errors
}

fn job_template(spec: &Json, old: Option<&Json>, path: &Path) -> Errors {
    let job = spec.field("jobTemplate").field("spec");
    let mut errors = job::spec(job, path, old.map(|old| old.field("jobTemplate").field("spec")));
    if job.has("selector") {
        let detail = "`selector` will be auto-generated";
        errors.push(rules::invalid_selector(&path.child("selector"), job.field("selector"), detail));
    }
    if job.flag("manualSelector") {
        errors.push(field::not_supported(&path.child("manualSelector"), true, &["nil", "false"]));
    }
    errors
}

fn schedule(spec: &Json, old: Option<&Json>, path: &Path) -> Errors {
    let schedule = spec.text("schedule");
    if schedule.is_empty() {
        return vec![field::required(path, "")];
    }
    let mut errors = Errors::new();
    if let Err(error) = cron::Schedule::parse(schedule) {
        errors.push(field::invalid(path, schedule, &error));
    }
    if schedule.contains("TZ") {
        let tolerated = old.is_some_and(|old| old.text("schedule").contains("TZ"));
        if !tolerated {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(field::invalid(path, schedule, detail));
        } else if spec.has("timeZone") {
            let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.push(field::invalid(path, schedule, detail));
        }
    }
    errors
}

fn time_zone(zone: &Json, path: &Path) -> Errors {
    let Some(name) = zone.as_str() else { return Errors::new() };
    if name.is_empty() {
        return vec![field::invalid(path, name, "timeZone must be nil or non-empty string")];
    }
    let unknown = || field::invalid(path, name, &format!("unknown time zone {name}"));
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
    let is_part = |part: &str| {
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.chars().all(plain)
    };
    if !name.split('/').all(is_part) {
        return vec![unknown()];
    }
    if name.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        let mut errors = vec![field::invalid(path, name, detail)];
        if name != "Local" {
            errors.push(unknown());
        }
        return errors;
    }
    if cron::zone(name).is_none() { vec![unknown()] } else { Errors::new() }
}

/// Odd names and templates, and a zone within the schedule. Source: pkg/registry/batch/cronjob/strategy.go.
pub fn warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(super::statuses::pod_name_warning(new.name()));
    }
    if old.is_none_or(|old| old.generation() != new.generation()) {
        let path = Path::new("spec").child("jobTemplate").child("spec");
        let spec = new.json().field("spec").field("jobTemplate").field("spec");
        warnings.extend(job::spec_warnings(spec, &path));
    }
    if old.is_some() && new.str_at("/spec/schedule").is_some_and(|schedule| schedule.contains("TZ")) {
        warnings.push(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .into(),
        );
    }
    warnings
}
