//! Homes for the tests of quarantine-file: files as somebody judged them, and everything about a tree at one moment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use act::Actor;
use model::packet::{ActOrder, FromAct, ToAct};
use model::{AccountRef, FilePath, FileRef, Hash, Measure, Restriction, Verb};
use rustix::fs::{Mode, OFlags};

use super::{Node, alice, order, restriction, test_uid};

/// A home of the test account and a quarantine folder beside it.
pub fn homely() -> (Node, PathBuf) {
    homely_in(Node::new())
}

pub fn homely_in(mut node: Node) -> (Node, PathBuf) {
    let shelf = node.folder.path().join("quarantine");
    std::fs::create_dir(&shelf).unwrap();
    std::fs::set_permissions(&shelf, PermissionsExt::from_mode(0o700)).unwrap();
    node.config.quarantine_dirs = vec![shelf];
    let home = node.folder.path().join("home");
    folder(&home);
    (node, home)
}

/// A folder of the test account.
pub fn folder(path: &Path) {
    std::fs::create_dir(path).unwrap();
    give(path);
}

/// A file of the test account.
pub fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
    give(path);
}

pub fn give(path: &Path) {
    let _ = std::os::unix::fs::lchown(path, Some(test_uid()), Some(test_uid()));
}

/// A file as `scan` would have judged it.
pub fn judged(home: &Path, path: impl AsRef<[u8]>) -> FileRef {
    let file = home.join(OsStr::from_bytes(path.as_ref()));
    let is = std::fs::symlink_metadata(&file).unwrap();
    let hash = if is.is_file() { hash(&file) } else { Hash::of(b"") };
    FileRef {
        path: FilePath::new(path.as_ref()).unwrap(),
        dev: is.dev(),
        ino: is.ino(),
        size: is.size(),
        changed_ns: is.ctime() * 1_000_000_000 + is.ctime_nsec(),
        hash,
    }
}

pub fn hash(path: &Path) -> Hash {
    let flags = OFlags::RDONLY | OFlags::NOATIME | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    Hash::of_reader(&mut std::fs::File::from(file)).unwrap()
}

pub fn aside(serial: u16, files: Vec<FileRef>, of: u64) -> Restriction {
    restriction(serial, 0, Measure::QuarantineFile { files, of })
}

/// An order about files of this home, by a person or not.
pub fn impose_in(intent: u64, who: &AccountRef, home: &Path, what: &Restriction, by_person: bool) -> ToAct {
    in_home(order(intent, who, Verb::Impose { restriction: what.clone(), by_person }, &[], None), home)
}

pub fn in_home(packet: ToAct, at: &Path) -> ToAct {
    match packet {
        ToAct::Do(order) => ToAct::Do(ActOrder { home: at.to_str().unwrap().into(), ..order }),
        other => other,
    }
}

/// Sets these aside in one order by a person.
pub fn set_aside(actor: &mut Actor, intent: u64, home: &Path, what: &Restriction) -> Vec<FromAct> {
    actor.handle(impose_in(intent, &alice(), home, what, true))
}

/// What is in quarantine.
pub fn shelf(node: &Node) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(&node.config.quarantine_dirs[0]).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// Everything about one file but the time of its inode's last change, which nobody can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub ino: u64,
    pub mode: u32,
    pub owner: (u32, u32),
    size: u64,
    blocks: u64,
    links: u64,
    times: ((i64, i64), (i64, i64)),
    extra: BTreeMap<Vec<u8>, Vec<u8>>,
    content: Option<Hash>,
}

/// Everything below a folder, itself included.
pub fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Seen> {
    let (mut seen, mut todo) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(path) = todo.pop() {
        let is = std::fs::symlink_metadata(&path).unwrap();
        if is.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = is.is_file().then(|| hash(&path));
        // Reading a folder may change its access time; that of a file is ours to keep.
        let accessed = if is.is_dir() { (0, 0) } else { (is.atime(), is.atime_nsec()) };
        let one = Seen {
            ino: is.ino(),
            mode: is.mode(),
            owner: (is.uid(), is.gid()),
            size: if is.is_dir() { 0 } else { is.size() },
            blocks: if is.is_dir() { 0 } else { is.blocks() },
            links: is.nlink(),
            times: ((is.mtime(), is.mtime_nsec()), accessed),
            extra: extra(&path),
            content,
        };
        seen.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), one);
    }
    seen
}

/// Extended attributes; ACLs are among them.
fn extra(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|b| *b == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
        value.truncate(length);
        (name.to_vec(), value)
    };
    names.map(value).collect()
}

/// Numbers that look random and come again with the same seed.
pub struct Dice(pub u64);

impl Dice {
    /// The seed of `HK_SEED`, else a new one; printed, and shown when the test fails.
    pub fn new(what: &str) -> Dice {
        use std::hash::{BuildHasher, Hasher};
        let fresh = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        let seed = std::env::var("HK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
        println!("{what}: HK_SEED={seed}");
        Dice(seed | 1)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

pub fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}
