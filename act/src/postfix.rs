//! What Postfix has to be told once so that our tables count (`hikeshi setup` writes it), and what hides them.
//!
//! Facts: postconf(5), access(5), regexp_table(5), SMTPD_ACCESS_README. Each restriction list of smtpd(8) is asked by
//! itself, so no permit of an earlier list hides ours; of the lists that see an authenticated client,
//! `smtpd_data_restrictions` is the one that the usual `-o` lines of master.cf leave alone. HOLD concerns the whole
//! message, goes on to the next restriction, and works at DATA.

use std::cell::OnceCell;
use std::collections::BTreeMap;
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

    /// What stands between a key and the number of its incident.
    pub fn action(self) -> &'static str {
        if self == Table::Refused { "" } else { "HOLD " }
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

/// Parameters that are read as Postfix uses them, with `$name` expanded; those of our tables are read as written.
const USED: [&str; 7] = [
    "enable_long_queue_ids",
    "mail_name",
    "mail_version",
    "myhostname",
    "queue_directory",
    "smtpd_proxy_filter",
    "smtpd_sasl_auth_enable",
];

/// One instance of Postfix as it is configured at this moment: two runs of postconf(1), and two more when somebody asks
/// for its doors, whatever number of restrictions is looked at.
#[derive(Debug)]
pub struct Postfix {
    config_dir: String,
    hold_file: PathBuf,
    values: BTreeMap<String, String>,
    doors: OnceCell<Result<(usize, Vec<String>), String>>,
}

impl Postfix {
    /// Reads main.cf. `config_dir`: its folder; `hold_file`: our first table.
    pub fn read(config_dir: &str, hold_file: &Path) -> Result<Postfix, String> {
        let (config_dir, hold_file) = (config_dir.to_owned(), hold_file.to_owned());
        let mut postfix = Postfix { config_dir, hold_file, values: BTreeMap::new(), doors: OnceCell::new() };
        // Lines `name = value`, so that a warning between them is not taken for a value.
        let used = postfix.must(Program::Postconf, &[&["-x"], &USED[..]].concat(), "")?;
        let written = postfix.must(Program::Postconf, &Table::ALL.map(Table::parameter), "")?;
        let pairs = used.lines().chain(written.lines()).filter_map(|line| line.split_once(" ="));
        postfix.values = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok(postfix)
    }

    /// A parameter of main.cf, or its default; empty when this version of Postfix has none of that name.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// `key value` lines of those keys that a table of ours has.
    pub fn lookups(&self, keys: &[String], table: Table) -> Result<String, String> {
        let input: String = keys.iter().map(|key| format!("{key}\n")).collect();
        Ok(self.run(Program::Postmap, &["-q", "-", &table.name(&self.hold_file)], &input)?.1)
    }

    /// Runs one program of Postfix for this instance; success and what it printed.
    pub fn run(&self, program: Program, arguments: &[&str], input: &str) -> Result<(bool, String), String> {
        program.run(&self.here(arguments), input)
    }

    fn here<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["-c", self.config_dir.as_str()], arguments].concat()
    }

    /// The same, where failure is an error with the last line that it printed.
    pub fn must(&self, program: Program, arguments: &[&str], input: &str) -> Result<String, String> {
        program.must(&self.here(arguments), input)
    }

    /// What is wrong when a table of ours is not asked first for all mail that it is about; ends with what to do.
    pub fn asks(&self, table: Table) -> Result<(), String> {
        if table == Table::Sasl && self.doors()?.0 == 0 {
            return Ok(()); // nobody hands in with a password
        }
        let (name, entry) = (table.parameter(), table.entry(&self.hold_file));
        if !table.is_first(self.value(name), &self.hold_file) {
            return Err(format!(
                "Postfix does not ask our table first; set {name} = {entry} … in {}/main.cf (`hikeshi setup` does it; to refuse mail, with [mail] can_refuse = true in hikeshi.toml)",
                self.config_dir
            ));
        }
        let path = table.path(&self.hold_file);
        match table {
            Table::Local => Ok(()),
            Table::Sasl => self.doors()?.1.first().map_or(Ok(()), |why| Err(why.clone())),
            Table::Refused => {
                let reachable = sys::dir::reachable(&path, "postdrop of a tenant");
                reachable.map_err(|e| format!("{}: {e}", path.display()))
            }
        }
    }

    /// Services of master.cf that take passwords: how many, and what hides our SASL table from one of them, each with
    /// what to do. Read once.
    pub fn doors(&self) -> Result<&(usize, Vec<String>), String> {
        self.doors.get_or_init(|| self.read_doors()).as_ref().map_err(String::clone)
    }

    fn read_doors(&self) -> Result<(usize, Vec<String>), String> {
        let [services, overrides] = ["-M", "-P"].map(|what| self.must(Program::Postconf, &[what], ""));
        let (services, overrides) = (services?, overrides?);
        let (mut doors, mut hidden, entry) = (0, Vec::new(), Table::Sasl.entry(&self.hold_file));
        for service in services.lines() {
            let fields: Vec<&str> = service.split_whitespace().take(8).collect();
            let [name, kind, .., "smtpd"] = fields[..] else { continue };
            let own = |parameter: &str| {
                let line = format!("{name}/{kind}/{parameter} =");
                overrides.lines().find_map(|l| l.strip_prefix(&line)).map(str::trim)
            };
            let value = |parameter| own(parameter).unwrap_or_else(|| self.value(parameter));
            if matches!(value("smtpd_sasl_auth_enable"), "no" | "") {
                continue;
            }
            doors += 1;
            if let Some(value) = own(Table::Sasl.parameter()).filter(|v| !Table::Sasl.is_first(v, &self.hold_file)) {
                hidden.push(format!(
                    "service {name} of master.cf sets smtpd_data_restrictions = {value} for itself and so hides our table; take that `-o` out, or write -o {{ smtpd_data_restrictions = {entry}, … }}"
                ));
            }
            // A proxy filter has taken the message before Postfix could hold it (access(5), SMTPD_PROXY_README).
            let filter = value("smtpd_proxy_filter");
            if !filter.is_empty() {
                hidden.push(format!(
                    "service {name} of master.cf hands mail to smtpd_proxy_filter = {filter}, where HOLD is not possible; use content_filter or a milter there, or block the login instead"
                ));
            }
        }
        Ok((doors, hidden))
    }
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
