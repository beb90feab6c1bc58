//! `LocalSupport`: what one machine cannot do is refused by field, and what has no effect here is said.

use super::{Attributes, Operation};
use crate::api::support::{self, Verdict};
use crate::api::validation::field::{self, Errors, Path};
use crate::api::{Object, Status};

/// Refuses what the support table refuses; returns warnings about what it calls approximated or ignored.
/// A change is judged by what it changes: what stood there before may stay.
pub(super) fn validate(
    attributes: &Attributes<'_>,
    object: &Object,
    old: Option<&Object>,
) -> Result<Vec<String>, Status> {
    if attributes.operation == Operation::Delete || !attributes.is_main() {
        return Ok(Vec::new());
    }
    if old == Some(object) {
        return Ok(Vec::new());
    }
    let gvk = attributes.resource.gvk();
    let before = old.map(|old| support::findings(&gvk, old.json())).unwrap_or_default();
    let mut errors = Errors::new();
    let mut warnings = Vec::new();
    for finding in support::findings(&gvk, object.json()) {
        if before.iter().any(|b| b.path == finding.path && b.value == finding.value) {
            continue;
        }
        let path = Path::new(&finding.path);
        match finding.entry.verdict {
            Verdict::Runs => {}
            Verdict::Refused => errors.push(field::forbidden(&path, &format!("not supported here: {}", finding.entry.reason))),
            Verdict::Approximated => warnings.push(format!("{}: {}", finding.path, finding.entry.reason)),
            Verdict::Ignored => warnings.push(format!("{}: has no effect here: {}", finding.path, finding.entry.reason)),
        }
    }
    if errors.is_empty() {
        return Ok(warnings);
    }
    Err(Status::invalid(&gvk.group, &gvk.kind, object.name(), &errors))
}
