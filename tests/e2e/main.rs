//! The `wl` command on real Podman, from manifest to pod: the main job, bad luck, and what is kept.
//!
//! Each test has its own state directory, and so its own pods and network. Without Podman these tests say so and pass.
//! `tests/matrix.sh` runs them on four Podmans.
#![cfg(feature = "internals")]

mod applications;
mod bad_input;
mod bad_luck;
mod busybox;
mod crowd;
mod dual_stack;
mod eviction;
mod failpoints;
#[path = "../support/image.rs"]
mod image;
mod keeping;
mod load;
mod main_job;
mod plan_holds;
#[path = "../support/plan_holds/mod.rs"]
mod plan_holds_support;
mod pods_api;
mod pressure;
mod resize;
mod services;
mod sessions;
mod soak;
mod terminal;
mod watching;
mod workloads;
mod world;
