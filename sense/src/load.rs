//! Load: what each account uses, against what is usual for it, what is fair on this node, and how many visitors it has.
//!
//! Load alone is never a proof: a finding of this class says at most "suspicious". Use is read from control groups and
//! from the process table; the larger of the two counts, because a pool's workers often run outside of the owner's
//! group, and ended children are seen by the group only. Memory and IO are looked at only where CPU is used or the node
//! waits ([`deep`]); what a time of load means, and on which grounds, is in [`verdict`].

mod cgroup;
mod deep;
pub mod fpm;
mod usual;
mod verdict;
mod watch;

pub use cgroup::{Details, Layout, Mounts, Names, Patterns, Use};
pub use deep::{Deep, Held, Node};
pub use watch::{Look, Room, Watch, pressure};
