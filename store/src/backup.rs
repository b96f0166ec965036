//! A copy of the database while it is in use.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::open::{beside, folder, sync_folder};
use crate::{StoreError, View};

/// Pages copied between two calls of the progress function: 4 MiB.
const PAGES_A_STEP: i32 = 1024;

impl View {
    /// Copies the state of this moment to `path`, mode 0600, checked and on the disk when this returns.
    ///
    /// `progress` is told pages done and pages in all. Through a [`View`] of its own the writer goes on
    /// meanwhile; its write-ahead log grows for as long. Personal data of that moment is in the copy and is not
    /// deleted there when its time is over: keep backups no longer than that.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when something has that name, [`StoreError::Full`], [`StoreError::File`]. Nothing
    /// of ours is left under that name then.
    pub fn backup_to(&self, path: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
        let path = path.as_ref();
        // Takes the name first, so that nothing of another's is ever overwritten by the rename below.
        make(path)?;
        let part = beside(path, ".part");
        let made = make(&part).and_then(|()| {
            let copied = self
                .copy(&part, progress)
                .and_then(|()| fs::rename(&part, path).map_err(StoreError::file(format!("name {}", path.display()))));
            if copied.is_err() {
                // Best effort: the first error is the one to tell.
                let _ = fs::remove_file(&part);
            }
            copied
        });
        if made.is_err() {
            let _ = fs::remove_file(path);
        }
        made?;
        sync_folder(&folder(path))
    }

    fn copy(&self, part: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
        // An open reading transaction holds the state still; without it every commit of the writer would make
        // the copy begin anew.
        let still = self.conn.unchecked_transaction()?;
        still.query_row("SELECT count(*) FROM settings", [], |_| Ok(()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(part, flags)?;
        {
            let backup = Backup::new(&self.conn, &mut copy)?;
            loop {
                let step = backup.step(PAGES_A_STEP)?;
                let now = backup.progress();
                progress((now.pagecount - now.remaining).max(0) as u64, now.pagecount.max(0) as u64);
                match step {
                    StepResult::Done => break,
                    StepResult::More => {}
                    _ => return Err(StoreError::Busy),
                }
            }
        }
        let found: String = copy.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::Damaged { what: format!("the copy: {found}") });
        }
        // One plain file: without its own write-ahead log it can be copied and sent.
        copy.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))?;
        copy.close().map_err(|(_, error)| StoreError::from(error))?;
        File::open(part)
            .and_then(|open| open.sync_all())
            .map_err(StoreError::file(format!("write {} to the disk", part.display())))
    }
}

/// Makes an empty private file of a name that nobody has.
fn make(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::Exists { path: path.to_owned() }),
        Err(error) => Err(StoreError::file(format!("make {}", path.display()))(error)),
    }
}
