//! A real terminal for a command, and a person at it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

/// The terminal is not to be the tests' own.
const NOCTTY: i32 = 0o400;
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a command on it.
pub struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts `program` with the terminal as its own; `setup` adds what it needs.
    pub fn start(program: &str, args: &[&str], setup: impl FnOnce(&mut Command)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let path = ptsname(&master, Vec::new()).expect("a name").into_string().expect("a path");
        let slave = File::options().read(true).write(true).custom_flags(NOCTTY).open(path).expect("the other end");
        let side = || Stdio::from(slave.try_clone().expect("a copy"));
        // The terminal must be the session's: only then does the kernel tell of its size.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", program]).args(args).stdin(side()).stdout(side()).stderr(side());
        setup(&mut command);
        resize(&master, 80, 24);
        let child = command.spawn().expect("started");
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut reader, sink) = (File::from(master.try_clone().expect("a copy")), seen.clone());
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut block) {
                sink.lock().expect("no panic").push_str(&String::from_utf8_lossy(&block[..read]));
            }
        });
        Terminal { master: File::from(master), slave: slave.into(), child, seen }
    }

    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typed");
    }

    pub fn becomes(&self, columns: u16, rows: u16) {
        resize(&self.master, columns, rows);
    }

    pub fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("settings")
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Waits until the screen shows a text, and forgets what was shown up to there.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let begun = tokio::time::Instant::now();
        loop {
            let mut seen = self.seen.lock().expect("no panic");
            if let Some(at) = seen.find(text) {
                seen.drain(..at + text.len());
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{text:?} in {seen:?}");
            drop(seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the command.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "does not end: {:?}", self.seen.lock());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &impl std::os::fd::AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("resized");
}

/// What of a terminal's settings a shell would miss.
pub fn told(settings: &Termios) -> String {
    format!("{:?} {:?} {:?}", settings.input_modes, settings.output_modes, settings.local_modes)
}
