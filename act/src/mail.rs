//! Holds the sendmail mail of one uid in Postfix: a HOLD line in a table of ours, and `postsuper -h` for what waits.
//!
//! pickup(8) writes `Received: by HOST (Postfix, from userid N)` itself, and cleanup(8) checks that header like any
//! other, so the uid is the kernel's word and not the tenant's. The line names our host too: mail that comes in from
//! another Postfix carries the same words with its own uid numbers.

use std::path::Path;

use model::{AccountRef, MailScope, Number, QueueId};
use sys::dir::Dir;

use crate::config::PostfixConfig;
use crate::program::Program;

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

/// One Postfix instance.
#[derive(Debug)]
pub struct Mail {
    /// Of Postfix; `None`: the mail server reads the table itself.
    config_dir: Option<String>,
    hold_file: String,
    folder: Dir,
    name: String,
}

impl Mail {
    /// Opens the folder of the hold file; it must be ours alone.
    pub fn open(config: &PostfixConfig) -> Result<Mail, String> {
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(format!("{} is not UTF-8", path.display()));
        let (folder, name) = match (config.hold_file.parent(), config.hold_file.file_name().and_then(|n| n.to_str())) {
            (Some(folder), Some(name)) => (folder, name.to_owned()),
            _ => return Err(format!("{} is no file name", config.hold_file.display())),
        };
        let folder = Dir::open_own(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let config_dir = config.config_dir.as_deref().map(text).transpose()?;
        Ok(Mail { config_dir, hold_file: text(&config.hold_file)?, folder, name })
    }

    /// Whether an order can be carried out: the table is named by header_checks, long ids for ids to be held.
    pub fn check(&self, scope: &MailScope, queued: &[QueueId]) -> Result<(), String> {
        if *scope != MailScope::Local {
            return Err("not built".into());
        }
        let Some(config_dir) = &self.config_dir else { return Ok(()) };
        let table = format!("regexp:{}", self.hold_file);
        let checks = self.parameter("header_checks")?;
        let first = checks.split([',', ' ', '\t']).find(|part| !part.is_empty());
        if first != Some(table.as_str()) {
            return Err(format!(
                "Postfix does not ask our table first; set header_checks = {table} … in {}/main.cf (`hikeshi setup` does it)",
                config_dir
            ));
        }
        if !queued.is_empty() && self.parameter("enable_long_queue_ids")? != "yes" {
            return Err(format!(
                "short queue ids are reused, so a waiting message could be taken for another; set enable_long_queue_ids = yes in {}/main.cf and reload Postfix",
                config_dir
            ));
        }
        Ok(())
    }

    /// Makes the table hold exactly these uids, and Postfix know it.
    pub fn set(&self, held: &[HoldLine]) -> Result<(), String> {
        let text = self.table(held)?;
        let write = self.folder.replace(&self.name, text.as_bytes(), 0o644);
        write.map_err(|e| format!("{}: {e}; check free space", self.hold_file))?;
        self.reload()
    }

    /// Whether the file says exactly this.
    pub fn is_set(&self, held: &[HoldLine]) -> Result<bool, String> {
        let read = self.folder.read(&self.name, 1 << 20).map_err(|e| format!("{}: {e}", self.hold_file))?;
        Ok(read.unwrap_or_default() == self.table(held)?.into_bytes())
    }

    /// What Postfix itself makes of a message of this uid: true when it would be held.
    pub fn would_hold(&self, uid: u32, _scope: &MailScope) -> Result<bool, String> {
        let Some(config_dir) = &self.config_dir else {
            let table = self.folder.read(&self.name, 1 << 20).map_err(|e| format!("{}: {e}", self.hold_file))?;
            let line = format!("from userid {uid}\\)");
            return Ok(String::from_utf8_lossy(&table.unwrap_or_default()).contains(&line));
        };
        let header = format!("Received: by {} ({}, from userid {uid})", self.host()?, self.mail_name()?);
        let table = format!("regexp:{}", self.hold_file);
        let (_, printed) = Program::Postmap.run(&["-c", config_dir, "-q", &header, &table], "")?;
        Ok(printed.split_whitespace().next() == Some("HOLD"))
    }

    /// Puts waiting messages on hold, or takes them off again; those that left meanwhile are skipped. How many.
    pub fn hold_queued(&self, queued: &[QueueId], hold: bool) -> Result<u64, String> {
        let Some(config_dir) = self.config_dir.as_ref().filter(|_| !queued.is_empty()) else { return Ok(0) };
        if let Some(short) = queued.iter().find(|id| !id.is_long()) {
            return Err(format!(
                "{short} is a short queue id and may be another message by now; set enable_long_queue_ids = yes"
            ));
        }
        let input: String = queued.iter().map(|id| format!("{id}\n")).collect();
        let flag = if hold { "-h" } else { "-H" };
        let (success, printed) = Program::Postsuper.run(&["-c", config_dir, flag, "-"], &input)?;
        match success {
            true => Ok(count(&printed)),
            false => Err(format!("postsuper {flag}: {}", last_line(&printed))),
        }
    }

    /// Whether an order to refuse mail can be carried out.
    pub fn check_refuse(&self) -> Result<(), String> {
        Err("not built".into())
    }

    /// Makes exactly these accounts hand in nothing.
    pub fn set_refused(&self, _refused: &[AccountRef]) -> Result<(), String> {
        Err("not built".into())
    }

    /// Whether the table says exactly this.
    pub fn is_refused(&self, _refused: &[AccountRef]) -> Result<bool, String> {
        Err("not built".into())
    }

    /// Messages in the hold queue now, of everybody.
    pub fn on_hold(&self) -> Result<usize, String> {
        if self.config_dir.is_none() {
            return Ok(0);
        }
        let queue = self.parameter("queue_directory")?;
        let dir = std::fs::read_dir(Path::new(&queue).join("hold"));
        Ok(dir.map_err(|e| format!("{queue}/hold: {e}"))?.count())
    }

    fn table(&self, held: &[HoldLine]) -> Result<String, String> {
        let by = match self.config_dir {
            Some(_) => format!("by {} \\({}", escape(&self.host()?), escape(&self.mail_name()?)),
            None => "by .*\\(.*".to_owned(),
        };
        let mut lines: Vec<(u32, Number)> = held.iter().map(|line| (line.account.uid, line.number)).collect();
        lines.sort();
        lines.dedup_by_key(|(uid, _)| *uid);
        let mut text = String::from("# Mail that Hikeshi holds. Written by Hikeshi; changes are lost.\n");
        for (uid, number) in lines {
            text += &format!("/^Received: {by}, from userid {uid}\\)/ HOLD {number}\n");
        }
        Ok(text)
    }

    /// Old cleanup processes see that their master went on without them, finish their message and end.
    fn reload(&self) -> Result<(), String> {
        let Some(config_dir) = &self.config_dir else { return Ok(()) };
        let (runs, _) = Program::Postfix.run(&["-c", config_dir, "status"], "")?;
        if !runs {
            return Ok(()); // it reads the table when it starts
        }
        let (success, printed) = Program::Postfix.run(&["-c", config_dir, "reload"], "")?;
        match success {
            true => Ok(()),
            false => Err(format!("postfix reload: {}", last_line(&printed))),
        }
    }

    fn host(&self) -> Result<String, String> {
        self.parameter("myhostname")
    }

    fn mail_name(&self) -> Result<String, String> {
        self.parameter("mail_name")
    }

    fn parameter(&self, name: &str) -> Result<String, String> {
        let config_dir = self.config_dir.as_deref().ok_or("no Postfix is configured")?;
        let (success, printed) = Program::Postconf.run(&["-c", config_dir, "-x", "-h", name], "")?;
        let value = printed.lines().last().unwrap_or("").trim().to_owned();
        match success {
            true => Ok(value),
            false => Err(format!("postconf {name}: {}", last_line(&printed))),
        }
    }
}

/// The number in postsuper's last line, `Placed on hold: 3 messages`.
fn count(printed: &str) -> u64 {
    let summary = printed.lines().rev().find(|line| line.contains("hold: ") && line.contains("message"));
    summary.and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok())).unwrap_or(0)
}

fn last_line(printed: &str) -> String {
    model::evidence::printable(printed.trim().lines().last().unwrap_or("no message").as_bytes(), 300)
}

/// A text as a regular expression that matches it alone (host names have dots).
fn escape(text: &str) -> String {
    let special = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ' ');
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_messages_is_read_from_the_last_line() {
        let printed = "postsuper: 4jZ3Dq58q9zB4B2: placed on hold\npostsuper: Placed on hold: 2 messages\n";
        assert_eq!(count(printed), 2);
        assert_eq!(count(""), 0);
    }

    #[test]
    fn a_host_name_matches_itself_alone() {
        assert_eq!(escape("web01.example-x.jp"), "web01\\.example-x\\.jp");
        assert_eq!(escape("a/b"), "a\\/b");
    }
}
