//! Entering the mount and user namespace of another process, in a child only: a process of many threads cannot.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::Command;

/// The namespaces of a process that differ from this one's.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    user: Option<Arc<File>>,
    mount: Option<Arc<File>>,
}

impl Namespaces {
    /// Of the process `pid`.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { user: differing(pid, "user")?, mount: differing(pid, "mnt")? })
    }

    /// The mount namespace alone, given by an open file of it.
    pub fn of_mount(mount: File) -> Self {
        Self { user: None, mount: Some(Arc::new(mount)) }
    }

    /// Has `command` run inside.
    #[expect(unsafe_code, reason = "what runs between fork and exec makes two system calls, and allocates nothing")]
    pub fn enter_in(&self, command: &mut Command) -> io::Result<()> {
        let Self { user, mount } = self.clone();
        if user.is_none() && mount.is_none() {
            // Without a step between them, fork and exec are one call that copies nothing.
            return Ok(());
        }
        let enter = move || {
            if let Some(user) = &user {
                move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
            }
            if let Some(mount) = &mount {
                move_into_link_name_space(mount.as_fd(), Some(LinkNameSpaceType::Mount))?;
            }
            Ok(())
        };
        // SAFETY: setns(2) is async-signal-safe.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }
}

/// The namespace's file, if it is not this process's own.
fn differing(pid: u32, kind: &str) -> io::Result<Option<Arc<File>>> {
    let theirs = File::open(format!("/proc/{pid}/ns/{kind}"))?;
    let own = std::fs::metadata(format!("/proc/self/ns/{kind}"))?;
    Ok((theirs.metadata()?.ino() != own.ino()).then(|| Arc::new(theirs)))
}
