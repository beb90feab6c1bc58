//! What a plan says beside what has happened: random workloads and changes of them, and a comparison of pods.

mod course;
mod scene;

pub use course::{Courses, differences, happened, is_quiet};
pub use scene::{Dice, Images, Scene};
