//! Memory: one heap, and what a burst of work has left.

/// From so many bytes on, a block has pages of its own, which go back to the machine with it.
#[cfg(target_env = "gnu")]
const OWN_PAGES: libc::c_int = 256 * 1024;

/// One heap for all threads, and a bound for its blocks that does not grow with the largest of them: a heap for each thread, as
/// glibc has it, keeps what one thread made and another gave back, twice as much as is in use. Small blocks join their free
/// neighbours at once: kept apart, they hold a page each of what a burst has left. To be called before the second thread.
/// Source: mallopt(3).
pub fn one_heap() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "mallopt has no safe door")]
    // SAFETY: it takes two numbers, under the allocator's own locks.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MXFAST, 0);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * OWN_PAGES);
    }
}

/// Gives back to the machine what the allocator holds free, and the pages of the program that the next work brings back as it
/// needs them: a watch that is idle for days should not keep what an hour of work needed.
pub(crate) fn give_back() {
    give_back_heap();
    give_back_code();
}

/// The first half of it.
pub(crate) fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "malloc_trim has no safe door")]
    // SAFETY: it takes a number and touches only what the allocator itself holds free, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the program's own code: it is read from the file, which the machine keeps as long as it has the room, page by page as
/// it is run.
fn give_back_code() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some((first, length)) = code_of(&maps, give_back_code as *const () as usize) else { return };
    #[expect(unsafe_code, reason = "madvise has no safe door")]
    // SAFETY: the mapping is private, of a file, and was never written (it cannot be), so what is dropped comes back equal.
    unsafe {
        libc::madvise(first as *mut libc::c_void, length, libc::MADV_DONTNEED);
    }
}

/// Start and length of the mapping that holds `address`, where it is code of a file that nobody writes. Source: proc_pid_maps(5).
fn code_of(maps: &str, address: usize) -> Option<(usize, usize)> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (range, access) = (fields.next()?, fields.next()?);
        let (first, end) = range.split_once('-')?;
        let [first, end] = [first, end].map(|hex| usize::from_str_radix(hex, 16).ok());
        let (first, end) = (first?, end?);
        // Between them: offset, device, inode.
        let of_a_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
        (access == "r-xp" && of_a_file && (first..end).contains(&address)).then_some((first, end - first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_a_file_is_given_back() {
        let maps = "1000-2000 r--p 00000000 08:00 5 /usr/bin/wl\n2000-5000 r-xp 00001000 08:00 5 /usr/bin/wl\n5000-6000 rw-p 00004000 08:00 5 \
                    /usr/bin/wl\n7000-8000 r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(code_of(maps, 0x2345), Some((0x2000, 0x3000)));
        assert_eq!(code_of(maps, 0x1234), None);
        assert_eq!(code_of(maps, 0x5000), None);
        assert_eq!(code_of(maps, 0x7000), None);
        give_back();
    }
}
