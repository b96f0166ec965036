//! Freezer cgroups: finds one, keeps own folders `hikeshi/NAME` in it, moves processes in and back.
//!
//! v2 (`cgroup.freeze`, mounted anywhere, also beside v1) is preferred because it can kill a whole folder; the v1
//! freezer comes next. Other controllers are never touched: no mount, no `subtree_control`, no foreign folder.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::dir::Dir;
use crate::process::Process;

/// Our own folder below the mount point.
const OWN: &str = "hikeshi";
/// How often, and in which pauses, a folder that is being emptied is looked at.
const LOOKS_MAX: usize = 400;
const LOOK: Duration = Duration::from_millis(5);

/// Which interface a freezer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `freezer.state` of cgroup v1.
    V1,
    /// `cgroup.freeze` of cgroup v2.
    V2,
}

/// A mounted hierarchy that can freeze.
#[derive(Debug)]
pub struct Freezer {
    version: Version,
    mount: PathBuf,
    /// What part of the hierarchy is mounted here; `/` outside of containers.
    shown: String,
    dir: Dir,
}

impl Freezer {
    /// Looks for a freezer in `/proc/self/mountinfo` that we may write to; `None` when there is none or no right.
    pub fn find() -> Option<Freezer> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        Freezer::find_in(&mounts)
    }

    /// The same with the text of another mountinfo. A candidate counts once `hikeshi` can be made in it and the
    /// new folder has the freezing file (the root of a hierarchy has none).
    pub fn find_in(mountinfo: &str) -> Option<Freezer> {
        candidates(mountinfo).into_iter().find_map(|(version, mount, shown)| {
            let dir = Dir::open(&mount).ok()?;
            let own = dir.make_dirs(OWN, 0o755).ok()?;
            let file = if version == Version::V2 { "cgroup.freeze" } else { "freezer.state" };
            own.has_file(file).ok()?.then_some(())?;
            own.open_beneath("cgroup.procs", OFlags::WRONLY).ok()?;
            Some(Freezer { version, mount, shown, dir })
        })
    }

    /// Which interface it has.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where it is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The folder of a process in this hierarchy, relative to the mount point (empty = its root), from the text
    /// of `/proc/PID/cgroup`. A place outside of what is mounted here becomes the root.
    pub fn place_of(&self, cgroups: &str) -> String {
        let path = cgroups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let ours = match self.version {
                Version::V2 => hierarchy == "0" && controllers.is_empty(),
                Version::V1 => controllers.split(',').any(|c| c == "freezer"),
            };
            ours.then_some(path)
        });
        let path = path.unwrap_or("/");
        let below = path.strip_prefix(self.shown.trim_end_matches('/')).filter(|p| p.is_empty() || p.starts_with('/'));
        let below = below.unwrap_or("/");
        let below = below.trim_start_matches('/').trim_end_matches(" (deleted)");
        if below.split('/').any(|part| part == "..") { String::new() } else { below.to_owned() }
    }

    /// Our folder of this name, made when it is not there. The name is one plain component.
    pub fn cage(&self, name: &str) -> io::Result<Cage> {
        if name.contains('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a cage's name is one component"));
        }
        let path = format!("{OWN}/{name}");
        let dir = self.dir.make_dirs(&path, 0o755).map_err(|e| of(name, &e))?;
        Ok(Cage { version: self.version, dir })
    }

    /// Our folder of this name if it is there.
    pub fn existing(&self, name: &str) -> io::Result<Option<Cage>> {
        match self.dir.open_dir(format!("{OWN}/{name}")) {
            Ok(dir) => Ok(Some(Cage { version: self.version, dir })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(of(name, &e)),
        }
    }

    /// Moves a held process into a cage. A pid is written, not a pidfd: if the process ended meanwhile the number may
    /// be another's, who goes back where he was.
    pub fn catch(&self, cage: &Cage, process: &Process) -> io::Result<()> {
        self.catch_pid(cage, process.pid(), || process.is_alive())
    }

    fn catch_pid(&self, cage: &Cage, pid: u32, is_meant: impl Fn() -> bool) -> io::Result<()> {
        // Whoever has the number: a tenant could else lead others out of the limits of their own folder.
        let place = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map(|text| self.place_of(&text));
        cage.add(pid)?;
        match is_meant() || !cage.members()?.contains(&pid) {
            true => Ok(()),
            false => self.put_back(pid, &place.unwrap_or_default()),
        }
    }

    /// Whether our folder of this name stands still with all of these pids in it, and how many processes are in it.
    /// Without pids a folder that is not there stands still.
    pub fn stands(&self, name: &str, pids: &[u32]) -> io::Result<(bool, usize)> {
        let Some(cage) = self.existing(name)? else { return Ok((pids.is_empty(), 0)) };
        let members = cage.members().map_err(|e| of(name, &e))?;
        let inside = pids.iter().all(|pid| members.contains(pid));
        Ok((inside && cage.is_frozen().map_err(|e| of(name, &e))?, members.len()))
    }

    /// Empties our folder of this name and removes it, within 2 seconds: each process goes on at its `place`, or is
    /// killed if `ends` says so. How many there were; none when the folder is not there.
    pub fn release<'p>(
        &self,
        name: &str,
        place: impl Fn(u32) -> &'p str,
        ends: impl Fn(u32) -> bool,
    ) -> io::Result<usize> {
        let Some(cage) = self.existing(name)? else { return Ok(0) };
        let (mut seen, mut tries) = (BTreeSet::new(), 0);
        loop {
            let members = cage.members().map_err(|e| of(name, &e))?;
            seen.extend(members.iter().copied());
            let (end, on): (Vec<u32>, Vec<u32>) = members.into_iter().partition(|pid| ends(*pid));
            for pid in on {
                match self.put_back(pid, place(pid)) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(of(name, &e)),
                    _ => {}
                }
            }
            if !end.is_empty() {
                cage.kill().map_err(|e| of(name, &e))?;
            }
            match self.remove(name) {
                Ok(()) => return Ok(seen.len()),
                Err(e) if tries == LOOKS_MAX => return Err(of(name, &e)),
                Err(_) => tries += 1,
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Removes our empty folder of this name; `ResourceBusy` while processes are in it.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove_dir(&format!("{OWN}/{name}")).map(|_| ())
    }

    /// Moves a process to `place` below the mount point; to the root when that folder is gone or takes none.
    pub fn put_back(&self, pid: u32, place: &str) -> io::Result<()> {
        if !place.is_empty()
            && let Ok(dir) = self.dir.open_dir(place)
            && write(&dir, "cgroup.procs", &pid.to_string()).is_ok()
        {
            return Ok(());
        }
        write(&self.dir, "cgroup.procs", &pid.to_string())
    }
}

/// One of our folders with the processes that stand still in it.
#[derive(Debug)]
pub struct Cage {
    version: Version,
    dir: Dir,
}

impl Cage {
    /// Moves a process (all its threads) in; into a frozen cage it freezes at once. `NotFound` when it ended.
    pub fn add(&self, pid: u32) -> io::Result<()> {
        write(&self.dir, "cgroup.procs", &pid.to_string())
    }

    /// Process ids in it now.
    pub fn members(&self) -> io::Result<Vec<u32>> {
        let text = self.read("cgroup.procs")?;
        Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// Orders a freeze; [`Cage::is_frozen`] tells when it holds.
    pub fn freeze(&self) -> io::Result<()> {
        match self.version {
            Version::V2 => write(&self.dir, "cgroup.freeze", "1"),
            Version::V1 => write(&self.dir, "freezer.state", "FROZEN"),
        }
    }

    /// Lets everything in it go on.
    pub fn thaw(&self) -> io::Result<()> {
        match self.version {
            Version::V2 => write(&self.dir, "cgroup.freeze", "0"),
            Version::V1 => write(&self.dir, "freezer.state", "THAWED"),
        }
    }

    /// Whether everything in it stands still now. An empty v2 folder with the order given counts as frozen.
    pub fn is_frozen(&self) -> io::Result<bool> {
        match self.version {
            Version::V2 => Ok(self.read("cgroup.events")?.lines().any(|line| line == "frozen 1")),
            Version::V1 => Ok(self.read("freezer.state")?.trim() == "FROZEN"),
        }
    }

    /// Kills everything in it: at once where the kernel can (`cgroup.kill`, v2 since 5.14), else one by one.
    pub fn kill(&self) -> io::Result<()> {
        if self.version == Version::V2 && self.dir.has_file("cgroup.kill")? {
            return write(&self.dir, "cgroup.kill", "1");
        }
        for process in self.members()?.into_iter().filter_map(|pid| Process::open(pid).ok()) {
            let _ = process.kill();
        }
        self.thaw() // a frozen v1 process dies when it thaws
    }

    fn read(&self, name: &str) -> io::Result<String> {
        let bytes = self.dir.read(name, 1 << 20)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn of(name: &str, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("freezer folder {OWN}/{name}: {e}"))
}

/// Control files take one write and no truncation, rename or sync.
fn write(dir: &Dir, name: &str, text: &str) -> io::Result<()> {
    let mut file = dir.open_beneath(name, OFlags::WRONLY)?;
    match file.write_all(text.as_bytes()) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Err(io::ErrorKind::NotFound.into()),
        other => other,
    }
}

/// Mounted hierarchies that could freeze, v2 first: version, mount point, mounted part.
fn candidates(mountinfo: &str) -> Vec<(Version, PathBuf, String)> {
    let mut found: Vec<_> = mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ').skip(3);
            let (shown, mount) = (unescape(left.next()?), unescape(left.next()?));
            let mut right = right.split(' ');
            let version = match (right.next()?, right.nth(1)?) {
                ("cgroup2", _) => Version::V2,
                ("cgroup", options) if options.split(',').any(|o| o == "freezer") => Version::V1,
                _ => return None,
            };
            Some((version, PathBuf::from(mount), shown))
        })
        .collect();
    found.sort_by_key(|(version, ..)| *version == Version::V1);
    found
}

/// Space, tab, newline and backslash stand as three octal digits in mountinfo (proc(5)).
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:5 - cgroup2 cgroup2 rw
42 31 0:40 /box /srv/with\\040space rw - cgroup cgroup rw,cpu,freezer
43 31 0:41 / /proc rw - proc proc rw";

    #[test]
    fn freezers_are_found_in_mountinfo_and_v2_comes_first() {
        let found: Vec<_> = candidates(HYBRID).into_iter().map(|(v, m, s)| (v, m.display().to_string(), s)).collect();
        assert_eq!(
            found,
            [
                (Version::V2, "/sys/fs/cgroup/unified".into(), "/".into()),
                (Version::V1, "/sys/fs/cgroup/freezer".into(), "/".into()),
                (Version::V1, "/srv/with space".into(), "/box".into()),
            ]
        );
    }

    #[test]
    fn a_place_is_read_from_its_own_hierarchy_and_never_climbs() {
        let tmp = tempfile::tempdir().unwrap();
        let freezer = |version, shown: &str| Freezer {
            version,
            mount: tmp.path().to_owned(),
            shown: shown.into(),
            dir: Dir::open(tmp.path()).unwrap(),
        };
        let text = "9:name=systemd:/init\n7:cpu,freezer:/box/site\n0::/user.slice/a:b\n";
        assert_eq!(freezer(Version::V2, "/").place_of(text), "user.slice/a:b");
        assert_eq!(freezer(Version::V1, "/box").place_of(text), "site");
        assert_eq!(freezer(Version::V1, "/elsewhere").place_of(text), "");
        assert_eq!(freezer(Version::V1, "/bo").place_of(text), "");
        assert_eq!(freezer(Version::V2, "/").place_of("0::/../outside\n"), "");
        assert_eq!(freezer(Version::V2, "/").place_of(""), "");
    }

    #[test]
    fn a_folder_without_the_freezing_file_is_no_freezer() {
        let fake = tempfile::tempdir().unwrap();
        let line = format!("1 1 0:1 / {} rw - cgroup2 cgroup2 rw", fake.path().display());
        assert!(Freezer::find_in(&line).is_none());
        for (name, text) in [("cgroup.freeze", "0"), ("cgroup.procs", ""), ("cgroup.events", "populated 0\nfrozen 0\n")]
        {
            std::fs::write(fake.path().join(OWN).join(name), text).unwrap();
        }
        let freezer = Freezer::find_in(&line).unwrap();
        assert_eq!((freezer.version(), freezer.mount()), (Version::V2, fake.path()));
    }

    #[test]
    fn processes_stand_still_go_on_and_go_back_on_every_real_freezer() {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut tried = 0;
        for line in mounts.lines() {
            let Some(freezer) = Freezer::find_in(line) else { continue };
            tried += 1;
            let mut child = std::process::Command::new("sleep")
                .arg("20")
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let process = crate::process::Process::open(child.id()).unwrap();
            let before = freezer.place_of(&process.cgroups().unwrap());
            let name = format!("test-{}-{tried}", std::process::id());
            let cage = freezer.cage(&name).unwrap();
            cage.freeze().unwrap();
            cage.add(child.id()).unwrap();
            let frozen = (0..2000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                cage.is_frozen().unwrap()
            });
            assert!(frozen, "{:?}", freezer.version());
            assert_eq!(cage.members().unwrap(), [child.id()]);
            assert!(freezer.remove(&name).is_err());
            freezer.put_back(child.id(), &before).unwrap();
            assert_eq!(freezer.place_of(&process.cgroups().unwrap()), before);
            freezer.remove(&name).unwrap();
            assert!(freezer.existing(&name).unwrap().is_none());
            assert_eq!(freezer.stands(&name, &[]).unwrap(), (true, 0));
            assert_eq!(freezer.stands(&name, &[child.id()]).unwrap(), (false, 0));
            // A stranger who got the number goes back where he was; the naive twin puts him at the root.
            let home = freezer.cage(&format!("{name}-home")).unwrap();
            home.add(child.id()).unwrap();
            let at_home = freezer.place_of(&process.cgroups().unwrap());
            assert!(at_home.ends_with("-home"), "the twin has no power");
            let cage = freezer.cage(&name).unwrap();
            freezer.catch_pid(&cage, child.id(), || false).unwrap();
            assert_eq!(freezer.place_of(&process.cgroups().unwrap()), at_home);
            freezer.put_back(child.id(), &before).unwrap();
            freezer.remove(&format!("{name}-home")).unwrap();
            for ends in [false, true] {
                let cage = freezer.cage(&name).unwrap();
                cage.freeze().unwrap();
                freezer.catch(&cage, &process).unwrap();
                assert_eq!(freezer.stands(&name, &[child.id()]).unwrap().1, 1);
                assert_eq!(freezer.release(&name, |_| &before, |_| ends).unwrap(), 1);
                assert!(freezer.existing(&name).unwrap().is_none());
                assert_eq!((process.is_alive(), freezer.release(&name, |_| "", |_| ends).unwrap()), (!ends, 0));
            }
            child.wait().unwrap();
        }
        if tried == 0 {
            eprintln!("SKIPPED: no freezer cgroup that this user may write to");
        }
    }
}
