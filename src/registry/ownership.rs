//! Who manages which field, written into `metadata.managedFields` at each write.

use super::run::Run;
use crate::api::Object;

/// Notes that the request's manager has written `new` in the place of `old`.
pub(crate) fn written(run: &Run<'_, '_>, new: &mut Object, old: Option<&Object>) {
    let _ = (run, new, old);
}
