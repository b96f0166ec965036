//! Signs everyone out of a WordPress site: deletes its session tokens through the site's own code, as the tenant.
//!
//! The tokens are in a database whose name and password stand in the tenant's wp-config.php. To read that file with
//! privilege is to parse what a tenant wrote; to reach the database as its root is to trust a database name that he
//! wrote; to change the salts is to write into his tree. So PHP reads it, with his rights and in [`sys::tenant`]'s
//! narrow room, which makes this the smallest way: whatever wp-config.php does there, it could do from any shell or cron
//! line of the tenant. (Where a pool narrows PHP by open_basedir or disable_functions, it could not from a visit: the
//! command line's PHP has the node's own settings.)
//!
//! The answer is the word of the site's own code: a hostile one can say that it did what it did not. Sessions that a
//! plugin keeps elsewhere are not ended. Nothing is to be taken back: people sign in again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AccountRef, Domain, Failure};
use sys::dir::Dir;
use sys::tenant;

use crate::program::Program;

/// Everybody waits for it, and an account may have hundreds of sites.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What to do when it does not work.
pub const ELSE: &str = "close-site keeps everyone out until it works";
/// The last line printed is `hikeshi WORD COUNT`. SHORTINIT stops WordPress before plugins and themes (`wp-settings.php`)
/// and WP_INSTALLING lets a network of sites start without a request; all its sites share one table of user data
/// (`WP_User_Meta_Session_Tokens`), a row a person. A kept object cache would go on answering from the deleted rows.
const SCRIPT: &str = include_str!("sessions.php");

/// Whether it can be tried at all: the document root, which must be the account's own folder and no link, and PHP.
pub fn check(account: &AccountRef, root: &str) -> Result<(Dir, PathBuf), Failure> {
    let failed = |why: String| Failure::Error(format!("document root {root} {why}"));
    let dir = Dir::open_without_links(Path::new(root)).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::Gone(format!("document root {root}; reread the web server's sites")),
        _ => failed(format!("cannot be opened: {e}; name the folder itself in the web server, not a link to it")),
    })?;
    let owner = rustix::fs::fstat(&dir).map_err(|e| failed(format!("cannot be read: {e}; look at the disk")))?.st_uid;
    if owner != account.uid {
        return Err(failed(format!("belongs to uid {owner}, not to {account}; sign people out in the site itself")));
    }
    Ok((dir, Program::Php.path()?))
}

/// Ends all sessions of the site with this document root; at most 5 seconds. `late` is called when it took longer, or
/// when what was started does not go.
pub fn end(account: &AccountRef, root: &str, site: &Domain, mut late: impl FnMut()) -> Result<String, Failure> {
    let (dir, php) = check(account, root)?;
    let script = SCRIPT.trim_start_matches("<?php"); // `-r` takes the code alone
    let arguments = ["-d", "display_errors=0", "-d", "log_errors=0", "-r", script, "--", site.as_str()];
    let ended = tenant::run(account.uid, &dir, &php, &arguments, WAIT_MAX).inspect_err(|_| late());
    let failed = |why: String| Failure::Error(format!("{site}: {why}"));
    let ended = ended.map_err(|e| failed(format!("PHP as uid {}: {e}; freeze its processes first", account.uid)))?;
    if !ended.in_time {
        late();
        return Err(failed(format!("its code did not end within {} s and was killed; {ELSE}", WAIT_MAX.as_secs())));
    }
    match said(&ended.output).filter(|_| ended.success) {
        Some(("ended", count)) => Ok(format!("{count} people signed out of {site}, says its own code")),
        Some(("absent", _)) => Err(failed(format!(
            "no wp-load.php in {root}, and only WordPress is known; sign people out in the application, or use close-site"
        ))),
        _ => Err(failed(format!(
            "WordPress did not start or did not reach its database; look at its PHP error log; {ELSE}"
        ))),
    }
}

/// The word and the count of the last line, if it is one of ours.
fn said(output: &[u8]) -> Option<(&str, u32)> {
    let last = output.strip_suffix(b"\n")?.rsplit(|b| *b == b'\n').next()?;
    let (word, count) = std::str::from_utf8(last).ok()?.strip_prefix("hikeshi ")?.split_once(' ')?;
    Some((word, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_last_line_with_a_bounded_count_is_an_answer() {
        assert_eq!(said(b"\xef\xbb\xbfnoise\nhikeshi ended 3\n"), Some(("ended", 3)));
        let garbage: [&[u8]; 7] = [
            b"",
            b"hikeshi ended 3",
            b"hikeshi ended 99999999999\n",
            b"hikeshi ended -1\n",
            b"hikeshi ended 3\nmore\n",
            b"xhikeshi ended 3\n",
            b"hikeshi ended 3 4\n",
        ];
        for bytes in garbage {
            assert_eq!(said(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
