//! `hikeshi setup`: puts one identical include line into every virtual host and our table into Postfix, and
//! takes both out again.
//!
//! Nothing is written before a person saw the diff (`Plan`); a server that refuses its new configuration gets
//! the old one back byte for byte; a second run finds nothing to do; a kill at any point is finished or undone
//! by the next run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use act::postfix::Table;
use model::{Hash, Unclear};
use sense::inventory::files::Reader;
use sense::inventory::{ApacheSource, NginxSource, Server, Vhost, apache_sites, nginx_sites};
use serde::{Deserialize, Serialize};

use crate::config::Config;

mod carry_out;
pub mod disk;
pub mod edit;
pub mod panel;
pub mod postfix;
pub mod program;
pub mod record;
mod users;

pub use carry_out::apply;

use edit::Piece;
use record::{Record, Shelf};

/// A server that `setup` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// nginx.
    Nginx,
    /// Apache httpd.
    Apache,
    /// Postfix.
    Postfix,
}

impl std::str::FromStr for Part {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nginx" => Ok(Part::Nginx),
            "apache" => Ok(Part::Apache),
            "postfix" => Ok(Part::Postfix),
            _ => Err("write nginx, apache or postfix".into()),
        }
    }
}

/// The gate's text for each server, made by `act::gate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// `nginx-gate.conf`.
    pub nginx: String,
    /// `apache-gate.conf`.
    pub apache: String,
}

/// Why nothing, or not everything, was done; ends with the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError(pub String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for SetupError {}

/// A file whose bytes change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Whose file it is.
    pub part: Part,
    /// The file itself, links resolved (`sites-enabled` is full of them).
    pub path: PathBuf,
    /// Its bytes when the plan was made; it is not touched when they changed since.
    pub old: Vec<u8>,
    /// What changes.
    pub pieces: Vec<Piece>,
}

/// One of our own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFile {
    /// Who reads it.
    pub part: Part,
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes; `None` removes it.
    pub text: Option<Vec<u8>>,
}

/// A file that is left alone, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// Why, with the next step.
    pub why: String,
}

/// Everything that would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// True when it takes everything out.
    pub removes: bool,
    /// Our own files.
    pub own: Vec<OwnFile>,
    /// Files of the web servers.
    pub edits: Vec<Edit>,
    /// Postfix.
    pub postfix: Option<postfix::Change>,
    /// Users of the roles that are made or taken away.
    pub users: Vec<String>,
    /// Left alone.
    pub refused: Vec<Refused>,
    /// What to look at.
    pub notes: Vec<String>,
    /// A former run was cut off: test and reload again even when nothing else is to do.
    pub unfinished: bool,
}

impl Plan {
    /// Whether the node is already as it should be.
    pub fn nothing_to_do(&self) -> bool {
        self.own.is_empty()
            && self.edits.is_empty()
            && self.postfix.is_none()
            && self.users.is_empty()
            && !self.unfinished
    }

    /// What would be written, as unified diffs, for a person to read first.
    pub fn diff(&self) -> String {
        let mut out = String::new();
        for name in &self.users {
            out += &format!("{} the system user {name}\n", if self.removes { "remove" } else { "make" });
        }
        for own in &self.own {
            let what = if own.text.is_some() { "write" } else { "remove" };
            out += &format!("{what} {}\n", own.path.display());
        }
        for edit in &self.edits {
            out += &edit::unified(&edit.path.to_string_lossy(), &edit.old, &edit.pieces);
        }
        if let Some(change) = &self.postfix {
            out += &format!("{}\n", change.before.dir.join("main.cf").display());
            for (name, before, after) in change.lines() {
                let line = |v: Option<&String>| v.map_or(format!("({name} not set)"), |v| format!("{name} = {v}"));
                out += &format!("-{}\n+{}\n", line(before), line(after));
            }
        }
        out
    }

    /// The servers that have to test and read their configuration again.
    fn parts(&self) -> BTreeSet<Part> {
        self.edits.iter().map(|e| e.part).chain(self.own.iter().map(|o| o.part)).collect()
    }
}

/// A virtual host without the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `file:line`.
    pub place: String,
    /// Its first name.
    pub name: String,
}

/// Where our include file of a server is.
pub fn include_path(config: &Config, server: Server) -> PathBuf {
    config.paths.etc.0.join(match server {
        Server::Nginx => "nginx-gate.conf",
        Server::Apache => "apache-gate.conf",
    })
}

/// Virtual hosts that the gate does not reach: new ones since the last run, and those of panels.
pub fn missing(config: &Config) -> Vec<Missing> {
    let mut out = Vec::new();
    for web in webs(config) {
        let include = include_path(config, web.server());
        for vhost in web.read().0.iter().filter(|v| !v.includes.contains(&include)) {
            out.push(Missing { place: vhost.place(), name: vhost.names.first().cloned().unwrap_or_default() });
        }
    }
    out
}

/// One web server's configuration.
pub(crate) enum WebServer {
    Nginx(NginxSource),
    Apache(ApacheSource),
}

impl WebServer {
    fn server(&self) -> Server {
        match self {
            WebServer::Nginx(_) => Server::Nginx,
            WebServer::Apache(_) => Server::Apache,
        }
    }
    fn part(&self) -> Part {
        match self {
            WebServer::Nginx(_) => Part::Nginx,
            WebServer::Apache(_) => Part::Apache,
        }
    }
    fn read(&self) -> (Vec<Vhost>, Vec<Unclear>, Option<PathBuf>) {
        let mut reader = Reader::default();
        let web = match self {
            WebServer::Nginx(source) => nginx_sites::read(source, &mut reader),
            WebServer::Apache(source) => apache_sites::read(source, &mut reader),
        };
        (web.vhosts, web.unclear, web.pid_file)
    }
}

pub(crate) fn webs(config: &Config) -> Vec<WebServer> {
    let nginx = config.nginx().into_iter().map(WebServer::Nginx);
    nginx.chain(config.apache().into_iter().map(WebServer::Apache)).collect()
}

/// What has to be done so that every virtual host and Postfix can be stopped.
pub fn plan(config: &Config, texts: &Texts, only: Option<Part>) -> Result<Plan, SetupError> {
    let record = load(config)?;
    let mut plan = Plan { unfinished: !record.finished, ..Plan::default() };
    for web in webs(config).iter().filter(|w| only.is_none_or(|o| o == w.part())) {
        plan_web(config, texts, web, &mut plan)?;
    }
    let dir = &config.mail.postfix_config_dir.0;
    if only.is_none_or(|o| o == Part::Postfix) && postfix::present(dir) {
        let hold_file = &config.mail.hold_file.0;
        let (tables, notes) = postfix::tables(dir, hold_file, config.mail.can_refuse).map_err(SetupError)?;
        plan.postfix = postfix::install(dir, hold_file, &tables).map_err(SetupError)?;
        let new = tables.iter().map(|table| table.path(hold_file)).filter(|path| !path.exists());
        plan.own.extend(new.map(|path| OwnFile { part: Part::Postfix, path, text: Some(Vec::new()) }));
        plan.notes.extend(notes);
    }
    if only.is_none() {
        users::install(config, &mut plan);
    }
    Ok(plan)
}

fn plan_web(config: &Config, texts: &Texts, web: &WebServer, plan: &mut Plan) -> Result<(), SetupError> {
    let server = web.server();
    let include = include_path(config, server);
    let text = match server {
        Server::Nginx => texts.nginx.as_bytes(),
        Server::Apache => texts.apache.as_bytes(),
    };
    let (vhosts, unclear, _) = web.read();
    plan.notes.extend(unclear.iter().map(|u| format!("{}: {}", u.subject, u.why)));
    let mut opens: BTreeMap<PathBuf, BTreeSet<usize>> = BTreeMap::new();
    for vhost in &vhosts {
        for weak in &vhost.weakens_gate {
            plan.notes.push(format!(
                "{}: \"{weak}\" in this virtual host weakens the gate (RewriteEngine off switches it off, an own \
                 ErrorDocument 403 hides our page); take it out",
                vhost.place()
            ));
        }
        if !vhost.includes.contains(&include) {
            let path = fs::canonicalize(&vhost.file).unwrap_or_else(|_| vhost.file.clone());
            opens.entry(path).or_default().insert(vhost.open);
        }
    }
    if fs::read(&include).ok().as_deref() != Some(text) && !vhosts.is_empty() {
        plan.own.push(OwnFile { part: web.part(), path: include.clone(), text: Some(text.to_vec()) });
    }
    let line = match server {
        Server::Nginx => format!("include {};", include.display()),
        Server::Apache => format!("Include {}", include.display()),
    };
    for (path, opens) in opens {
        let old =
            fs::read(&path).map_err(|e| SetupError(format!("{}: {e}; check it and run again", path.display())))?;
        if let Some(why) = panel::refusal(&path, &old, &line).or_else(|| disk::foreign(&path)) {
            match plan.refused.iter_mut().find(|r| r.why == why) {
                Some(refused) => refused.paths.push(path),
                None => plan.refused.push(Refused { paths: vec![path], why }),
            }
            continue;
        }
        if opens.iter().any(|open| *open > old.len()) {
            return Err(SetupError(format!("{} changed while it was read; run again", path.display())));
        }
        let pieces = opens.iter().map(|open| edit::insertion(server, &old, *open, &include)).collect();
        plan.edits.push(Edit { part: web.part(), path, old, pieces });
    }
    Ok(())
}

/// What has to be done so that nothing of ours is left in the servers' configuration.
pub fn plan_removal(config: &Config, only: Option<Part>) -> Result<Plan, SetupError> {
    let record = load(config)?;
    let mut plan = Plan { removes: true, unfinished: !record.finished, ..Plan::default() };
    for part in [Part::Nginx, Part::Apache].into_iter().filter(|p| only.is_none_or(|o| o == *p)) {
        let server = if part == Part::Nginx { Server::Nginx } else { Server::Apache };
        let include = include_path(config, server);
        // What we know that we changed, and what the server reads now.
        let mut paths: BTreeSet<PathBuf> =
            record.files.iter().filter(|(_, s)| s.part == part).map(|(p, _)| p.clone()).collect();
        for web in webs(config).iter().filter(|w| w.part() == part) {
            let files = web.read().0.into_iter().map(|v| fs::canonicalize(&v.file).unwrap_or(v.file));
            paths.extend(files);
        }
        for path in paths {
            let Ok(old) = fs::read(&path) else { continue };
            let pieces = edit::removals(server, &old, &include);
            if !pieces.is_empty() {
                plan.edits.push(Edit { part, path, old, pieces });
            }
        }
        if include.exists() {
            plan.own.push(OwnFile { part, path: include, text: None });
        }
    }
    let (dir, hold_file) = (&config.mail.postfix_config_dir.0, &config.mail.hold_file.0);
    if only.is_none_or(|o| o == Part::Postfix) && postfix::present(dir) {
        plan.postfix = postfix::removal(dir, hold_file, record.postfix.as_ref()).map_err(SetupError)?;
        let ours = Table::ALL.iter().map(|table| table.path(hold_file)).filter(|path| path.exists());
        plan.own.extend(ours.map(|path| OwnFile { part: Part::Postfix, path, text: None }));
    }
    if only.is_none() {
        users::removal(config, &record, &mut plan);
    }
    Ok(plan)
}

fn load(config: &Config) -> Result<Record, SetupError> {
    shelf(config).load().map_err(|e| SetupError(format!("the record of setup cannot be read: {e}")))
}

fn shelf(config: &Config) -> Shelf {
    Shelf::new(&config.paths.state.0)
}

fn stripped(config: &Config, part: Part, bytes: &[u8]) -> (Vec<u8>, Hash) {
    let server = if part == Part::Apache { Server::Apache } else { Server::Nginx };
    let plain = edit::apply(bytes, &edit::removals(server, bytes, &include_path(config, server)));
    let hash = Hash::of(&plain);
    (plain, hash)
}

fn at(path: &Path, e: impl fmt::Display) -> SetupError {
    SetupError(format!("{}: {e}; nothing is half done, run setup again after repairing it", path.display()))
}

#[cfg(test)]
mod tests;
