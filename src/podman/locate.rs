//! Where Podman may be: `CONTAINER_HOST`, this user's socket, the system's.

use std::path::{Path, PathBuf};

use super::connect::ConnectError;

/// What of the environment decides where Podman is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `CONTAINER_HOST`.
    pub container_host: Option<String>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<String>,
    pub uid: u32,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            container_host: set("CONTAINER_HOST"),
            runtime_dir: set("XDG_RUNTIME_DIR").map(PathBuf::from),
            path: set("PATH"),
            uid: rustix::process::getuid().as_raw(),
        }
    }

    /// The folder for what lives until the next boot: below `/run` for root, below the user's runtime folder else.
    pub fn run_dir(&self) -> Option<PathBuf> {
        if self.uid == 0 {
            return Some(PathBuf::from("/run/wl"));
        }
        let folder = self.runtime_dir.clone().unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", self.uid)));
        folder.is_dir().then(|| folder.join("wl"))
    }

    /// The `podman` of the search path, whose system folders are added: ordinary users may lack them.
    pub fn find_podman(&self) -> Option<PathBuf> {
        find_program("podman", self.path.as_deref().unwrap_or_default())
    }
}

/// The first executable file of that name.
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |p: &PathBuf| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    search_path(path).split(':').filter(|d| !d.is_empty()).map(|d| Path::new(d).join(name)).find(is_program)
}

/// A search path that has the system's folders too.
pub fn search_path(path: &str) -> String {
    let mut all: Vec<&str> = path.split(':').filter(|p| !p.is_empty()).collect();
    for system in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !all.contains(&system) {
            all.push(system);
        }
    }
    all.join(":")
}

/// The socket that `CONTAINER_HOST` names; only this machine's can be used.
pub fn socket_of(host: &str) -> Result<PathBuf, ConnectError> {
    let wrong = || ConnectError::BadHost { host: host.to_owned() };
    let (scheme, rest) = host.split_once("://").ok_or_else(wrong)?;
    match scheme {
        "unix" if rest.starts_with('/') => Ok(PathBuf::from(rest)),
        "tcp" | "ssh" | "http" | "https" => Err(ConnectError::Remote { host: without_secret(host) }),
        _ => Err(wrong()),
    }
}

/// A URL may carry a password.
fn without_secret(host: &str) -> String {
    match (host.split_once("://"), host.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => host.to_owned(),
    }
}

/// Where a service of others may listen, the best first.
pub fn usual_sockets(surroundings: &Surroundings) -> Vec<PathBuf> {
    let system = PathBuf::from("/run/podman/podman.sock");
    if surroundings.uid == 0 {
        return vec![system];
    }
    let of_user = PathBuf::from(format!("/run/user/{}/podman/podman.sock", surroundings.uid));
    let mut all: Vec<PathBuf> = surroundings.runtime_dir.iter().map(|d| d.join("podman/podman.sock")).collect();
    if !all.contains(&of_user) {
        all.push(of_user);
    }
    all.push(system);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_this_machine_are_taken() {
        assert_eq!(socket_of("unix:///run/x.sock").expect("a socket"), PathBuf::from("/run/x.sock"));
        assert!(matches!(socket_of("ssh://me:secret@host/run/x"), Err(ConnectError::Remote { host }) if host == "ssh://host/run/x"));
        assert!(matches!(socket_of("tcp://1.2.3.4:5"), Err(ConnectError::Remote { .. })));
        for bad in ["", "/run/x", "unix://x", "fd://3", "unix:/x"] {
            assert!(matches!(socket_of(bad), Err(ConnectError::BadHost { .. })), "{bad}");
        }
    }

    #[test]
    fn a_users_own_socket_comes_before_the_systems() {
        let surroundings = Surroundings { runtime_dir: Some("/x".into()), uid: 7, ..Surroundings::default() };
        let shown: Vec<String> = usual_sockets(&surroundings).iter().map(|p| p.display().to_string()).collect();
        assert_eq!(shown, ["/x/podman/podman.sock", "/run/user/7/podman/podman.sock", "/run/podman/podman.sock"]);
        assert_eq!(usual_sockets(&Surroundings::default()), [PathBuf::from("/run/podman/podman.sock")]);
    }

    #[test]
    fn system_folders_are_searched_once() {
        assert_eq!(search_path("/x:/usr/bin"), "/x:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin");
    }
}
