//! The lock that makes one process the writer: a file beside the database that says who holds it.
//!
//! The kernel frees the lock when its holder dies, however it dies, so there is no stale lock to clean up.
//! The file itself stays: deleting it would let two processes hold two locks of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::StoreError;
use crate::open::beside;

/// Held as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of this database at once, or says who has it.
    pub(crate) fn take(database: &Path) -> Result<Lock, StoreError> {
        let path = beside(database, ".lock");
        let failed = || StoreError::file(format!("lock {}", path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Held { path: database.to_owned(), pid: holder(&file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed()(source)),
        }
        file.set_len(0).map_err(failed())?;
        file.rewind().map_err(failed())?;
        writeln!(file, "{}", std::process::id()).map_err(failed())?;
        Ok(Lock { file })
    }
}

impl Drop for Lock {
    /// Gives the lock back in so many words: a child that was forked and has not yet run its program shares the
    /// open file, and would hold the lock for that long.
    fn drop(&mut self) {
        // Closing the file gives it back too; an error here has no one to act on it.
        let _ = self.file.unlock();
    }
}

/// The pid in the lock file; "unknown" when its holder has not written it yet.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let pid: Option<u32> = file.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    pid.map_or("unknown".to_owned(), |pid| pid.to_string())
}
