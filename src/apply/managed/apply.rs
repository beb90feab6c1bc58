//! Server-side apply: merge, give up what is no longer sent, refuse what others own.

use jiff::Timestamp;

use super::entries::{Managed, ManagerId, Operation, Owned};
use super::update::{reconcile, take_over, track, unowned, without_managed_fields};
use super::{ApplyError, BEFORE_FIRST_APPLY, FieldManager, last_applied};
use crate::api::{Gvk, Json};
use crate::apply::fields::FieldSet;
use crate::apply::typed::{self, Duplicates, TypeRef};

pub(super) fn apply(
    fm: &FieldManager<'_>,
    live: Option<&Json>,
    patch: &Json,
    manager: &str,
    force: bool,
    now: Timestamp,
) -> Result<Json, ApplyError> {
    let patch = &whole_numbers(patch);
    check_request(fm, patch)?;
    let managed = match live {
        None => Managed::default(),
        Some(live) => Managed::of(live)
            .ok_or_else(|| ApplyError::Untyped("failed to decode managed fields".into()))?,
    };
    let whole = live;
    let live = without_managed_fields(whole.map_or_else(|| fm.nothing(), Json::clone));
    let mut attempt = run(fm, &live, patch, managed.clone(), manager, force, now);
    if let Err(ApplyError::Conflicts(conflicts)) = &attempt
        && last_applied::goes_on(manager)
        && let Some(allowed) = last_applied::allowed_conflicts(fm, &live)
    {
        let rest: Vec<_> = conflicts.iter().filter(|c| !allowed.has(&c.path)).cloned().collect();
        attempt = if rest.is_empty() {
            run(fm, &live, patch, managed, manager, true, now)
        } else {
            Err(ApplyError::Conflicts(rest))
        };
    }
    let (mut object, managed) = match (attempt?, whole) {
        (Merged::Changed(object, managed), _) => (*object, managed),
        (Merged::Same, whole) => return Ok(whole.map_or_else(|| fm.nothing(), Json::clone)),
    };
    if last_applied::goes_on(manager) {
        last_applied::refresh(&mut object, patch);
    }
    managed.write(&mut object);
    Ok(object)
}

/// See [`FieldManager::sends_nothing_new`].
pub(super) fn sends_nothing_new(fm: &FieldManager<'_>, live: &Json, patch: &Json, manager: &str) -> bool {
    let has_annotation = last_applied::goes_on(manager) && last_applied::is_kept(live);
    if has_annotation || check_request(fm, patch).is_err() || !typed::covers(live, patch, fm.kind) {
        return false;
    }
    let set = typed::field_set(patch, fm.kind).recursive_difference(&fm.reset).difference(&unowned());
    let last = Managed::one_of(live, &fm.id(manager, Operation::Apply));
    last.is_some_and(|last| last.api_version == fm.api_version() && last.set == set)
}

/// Source: versioncheck.go, and `Apply` in structuredmerge.go.
fn check_request(fm: &FieldManager<'_>, patch: &Json) -> Result<(), ApplyError> {
    let text = |key: &str| patch.get(key).and_then(Json::as_str).unwrap_or("");
    let gvk = Gvk::of(text("apiVersion"), text("kind"));
    if gvk != fm.gvk {
        return Err(ApplyError::BadRequest(format!("invalid object type: {}", show(&gvk))));
    }
    if patch.pointer("/metadata/managedFields").is_some_and(|m| !m.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".into()));
    }
    Ok(())
}

/// A kind as Go's `GroupVersionKind` prints itself.
fn show(gvk: &Gvk) -> String {
    format!("{}/{}, Kind={}", gvk.group, gvk.version, gvk.kind)
}

/// Bodies are YAML, whose reader makes a float of every number; whole ones are integers again later.
fn whole_numbers(value: &Json) -> Json {
    match value {
        Json::Number(n) if n.is_f64() => match n.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "whole and far from the ends of i64")]
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Json::from(float as i64),
            _ => value.clone(),
        },
        Json::Array(items) => Json::Array(items.iter().map(whole_numbers).collect()),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (k.clone(), whole_numbers(v))).collect()),
        other => other.clone(),
    }
}

/// What an applied configuration makes of the live object.
enum Merged {
    Changed(Box<Json>, Managed),
    /// The manager sends what it sent last time, and the live object has all of it.
    Same,
}

fn run(
    fm: &FieldManager<'_>,
    live: &Json,
    patch: &Json,
    mut managed: Managed,
    manager: &str,
    force: bool,
    now: Timestamp,
) -> Result<Merged, ApplyError> {
    let untyped = |sort: &str, object: &Json, why: typed::TypeErrors| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or("");
        let names = format!("{}/{}", text("/metadata/namespace"), text("/metadata/name"));
        ApplyError::Untyped(format!("failed to create typed {sort} object ({names}; {}): {why}", show(&fm.gvk)))
    };
    if managed.0.is_empty() {
        let before = fm.id(BEFORE_FIRST_APPLY, Operation::Update);
        track(fm, &fm.nothing(), live, &mut managed, before, now).map_err(|e| {
            ApplyError::Untyped(format!("failed to create manager for existing fields: {e}"))
        })?;
    }
    typed::validate(patch, fm.kind, Duplicates::Refused).map_err(|e| untyped("patch", patch, e))?;
    let live = fm.structured(live.clone());
    typed::validate(&live, fm.kind, Duplicates::Allowed).map_err(|e| untyped("live", &live, e))?;

    let merged = typed::merge(&live, patch, fm.kind);
    let id = fm.id(manager, Operation::Apply);
    let set = typed::field_set(patch, fm.kind).recursive_difference(&fm.reset);
    let sends_the_same = |last: &Owned| last.api_version == fm.api_version() && last.set == set.difference(&unowned());
    if !(last_applied::goes_on(manager) && last_applied::is_kept(&live))
        && managed.0.get(&id).is_some_and(sends_the_same)
        && typed::same(&live, &merged)
    {
        return Ok(Merged::Same);
    }
    settle(fm, live, merged, set, managed, &id, force, now)
}

/// Whose the merged object's fields are, and what goes with them.
#[expect(clippy::too_many_arguments, reason = "what `run` has found out")]
fn settle(
    fm: &FieldManager<'_>,
    live: Json,
    merged: Json,
    set: FieldSet,
    mut managed: Managed,
    id: &ManagerId,
    force: bool,
    now: Timestamp,
) -> Result<Merged, ApplyError> {
    reconcile(fm, &mut managed);
    let last = managed.0.remove(id);
    let time = last.as_ref().and_then(|o| o.time);
    managed.0.insert(id.clone(), Owned { set, api_version: fm.api_version(), time });
    let new = match &last {
        // What is sent again goes on being owned: nothing can be taken away.
        Some(last) if gives_up(fm, last, &managed, id) => prune(fm, merged, &managed, last),
        _ => merged,
    };
    let comparison = typed::compare(&live, &new, fm.kind).without(&fm.reset);
    let conflicts = take_over(fm, &live, &new, &mut managed, Some(id), &comparison);
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }
    let same = typed::same(&live, &new);
    finish(&mut managed, id, (!same).then_some(now));
    Ok(Merged::Changed(Box::new(if same { live } else { new }), managed))
}

/// Nobody owns an object's identity; who owns nothing has no entry; what changed is from now.
fn finish(managed: &mut Managed, id: &ManagerId, changed_at: Option<Timestamp>) {
    let Some(owned) = managed.0.get_mut(id) else { return };
    owned.set = owned.set.difference(&unowned());
    if changed_at.is_some() {
        owned.time = changed_at;
    }
    if owned.set.is_empty() {
        managed.0.remove(id);
    }
}

/// Whether the manager has applied something last time that it does not apply now. (Another version's fields may have other names.)
fn gives_up(fm: &FieldManager<'_>, last: &Owned, managed: &Managed, id: &ManagerId) -> bool {
    let is_sent = |now: &Owned| last.set.difference(&now.set).is_empty();
    last.api_version != fm.api_version() || !managed.0.get(id).is_some_and(is_sent)
}

/// Removes what the manager applied last time, does not apply now, and nobody else owns.
/// Source: `prune` in structured-merge-diff/v6/merge/update.go.
fn prune(fm: &FieldManager<'_>, merged: Json, managed: &Managed, last: &Owned) -> Json {
    if last.set.is_empty() {
        return merged;
    }
    let Some((at_last, kind)) = fm.at_version(&merged, &last.api_version) else { return merged };
    let pruned = typed::remove_items(&at_last, &typed::with_named_fields(&last.set, Some(kind)), kind);
    let pruned = add_back_owned(fm, &at_last, pruned, &last.api_version, managed);
    let pruned = add_back_dangling(&at_last, &pruned, &last.set, kind);
    fm.at_version_from(&pruned, &last.api_version).unwrap_or(merged)
}

/// Adds back what others own, or the new configuration.
fn add_back_owned(fm: &FieldManager<'_>, merged: &Json, pruned: Json, version: &str, managed: &Managed) -> Json {
    let mut owned_at: Vec<(&str, FieldSet)> = Vec::new();
    for owned in managed.0.values() {
        match owned_at.iter_mut().find(|(v, _)| *v == owned.api_version) {
            Some((_, set)) => *set = set.union(&owned.set),
            None => owned_at.push((&owned.api_version, owned.set.clone())),
        }
    }
    // The pruned version first: its fields may be needed to convert.
    owned_at.sort_by_key(|(v, _)| *v != version);
    let mut pruned = pruned;
    for (at, set) in owned_at {
        if at == version {
            let kind = fm.kind_at(version);
            pruned = add_back(merged, &pruned, &set, kind);
        } else if let Some(back) = fm.add_back_at(merged, &pruned, &set, version, at) {
            pruned = back;
        }
    }
    pruned
}

fn add_back(merged: &Json, pruned: &Json, owned: &FieldSet, kind: TypeRef<'_>) -> Json {
    let named = |set: &FieldSet| typed::with_named_fields(set, Some(kind));
    let in_merged = named(&typed::field_set(merged, kind));
    let kept = named(&typed::field_set(pruned, kind)).union(&named(owned));
    typed::remove_items(merged, &in_merged.difference(&kept), kind)
}

/// Adds back what the manager did not own before: such items only went because something around them did.
fn add_back_dangling(merged: &Json, pruned: &Json, last: &FieldSet, kind: TypeRef<'_>) -> Json {
    let named = |set: &FieldSet| typed::with_named_fields(set, Some(kind));
    let in_pruned = named(&typed::field_set(pruned, kind));
    let in_merged = named(&typed::field_set(merged, kind));
    let gone = in_merged.difference(&in_pruned).intersection(&named(last));
    typed::remove_items(merged, &gone, kind)
}

impl FieldManager<'_> {
    /// A tree of `version` at the version of this manager.
    fn at_version_from(&self, tree: &Json, version: &str) -> Option<Json> {
        if version == self.api_version() {
            return Some(tree.clone());
        }
        self.convert?(tree, &self.api_version())
    }

    /// [`add_back`] done at another version than the trees have.
    fn add_back_at(&self, merged: &Json, pruned: &Json, owned: &FieldSet, from: &str, at: &str) -> Option<Json> {
        let convert = self.convert?;
        let kind = self.kind_at(at);
        let back = add_back(&convert(merged, at)?, &convert(pruned, at)?, owned, kind);
        convert(&back, from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::any_pod;
    use super::*;

    proptest! {
        #[test]
        fn nothing_is_pruned_of_what_is_sent_again(a in any_pod(), b in any_pod()) {
            let fm = FieldManager::new(&Gvk::of("v1", "Pod"), "");
            let now = Timestamp::UNIX_EPOCH;
            let Ok(first) = fm.apply(None, &a, "m", true, now) else { return Ok(()) };
            let Ok(live) = fm.apply(Some(&first), &b, "other", true, now) else { return Ok(()) };
            let id = fm.id("m", Operation::Apply);
            let mut managed = Managed::of(&live).expect("managers");
            let Some(last) = managed.0.remove(&id) else { return Ok(()) };
            let set = typed::field_set(&a, fm.kind).recursive_difference(&fm.reset);
            managed.0.insert(id.clone(), Owned { set, api_version: fm.api_version(), time: None });
            let merged = typed::merge(&fm.structured(without_managed_fields(live.clone())), &a, fm.kind);
            prop_assert!(!gives_up(&fm, &last, &managed, &id));
            prop_assert!(typed::same(&prune(&fm, merged.clone(), &managed, &last), &merged));
        }

        #[test]
        fn what_is_said_to_change_nothing_changes_nothing(a in any_pod(), b in any_pod(), take in any::<bool>()) {
            let fm = FieldManager::new(&Gvk::of("v1", "Pod"), "");
            let (now, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(9).unwrap());
            let Ok(first) = fm.apply(None, &a, "m", true, now) else { return Ok(()) };
            let live = if take { fm.apply(Some(&first), &b, "other", true, now) } else { Ok(first) };
            let Ok(live) = live else { return Ok(()) };
            let managed = Managed::of(&live).expect("managers");
            let bare = without_managed_fields(live.clone());
            let nothing_new = fm.sends_nothing_new(&live, &a, "m");
            let Ok(Merged::Same) = run(&fm, &bare, &a, managed.clone(), "m", false, later) else {
                prop_assert!(take, "nobody else has changed anything");
                prop_assert!(!nothing_new);
                return Ok(());
            };
            let structured = fm.structured(bare.clone());
            let merged = typed::merge(&structured, &a, fm.kind);
            let set = typed::field_set(&a, fm.kind).recursive_difference(&fm.reset);
            let id = fm.id("m", Operation::Apply);
            let slowly = settle(&fm, structured.clone(), merged, set, managed.clone(), &id, false, later);
            let Ok(Merged::Changed(object, owners)) = slowly else { panic!("no conflict is possible") };
            prop_assert!(typed::same(&object, &structured));
            prop_assert_eq!(owners, managed);
        }
    }
}
