//! Ownership after an update: what changed belongs to who changed it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entries::{Managed, ManagerId, Operation, Owned, asks_reset};
use super::{ANCIENT, Conflict, FieldManager, MAX_UPDATE_MANAGERS};
use crate::api::Json;
use crate::apply::fields::FieldSet;
use crate::apply::typed::{self, Comparison, Duplicates, TypeErrors, TypeRef};

/// Fields that nobody owns. Source: stripmeta.go.
pub(super) fn unowned() -> FieldSet {
    FieldSet::of_fields(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
}

pub(super) fn update(fm: &FieldManager<'_>, live: Option<&Json>, mut new: Json, manager: &str, now: Timestamp) -> Json {
    let mut managed = live_or_new(fm, live, &new);
    let exists = live.is_some_and(|l| l.pointer("/metadata/uid").and_then(Json::as_str).is_some_and(|u| !u.is_empty()));
    Managed::default().write(&mut new);
    if managed.0.is_empty() && exists {
        // Nobody owned anything: not tracked until somebody applies.
        return new;
    }
    let live = live.cloned().unwrap_or_else(|| fm.nothing());
    let id = fm.id(manager, Operation::Update);
    match track(fm, &live, &new, &mut managed, id, now) {
        Ok(()) => {
            managed.write(&mut new);
            new
        }
        Err(_) => {
            if let Some(kept) = live.pointer("/metadata/managedFields").cloned()
                && let Some(metadata) = new.get_mut("metadata").and_then(Json::as_object_mut)
            {
                metadata.insert("managedFields".into(), kept);
            }
            new
        }
    }
}

/// The managers before the update: those sent, if they can be read, else those of the live object.
fn live_or_new(fm: &FieldManager<'_>, live: Option<&Json>, new: &Json) -> Managed {
    let of_live = || live.and_then(Managed::of).unwrap_or_default();
    if !fm.subresource.is_empty() {
        return of_live();
    }
    if asks_reset(new) {
        return Managed::default();
    }
    match Managed::of(new) {
        Some(managed) if !managed.0.is_empty() => managed,
        _ => of_live(),
    }
}

/// Gives what differs between `live` and `new` to `id`, and keeps the number of managers bounded.
pub(super) fn track(
    fm: &FieldManager<'_>,
    live: &Json,
    new: &Json,
    managed: &mut Managed,
    id: ManagerId,
    now: Timestamp,
) -> Result<(), TypeErrors> {
    // Other versions are made of whole trees.
    let has_others = managed.0.values().any(|owned| owned.api_version != fm.api_version());
    let (live, new) = if has_others { (live.clone(), new.clone()) } else { typed::differing(live, new) };
    let live = fm.structured(without_managed_fields(live));
    let new = fm.structured(without_managed_fields(new));
    typed::validate(&new, fm.kind, Duplicates::Allowed)?;
    typed::validate(&live, fm.kind, Duplicates::Allowed)?;
    reconcile(fm, managed);
    let comparison = typed::compare(&live, &new, fm.kind).without(&fm.reset);
    let _ = take_over(fm, &live, &new, managed, None, &comparison);
    let owned = comparison.modified.union(&comparison.added);
    let owned = owned.recursive_difference(&fm.reset).difference(&unowned());
    if !owned.is_empty() {
        let owner = managed.0.entry(id);
        let owner = owner.or_insert(Owned { set: FieldSet::new(), api_version: String::new(), time: None });
        owner.set = owner.set.union(&owned);
        owner.api_version = fm.api_version();
        owner.time = Some(now);
    }
    cap(managed);
    Ok(())
}

pub(super) fn without_managed_fields(mut object: Json) -> Json {
    if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Moves what is recorded to today's schema; versions that are no more lose their managers.
pub(super) fn reconcile(fm: &FieldManager<'_>, managed: &mut Managed) {
    let current = fm.api_version();
    managed.0.retain(|_, owned| {
        let kind = if owned.api_version == current {
            fm.kind
        } else {
            match fm.at_version(&fm.nothing(), &owned.api_version) {
                Some((_, kind)) => kind,
                None => return false,
            }
        };
        owned.set = typed::reconcile(&owned.set, kind);
        true
    });
}

/// Takes what `new` changed, added or removed away from all managers but `keeper`.
/// Returns what was changed or added and owned by others: the conflicts of an apply.
pub(super) fn take_over(
    fm: &FieldManager<'_>,
    live: &Json,
    new: &Json,
    managed: &mut Managed,
    keeper: Option<&ManagerId>,
    comparison: &Comparison,
) -> Vec<Conflict> {
    let mut versions: BTreeMap<String, Option<Comparison>> = BTreeMap::new();
    versions.insert(fm.api_version(), Some(comparison.clone()));
    let mut conflicts = Vec::new();
    managed.0.retain(|id, owned| {
        if Some(id) == keeper {
            return true;
        }
        let at = versions.entry(owned.api_version.clone()).or_insert_with(|| compare_at(fm, live, new, &owned.api_version));
        let Some(comparison) = at else { return false };
        let changed = owned.set.intersection(&comparison.modified.union(&comparison.added));
        conflicts.extend(changed.paths().into_iter().map(|path| Conflict { owner: id.clone(), path }));
        owned.set = owned.set.difference(&changed).difference(&comparison.removed);
        !owned.set.is_empty()
    });
    conflicts
}

fn compare_at(fm: &FieldManager<'_>, live: &Json, new: &Json, version: &str) -> Option<Comparison> {
    let (live, kind): (Json, TypeRef<'_>) = fm.at_version(live, version)?;
    let (new, _) = fm.at_version(new, version)?;
    Some(typed::compare(&live, &new, kind))
}

/// Merges the oldest managers that used updates where there are too many, version by version.
/// Source: capmanagers.go.
fn cap(managed: &mut Managed) {
    let mut updaters: Vec<ManagerId> =
        managed.0.keys().filter(|id| id.operation == Operation::Update).cloned().collect();
    if updaters.len() <= MAX_UPDATE_MANAGERS {
        return;
    }
    updaters.sort_by_key(|id| managed.0.get(id).and_then(|o| o.time).map_or(0, Timestamp::as_second));
    let mut count = updaters.len();
    let mut first_of: BTreeMap<String, ManagerId> = BTreeMap::new();
    for id in updaters {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let Some(owned) = managed.0.get(&id).cloned() else { continue };
        let Some(first) = first_of.get(&owned.api_version).cloned() else {
            first_of.insert(owned.api_version.clone(), id);
            continue;
        };
        let bucket = ManagerId {
            manager: ANCIENT.into(),
            operation: Operation::Update,
            api_version: owned.api_version.clone(),
            subresource: String::new(),
        };
        if !managed.0.contains_key(&bucket)
            && let Some(first) = managed.0.remove(&first)
        {
            managed.0.insert(bucket.clone(), first);
        }
        managed.0.remove(&id);
        count -= 1;
        let entry = managed.0.entry(bucket).or_insert_with(|| owned.clone());
        entry.set = entry.set.union(&owned.set);
        entry.time = owned.time;
    }
}
