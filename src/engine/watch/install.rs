//! The watch as a systemd unit, so that pods come back after a reboot.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A unit, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `wl-watch.service`, with a mark of the state directory where that is not the usual one.
    pub name: String,
    pub path: PathBuf,
    pub text: String,
    /// Whether it is a user's own: those run while the user has a session, or lingers.
    pub of_user: bool,
}

/// What a unit is made from.
#[derive(Clone, Debug)]
pub struct UnitOptions<'a> {
    pub program: &'a Path,
    pub state_dir: &'a Path,
    /// Whether that is where `wl` keeps its state when nothing else is said.
    pub is_usual: bool,
    pub arguments: &'a [OsString],
    pub is_root: bool,
    /// `$XDG_CONFIG_HOME`, or what stands for it.
    pub config_home: &'a Path,
    /// What the watch finds Podman by, as it is set here.
    pub podman: Option<&'a str>,
}

/// Writes a word as systemd reads it back (systemd.syntax(7), systemd.service(5): quoting, specifiers, variables).
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// In `Environment=` a dollar is a dollar.
fn setting(name: &str, value: &str) -> String {
    format!("Environment={}\n", quoted(&format!("{name}={value}")).replace("$$", "$"))
}

/// The unit for a watch.
pub fn unit(options: &UnitOptions<'_>) -> Unit {
    let state_dir = options.state_dir.to_string_lossy();
    let mark: String = Sha256::digest(state_dir.as_bytes())[..4].iter().map(|b| format!("{b:02x}")).collect();
    let name = if options.is_usual { "wl-watch.service".to_owned() } else { format!("wl-watch-{mark}.service") };
    let folder =
        if options.is_root { PathBuf::from("/etc/systemd/system") } else { options.config_home.join("systemd/user") };
    let words = [options.program.to_string_lossy().into_owned(), "watch".to_owned()].into_iter();
    let words = words.chain(options.arguments.iter().map(|a| a.to_string_lossy().into_owned()));
    let command: Vec<String> = words.map(|word| quoted(&word)).collect();
    let wanted_by = if options.is_root { "multi-user.target" } else { "default.target" };
    let mut text = format!("[Unit]\nDescription=wl: workloads of {}\n", state_dir.replace('%', "%%"));
    if options.is_root {
        text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
    }
    text.push_str("\n[Service]\n");
    text.push_str(&setting("WL_STATE_DIR", &state_dir));
    if let Some(podman) = options.podman {
        text.push_str(&setting("CONTAINER_HOST", podman));
    }
    text.push_str(&format!("ExecStart={}\n", command.join(" ")));
    // Podman's processes may run in the unit's cgroup: the pods go on when the watch ends.
    text.push_str("Restart=always\nRestartSec=2\nKillMode=process\nDelegate=yes\n");
    text.push_str(&format!("\n[Install]\nWantedBy={wanted_by}\n"));
    Unit { path: folder.join(&name), name, text, of_user: !options.is_root }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<'a>(arguments: &'a [OsString]) -> UnitOptions<'a> {
        UnitOptions {
            program: Path::new("/usr/bin/wl"),
            state_dir: Path::new("/home/a/.local/state/wl"),
            is_usual: true,
            arguments,
            is_root: false,
            config_home: Path::new("/home/a/.config"),
            podman: None,
        }
    }

    #[test]
    fn a_users_unit_runs_the_watch_of_his_state_directory() {
        let arguments = ["--node-name=n1".into(), "--resolv-conf=/a b/100%".into()];
        let unit = unit(&options(&arguments));
        assert_eq!(unit.path, Path::new("/home/a/.config/systemd/user/wl-watch.service"));
        insta::assert_snapshot!(unit.text, @r#"
        [Unit]
        Description=wl: workloads of /home/a/.local/state/wl

        [Service]
        Environment="WL_STATE_DIR=/home/a/.local/state/wl"
        ExecStart="/usr/bin/wl" "watch" "--node-name=n1" "--resolv-conf=/a b/100%%"
        Restart=always
        RestartSec=2
        KillMode=process
        Delegate=yes

        [Install]
        WantedBy=default.target
        "#);
    }

    #[test]
    fn another_state_directory_has_another_unit() {
        let root = UnitOptions { is_root: true, is_usual: false, state_dir: Path::new("/srv/wl"), ..options(&[]) };
        let unit = unit(&root);
        assert!(unit.name.starts_with("wl-watch-") && unit.path.starts_with("/etc/systemd/system"), "{unit:?}");
        assert!(unit.text.contains("WantedBy=multi-user.target"));
    }

    #[test]
    fn words_are_quoted_for_systemd() {
        assert_eq!(quoted("a\"b\\c$d%e"), r#""a\"b\\c$$d%%e""#);
        assert_eq!(setting("A", "$x"), "Environment=\"A=$x\"\n");
    }
}
