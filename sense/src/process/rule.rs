//! The one table of what marks mean together.
//!
//! Conclusive is only what proves itself: a name that contradicts the kernel, a program that hides from the disk, a
//! download that runs now, or two things that no owner does at once. One weak thing asks; what owners do every day
//! says nothing. New rules begin as suspicious.

use model::{Kind, Strength};

use super::mark::Mark::{self, *};
use super::mark::Marks;

/// One row: this is what it means when a process bears all of `all`, one of `any` (if there are any), none of `none`.
pub struct Rule {
    /// The mechanism.
    pub kind: Kind,
    /// What it says.
    pub strength: Strength,
    all: Marks,
    any: Marks,
    none: Marks,
}

const fn proof(kind: Kind, all: &[Mark], any: &[Mark], none: &[Mark]) -> Rule {
    Rule { kind, strength: Strength::Conclusive, all: Marks::of(all), any: Marks::of(any), none: Marks::of(none) }
}
const fn ask(kind: Kind, all: &[Mark], any: &[Mark], none: &[Mark]) -> Rule {
    Rule { kind, strength: Strength::Suspicious, all: Marks::of(all), any: Marks::of(any), none: Marks::of(none) }
}

impl Rule {
    /// Whether the row speaks of these marks.
    pub fn matches(&self, marks: Marks) -> bool {
        marks.holds(self.all) && (self.any == Marks::default() || marks.meets(self.any)) && !marks.meets(self.none)
    }
}

/// The rows, those that explain most first: the first that matches with the highest strength names the finding.
pub const RULES: &[Rule] = &[
    // A kernel thread has no program; whoever has one and shows its name lies.
    proof(Kind::FakedName, &[FakedKernel], &[], &[]),
    // A daemon's name over an interpreter or over another file of the tenant has no other use than to be overlooked.
    proof(Kind::FakedName, &[FakedDaemon], &[], &[]),
    // Some libraries put brackets around titles; who else works or talks unwatched meant to be overlooked.
    proof(Kind::FakedName, &[FakedBrackets], &[Heavy, Orphaned, Remote, ExeHidden, ExeTemp, ExeUploads], &[]),
    ask(Kind::FakedName, &[FakedBrackets], &[], &[]),
    // The file itself carries the daemon's name: in a hidden, upload or temporary directory nobody builds a daemon.
    proof(Kind::HiddenProgram, &[DaemonInHome, ExeHidden], &[], &[]),
    proof(Kind::FakedName, &[DaemonInHome], &[ExeTemp, ExeUploads, Heavy, DeletedHome], &[]),
    // In a plain directory it may be an owner's own scheduler.
    ask(Kind::FakedName, &[DaemonInHome], &[], &[]),
    // A program that avoids the disk, or removed itself from where nothing is installed. Installers that unpack into
    // /tmp and delete are short, watched, or both: they need a second thing below.
    proof(Kind::DeletedExe, &[Memfd], &[], &[]),
    proof(Kind::DeletedExe, &[DeletedBad], &[ExeUploads, ExeHidden, ExeMemory, HiddenPart], &[]),
    proof(Kind::DeletedExe, &[DeletedBad], &[Orphaned, Heavy, Remote, Web], &[Session]),
    // A rebuilt program runs on until it is restarted, so elsewhere in the home this asks at most.
    ask(Kind::DeletedExe, &[DeletedHome, Orphaned], &[Heavy, PoolPort], &[]),
    proof(Kind::DeletedExe, &[DeletedHome, Orphaned, Heavy, Remote], &[], &[Listens]),
    // Pool, wallet and algorithm name a miner; work or a connection shows that it mines.
    proof(Kind::MinerArguments, &[Miner], &[Worked, Remote, PoolPort, Heavy], &[]),
    ask(Kind::MinerArguments, &[Miner], &[], &[]),
    // A pool's port alone may be somebody's game server: heavy work and a place or name that hides make it one.
    proof(
        Kind::PoolConnection,
        &[PoolPort, Heavy, Own],
        &[Orphaned, ExeHidden, ExeTemp, ExeUploads, ToolInHome, DaemonInHome, DeletedHome],
        &[],
    ),
    proof(
        Kind::PoolConnection,
        &[PoolPort, Heavy, Interpreter, Orphaned],
        &[ScriptTemp, ScriptHidden, ScriptUploads, ScriptGone],
        &[],
    ),
    ask(Kind::PoolConnection, &[PoolPort, Heavy], &[Own, OwnScript], &[]),
    // Installers are fed to a shell by people at a terminal; a web server, cron or an orphan has nobody to read it.
    proof(Kind::PipedDownload, &[Pipe], &[], &[Session]),
    ask(Kind::PipedDownload, &[Pipe, BareAddress, Session], &[], &[]),
    // A shell on a connection without a terminal takes orders from there.
    proof(Kind::PipedDownload, &[RemoteShell], &[Web, Orphaned, Cron], &[Session]),
    // Owners mail through one relay. Many mail hosts at once is a mailer; hidden or unwatched it is not theirs.
    proof(
        Kind::ManyMailConnections,
        &[ManyMail],
        &[ScriptTemp, ScriptHidden, ScriptUploads, ScriptGone, ExeTemp, ExeHidden, Padded, Wiped],
        &[],
    ),
    proof(Kind::ManyMailConnections, &[VeryManyMail, Orphaned], &[], &[]),
    proof(Kind::ManyMailConnections, &[ManyMail, Own, Orphaned], &[], &[]),
    ask(Kind::ManyMailConnections, &[ManyMail], &[], &[]),
    // Nothing is installed among uploads. Image plugins do unpack their tools there: those are short and silent.
    proof(Kind::RunsFromUploads, &[ExeUploads], &[Orphaned, Heavy, Remote, HiddenPart, Listens], &[]),
    ask(Kind::RunsFromUploads, &[ExeUploads], &[], &[]),
    // Builds and installers run from /tmp under somebody's eyes. Hidden, unwatched or in memory is another matter.
    proof(Kind::RunsFromUploads, &[ExeTemp, HiddenPart], &[Orphaned, Heavy, Remote, Web, Cron], &[Session]),
    proof(Kind::RunsFromUploads, &[ExeMemory], &[Orphaned, Heavy, Remote, Web, Cron], &[]),
    proof(Kind::RunsFromUploads, &[ExeTemp, Orphaned], &[Heavy, Remote, Listens], &[]),
    ask(Kind::RunsFromUploads, &[ExeTemp], &[Orphaned, Web, ExeMemory], &[]),
    ask(Kind::RunsFromUploads, &[ExeTemp, Long, Heavy], &[], &[Session]),
    // Scripts: what visitors sent is not to be run; left alone or talking, it proves itself.
    proof(Kind::RunsFromUploads, &[ScriptUploads, Interpreter], &[Orphaned, Remote, Heavy, HiddenPart], &[]),
    ask(Kind::RunsFromUploads, &[ScriptUploads], &[], &[]),
    proof(
        Kind::RunsFromUploads,
        &[ScriptTemp, Orphaned],
        &[HiddenPart, Remote, Heavy, ScriptGone, Listens, Padded, Wiped],
        &[],
    ),
    proof(Kind::RunsFromUploads, &[ScriptTemp, HiddenPart], &[Web, Remote], &[Session]),
    ask(Kind::RunsFromUploads, &[ScriptTemp], &[Orphaned, Web, HiddenPart], &[Session]),
    proof(Kind::RunsFromUploads, &[ScriptData, Orphaned], &[ManyMail, Scan, PoolPort, HoldsSite, ChatPort], &[]),
    ask(Kind::RunsFromUploads, &[ScriptData, Orphaned], &[], &[]),
    // A hidden directory is no crime; a tenant's program working there unwatched under a copied name is.
    proof(Kind::HiddenProgram, &[ExeHidden, ToolInHome], &[Heavy, PoolPort, Orphaned], &[]),
    proof(Kind::HiddenProgram, &[ExeHidden, Orphaned, Heavy, Remote], &[], &[Listens]),
    ask(Kind::HiddenProgram, &[ExeHidden], &[ToolInHome, Heavy], &[Session]),
    ask(Kind::HiddenProgram, &[ExeHidden, Orphaned, Remote], &[], &[]),
    proof(Kind::HiddenProgram, &[ScriptHidden, Orphaned], &[ManyMail, Scan, PoolPort, ScriptGone], &[]),
    ask(Kind::HiddenProgram, &[ScriptHidden, Orphaned], &[Remote, Heavy, Listens], &[]),
    ask(Kind::HiddenProgram, &[ToolInHome, Orphaned, Heavy], &[], &[OwnScript]),
    // A deploy replaces scripts under a worker. Unwatched, out of a site or a bad place, or with the site's entry
    // files in hand, it is the resident that writes them back.
    proof(
        Kind::ScriptGone,
        &[ScriptGone, Orphaned],
        &[HoldsSite, ScriptInSite, ScriptTemp, ScriptUploads, ScriptHidden, ManyMail, Scan],
        &[],
    ),
    ask(Kind::ScriptGone, &[ScriptGone, Orphaned], &[], &[]),
    proof(Kind::Orphaned, &[Orphaned, Interpreter, HoldsBoth], &[], &[]),
    ask(Kind::Orphaned, &[Orphaned, Interpreter, HoldsSite, Long], &[], &[]),
    ask(Kind::Orphaned, &[Orphaned, Interpreter, Wiped], &[], &[]),
    // A bot waits for orders on a chat; an owner's own bot does not live inside of a site.
    proof(Kind::Orphaned, &[Orphaned, ChatPort, ScriptInSite], &[], &[]),
    ask(Kind::Orphaned, &[Orphaned, ChatPort], &[Own, OwnScript], &[]),
    // An unknown program at full load that talks, serves nobody and that nobody watches: the owner knows it or not.
    ask(Kind::Orphaned, &[Orphaned, Own, Heavy, Remote], &[], &[Listens, Interpreter]),
    proof(
        Kind::PortScan,
        &[Scan],
        &[Orphaned, Web, ExeTemp, ExeHidden, ExeUploads, ScriptTemp, ScriptHidden, ScriptUploads, ScriptGone],
        &[Session],
    ),
    ask(Kind::PortScan, &[Scan], &[], &[]),
    // Coming back is what services do; only where no service belongs it asks.
    ask(
        Kind::RestartLoop,
        &[Restarts],
        &[ExeHidden, ExeTemp, ExeUploads, ScriptTemp, ScriptHidden, ScriptUploads, DeletedBad],
        &[],
    ),
    // An unknown program that the outside reaches: the owner knows whether it is his.
    ask(Kind::Listening, &[Listens, Own], &[], &[Interpreter]),
    ask(
        Kind::Listening,
        &[Listens, Interpreter],
        &[ExeHidden, ExeTemp, ScriptTemp, ScriptHidden, ScriptUploads, ScriptData],
        &[],
    ),
];
