//! Holds and refuses outgoing mail in Postfix: lines in tables of ours, and `postsuper -h` for what waits.
//!
//! Local mail: pickup(8) writes `Received: by HOST (Postfix, from userid N)` itself, and cleanup(8) checks that header
//! like any other, so the uid is the kernel's word and not the tenant's. The line names our host too: mail that comes
//! in from another Postfix carries the same words with its own uid numbers. Mailboxes: smtpd(8) looks the SASL user
//! name up, without regard to case (regexp_table(5)), so `Info@` is `info@`. Daemons read these tables when they start;
//! after a reload a session that is open already goes on with the old one until it ends. Refused: postdrop(1) reads the
//! names at each message, so no reload is needed.
//!
//! What a table of ours held is only known from the mail log, which act does not read: it stays on hold when the
//! restriction ends, and a person sorts it. What we put on hold ourselves is known by id and goes on when the
//! restriction fails: by `postsuper -H`, never `-r`, because a requeued message gets a new id and loses the uid of
//! its sender. A message that became older than `maximal_queue_lifetime` on hold is tried once and then returned.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{AccountRef, MailScope, Number, QueueId};
use sys::dir::Dir;

use crate::config::{PostfixConfig, Steps};
use crate::postfix::{Postfix, Table, last_line};
use crate::program::Program;

/// Messages that are taken off hold at once.
const BATCH: usize = 50;
/// Looks at the queue's folders: qmgr(8) moves files between them while we look.
const LOOKS: usize = 3;
/// Largest table, bytes.
const TABLE_MAX: u64 = 1 << 20;

/// Whose mail is held, and the incident whose number Postfix logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldLine {
    /// The account.
    pub account: AccountRef,
    /// How far.
    pub scope: MailScope,
    /// The incident.
    pub number: Number,
}

impl HoldLine {
    fn covers_uid(&self) -> bool {
        !matches!(self.scope, MailScope::Mailbox(_))
    }

    /// Patterns of SASL user names. An account has those of its domains and its own login name.
    fn names(&self) -> Vec<String> {
        match &self.scope {
            MailScope::Local => Vec::new(),
            MailScope::Mailbox(mailbox) => vec![format!("^{}$", escape(mailbox.as_str()))],
            MailScope::Account { domains } => {
                let mailboxes = domains.iter().map(|domain| format!("@{}$", escape(domain.as_str())));
                mailboxes.chain([format!("^{}$", escape(self.account.name.as_str()))]).collect()
            }
        }
    }

    /// Names that those patterns must match.
    fn samples(&self) -> Vec<String> {
        match &self.scope {
            MailScope::Local => Vec::new(),
            MailScope::Mailbox(mailbox) => vec![mailbox.to_string()],
            MailScope::Account { domains } => {
                let mailboxes = domains.iter().map(|domain| format!("info@{domain}"));
                mailboxes.chain([self.account.name.to_string()]).collect()
            }
        }
    }

    /// Whose mail, in words.
    pub fn whose(&self) -> String {
        match &self.scope {
            MailScope::Local => format!("uid {}", self.account.uid),
            MailScope::Mailbox(mailbox) => format!("mailbox {mailbox}"),
            MailScope::Account { domains } => {
                format!("uid {} and the mailboxes of {} domains", self.account.uid, domains.len())
            }
        }
    }
}

/// One Postfix instance.
#[derive(Debug)]
pub struct Mail {
    /// `None`: the mail server reads the table of local mail itself, and there are no other tables.
    postfix: Option<Postfix>,
    hold_file: PathBuf,
    folder: Dir,
}

impl Mail {
    /// Opens the folder of the hold file; it must be ours alone.
    pub fn open(config: &PostfixConfig) -> Result<Mail, String> {
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(format!("{} is not UTF-8", path.display()));
        let hold_file = PathBuf::from(text(&config.hold_file)?);
        let folder = hold_file.parent().filter(|_| hold_file.file_name().is_some());
        let folder = folder.ok_or_else(|| format!("{} is no file name", hold_file.display()))?;
        let folder = Dir::open_own(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let config_dir = config.config_dir.as_deref().map(text).transpose()?;
        Ok(Mail { postfix: config_dir.map(|config_dir| Postfix { config_dir }), hold_file, folder })
    }

    /// Whether an order can be carried out: the tables are asked first, no service hides them, long ids for ids to be
    /// held.
    pub fn check(&self, line: &HoldLine, queued: &[QueueId]) -> Result<(), String> {
        let Some(postfix) = &self.postfix else {
            let local = line.scope == MailScope::Local;
            return local.then_some(()).ok_or_else(|| "this mail server knows no mailboxes; hold local mail".into());
        };
        if line.covers_uid() {
            postfix.asks_first(Table::Local, &self.hold_file)?;
        }
        if line.scope != MailScope::Local {
            let (doors, hidden) = postfix.doors(&self.hold_file)?;
            match (&line.scope, doors) {
                (MailScope::Mailbox(mailbox), 0) => {
                    return Err(format!(
                        "no service of Postfix takes passwords (smtpd_sasl_auth_enable), so {mailbox} hands in nothing here; hold the account's local mail instead"
                    ));
                }
                (_, 0) => {}
                _ => postfix.asks_first(Table::Sasl, &self.hold_file)?,
            }
            if let Some(why) = hidden.into_iter().next() {
                return Err(why);
            }
        }
        if !queued.is_empty() && postfix.parameter("enable_long_queue_ids")? != "yes" {
            return Err(format!(
                "short queue ids are reused, so a waiting message could be taken for another; set enable_long_queue_ids = yes in {}/main.cf and reload Postfix",
                postfix.config_dir
            ));
        }
        Ok(())
    }

    /// Makes the tables hold exactly these, and Postfix know it.
    pub fn set(&self, held: &[HoldLine], steps: &mut Steps) -> Result<(), String> {
        for table in self.tables().iter().copied() {
            self.write(table, &self.text(table, held)?)?;
            steps("mail: one table");
        }
        self.reload()
    }

    /// Whether the files say exactly this, and Postfix asks the one that holds `line`.
    pub fn is_set(&self, held: &[HoldLine], line: &HoldLine) -> Result<bool, String> {
        self.asked(line)?;
        self.is_written(held)
    }

    /// Whether the files say exactly this; one that was never written holds nothing.
    pub fn is_written(&self, held: &[HoldLine]) -> Result<bool, String> {
        self.tables().iter().try_fold(true, |so_far, table| {
            let unwritten = held.is_empty() && self.read(*table)?.is_empty();
            Ok(so_far && (unwritten || self.says(*table, &self.text(*table, held)?)?))
        })
    }

    /// What Postfix itself makes of mail of this scope: true when all of it would be held.
    pub fn would_hold(&self, line: &HoldLine) -> Result<bool, String> {
        self.asked(line)?;
        let uid = line.account.uid;
        let Some(postfix) = &self.postfix else {
            let wanted = format!("from userid {uid}\\)");
            return Ok(String::from_utf8_lossy(&self.read(Table::Local)?).contains(&wanted));
        };
        if line.covers_uid() {
            let (host, name) = (postfix.parameter("myhostname")?, postfix.parameter("mail_name")?);
            let header = format!("Received: by {host} ({name}, from userid {uid})");
            let found = postfix.lookup(&header, &Table::Local.name(&self.hold_file))?;
            if found.split_whitespace().next() != Some("HOLD") {
                return Ok(false);
            }
        }
        let samples = line.samples();
        let found = postfix.lookups(&samples, &Table::Sasl.name(&self.hold_file))?;
        let held = |name: &String| found.lines().any(|l| l.strip_prefix(name.as_str()).is_some_and(is_hold));
        Ok(samples.iter().all(held))
    }

    /// Those of these messages that wait and are not on hold: their file is the one that the id names.
    ///
    /// A long id carries the inode of the queue file. A file of that name with another inode (a restored queue), of
    /// another owner than the queue, or with a second link is not the message that was meant.
    pub fn waiting(&self, queued: &[QueueId]) -> Result<Vec<QueueId>, String> {
        if queued.is_empty() || self.postfix.is_none() {
            return Ok(queued.to_vec());
        }
        if let Some(short) = queued.iter().find(|id| id.file().is_none()) {
            return Err(format!(
                "{short} is no long queue id and may be another message by now; set enable_long_queue_ids = yes"
            ));
        }
        let queue = self.queue()?;
        let waits = |id: &&QueueId| {
            (0..LOOKS).any(|_| ["incoming", "active", "deferred"].iter().any(|folder| is_in(&queue, folder, id)))
        };
        Ok(queued.iter().filter(waits).cloned().collect())
    }

    /// Puts waiting messages on hold; those that left meanwhile are skipped. How many are on hold afterwards.
    pub fn hold_queued(&self, queued: &[QueueId]) -> Result<usize, String> {
        let Some(postfix) = self.postfix.as_ref().filter(|_| !queued.is_empty()) else { return Ok(0) };
        for _ in 0..LOOKS {
            let waiting = self.waiting(queued)?;
            if waiting.is_empty() {
                break;
            }
            superintend(postfix, "-h", &waiting)?;
        }
        let waiting = self.waiting(queued)?.len();
        match waiting {
            0 => Ok(self.held(queued)?.len()),
            _ => Err(format!("{waiting} messages did not go on hold; look at the queue with postqueue -p")),
        }
    }

    /// Takes messages that we put on hold off again, at most 50 at once, each batch seen. How many.
    pub fn release(&self, queued: &[QueueId], steps: &mut Steps) -> Result<usize, String> {
        let Some(postfix) = self.postfix.as_ref().filter(|_| !queued.is_empty()) else { return Ok(0) };
        let held = self.held(queued)?;
        for batch in held.chunks(BATCH) {
            superintend(postfix, "-H", batch)?;
            let still = self.held(batch)?.len();
            if still > 0 {
                return Err(format!("{still} messages did not leave the hold queue; look at it with postqueue -p"));
            }
            steps("mail: one batch off hold");
        }
        Ok(held.len())
    }

    /// Whether an order to refuse mail of this account can be carried out.
    pub fn check_refuse(&self) -> Result<(), String> {
        let postfix = self.postfix.as_ref().ok_or("this mail server refuses nobody; hold the mail instead")?;
        postfix.asks_first(Table::Refused, &self.hold_file)?;
        let path = Table::Refused.path(&self.hold_file);
        sys::dir::reachable(&path, "postdrop of a tenant").map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Makes exactly these accounts hand in nothing.
    pub fn set_refused(&self, refused: &[(AccountRef, Number)]) -> Result<(), String> {
        // Without the parameter there is no table to keep; plan() has asked for it.
        match self.postfix {
            Some(_) => self.write(Table::Refused, &names(refused)),
            None => Ok(()),
        }
    }

    /// Whether the table says exactly this, and Postfix asks it.
    pub fn is_refused(&self, refused: &[(AccountRef, Number)]) -> Result<bool, String> {
        self.check_refuse()?;
        self.says(Table::Refused, &names(refused))
    }

    /// Whether Postfix's own look-up finds this account in the table.
    pub fn would_refuse(&self, account: &AccountRef) -> Result<bool, String> {
        let Some(postfix) = &self.postfix else { return Ok(false) };
        let found = postfix.lookup(account.name.as_str(), &Table::Refused.name(&self.hold_file))?;
        Ok(found.starts_with("HK-"))
    }

    /// Messages in the hold queue now, of everybody.
    pub fn on_hold(&self) -> Result<usize, String> {
        if self.postfix.is_none() {
            return Ok(0);
        }
        let queue = self.queue()?.join("hold");
        let dir = std::fs::read_dir(&queue);
        Ok(dir.map_err(|e| format!("{}: {e}", queue.display()))?.count())
    }

    /// Whether main.cf still asks the table that this line needs: an error with what to set when it does not.
    fn asked(&self, line: &HoldLine) -> Result<(), String> {
        let table = if line.covers_uid() { Table::Local } else { Table::Sasl };
        self.postfix.as_ref().map_or(Ok(()), |postfix| postfix.asks_first(table, &self.hold_file))
    }

    fn tables(&self) -> &'static [Table] {
        if self.postfix.is_some() { &[Table::Local, Table::Sasl] } else { &[Table::Local] }
    }

    /// The text of a table; without lines it is empty, as `hikeshi setup` made it.
    fn text(&self, table: Table, held: &[HoldLine]) -> Result<String, String> {
        let mut lines: Vec<(String, Number)> = Vec::new();
        if table == Table::Local {
            let by = match &self.postfix {
                Some(postfix) => {
                    let (host, name) = (postfix.parameter("myhostname")?, postfix.parameter("mail_name")?);
                    format!("by {} \\({}", escape(&host), escape(&name))
                }
                None => "by .*\\(.*".to_owned(),
            };
            let local = held.iter().filter(|line| line.covers_uid());
            lines.extend(local.map(|l| (format!("^Received: {by}, from userid {}\\)", l.account.uid), l.number)));
        } else {
            lines.extend(held.iter().flat_map(|l| l.names().into_iter().map(|name| (name, l.number))));
        }
        lines.sort();
        lines.dedup_by(|one, other| one.0 == other.0);
        let lines: String = lines.iter().map(|(pattern, number)| format!("/{pattern}/ HOLD {number}\n")).collect();
        Ok(headed("Mail that Hikeshi holds", lines))
    }

    fn read(&self, table: Table) -> Result<Vec<u8>, String> {
        let path = table.path(&self.hold_file);
        let read = self.folder.read(leaf(&path), TABLE_MAX);
        Ok(read.map_err(|e| format!("{}: {e}", path.display()))?.unwrap_or_default())
    }

    fn says(&self, table: Table, text: &str) -> Result<bool, String> {
        Ok(self.read(table)? == text.as_bytes())
    }

    fn write(&self, table: Table, text: &str) -> Result<(), String> {
        let path = table.path(&self.hold_file);
        if text.len() as u64 > TABLE_MAX {
            return Err(format!("{} would be larger than {TABLE_MAX} bytes; lift some restrictions", path.display()));
        }
        let write = self.folder.replace(leaf(&path), text.as_bytes(), 0o644);
        write.map_err(|e| format!("{}: {e}; check free space", path.display()))
    }

    /// Old daemons see that their master went on without them, finish their message or session and end.
    fn reload(&self) -> Result<(), String> {
        let Some(postfix) = &self.postfix else { return Ok(()) };
        if !postfix.run(Program::Postfix, &["status"], "")?.0 {
            return Ok(()); // it reads the tables when it starts
        }
        match postfix.run(Program::Postfix, &["reload"], "")? {
            (true, _) => Ok(()),
            (false, printed) => Err(format!("postfix reload: {}", last_line(&printed))),
        }
    }

    fn queue(&self) -> Result<PathBuf, String> {
        let postfix = self.postfix.as_ref().ok_or("no Postfix is configured")?;
        Ok(postfix.parameter("queue_directory")?.into())
    }

    fn held(&self, queued: &[QueueId]) -> Result<Vec<QueueId>, String> {
        let queue = self.queue()?;
        Ok(queued.iter().filter(|id| is_in(&queue, "hold", id)).cloned().collect())
    }
}

/// Whether the queue file that this id names is in this folder of the queue (hashed by up to two digits of its
/// microseconds: postconf(5), `hash_queue_depth`). Nobody but Postfix can write there.
fn is_in(queue: &Path, folder: &str, id: &QueueId) -> bool {
    let Some((inode, micros)) = id.file() else { return false };
    let digits = format!("{micros:05X}");
    let below = ["".to_owned(), digits[..1].to_owned(), format!("{}/{}", &digits[..1], &digits[1..2])];
    let folder = queue.join(folder);
    let Ok(owner) = std::fs::symlink_metadata(&folder).map(|meta| meta.uid()) else { return false };
    let is = |meta: Metadata| meta.is_file() && meta.ino() == inode && meta.uid() == owner && meta.nlink() == 1;
    below.iter().any(|below| std::fs::symlink_metadata(folder.join(below).join(id.as_str())).is_ok_and(is))
}

fn superintend(postfix: &Postfix, flag: &str, ids: &[QueueId]) -> Result<(), String> {
    let input: String = ids.iter().map(|id| format!("{id}\n")).collect();
    match postfix.run(Program::Postsuper, &[flag, "-"], &input)? {
        (true, _) => Ok(()),
        (false, printed) => Err(format!("postsuper {flag}: {}", last_line(&printed))),
    }
}

/// The names that may hand in nothing, each with its incident (texthash: DATABASE_README).
fn names(refused: &[(AccountRef, Number)]) -> String {
    let mut lines: Vec<(&str, &Number)> = refused.iter().map(|(who, number)| (who.name.as_str(), number)).collect();
    lines.sort();
    lines.dedup_by_key(|(name, _)| *name);
    let lines: String = lines.iter().map(|(name, number)| format!("{name} {number}\n")).collect();
    headed("Accounts that may hand in no mail", lines)
}

fn headed(what: &str, lines: String) -> String {
    match lines.is_empty() {
        true => lines,
        false => format!("# {what}. Written by Hikeshi; changes are lost.\n{lines}"),
    }
}

fn leaf(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn is_hold(value: &str) -> bool {
    value.starts_with(['\t', ' ']) && value.split_whitespace().next() == Some("HOLD")
}

/// A text as a POSIX extended regular expression that matches it alone, between slashes. Other signs stay bare: `\<`
/// and `\>` would mean the edges of a word.
fn escape(text: &str) -> String {
    text.chars().flat_map(|c| ".[](){}*+?|^$\\/".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_itself_alone() {
        assert_eq!(escape("web01.example-x.jp"), "web01\\.example-x\\.jp");
        assert_eq!(escape("a/b"), "a\\/b");
        assert_eq!(escape("a+b<c>[d]*@x"), "a\\+b<c>\\[d\\]\\*@x");
    }
}
