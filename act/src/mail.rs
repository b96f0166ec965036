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

use std::cell::OnceCell;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{AccountRef, MailScope, Number, QueueId};
use sys::dir::Dir;

use crate::config::{PostfixConfig, Steps};
use crate::postfix::{Postfix, Table};
use crate::program::Program;

/// Messages that are taken off hold at once.
const BATCH: usize = 50;
/// Looks at the queue's folders: qmgr(8) moves files between them while we look.
const LOOKS: usize = 3;
/// The queue's folder of messages on hold.
const HOLD: &[&str] = &["hold"];
/// Largest table, bytes.
const TABLE_MAX: u64 = 1 << 20;
/// First line of a table that has others.
const HEADING: &str = "# Mail that Hikeshi stops. Written by Hikeshi; changes are lost.\n";

const NO_POSTFIX: &str = "no Postfix is configured here; set [mail] postfix in hikeshi.toml and run `hikeshi setup`";

/// What becomes of an account's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is taken and waits in the hold queue.
    Held(MailScope),
    /// sendmail(1) of the account hands in nothing.
    Refused,
}

impl Fate {
    /// The tables that are written together.
    fn tables(&self) -> &'static [Table] {
        match self {
            Fate::Held(_) => &[Table::Local, Table::Sasl],
            Fate::Refused => &[Table::Refused],
        }
    }
}

/// Whose mail is stopped, how, and the incident whose number Postfix logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The account.
    pub account: AccountRef,
    /// What becomes of its mail.
    pub fate: Fate,
    /// The incident.
    pub number: Number,
}

impl Line {
    /// Whose mail, in words.
    pub fn whose(&self) -> String {
        let uid = self.account.uid;
        match &self.fate {
            Fate::Held(MailScope::Local) | Fate::Refused => format!("uid {uid}"),
            Fate::Held(MailScope::Mailbox(mailbox)) => format!("mailbox {mailbox}"),
            Fate::Held(MailScope::Account { domains }) => {
                format!("uid {uid} and the mailboxes of {} domains", domains.len())
            }
        }
    }
}

/// The tables of one Postfix instance.
#[derive(Debug)]
pub struct Mail {
    /// `None`: the mail server reads the table of local mail itself, and there are no other tables.
    config_dir: Option<String>,
    hold_file: PathBuf,
    folder: Dir,
}

impl Mail {
    /// Opens the folder of the hold file; it must be ours alone.
    pub fn open(config: &PostfixConfig) -> Result<Mail, String> {
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(format!("{} is not UTF-8", path.display()));
        let hold_file = PathBuf::from(text(&config.hold_file)?);
        let (folder, _) = Dir::of_own(&hold_file).map_err(|e| format!("{}: {e}", hold_file.display()))?;
        Ok(Mail { config_dir: config.config_dir.as_deref().map(text).transpose()?, hold_file, folder })
    }

    /// Empty when it was never written.
    fn read(&self, table: Table) -> Result<Vec<u8>, String> {
        let path = table.path(&self.hold_file);
        let read = self.folder.read(leaf(&path), TABLE_MAX);
        Ok(read.map_err(|e| format!("{}: {e}", path.display()))?.unwrap_or_default())
    }

    /// What was never written and needs no line stays away.
    fn write(&self, table: Table, text: &str) -> Result<(), String> {
        let path = table.path(&self.hold_file);
        if text.len() as u64 > TABLE_MAX {
            return Err(format!("{} would be larger than {TABLE_MAX} bytes; lift some restrictions", path.display()));
        }
        if text.is_empty() && self.read(table)?.is_empty() {
            return Ok(());
        }
        let write = self.folder.replace(leaf(&path), text.as_bytes(), 0o644);
        write.map_err(|e| format!("{}: {e}; check free space", path.display()))
    }
}

/// Reads Postfix's configuration, for one order or one list. `wanted`: all lines that the tables shall have.
pub fn now(mail: &Option<Mail>, wanted: Vec<Line>) -> Result<Now<'_>, String> {
    let mail = mail.as_ref().ok_or(NO_POSTFIX)?;
    let postfix = mail.config_dir.as_ref().map(|config_dir| Postfix::read(config_dir, &mail.hold_file)).transpose()?;
    Ok(Now { mail, postfix, wanted, right: Default::default() })
}

/// The mail server as it is configured now, and the lines that its tables shall have.
#[derive(Debug)]
pub struct Now<'a> {
    mail: &'a Mail,
    postfix: Option<Postfix>,
    wanted: Vec<Line>,
    /// Whether each table says what is wanted, read once.
    right: [OnceCell<Result<bool, String>>; Table::ALL.len()],
}

impl Now<'_> {
    /// Whether an order can be carried out: the tables are asked first, no service hides them, long ids for ids to be
    /// held.
    pub fn check(&self, line: &Line, queued: &[QueueId]) -> Result<(), String> {
        self.asked(line)?;
        let Some(postfix) = &self.postfix else { return Ok(()) };
        match &line.fate {
            Fate::Held(MailScope::Mailbox(mailbox)) if postfix.doors()?.0 == 0 => Err(format!(
                "no service of Postfix takes passwords (smtpd_sasl_auth_enable), so {mailbox} hands in nothing here; hold the account's local mail instead"
            )),
            _ if queued.iter().all(|id| id.file().is_some() && postfix.value("enable_long_queue_ids") == "yes") => Ok(()),
            _ => Err("short queue ids are reused, so a waiting message could be taken for another; set enable_long_queue_ids = yes in main.cf and reload Postfix".into()),
        }
    }

    /// Makes the tables that are for such lines have exactly the lines that are wanted, and Postfix know it.
    pub fn set(&mut self, fate: &Fate, steps: &mut Steps) -> Result<(), String> {
        self.right = Default::default();
        for table in fate.tables() {
            self.mail.write(*table, &self.text(*table))?;
            steps("mail: one table");
        }
        // postdrop(1) reads the names at each message; a Postfix that does not run reads all when it starts. Old daemons
        // see that their master went on without them, finish their message or session and end.
        if let Some(postfix) = self.postfix.as_ref().filter(|_| *fate != Fate::Refused)
            && postfix.run(Program::Postfix, &["status"], "")?.0
        {
            postfix.must(Program::Postfix, &["reload"], "")?;
        }
        steps("mail: told");
        Ok(())
    }

    /// Whether the tables have exactly what is wanted, and Postfix asks those that hold `line`.
    pub fn is_set(&self, line: &Line) -> Result<bool, String> {
        self.asked(line)?;
        self.are_right(line.fate.tables())
    }

    /// What Postfix itself makes of mail of this line: true when all of it would be stopped.
    pub fn would_stop(&self, line: &Line) -> Result<bool, String> {
        self.asked(line)?;
        let Some(postfix) = &self.postfix else { return self.are_right(&Table::ALL) };
        let mut stops = true;
        for table in Table::ALL {
            let samples: Vec<String> = self.keys(line, table).into_iter().map(|(_, sample)| sample).collect();
            let found = if samples.is_empty() { String::new() } else { postfix.lookups(&samples, table)? };
            let says = |name| format!("{name}\t{}HK-", table.action());
            stops &= samples.iter().all(|name| found.lines().any(|line| line.starts_with(&says(name))));
        }
        Ok(stops)
    }

    /// Those of these messages that wait and are not on hold: their file is the one that the id names.
    ///
    /// A long id carries the inode of the queue file. A file of that name with another inode (a restored queue), of
    /// another owner than the queue, or with a second link is not the message that was meant.
    pub fn waiting(&self, queued: &[QueueId]) -> Vec<QueueId> {
        self.in_queue(queued, &["incoming", "active", "deferred"])
    }

    /// Puts waiting messages on hold; those that left meanwhile are skipped. How many are on hold afterwards.
    pub fn hold_queued(&self, queued: &[QueueId]) -> Result<usize, String> {
        for _ in 0..LOOKS {
            self.superintend("-h", &self.waiting(queued))?;
        }
        match self.waiting(queued).len() {
            0 => Ok(self.in_queue(queued, HOLD).len()),
            left => Err(format!("{left} messages did not go on hold; look at the queue with postqueue -p")),
        }
    }

    /// Takes messages that we put on hold off again, at most 50 at once, each batch seen.
    pub fn release(&self, queued: &[QueueId], steps: &mut Steps) -> Result<(), String> {
        for batch in self.in_queue(queued, HOLD).chunks(BATCH) {
            self.superintend("-H", batch)?;
            let still = self.in_queue(batch, HOLD).len();
            if still > 0 {
                return Err(format!("{still} messages did not leave the hold queue; look at it with postqueue -p"));
            }
            steps("mail: one batch off hold");
        }
        Ok(())
    }

    /// Messages in the hold queue now, of everybody.
    pub fn on_hold(&self) -> Result<usize, String> {
        let Some(hold) = self.queue().map(|queue| queue.join("hold")) else { return Ok(0) };
        Ok(std::fs::read_dir(&hold).map_err(|e| format!("{}: {e}", hold.display()))?.count())
    }

    /// Whether the mail server asks the tables that this line needs: an error with what to set when it does not.
    fn asked(&self, line: &Line) -> Result<(), String> {
        let Some(postfix) = &self.postfix else {
            let local = line.fate == Fate::Held(MailScope::Local);
            return local.then_some(()).ok_or_else(|| "this mail server holds local mail alone; hold that".into());
        };
        let mut tables = Table::ALL.into_iter().filter(|table| !self.keys(line, *table).is_empty());
        tables.try_for_each(|table| postfix.asks(table))
    }

    /// Whether these tables have exactly what is wanted.
    pub fn are_right(&self, tables: &[Table]) -> Result<bool, String> {
        tables.iter().try_fold(true, |so_far, table| {
            let read = || Ok(self.mail.read(*table)? == self.text(*table).as_bytes());
            Ok(self.right[*table as usize].get_or_init(read).clone()? && so_far)
        })
    }

    /// What a line says in one table: each key as it is written there, and a text that Postfix must find by it.
    ///
    /// An account has the SASL user names of its domains and its own login name.
    fn keys(&self, line: &Line, table: Table) -> Vec<(String, String)> {
        let (name, uid) = (line.account.name.to_string(), line.account.uid);
        let whole = |name: String| (format!("/^{}$/", escape(&name)), name);
        match (table, &line.fate) {
            (Table::Local, Fate::Held(MailScope::Local | MailScope::Account { .. })) => {
                let (pattern, header) = self.received();
                let key = format!("/^Received: by {pattern}, from userid {uid}\\)/");
                vec![(key, format!("Received: by {header}, from userid {uid})"))]
            }
            (Table::Sasl, Fate::Held(MailScope::Mailbox(mailbox))) => vec![whole(mailbox.to_string())],
            (Table::Sasl, Fate::Held(MailScope::Account { domains })) => {
                let of =
                    |domain: &model::Domain| (format!("/@{}$/", escape(domain.as_str())), format!("info@{domain}"));
                domains.iter().map(of).chain([whole(name)]).collect()
            }
            (Table::Refused, Fate::Refused) => vec![(name.clone(), name)],
            _ => Vec::new(),
        }
    }

    /// How local mail's header names its host: as a pattern, and as it is.
    fn received(&self) -> (String, String) {
        let Some(postfix) = &self.postfix else { return (".*\\(.*".into(), String::new()) };
        let (host, name) = (postfix.value("myhostname"), postfix.value("mail_name"));
        (format!("{} \\({}", escape(host), escape(name)), format!("{host} ({name}"))
    }

    /// The text of a table (regexp_table(5), texthash of DATABASE_README); without lines it is empty, as
    /// `hikeshi setup` made it. A key that two incidents want has the lower number.
    fn text(&self, table: Table) -> String {
        let mut lines: Vec<(String, Number)> = Vec::new();
        for line in &self.wanted {
            lines.extend(self.keys(line, table).into_iter().map(|(key, _)| (key, line.number)));
        }
        lines.sort();
        lines.dedup_by(|one, other| one.0 == other.0);
        let heading = (!lines.is_empty()).then(|| HEADING.to_owned()).into_iter();
        heading.chain(lines.iter().map(|(key, number)| format!("{key} {}{number}\n", table.action()))).collect()
    }

    fn queue(&self) -> Option<&Path> {
        self.postfix.as_ref().map(|postfix| Path::new(postfix.value("queue_directory")))
    }

    /// Those of these messages whose file is in one of these folders of the queue.
    fn in_queue(&self, ids: &[QueueId], folders: &[&str]) -> Vec<QueueId> {
        let Some(queue) = self.queue() else { return Vec::new() };
        let is = |id: &&QueueId| (0..LOOKS).any(|_| folders.iter().any(|folder| is_in(queue, folder, id)));
        ids.iter().filter(is).cloned().collect()
    }

    fn superintend(&self, flag: &str, ids: &[QueueId]) -> Result<(), String> {
        let Some(postfix) = self.postfix.as_ref().filter(|_| !ids.is_empty()) else { return Ok(()) };
        let input: String = ids.iter().map(|id| format!("{id}\n")).collect();
        postfix.must(Program::Postsuper, &[flag, "-"], &input).map(drop)
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

fn leaf(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
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
