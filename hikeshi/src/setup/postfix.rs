//! Lets Postfix ask our table first for each header: that is how the mail of one uid goes to the hold queue.
//!
//! `pickup` writes `Received: by … (Postfix, from userid N)` itself, so a tenant cannot forge it; `cleanup`
//! applies `header_checks` to it. Nothing else of Postfix is changed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::program::{Said, run};

const POSTCONF: &str = "/usr/sbin/postconf";
const POSTFIX: &str = "/usr/sbin/postfix";

/// How Postfix was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Folder of `main.cf`.
    pub dir: PathBuf,
    /// `header_checks` as written in `main.cf`; absent when it was not there.
    pub header_checks: Option<String>,
}

/// What has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How it is now.
    pub before: Before,
    /// `header_checks` as it shall be; `None` takes it out of `main.cf`.
    pub after: Option<String>,
}

/// The table as Postfix names it.
pub fn table(hold_file: &Path) -> String {
    format!("regexp:{}", hold_file.display())
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
    let said = postconf(dir, &["-n", "header_checks"]);
    if !said.ok {
        return Err(format!("postconf: {}", said.text));
    }
    let value = said.text.lines().find_map(|l| l.strip_prefix("header_checks ="));
    Ok(Before { dir: dir.to_owned(), header_checks: value.map(|v| v.trim().to_owned()) })
}

/// Our table first, then what was there; `None` when it is so already.
pub fn install(dir: &Path, hold_file: &Path) -> Result<Option<Change>, String> {
    let before = read(dir)?;
    let ours = table(hold_file);
    let old = before.header_checks.clone().unwrap_or_default();
    let first = old.split([',', ' ', '\t']).next().unwrap_or_default();
    if first == ours {
        return Ok(None);
    }
    let rest = without(&old, &ours);
    let after = if rest.is_empty() { ours } else { format!("{ours}, {rest}") };
    Ok(Some(Change { before, after: Some(after) }))
}

/// Takes our table out again; `recorded` is how it was before us.
pub fn removal(dir: &Path, hold_file: &Path, recorded: Option<&Before>) -> Result<Option<Change>, String> {
    let before = read(dir)?;
    let ours = table(hold_file);
    let Some(now) = before.header_checks.clone().filter(|now| now.contains(&ours)) else { return Ok(None) };
    let rest = without(&now, &ours);
    // Back to exactly what was stored, unless somebody changed the rest since.
    let after = match recorded {
        Some(recorded) if without(recorded.header_checks.as_deref().unwrap_or_default(), &ours) == rest => {
            recorded.header_checks.clone()
        }
        _ => Some(rest).filter(|r| !r.is_empty()),
    };
    Ok(Some(Change { before, after }))
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

/// Writes `header_checks` and tells a running Postfix.
pub fn set(dir: &Path, value: Option<&str>) -> Result<(), String> {
    let said = match value {
        Some(value) => postconf(dir, &["-e", &format!("header_checks={value}")]),
        None => postconf(dir, &["-X", "header_checks"]),
    };
    if !said.ok {
        return Err(format!("postconf: {}", said.text));
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

/// What an operator should know about this Postfix.
pub fn notes(dir: &Path) -> Vec<String> {
    let said = postconf(dir, &["-h", "enable_long_queue_ids"]);
    match said.ok && said.text != "yes" {
        true => vec![format!(
            "Postfix reuses short queue ids within minutes, so Hikeshi cannot hold single messages by id. \
             Recommended: postconf -c {} -e enable_long_queue_ids=yes, then postfix reload",
            dir.display()
        )],
        false => Vec::new(),
    }
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
