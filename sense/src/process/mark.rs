//! Marks of one process: single facts that the kernel reports or the process claims, none of them a judgement.

use std::net::IpAddr;

use model::{AccountEntry, Moment, Span};

use super::argument::{Code, code, code_runs_download, loops, miner_points, names_bare_address};
use super::place::{Place, has_hidden_part, place};
use super::table::{Process, Proto, SocketState, State, Table};
use super::word::{
    base, contains, is_downloader, is_interpreter, is_kernel_thread, is_miner_name, is_pool_program, is_service_daemon,
    is_shell, is_system_daemon, is_system_tool, same_program,
};

/// From this age on a process is no passing step of something else.
const LONG: Span = Span::minutes(10);
/// CPU use over its life that counts as heavy: half a core, for at least five minutes.
const HEAVY_LIFE: Span = Span::minutes(5);
/// Mail hosts at once from which on it is no relay and no fail-over: a mailer of an owner has one or two.
const MAIL_HOSTS: usize = 5;
/// Mail hosts at once that no script of an owner reaches.
const MAIL_HOSTS_MANY: usize = 20;
/// Hosts asked on one port, unanswered, that make a scan.
const SCAN_HOSTS: usize = 15;
/// Parts of a pipe start together.
const PIPE_START: Span = Span::minutes(1);
/// Files through which every visit of a site goes, and which a resident therefore writes back.
const ENTRY_FILES: &[&str] =
    &["index.php", ".htaccess", "index.html", "wp-config.php", ".user.ini", "wp-blog-header.php"];
/// Ports that mining pools publish; also used by others, so never a proof.
const POOL_PORTS: &[u16] = &[
    3032, 3333, 3334, 3335, 3336, 4444, 4445, 5555, 5556, 5588, 6666, 7777, 9999, 10032, 10128, 10300, 10343, 11111,
    13333, 14433, 14444, 15555, 17777, 18081, 19999, 20128, 20535, 30303, 33333, 45560, 45700, 55555,
];
/// Ports of IRC; owners run bots too, but not out of a site and left behind.
const CHAT_PORTS: &[u16] = &[6660, 6661, 6662, 6663, 6664, 6665, 6666, 6667, 6668, 6669, 6697];
/// Ports that are guessed at from hijacked machines; a client of an owner has one or two such connections.
const GUESSED_PORTS: &[u16] = &[21, 22, 23, 445, 1433, 2222, 2323, 3306, 3389, 5432, 5900, 6379, 8728, 11211, 27017];

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One fact about a process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mark { $($(#[$doc])* $name,)* }
    };
}
marks! {
    /// Shows a kernel thread's name.
    FakedKernel,
    /// Shows one word in brackets, as only kernel threads do, but no known one.
    FakedBrackets,
    /// Shows a daemon's name or a system path that its program is not.
    FakedDaemon,
    /// The program file itself has a system daemon's name and is the tenant's.
    DaemonInHome,
    /// The program file itself has an everyday tool's name and is the tenant's.
    ToolInHome,
    /// Arguments padded with empty strings or spaces, as after a change of title.
    Padded,
    /// No arguments at all.
    Wiped,
    /// Never was a file.
    Memfd,
    /// The program was deleted out of a temporary, upload or hidden directory.
    DeletedBad,
    /// The program was deleted elsewhere in the home.
    DeletedHome,
    /// The tenant can have written the program.
    Own,
    /// The program lies in a temporary directory.
    ExeTemp,
    /// The program lies in memory-backed temporary space.
    ExeMemory,
    /// The program lies among uploads.
    ExeUploads,
    /// The program lies in an unknown hidden directory of the home.
    ExeHidden,
    /// Some directory above program or script is hidden, wherever it lies.
    HiddenPart,
    /// An interpreter.
    Interpreter,
    /// It runs a script that the tenant can have written.
    OwnScript,
    /// Its script lies in a temporary directory.
    ScriptTemp,
    /// Its script lies among uploads.
    ScriptUploads,
    /// Its script lies in a data directory of a site.
    ScriptData,
    /// Its script lies in an unknown hidden directory.
    ScriptHidden,
    /// Its script is gone.
    ScriptGone,
    /// Its script lies or lay below a document root.
    ScriptInSite,
    /// Holds an entry file of a site open (`index.php`, `.htaccess` and the like).
    HoldsSite,
    /// Holds two of them open.
    HoldsBoth,
    /// Its line of parents ends at process 1, without session, cron or pool.
    Orphaned,
    /// Below a login session.
    Session,
    /// Below the system's cron.
    Cron,
    /// Below a web server's or PHP pool worker.
    Web,
    /// Older than ten minutes.
    Long,
    /// Half a core or more over five minutes or more.
    Heavy,
    /// One CPU minute or more.
    Worked,
    /// Runs a download: by its own text or as the shell of a pipe.
    Pipe,
    /// The download comes from an address in digits.
    BareAddress,
    /// A shell that is connected to the outside itself.
    RemoteShell,
    /// Arguments that only a miner has.
    Miner,
    /// Connected to a port that pools use.
    PoolPort,
    /// Connected to a chat port (IRC), by which bots are steered.
    ChatPort,
    /// Connected to a public address.
    Remote,
    /// Connections to many mail hosts.
    ManyMail,
    /// Connections to very many mail hosts.
    VeryManyMail,
    /// Asks many hosts on one port.
    Scan,
    /// Reachable from outside.
    Listens,
    /// Came back within seconds again and again.
    Restarts,
    /// A text that starts something again and again.
    Loop,
}

/// A set of marks.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(u64);

impl Marks {
    /// A set of these.
    pub const fn of(marks: &[Mark]) -> Marks {
        let mut bits = 0;
        let mut at = 0;
        while at < marks.len() {
            bits |= 1 << marks[at] as u64;
            at += 1;
        }
        Marks(bits)
    }
    /// Adds `mark` when `seen`.
    pub fn put(&mut self, mark: Mark, seen: bool) {
        self.0 |= u64::from(seen) << mark as u64;
    }
    /// Whether it holds this one.
    pub fn has(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u64) != 0
    }
    /// Whether it holds all of `other`.
    pub fn holds(self, other: Marks) -> bool {
        self.0 & other.0 == other.0
    }
    /// Whether it holds any of `other`.
    pub fn meets(self, other: Marks) -> bool {
        self.0 & other.0 != 0
    }
}

/// Where the checks look from: the table, the time and the account's directories.
pub struct Scene<'a> {
    /// All processes.
    pub table: &'a Table,
    /// Now.
    pub now: Moment,
    /// Home of the account; empty when it is not known.
    pub home: &'a [u8],
    /// Its document roots.
    pub roots: Vec<&'a [u8]>,
}

impl<'a> Scene<'a> {
    /// The scene of this account.
    pub fn of(table: &'a Table, now: Moment, account: Option<&'a AccountEntry>) -> Scene<'a> {
        let home = account.map(|account| account.home.as_bytes()).unwrap_or_default();
        let roots =
            account.map(|account| account.sites.iter().map(|site| site.root.as_bytes()).collect()).unwrap_or_default();
        Scene { table, now, home, roots }
    }

    /// Where a path lies for this account.
    pub fn place(&self, path: &[u8]) -> Place {
        if path.is_empty() { Place::Other } else { place(path, self.home, &self.roots) }
    }

    /// Where a program lies; a file that the tenant owns is no part of the system wherever it lies.
    pub fn program_place(&self, process: &Process) -> Place {
        match self.place(&process.exe) {
            Place::System | Place::Other if process.exe_uid.is_some_and(|uid| uid == process.uid) => Place::Home,
            found => found,
        }
    }

    /// A program out of the system's directories with a name that `test` knows: a verified one, not a namesake.
    pub fn is_system(&self, process: &Process, test: impl Fn(&[u8]) -> bool) -> bool {
        test(base(&process.exe)) && self.program_place(process) == Place::System
    }

    /// A worker of a web server or PHP pool, or its master.
    pub fn is_pool(&self, process: &Process) -> bool {
        self.is_system(process, is_pool_program) && !matches!(code(process), Code::Script(_))
            || self.is_system(process, is_pool_program)
                && self.table.parent(process).is_some_and(|parent| self.is_system(parent, is_pool_program))
    }
}

/// What a process runs: the script of its arguments, or a deleted script that it still holds open.
pub fn script_of(process: &Process) -> Option<Vec<u8>> {
    match code(process) {
        Code::Script(path) => Some(path),
        Code::Unknown | Code::Stdin if is_interpreter(&process.exe) => process
            .fds
            .iter()
            .map(|fd| fd.strip_suffix(b" (deleted)").unwrap_or(fd))
            .find(|fd| is_script_name(fd))
            .map(<[u8]>::to_vec),
        _ => None,
    }
}

/// Whether a file is a script by its name.
pub fn is_script_name(path: &[u8]) -> bool {
    let name = base(path).to_ascii_lowercase();
    [".php", ".phtml", ".php5", ".php7", ".phar", ".pht", ".pl", ".py", ".rb", ".sh", ".cgi", ".lua", ".js", ".mjs"]
        .iter()
        .any(|end| name.ends_with(end.as_bytes()))
}

/// The open script of a pool worker, when it lies among uploads.
pub fn uploaded_script<'p>(scene: &Scene<'_>, process: &'p Process) -> Option<&'p [u8]> {
    let php = |path: &[u8]| {
        let name = base(path).to_ascii_lowercase();
        [".php", ".phtml", ".php5", ".php7", ".phar", ".pht"].iter().any(|end| name.ends_with(end.as_bytes()))
    };
    process
        .fds
        .iter()
        .map(|fd| fd.strip_suffix(b" (deleted)").unwrap_or(fd))
        .find(|fd| php(fd) && scene.place(fd) == Place::Uploads)
}

/// All marks of a process of a tenant; none for zombies and threads of the kernel, which have no program by nature.
pub fn marks(scene: &Scene<'_>, process: &Process, restarts: bool) -> Marks {
    let mut marks = Marks::default();
    if process.state == State::Zombie || process.kernel || process.exe.is_empty() {
        return marks;
    }
    let at = scene.program_place(process);
    let pool = scene.is_pool(process);
    line_of_parents(scene, process, &mut marks);
    claims(scene, process, at, &mut marks);
    marks.put(Mark::Memfd, process.memfd);
    marks.put(Mark::Own, at.by_tenant() && at != Place::Other);
    marks.put(Mark::DeletedBad, process.deleted && (at.is_bad() || at == Place::Data));
    marks.put(Mark::DeletedHome, process.deleted && at == Place::Home);
    marks.put(Mark::ExeTemp, matches!(at, Place::Temp { .. }));
    marks.put(Mark::ExeMemory, at == Place::Temp { memory: true });
    marks.put(Mark::ExeUploads, at == Place::Uploads);
    marks.put(Mark::ExeHidden, at == Place::Hidden);
    marks.put(Mark::HiddenPart, at.is_bad() && has_hidden_part(&process.exe));
    marks.put(Mark::Interpreter, is_interpreter(&process.exe));
    marks.put(Mark::Restarts, restarts);
    let age = scene.now - process.start;
    marks.put(Mark::Long, age >= LONG);
    marks.put(Mark::Heavy, age >= HEAVY_LIFE && process.cpu.0.saturating_mul(2) >= age.0);
    marks.put(Mark::Worked, process.cpu >= Span::minutes(1));
    if pool {
        marks.put(Mark::ScriptUploads, uploaded_script(scene, process).is_some());
    } else {
        scripts(scene, process, &mut marks);
        downloads(scene, process, &mut marks);
        connections(scene, process, at, &mut marks);
    }
    marks
}

/// Whether a person's session or the system's cron stands above it.
pub fn started_by(scene: &Scene<'_>, process: &Process) -> (bool, bool) {
    let mut marks = Marks::default();
    line_of_parents(scene, process, &mut marks);
    (marks.has(Mark::Session), marks.has(Mark::Cron))
}

/// Who started it.
fn line_of_parents(scene: &Scene<'_>, process: &Process, marks: &mut Marks) {
    let session = |p: &Process| {
        p.has_controlling_terminal()
            || scene.is_system(p, |name| {
                [
                    &b"sshd"[..],
                    b"sshd-session",
                    b"sshd-auth",
                    b"login",
                    b"su",
                    b"sudo",
                    b"tmux",
                    b"screen",
                    b"mosh-server",
                ]
                .contains(&name)
            })
            || (p.argv.first().is_some_and(|title| title.starts_with(b"-")) && scene.is_system(p, is_shell))
    };
    let mut top = process;
    marks.put(Mark::Session, session(process));
    for parent in scene.table.ancestors(process) {
        marks.put(Mark::Session, session(parent));
        // Children of a session, cron or pool belong to it only while the system's own program is above them.
        marks.put(
            Mark::Cron,
            parent.uid == 0
                && scene
                    .is_system(parent, |name| [&b"crond"[..], b"cron", b"atd", b"anacron", b"fcron"].contains(&name)),
        );
        marks.put(Mark::Web, scene.is_pool(parent));
        if parent.uid == process.uid {
            top = parent;
        }
    }
    let manager = scene.is_system(top, |name| name == b"systemd");
    let kept = marks.meets(Marks::of(&[Mark::Session, Mark::Cron, Mark::Web])) || manager || scene.is_pool(process);
    marks.put(Mark::Orphaned, top.ppid == 1 && !kept);
}

/// The name shown, against the program that runs.
fn claims(scene: &Scene<'_>, process: &Process, at: Place, marks: &mut Marks) {
    let exe = base(&process.exe);
    let title = process.argv.first().map(Vec::as_slice).unwrap_or_default();
    let own = at.by_tenant();
    let interpreter = is_interpreter(exe);
    let busybox = exe == b"busybox" && at == Place::System;
    let filled = process.argv.iter().rposition(|arg| !arg.is_empty()).map_or(0, |last| last + 1);
    marks.put(Mark::Padded, process.argv.len() >= filled + 4 || title.ends_with(b"        "));
    marks.put(Mark::Wiped, filled == 0);
    if !(own || interpreter) || busybox || scene.is_pool(process) {
        // A system program under another name is still the system's program; only a kernel thread's name on it is odd.
        let bracketed = in_brackets(title).is_some_and(|name| is_kernel_thread(name, true));
        marks.put(
            Mark::FakedKernel,
            bracketed || (is_kernel_thread(&process.comm, false) && !same_program(&process.comm, exe)),
        );
        return;
    }
    let script = script_of(process);
    let named_after_script = |name: &[u8]| script.as_deref().is_some_and(|script| base(script).starts_with(name));
    let bracketed = in_brackets(title);
    let kernel = bracketed.is_some_and(|name| is_kernel_thread(name, true))
        || is_kernel_thread(title, false)
        || (is_kernel_thread(&process.comm, false) && !named_after_script(&process.comm));
    marks.put(Mark::FakedKernel, kernel);
    marks.put(Mark::FakedBrackets, bracketed.is_some());
    let shown = shown_word(title);
    let replaced = !shown.is_empty() && !same_program(shown, exe);
    let trusted = |name: &[u8]| is_system_daemon(name) || is_service_daemon(name);
    let system_path = own
        && at != Place::Tools
        && [&b"/usr/"[..], b"/bin/", b"/sbin/", b"/lib"].iter().any(|dir| title.starts_with(dir))
        && !base(title).is_empty();
    let by_title = replaced && (trusted(shown) || (at != Place::Tools && is_system_tool(shown)));
    let by_comm = trusted(&process.comm) && !same_program(&process.comm, exe) && !named_after_script(&process.comm);
    marks.put(Mark::FakedDaemon, by_title || by_comm || system_path);
    let file_is = |test: fn(&[u8]) -> bool| own && at != Place::Tools && test(exe);
    marks.put(Mark::DaemonInHome, (own && is_system_daemon(exe)) || (file_is(is_service_daemon) && at.is_bad()));
    marks.put(Mark::ToolInHome, file_is(is_system_tool));
}

/// The one word between brackets that make up the whole title.
fn in_brackets(title: &[u8]) -> Option<&[u8]> {
    let name = title.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?;
    let word = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"/:_.+-@".contains(b));
    word.then_some(name)
}

/// The program that a title speaks of: its first word, without path, a login shell's hyphen, or a colon behind it.
fn shown_word(title: &[u8]) -> &[u8] {
    let title = title.trim_ascii();
    let first = title.split(|b| b.is_ascii_whitespace() || *b == b':').next().unwrap_or_default();
    let name = base(first);
    name.strip_prefix(b"-").unwrap_or(name)
}

/// Where its script lies, and whether it still does.
fn scripts(scene: &Scene<'_>, process: &Process, marks: &mut Marks) {
    if !is_interpreter(&process.exe) {
        return;
    }
    let Some(script) = script_of(process) else { return };
    let at = scene.place(&script);
    marks.put(Mark::OwnScript, at.by_tenant());
    marks.put(
        Mark::ScriptTemp,
        matches!(at, Place::Temp { .. }) && !script.starts_with(b"/dev/fd") && !script.starts_with(b"/proc"),
    );
    marks.put(Mark::ScriptUploads, at == Place::Uploads);
    marks.put(Mark::ScriptData, at == Place::Data);
    marks.put(Mark::ScriptHidden, at == Place::Hidden);
    marks.put(Mark::HiddenPart, at.is_bad() && has_hidden_part(&script));
    marks.put(Mark::ScriptInSite, scene.roots.iter().any(|root| super::below(&script, root)));
    let gone = |fd: &[u8]| fd.strip_suffix(b" (deleted)").is_some_and(|path| path == script);
    marks.put(Mark::ScriptGone, at != Place::System && process.fds.iter().any(|fd| gone(fd)));
    let held = ENTRY_FILES
        .iter()
        .filter(|name| {
            process.fds.iter().any(|fd| base(fd) == name.as_bytes() && *fd != script && scene.place(fd).by_tenant())
        })
        .count();
    marks.put(Mark::HoldsSite, at != Place::System && held >= 1);
    marks.put(Mark::HoldsBoth, at != Place::System && held >= 2);
}

/// Whether it lets a download run: by its own text, or as the shell at the end of a pipe.
fn downloads(scene: &Scene<'_>, process: &Process, marks: &mut Marks) {
    let mut address = false;
    if let Code::Inline(text) = code(process) {
        let runs = if is_shell(&process.exe) { crate::shell::runs_download(&text) } else { code_runs_download(&text) };
        marks.put(Mark::Pipe, runs);
        marks.put(Mark::Loop, is_shell(&process.exe) && loops(&text));
        address = runs && names_bare_address(&text);
    }
    if is_fed(process)
        && let Some(parent) = scene.table.parent(process)
    {
        let source = scene.table.children(parent.pid).find(|other| feeds(scene, other, process));
        marks.put(Mark::Pipe, source.is_some());
        address |= source.is_some_and(|source| source.argv.iter().any(|arg| names_bare_address(arg)));
    }
    marks.put(Mark::BareAddress, address);
    // A shell script may open a connection of its own; a shell without one takes orders from there.
    let shell =
        is_shell(&process.exe) && !process.has_controlling_terminal() && !matches!(code(process), Code::Script(_));
    let parent = scene.table.parent(process);
    // A socket that the parent holds as well was only inherited.
    let own = |socket: &&super::Socket| {
        socket.proto == Proto::Tcp
            && socket.state == SocketState::Established
            && socket.goes_outside()
            && !parent.is_some_and(|p| p.sockets.contains(socket))
    };
    marks.put(Mark::RemoteShell, shell && process.sockets.iter().find(own).is_some());
}

/// A shell or interpreter that reads its code from standard input.
fn is_fed(process: &Process) -> bool {
    process.state != State::Zombie && code(process) == Code::Stdin && !process.has_controlling_terminal()
}

/// Whether `source` is the downloader at the other end of the pipe that feeds `shell`.
pub fn feeds(scene: &Scene<'_>, source: &Process, shell: &Process) -> bool {
    let pipes = |p: &Process| p.fds.iter().filter(|fd| fd.starts_with(b"pipe:")).cloned().collect::<Vec<_>>();
    let (from, to) = (pipes(source), pipes(shell));
    let joined = from.is_empty() || to.is_empty() || from.iter().any(|pipe| to.contains(pipe));
    source.pid != shell.pid
        && source.uid == shell.uid
        && is_downloader(base(&source.exe))
        && (source.start - shell.start).0.abs() <= PIPE_START.0
        && scene.table.parent(shell).is_some_and(|parent| parent.pid == source.ppid && parent.pid != 1)
        && joined
}

/// Where its connections lead.
fn connections(scene: &Scene<'_>, process: &Process, at: Place, marks: &mut Marks) {
    let tool = at == Place::System && !is_interpreter(&process.exe);
    marks.put(
        Mark::Miner,
        miner_points(&process.argv) >= 3 && (!tool || marks.has(Mark::Heavy)) && !is_shell(&process.exe),
    );
    // Without arguments there is still the program's own name: it accuses a file of the tenant, it excuses none.
    marks.put(Mark::Miner, at.by_tenant() && marks.has(Mark::Heavy) && is_miner_name(base(&process.exe)));
    marks.put(Mark::Listens, process.sockets.iter().any(|socket| socket.listens_outside()));
    let outside: Vec<_> = process.sockets.iter().filter(|socket| socket.goes_outside()).collect();
    marks.put(Mark::Remote, !outside.is_empty());
    marks.put(Mark::ChatPort, outside.iter().any(|socket| CHAT_PORTS.contains(&socket.remote.port())));
    marks.put(Mark::PoolPort, outside.iter().any(|socket| POOL_PORTS.contains(&socket.remote.port())));
    // Twenty processes of one script with two connections each are one mailer.
    let kin = scene.table.processes().iter().filter(|other| {
        other.uid == process.uid
            && other.exe == process.exe
            && other.sockets.len() < super::table::SOCKETS_MAX
            && !scene.is_pool(other)
    });
    if outside.is_empty() || tool {
        return;
    }
    let kin: Vec<&Process> = kin.filter(|other| script_of(other) == script_of(process)).collect();
    let mut hosts: Vec<(u16, IpAddr, SocketState)> = kin
        .iter()
        .flat_map(|other| other.sockets.iter().filter(|socket| socket.goes_outside()))
        .map(|socket| (socket.remote.port(), socket.remote.ip(), socket.state))
        .collect();
    hosts.sort_unstable_by_key(|(port, ip, _)| (*port, *ip));
    hosts.dedup_by_key(|(port, ip, _)| (*port, *ip));
    let mail = hosts.iter().filter(|(port, ..)| matches!(port, 25 | 465 | 587 | 2525)).count();
    let own_mail = outside.iter().any(|socket| matches!(socket.remote.port(), 25 | 465 | 587 | 2525));
    marks.put(Mark::ManyMail, own_mail && mail >= MAIL_HOSTS);
    marks.put(Mark::VeryManyMail, own_mail && mail >= MAIL_HOSTS_MANY);
    let scans = hosts.chunk_by(|a, b| a.0 == b.0).any(|hosts| {
        let port = hosts[0].0;
        let waiting = hosts.iter().filter(|(_, _, state)| *state == SocketState::SynSent).count();
        !matches!(port, 25 | 465 | 587 | 2525)
            && outside.iter().any(|socket| socket.remote.port() == port)
            && (waiting >= SCAN_HOSTS && waiting * 2 >= hosts.len()
                || (GUESSED_PORTS.contains(&port) && hosts.len() >= SCAN_HOSTS))
    });
    marks.put(Mark::Scan, scans);
}

/// Whether a text of this process speaks of that program: by path, or by name with the same working directory.
pub fn speaks_of(process: &Process, program: &Process) -> bool {
    let name = base(&program.exe);
    let named = |arg: &Vec<u8>| {
        contains(arg, &program.exe)
            || (process.cwd == program.cwd && name.len() > 1 && contains(arg, &[b"./", name].concat()))
    };
    process.argv.iter().any(named)
}
