//! The node agent against a real kubelet: recorded scenarios are played on the Podman at hand and compared.
//!
//! One in four of those under a minute is played; `WL_CASE` plays those whose id contains it, `WL_GROUP` one group,
//! `WL_REPLAY_ALL=1` all, those over a minute too; `WL_AT_ONCE` so many at once. Without Podman it says so and passes. Called as `/t` it is the scenarios' program.
#![cfg_attr(feature = "internals", expect(clippy::disallowed_methods, reason = "scenarios are played in real time"))]

#[cfg(feature = "internals")]
mod compare;
#[cfg(feature = "internals")]
mod departures;
#[cfg(feature = "internals")]
mod history;
#[cfg(feature = "internals")]
mod image;
#[cfg(feature = "internals")]
mod live;
#[cfg(feature = "internals")]
mod normalise;
#[cfg(feature = "internals")]
mod play;
#[cfg(feature = "internals")]
mod registry;
#[cfg(feature = "internals")]
mod replay;
#[cfg(feature = "internals")]
#[path = "../support/tar.rs"]
mod tar;
#[cfg(feature = "internals")]
mod tool;
#[cfg(feature = "internals")]
mod world;

#[cfg(feature = "internals")]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.first().is_some_and(|name| name == "/t") {
        return std::process::ExitCode::from(u8::try_from(tool::main(&arguments[1..])).unwrap_or(1));
    }
    if arguments.iter().any(|a| a == "--list") {
        println!("replay: test\n\n1 test, 0 benchmarks");
        return std::process::ExitCode::SUCCESS;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(replay::run())
}

#[cfg(not(feature = "internals"))]
fn main() {}
