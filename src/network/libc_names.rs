//! Host names in a static binary.

/// Tells the C library to look for host names in `/etc/hosts` and by DNS, which are built into it (glibc from 2.34 on), whatever
/// `/etc/nsswitch.conf` names: the others would be loaded from files that belong to the machine's own C library, which may be of
/// another version. Source: nss/nss.h of glibc (`__nss_configure_lookup`).
pub fn use_built_in() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    #[expect(unsafe_code, reason = "the C library has no safe door")]
    {
        unsafe extern "C" {
            fn __nss_configure_lookup(database: *const libc::c_char, services: *const libc::c_char) -> libc::c_int;
        }
        // SAFETY: two strings that live for ever, in a process that has no second thread yet. Where it fails, all is as it was.
        unsafe {
            __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
        }
    }
}
