//! Memory: one heap, and what a burst of work has left.

/// From so many bytes on, a block has pages of its own, which go back to the machine with it.
#[cfg(target_env = "gnu")]
const OWN_PAGES: libc::c_int = 256 * 1024;

/// One heap for all threads, and a bound for its blocks that does not grow with the largest of them: a heap for each thread, as
/// glibc has it, keeps what one thread made and another gave back, twice as much as is in use. To be called before the
/// second thread. Source: mallopt(3).
pub fn one_heap() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "mallopt has no safe door")]
    // SAFETY: it takes two numbers, under the allocator's own locks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * OWN_PAGES);
    }
}

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
