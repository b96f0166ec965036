//! Memory, IO and tasks of the few accounts that use something: out of their groups and of their processes.
//!
//! CPU of every account is known from what the sweep reads anyway. The files here are opened only for accounts above
//! [`super::watch`]'s floor of CPU, or for all while the node waits for memory or disks, so that an idle node of ten
//! thousand accounts costs nothing.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use model::{AccountEntry, AccountName};

use super::cgroup::{Details, Mounts, Use};
use crate::attribution::Attribution;
use crate::process::{Table, owner};

/// Processes of all chosen accounts that are looked at in one observation.
const PROCESSES_MAX: usize = 20_000;
/// Bytes in a MiB.
pub const MIB: f64 = 1_048_576.0;
/// Size of a page where memory is counted in pages. 4 KiB on all of our architectures but some arm64 kernels, whose
/// sums are then too small, never too large.
const PAGE: u64 = 4096;

/// What one process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Memory of its own, bytes: resident without what is shared (a cache of compiled scripts counts once a pool, not
    /// once a worker).
    pub memory_bytes: u64,
    /// Bytes that it made disks read and write.
    pub io_bytes: u64,
}

/// Where details are read.
pub trait Deep {
    /// Of an account's groups.
    fn group(&self, one: &Use) -> Details;
    /// Of a process; none when it ended or may not be looked at.
    fn process(&self, pid: u32) -> Option<Held>;
}

/// The live node, or a made-up one below other folders.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// The groups.
    pub mounts: &'a Mounts,
    /// `/proc`.
    pub proc_root: &'a Path,
}

impl Deep for Node<'_> {
    fn group(&self, one: &Use) -> Details {
        self.mounts.details(one)
    }

    /// `statm` and `io` of proc(5).
    fn process(&self, pid: u32) -> Option<Held> {
        let folder = self.proc_root.join(pid.to_string());
        let statm = std::fs::read_to_string(folder.join("statm")).ok()?;
        let mut pages = statm.split(' ').map(|n| n.parse::<u64>().ok());
        let (_, resident, shared) = (pages.next(), pages.next()??, pages.next()??);
        let io = std::fs::read_to_string(folder.join("io")).unwrap_or_default();
        let counted =
            |key: &str| io.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok()).unwrap_or(0);
        Some(Held {
            memory_bytes: resident.saturating_sub(shared).saturating_mul(PAGE),
            io_bytes: counted("read_bytes:").saturating_add(counted("write_bytes:")),
        })
    }
}

/// What an account uses beside CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beside {
    /// Memory, MiB; none where neither a group nor a process said it.
    pub memory: Option<f64>,
    /// IO since the last observation, bytes; none at the first one.
    pub io_bytes: Option<u64>,
    /// Processes, or tasks where groups say them.
    pub tasks: u64,
    /// See [`Details`].
    pub memory_pressure: Option<f64>,
    /// See [`Details`].
    pub io_pressure: Option<f64>,
}

/// Counters of the last observation.
#[derive(Debug, Default)]
pub struct Before {
    /// By pid and start.
    processes: HashMap<(u32, u64), u64>,
    groups: HashMap<AccountName, u64>,
}

impl Before {
    /// Looks at the chosen accounts. The larger of both views counts, as with CPU: a pool's workers often run outside
    /// of the owner's group, and what ended is seen by the group only.
    pub fn look(
        &mut self,
        deep: &dyn Deep,
        (table, who): (&Table, &dyn Attribution),
        uses: &[Use],
        chosen: &BTreeSet<&AccountName>,
    ) -> HashMap<AccountName, Beside> {
        let mut found: HashMap<AccountName, Beside> = HashMap::new();
        let (mut processes, mut groups) = (HashMap::new(), HashMap::new());
        if chosen.is_empty() {
            (self.processes, self.groups) = (processes, groups);
            return found;
        }
        let mut left = PROCESSES_MAX;
        for process in table.processes().iter().filter(|p| !p.kernel && who.is_tenant(p.uid)) {
            let Some(AccountEntry { account, .. }) = owner(who, process) else { continue };
            if !chosen.contains(&account.name) || left == 0 {
                continue;
            }
            left -= 1;
            let one = found.entry(account.name.clone()).or_default();
            one.tasks += 1;
            let Some(held) = deep.process(process.pid) else { continue };
            *one.memory.get_or_insert(0.0) += held.memory_bytes as f64 / MIB;
            let key = (process.pid, process.start_ticks);
            if let Some(before) = self.processes.get(&key) {
                *one.io_bytes.get_or_insert(0) += held.io_bytes.saturating_sub(*before);
            }
            processes.insert(key, held.io_bytes);
        }
        for used in uses.iter().filter(|used| chosen.contains(&used.account)) {
            let details = deep.group(used);
            let one = found.entry(used.account.clone()).or_default();
            let memory = details.memory_bytes.map(|bytes| bytes as f64 / MIB);
            one.memory = one.memory.into_iter().chain(memory).reduce(f64::max);
            one.tasks = one.tasks.max(details.tasks.unwrap_or(0));
            (one.memory_pressure, one.io_pressure) = (details.memory_pressure, details.io_pressure);
            let Some(io) = details.io_bytes else { continue };
            if let Some(before) = self.groups.get(&used.account) {
                // A group that was made anew counts from zero again.
                one.io_bytes = one.io_bytes.max(Some(io.checked_sub(*before).unwrap_or(io)));
            }
            groups.insert(used.account.clone(), io);
        }
        (self.processes, self.groups) = (processes, groups);
        found
    }
}
