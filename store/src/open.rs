//! Opens the database: private, unharmed, of a version we know, and with nobody else writing.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Hash;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::StoreError;
use crate::chain;
use crate::lock::Lock;
use crate::schema;
use crate::view::View;

/// The writer. There is one per database, in one process; it reads through its [`View`].
#[derive(Debug)]
pub struct Store {
    pub(crate) view: View,
    /// The last event's place, so that a commit need not ask for it.
    pub(crate) last_seq: u64,
    /// Its link in the chain.
    pub(crate) head: Hash,
    /// The path and what it led to when it was opened: device and inode.
    file: (PathBuf, (u64, u64)),
    /// After a failed disk write the kernel may call lost pages clean: nothing is trusted until a restart.
    broken: bool,
    // Last field: dropped after the connection is closed.
    _lock: Lock,
}

impl Store {
    /// Opens the database for writing, and creates it when there is none.
    ///
    /// The folder is created with mode 0700, files with 0600; wider ones that exist are refused. The whole file
    /// is checked (`quick_check`); the time for it grows with the file.
    ///
    /// # Errors
    /// [`StoreError::Held`] while another process writes, [`StoreError::Damaged`], [`StoreError::Newer`],
    /// [`StoreError::Exposed`], [`StoreError::Full`]. A refused file is left byte for byte as it was.
    pub fn open(path: impl AsRef<Path>) -> Result<Store, StoreError> {
        let path = path.as_ref();
        let folder = folder(path);
        let making = || StoreError::file(format!("make the folder {}", folder.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(making())?;
        private(&folder, 0o700)?;
        let lock = Lock::take(path)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, &folder)?,
            Err(error) => return Err(StoreError::file(format!("look at {}", path.display()))(error)),
            Ok(there) if !there.is_file() => {
                let what = format!("{} is not a plain file", path.display());
                return Err(StoreError::Damaged { what });
            }
            // Ours is never empty, so this one lost everything; SQLite would delete its log as well.
            Ok(there) if there.len() == 0 => {
                return Err(StoreError::Damaged { what: format!("{} is empty", path.display()) });
            }
            Ok(_) => private(path, 0o600)?,
        }
        let conn = ready(path)?;
        let file = (path.to_owned(), identity(path)?);
        let view = View { conn };
        let last_seq = view.last_seq()?;
        let head = view.link_of(last_seq)?.unwrap_or(chain::START);
        Ok(Store { view, last_seq, head, file, broken: false, _lock: lock })
    }

    /// Opens the database for reading, also while another process writes.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Newer`], [`StoreError::Older`], [`StoreError::Damaged`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<View, StoreError> {
        let path = path.as_ref();
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(StoreError::file(format!("look at {}", path.display()))(error)),
            Ok(_) => {}
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(schema::WAIT)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        match schema::version(&conn)? {
            schema::VERSION => Ok(View { conn }),
            found => Err(StoreError::Older { found, known: schema::VERSION }),
        }
    }

    /// Gives back the memory of the page cache, after much was written; what is asked next is read again.
    pub fn rest(&self) -> Result<(), StoreError> {
        Ok(self.view.conn.execute_batch("PRAGMA shrink_memory")?)
    }

    /// Runs `work` in one transaction that is durable when this returns.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.broken {
            return Err(StoreError::Broken);
        }
        // SQLite would go on writing into a file that has no name any more, and a restart would not find it.
        let (path, opened) = &self.file;
        if identity(path).ok() != Some(*opened) {
            self.broken = true;
            let what = format!("{} was moved or deleted while it was in use", path.display());
            return Err(StoreError::Damaged { what });
        }
        let conn = &mut self.view.conn;
        let written = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)
            .and_then(|tx| work(&tx).and_then(|value| tx.commit().map(|()| value).map_err(StoreError::from)));
        self.broken |= matches!(written, Err(StoreError::Disk(_)));
        written
    }
}

/// The writer reads as everybody does.
impl Deref for Store {
    type Target = View;
    fn deref(&self) -> &View {
        &self.view
    }
}

/// The path of a file that belongs to the database, such as its lock.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    PathBuf::from(name)
}

/// The folder of a file.
pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Which file this is, whatever it is called.
fn identity(path: &Path) -> Result<(u64, u64), StoreError> {
    let found = fs::metadata(path).map_err(StoreError::file(format!("look at {}", path.display())))?;
    Ok((found.dev(), found.ino()))
}

/// Makes a new name in this folder survive a power loss.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(StoreError::file(format!("write {} to the disk", folder.display())))
}

/// Refuses what others may open. Not tightened by us: the operator may have pointed at a shared folder.
fn private(path: &Path, right: u32) -> Result<(), StoreError> {
    let found = fs::metadata(path).map_err(StoreError::file(format!("look at {}", path.display())))?;
    let mode = found.permissions().mode() & 0o7777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(StoreError::Exposed { path: path.to_owned(), mode, right }),
    }
}

/// Makes a new database under another name and gives it its own when it is whole: a file of that name that is
/// empty or has no tables is therefore always a loss, never a first start that was interrupted.
fn create(path: &Path, folder: &Path) -> Result<(), StoreError> {
    if beside(path, "-wal").exists() {
        let what = format!("{} is gone, but its -wal is still there", path.display());
        return Err(StoreError::Damaged { what });
    }
    let new = beside(path, ".new");
    for left in [new.clone(), beside(&new, "-journal")] {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file(format!("remove {}", left.display()))(error));
            }
            _ => {}
        }
    }
    let making = || StoreError::file(format!("make {}", new.display()));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(making())?;
    let mut conn = Connection::open_with_flags(&new, writer_flags())?;
    schema::migrate(&mut conn)?;
    conn.close().map_err(|(_, error)| StoreError::from(error))?;
    File::open(&new).and_then(|open| open.sync_all()).map_err(making())?;
    fs::rename(&new, path).map_err(making())?;
    sync_folder(folder)
}

/// Checks first and switches on afterwards, so that a refused file is not even checkpointed.
fn ready(path: &Path) -> Result<Connection, StoreError> {
    let mut conn = Connection::open_with_flags(path, writer_flags())?;
    conn.busy_timeout(schema::WAIT)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    schema::version(&conn)?;
    let mut faults = Vec::new();
    conn.pragma(None, "quick_check", 3, |row| {
        faults.push(row.get::<_, String>(0)?);
        Ok(())
    })?;
    if faults != ["ok"] {
        return Err(StoreError::Damaged { what: faults.join("; ").replace('\n', " ") });
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    schema::arm(&conn)?;
    schema::migrate(&mut conn)?;
    Ok(conn)
}

fn writer_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;
    use crate::Batch;

    #[test]
    fn after_a_failed_disk_write_nothing_more_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path().join("state/hikeshi.db")).unwrap();
        let failed = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None);
        assert!(matches!(store.write(|_| Err::<(), _>(failed.into())), Err(StoreError::Disk(_))));
        for _ in 0..2 {
            assert!(matches!(store.commit(&Batch::default()), Err(StoreError::Broken)));
        }
    }
}
