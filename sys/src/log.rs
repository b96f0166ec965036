//! A log of lines in a folder of our own, written by one process at a time: what was synced is read again after any
//! death, and nothing else.
//!
//! One line a record: 16 hexadecimal digits of the caller's checksum, a space, the text. A torn last line (power cut) is
//! cut off; a wrong line before the last is damage, and then nobody may act on a guess: opening fails.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::dir::Dir;

/// Held by the one process that writes; a second one must not.
const LOCK: &str = "lock";
/// How often, and in which pauses, the lock is tried.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// What a log looks like.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Name of the file.
    pub name: &'static str,
    /// Checksum of a text.
    pub sum: fn(&[u8]) -> u64,
    /// At least above this size it is summed up, bytes.
    pub long: u64,
    /// Largest file that is read, bytes.
    pub size_max: u64,
}

/// A log that is open for writing.
#[derive(Debug)]
pub struct Log {
    form: Form,
    dir: Dir,
    file: File,
    size: u64,
    /// Whether the file is the one in the folder and ends with what was synced last; false after an error.
    sure: bool,
    /// Twice what the last summary came to, so that it is not summed up each time; half of the bound at most, so that
    /// it is summed up before it is full.
    long: u64,
    _lock: File,
}

impl Log {
    /// Opens or makes it, and gives each text to `each`, which says whether it understands it.
    ///
    /// Errors: another process has it (`ResourceBusy`), and those of [`read`].
    pub fn open(dir: Dir, form: Form, each: impl FnMut(&str) -> bool) -> io::Result<Log> {
        let lock = lock(&dir, form.name)?;
        let (size, all) = read(&dir, &form, each)?;
        let file = dir.append(form.name, 0o600)?;
        let mut log = Log { form, dir, file, size, sure: size == all, long: 0, _lock: lock };
        log.long = log.long_from(size);
        if !log.sure {
            log.mend()?;
        }
        Ok(log)
    }

    /// Whether it is time for [`Log::sum_up`].
    pub fn is_long(&self) -> bool {
        self.size > self.long
    }

    /// Puts one text in place of all; after a power cut or an error either the old or the new ones are there, and
    /// appending goes on behind them.
    pub fn sum_up(&mut self, text: &str) -> io::Result<()> {
        let line = line(&self.form, text)?;
        self.sure = false;
        self.dir.replace(self.form.name, &line, 0o600)?;
        self.mend()?;
        self.long = self.long_from(2 * self.size);
        Ok(())
    }

    /// Whether it could still be read with this text.
    pub fn has_room(&self, text: &str) -> bool {
        self.size + text.len() as u64 + 18 <= self.form.size_max
    }

    /// Writes and syncs one text. After an error nothing of it is there, or nothing is written before that is so.
    pub fn append(&mut self, text: &str) -> io::Result<()> {
        let line = line(&self.form, text)?;
        if !self.sure {
            self.mend()?;
        }
        self.sure = false;
        if let Err(e) = self.file.write_all(&line).and_then(|()| self.file.sync_all()) {
            // A half line must not stand before a later whole one. What cannot be cut off now is cut off first then.
            let _ = self.mend();
            return Err(e);
        }
        (self.sure, self.size) = (true, self.size + line.len() as u64);
        Ok(())
    }

    /// Opens what is in the folder now: another file than before is a summary that was put there whole, the same one may
    /// have a half line at its end.
    fn mend(&mut self) -> io::Result<()> {
        let file = self.dir.append(self.form.name, 0o600)?;
        let is = file.metadata()?;
        if is.ino() == self.file.metadata()?.ino() {
            file.set_len(self.size)?;
            file.sync_all()?;
        } else {
            self.size = is.len();
        }
        (self.file, self.sure) = (file, true);
        Ok(())
    }

    fn long_from(&self, size: u64) -> u64 {
        self.form.long.max(size).min(self.form.size_max / 2)
    }
}

/// Gives each whole text to `each`, also while another process writes; how many bytes were whole, and how many there are.
///
/// Errors: a damaged line before the last, or one that is whole and not understood and therefore never cut off as if it
/// were torn (`InvalidData`, with line and next step), a file over the bound, any error of the file system.
pub fn read(dir: &Dir, form: &Form, mut each: impl FnMut(&str) -> bool) -> io::Result<(u64, u64)> {
    let bytes = dir.read(form.name, form.size_max)?.unwrap_or_default();
    let mut good = 0;
    for (number, line) in (1..).zip(bytes.split_inclusive(|b| *b == b'\n')) {
        let last = good + line.len() == bytes.len();
        let why = match text(form, line).map(&mut each) {
            Some(true) => {
                good += line.len();
                continue;
            }
            None if last => break,
            Some(false) => "whole and not understood; start the version that wrote it",
            None => {
                "damaged; keep a copy, restore the file from a backup, or move it away after undoing by hand what it lists"
            }
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} line {number} is {why}", form.name)));
    }
    Ok((good as u64, bytes.len() as u64))
}

fn lock(dir: &Dir, name: &str) -> io::Result<File> {
    let lock = dir.append(LOCK, 0o600)?;
    // A child of a process that was just killed may hold it for the moment until it closes what it inherited.
    for _ in 0..LOCK_TRIES {
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(lock);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    let why = format!("another process has the {name}; wait for it to end, or stop the service");
    Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
}

fn line(form: &Form, text: &str) -> io::Result<Vec<u8>> {
    match text.contains('\n') {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "a text of the log is one line")),
        false => Ok(format!("{:016x} {text}\n", (form.sum)(text.as_bytes())).into_bytes()),
    }
}

/// The text of a line just as it was written; `None`: torn or damaged.
fn text<'l>(form: &Form, line: &'l [u8]) -> Option<&'l str> {
    let (sum, text) = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?.split_once(' ')?;
    (u64::from_str_radix(sum, 16).ok()? == (form.sum)(text.as_bytes())).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// FNV-1a: enough to see a flipped bit.
    fn sum(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, b| (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
    }

    const FORM: Form = Form { name: "log", sum, long: 200, size_max: 1000 };

    fn open(folder: &Path) -> io::Result<(Log, Vec<String>)> {
        let mut texts = Vec::new();
        let each = |text: &str| {
            texts.push(text.to_owned());
            !text.starts_with("foreign")
        };
        let log = Log::open(Dir::open_own(folder)?, FORM, each)?;
        Ok((log, texts))
    }

    #[test]
    fn a_torn_last_line_is_cut_off_at_every_byte_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        let texts = ["one", "山 \"x\"", "three"];
        texts.iter().for_each(|text| log.append(text).unwrap());
        let busy = open(folder.path()).map(|_| ()).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        drop(log);
        let path = folder.path().join("log");
        let whole = std::fs::read(&path).unwrap();
        for cut in whole.len() - line(&FORM, "three").unwrap().len()..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            // The naive twin writes on behind the torn line, and both are lost.
            let naive = [&whole[..cut], &line(&FORM, "four").unwrap()].concat();
            let last = naive.split_inclusive(|b| *b == b'\n').next_back().unwrap();
            let torn = cut > whole.len() - line(&FORM, "three").unwrap().len();
            assert_eq!(text(&FORM, last).is_none(), torn, "the twin has no power");
            let (mut log, read) = open(folder.path()).unwrap();
            assert_eq!(read, texts[..2], "cut at {cut}");
            log.append("four").unwrap();
            drop(log);
            assert_eq!(open(folder.path()).unwrap().1, ["one", "山 \"x\"", "four"]);
        }
    }

    #[test]
    fn damage_before_the_last_line_and_a_line_that_is_not_understood_stop_everything() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        log.append("one").unwrap();
        log.append("two").unwrap();
        drop(log);
        let path = folder.path().join("log");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..line(&FORM, "one").unwrap().len() - 1 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let error = open(folder.path()).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains("log line 1 is damaged; keep a copy"), "byte {at}: {error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing of it is cut off");
        }
        std::fs::write(&path, &whole).unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        log.append("foreign").unwrap();
        drop(log);
        let error = open(folder.path()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("line 3 is whole and not understood; start"), "{error}");
    }

    #[test]
    fn a_long_log_is_summed_up_and_a_full_one_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        let text = "x".repeat(50);
        while !log.is_long() {
            log.append(&text).unwrap();
        }
        log.sum_up("all").unwrap();
        assert!(!log.is_long());
        log.append("more").unwrap();
        assert!(log.has_room(&"x".repeat(900)) && !log.has_room(&"x".repeat(1000)));
        // One that is longer than the bound even when summed up is not summed up each time.
        log.sum_up(&"y".repeat(300)).unwrap();
        assert!(!log.is_long());
        drop(log);
        assert_eq!(open(folder.path()).unwrap().1, ["y".repeat(300)]);
    }

    #[test]
    fn a_half_line_that_could_not_be_cut_off_is_cut_off_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        log.append("one").unwrap();
        let [path, aside] = ["log", "aside"].map(|name| folder.path().join(name));
        // The write fails half way, and what it left cannot be cut off.
        let mut torn = File::options().append(true).open(&path).unwrap();
        torn.write_all(&line(&FORM, "two").unwrap()[..9]).unwrap();
        log.file = File::open(&path).unwrap();
        std::fs::rename(&path, &aside).unwrap();
        std::fs::create_dir(&path).unwrap();
        (0..2).for_each(|_| drop(log.append("two").unwrap_err()));
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
        // The naive twin writes on behind it, and cannot be opened again.
        let naive = [std::fs::read(&path).unwrap(), line(&FORM, "three").unwrap(), line(&FORM, "four").unwrap()];
        let twin = tempfile::tempdir().unwrap();
        std::fs::write(twin.path().join("log"), naive.concat()).unwrap();
        assert!(open(twin.path()).map(drop).unwrap_err().to_string().contains("line 2 is damaged"));
        log.append("three").unwrap();
        log.append("four").unwrap();
        drop(log);
        assert_eq!(open(folder.path()).unwrap().1, ["one", "three", "four"]);
    }

    #[test]
    fn a_summary_of_which_one_does_not_know_whether_it_is_there_loses_nothing_that_is_appended_after_it() {
        for there in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (mut log, _) = open(folder.path()).unwrap();
            log.append("one").unwrap();
            // As an error after the rename, or before it, leaves it.
            log.sure = false;
            if there {
                log.dir.replace("log", &line(&FORM, "all").unwrap(), 0o600).unwrap();
            }
            log.append("two").unwrap();
            drop(log);
            assert_eq!(open(folder.path()).unwrap().1, [if there { "all" } else { "one" }, "two"]);
        }
    }

    #[test]
    fn it_is_summed_up_before_it_is_full_however_long_the_last_summary_or_the_start_was() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        log.sum_up(&"y".repeat(450)).unwrap();
        log.append("x").unwrap();
        assert!(!log.is_long(), "not summed up each time");
        log.append(&"x".repeat(20)).unwrap();
        // Twice 468 would be 936 of 1000.
        assert!(log.is_long());
        drop(log);
        assert!(open(folder.path()).unwrap().0.is_long());
    }

    #[test]
    fn a_text_of_two_lines_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = open(folder.path()).unwrap();
        assert_eq!(log.append("a\nb").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        drop(log);
        assert_eq!(open(folder.path()).unwrap().1, [""; 0]);
    }
}
