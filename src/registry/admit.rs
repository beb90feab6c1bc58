//! The door to admission: which plugins are asked, and in which words.

use super::run::Run;
use crate::api::{Object, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
}

/// Plugins that may change the object.
pub(crate) fn mutate(
    run: &mut Run<'_, '_>,
    operation: Operation,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let _ = (run, operation, object, old);
    Ok(())
}

/// Plugins that only look.
pub(crate) fn validate(
    run: &mut Run<'_, '_>,
    operation: Operation,
    object: &Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let _ = (run, operation, object, old);
    Ok(())
}

/// Plugins about a deletion.
pub(crate) fn delete(run: &mut Run<'_, '_>, object: &Object) -> Result<(), Status> {
    let _ = (run, object);
    Ok(())
}
