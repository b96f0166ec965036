//! Plays stories: a timeline of the outside world and our answers, in memory and against the real binary.

#![forbid(unsafe_code)]

pub mod memory;
pub mod render;
pub mod rig;
pub mod story;
pub mod world;
