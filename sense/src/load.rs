//! Load: what each account uses, against what is usual for it, what is fair on this node, and how many visitors it has.
//!
//! Load alone is never a proof: a finding of this class says at most "suspicious". Use is read from control groups and
//! from the process table; the larger of the two counts, because a pool's workers often run outside of the owner's
//! group, and ended children are seen by the group only.

mod cgroup;
mod watch;

pub use cgroup::{Layout, Mounts, Names, Patterns, Use};
pub use watch::{Look, Watch, pressure};
