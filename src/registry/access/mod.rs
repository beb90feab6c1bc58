//! Who may do what: Kubernetes' role based access control, and the reviews that ask about it.

mod attributes;
pub(crate) mod escalation;
pub mod rbac;
pub(crate) mod reviews;
mod reviews_check;
pub mod tokens;

pub use attributes::Attributes;

use super::User;
use crate::state::State;

/// Who is in this group may do everything (k8s.io/apiserver/pkg/authentication/user).
pub const MASTERS: &str = "system:masters";
pub const AUTHENTICATED: &str = "system:authenticated";

/// What an authoriser says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub reason: String,
}

/// Whether nobody needs to be asked about this user.
pub fn is_privileged(user: &User) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

/// Whether the user may do it.
pub fn authorize(state: &State, user: &User, attributes: &Attributes) -> Verdict {
    if is_privileged(user) {
        return Verdict { allowed: true, reason: String::new() };
    }
    rbac::authorize(state, user, attributes)
}

#[cfg(test)]
mod tests;
