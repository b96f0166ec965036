//! Lets Postfix ask our tables first: headers (mail of one uid), SASL user names, and, when the operator wants it,
//! the names that may hand in nothing.
//!
//! `pickup` writes `Received: by … (Postfix, from userid N)` itself, so a tenant cannot forge it; `cleanup`
//! applies `header_checks` to it. Nothing else of Postfix is changed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use act::postfix::{Postfix, Table};
use serde::{Deserialize, Serialize};

use super::program::{Said, run};

const POSTCONF: &str = "/usr/sbin/postconf";
const POSTFIX: &str = "/usr/sbin/postfix";

/// Values of main.cf by parameter; a parameter that is not set there is missing.
pub type Values = BTreeMap<String, String>;

/// How Postfix was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Folder of `main.cf`.
    pub dir: PathBuf,
    /// Our parameters as written in `main.cf`.
    #[serde(default)]
    pub values: Values,
}

/// What has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How it is now.
    pub before: Before,
    /// Our parameters as they shall be; what is missing is taken out of `main.cf`.
    pub after: Values,
}

impl Change {
    /// Each parameter that changes: its value before and after.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, Option<&String>, Option<&String>)> {
        let line = |table: &Table| {
            let name = table.parameter();
            (name, self.before.values.get(name), self.after.get(name))
        };
        Table::ALL.iter().map(line).filter(|(_, before, after)| before != after)
    }
}

fn postconf(dir: &Path, args: &[&str]) -> Said {
    let mut all: Vec<OsString> = vec!["-c".into(), dir.into()];
    all.extend(args.iter().map(OsString::from));
    run(Path::new(POSTCONF), &all, &HashMap::new())
}

/// Whether there is a Postfix with this folder.
pub fn present(dir: &Path) -> bool {
    dir.join("main.cf").is_file() && Path::new(POSTCONF).is_file()
}

/// Reads how it is now.
pub fn read(dir: &Path) -> Result<Before, String> {
    // `-n` lists only what main.cf sets, one `name = value` a line.
    let names = Table::ALL.map(Table::parameter);
    let said = postconf(dir, &[&["-n"], &names[..]].concat());
    if !said.ok {
        return Err(format!("postconf: {}", said.text));
    }
    let value = |name: &str| {
        let line = said.text.lines().find_map(|l| l.strip_prefix(&format!("{name} =")));
        line.map(|value| (name.to_owned(), value.trim().to_owned()))
    };
    Ok(Before { dir: dir.to_owned(), values: names.iter().filter_map(|name| value(name)).collect() })
}

/// Our tables first, then what was there; `None` when it is so already.
pub fn install(dir: &Path, hold_file: &Path, tables: &[Table]) -> Result<Option<Change>, String> {
    let before = read(dir)?;
    let mut after = before.values.clone();
    for table in tables {
        let old = after.get(table.parameter()).cloned().unwrap_or_default();
        if table.is_first(&old, hold_file) {
            continue;
        }
        let ours = table.entry(hold_file);
        let rest = without(&old, &ours);
        let rest = if rest.is_empty() { default(*table).to_owned() } else { rest };
        let value = if rest.is_empty() { ours } else { format!("{ours}, {rest}") };
        after.insert(table.parameter().to_owned(), value);
    }
    Ok(Some(Change { before, after }).filter(|change| change.lines().next().is_some()))
}

/// Takes our tables out again; `recorded` is how it was before us.
pub fn removal(dir: &Path, hold_file: &Path, recorded: Option<&Before>) -> Result<Option<Change>, String> {
    let before = read(dir)?;
    let mut after = before.values.clone();
    for table in Table::ALL {
        let (name, ours) = (table.parameter(), table.entry(hold_file));
        let Some(now) = before.values.get(name).filter(|now| now.contains(&ours)) else { continue };
        let rest = without(now, &ours);
        let was = recorded.and_then(|recorded| recorded.values.get(name));
        // Back to exactly what was stored, unless somebody changed the rest since.
        let meant = was.map_or(default(table), String::as_str);
        match was {
            Some(was) if without(meant, &ours) == rest => after.insert(name.to_owned(), was.clone()),
            None if rest == default(table) => after.remove(name),
            _ if rest.is_empty() => after.remove(name),
            _ => after.insert(name.to_owned(), rest),
        };
    }
    Ok(Some(Change { before, after }).filter(|change| change.lines().next().is_some()))
}

/// What a table's parameter means where main.cf does not set it, and must go on to mean after our entry.
fn default(table: Table) -> &'static str {
    match table {
        Table::Local | Table::Sasl => "",
        Table::Refused => "static:anyone",
    }
}

fn without(list: &str, table: &str) -> String {
    match list.split_once(table) {
        Some((before, after)) => {
            let kept = format!("{before}{}", after.trim_start_matches([',', ' ', '\t']));
            kept.trim().trim_end_matches(',').trim_end().to_owned()
        }
        None => list.trim().to_owned(),
    }
}

/// Writes our parameters into `main.cf`.
pub fn set(dir: &Path, values: &Values) -> Result<(), String> {
    let (mut write, mut out) = (vec!["-e".to_owned()], vec!["-X".to_owned()]);
    let now = read(dir)?.values;
    for name in Table::ALL.map(Table::parameter) {
        match (now.get(name), values.get(name)) {
            (now, Some(value)) if now != Some(value) => write.push(format!("{name}={value}")),
            (Some(_), None) => out.push(name.to_owned()),
            _ => {}
        }
    }
    for args in [write, out].iter().filter(|args| args.len() > 1) {
        let said = postconf(dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
        if !said.ok {
            return Err(format!("postconf: {}", said.text));
        }
    }
    Ok(())
}

/// Reloads a running Postfix; false when none runs.
pub fn reload(dir: &Path) -> Result<bool, String> {
    let postfix = |order: &str| {
        let args: Vec<OsString> = vec!["-c".into(), dir.into(), order.into()];
        run(Path::new(POSTFIX), &args, &HashMap::new())
    };
    if !postfix("status").ok {
        return Ok(false);
    }
    let said = postfix("reload");
    if said.ok { Ok(true) } else { Err(format!("postfix reload: {}", said.text)) }
}

/// The tables that this Postfix can ask, and what an operator should know about it.
pub fn tables(dir: &Path, hold_file: &Path, can_refuse: bool) -> Result<(Vec<Table>, Vec<String>), String> {
    let postfix = Postfix::read(&dir.display().to_string(), hold_file)?;
    let (mut tables, mut notes) = (vec![Table::Local], Vec::new());
    let version = postfix.value("mail_version");
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(3..) => {
            tables.push(Table::Sasl);
            let hidden = postfix.doors().map_or_else(|e| vec![e], |(_, hidden)| hidden.clone());
            notes.extend(hidden.into_iter().map(|why| format!("one mailbox cannot be held: {why}")));
        }
        _ => notes.push(format!("Postfix {version} is older than 3.0: mail of one mailbox cannot be held here")),
    }
    // Where postdrop cannot read the table, it refuses everybody's mail.
    let folder = hold_file.parent().filter(|folder| folder.exists());
    match folder.map_or(Ok(()), |folder| act::reachable(folder, "postdrop of a tenant")) {
        _ if !can_refuse => {}
        Ok(()) => tables.push(Table::Refused),
        Err(e) => notes.push(format!("[mail] can_refuse is left out: {e}, then run setup again")),
    }
    if postfix.value("enable_long_queue_ids") != "yes" {
        notes.push(format!(
            "Postfix reuses short queue ids within minutes, so Hikeshi cannot hold single messages by id. \
             Recommended: postconf -c {} -e enable_long_queue_ids=yes, then postfix reload",
            dir.display()
        ));
    }
    Ok((tables, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_table_is_taken_out_of_any_list() {
        for (list, right) in [
            ("regexp:/h", ""),
            ("regexp:/h, regexp:/x", "regexp:/x"),
            ("regexp:/h regexp:/x,pcre:/y", "regexp:/x,pcre:/y"),
            ("regexp:/x, regexp:/h", "regexp:/x,"),
            ("regexp:/x", "regexp:/x"),
            ("", ""),
        ] {
            assert_eq!(without(list, "regexp:/h"), right.trim_end_matches(','), "{list}");
        }
    }
}
