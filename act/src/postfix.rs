//! What Postfix has to be told once so that our tables count (`hikeshi setup` writes it), and what hides them.
//!
//! Facts: postconf(5), access(5), regexp_table(5), SMTPD_ACCESS_README. Each restriction list of smtpd(8) is asked by
//! itself, so no permit of an earlier list hides ours; of the lists that see an authenticated client,
//! `smtpd_data_restrictions` is the one that the usual `-o` lines of master.cf leave alone. HOLD concerns the whole
//! message, goes on to the next restriction, and works at DATA.

use std::path::{Path, PathBuf};

use crate::program::Program;

/// A table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Headers that pickup(8) writes: local mail that is held.
    Local,
    /// SASL user names whose mail is held.
    Sasl,
    /// User names that may hand in nothing.
    Refused,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 3] = [Table::Local, Table::Sasl, Table::Refused];

    /// The parameter of main.cf that must name it before anything else.
    pub fn parameter(self) -> &'static str {
        match self {
            Table::Local => "header_checks",
            Table::Sasl => "smtpd_data_restrictions",
            Table::Refused => "authorized_submit_users",
        }
    }

    /// What that parameter means where main.cf does not set it, and must go on to mean after our entry.
    pub fn default(self) -> &'static str {
        match self {
            Table::Local | Table::Sasl => "",
            Table::Refused => "static:anyone",
        }
    }

    /// Where it is: beside the hold file.
    pub fn path(self, hold_file: &Path) -> PathBuf {
        let mut path = hold_file.as_os_str().to_owned();
        path.push(match self {
            Table::Local => "",
            Table::Sasl => "-sasl",
            Table::Refused => "-refused",
        });
        path.into()
    }

    /// The table as Postfix names it.
    pub fn name(self, hold_file: &Path) -> String {
        let kind = if self == Table::Refused { "texthash" } else { "regexp" };
        format!("{kind}:{}", self.path(hold_file).display())
    }

    /// What its parameter begins with.
    ///
    /// Of the SASL table only where passwords are taken: elsewhere smtpd(8) would log a warning for each message
    /// (`check_sasl_access' ignored: no SASL support; seen with 3.7). The conditional form needs Postfix 3.0.
    pub fn entry(self, hold_file: &Path) -> String {
        let name = self.name(hold_file);
        match self {
            Table::Local => name,
            Table::Sasl => format!("${{{{$smtpd_sasl_auth_enable}} == {{yes}} ? {{check_sasl_access {name}}}}}"),
            Table::Refused => format!("!{name}"),
        }
    }

    /// Whether this value of its parameter asks it first.
    pub fn is_first(self, value: &str, hold_file: &Path) -> bool {
        let rest = value.trim_start().strip_prefix(&self.entry(hold_file));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ' ', '\t']))
    }
}

/// One instance of Postfix, asked through its own programs.
#[derive(Debug)]
pub struct Postfix {
    /// Folder of main.cf.
    pub config_dir: String,
}

impl Postfix {
    /// A parameter of main.cf, or its default, with `$name` expanded.
    pub fn parameter(&self, name: &str) -> Result<String, String> {
        Ok(self.postconf(&["-x", "-h", name])?.lines().last().unwrap_or("").trim().to_owned())
    }

    /// The same as written.
    pub fn written(&self, name: &str) -> Result<String, String> {
        Ok(self.postconf(&["-h", name])?.lines().last().unwrap_or("").trim().to_owned())
    }

    /// The value of one key in a table, or what failed.
    pub fn lookup(&self, key: &str, table: &str) -> Result<String, String> {
        Ok(self.run(Program::Postmap, &["-q", key, table], "")?.1)
    }

    /// `key value` lines of those keys that a table has.
    pub fn lookups(&self, keys: &[String], table: &str) -> Result<String, String> {
        let input: String = keys.iter().map(|key| format!("{key}\n")).collect();
        Ok(self.run(Program::Postmap, &["-q", "-", table], &input)?.1)
    }

    /// Runs one program of Postfix for this instance; success and what it printed.
    pub fn run(&self, program: Program, arguments: &[&str], input: &str) -> Result<(bool, String), String> {
        program.run(&[&["-c", self.config_dir.as_str()], arguments].concat(), input)
    }

    /// What is wrong when a table of ours is not asked first; ends with what to do.
    pub fn asks_first(&self, table: Table, hold_file: &Path) -> Result<(), String> {
        let name = table.parameter();
        if table.is_first(&self.written(name)?, hold_file) {
            return Ok(());
        }
        let option = match table {
            Table::Refused => "set [mail] can_refuse = true in hikeshi.toml and run `hikeshi setup`",
            Table::Local | Table::Sasl => "`hikeshi setup` does it",
        };
        Err(format!(
            "Postfix does not ask our table first; set {name} = {} … in {}/main.cf ({option})",
            table.entry(hold_file),
            self.config_dir
        ))
    }

    /// Services of master.cf that take passwords: how many, and those whose own `-o` options hide our SASL table,
    /// each with what to do.
    pub fn doors(&self, hold_file: &Path) -> Result<(usize, Vec<String>), String> {
        let (services, overrides) = (self.postconf(&["-M"])?, self.postconf(&["-P"])?);
        let main = [self.parameter("smtpd_sasl_auth_enable")?, self.parameter("smtpd_proxy_filter")?];
        let (mut doors, mut hidden) = (0, Vec::new());
        for service in services.lines() {
            let fields: Vec<&str> = service.split_whitespace().take(8).collect();
            let [name, kind, .., "smtpd"] = fields[..] else { continue };
            let own = |parameter: &str| {
                let line = format!("{name}/{kind}/{parameter} =");
                overrides.lines().find_map(|l| l.strip_prefix(&line)).map(|value| value.trim().to_owned())
            };
            let sasl = own("smtpd_sasl_auth_enable").unwrap_or_else(|| main[0].clone());
            if matches!(sasl.as_str(), "no" | "") {
                continue;
            }
            doors += 1;
            let entry = Table::Sasl.entry(hold_file);
            if let Some(value) = own(Table::Sasl.parameter()).filter(|value| !Table::Sasl.is_first(value, hold_file)) {
                hidden.push(format!(
                    "service {name} of master.cf sets smtpd_data_restrictions = {value} for itself and so hides our table; take that `-o` out, or write -o {{ smtpd_data_restrictions = {entry}, … }}"
                ));
            }
            // A proxy filter has taken the message before Postfix could hold it (access(5), SMTPD_PROXY_README).
            if let Some(filter) =
                Some(own("smtpd_proxy_filter").unwrap_or_else(|| main[1].clone())).filter(|f| !f.is_empty())
            {
                hidden.push(format!(
                    "service {name} of master.cf hands mail to smtpd_proxy_filter = {filter}, where HOLD is not possible; use content_filter or a milter there, or block the login instead"
                ));
            }
        }
        Ok((doors, hidden))
    }

    fn postconf(&self, arguments: &[&str]) -> Result<String, String> {
        match self.run(Program::Postconf, arguments, "")? {
            (true, printed) => Ok(printed),
            (false, printed) => Err(format!("postconf {}: {}", arguments.join(" "), last_line(&printed))),
        }
    }
}

/// The last line that a program printed, safe to show.
pub fn last_line(printed: &str) -> String {
    model::evidence::printable(printed.trim().lines().last().unwrap_or("no message").as_bytes(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_entry_counts_only_when_it_stands_first() {
        let hold = Path::new("/etc/hikeshi/postfix-hold");
        for table in Table::ALL {
            let entry = table.entry(hold);
            for rest in ["", ", x:/y", " x:/y"] {
                assert!(table.is_first(&format!("{entry}{rest}"), hold), "{entry}{rest}");
            }
            assert!(!table.is_first(&format!("x:/y, {entry}"), hold));
            assert!(!table.is_first(&format!("{entry}-other"), hold));
        }
        assert_eq!(Table::Refused.entry(hold), "!texthash:/etc/hikeshi/postfix-hold-refused");
    }
}
