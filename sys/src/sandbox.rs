//! What a process gives up for good: uid, capabilities, files (Landlock), system calls (seccomp), limits.
//!
//! Applied once, right after a process opened what it needs and before it starts a thread or reads a hostile byte.
//! What this kernel cannot enforce is returned as [`Missing`], never passed over: the caller tells a person.
//!
//! A process in a Landlock domain cannot look at processes outside of it (ptrace access checks, which guard
//! `/proc/PID/exe` and `/proc/PID/fd` too; capabilities do not help: kernel, "Landlock: ptrace restrictions").
//! So those that must see other processes have no `files`, and their filter of calls forbids writing instead.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
pub use rustix::thread::CapabilitySet;
use rustix::thread::{CapabilitySets, Gid, Uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

pub mod attempt;
pub mod calls;

use calls::{Call, Test};

/// Everything that a process may keep.
#[derive(Debug)]
pub struct Sandbox {
    /// Uid and gid to change to, without supplementary groups; `None` keeps what the process has.
    pub user: Option<(u32, u32)>,
    /// Capabilities that stay effective.
    pub capabilities: CapabilitySet,
    /// Capabilities that programs which it starts can have at most. It keeps them itself, not effective: without new
    /// privileges a program of root has no more than its parent was permitted (capabilities(7), prctl(2)).
    pub bounding: CapabilitySet,
    /// Which files can be opened; `None`: not restricted by path.
    pub files: Option<Files>,
    /// Which system calls can be made.
    pub calls: Calls,
    /// Most processes and threads of its uid; `None`: as it is. Only for a uid that nobody else has.
    pub threads_max: Option<u64>,
    /// Whether other processes of the same uid may look into it (core files, ptrace, `/proc/PID/exe`).
    pub visible: bool,
}

/// Files by path; whatever is not there is left out.
#[derive(Debug, Default)]
pub struct Files {
    /// Files that can be read, and everything below folders.
    pub read: Vec<PathBuf>,
    /// Folders below which files can be read, made, changed and removed.
    pub write: Vec<PathBuf>,
}

/// A filter of system calls; what it refuses fails with EPERM.
#[derive(Debug)]
pub enum Calls {
    /// These and no others.
    Only(Vec<Call>),
    /// All but these.
    AllBut(Vec<Call>),
}

/// A restriction that could not be put in force, and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Sandbox {
    /// Gives up everything else, for good. The process must have one thread. `missing` hears of each restriction that
    /// this kernel cannot enforce, while the calls are not filtered yet: it can still write that down.
    ///
    /// Errors: the change of uid or capabilities failed, or there is more than one thread; then the process must
    /// end, because half of it may be in force.
    pub fn apply(&self, missing: &mut dyn FnMut(Missing)) -> io::Result<()> {
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        if threads != 1 {
            return Err(io::Error::other(format!("a sandbox is for a process with one thread, this has {threads}")));
        }
        let none = |what| Rlimit { current: Some(what), maximum: Some(what) };
        setrlimit(Resource::Core, none(0))?;
        self.drop_bounding(missing)?;
        self.change_user()?;
        if let Some(most) = self.threads_max {
            setrlimit(Resource::Nproc, none(most))?;
        }
        self.keep_capabilities(missing)?;
        rustix::thread::set_no_new_privs(true)?;
        if !self.visible {
            set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        }
        if let Some(files) = &self.files {
            files.restrict().into_iter().for_each(&mut *missing);
        }
        self.calls.restrict().into_iter().for_each(missing);
        Ok(())
    }

    fn drop_bounding(&self, missing: &mut dyn FnMut(Missing)) -> io::Result<()> {
        let now = rustix::thread::capabilities(None)?;
        if !now.effective.contains(CapabilitySet::SETPCAP) {
            if rustix::process::geteuid().is_root() {
                missing(Missing(
                    "the bounding set of capabilities stays as it is: add CAP_SETPCAP to the service's bounding set"
                        .into(),
                ));
            }
            return Ok(());
        }
        for bit in 0..64 {
            let one = CapabilitySet::from_bits_retain(1 << bit);
            if self.bounding.contains(one) || !rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false) {
                continue;
            }
            rustix::thread::remove_capability_from_bounding_set(one)?;
        }
        Ok(())
    }

    fn change_user(&self) -> io::Result<()> {
        let Some((uid, gid)) = self.user else { return Ok(()) };
        // Or the kernel would take the capabilities away with uid 0 (capabilities(7)).
        rustix::thread::set_keep_capabilities(true)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        Ok(rustix::thread::set_keep_capabilities(false)?)
    }

    fn keep_capabilities(&self, missing: &mut dyn FnMut(Missing)) -> io::Result<()> {
        let had = rustix::thread::capabilities(None)?.permitted;
        let wanted = self.capabilities | self.bounding;
        let kept = wanted & had;
        if kept != wanted && (self.user.is_some() || rustix::process::geteuid().is_root()) {
            let lost = wanted - kept;
            missing(Missing(format!(
                "capabilities that are needed were not given: {lost:?}; add them to the service's bounding set"
            )));
        }
        let sets = CapabilitySets {
            effective: kept & self.capabilities,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, sets)?;
        match rustix::thread::clear_ambient_capability_set() {
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()), // no ambient set before Linux 4.3
            Err(error) => Err(error.into()),
        }
    }
}

impl Files {
    fn restrict(&self) -> Option<Missing> {
        /// Truncation (3), device ioctls (5), signals and abstract sockets (6): what older kernels lack is told.
        const WANTED: ABI = ABI::V6;
        let beneath = |paths: &[PathBuf], access| {
            let opened: Vec<_> =
                paths.iter().filter_map(|path| Some((path.is_dir(), PathFd::new(path).ok()?))).collect();
            opened.into_iter().map(move |(folder, fd)| {
                let access = if folder { access } else { access & AccessFs::from_file(WANTED) };
                Ok::<_, landlock::RulesetError>(PathBeneath::new(fd, access))
            })
        };
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = read
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::RemoveFile
            | AccessFs::RemoveDir;
        let restricted = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(WANTED))
            .and_then(|r| r.scope(Scope::Signal | Scope::AbstractUnixSocket))
            .and_then(|r| r.create())
            .and_then(|r| r.add_rules(beneath(&self.read, read)))
            .and_then(|r| r.add_rules(beneath(&self.write, write)))
            .and_then(|r| r.restrict_self());
        match restricted.map(|status| status.ruleset) {
            Ok(RulesetStatus::FullyEnforced) => None,
            Ok(RulesetStatus::PartiallyEnforced) => Some(Missing(
                "files are restricted by path only in part: this kernel's Landlock is old; Linux 6.12 has all of it".into(),
            )),
            Ok(RulesetStatus::NotEnforced) => Some(Missing(
                "files are not restricted by path: this kernel has no Landlock; boot Linux 5.13 or later with lsm=landlock".into(),
            )),
            Err(error) => Some(Missing(format!("files are not restricted by path: {error}"))),
        }
    }
}

impl Calls {
    fn restrict(&self) -> Option<Missing> {
        let refused = SeccompAction::Errno(libc::EPERM as u32);
        let (calls, mismatch, matched) = match self {
            Calls::Only(calls) => (calls, refused, SeccompAction::Allow),
            Calls::AllBut(calls) => (calls, SeccompAction::Allow, refused),
        };
        let unseen = match self {
            Calls::Only(_) => calls::UNSEEN,
            Calls::AllBut(_) => &calls::UNSEEN[..1],
        };
        let unseen: Vec<Call> = unseen.iter().map(|call| Call::plain(*call)).collect();
        let absent = SeccompAction::Errno(libc::ENOSYS as u32);
        let put = program(&unseen, SeccompAction::Allow, absent).and_then(|first| {
            // Of two refusals the later filter's is returned: it lets pass what the earlier one says is not there.
            let passed = if matches!(self, Calls::Only(_)) { unseen } else { Vec::new() };
            let second = program(&[&calls[..], &passed].concat(), mismatch, matched)?;
            seccompiler::apply_filter(&first).map_err(|e| e.to_string())?;
            seccompiler::apply_filter(&second).map_err(|e| e.to_string())
        });
        put.err().map(|why| {
            Missing(format!("system calls are not filtered ({why}); this kernel needs CONFIG_SECCOMP_FILTER"))
        })
    }
}

fn program(calls: &[Call], mismatch: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in calls {
        let rule = rules.entry(call.number).or_default();
        for way in &call.ways {
            let tests = way.iter().map(|(argument, test)| {
                let (op, value) = match *test {
                    Test::Is(value) => (SeccompCmpOp::Eq, value),
                    Test::IsNot(value) => (SeccompCmpOp::Ne, value),
                    Test::Above(value) => (SeccompCmpOp::Gt, value),
                    Test::Bits { mask, value } => (SeccompCmpOp::MaskedEq(mask), value),
                };
                SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, op, value)
            });
            let tests = tests.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
            rule.push(SeccompRule::new(tests).map_err(|e| e.to_string())?);
        }
    }
    // A call that is named without a condition is meant without one, whatever else is said of it.
    for call in calls.iter().filter(|call| call.ways.is_empty()) {
        rules.entry(call.number).or_default().clear();
    }
    let arch = std::env::consts::ARCH.try_into().map_err(|_| format!("no filter for {}", std::env::consts::ARCH))?;
    let filter = SeccompFilter::new(rules, mismatch, matched, arch).map_err(|e| e.to_string())?;
    filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> Sandbox {
        let none = CapabilitySet::empty();
        let calls = Calls::Only(calls::basic());
        Sandbox { user: None, capabilities: none, bounding: none, files: None, calls, threads_max: None, visible: true }
    }

    /// What it does to a process is tested with the roles, as processes of their own (`tests/tests/roles.rs`).
    #[test]
    fn a_process_with_several_threads_keeps_its_rights_and_is_told() {
        let wait = std::sync::Arc::new(std::sync::Barrier::new(2));
        let other = wait.clone();
        let thread = std::thread::spawn(move || other.wait());
        let mut told = Vec::new();
        let error = sandbox().apply(&mut |missing| told.push(missing)).unwrap_err();
        assert!(error.to_string().contains("one thread") && told.is_empty(), "{error}");
        assert!(!rustix::thread::no_new_privs().unwrap());
        wait.wait();
        thread.join().unwrap();
    }

    #[test]
    fn every_list_becomes_a_filter_and_a_call_without_condition_wins() {
        let groups = [calls::basic(), calls::speak(), calls::look(), calls::keep(), calls::answer(), calls::never()];
        for group in groups.into_iter().chain([calls::connect(calls::LOCAL), calls::connect(calls::INTERNET)]) {
            program(&group, SeccompAction::Errno(1), SeccompAction::Allow).unwrap();
        }
        let both = [calls::basic(), calls::load()].concat();
        let alone = |calls: &[Call]| {
            let mmap: Vec<Call> = calls.iter().filter(|call| call.name == "mmap").cloned().collect();
            program(&mmap, SeccompAction::Errno(1), SeccompAction::Allow).unwrap()
        };
        assert_eq!(alone(&both), alone(&calls::load()));
        assert_ne!(alone(&both), alone(&calls::basic()));
    }
}
