//! Use by account out of control groups: version 2, version 1, and both beside each other (cgroups(7)).

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use model::{AccountEntry, AccountName, Span};

/// Deepest folder looked into below a mount.
const DEPTH_MAX: u32 = 5;
/// Most folders looked into below one mount.
const FOLDERS_MAX: u32 = 100_000;

/// Which versions are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// None.
    Absent,
    /// Version 1 only.
    V1,
    /// Version 2 only.
    V2,
    /// Both; controllers may be on either side.
    Hybrid,
}

/// Where control groups are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    v2: Option<PathBuf>,
    /// By controller (`cpuacct`, `memory`, `pids`, `blkio`).
    v1: BTreeMap<String, PathBuf>,
}

impl Mounts {
    /// Reads `/proc/self/mountinfo` (proc(5)); mount points are taken below `root`, normally `/`.
    pub fn find(mountinfo: &str, root: &Path) -> Mounts {
        let mut mounts = Mounts::default();
        for line in mountinfo.lines() {
            let Some((head, tail)) = line.split_once(" - ") else { continue };
            let Some(point) = head.split(' ').nth(4) else { continue };
            let place = root.join(point.replace("\\040", " ").trim_start_matches('/'));
            let mut tail = tail.split(' ');
            match tail.next() {
                Some("cgroup2") => mounts.v2 = mounts.v2.or(Some(place)),
                Some("cgroup") => {
                    for controller in tail.next_back().unwrap_or_default().split(',') {
                        if matches!(controller, "cpuacct" | "memory" | "pids" | "blkio") {
                            mounts.v1.entry(controller.to_owned()).or_insert_with(|| place.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        mounts
    }

    /// Which versions are there.
    pub fn layout(&self) -> Layout {
        match (self.v2.is_some(), self.v1.is_empty()) {
            (false, true) => Layout::Absent,
            (false, false) => Layout::V1,
            (true, true) => Layout::V2,
            (true, false) => Layout::Hybrid,
        }
    }

    /// CPU that each account used so far; accounts without a group of their own are left out. One file a group is read:
    /// the rest of a group is looked at only where it matters, see [`Mounts::details`].
    pub fn read(&self, names: &Names, accounts: &[AccountEntry]) -> Vec<Use> {
        let mut uses: BTreeMap<usize, Use> = BTreeMap::new();
        if let Some(top) = &self.v2 {
            for (at, folder) in owned(top, names) {
                let one = uses.entry(at).or_insert_with(|| Use::of(&accounts[at]));
                add(&mut one.cpu, keyed(&folder, "cpu.stat", "usage_usec").map(|usec| Span(usec as i64)));
                one.v2.push(folder);
            }
        }
        let mut old: BTreeMap<usize, Use> = BTreeMap::new();
        if let Some(top) = self.v1.get("cpuacct").or_else(|| self.v1.values().next()) {
            for (at, folder) in owned(top, names) {
                let one = old.entry(at).or_insert_with(|| Use::of(&accounts[at]));
                add(&mut one.cpu, single(&folder, "cpuacct.usage").map(|nsec| Span((nsec / 1000) as i64)));
                one.v1.extend(folder.strip_prefix(top).map(Path::to_owned));
            }
        }
        // On hybrid nodes a group may exist on both sides and one of the two not count: the larger value is true.
        for (at, one) in old {
            let both = uses.entry(at).or_insert_with(|| Use::of(&accounts[at]));
            both.cpu = both.cpu.max(one.cpu);
            both.v1 = one.v1;
        }
        uses.into_values().collect()
    }

    /// Memory, tasks, IO and waiting of one account's groups. With version 1 the groups of all controllers are taken to
    /// lie at the same place, as systemd and panels make them.
    pub fn details(&self, one: &Use) -> Details {
        let mut new = Details::default();
        for folder in &one.v2 {
            add(&mut new.memory_bytes, single(folder, "memory.current"));
            add(&mut new.tasks, single(folder, "pids.current"));
            add(&mut new.io_bytes, io_v2(folder));
            let waits = |file| text(folder, file).and_then(|text| super::pressure(&text));
            new.memory_pressure = most(new.memory_pressure, waits("memory.pressure"));
            new.io_pressure = most(new.io_pressure, waits("io.pressure"));
        }
        let mut old = Details::default();
        let below = |controller| self.v1.get(controller);
        for place in &one.v1 {
            let read = |controller, file| single(&below(controller)?.join(place), file);
            add(&mut old.memory_bytes, read("memory", "memory.usage_in_bytes"));
            add(&mut old.tasks, read("pids", "pids.current"));
            add(&mut old.io_bytes, below("blkio").and_then(|top| io_v1(&top.join(place))));
        }
        Details {
            memory_bytes: new.memory_bytes.max(old.memory_bytes),
            tasks: new.tasks.max(old.tasks),
            io_bytes: new.io_bytes.max(old.io_bytes),
            ..new
        }
    }
}

fn most(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// Names of groups that belong to an account: `{uid}` and `{name}` stand for the account's; a slash joins the last
/// two folders (`lve/{uid}`). The endings `.slice`, `.scope` and `.service` may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(pub Vec<String>);

impl Default for Patterns {
    /// systemd's slice of a uid and our own groups.
    fn default() -> Patterns {
        Patterns(vec!["user-{uid}.slice".to_owned(), "hikeshi-{name}".to_owned()])
    }
}

impl Patterns {
    /// The names of these accounts' groups; made once for an inventory.
    pub fn names(&self, accounts: &[AccountEntry]) -> Names {
        let mut names = HashMap::new();
        for (at, entry) in accounts.iter().enumerate() {
            for pattern in &self.0 {
                let uid = entry.account.uid.to_string();
                names.insert(pattern.replace("{uid}", &uid).replace("{name}", entry.account.name.as_str()), at);
            }
        }
        Names(names)
    }
}

/// Names of groups, with the place of their account in the inventory that they were made of.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<String, usize>);

/// CPU of one account's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The account.
    pub account: AccountName,
    /// CPU time since the groups were made; `None` where the controller is missing.
    pub cpu: Option<Span>,
    /// Its groups of version 2.
    v2: Vec<PathBuf>,
    /// Its groups of version 1, below the mount of each controller.
    v1: Vec<PathBuf>,
}

/// What else the groups of an account say; `None` where the controller is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Details {
    /// Memory now, bytes.
    pub memory_bytes: Option<u64>,
    /// Tasks now.
    pub tasks: Option<u64>,
    /// Bytes read and written since the groups were made.
    pub io_bytes: Option<u64>,
    /// Share of the last ten seconds in which some task waited for memory, per cent.
    pub memory_pressure: Option<f64>,
    /// The same for disks.
    pub io_pressure: Option<f64>,
}

impl Use {
    fn of(entry: &AccountEntry) -> Use {
        Use { account: entry.account.name.clone(), cpu: None, v2: Vec::new(), v1: Vec::new() }
    }
}

trait Sum: Copy {
    fn sum(self, other: Self) -> Self;
}
impl Sum for u64 {
    fn sum(self, other: u64) -> u64 {
        self.saturating_add(other)
    }
}
impl Sum for Span {
    fn sum(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

/// Adds what is known; unknown stays unknown.
fn add<T: Sum>(sum: &mut Option<T>, value: Option<T>) {
    *sum = match (*sum, value) {
        (Some(sum), Some(value)) => Some(sum.sum(value)),
        (sum, value) => sum.or(value),
    };
}

/// Topmost folders of accounts; what lies below one is counted in it already.
fn owned(top: &Path, names: &Names) -> Vec<(usize, PathBuf)> {
    let mut found = Vec::new();
    let mut left = FOLDERS_MAX;
    let mut open = vec![(top.to_owned(), String::new(), 0)];
    while let Some((folder, parent, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if left == 0 || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            left -= 1;
            // systemd writes a hyphen inside of a name as \x2d (systemd.unit(5)).
            let name = entry.file_name().to_string_lossy().replace("\\x2d", "-");
            let plain = [".slice", ".scope", ".service"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
            let keys = [name.clone(), plain.to_owned(), format!("{parent}/{name}"), format!("{parent}/{plain}")];
            match keys.iter().find_map(|key| names.0.get(key)) {
                Some(at) => found.push((*at, entry.path())),
                None if depth < DEPTH_MAX => open.push((entry.path(), name, depth + 1)),
                None => {}
            }
        }
    }
    found
}

fn text(folder: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(file)).ok()
}

fn single(folder: &Path, file: &str) -> Option<u64> {
    text(folder, file)?.trim().parse().ok()
}

fn keyed(folder: &Path, file: &str, key: &str) -> Option<u64> {
    text(folder, file)?.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// `8:0 rbytes=1 wbytes=2 …`
fn io_v2(folder: &Path) -> Option<u64> {
    let stat = text(folder, "io.stat")?;
    let counted =
        |word: &str| word.strip_prefix("rbytes=").or_else(|| word.strip_prefix("wbytes="))?.parse::<u64>().ok();
    Some(stat.split_ascii_whitespace().filter_map(counted).sum())
}

/// `8:0 Read 1` and so on, with a `Total` at the end.
fn io_v1(folder: &Path) -> Option<u64> {
    let stat = text(folder, "blkio.throttle.io_service_bytes")?;
    stat.lines().find_map(|line| line.strip_prefix("Total ")?.trim().parse().ok())
}
