//! Roles and bindings: written by somebody who has what they give.
//! Source: pkg/registry/rbac/*/policybased/storage.go.

use super::{Part, Rules, Strategy, rules};
use crate::api::{Object, Status};
use crate::registry::access::escalation;
use crate::registry::run::Run;

/// One of the four kinds.
pub(crate) struct Guarded(pub &'static str);

impl Guarded {
    fn check(&self, run: &Run<'_, '_>, object: &Object, old: Option<&Object>) -> Result<(), Status> {
        escalation::refuses(run.state, &run.request.options.user, self.0, object, old).map_or(Ok(()), Err)
    }
}

impl Strategy for Guarded {
    fn rules(&self) -> &'static Rules {
        rules::rules("rbac.authorization.k8s.io", self.0)
    }

    fn begin_create(&self, run: &mut Run<'_, '_>, object: &mut Object) -> Result<(), Status> {
        self.check(run, object, None)
    }

    fn begin_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, _part: Part) -> Result<(), Status> {
        self.check(run, new, Some(old))
    }
}
