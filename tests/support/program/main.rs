//! The only program in the tests' images: does what its arguments say, one after the other.
//!
//! `say:TEXT` `err:TEXT` `cat:PATH` `write:PATH=TEXT` `env:NAME` `list:DIR` `ids` `mode:PATH` `wait:MILLISECONDS`
//! `eat:MEGABYTES` `keep:MEGABYTES` `on-term:CODE` `ignore-term` `listen:PORT` `http:PORT=PATH` `get:HOST:PORT` `flood:LINES` `exit:CODE`
//! `forever`, and what `net.rs` and `measure.rs` add.

mod measure;
mod net;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::exit;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

static CODE: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn _exit(code: i32) -> !;
}

const SIGTERM: i32 = 15;
const IGNORE: usize = 1;

extern "C" fn end(_: i32) {
    unsafe { _exit(CODE.load(Ordering::Relaxed)) }
}

fn main() {
    for argument in std::env::args().skip(1) {
        let (verb, rest) = argument.split_once(':').unwrap_or((&argument, ""));
        if let Err(error) = run(verb, rest) {
            println!("{argument}: {error}");
        }
    }
}

fn run(verb: &str, rest: &str) -> std::io::Result<()> {
    match verb {
        "say" => println!("{rest}"),
        "err" => eprintln!("{rest}"),
        "cat" => print!("{}", std::fs::read_to_string(rest)?),
        "write" => {
            let (path, text) = rest.split_once('=').unwrap_or((rest, ""));
            std::fs::write(path, text)?;
        }
        "env" => println!("{rest}={}", std::env::var(rest).unwrap_or_else(|_| "(not set)".to_owned())),
        "list" => {
            let mut names: Vec<String> =
                std::fs::read_dir(rest)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            println!("{}", names.join(" "));
        }
        "ids" => {
            let status = std::fs::read_to_string("/proc/self/status")?;
            for key in ["Uid", "Gid", "Groups", "NoNewPrivs", "CapEff"] {
                let line = status.lines().find(|l| l.starts_with(&format!("{key}:"))).unwrap_or_default();
                println!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        "mode" => {
            let metadata = std::fs::metadata(rest)?;
            println!("{:o} {}:{}", metadata.permissions().mode() & 0o7777, metadata.uid(), metadata.gid());
        }
        "wait" => std::thread::sleep(Duration::from_millis(rest.parse().unwrap_or(0))),
        "eat" | "keep" => {
            let mut eaten = Vec::new();
            for _ in 0..rest.parse().unwrap_or(0) {
                eaten.push(vec![1u8; 1 << 20]);
            }
            println!("ate {}", eaten.len());
            if verb == "keep" {
                std::mem::forget(eaten);
            }
        }
        "on-term" => {
            CODE.store(rest.parse().unwrap_or(0), Ordering::Relaxed);
            unsafe { signal(SIGTERM, end as *const () as usize) };
        }
        "ignore-term" => {
            unsafe { signal(SIGTERM, IGNORE) };
        }
        "listen" => {
            let listener = std::net::TcpListener::bind(format!("0.0.0.0:{rest}"))?;
            for stream in listener.incoming() {
                stream?.write_all(b"hello\n")?;
            }
        }
        "http" => {
            // Answers 200 to everything and writes down when it was asked, in microseconds.
            let (port, path) = rest.split_once('=').unwrap_or((rest, "/dev/null"));
            let mut asked_at = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            for stream in std::net::TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
                let mut stream = stream?;
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                writeln!(asked_at, "{}", now.as_micros())?;
                let mut request = [0; 2048];
                let mut read = 0;
                while !request[..read].windows(4).any(|w| w == b"\r\n\r\n") && read < request.len() {
                    match stream.read(&mut request[read..])? {
                        0 => break,
                        n => read += n,
                    }
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
            }
        }
        "get" => {
            let mut text = String::new();
            std::net::TcpStream::connect(rest)?.read_to_string(&mut text)?;
            print!("{text}");
        }
        "flood" => {
            let mut out = std::io::stdout().lock();
            for n in 0..rest.parse().unwrap_or(0) {
                writeln!(out, "line {n}")?;
            }
        }
        "exit" => exit(rest.parse().unwrap_or(0)),
        "forever" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        _ => {
            let done = net::run(verb, rest).or_else(|| measure::run(verb, rest));
            return done.unwrap_or_else(|| Ok(println!("{verb}: not understood")));
        }
    }
    Ok(())
}
