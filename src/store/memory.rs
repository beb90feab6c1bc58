//! Memory that a burst of work has left.

/// Gives what the allocator holds free back to the machine: a watch that is idle for days should not keep what an hour of work
/// needed.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "malloc_trim has no safe door")]
    // SAFETY: it takes a number and touches only what the allocator itself holds free, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
