//! What each role may: uid, capabilities, files, system calls, sockets. One table for the roles, the page
//! `docs/roles.md` and the tests that hold both against the running processes.
//!
//! A role calls [`Rights::enter`] after it opened what it needs and before it starts a thread or reads a byte that
//! somebody else wrote. What cannot be put in force is logged and left in a file for `hikeshi status`.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sys::sandbox::attempt::Attempt;
use sys::sandbox::calls::{self, Call};
use sys::sandbox::{Calls, CapabilitySet, Files, Missing, Sandbox};

use crate::clock::Clock;
use crate::config::Config;
use crate::exit::CommandError;
use crate::role::Role;

/// Threads of a role that has a uid of its own.
const THREADS_MAX: u64 = 64;

/// Looks at every process and reads every account's files, logs and tables.
const SENSE: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::SYS_PTRACE);

/// Files of every account are set aside and put back, processes are held, packet filters written, programs that do so
/// are started, and a child takes the tenant's uid. `SYS_PTRACE`: which program a process runs (`/proc/PID/exe`).
const ACT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    // Whether somebody still writes to a crontab, before the one that was exchanged for it is dropped.
    .union(CapabilitySet::LEASE)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_PTRACE);

/// Ends roles of other uids; the roles drop the rest of [`STARTED`] themselves.
const SERVE: CapabilitySet = CapabilitySet::KILL;

/// What a role can have when it is started: what `act` and `sense` keep, and `SETPCAP`, with which they drop the rest.
const STARTED: CapabilitySet = ACT.union(SENSE).union(CapabilitySet::SETPCAP);

/// The users of the roles, from passwd(5), which is root's.
#[derive(Clone, Debug)]
pub struct Users {
    /// The uid that the role was started with.
    pub start: u32,
    found: Result<[User; 3], String>,
}

/// One user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Uid, outside of the tenants'.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// Names in passwd(5), in the order of [`Users::found`].
pub const NAMES: [(Role, &str); 3] =
    [(Role::Sense, "hikeshi-sense"), (Role::Core, "hikeshi-core"), (Role::Desk, "hikeshi-desk")];

impl Users {
    /// All three or none: a half-separated node would be hard to reason about.
    pub fn find(config: &Config) -> Users {
        let start = rustix::process::geteuid().as_raw();
        let found = match start {
            0 => Users::look_up(config),
            uid => Err(format!("without root all roles run under uid {uid}; run `hikeshi serve` as root")),
        };
        Users { start, found }
    }

    fn look_up(config: &Config) -> Result<[User; 3], String> {
        let passwd = &config.node.passwd.0;
        let text =
            std::fs::read(passwd).map_err(|e| format!("{}: {e}; the roles keep root's uid", passwd.display()))?;
        let tenants = &config.node.tenant_uids;
        let find = |name: &str| {
            let user = user(&text, name).ok_or_else(|| {
                let from = passwd.display();
                format!("the roles keep root's uid: no user {name} in {from}; `hikeshi setup` makes it")
            })?;
            match user.uid == 0 || (tenants.first..=tenants.last).contains(&user.uid) {
                false => Ok(user),
                true => Err(format!(
                    "the roles keep root's uid: {name} has uid {}, which is root's or a tenant's; give it one below 1000",
                    user.uid
                )),
            }
        };
        let found = [find(NAMES[0].1)?, find(NAMES[1].1)?, find(NAMES[2].1)?];
        if (0..3).any(|i| found[i].uid == found[(i + 1) % 3].uid) {
            return Err("the roles keep root's uid: two of their users have the same uid; give each its own".into());
        }
        // `serve` opens its own two folders; in the third lies the stop file, which the core looks for.
        let folders = [(&config.paths.state.0, 1), (&config.paths.run.0, 1), (&config.paths.etc.0, 0)];
        for (folder, ours) in folders {
            if let Some(closed) = folder.ancestors().skip(ours).find(|above| !is_open(above)) {
                return Err(format!(
                    "the roles keep root's uid: {} is closed to others, so they could not reach {}; chmod o+x it",
                    closed.display(),
                    folder.display()
                ));
            }
        }
        Ok(found)
    }

    /// Whether passwd(5) has a user of this name.
    pub fn exists(config: &Config, name: &str) -> bool {
        std::fs::read(&config.node.passwd.0).is_ok_and(|text| user(&text, name).is_some())
    }

    /// The user that a role changes to, if it does.
    pub fn user(&self, role: Role) -> Option<User> {
        let at = NAMES.iter().position(|(named, _)| *named == role)?;
        self.found.as_ref().ok().map(|users| users[at])
    }

    /// The uid that a role has in the end.
    pub fn uid(&self, role: Role) -> u32 {
        self.user(role).map_or(self.start, |user| user.uid)
    }

    /// The group that may connect to what the core connects to.
    pub fn core_group(&self) -> Option<u32> {
        self.user(Role::Core).map(|user| user.gid)
    }
}

fn user(passwd: &[u8], name: &str) -> Option<User> {
    passwd.split(|b| *b == b'\n').find_map(|line| {
        let fields: Vec<&str> = std::str::from_utf8(line).ok()?.split(':').collect();
        let [found, _, uid, gid, ..] = fields[..] else { return None };
        (found == name).then_some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

/// Whether everybody may pass through; what is not there yet is made so.
fn is_open(folder: &Path) -> bool {
    std::fs::metadata(folder).map_or(true, |meta| meta.mode() & 0o001 != 0)
}

/// What one process keeps.
pub struct Rights {
    name: &'static str,
    sandbox: Sandbox,
    sockets: &'static str,
    unprivileged: bool,
    lacking: Vec<Missing>,
    run: PathBuf,
}

impl Rights {
    /// Of a role.
    pub fn of(role: Role, config: &Config, clock: &Clock, users: &Users) -> Rights {
        let none = CapabilitySet::empty();
        let own = users.user(role);
        let state = &config.paths.state.0;
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        // A demo's clock is replaced by rename, so the folder is what can be named.
        let mut read = match clock {
            Clock::File(file) => file.parent().map(Path::to_path_buf).into_iter().collect(),
            Clock::System => Vec::new(),
        };
        let (capabilities, bounding, files, calls, sockets) = match role {
            Role::Act => (ACT, ACT, None, Calls::AllBut(calls::never()), "listens at act.sock; answers the core"),
            Role::Sense => (
                SENSE,
                none,
                None,
                only([calls::basic(), calls::speak(), calls::look(), calls::answer()]),
                "listens at sense.sock; answers the core; hears starts of programs from the kernel; makes no further socket",
            ),
            Role::Core => {
                read.extend(paths(&["/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom"]));
                let files = Files { read, write: vec![state.join("core")] };
                let calls = only([calls::basic(), calls::keep(), calls::answer(), calls::connect(calls::LOCAL)]);
                (
                    none,
                    none,
                    Some(files),
                    calls,
                    "listens at core.sock for root; connects to the roles; local ones only",
                )
            }
            Role::Desk => {
                // Resolver, name services and certificates; /etc as a whole, because resolv.conf is replaced.
                read.extend(paths(&[
                    "/etc",
                    "/usr/lib",
                    "/lib",
                    "/lib64",
                    "/usr/share/zoneinfo",
                    "/usr/share/ca-certificates",
                    "/usr/local/share/ca-certificates",
                    "/run/systemd/resolve",
                    "/run/NetworkManager",
                    "/run/resolvconf",
                ]));
                let calls = only([
                    calls::basic(),
                    calls::look(),
                    calls::answer(),
                    calls::connect(calls::INTERNET),
                    calls::load(),
                ]);
                let files = Some(Files { read, write: Vec::new() });
                (none, none, files, calls, "listens at desk.sock; answers the core; makes internet sockets only")
            }
        };
        let sandbox = Sandbox {
            user: own.map(|user| (user.uid, user.gid)),
            capabilities,
            bounding,
            files,
            calls,
            threads_max: own.map(|_| THREADS_MAX),
            // Without root the senses see the other roles as processes of their own uid.
            visible: users.start != 0,
        };
        Rights::new(role.name(), sandbox, sockets, config, users, role != Role::Act)
    }

    /// Of the parent of the roles.
    pub fn of_parent(config: &Config, users: &Users) -> Rights {
        let sandbox = Sandbox {
            user: None,
            capabilities: SERVE,
            bounding: STARTED,
            files: None,
            calls: Calls::AllBut(calls::never()),
            threads_max: None,
            visible: users.start != 0,
        };
        Rights::new("serve", sandbox, "connects to core.sock to see whether it lives", config, users, false)
    }

    fn new(
        name: &'static str,
        sandbox: Sandbox,
        sockets: &'static str,
        config: &Config,
        users: &Users,
        separate: bool,
    ) -> Rights {
        let lacking = users.found.as_ref().err().filter(|_| separate).map(|why| Missing(why.clone()));
        let run = config.paths.run.0.clone();
        let unprivileged = users.start != 0;
        Rights { name, sandbox, sockets, unprivileged, lacking: lacking.into_iter().collect(), run }
    }

    /// Gives up everything else. What could not be put in force is logged and left for `status`.
    pub fn enter(&self) -> Result<(), CommandError> {
        let path = noted(&self.run, self.name);
        let cannot = |e: std::io::Error| CommandError::failure(format!("{}: {e}", path.display()));
        let mut note = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&path)
            .map_err(cannot)?;
        let mut written = Ok(());
        self.apply(&mut |missing| {
            tracing::warn!(role = self.name, "not in force: {missing}");
            written = std::mem::replace(&mut written, Ok(())).and_then(|()| writeln!(note, "{missing}"));
        })?;
        written.map_err(cannot)
    }

    /// The same without a note.
    pub fn apply(&self, missing: &mut dyn FnMut(Missing)) -> Result<(), CommandError> {
        self.lacking.iter().cloned().for_each(&mut *missing);
        self.sandbox.apply(missing).map_err(|e| {
            let name = self.name;
            CommandError::failure(format!("the role {name} cannot give up its rights: {e}; it does not run with them"))
        })
    }

    /// The row of the table.
    pub fn row(&self) -> Row {
        let (only, calls) = match &self.sandbox.calls {
            Calls::Only(calls) => (true, calls),
            Calls::AllBut(calls) => (false, calls),
        };
        let mut names: Vec<String> = calls.iter().map(|call| call.name.to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        for name in &mut names {
            let unconditional = calls.iter().any(|call| call.name == *name && call.ways.is_empty());
            name.push_str(if unconditional { "" } else { "*" });
        }
        let capabilities = if self.unprivileged { CapabilitySet::empty() } else { self.sandbox.capabilities };
        Row {
            role: self.name,
            user: self.sandbox.user,
            capabilities: capabilities.bits(),
            capability_names: words(capabilities),
            bounding: self.sandbox.bounding.bits(),
            bounding_names: words(self.sandbox.bounding),
            read: self.sandbox.files.as_ref().map(|f| f.read.clone()),
            write: self.sandbox.files.as_ref().map(|f| f.write.clone()),
            only,
            calls: names,
            sockets: self.sockets,
        }
    }
}

fn only<const N: usize>(groups: [Vec<Call>; N]) -> Calls {
    Calls::Only(groups.concat())
}

fn words(set: CapabilitySet) -> Vec<String> {
    set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

/// One role, as it is printed.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name; `serve` is the parent.
    pub role: &'static str,
    /// Uid and gid that it changes to.
    pub user: Option<(u32, u32)>,
    /// Effective and permitted, as in `/proc/PID/status`.
    pub capabilities: u64,
    /// The same in words.
    pub capability_names: Vec<String>,
    /// What programs that it starts have at most.
    pub bounding: u64,
    /// The same in words.
    pub bounding_names: Vec<String>,
    /// Landlock: what can be read; absent: no domain.
    pub read: Option<Vec<PathBuf>>,
    /// Landlock: where can be written.
    pub write: Option<Vec<PathBuf>>,
    /// Whether `calls` are all that can be made, or all that cannot.
    pub only: bool,
    /// System calls; with a star those of which only some arguments are meant.
    pub calls: Vec<String>,
    /// Sockets.
    pub sockets: &'static str,
}

/// Where a role leaves what could not be put in force.
fn noted(run: &Path, role: &str) -> PathBuf {
    run.join(format!("{role}.missing"))
}

/// What is not in force in the roles that ran last, for `status`; each line once.
pub fn missing(config: &Config) -> Vec<String> {
    let roles = ["serve"].into_iter().chain(Role::ALL.map(Role::name));
    let texts = roles.filter_map(|role| std::fs::read_to_string(noted(&config.paths.run.0, role)).ok());
    let mut lines = Vec::new();
    for line in texts.collect::<String>().lines().map(str::to_owned) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// What a role must never do. `target`: a tenant's file.
pub fn attempts(role: Role, config: &Config, target: Option<&Path>) -> Vec<Attempt> {
    use Attempt::*;
    let (state, run) = (&config.paths.state.0, &config.paths.run.0);
    let socket = |name: &str| Local(run.join(name));
    let mut all = vec![
        Capabilities,
        Trace,
        Memory,
        Mount,
        Chroot,
        NameSpace,
        Enter,
        Module,
        Bpf,
        Events,
        Keyring,
        Ring,
        Faults,
        Clock,
        Packets,
        Handle,
    ];
    if role == Role::Act {
        return all;
    }
    all.extend([Root, Fork, Signal]);
    all.extend(["/etc/shadow", "/etc/passwd", "/proc/sys/kernel/core_pattern"].map(|path| Write(path.into())));
    all.extend([
        Make(std::env::temp_dir().join("hikeshi-attempt")),
        Make(run.join("attempt")),
        Make(state.join("attempt")),
    ]);
    all.extend(target.map(|path| Write(path.to_owned())));
    match role {
        Role::Act => {}
        Role::Sense => {
            all.extend([Executable, Internet(25), Write(config.store())]);
            all.extend(["act.sock", "core.sock", "desk.sock"].map(socket));
        }
        Role::Core => {
            all.extend([Executable, Internet(25), Read("/etc/shadow".into()), Read(state.join("act"))]);
            all.extend(target.map(|path| Read(path.to_owned())));
        }
        Role::Desk => {
            all.extend([Read("/etc/shadow".into()), Read(config.store()), Read(state.join("act"))]);
            all.extend(target.map(|path| Read(path.to_owned())));
            all.extend(["act.sock", "core.sock", "sense.sock"].map(socket));
        }
    }
    all.push(Shell);
    all
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::expect_file;

    use super::*;

    fn rows() -> Vec<Row> {
        let user = |uid| User { uid, gid: uid };
        let users = Users { start: 0, found: Ok([user(1), user(2), user(3)]) };
        let config = Config::default();
        let role = |role| Rights::of(role, &config, &Clock::System, &users).row();
        Role::ALL.map(role).into_iter().chain([Rights::of_parent(&config, &users).row()]).collect()
    }

    /// The page. `UPDATE_EXPECT=1 cargo test -p hikeshi` writes it anew.
    #[test]
    fn the_page_of_roles_says_what_the_code_does() {
        let mut page = String::from(
            "# What each role may\n\nMade from `hikeshi/src/role/rights.rs` by its test; \
             `tests/tests/roles.rs` holds it against running roles. Why it is so:\n\
             [decision 7](decisions/0007-rights-of-roles.md). Of all: no new privileges, no core file, no ambient or \
             inheritable\ncapability, not visible to a debugger, no supplementary group where the uid is the role's own.\n",
        );
        let list = |items: &[String]| match items {
            [] => "none".to_owned(),
            items => items.join(", "),
        };
        let paths = |items: &Option<Vec<PathBuf>>, none: &str| match items {
            None => none.to_owned(),
            Some(items) => list(&items.iter().map(|p| p.display().to_string()).collect::<Vec<_>>()),
        };
        for row in rows() {
            let uid = match NAMES.iter().find(|(role, _)| role.name() == row.role) {
                Some((_, name)) => format!("`{name}`"),
                None => "root".to_owned(),
            };
            let calls = if row.only { "System calls, these alone" } else { "System calls, all but" };
            let (no_read, no_write) = match row.only {
                true => ("whatever its uid and capabilities can", "nothing; opens without a flag that writes"),
                false => ("whatever its uid and capabilities can", "the same"),
            };
            writeln!(page, "\n## {}\n\n| | |\n|---|---|\n| Uid | {uid} |", row.role).unwrap();
            writeln!(page, "| Capabilities | {} |", list(&row.capability_names)).unwrap();
            writeln!(page, "| Programs that it starts, at most | {} |", list(&row.bounding_names)).unwrap();
            writeln!(page, "| Reads | {} |", paths(&row.read, no_read)).unwrap();
            writeln!(page, "| Writes | {} |", paths(&row.write, no_write)).unwrap();
            writeln!(page, "| Sockets | {} |", row.sockets).unwrap();
            writeln!(page, "| {calls} (* with some arguments) | {} |", list(&row.calls)).unwrap();
        }
        expect_file!["../../../docs/roles.md"].assert_eq(&page);
    }

    #[test]
    fn the_unit_gives_what_the_roles_keep_and_no_more() {
        let unit = include_str!("../../../packaging/hikeshi.service");
        let given = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
        let mut given: Vec<&str> = given.split(' ').collect();
        let mut kept = words(STARTED);
        given.sort_unstable();
        kept.sort_unstable();
        assert_eq!(given, kept);
    }

    #[test]
    fn users_are_taken_when_all_three_are_there_and_apart_from_root_and_tenants() {
        let folder = tempfile::tempdir().unwrap();
        let check = |passwd: &str, mode: u32| {
            let path = folder.path().join("passwd");
            std::fs::write(&path, passwd).unwrap();
            std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            let at = folder.path().display();
            let text = format!(
                "[node]\npasswd = \"{at}/passwd\"\ntenant_uids = \"2000-2999\"\n\
                 [paths]\nstate = \"{at}/state\"\nrun = \"{at}/run\"\netc = \"{at}\"\n"
            );
            Users::look_up(&Config::parse(Path::new("t.toml"), &text).unwrap())
        };
        let table = |sense: u32, core: u32, desk: u32| {
            let line = |name, uid| format!("hikeshi-{name}:x:{uid}:{}::/:/bin/false\n", uid + 1);
            line("sense", sense) + &line("core", core) + &line("desk", desk)
        };
        let found = check(&table(991, 992, 993), 0o711).unwrap();
        assert_eq!(found[1], User { uid: 992, gid: 993 });
        let refused = [
            (check("root:x:0:0::/root:/bin/sh\n", 0o711), "hikeshi setup"),
            (check(&table(991, 992, 991), 0o711), "same uid"),
            (check(&table(991, 0, 993), 0o711), "root's or a tenant's"),
            (check(&table(991, 992, 2500), 0o711), "root's or a tenant's"),
            (check(&table(991, 992, 993), 0o700), "chmod o+x"),
        ];
        for (result, why) in refused {
            let said = result.unwrap_err();
            assert!(said.contains(why) && said.contains("the roles keep root's uid"), "{said}");
        }
    }
}
