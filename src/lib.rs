//! `wl` runs Kubernetes workloads on one machine's Podman, with no cluster.
//!
//! The folders of `src/` are the map; `ARCHITECTURE.md` tells what each is for and
//! which may use which (`tests/architecture.rs` holds it to that).

macro_rules! rooms {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[cfg(feature = "internals")]
            pub mod $name;
            #[cfg(not(feature = "internals"))]
            mod $name;
        )*
    };
}

rooms! {
    // Floor 7: argv and terminal.
    cli;
    // Floor 6: the Kubernetes REST API; loops, tasks, clock, shutdown; how to reach a server.
    apiserver;
    client;
    engine;
    // Floor 5: SQLite; libpod; the pods' network; probe clients.
    network;
    podman;
    probes;
    store;
    // ═══ I/O allowed above, forbidden below ═══
    // Floor 4: fork, simulate, summarise.
    plan;
    // Floor 3: what one write does to the state: admit, default, validate, merge.
    registry;
    // Floor 2: decide: for a workload, for one pod, where, whether.
    admission;
    controllers;
    node;
    scheduler;
    // Floor 1: text ⇄ objects; field ownership and merge; the door to a runtime; objects in memory.
    apply;
    manifest;
    runtime;
    state;
    // Floor 0: kinds, defaults, validation, support table, quantities, selectors.
    api;
}

/// Runs the command line of this process and returns its exit code.
pub fn main() -> std::process::ExitCode {
    network::libc_names::use_built_in();
    if let Some(code) = network::serve_if_called() {
        return code;
    }
    cli::main()
}
