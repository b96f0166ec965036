//! From which folder a program hands mail to Exim: joins `cwd=` with the message that follows.
//!
//! With process ids in the log (`+pid`) the two lines have the same one. Without, the next local message of the account
//! in whose home or document root the folder lies is meant; when two folders of an account wait at once, neither is
//! believed. A tenant can stand in a folder of another account only if he may enter it, and then misleads about the
//! folder, never about the account.

use std::collections::HashMap;

use model::{Moment, Span};

/// Processes remembered; when they are too many all are forgotten, and messages have no folder for a while.
const PROCESSES_MAX: usize = 4096;
/// After this time nothing follows any more.
const WAIT: Span = Span::minutes(1);
/// Longest folder name, bytes.
const PATH_MAX: usize = 1024;

/// What an account's programs announced.
#[derive(Clone, Debug)]
struct Waiting {
    /// None: two different folders wait.
    folder: Option<String>,
    count: u32,
    at: Moment,
}

/// The folders of calls whose message is still to come.
#[derive(Debug, Default)]
pub struct Folders {
    /// Bounded by the number of accounts.
    by_uid: HashMap<u32, Waiting>,
    by_pid: HashMap<u32, (u32, String, Moment)>,
}

impl Folders {
    /// A program stands in a folder of this account and is about to hand a message over.
    pub fn entered(&mut self, uid: u32, pid: Option<u32>, path: &[u8], at: Moment) {
        let Some(path) = std::str::from_utf8(path).ok().filter(|path| path.len() <= PATH_MAX) else { return };
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        if let Some(pid) = pid {
            if self.by_pid.len() >= PROCESSES_MAX {
                self.by_pid.retain(|_, (_, _, then)| at - *then < WAIT);
            }
            if self.by_pid.len() >= PROCESSES_MAX {
                self.by_pid.clear();
            }
            self.by_pid.insert(pid, (uid, path.to_owned(), at));
            return;
        }
        match self.by_uid.get_mut(&uid).filter(|waiting| at - waiting.at < WAIT) {
            Some(waiting) => {
                waiting.count += 1;
                waiting.at = at;
                if waiting.folder.as_deref() != Some(path) {
                    waiting.folder = None;
                }
            }
            None => {
                self.by_uid.insert(uid, Waiting { folder: Some(path.to_owned()), count: 1, at });
            }
        }
    }

    /// The folder of a message that this account just handed over.
    pub fn take(&mut self, uid: u32, pid: Option<u32>, at: Moment) -> Option<String> {
        if let Some(pid) = pid {
            let (owner, folder, then) = self.by_pid.remove(&pid)?;
            return (owner == uid && at - then < WAIT).then_some(folder);
        }
        let waiting = self.by_uid.get_mut(&uid)?;
        let fresh = at - waiting.at < WAIT;
        waiting.count -= 1;
        let folder = match waiting.count == 0 || !fresh {
            true => self.by_uid.remove(&uid)?.folder,
            false => waiting.folder.clone(),
        };
        folder.filter(|_| fresh)
    }

    /// Forgets an account.
    pub fn forget(&mut self, uid: u32) {
        self.by_uid.remove(&uid);
        self.by_pid.retain(|_, (owner, _, _)| *owner != uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Moment {
        Moment::from_secs(1_000_000 + secs)
    }

    #[test]
    fn a_message_has_the_folder_of_its_call_and_a_doubtful_one_has_none() {
        let mut folders = Folders::default();
        folders.entered(1, None, b"/home/a/img/", at(0));
        folders.entered(1, None, b"/home/a/img", at(0));
        folders.entered(2, None, b"/home/b", at(0));
        assert_eq!(folders.take(1, None, at(1)).as_deref(), Some("/home/a/img"));
        assert_eq!(folders.take(1, None, at(1)).as_deref(), Some("/home/a/img"));
        assert_eq!(folders.take(1, None, at(1)).as_deref(), None);
        assert_eq!(folders.take(2, None, at(90)).as_deref(), None, "too late");
        folders.entered(1, None, b"/home/a/img", at(100));
        folders.entered(1, None, b"/home/a/shop", at(100));
        assert_eq!(
            (folders.take(1, None, at(101)).as_deref(), folders.take(1, None, at(101)).is_some()),
            (None, false)
        );
        folders.entered(1, None, b"/home/a/shop", at(102));
        assert_eq!(folders.take(1, None, at(102)).as_deref(), Some("/home/a/shop"));
    }

    #[test]
    fn with_process_ids_calls_at_once_are_told_apart_and_strangers_get_nothing() {
        let mut folders = Folders::default();
        folders.entered(1, Some(7), b"/home/a/img", at(0));
        folders.entered(1, Some(8), b"/home/a/shop", at(0));
        folders.entered(1, Some(9), b"/home/a/shop", at(0));
        assert_eq!(folders.take(1, Some(8), at(0)).as_deref(), Some("/home/a/shop"));
        assert_eq!(folders.take(1, Some(7), at(0)).as_deref(), Some("/home/a/img"));
        assert_eq!(folders.take(2, Some(9), at(0)).as_deref(), None);
        (0..20_000).for_each(|pid| folders.entered(1, Some(pid), b"/home/a", at(1)));
        assert!(folders.by_pid.len() <= PROCESSES_MAX);
    }
}
