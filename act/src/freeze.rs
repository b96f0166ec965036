//! Makes processes stand still and lets them go on, without ever touching another one by mistake.
//!
//! Each process is held by pidfd and recognised by start time, uid and program before anything is done. The
//! given order is kept, because guards that restart others come first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{AccountRef, Failure, ProcessRef, RestrictionId};
use sys::cgroup::{Cage, Freezer};
use sys::process::{Hands, Identity, Process};

use crate::guard::{self, Own};
use crate::journal::{Caught, Means};

/// Looks at the kernel's state this often while it changes, and at most this many times.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS_MAX: usize = 400;
/// Rounds in which children that were forked meanwhile are caught.
const ROUNDS_MAX: usize = 16;
/// Most processes of one restriction, children included.
const CAUGHT_MAX: usize = 4096;

/// What freezing needs of the node.
#[derive(Debug)]
pub struct Ice {
    /// The freezer, if there is one and we may use it.
    pub freezer: Option<Freezer>,
    /// `Some`: only processes whose pidfd is here may be touched.
    pub hands: Option<Hands>,
    /// What we are.
    pub own: Own,
}

/// Why a process is not taken.
enum Miss {
    Gone(String),
    Guard(String),
}

impl Ice {
    /// By which means processes are stopped here.
    pub fn means(&self) -> Means {
        if self.freezer.is_some() { Means::Cage } else { Means::Signal }
    }

    /// Checks each process: those that are what they were, in the given order, and which are gone.
    ///
    /// What may not be touched is left out and counts as not there: a child that runs a setuid program must not
    /// save the rest. Errors, when none is left: `Guard` if one may not be touched, else `Gone`.
    pub fn check(&self, account: &AccountRef, wanted: &[ProcessRef]) -> Result<(Vec<Caught>, Vec<u32>), Failure> {
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        let mut why = Failure::Gone("no process was named".into());
        for process in wanted {
            if process.uid != account.uid {
                let (pid, uid) = (process.pid, process.uid);
                why = Failure::Guard(format!("pid {pid} belongs to uid {uid}, not to {account}; look at it yourself"));
                gone.push(pid);
                continue;
            }
            match self.take(account, process) {
                Ok((held, is)) => found.push(self.caught(&held, process.clone(), &is)),
                Err(Miss::Guard(reason)) => {
                    why = Failure::Guard(reason);
                    gone.push(process.pid);
                }
                Err(Miss::Gone(reason)) => {
                    if !matches!(why, Failure::Guard(_)) {
                        why = Failure::Gone(reason);
                    }
                    gone.push(process.pid);
                }
            }
        }
        if found.is_empty() { Err(why) } else { Ok((found, gone)) }
    }

    /// Children of the caught that are not caught yet: exactly the account's uid, parent among the caught.
    pub fn children(&self, account: &AccountRef, caught: &[Caught]) -> Vec<Caught> {
        let known: BTreeSet<u32> = caught.iter().map(|c| c.process.pid).collect();
        let mut all: BTreeMap<u32, (Process, Identity)> = BTreeMap::new();
        for pid in sys::process::pids().unwrap_or_default() {
            if let Ok(process) = self.open(pid)
                && let Ok(is) = process.identity()
                && is.uids == [account.uid; 4]
                && !matches!(is.state, 'Z' | 'X')
            {
                all.insert(pid, (process, is));
            }
        }
        let mut family = known.clone();
        loop {
            let before = family.len();
            let more: Vec<u32> =
                all.values().filter(|(_, is)| family.contains(&is.parent)).map(|(_, is)| is.pid).collect();
            family.extend(more);
            if family.len() == before {
                break;
            }
        }
        let new = family.difference(&known).filter_map(|pid| all.get(pid));
        let new = new.filter(|(process, is)| guard::process(&self.own, account, process, is).is_ok());
        let room = CAUGHT_MAX.saturating_sub(caught.len());
        new.filter_map(|(process, is)| Some(self.caught(process, reference(is)?, is))).take(room).collect()
    }

    /// Stops these processes; those that ended meanwhile are no error.
    pub fn stop(&self, name: &str, means: Means, account: &AccountRef, caught: &[Caught]) -> Result<(), String> {
        let cage = match means {
            Means::Cage => {
                let cage = self.freezer()?.cage(name).map_err(|e| format!("freezer folder hikeshi/{name}: {e}"))?;
                // Ordered first: what is moved in stands still at once, the guard before what it guards.
                cage.freeze().map_err(|e| format!("freezer folder hikeshi/{name}: {e}"))?;
                Some(cage)
            }
            Means::Signal => None,
        };
        for Caught { process, .. } in caught {
            let Ok((held, _)) = self.take(account, process) else { continue };
            let done = match &cage {
                Some(cage) => self.move_in(cage, &held),
                None => held.stop(),
            };
            match done {
                Err(e) if held.is_alive() => return Err(format!("pid {} cannot be stopped: {e}", process.pid)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether these stand still, within a bounded number of looks.
    pub fn settles(&self, name: &str, means: Means, account: &AccountRef, caught: &[Caught]) -> bool {
        (0..LOOKS_MAX).any(|_| {
            let still = self.stands(name, means, account, caught).is_ok_and(|(still, _)| still);
            if !still {
                std::thread::sleep(LOOK);
            }
            still
        })
    }

    /// Whether everything stands still now, and how many processes that are.
    pub fn stands(
        &self,
        name: &str,
        means: Means,
        account: &AccountRef,
        caught: &[Caught],
    ) -> Result<(bool, usize), String> {
        let alive: Vec<Identity> = caught.iter().filter_map(|c| Some(self.take(account, &c.process).ok()?.1)).collect();
        match means {
            Means::Signal => Ok((alive.iter().all(|is| matches!(is.state, 'T' | 't')), alive.len())),
            Means::Cage => {
                let cage = self.freezer()?.existing(name).map_err(|e| format!("freezer folder hikeshi/{name}: {e}"))?;
                let Some(cage) = cage else { return Ok((alive.is_empty(), 0)) };
                let members = cage.members().map_err(|e| e.to_string())?;
                let inside = alive.iter().all(|is| members.contains(&is.pid));
                Ok((inside && cage.is_frozen().map_err(|e| e.to_string())?, members.len()))
            }
        }
    }

    /// Lets everything go on where it was before, or ends it; then nothing of ours is left. Says how many.
    pub fn let_go(
        &self,
        name: &str,
        means: Means,
        account: &AccountRef,
        caught: &[Caught],
        end: bool,
    ) -> Result<usize, String> {
        match means {
            Means::Signal => self.signal_on(account, caught, end),
            Means::Cage => {
                let cage = self.freezer()?.existing(name).map_err(|e| format!("freezer folder hikeshi/{name}: {e}"))?;
                let Some(cage) = cage else { return Ok(0) };
                let done = self
                    .empty(&cage, account, caught, end)
                    .map_err(|e| format!("freezer folder hikeshi/{name}: {e}"))?;
                let removed = (0..LOOKS_MAX).find_map(|_| match self.freezer.as_ref()?.remove(name) {
                    Ok(()) => Some(()),
                    Err(_) => {
                        std::thread::sleep(LOOK);
                        None
                    }
                });
                removed.map(|()| done).ok_or(format!("freezer folder hikeshi/{name} still has processes; lift again"))
            }
        }
    }

    fn empty(&self, cage: &Cage, account: &AccountRef, caught: &[Caught], end: bool) -> std::io::Result<usize> {
        let first = caught.first().map_or("", |c| c.place.as_str());
        let mut done = BTreeSet::new();
        for _ in 0..LOOKS_MAX {
            let members = cage.members()?;
            if members.is_empty() {
                break;
            }
            let mut left = false;
            for pid in members {
                let ours = Process::open(pid).and_then(|p| p.identity()).is_ok_and(|is| is.uids == [account.uid; 4]);
                if end && ours {
                    left = true;
                    done.insert(pid);
                } else if let Some(freezer) = &self.freezer {
                    let place = caught.iter().find(|c| c.process.pid == pid).map_or(first, |c| c.place.as_str());
                    match freezer.put_back(pid, place) {
                        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                        _ => drop(done.insert(pid)),
                    }
                }
            }
            if left {
                if !cage.kill()? {
                    cage.members()?.into_iter().filter_map(|pid| Process::open(pid).ok()).for_each(|p| drop(p.kill()));
                    cage.thaw()?; // a frozen v1 process dies when it thaws
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(done.len())
    }

    fn signal_on(&self, account: &AccountRef, caught: &[Caught], end: bool) -> Result<usize, String> {
        let mut done = 0;
        // Backwards, so that a guard wakes when what it guards runs already and is not started twice.
        for Caught { process, was_stopped, .. } in caught.iter().rev() {
            let held = match self.take(account, process) {
                Ok((held, _)) => held,
                Err(Miss::Gone(_)) => continue,
                Err(Miss::Guard(why)) => return Err(why),
            };
            let sent = match (end, was_stopped) {
                (true, _) => held.kill(),
                (false, true) => Ok(()),
                (false, false) => held.go_on(),
            };
            match sent {
                Err(e) if held.is_alive() => return Err(format!("pid {}: {e}", process.pid)),
                _ => done += 1,
            }
            if end && !held.wait_end(LOOK * LOOKS_MAX as u32) {
                return Err(format!("pid {} did not end", process.pid));
            }
        }
        Ok(done)
    }

    /// A pid is written, not a pidfd: if the process ended meanwhile the number may be another's, who goes back.
    fn move_in(&self, cage: &Cage, held: &Process) -> std::io::Result<()> {
        cage.add(held.pid())?;
        if !held.is_alive() && cage.members()?.contains(&held.pid()) {
            self.freezer.as_ref().map_or(Ok(()), |freezer| freezer.put_back(held.pid(), ""))?;
        }
        Ok(())
    }

    fn open(&self, pid: u32) -> std::io::Result<Process> {
        match &self.hands {
            None => Process::open(pid),
            Some(hands) => Process::from_pidfd(hands.find(pid).ok_or(std::io::ErrorKind::PermissionDenied)?),
        }
    }

    fn take(&self, account: &AccountRef, wanted: &ProcessRef) -> Result<(Process, Identity), Miss> {
        let pid = wanted.pid;
        if pid <= 1 {
            return Err(Miss::Guard("pid 1 keeps the node running; it is never touched".into()));
        }
        let gone = |what: &str| Miss::Gone(format!("pid {pid} {what}"));
        let held = self.open(pid).map_err(|e| match e.kind() {
            std::io::ErrorKind::PermissionDenied if Process::open(pid).is_ok() => {
                Miss::Guard(format!("pid {pid} was not handed over; only processes of the demo may be touched"))
            }
            _ => gone("has ended"),
        })?;
        let is = held.identity().map_err(|_| gone("has ended"))?;
        if is.start_ticks != wanted.start_ticks {
            return Err(gone("is another process now (it started at another time)"));
        }
        if matches!(is.state, 'Z' | 'X') {
            return Err(gone("has ended"));
        }
        guard::process(&self.own, account, &held, &is).map_err(Miss::Guard)?;
        if is.exe != Some((wanted.exe_dev, wanted.exe_ino)) {
            return Err(gone("runs another program now"));
        }
        Ok((held, is))
    }

    fn caught(&self, held: &Process, process: ProcessRef, is: &Identity) -> Caught {
        let cgroups = held.cgroups().unwrap_or_default();
        let place = self.freezer.as_ref().map_or_else(String::new, |freezer| freezer.place_of(&cgroups));
        Caught { process, place, was_stopped: matches!(is.state, 'T' | 't') }
    }

    fn freezer(&self) -> Result<&Freezer, String> {
        self.freezer
            .as_ref()
            .ok_or_else(|| "no freezer cgroup can be written to any more; remount it or restart as root".into())
    }

    /// Most rounds of [`Ice::children`].
    pub const ROUNDS_MAX: usize = ROUNDS_MAX;
}

/// The folder of a restriction below `hikeshi/` in the freezer.
pub fn cage_name(id: RestrictionId) -> String {
    id.to_string().replace('/', "-")
}

fn reference(is: &Identity) -> Option<ProcessRef> {
    let (exe_dev, exe_ino) = is.exe?;
    Some(ProcessRef { pid: is.pid, start_ticks: is.start_ticks, uid: is.uids[0], exe_dev, exe_ino })
}
