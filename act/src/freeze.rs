//! Makes processes stand still and lets them go on, without ever touching another one by mistake.
//!
//! Each process is held by pidfd and recognised by start time, uid and program before anything is done. The
//! given order is kept, because guards that restart others come first.

use std::time::Duration;

use model::{AccountRef, Failure, ProcessRef, RestrictionId};
use sys::cgroup::Freezer;
use sys::process::{Hands, Identity, Process};

use crate::guard::{self, Own};
use crate::journal::{Caught, Means};

/// How long processes may take to stand still, or to end.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Rounds in which children that were forked meanwhile are caught, most.
pub const ROUNDS_MAX: usize = 16;
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

/// The processes of one restriction, and how they are made to stand still.
#[derive(Clone, Copy, Debug)]
pub struct Pack<'a> {
    pub id: RestrictionId,
    pub means: Means,
    pub account: &'a AccountRef,
    pub caught: &'a [Caught],
}

impl Pack<'_> {
    /// The folder of the restriction below `hikeshi/` in the freezer.
    fn cage(&self) -> String {
        self.id.to_string().replace('/', "-")
    }
}

impl Ice {
    /// By which means processes are stopped here.
    pub fn means(&self) -> Means {
        if self.freezer.is_some() { Means::Cage } else { Means::Signal }
    }

    /// Checks each process: those that are what they were, in the given order.
    ///
    /// What may not be touched is left out and counts as not there: a child that runs a setuid program must not
    /// save the rest. Errors, when none is left: `Guard` if one may not be touched, else `Gone`.
    pub fn check(&self, account: &AccountRef, wanted: &[ProcessRef]) -> Result<Vec<Caught>, Failure> {
        let (mut found, mut why) = (Vec::new(), Failure::Gone("no process was named".into()));
        for process in wanted {
            match self.take(account, process) {
                Ok((held, is)) => found.push(self.caught(&held, process.clone(), &is)),
                Err(Failure::Gone(_)) if matches!(why, Failure::Guard(_)) => {}
                Err(reason) => why = reason,
            }
        }
        if found.is_empty() { Err(why) } else { Ok(found) }
    }

    /// Children of the caught that are not caught yet: exactly the account's uid, parent among the caught.
    pub fn children(&self, account: &AccountRef, caught: &[Caught]) -> Vec<Caught> {
        let known = caught.iter().map(|c| c.process.pid).collect();
        let family = sys::process::family(&known, account.uid, |pid| self.open(pid));
        let new = family.iter().filter(|(process, is)| guard::process(&self.own, account, process, is).is_ok());
        let room = CAUGHT_MAX.saturating_sub(caught.len());
        new.filter_map(|(process, is)| Some(self.caught(process, reference(is)?, is))).take(room).collect()
    }

    /// Stops these processes; those that ended meanwhile are no error.
    pub fn stop(&self, pack: &Pack<'_>) -> Result<(), String> {
        let cage = match pack.means {
            Means::Cage => {
                let freezer = self.freezer()?;
                let cage = freezer.cage(&pack.cage()).map_err(|e| e.to_string())?;
                // Ordered first: what is moved in stands still at once, the guard before what it guards.
                cage.freeze().map_err(|e| format!("freezer folder {}: {e}", pack.cage()))?;
                Some((freezer, cage))
            }
            Means::Signal => None,
        };
        for Caught { process, .. } in pack.caught {
            let Ok((held, _)) = self.take(pack.account, process) else { continue };
            let done = match &cage {
                Some((freezer, cage)) => freezer.catch(cage, &held),
                None => held.stop(),
            };
            if let Err(e) = done
                && held.is_alive()
            {
                return Err(format!("pid {} cannot be stopped: {e}", process.pid));
            }
        }
        Ok(())
    }

    /// Whether these stand still, within a bounded number of looks.
    pub fn settles(&self, pack: &Pack<'_>) -> bool {
        sys::clock::settles(SETTLE_MAX, || self.stands(pack).is_ok_and(|(still, _)| still))
    }

    /// Whether everything stands still now, and how many processes that are.
    pub fn stands(&self, pack: &Pack<'_>) -> Result<(bool, usize), String> {
        let alive = pack.caught.iter().filter_map(|c| Some(self.take(pack.account, &c.process).ok()?.1));
        let alive: Vec<Identity> = alive.collect();
        match pack.means {
            Means::Signal => Ok((alive.iter().all(|is| is.is_stopped()), alive.len())),
            Means::Cage => {
                let pids: Vec<u32> = alive.iter().map(|is| is.pid).collect();
                self.freezer()?.stands(&pack.cage(), &pids).map_err(|e| e.to_string())
            }
        }
    }

    /// Lets everything go on where it was before, or ends it; then nothing of ours is left. Says how many.
    pub fn let_go(&self, pack: &Pack<'_>, end: bool) -> Result<usize, String> {
        if pack.means == Means::Signal {
            return self.signal_on(pack, end);
        }
        let first = pack.caught.first().map_or("", |c| c.place.as_str());
        let place = |pid| pack.caught.iter().find(|c| c.process.pid == pid).map_or(first, |c| c.place.as_str());
        let ours = |pid| Process::open(pid).and_then(|p| p.identity()).is_ok_and(|is| is.uids == [pack.account.uid; 4]);
        let done = self.freezer()?.release(&pack.cage(), place, |pid| end && ours(pid));
        done.map_err(|e| format!("{e}; lift again"))
    }

    fn signal_on(&self, pack: &Pack<'_>, end: bool) -> Result<usize, String> {
        let mut done = 0;
        // Backwards, so that a guard wakes when what it guards runs already and is not started twice.
        for Caught { process, was_stopped, .. } in pack.caught.iter().rev() {
            let held = match self.take(pack.account, process) {
                Ok((held, _)) => held,
                Err(Failure::Gone(_)) => continue,
                Err(why) => return Err(why.to_string()),
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
            if end && !held.wait_end(SETTLE_MAX) {
                return Err(format!("pid {} did not end", process.pid));
            }
        }
        Ok(done)
    }

    fn open(&self, pid: u32) -> std::io::Result<Process> {
        self.hands.as_ref().map_or_else(|| Process::open(pid), |hands| hands.open(pid))
    }

    /// The process that is meant: `Gone` if it is not there any more, `Guard` if it may not be touched.
    fn take(&self, account: &AccountRef, wanted: &ProcessRef) -> Result<(Process, Identity), Failure> {
        let ProcessRef { pid, uid, .. } = *wanted;
        if uid != account.uid {
            return Err(Failure::Guard(format!(
                "pid {pid} belongs to uid {uid}, not to {account}; look at it yourself"
            )));
        }
        if pid <= 1 {
            return Err(Failure::Guard("pid 1 keeps the node running; it is never touched".into()));
        }
        let gone = |what: &str| Failure::Gone(format!("pid {pid} {what}"));
        let held = self.open(pid).map_err(|e| match e.kind() {
            std::io::ErrorKind::PermissionDenied if Process::open(pid).is_ok() => {
                Failure::Guard(format!("pid {pid} was not handed over; only processes of the demo may be touched"))
            }
            _ => gone("has ended"),
        })?;
        let is = held.identity().map_err(|_| gone("has ended"))?;
        if is.start_ticks != wanted.start_ticks {
            return Err(gone("is another process now (it started at another time)"));
        }
        if is.has_ended() {
            return Err(gone("has ended"));
        }
        guard::process(&self.own, account, &held, &is).map_err(Failure::Guard)?;
        if is.exe != Some((wanted.exe_dev, wanted.exe_ino)) {
            return Err(gone("runs another program now"));
        }
        Ok((held, is))
    }

    fn caught(&self, held: &Process, process: ProcessRef, is: &Identity) -> Caught {
        let cgroups = held.cgroups().unwrap_or_default();
        let place = self.freezer.as_ref().map_or_else(String::new, |freezer| freezer.place_of(&cgroups));
        Caught { process, place, was_stopped: is.is_stopped() }
    }

    fn freezer(&self) -> Result<&Freezer, String> {
        self.freezer
            .as_ref()
            .ok_or_else(|| "no freezer cgroup can be written to any more; remount it or restart as root".into())
    }
}

fn reference(is: &Identity) -> Option<ProcessRef> {
    let (exe_dev, exe_ino) = is.exe?;
    Some(ProcessRef { pid: is.pid, start_ticks: is.start_ticks, uid: is.uids[0], exe_dev, exe_ino })
}
