//! A log that grows in pieces, is rotated and followed by a process that is started again: each whole line is handed on
//! once and in order, whatever its bytes.
//!
//! | byte | what happens |
//! |---|---|
//! | 0 to 199 | so many of the bytes that follow are appended |
//! | 200 to 219 | the follower reads, within a small budget |
//! | 220 to 234 | it reads all |
//! | 235 to 241 | rotation by renaming |
//! | 242 to 249 | a restart from the cursor |
//! | 250 to 255 | 40,000 bytes without a newline |
#![no_main]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use sense::follow::{Follower, LINE_MAX, Start};

/// The files of one round; `parts` holds what was written into each.
struct World {
    folder: PathBuf,
    parts: Vec<Vec<u8>>,
    writes: u64,
}

impl World {
    fn path(&self) -> PathBuf {
        self.folder.join("x.log")
    }

    fn append(&mut self, bytes: &[u8]) {
        let mut file: File = OpenOptions::new().create(true).append(true).open(self.path()).expect("a file");
        file.write_all(bytes).expect("written");
        // Rotations within one tick of the clock do not happen outside of here, and order is told by it.
        self.writes += 1;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000 + self.writes);
        file.set_modified(at).expect("dated");
        self.parts.last_mut().expect("a part").extend_from_slice(bytes);
    }

    fn rotate(&mut self) {
        let name = format!("x.log.{}", self.parts.len());
        fs::rename(self.path(), self.folder.join(name)).expect("renamed");
        self.begin();
    }

    /// A first line of its own: two files that begin alike are taken for copies.
    fn begin(&mut self) {
        self.parts.push(Vec::new());
        self.append(format!("part {}\n", self.parts.len()).as_bytes());
    }

    /// What a reader that sees the whole at once hands on.
    fn expected(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let mut pieces: Vec<&[u8]> = part.split(|b| *b == b'\n').collect();
            let tail = pieces.pop().unwrap_or_default();
            let bare = |line: &[u8]| line[line.iter().take_while(|b| **b == 0).count()..].to_vec();
            lines.extend(pieces.into_iter().map(bare).filter(|line| line.len() <= LINE_MAX));
            let tail = bare(tail);
            if at + 1 < self.parts.len() && !tail.is_empty() && tail.len() <= LINE_MAX {
                lines.push(tail);
            }
        }
        lines
    }
}

fuzz_target!(|data: &[u8]| {
    let folder = fuzz::folder();
    for entry in fs::read_dir(&folder).expect("listed").flatten() {
        fs::remove_file(entry.path()).expect("removed");
    }
    let mut world = World { folder, parts: Vec::new(), writes: 0 };
    world.begin();
    let mut follower = Follower::new(world.path(), Start::Beginning);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    // What was rotated away before the first look is nobody's promise.
    follower.read_new(1, &mut |line| seen.push(line.to_vec())).expect("read");
    let mut rest = data;
    while let [op, more @ ..] = rest {
        rest = more;
        match op {
            0..=199 => {
                let (now, later) = more.split_at(usize::from(*op).min(more.len()));
                world.append(now);
                rest = later;
            }
            200..=219 => {
                let budget = u64::from(op - 199) * 7;
                follower.read_new(budget, &mut |line| seen.push(line.to_vec())).expect("read");
            }
            220..=234 => {
                follower.read_new(u64::MAX, &mut |line| seen.push(line.to_vec())).expect("read");
            }
            235..=241 if world.parts.len() < 6 => world.rotate(),
            242..=249 => {
                if let Some(cursor) = follower.cursor() {
                    follower = Follower::resume(cursor);
                }
            }
            250..=255 if world.writes < 200 => world.append(&[b'x'; 40_000]),
            _ => {}
        }
    }
    // Each part needs a second look, because its writer may not have heard of the rotation.
    for _ in 0..2 * world.parts.len() + 2 {
        follower.read_new(u64::MAX, &mut |line| seen.push(line.to_vec())).expect("read");
    }
    let expected = world.expected();
    let short = |lines: &[Vec<u8>]| -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("{} {:?}", line.len(), String::from_utf8_lossy(&line[..line.len().min(60)])))
            .collect()
    };
    assert!(seen == expected, "seen {:#?}\nexpected {:#?}", short(&seen), short(&expected));
    assert_eq!(follower.counts().lost_gone + follower.counts().lost_truncate, 0);
});
