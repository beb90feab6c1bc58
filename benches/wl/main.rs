//! What `wl` takes, beside what takes the same without it: `make bench`.
//!
//! `cargo bench --features internals --bench wl -- [ROW…] [--rounds N] [--idle SECONDS] [--small]`; without rows, all of
//! them. Pairs are run in turn and the median of their ratios is what counts, since the machine may have other work.

mod bare;
mod decisions;
mod figures;
#[path = "../../tests/support/image.rs"]
mod image;
mod machine;
mod plans;
mod pods;
mod probes;
mod services;
mod start;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use bare::Bare;
use world::World;

/// The rows, by the names that choose them.
const ROWS: [&str; 12] =
    ["fifty", "get", "idle", "restart", "job", "http", "exec", "services", "plan", "look", "memory", "start"];
/// Those of them that need Podman.
const ON_PODMAN: usize = 8;

/// What is to be measured, and how long.
pub struct Plan {
    rows: Vec<String>,
    rounds: usize,
    idle: Duration,
    /// A tenth of everything: tells that the bench works, not how fast `wl` is.
    small: bool,
}

impl Plan {
    fn of_arguments() -> Result<Self, String> {
        let mut plan = Plan { rows: Vec::new(), rounds: 3, idle: Duration::from_secs(60), small: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number =
                || arguments.next().and_then(|n| n.parse::<usize>().ok()).ok_or(format!("{argument} wants a number"));
            match argument.as_str() {
                "--rounds" => plan.rounds = number()?.max(1),
                "--idle" => plan.idle = Duration::from_secs(number()? as u64),
                "--small" => plan.small = true,
                // What cargo says to every bench.
                "--bench" => {}
                row if ROWS.contains(&row) => plan.rows.push(row.to_owned()),
                other => {
                    return Err(format!("{other}: there are {}, --rounds N, --idle SECONDS, --small", ROWS.join(", ")));
                }
            }
        }
        Ok(plan)
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|r| r == row)
    }

    fn scaled(&self, count: usize) -> usize {
        if self.small { (count / 10).max(1) } else { count }
    }
}

fn main() -> ExitCode {
    let plan = match Plan::of_arguments() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&plan));
    ExitCode::SUCCESS
}

async fn measure(plan: &Plan) {
    let on_podman = ROWS[..ON_PODMAN].iter().any(|row| plan.wants(row));
    let world = World::new();
    let podman = if on_podman { world::podman(&world).await } else { None };
    let bare = podman.as_ref().map(|podman| Bare::new(&podman.socket()));
    let version = match &bare {
        Some(bare) => pods::version(bare).await,
        None => "without Podman".to_owned(),
    };
    println!("wl {} · {version} · {} · load {}\n", env!("CARGO_PKG_VERSION"), machine::kind(), machine::load());
    figures::print_head();
    if let Some(bare) = &bare {
        if plan.wants("fifty") {
            pods::fifty(&world, bare, plan).await;
        }
        if plan.wants("get") {
            pods::get(&world, plan);
        }
        if plan.wants("idle") {
            pods::idle(&world, plan).await;
        }
        if plan.wants("restart") {
            pods::restart(&world, bare, plan).await;
        }
        if plan.wants("job") {
            pods::job(&world, plan);
        }
        if plan.wants("http") {
            probes::http(&world, plan).await;
        }
        if plan.wants("exec") {
            probes::exec(&world, bare, plan).await;
        }
        if plan.wants("services") {
            services::services(&world, bare, plan).await;
        }
        world.end();
    }
    if plan.wants("plan") {
        plans::converged(plan).await;
        plans::rollout(plan).await;
    }
    if plan.wants("look") {
        decisions::looks(plan);
    }
    if plan.wants("memory") {
        decisions::memory(plan);
    }
    if plan.wants("start") {
        start::commands(plan);
    }
    println!("\n(load at the end: {})", machine::load());
    if let Some(podman) = podman {
        podman.close().await;
    }
}
