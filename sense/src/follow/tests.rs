//! Rotations, holes and endless lines, each against a folder of its own.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A folder that is gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("follow-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn log(&self) -> PathBuf {
        self.0.join("mail.log")
    }
    fn append(&self, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }
    fn rename(&self, to: &str) {
        fs::rename(self.log(), self.0.join(to)).unwrap();
    }
    fn gz(&self, from: &str, to: &str) {
        let mut gz = GzEncoder::new(File::create(self.0.join(to)).unwrap(), Compression::fast());
        gz.write_all(&fs::read(self.0.join(from)).unwrap()).unwrap();
        gz.finish().unwrap();
        fs::remove_file(self.0.join(from)).unwrap();
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One poll.
fn poll(follower: &mut Follower) -> Vec<String> {
    let mut lines = Vec::new();
    follower.read_new(u64::MAX, &mut |l| lines.push(String::from_utf8_lossy(l).into_owned())).unwrap();
    lines
}
/// Two polls: the second one may leave a file that was rotated away.
fn polls(follower: &mut Follower) -> Vec<String> {
    let mut lines = poll(follower);
    lines.extend(poll(follower));
    lines
}

#[test]
fn a_line_is_handed_on_when_it_is_whole() {
    let folder = Folder::new("whole");
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    assert!(poll(&mut follower).is_empty(), "a missing file is no error");
    folder.append("one\ntw");
    assert_eq!(poll(&mut follower), ["one"]);
    assert_eq!(follower.cursor().unwrap().offset, 4);
    folder.append("o\n\nthree\n");
    assert_eq!(poll(&mut follower), ["two", "", "three"]);
}

#[test]
fn a_start_before_the_end_begins_at_a_whole_line() {
    let folder = Folder::new("end");
    folder.append("first\nsecond\nthird\n");
    assert_eq!(poll(&mut Follower::new(folder.log(), Start::BeforeEnd(9))), ["third"]);
    assert_eq!(poll(&mut Follower::new(folder.log(), Start::BeforeEnd(6))), ["third"]);
    assert!(poll(&mut Follower::new(folder.log(), Start::BeforeEnd(0))).is_empty());
}

#[test]
fn a_look_back_finds_the_first_line_that_is_young_enough() {
    let folder = Folder::new("back");
    folder.append(
        (0..100_000)
            .map(|i| match i % 3 {
                0 => "what another program says\n".to_owned(),
                _ => format!("{i:06} some text of a line\n"),
            })
            .collect::<String>(),
    );
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    let digit = |line: &[u8]| line.first().is_some_and(u8::is_ascii_digit);
    follower.look_back(&mut |line| digit(line).then(|| line < b"077000".as_slice())).unwrap();
    let lines = poll(&mut follower);
    let first: u32 = lines.iter().find_map(|line| line[..6].parse().ok()).unwrap();
    assert!((72_000..=77_000).contains(&first), "{first}");
    assert!(lines.iter().any(|line| line.starts_with("099998")));
}

#[test]
fn nothing_is_lost_or_doubled_over_many_rename_rotations() {
    let folder = Folder::new("rename");
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    let (mut got, mut next) = (Vec::new(), 0);
    for turn in 0..500 {
        for _ in 0..turn % 4 {
            folder.append(format!("line {next}\n"));
            next += 1;
        }
        if turn % 3 != 0 {
            got.extend(poll(&mut follower));
        }
        if turn % 5 == 2 && folder.log().exists() {
            folder.rename(&format!("mail.log.{turn}"));
            folder.append(format!("line {next}\n"));
            next += 1;
        }
        if turn % 7 == 3 {
            follower = Follower::resume(follower.cursor().unwrap());
        }
    }
    for _ in 0..4 {
        got.extend(poll(&mut follower));
    }
    assert_eq!(got, (0..next).map(|i| format!("line {i}")).collect::<Vec<_>>());
}

#[test]
fn what_the_writer_still_puts_into_the_old_file_is_read() {
    let folder = Folder::new("late");
    folder.append("a\n");
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    assert_eq!(poll(&mut follower), ["a"]);
    let mut old = OpenOptions::new().append(true).open(folder.log()).unwrap();
    folder.rename("mail.log.1");
    folder.append("c\n");
    assert!(poll(&mut follower).is_empty());
    old.write_all(b"b\nunfinished").unwrap();
    assert_eq!(poll(&mut follower), ["b", "unfinished", "c"]);
    assert_eq!(follower.counts().rotations, 1);
}

#[test]
fn after_a_restart_the_old_part_is_found_renamed_dated_copied_or_compressed() {
    for (name, then) in [("number", "mail.log.1"), ("date", "mail.log-20260307"), ("gz", "mail.log.2.gz")] {
        let folder = Folder::new(name);
        folder.append("a\nb\nc\n");
        let mut follower = Follower::new(folder.log(), Start::Beginning);
        follower.read_new(2, &mut |_| ()).unwrap();
        let cursor = follower.cursor().unwrap();
        assert_eq!(cursor.offset, 2);
        match then.ends_with("gz") {
            true => folder.gz("mail.log", then),
            false => folder.rename(then),
        }
        folder.append("d\n");
        let mut follower = Follower::resume(cursor);
        assert_eq!(polls(&mut follower), ["b", "c", "d"], "{then}");
        assert_eq!(follower.counts().lost_gone, 0);
    }
}

#[test]
fn copytruncate_loses_nothing_when_the_copy_is_there_and_counts_the_loss_when_not() {
    for copy in [true, false] {
        let folder = Folder::new(if copy { "copy" } else { "cut" });
        folder.append("a\nb\n");
        let mut follower = Follower::new(folder.log(), Start::Beginning);
        assert_eq!(poll(&mut follower), ["a", "b"]);
        folder.append("c\n");
        if copy {
            fs::copy(folder.log(), folder.0.join("mail.log.1")).unwrap();
        }
        File::create(folder.log()).unwrap();
        folder.append("longer than what was read before\n");
        let expected: &[&str] =
            if copy { &["c", "longer than what was read before"] } else { &["longer than what was read before"] };
        assert_eq!(polls(&mut follower), expected);
        assert_eq!(follower.counts().lost_truncate, u64::from(!copy));
    }
}

#[test]
fn a_file_that_is_gone_is_read_to_its_end_and_awaited() {
    let folder = Folder::new("gone");
    folder.append("a\n");
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    assert_eq!(poll(&mut follower), ["a"]);
    fs::remove_file(folder.log()).unwrap();
    assert!(polls(&mut follower).is_empty());
    let cursor = follower.cursor().unwrap();
    assert!(poll(&mut Follower::resume(cursor.clone())).is_empty());
    folder.append("b\n");
    assert_eq!(polls(&mut follower), ["b"]);
    let mut resumed = Follower::resume(cursor);
    assert_eq!(polls(&mut resumed), ["b"]);
    assert_eq!(resumed.counts().lost_gone, 1);
}

#[test]
fn endless_lines_are_left_out_without_growing() {
    let folder = Folder::new("endless");
    folder.append("a\n");
    // A hole of 3 GiB in a sparse file would be read as NUL; here it stands inside of a line.
    folder.append("x");
    let file = OpenOptions::new().write(true).open(folder.log()).unwrap();
    file.set_len(48 << 20).unwrap();
    folder.append("\nb\n");
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    let (mut lines, mut turns) = (Vec::new(), 0);
    while !follower.read_new(1 << 20, &mut |l| lines.push(l.to_vec())).unwrap().caught_up {
        turns += 1;
        assert!(follower.carry.capacity() <= 2 * LINE_MAX);
        if turns == 7 {
            follower = Follower::resume(follower.cursor().unwrap()); // within the long line
        }
    }
    assert_eq!(lines, [b"a".to_vec(), b"b".to_vec()]);
    assert!(turns >= 48);
}

#[test]
fn the_longest_line_allowed_is_handed_on_and_one_more_byte_is_not() {
    let folder = Folder::new("longest");
    folder.append([vec![b'y'; LINE_MAX], b"\n".to_vec(), vec![b'z'; LINE_MAX + 1], b"\nend\n".to_vec()].concat());
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    let mut lengths = Vec::new();
    while !follower.read_new(1000, &mut |l| lengths.push(l.len())).unwrap().caught_up {}
    assert_eq!(lengths, [LINE_MAX, 3]);
    assert_eq!(follower.counts().dropped_long, 1);
}

#[test]
fn holes_before_a_line_and_bytes_that_are_no_text_do_no_harm() {
    let folder = Folder::new("holes");
    folder.append([vec![0; 200_000], b"a\n\xff\xfe b\n".to_vec()].concat());
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    assert_eq!(poll(&mut follower), ["a", "\u{fffd}\u{fffd} b"]);
    assert_eq!((follower.counts().nul_bytes, follower.counts().dropped_long), (200_000, 0));
}

#[test]
fn a_restart_within_a_line_behind_a_hole_does_not_lose_it() {
    let folder = Folder::new("hole");
    folder.append(b"one\n\0\0ab");
    let mut follower = Follower::new(folder.log(), Start::Beginning);
    assert_eq!(poll(&mut follower), ["one"]);
    let mut follower = Follower::resume(follower.cursor().unwrap());
    assert!(poll(&mut follower).is_empty());
    folder.append(b"c\nd\n");
    assert_eq!(poll(&mut follower), ["abc", "d"]);
    // The end of a line that is left out stays a part of it, whatever stands before the cursor.
    folder.append([vec![b'x'; LINE_MAX + 9], vec![0]].concat());
    assert!(poll(&mut follower).is_empty());
    let mut follower = Follower::resume(follower.cursor().unwrap());
    folder.append(b"forged\ne\n");
    assert_eq!(poll(&mut follower), ["e"]);
}

#[test]
fn a_cursor_at_any_byte_yields_each_line_once() {
    let folder = Folder::new("any");
    let text = "one\ntwo two\n\nfour\nfive";
    folder.append(text);
    for budget in 1..text.len() as u64 {
        let mut follower = Follower::new(folder.log(), Start::Beginning);
        let mut lines = Vec::new();
        loop {
            let progress = follower.read_new(budget, &mut |l| lines.push(String::from_utf8_lossy(l).into_owned()));
            if progress.unwrap().caught_up {
                break;
            }
            // The unfinished line is read again after a restart, so a budget below a line would stand still.
            if budget > 8 {
                follower = Follower::resume(follower.cursor().unwrap());
            }
        }
        assert_eq!(lines, ["one", "two two", "", "four"], "budget {budget}");
    }
}

#[test]
fn a_pipe_or_a_device_in_place_of_a_log_is_refused_at_once() {
    let folder = Folder::new("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, folder.log(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for path in [folder.log(), PathBuf::from("/dev/zero"), folder.0.clone()] {
        let mut follower = Follower::new(&path, Start::Beginning);
        assert!(follower.look_back(&mut |_| None).is_err());
        assert!(follower.read_new(u64::MAX, &mut |_| ()).is_err(), "{path:?}");
    }
}
