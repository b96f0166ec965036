//! Carries a plan out in an order that survives a kill between any two lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use act::postfix::Table;
use model::Hash;

use super::disk::{self, Looks};
use super::record::{Record, Saved, Shelf};
use super::{Part, Plan, SetupError, WebServer, at, edit, load, postfix, program, shelf, stripped, users, webs};
use crate::config::Config;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Files that were changed.
    pub files: usize,
    /// One line a step, for a person.
    pub said: Vec<String>,
}

/// Carries a plan out; on any refusal everything is as it was before.
pub fn apply(config: &Config, plan: &Plan) -> Result<Done, SetupError> {
    let shelf = shelf(config);
    let mut done = Done::default();
    if plan.nothing_to_do() {
        return Ok(done);
    }
    let mut parts = plan.parts();
    if plan.unfinished {
        parts.extend([Part::Nginx, Part::Apache]);
    }
    let servers: Vec<WebServer> = webs(config).into_iter().filter(|w| parts.contains(&w.part())).collect();
    // A server that refuses its configuration already would be blamed on us.
    if !plan.unfinished {
        for web in servers.iter().filter(|w| plan.edits.iter().any(|e| e.part == w.part())) {
            test(config, web).map_err(|said| {
                SetupError(format!(
                    "its configuration is refused before any change, so nothing was done; correct it first:\n{said}"
                ))
            })?;
        }
    }
    let mut before = load(config)?;
    let own_before: Vec<(PathBuf, Option<Vec<u8>>)> =
        plan.own.iter().map(|o| (o.path.clone(), fs::read(&o.path).ok())).collect();
    let mut record = remember(config, plan, &shelf, &before)?;

    let written = write(config, plan, &record, &mut done).and_then(|()| {
        servers.iter().try_for_each(|web| {
            test(config, web).map_err(|said| SetupError(format!("the server refuses the new configuration:\n{said}")))
        })
    });
    if let Err(SetupError(why)) = written {
        take_back(plan, &shelf, &record, &own_before)?;
        before.finished = true;
        shelf.store(&before).map_err(|e| SetupError(e.to_string()))?;
        return Err(SetupError(format!(
            "{why}\nEverything is as it was before; see what the server says and run again"
        )));
    }
    done.said.extend(servers.iter().filter_map(|web| reload(config, web)));
    let cut_off = record.postfix.as_ref().filter(|_| plan.unfinished).map(|p| &p.dir);
    if let Some(dir) = plan.postfix.as_ref().map(|c| &c.before.dir).or(cut_off) {
        match postfix::reload(dir) {
            Ok(true) => done.said.push("Postfix: reloaded".into()),
            Ok(false) => done.said.push("Postfix does not run; it reads its configuration when it starts".into()),
            Err(e) => done.said.push(format!("{e}; reload it by hand")),
        }
    }
    done.said.extend(users::carry_out(config, plan, &mut record));
    finish(plan, &shelf, record)?;
    Ok(done)
}

/// Keeps originals and writes down what is about to happen.
pub(super) fn remember(config: &Config, plan: &Plan, shelf: &Shelf, before: &Record) -> Result<Record, SetupError> {
    let mut record = before.clone();
    record.finished = false;
    for edit in &plan.edits {
        let now = fs::read(&edit.path).map_err(|e| at(&edit.path, e))?;
        if now != edit.old {
            return Err(SetupError(format!("{} changed since the plan was made; run again", edit.path.display())));
        }
        let looks = Looks::of(&edit.path).map_err(|e| at(&edit.path, e))?;
        let (plain, original) = stripped(config, edit.part, &edit.old);
        shelf.keep(&plain).map_err(|e| at(&edit.path, e))?;
        let old = shelf.keep(&edit.old).map_err(|e| at(&edit.path, e))?;
        let after = Hash::of(&edit::apply(&edit.old, &edit.pieces));
        // Still the file that we wrote last time: its original has the older time of change.
        let known = before.files.get(&edit.path).filter(|s| s.after == old && s.original == original);
        let first_looks = known.map_or(looks, |s| s.looks);
        let saved = Saved { part: edit.part, original, looks: first_looks, before: old, before_looks: looks, after };
        record.files.insert(edit.path.clone(), saved);
    }
    if let Some(change) = plan.postfix.as_ref().filter(|_| !plan.removes) {
        record.postfix.get_or_insert_with(|| change.before.clone());
        remember_main_cf(change, shelf, &mut record)?;
    }
    let new = plan.users.iter().filter(|name| !plan.removes && !before.users.contains(name));
    record.users.extend(new.cloned());
    shelf.store(&record).map_err(|e| SetupError(format!("the record of setup cannot be written: {e}")))?;
    Ok(record)
}

/// `postconf -e` writes the line anew, so the file itself is kept too.
fn remember_main_cf(change: &postfix::Change, shelf: &Shelf, record: &mut Record) -> Result<(), SetupError> {
    let path = change.before.dir.join("main.cf");
    let bytes = fs::read(&path).map_err(|e| at(&path, e))?;
    let looks = Looks::of(&path).map_err(|e| at(&path, e))?;
    let hash = shelf.keep(&bytes).map_err(|e| at(&path, e))?;
    // A second run (a table more) finds our lines in it: the original is that of the first.
    let (original, first_looks) = record.files.get(&path).map_or((hash, looks), |saved| (saved.original, saved.looks));
    let saved =
        Saved { part: Part::Postfix, original, looks: first_looks, before: hash, before_looks: looks, after: hash };
    record.files.insert(path, saved);
    Ok(())
}

/// Our own files first, so that no line names a file that is not there; on removal last, for the same reason.
fn write(config: &Config, plan: &Plan, record: &Record, done: &mut Done) -> Result<(), SetupError> {
    for own in &plan.own {
        if let Some(text) = &own.text {
            let folder = own.path.parent().map(PathBuf::from).unwrap_or_default();
            disk::folder(&folder, 0o755).map_err(|e| at(&folder, e))?;
            disk::write_own(&own.path, text).map_err(|e| at(&own.path, e))?;
            done.said.push(format!("wrote {}", own.path.display()));
        }
    }
    for edit in &plan.edits {
        let saved = record.files.get(&edit.path).ok_or_else(|| at(&edit.path, "not in the record"))?;
        let new = edit::apply(&edit.old, &edit.pieces);
        // Back to the very original: then its time of change comes back too.
        let whole = plan.removes && Hash::of(&new) == saved.original;
        let looks = if whole { saved.looks } else { saved.before_looks };
        disk::replace(&edit.path, &new, looks, whole).map_err(|e| at(&edit.path, e))?;
        done.files += 1;
    }
    if let Some(change) = &plan.postfix {
        write_postfix(config, plan, change, record)?;
        let names: Vec<&str> = change.lines().map(|(name, ..)| name).collect();
        done.said.push(format!("{}: {}", change.before.dir.join("main.cf").display(), names.join(", ")));
    }
    for own in plan.own.iter().filter(|o| o.text.is_none()) {
        disk::remove(&own.path).map_err(|e| at(&own.path, e))?;
        done.said.push(format!("removed {}", own.path.display()));
    }
    Ok(())
}

fn write_postfix(config: &Config, plan: &Plan, change: &postfix::Change, record: &Record) -> Result<(), SetupError> {
    let dir = &change.before.dir;
    postfix::set(dir, &change.after).map_err(SetupError)?;
    let now = postfix::read(dir).map_err(SetupError)?;
    if now.values != change.after {
        return Err(SetupError(format!("main.cf says {:?} after the change; look at it", now.values)));
    }
    let path = dir.join("main.cf");
    let (true, Some(saved)) = (plan.removes, record.files.get(&path)) else { return Ok(()) };
    // The same settings as the original in the same lines: then the original itself comes back.
    let shelf = shelf(config);
    let original = shelf.kept(saved.original).map_err(|e| at(&path, e))?;
    let now = fs::read(&path).map_err(|e| at(&path, e))?;
    if but_ours(&now) == but_ours(&original) {
        disk::replace(&path, &original, saved.looks, true).map_err(|e| at(&path, e))?;
    }
    Ok(())
}

/// The lines of `main.cf` without our parameters and their continuations.
fn but_ours(bytes: &[u8]) -> Vec<&[u8]> {
    let mut inside = false;
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    lines.retain(|line| {
        let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
        let key = line.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        let ours = Table::ALL.iter().any(|table| table.parameter().as_bytes() == key);
        inside = if goes_on { inside } else { ours };
        !inside
    });
    lines
}

/// Everything back as it was before this plan.
fn take_back(
    plan: &Plan,
    shelf: &Shelf,
    record: &Record,
    own_before: &[(PathBuf, Option<Vec<u8>>)],
) -> Result<(), SetupError> {
    for (path, bytes) in own_before.iter().filter(|(_, bytes)| bytes.is_some()) {
        disk::write_own(path, bytes.as_deref().unwrap_or_default()).map_err(|e| at(path, e))?;
    }
    let touched: BTreeSet<&PathBuf> = plan.edits.iter().map(|e| &e.path).collect();
    for (path, saved) in record.files.iter().filter(|(_, s)| s.part != Part::Postfix) {
        let Ok(now) = fs::read(path) else { continue };
        // Files of a run that was cut off stand in the record only.
        if touched.contains(path) || (plan.unfinished && Hash::of(&now) == saved.after) {
            let bytes = shelf.kept(saved.before).map_err(|e| at(path, e))?;
            disk::replace(path, &bytes, saved.before_looks, true).map_err(|e| at(path, e))?;
        }
    }
    if let Some(change) = &plan.postfix {
        postfix::set(&change.before.dir, &change.before.values).map_err(SetupError)?;
        let path = change.before.dir.join("main.cf");
        if let Some(saved) = record.files.get(&path).filter(|_| !plan.removes) {
            let bytes = shelf.kept(saved.before).map_err(|e| at(&path, e))?;
            disk::replace(&path, &bytes, saved.before_looks, true).map_err(|e| at(&path, e))?;
        }
    }
    for (path, _) in own_before.iter().filter(|(_, bytes)| bytes.is_none()) {
        disk::remove(path).map_err(|e| at(path, e))?;
    }
    Ok(())
}

fn finish(plan: &Plan, shelf: &Shelf, mut record: Record) -> Result<(), SetupError> {
    if plan.removes {
        plan.edits.iter().for_each(|edit| {
            record.files.remove(&edit.path);
        });
        let parts: BTreeSet<Part> = plan.own.iter().map(|o| o.part).collect();
        record.files.retain(|path, saved| !parts.contains(&saved.part) && path.exists());
        if parts.contains(&Part::Postfix) || plan.postfix.is_some() {
            record.postfix = None;
            record.files.retain(|_, saved| saved.part != Part::Postfix);
        }
    }
    record.finished = true;
    shelf.store(&record).and_then(|()| shelf.tidy(&record)).map_err(|e| SetupError(e.to_string()))
}

fn test(config: &Config, web: &WebServer) -> Result<(), String> {
    let said = match web {
        WebServer::Nginx(source) => program::nginx_test(config, source),
        WebServer::Apache(source) => program::apache_test(config, source),
    };
    if said.ok { Ok(()) } else { Err(said.text) }
}

/// Tells a running server; what came of it, for a person.
fn reload(config: &Config, web: &WebServer) -> Option<String> {
    let name = web.server();
    let (_, _, pid_file) = web.read();
    if !program::runs(pid_file.as_deref()) {
        return Some(format!("{name} does not run; it reads its configuration when it starts"));
    }
    let said = match web {
        WebServer::Nginx(source) => program::nginx_reload(config, source),
        WebServer::Apache(source) => program::apache_reload(config, source),
    };
    match said.ok {
        true => Some(format!("{name}: tested and reloaded")),
        false => Some(format!("{name} did not reload, do it by hand: {}", said.text)),
    }
}
