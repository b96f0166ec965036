//! Looks again for a verification, and keeps evidence of frozen processes before they end.

use std::os::fd::OwnedFd;
use std::path::Path;

use model::evidence::printable;
use model::{
    AccountEntry, Check, Checked, Evidence, FactKey, FactValue, Measure, Moment, ProcessRef, Restriction, Strength,
    Target, Verdict,
};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use serde::Serialize;

use super::judge::judge;
use super::live::{Buffers, Full, read};
use super::memory::Memory;
use super::place::{Place, below, place};
use super::sweep::{boot_time, own_sockets};
use super::table::{Process, State, Table};
use crate::attribution::Attribution;

/// Largest capture, bytes.
pub const CAPTURE_MAX: usize = 32 * 1024;
/// Largest program hashed for a capture, bytes.
const HASHED_MAX: u64 = 64 << 20;

/// The process part of a verification: what of the account still runs (frozen processes left out), and whether the
/// captured programs and scripts are still where they were.
///
/// `root` is where absolute paths begin, normally `/`.
pub fn rescan(
    table: &Table,
    who: &dyn Attribution,
    account: &AccountEntry,
    restrictions: &[Restriction],
    captured: &[Evidence],
    root: &Path,
    now: Moment,
) -> Vec<Checked> {
    let mut lines =
        vec![Checked { check: Check::Processes, at: now, verdict: processes(table, who, account, restrictions, now) }];
    let mut verdicts = Vec::new();
    for path in captured_paths(captured, account) {
        verdicts.push(gone(&path, account, root));
    }
    // One line for each file that is still there; one for all that are not.
    let clean = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Clean { .. })).count() as u64;
    let others: Vec<Verdict> =
        verdicts.into_iter().filter(|verdict| !matches!(verdict, Verdict::Clean { .. })).collect();
    // Where there was nothing to look for, nothing was seen to be gone.
    if others.is_empty() && clean > 0 {
        lines.push(Checked { check: Check::CapturedGone, at: now, verdict: Verdict::Clean { count: clean } });
    }
    lines.extend(others.into_iter().map(|verdict| Checked { check: Check::CapturedGone, at: now, verdict }));
    lines
}

fn processes(
    table: &Table,
    who: &dyn Attribution,
    account: &AccountEntry,
    restrictions: &[Restriction],
    now: Moment,
) -> Verdict {
    let frozen: Vec<&ProcessRef> = restrictions
        .iter()
        .filter_map(|restriction| match &restriction.measure {
            Measure::FreezeProcess { processes } => Some(processes),
            _ => None,
        })
        .flatten()
        .collect();
    let is_frozen = |p: &ProcessRef| frozen.iter().any(|f| f.pid == p.pid && f.start_ticks == p.start_ticks);
    let judgement = judge(table, who, now, &mut Memory::default());
    let running = judgement.findings.iter().filter(|finding| {
        finding.signal.account == account.account
            && finding.signal.strength >= Strength::Suspicious
            && matches!(&finding.signal.target, Target::Processes(list) if !list.iter().all(is_frozen))
    });
    if let Some(finding) = running.into_iter().next() {
        let fact = |key| finding.evidence.get(key).map(FactValue::to_string);
        let place = fact(FactKey::Script).or_else(|| fact(FactKey::Really)).unwrap_or_default();
        return Verdict::Found { place };
    }
    // What other users' programs are does not matter here; a program of this account that we may not see does.
    let own = |uid: u32| uid == account.account.uid || who.is_shared(uid);
    let unseen = |p: &&Process| own(p.uid) && !p.kernel && p.exe.is_empty() && p.state != State::Zombie;
    if table.processes().iter().any(|p| unseen(&p)) || table.blind.hidepid.is_some() {
        return Verdict::NotChecked { why: "no_rights".to_owned() };
    }
    let all = judgement.looked_at.get(&account.account.name).copied().unwrap_or(0);
    let left_out = table.processes().iter().filter(|p| is_frozen(&p.reference())).count() as u64;
    Verdict::Clean { count: all.saturating_sub(left_out) }
}

/// Paths of programs and scripts in the evidence that the account can have put there, each once.
fn captured_paths(captured: &[Evidence], account: &AccountEntry) -> Vec<String> {
    let roots: Vec<&[u8]> = account.sites.iter().map(|site| site.root.as_bytes()).collect();
    let mut paths: Vec<String> = captured
        .iter()
        .flat_map(|evidence| &evidence.0)
        .filter(|(key, _)| matches!(key, FactKey::Really | FactKey::Path | FactKey::Script))
        .filter_map(|(_, value)| match value {
            FactValue::Text(path) if path.starts_with('/') && !path.starts_with("/memfd:") => Some(path.clone()),
            _ => None,
        })
        .filter(|path| !matches!(place(path.as_bytes(), account.home.as_bytes(), &roots), Place::System | Place::Other))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Whether nothing is at this path any more. Looked up below the home without leaving it, elsewhere without any
/// link: what a link of the tenant points to is not ours to look at.
fn gone(path: &str, account: &AccountEntry, root: &Path) -> Verdict {
    let Some(bytes) = unescaped(path) else { return Verdict::NotChecked { why: "no_rights".to_owned() } };
    let home = account.home.as_bytes();
    let (top, links) = if below(&bytes, home) { (home, Links::Beneath) } else { (&b"/"[..], Links::None) };
    let opened = open_dir(root).and_then(|root| walk(root, top, Links::InRoot));
    match opened.and_then(|top_dir| walk(top_dir, &bytes[top.len()..], links)) {
        Ok(_) => Verdict::Found { place: path.to_owned() },
        // A link in the way, or a way that leaves the home: what was captured no longer lies there.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Verdict::Clean { count: 1 },
        Err(_) => Verdict::NotChecked { why: "no_rights".to_owned() },
    }
}

fn open_dir(root: &Path) -> Result<OwnedFd, Errno> {
    openat(rustix::fs::CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What a link on the way may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// Point to a place below where the walk began.
    Beneath,
    /// Point anywhere; the walk's beginning is the root folder.
    InRoot,
    /// Nothing.
    None,
}

/// Opens what is at `path` below `top`, without its last link. As openat2(2) would do it; that call's flags lie in
/// memory, where the filter of this role's calls cannot see that they ask for reading alone. `..` goes back to the
/// folder that was really passed, so nothing that is moved meanwhile leads out.
fn walk(top: OwnedFd, path: &[u8], links: Links) -> Result<OwnedFd, Errno> {
    /// As many links as the kernel follows.
    const LINKS_MAX: usize = 40;
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").rev().map(<[u8]>::to_vec).collect()
    };
    let mut passed = vec![top];
    let mut left = parts(path);
    let mut followed = 0;
    while let Some(part) = left.pop() {
        if part == b".." {
            match passed.len() {
                1 if links == Links::InRoot => {}
                1 => return Err(Errno::XDEV),
                _ => drop(passed.pop()),
            }
            continue;
        }
        let here = passed.last().expect("the top stays");
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = openat(here, &part[..], flags, Mode::empty())?;
        let is_link = FileType::from_raw_mode(fstat(&next)?.st_mode) == FileType::Symlink;
        // The account's own home may be a link of root's; the last part of a path is looked at as it is.
        if !is_link || (left.is_empty() && links != Links::InRoot) {
            passed.push(next);
            continue;
        }
        followed += 1;
        if links == Links::None || followed > LINKS_MAX {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(&next, c"", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            if links == Links::Beneath {
                return Err(Errno::XDEV);
            }
            passed.truncate(1);
        }
        left.extend(parts(&target));
    }
    Ok(passed.pop().expect("the top stays"))
}

/// The bytes behind an escaped path (see [`printable`]); `None` when its middle was cut out.
fn unescaped(path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let hex = |from: usize, to: usize| u32::from_str_radix(rest.get(from..to)?, 16).ok();
        if let Some(byte) = rest.starts_with("\\x").then(|| hex(2, 4)).flatten() {
            bytes.push(byte as u8);
            rest = &rest[4..];
        } else if let Some(end) = rest.starts_with("\\u{").then(|| rest.find('}')).flatten() {
            let sign = hex(3, end).and_then(char::from_u32)?;
            bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[end + 1..];
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    let whole = printable(&bytes, Evidence::TEXT_MAX) == path && !path.contains('…');
    whole.then_some(bytes)
}

/// What is kept of one process.
#[derive(Serialize)]
struct Captured {
    pid: u32,
    uid: u32,
    start: String,
    exe: String,
    deleted: bool,
    exe_size: u64,
    exe_hash: Option<String>,
    cmdline: Vec<String>,
    cwd: String,
    cgroup: String,
    cpu_s: i64,
    parents: Vec<String>,
    fds: Vec<String>,
    sockets: Vec<String>,
}

/// Everything about one capture.
#[derive(Serialize)]
struct Capture {
    processes: Vec<Captured>,
    /// Processes that were no longer there.
    gone: Vec<u32>,
    /// Processes for which there was no room.
    left_out: usize,
}

/// Evidence of these processes as JSON, at most [`CAPTURE_MAX`] bytes: lists are shortened first, then processes
/// left out and counted. A pid that belongs to somebody else by now counts as gone.
///
/// # Errors
/// When `proc_root` cannot be read.
pub fn capture(proc_root: &Path, processes: &[ProcessRef]) -> std::io::Result<Vec<u8>> {
    let proc_dir =
        openat(rustix::fs::CWD, proc_root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffers = Buffers::new();
    let boot = boot_time(&proc_dir, &mut buffers)?;
    let mut capture = Capture { processes: Vec::new(), gone: Vec::new(), left_out: 0 };
    for wanted in processes {
        match one(&proc_dir, wanted, boot, &mut buffers) {
            Some(found) => capture.processes.push(found),
            None => capture.gone.push(wanted.pid),
        }
    }
    for room in [256, 64, 16, 4, 0] {
        for process in &mut capture.processes {
            process.fds.truncate(room);
            process.sockets.truncate(room);
            process.cmdline.truncate(room.max(16));
        }
        let bytes = serde_json::to_vec(&capture)?;
        if bytes.len() <= CAPTURE_MAX {
            return Ok(bytes);
        }
    }
    loop {
        let bytes = serde_json::to_vec(&capture)?;
        if bytes.len() <= CAPTURE_MAX {
            return Ok(bytes);
        }
        capture.processes.pop();
        capture.left_out += 1;
    }
}

fn one(proc_dir: &OwnedFd, wanted: &ProcessRef, boot: Moment, buffers: &mut Buffers) -> Option<Captured> {
    use std::os::fd::AsFd;
    let name = wanted.pid.to_string();
    let (Full { process, inodes, .. }, stat) = read(proc_dir.as_fd(), wanted.pid, &name, boot, &|_| true, buffers)?;
    if stat.start_ticks != wanted.start_ticks {
        return None;
    }
    let sockets = own_sockets(proc_dir.as_fd(), buffers);
    let mut parents = Vec::new();
    let mut above = process.ppid;
    while above > 1 && parents.len() < 16 {
        let Some((parent, _)) = read(proc_dir.as_fd(), above, &above.to_string(), boot, &|_| false, buffers) else {
            break;
        };
        parents.push(format!("{above} {}", printable(&parent.process.exe, 200)));
        above = parent.process.ppid;
    }
    let exe = format!("{name}/exe");
    let size = statat(proc_dir, &exe, AtFlags::empty()).map(|found| found.st_size.max(0) as u64).unwrap_or(0);
    let text = |bytes: &[u8]| printable(bytes, 300);
    Some(Captured {
        pid: process.pid,
        uid: process.uid,
        start: process.start.to_string(),
        exe: text(&process.exe),
        deleted: process.deleted,
        exe_size: size,
        exe_hash: (size <= HASHED_MAX).then(|| exe_hash(proc_dir, &exe)).flatten(),
        cmdline: process.argv.iter().map(|arg| text(arg)).collect(),
        cwd: text(&process.cwd),
        cgroup: buffers
            .read(proc_dir, &format!("{name}/cgroup"), 4096)
            .map(|bytes| printable(bytes, 600))
            .unwrap_or_default(),
        cpu_s: process.cpu.whole_secs(),
        parents,
        fds: process.fds.iter().map(|fd| text(fd)).collect(),
        sockets: inodes
            .iter()
            .filter_map(|inode| sockets.get(*inode))
            .map(|socket| format!("{:?} {} {} {:?}", socket.proto, socket.local, socket.remote, socket.state))
            .collect(),
    })
}

/// BLAKE3 of the running program, read through the kernel's own link: also when the file was deleted.
fn exe_hash(proc_dir: &OwnedFd, exe: &str) -> Option<String> {
    let file = openat(proc_dir, exe, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut hasher = blake3::Hasher::new();
    let mut room = vec![0; 64 * 1024];
    let mut total = 0u64;
    loop {
        match rustix::io::read(&file, &mut room).ok()? {
            0 => return Some(hasher.finalize().to_hex().to_string()),
            more => {
                hasher.update(&room[..more]);
                total += more as u64;
            }
        }
        if total > HASHED_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{ResolveFlags, openat2};

    use super::*;

    /// The kernel's own walk is the measure.
    #[test]
    fn a_walk_ends_where_the_kernels_would() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("home/a/b")).unwrap();
        std::fs::write(root.join("home/a/b/file"), "").unwrap();
        std::fs::write(root.join("outside"), "").unwrap();
        for (link, to) in [
            ("home/in", "a/b"),
            ("home/up", "a/../a/b/.."),
            ("home/out", "../outside"),
            ("home/absolute", "/home/a"),
            ("home/loop", "loop"),
            ("home/a/back", "../in/file"),
            ("home/gone", "nowhere"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        let paths = [
            "a/b/file",
            "in",
            "in/file",
            "in/",
            "up/b/file",
            "out",
            "out/x",
            "absolute/b/file",
            "loop",
            "loop/x",
            "a/back",
            "a/back/x",
            "gone",
            "gone/x",
            "..",
            "../home/a",
            "a/../../outside",
            "a/b/file/x",
            ".",
            "a/./b",
            "nowhere",
            "",
        ];
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let kinds = [
            (Links::Beneath, ResolveFlags::BENEATH),
            (Links::None, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS),
            (Links::InRoot, ResolveFlags::IN_ROOT),
        ];
        for (links, resolve) in kinds {
            let top = open_dir(&root.join(if links == Links::InRoot { "." } else { "home" })).unwrap();
            for path in paths {
                let path = if links == Links::InRoot { format!("home/{path}") } else { path.to_owned() };
                // With a root folder the last link is followed: it is the home itself.
                let flags = if links == Links::InRoot { flags - OFlags::NOFOLLOW } else { flags };
                if path.is_empty() || (path.ends_with('/') && links != Links::InRoot) {
                    continue; // not a path that anything was captured at
                }
                let inode = |fd: OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
                let ours = walk(top.try_clone().unwrap(), path.as_bytes(), links).and_then(inode);
                let kernels = openat2(&top, &path, flags, Mode::empty(), resolve).and_then(inode);
                assert_eq!(ours, kernels, "{path}");
            }
        }
    }
}
