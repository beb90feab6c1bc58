//! Memory: one heap, and what a burst of work has left.

use std::ptr::null_mut;

use tikv_jemalloc_sys::mallctl;
use tikv_jemallocator::Jemalloc;

/// The program's heap, that of its C libraries too. What one burst of work leaves lies between what it gave back; glibc's heap keeps
/// a page for each such rest, this one puts sizes apart, and needs less processor time.
#[global_allocator]
static HEAP: Jemalloc = Jemalloc;

/// One arena for all threads: one for each would keep what one thread made and another gave back. Pages that are free go back to
/// the machine after a second; those that are free while nothing happens, by [`give_back_heap`]. Source: jemalloc(3), `opt.*`.
const OPTIONS: &std::ffi::CStr = c"narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0,thp:never";

/// Where jemalloc looks for its options: the address of a text that ends with zero.
#[expect(unsafe_code, reason = "the name of a symbol is a promise")]
// SAFETY: jemalloc declares it weak, for programs to define; nothing else is called so.
#[unsafe(export_name = "malloc_conf")]
#[used]
static MALLOC_CONF: Option<&u8> = OPTIONS.to_bytes_with_nul().first();

/// Pages of all arenas that hold nothing. Source: jemalloc(3), `arena.<i>.purge` and `MALLCTL_ARENAS_ALL`.
const PURGE: &std::ffi::CStr = c"arena.4096.purge";

/// Gives back to the machine what the allocator holds free, and the pages of the program that the next work brings back as it
/// needs them: a watch that is idle for days should not keep what an hour of work needed.
pub(crate) fn give_back() {
    give_back_heap();
    give_back_code();
}

/// The first half of it.
pub(crate) fn give_back_heap() {
    // Where it cannot, memory stays for later.
    let _ = purge();
}

/// jemalloc's answer: 0 is well.
fn purge() -> std::ffi::c_int {
    #[expect(unsafe_code, reason = "mallctl has no safe door")]
    // SAFETY: the name is a text that ends with zero; nothing is read, nothing written.
    unsafe {
        mallctl(PURGE.as_ptr(), null_mut(), null_mut(), null_mut(), 0)
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
    fn the_heap_has_its_options_and_gives_back() {
        let (mut arenas, mut size) = (0u32, size_of::<u32>());
        #[expect(unsafe_code, reason = "mallctl has no safe door")]
        // SAFETY: this name has an unsigned number, which is read.
        let answer = unsafe { mallctl(c"opt.narenas".as_ptr(), (&raw mut arenas).cast(), &raw mut size, null_mut(), 0) };
        assert_eq!((answer, arenas), (0, 1));
        assert_eq!(purge(), 0);
    }

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
