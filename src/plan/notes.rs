//! What else a plan says of a workload: the order of its pods, its next run, what becomes of claims.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::api::cron::{self, Schedule};
use crate::api::{GroupResource, Json, Object};
use crate::state::State;

use super::moves::Step;
use super::port_names;
use super::service_notes;
use super::summary::{ObjectPlan, Verdict};

/// So many names are told; of more, the number.
const MOST_NAMES: usize = 8;

/// A line below an object: what it is about, and what it says.
pub type Note = (String, String);

/// `object`: as it will be, or as it was where it goes.
pub fn notes(plan: &ObjectPlan, object: Option<&Object>, before: &State, after: &State, now: Timestamp) -> Vec<Note> {
    let Some(object) = object.filter(|_| plan.verdict != Verdict::Unchanged) else { return Vec::new() };
    let mut notes = of_kind(plan, object, before, after, now);
    if plan.verdict != Verdict::Delete {
        notes.extend(port_names::missing(object));
    }
    notes
}

fn of_kind(plan: &ObjectPlan, object: &Object, before: &State, after: &State, now: Timestamp) -> Vec<Note> {
    match (plan.gvk.group.as_str(), plan.gvk.kind.as_str()) {
        ("apps", "StatefulSet") => {
            let mut notes: Vec<Note> = order(&plan.moves.steps).into_iter().collect();
            notes.extend(claims(object, &plan.verdict, before, after));
            notes
        }
        ("", "Service") if plan.verdict != Verdict::Delete => service_notes::of_service(object, after),
        ("batch", "CronJob") => next_run(object, &plan.verdict, now).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Pods of a StatefulSet go and come one after the other.
fn order(steps: &[Step]) -> Option<Note> {
    let names = |wanted: fn(&Step) -> Option<&String>| steps.iter().filter_map(wanted).cloned().collect::<Vec<_>>();
    let gone = names(|step| if let Step::Delete { pod } = step { Some(pod) } else { None });
    let made = names(|step| if let Step::Create { pod } = step { Some(pod) } else { None });
    // What is replaced comes again as soon as it has gone: its going tells the order.
    let told = if gone.is_empty() { made } else { gone };
    (told.len() > 1).then(|| ("order".to_owned(), listed(&told)))
}

/// The claims of a StatefulSet's templates: name and whether a pod of the set uses it.
fn claim_names(set: &Object, state: &State) -> BTreeSet<String> {
    let templates = set.at("/spec/volumeClaimTemplates").and_then(Json::as_array);
    let prefixes: Vec<String> = templates
        .into_iter()
        .flatten()
        .filter_map(|template| Some(format!("{}-{}-", template.pointer("/metadata/name")?.as_str()?, set.name())))
        .collect();
    let all = state.in_namespace(&GroupResource::new("", "persistentvolumeclaims"), set.namespace());
    let is_of_set = |name: &str| {
        let ordinal = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()));
        ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
    };
    let there = all.filter(|claim| !claim.is_deleting()).map(|claim| claim.name().to_owned());
    there.filter(|name| is_of_set(name)).collect()
}

fn claims(set: &Object, verdict: &Verdict, before: &State, after: &State) -> Vec<Note> {
    let (old, new) = (claim_names(set, before), claim_names(set, after));
    let first = set.i64_at("/spec/ordinals/start").unwrap_or(0);
    let wanted = if *verdict == Verdict::Delete { 0 } else { set.i64_at("/spec/replicas").unwrap_or(1) };
    let has_pod = |name: &String| {
        let ordinal = name.rsplit('-').next().and_then(|text| text.parse::<i64>().ok());
        ordinal.is_some_and(|n| n >= first && n < first + wanted)
    };
    let made: Vec<String> = new.difference(&old).cloned().collect();
    let gone: Vec<String> = old.difference(&new).cloned().collect();
    let kept: Vec<String> = new.iter().filter(|name| !has_pod(name)).cloned().collect();
    [("claims made", made), ("claims deleted", gone), ("claims kept", kept)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(title, names)| (title.to_owned(), listed(&names)))
        .collect()
}

/// When a CronJob runs next.
fn next_run(cron: &Object, verdict: &Verdict, now: Timestamp) -> Option<Note> {
    if *verdict == Verdict::Delete {
        return None;
    }
    let title = "next run".to_owned();
    if cron.at("/spec/suspend").and_then(Json::as_bool) == Some(true) {
        return Some((title, "none while it is suspended".into()));
    }
    let zone = cron.str_at("/spec/timeZone").filter(|name| !name.is_empty());
    let zone = zone.map_or(Some(TimeZone::UTC), cron::zone)?;
    let schedule = Schedule::parse(cron.str_at("/spec/schedule")?).ok()?;
    let text = match schedule.next(now, &zone) {
        Some(at) => at.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        None => "never by this schedule".into(),
    };
    Some((title, text))
}
