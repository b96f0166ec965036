//! Everything that talks to the kernel: sockets between roles, folders and files by descriptor, logs, processes,
//! programs, cgroups, clocks and pauses.
//!
//! The only crate in which `unsafe` may stand; each such block says why it is sound. Knows nothing of incidents
//! or restrictions: bytes, descriptors and process ids in, facts out.

pub mod block;
pub mod cgroup;
pub mod clock;
pub mod dir;
pub mod file;
pub mod log;
pub mod pause;
pub mod process;
pub mod program;
pub mod resolv;
pub mod sandbox;
pub mod shelf;
pub mod socket;
pub mod swap;
pub mod tenant;
