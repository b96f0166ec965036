//! Writes files so that a kill at any point leaves the old or the new one, never half of one, and keeps
//! originals with everything that belongs to them (mode, owner, times).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What belongs to a file beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the bytes, seconds since 1970.
    pub mtime_secs: i64,
    /// And nanoseconds.
    pub mtime_nanos: i64,
}

impl Looks {
    /// Of a file that exists.
    pub fn of(path: &Path) -> io::Result<Looks> {
        let meta = fs::metadata(path)?;
        Ok(Looks {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime_secs: meta.mtime(),
            mtime_nanos: meta.mtime_nsec(),
        })
    }
}

/// Replaces a file by rename. `keep_time` also sets the old time of change (for originals that come back).
pub fn replace(path: &Path, bytes: &[u8], looks: Looks, keep_time: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().ok_or_else(|| io::Error::other("no file name"))?;
    // The leading dot keeps it out of `include folder/*`.
    let new = folder.join(format!(".{}.hikeshi-new", name.to_string_lossy()));
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = (|| {
        file.write_all(bytes)?;
        let meta = file.metadata()?;
        if (meta.uid(), meta.gid()) != (looks.uid, looks.gid) {
            chown(&new, Some(looks.uid), Some(looks.gid))?;
        }
        file.set_permissions(fs::Permissions::from_mode(looks.mode))?;
        if keep_time {
            let secs = Duration::from_secs(looks.mtime_secs.unsigned_abs());
            let base = if looks.mtime_secs < 0 { SystemTime::UNIX_EPOCH - secs } else { SystemTime::UNIX_EPOCH + secs };
            file.set_modified(base + Duration::from_nanos(looks.mtime_nanos.unsigned_abs()))?;
        }
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    sync_folder(folder)
}

/// Writes one of our own files: root's, readable by all (no secret is in them).
pub fn write_own(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    replace(path, bytes, Looks { mode: 0o644, uid, gid, mtime_secs: 0, mtime_nanos: 0 }, false)
}

/// Makes a folder of ours.
pub fn folder(path: &Path, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Removes a file; that it is gone already is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Why root must not write here: whoever owns the file or its folder could turn the write elsewhere.
pub fn foreign(path: &Path) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    for place in [path, &folder] {
        let meta = fs::symlink_metadata(place).ok()?;
        let loose = meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0;
        if (meta.uid() != 0 && meta.uid() != own) || loose {
            return Some(format!(
                "{} can be changed by others than root (uid {}, mode {:o}), so it is not edited; chown root and \
                 chmod go-w, or add the line by hand",
                place.display(),
                meta.uid(),
                meta.mode() & 0o7777
            ));
        }
    }
    None
}
