//! What is kept as evidence when a restriction comes into force: processes, crontab, mail log lines, in one body.
//!
//! The owner and the host look at it weeks later, when the machine says something else. It holds no address: those of
//! the mail log are left out where they stand.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use model::evidence::{printable, without_addresses};
use model::{AccountRef, ProcessRef};
use serde::Serialize;

use crate::process::{CAPTURE_MAX, capture};

/// How much of the mail log's end is looked through, bytes.
const LOG_TAIL: u64 = 1 << 20;
/// Most lines that are kept of one file, and the longest of them, bytes.
const LINES_MAX: usize = 60;
const LINE_MAX: usize = 300;
/// Largest crontab that is read, bytes.
const CRONTAB_MAX: u64 = 256 * 1024;

/// Where it looks.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// `/proc`.
    pub proc_root: &'a Path,
    /// Where crontab(1) keeps the accounts' tables.
    pub cron_spool: &'a Path,
    /// The mail log, when there is one.
    pub mail_log: Option<&'a Path>,
}

#[derive(Serialize)]
struct Snapshot {
    account: String,
    processes: serde_json::Value,
    /// The account's table; absent when it has none.
    crontab: Option<Vec<String>>,
    /// Lines of the mail log in which Postfix names the uid, the latest.
    mail_log: Vec<String>,
    /// Lines for which there was no room.
    left_out: usize,
}

/// JSON of at most [`CAPTURE_MAX`] bytes: log lines go first, then the crontab's end, all counted.
///
/// # Errors
/// When the processes cannot be read; a crontab or log that cannot be read is said in its place.
pub fn snapshot(places: Places<'_>, account: &AccountRef, processes: &[ProcessRef]) -> io::Result<Vec<u8>> {
    let unreadable = |e: io::Error| Some(vec![format!("(cannot be read: {e})")]);
    let mut snapshot = Snapshot {
        account: account.to_string(),
        processes: serde_json::from_slice(&capture(places.proc_root, processes)?)?,
        crontab: crontab(places.cron_spool, account).unwrap_or_else(unreadable),
        mail_log: places
            .mail_log
            .map_or_else(|| Ok(Vec::new()), |log| mail_lines(log, account.uid))
            .unwrap_or_else(|e| unreadable(e).unwrap_or_default()),
        left_out: 0,
    };
    loop {
        let bytes = serde_json::to_vec(&snapshot)?;
        let crontab = snapshot.crontab.as_mut().filter(|lines| !lines.is_empty());
        match (bytes.len() <= CAPTURE_MAX, snapshot.mail_log.is_empty(), crontab) {
            (true, ..) => return Ok(bytes),
            (_, false, _) => drop(snapshot.mail_log.remove(0)),
            (_, true, Some(lines)) => drop(lines.pop()),
            // A capture is bounded by itself: without the rest it has room but for the names of the fields.
            (_, true, None) => snapshot.processes = serde_json::Value::String("no room".into()),
        }
        snapshot.left_out += 1;
    }
}

fn crontab(spool: &Path, account: &AccountRef) -> io::Result<Option<Vec<String>>> {
    let file = match crate::locate::crontab(spool, &account.name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(CRONTAB_MAX).read_to_end(&mut bytes)?;
    let lines = bytes.split(|b| *b == b'\n').take(LINES_MAX).map(|line| printable(line, LINE_MAX));
    Ok(Some(lines.collect()))
}

fn mail_lines(log: &Path, uid: u32) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    let named = format!(" uid={uid} ");
    let ours = |line: &&[u8]| {
        line.windows(named.len()).any(|part| part == named.as_bytes())
            && line.windows(8).any(|part| part == b"/pickup[")
    };
    let mut lines: Vec<String> = bytes
        .rsplit(|b| *b == b'\n')
        .filter(ours)
        .take(LINES_MAX)
        .map(|line| without_addresses(&printable(line, LINE_MAX)))
        .collect();
    lines.reverse();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crontab_and_log_lines_of_the_account_alone_are_kept_and_no_address_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("mail.log");
        let line = |uid: u32| {
            format!("Nov 25 02:15:39 web01 postfix/pickup[2]: 4jZ3: uid={uid} from=<canary@victim.example>\n")
        };
        let forged = "Nov 25 02:15:39 web01 app: uid=20002 from=<x@y.example> talks about /nothing\n";
        let text: String = (0..200).map(|i| line(20_001 + i % 2)).chain([forged.to_owned()]).collect();
        std::fs::write(&log, text).unwrap();
        std::fs::write(folder.path().join("alice"), b"* * * * * /bin/true\n\x1b[31m\xff\n").unwrap();
        let account = AccountRef { name: "alice".parse().unwrap(), uid: 20_002, generation: 1 };
        let places = Places { proc_root: Path::new("/proc"), cron_spool: folder.path(), mail_log: Some(log.as_path()) };
        let bytes = snapshot(places, &account, &[]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.len() <= CAPTURE_MAX && text.contains("/bin/true") && !text.contains("canary"), "{text}");
        assert!(!text.contains("uid=20001") && !text.contains("talks about"), "{text}");
        assert_eq!(text.matches("uid=20002").count(), LINES_MAX);
        // A link where the crontab should be leads nowhere.
        std::fs::remove_file(folder.path().join("alice")).unwrap();
        std::os::unix::fs::symlink(&log, folder.path().join("alice")).unwrap();
        let text = String::from_utf8(snapshot(places, &account, &[]).unwrap()).unwrap();
        assert!(text.contains("cannot be read"), "{text}");
    }

    #[test]
    fn what_is_too_large_is_cut_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alice"), "山".repeat(80).as_bytes().repeat(300)).unwrap();
        let log = folder.path().join("mail.log");
        std::fs::write(&log, format!("x/pickup[1]: uid=20002 {}\n", "\u{202e}".repeat(90)).repeat(60)).unwrap();
        let account = AccountRef { name: "alice".parse().unwrap(), uid: 20_002, generation: 1 };
        let places = Places { proc_root: Path::new("/proc"), cron_spool: folder.path(), mail_log: Some(log.as_path()) };
        assert!(snapshot(places, &account, &[]).unwrap().len() <= CAPTURE_MAX);
    }
}
