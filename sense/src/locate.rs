//! Finds what a person names and describes it beyond doubt: a file of an account, a line of its crontab.
//!
//! `act` changes only what still is what was described here: it compares identity and hash before it touches anything.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use model::{AccountName, CronLine, FilePath, FileRef, Hash};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};

/// Largest crontab that is read, bytes.
pub(crate) const CRONTAB_MAX: u64 = 1 << 20;
/// Most files that are counted below a folder.
const COUNT_MAX: u64 = 1_000_000;

/// A regular file below an account's home.
///
/// # Errors
/// `InvalidInput` when it is no regular file; a link or another mount on the way; what the file system says.
pub fn file(home: &Path, path: &FilePath) -> io::Result<FileRef> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let home = openat2(CWD, home, folder, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)?;
    let beneath =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    // Looked at first: to open a device or a pipe can do something.
    let seen = openat2(&home, path.bytes(), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), beneath)?;
    let seen = rustix::fs::fstat(&seen)?;
    if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
    let opened = match openat2(&home, path.bytes(), flags, Mode::empty(), beneath) {
        Err(rustix::io::Errno::PERM) => openat2(&home, path.bytes(), flags - OFlags::NOATIME, Mode::empty(), beneath)?,
        other => other?,
    };
    let mut opened = File::from(opened);
    let hash = Hash::of_reader(&mut opened)?;
    let stat = rustix::fs::fstat(&opened)?;
    if (stat.st_dev, stat.st_ino) != (seen.st_dev, seen.st_ino) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it was exchanged just now; try again"));
    }
    let changed_ns = stat.st_ctime.saturating_mul(1_000_000_000).saturating_add(stat.st_ctime_nsec as i64);
    let path = path.clone();
    Ok(FileRef { path, dev: stat.st_dev, ino: stat.st_ino, size: stat.st_size as u64, changed_ns, hash })
}

/// How many regular files lie below a folder, links not followed; at most [`COUNT_MAX`] are counted.
pub fn count(folder: &Path) -> u64 {
    let (mut files, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files += 1,
                _ => {}
            }
            if files >= COUNT_MAX {
                return files;
            }
        }
    }
    files
}

/// An account's crontab: not through a link and not a pipe, because the folder is the system's and the file the tenant's.
pub(crate) fn crontab(spool: &Path, account: &AccountName) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(CWD, spool.join(account.as_str()), flags, Mode::empty())?))
}

/// The line of this number (from 1) of an account's crontab as crontab(1) shows it, and its text.
///
/// Debian's `crontab -l` hides up to three lines at the top that begin with `#`: the header that crontab(1) itself
/// writes (its source, `list_cmd`).
///
/// # Errors
/// `InvalidInput` when there is no such line, or the table is larger than 1 MiB; what the file system says.
pub fn cron_line(spool: &Path, account: &AccountName, number: usize) -> io::Result<(CronLine, Vec<u8>)> {
    let mut bytes = Vec::new();
    crontab(spool, account)?.take(CRONTAB_MAX + 1).read_to_end(&mut bytes)?;
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if bytes.len() as u64 > CRONTAB_MAX {
        return Err(wrong("the table has more than 1 MiB".into()));
    }
    let hidden = bytes.split(|b| *b == b'\n').take(3).take_while(|line| line.starts_with(b"#")).count();
    let found = table_lines(&bytes, hidden).find(|(at, range)| *at == number && !range.is_empty());
    let (_, range) = found.ok_or_else(|| wrong(format!("there is no line {number}")))?;
    let line_ref = CronLine { hash: Hash::of(&bytes), start: range.start as u32, end: range.end as u32 };
    Ok((line_ref, bytes[range].to_vec()))
}

/// The lines of a table behind `hidden` ones at its top, each with its number from 1 and its bytes.
pub(crate) fn table_lines(bytes: &[u8], hidden: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut start = 0;
    let lines = bytes.split(|b| *b == b'\n').map(move |line| {
        let from = start;
        start += line.len() + 1;
        from..from + line.len()
    });
    lines.skip(hidden).enumerate().map(|(at, range)| (at + 1, range))
}

/// How many lines at the top crontab(1) wrote itself and does not show; 0 for a table without its notice.
pub(crate) fn header(bytes: &[u8]) -> usize {
    match bytes.starts_with(b"# DO NOT EDIT THIS FILE") {
        true => bytes.split(|b| *b == b'\n').take(3).take_while(|line| line.starts_with(b"#")).count(),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_described_by_its_identity_and_a_link_is_none() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        std::fs::create_dir(home.join("www")).unwrap();
        std::fs::write(home.join("www/x.php"), "inert").unwrap();
        let path = |text: &str| FilePath::new(text.as_bytes()).unwrap();
        let found = file(&home, &path("www/x.php")).unwrap();
        assert_eq!((found.size, found.hash), (5, Hash::of(b"inert")));
        assert_eq!(count(&home), 1);
        std::os::unix::fs::symlink("/etc/passwd", home.join("www/link")).unwrap();
        std::os::unix::fs::symlink("/etc", home.join("etc")).unwrap();
        for wrong in ["www", "www/link", "etc/passwd", "www/none"] {
            assert!(file(&home, &path(wrong)).is_err(), "{wrong}");
            // The twin that follows links reads what lies outside.
            let naive = std::fs::read(home.join(wrong)).is_ok();
            assert_eq!(naive, wrong.contains("link") || wrong.contains("passwd"), "{wrong}");
        }
        assert_eq!(count(&home), 1);
    }

    #[test]
    fn a_cron_line_is_a_range_of_the_whole_table() {
        let spool = tempfile::tempdir().unwrap();
        let table = b"MAILTO=\"\"\n\n* * * * * /bin/\xff\n# end";
        std::fs::write(spool.path().join("alice"), table).unwrap();
        let line = |number| cron_line(spool.path(), &"alice".parse().unwrap(), number);
        let (found, text) = line(3).unwrap();
        assert_eq!(&table[found.start as usize..found.end as usize], text);
        assert_eq!((text.as_slice(), found.hash), (&b"* * * * * /bin/\xff"[..], Hash::of(table)));
        assert_eq!(line(4).unwrap().1, b"# end");
        let headed = [&b"# DO NOT EDIT THIS FILE\n# (x installed on y)\n# (Cron version)\n"[..], table].concat();
        std::fs::write(spool.path().join("alice"), &headed).unwrap();
        let (found, text) = line(3).unwrap();
        assert_eq!(
            (&headed[found.start as usize..found.end as usize], text.as_slice()),
            (&b"* * * * * /bin/\xff"[..], &b"* * * * * /bin/\xff"[..])
        );
        std::fs::write(spool.path().join("alice"), table).unwrap();
        for none in [0, 2, 5] {
            assert!(line(none).is_err(), "{none}");
        }
    }
}
