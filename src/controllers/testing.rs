//! What the tests of controllers share: a look without chance.

use jiff::Timestamp;

use super::{Context, Controller, Decision, Write};
use crate::api::{Key, Random};
use crate::state::State;

/// Throws nothing but zeros.
pub(super) struct NoDice;

impl Random for NoDice {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// What a controller comes to when it looks at an object at a time.
pub(super) fn look_at(controller: &dyn Controller, state: &State, key: &Key, now: Timestamp) -> Decision {
    controller.reconcile(state, key, &mut Context { now, random: &mut NoDice })
}

/// What it writes when time begins.
pub(super) fn look(controller: &dyn Controller, state: &State, key: &Key) -> Vec<Write> {
    look_at(controller, state, key, Timestamp::UNIX_EPOCH).writes
}
