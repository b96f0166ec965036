//! What can go wrong with the database, each with the next step for the operator who reads it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use model::Number;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Why the store refused or failed. Nothing of the refused work is kept; what was acknowledged before stays.
#[derive(Debug)]
pub enum StoreError {
    /// Another process is the writer.
    Held {
        /// The database.
        path: PathBuf,
        /// Its process id as it wrote it, or "unknown".
        pid: String,
    },
    /// There is no database to read.
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others than its user could read the file or folder.
    Exposed {
        /// Which one.
        path: PathBuf,
        /// Its mode now.
        mode: u32,
        /// The widest mode it may have.
        right: u32,
    },
    /// The file is not what we wrote. It is left as it is.
    Damaged {
        /// What was found.
        what: String,
    },
    /// A newer Hikeshi wrote the file.
    Newer {
        /// Its schema version.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// An older Hikeshi wrote the file, and a reader may not bring it up to date.
    Older {
        /// Its schema version.
        found: u32,
        /// The one that this build reads.
        known: u32,
    },
    /// No room on the disk: this batch was not stored. The same batch can be committed again later.
    Full,
    /// Another process kept the file locked for longer than we wait (5 s).
    Busy,
    /// The disk failed: what the kernel now says about the file cannot be trusted any more.
    Disk(rusqlite::Error),
    /// The disk failed or the file went away before; this store takes nothing more.
    Broken,
    /// An event has a format that this build does not know.
    UnknownFormat {
        /// The event's place in the log.
        seq: u64,
        /// The format it claims.
        format: i64,
    },
    /// An event's row is not what this build would have written.
    Unreadable {
        /// The event's place in the log.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// An event is not what the chain says: it, or one before it, was changed, taken out or put in.
    Unchained {
        /// The first event that does not fit.
        seq: u64,
    },
    /// The incident number was given before.
    NumberTaken(Number),
    /// One row is larger than the store takes.
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// A backup would have overwritten something.
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The file system said no.
    File {
        /// What was to be done.
        doing: String,
        /// What it said.
        source: io::Error,
    },
    /// SQLite said no for a reason that is none of the above: a fault of ours.
    Sqlite(rusqlite::Error),
}

impl StoreError {
    /// Turns an error of the file system into ours; a full disk is always [`StoreError::Full`].
    pub(crate) fn file(doing: impl Into<String>) -> impl FnOnce(io::Error) -> StoreError {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            _ => StoreError::File { doing: doing.into(), source },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return StoreError::Sqlite(error);
        };
        match failure.code {
            ErrorCode::DiskFull => StoreError::Full,
            // The index of the write-ahead log could not grow: a full disk under another name.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full,
            // A file system that turns read-only has found a fault of its own.
            ErrorCode::SystemIoFailure | ErrorCode::ReadOnly => StoreError::Disk(error),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Damaged { what: error.to_string() },
            _ => StoreError::Sqlite(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use StoreError::*;
        match self {
            Held { path, pid } => write!(
                f,
                "{} is in use by process {pid}. Next: ask the running one (`hikeshi status`), or stop it first \
                 (`systemctl stop hikeshi`)",
                path.display()
            ),
            Missing { path } => write!(
                f,
                "there is no database at {}. Next: start Hikeshi once (`hikeshi serve` creates it), or name the \
                 right folder",
                path.display()
            ),
            Exposed { path, mode, right } => write!(
                f,
                "{} can be opened by others (mode {mode:04o}). Next: `chmod {right:o} {}`",
                path.display(),
                path.display()
            ),
            Damaged { what } => write!(
                f,
                "the database is damaged: {what}. It was left as it is; nothing is lifted, restrictions stay in \
                 force. Next: stop Hikeshi, move the file with its -wal and -shm aside, put the last backup in its \
                 place (mode 600), start again"
            ),
            Newer { found, known } => write!(
                f,
                "the database was written by a newer Hikeshi (schema {found}, this one knows {known}). Next: install \
                 the newer version again, or put the backup from before the upgrade in its place"
            ),
            Older { found, known } => write!(
                f,
                "the database was written by an older Hikeshi (schema {found}, this one reads {known}). Next: start \
                 Hikeshi once (`hikeshi serve` brings it up to date)"
            ),
            Full => write!(
                f,
                "no room on the disk of the database: this was not stored, everything before it is. Next: make room; \
                 it is tried again"
            ),
            Busy => write!(f, "the database stayed locked for 5 s. Next: see who holds it (`fuser` on the file)"),
            Disk(source) => write!(
                f,
                "the disk under the database failed ({source}). Nothing more is stored or done until a restart; \
                 restrictions stay in force. Next: look at the kernel log and the disk, then restart Hikeshi"
            ),
            Broken => {
                write!(f, "the database failed before. Next: see the first error in the log, then restart Hikeshi")
            }
            UnknownFormat { seq, format } => write!(
                f,
                "event {seq} has format {format}, this Hikeshi knows {}. Next: install the version that wrote it",
                crate::FORMAT
            ),
            Unreadable { seq, why } => write!(
                f,
                "event {seq} is not as it was written ({why}). It was left as it is. Next: put the last backup in \
                 place of the database, or report this"
            ),
            Unchained { seq } => write!(
                f,
                "event {seq} is not what its chain says: it, or one before it, was changed, taken out or put in by \
                 something other than Hikeshi. Next: keep the file as it is, compare it with a backup, and find out \
                 who could write to it"
            ),
            NumberTaken(number) => write!(f, "{number} is the number of another incident. Next: report this"),
            TooLarge { what, bytes } => write!(
                f,
                "a row of {bytes} bytes ({what}) is more than the store takes ({}). Next: report this",
                crate::ROW_BYTES_MAX
            ),
            Exists { path } => {
                write!(f, "{} exists and is not overwritten. Next: name a new file", path.display())
            }
            File { doing, source } => write!(f, "cannot {doing}: {source}"),
            Sqlite(source) => write!(f, "the database refused ({source}). Next: report this"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Disk(source) | StoreError::Sqlite(source) => Some(source),
            StoreError::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
