//! Follows Apache httpd configuration through includes, conditions and variables to its virtual hosts.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use model::ProbeTarget;
use model::evidence::printable;

use super::apache::{Node, Section, parse};
use super::files::{DEPTH_MAX, Reader, has_wildcard, shown};
use super::vhost::{Root, Server, Vhost, Web, absolute, address, reachable};

/// An Apache httpd to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApacheSource {
    /// The main file.
    pub conf: PathBuf,
    /// The compiled-in `HTTPD_ROOT`, used until a `ServerRoot` is read.
    pub server_root: PathBuf,
    /// Debian's `envvars`, whose plain assignments fill `${…}`.
    pub envvars: Option<PathBuf>,
    /// What the server is started with as `-D NAME`.
    pub defines: Vec<String>,
}

/// Virtual hosts of one httpd.
pub fn read(source: &ApacheSource, reader: &mut Reader) -> Web {
    let env = environment(source, reader);
    let mut walk = Walk {
        reader,
        env,
        defines: source.defines.iter().map(|d| (d.clone().into_bytes(), Vec::new())).collect(),
        modules: BTreeSet::new(),
        macros: BTreeSet::new(),
        server_root: source.server_root.clone(),
        parsed: HashMap::new(),
        listens: Vec::new(),
        main: HostSeen::default(),
        hosts: Vec::new(),
        seen: BTreeSet::new(),
        web: Web::default(),
    };
    if let Some(file) = walk.load(&source.conf) {
        walk.nodes(&file, &file.nodes, 0, &mut None);
    }
    walk.finish()
}

/// The variables of the `envvars` file, as far as they need no shell: what the server is started with.
pub fn environment(source: &ApacheSource, reader: &mut Reader) -> HashMap<Vec<u8>, Vec<u8>> {
    let bytes = source.envvars.as_ref().and_then(|path| reader.read(path).ok());
    bytes.map(|bytes| assignments(&bytes)).unwrap_or_default()
}

struct Parsed {
    path: PathBuf,
    nodes: Vec<Node>,
}

/// What a virtual host, or the main server, says.
#[derive(Clone, Default)]
struct HostSeen {
    server_name: Option<String>,
    aliases: Vec<String>,
    document_root: Option<Root>,
    location_roots: Vec<PathBuf>,
    proxies: bool,
    redirects: bool,
    tls: bool,
    conditions: u32,
    includes: Vec<PathBuf>,
    weakens: Vec<String>,
}

/// A virtual host whose inherited parts are not filled in yet.
struct Host {
    file: PathBuf,
    line: u32,
    open: usize,
    close: usize,
    addresses: Vec<(IpAddr, Option<u16>)>,
    seen: HostSeen,
}

/// A `Listen`.
struct Listen {
    ip: IpAddr,
    port: u16,
    tls: bool,
}

struct Walk<'a> {
    reader: &'a mut Reader,
    env: HashMap<Vec<u8>, Vec<u8>>,
    defines: HashMap<Vec<u8>, Vec<u8>>,
    modules: BTreeSet<String>,
    macros: BTreeSet<Vec<u8>>,
    server_root: PathBuf,
    parsed: HashMap<PathBuf, Option<Rc<Parsed>>>,
    listens: Vec<Listen>,
    main: HostSeen,
    hosts: Vec<Host>,
    seen: BTreeSet<(PathBuf, usize)>,
    web: Web,
}

/// Whether a condition holds.
enum Holds {
    Yes,
    No,
    /// It cannot be told from the configuration.
    Unknown,
}

/// Built into every httpd, whatever is loaded.
const BUILT_IN: [&str; 6] = ["core", "so", "http", "mod_so", "mod_version", "mod_unixd"];

impl Walk<'_> {
    fn load(&mut self, path: &Path) -> Option<Rc<Parsed>> {
        if let Some(known) = self.parsed.get(path) {
            return known.clone();
        }
        let parsed = match self.reader.read(path) {
            Err(e) => {
                self.web.report(shown(path), format!("Apache configuration was not read: {e}"));
                None
            }
            Ok(bytes) => {
                let (nodes, error) = parse(&bytes);
                if let Some(error) = error {
                    let why = format!(
                        "Apache configuration does not parse: {}; what follows in this file is not known. \
                         Run \"apachectl configtest\" and correct it",
                        error.what
                    );
                    self.web.report(format!("{}:{}", shown(path), error.line), why);
                }
                Some(Rc::new(Parsed { path: path.to_owned(), nodes }))
            }
        };
        self.parsed.insert(path.to_owned(), parsed.clone());
        parsed
    }

    /// Carries out what is read, in order; `host` is the virtual host that we are in.
    fn nodes(&mut self, file: &Rc<Parsed>, nodes: &[Node], depth: u32, host: &mut Option<HostSeen>) {
        for node in nodes {
            let place = || format!("{}:{}", shown(&file.path), node.line);
            match (node.name.as_str(), &node.section) {
                ("virtualhost", Some(section)) if host.is_none() => self.host(file, node, section, depth),
                ("macro", Some(_)) => {
                    self.macros.extend(node.words().first().map(|w| w.to_ascii_lowercase()));
                }
                (name, Some(section)) if name.starts_with("if") => {
                    let words = self.words(node);
                    match self.holds(name, words.first().map_or(&b""[..], |w| w)) {
                        Holds::Yes => self.nodes(file, &section.inner, depth, host),
                        Holds::No => {}
                        Holds::Unknown => {
                            if section.inner.iter().any(|n| n.name == "virtualhost") {
                                let why = format!(
                                    "whether <{name} {}> holds cannot be told, so its virtual hosts are counted; \
                                     write the sites into accounts.d when that is wrong",
                                    printable(&node.args, 80)
                                );
                                self.web.report(place(), why);
                            }
                            self.nodes(file, &section.inner, depth, host);
                        }
                    }
                }
                (_, Some(_)) => {}
                ("include" | "includeoptional", None) => self.include(file, node, depth, host),
                ("use", None) => {
                    let why = "virtual hosts made by a macro (Use) are not known to Hikeshi; write their sites into \
                               accounts.d, and put the gate's Include into the macro"
                        .to_owned();
                    self.web.report(place(), why);
                }
                _ => self.directive(node, host),
            }
        }
    }

    fn include(&mut self, file: &Rc<Parsed>, node: &Node, depth: u32, host: &mut Option<HostSeen>) {
        let place = || format!("{}:{}", shown(&file.path), node.line);
        for word in self.words(node) {
            if depth >= DEPTH_MAX {
                self.web.report(place(), format!("includes are nested deeper than {DEPTH_MAX}; look for a circle"));
                return;
            }
            let pattern = self.server_root.join(OsString::from_vec(word.clone()));
            if let Some(host) = host.as_mut().filter(|_| !has_wildcard(&word)) {
                host.includes.push(pattern.clone());
            }
            let mut paths = self.reader.glob(&pattern);
            if node.name == "includeoptional" {
                paths.retain(|p| p.exists());
            }
            let mut at = 0;
            while at < paths.len() {
                let path = paths[at].clone();
                at += 1;
                if !self.reader.may_include() {
                    return self.web.report(place(), "too many includes in all; look for a circle".into());
                }
                // A folder stands for all files below it.
                if path.is_dir() {
                    let names = self.reader.list(&path);
                    paths.splice(at..at, names.into_iter().map(|n| path.join(n)));
                } else if let Some(inner) = self.load(&path) {
                    self.nodes(&inner, &inner.nodes, depth + 1, host);
                }
            }
        }
    }

    fn holds(&self, condition: &str, word: &[u8]) -> Holds {
        let (negated, word) = match word.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let sure = match condition {
            "ifdefine" => Some(self.defines.contains_key(word)),
            "iffile" => Some(self.server_root.join(OsString::from_vec(word.to_vec())).exists()),
            "ifmodule" => self.module(&String::from_utf8_lossy(word)),
            _ => None,
        };
        match sure {
            Some(holds) if holds != negated => Holds::Yes,
            Some(_) => Holds::No,
            None => Holds::Unknown,
        }
    }

    /// Whether a module is loaded. Without any `LoadModule` (a monolithic build) nothing can be said.
    fn module(&self, name: &str) -> Option<bool> {
        let plain = name.strip_suffix(".c").or(name.strip_suffix("_module")).unwrap_or(name);
        let plain = plain.strip_prefix("mod_").unwrap_or(plain);
        if self.modules.contains(plain) || BUILT_IN.iter().any(|b| b.trim_start_matches("mod_") == plain) {
            return Some(true);
        }
        (!self.modules.is_empty()).then_some(false)
    }

    fn host(&mut self, file: &Rc<Parsed>, node: &Node, section: &Section, depth: u32) {
        if !section.complete || !self.seen.insert((file.path.clone(), section.open)) {
            return;
        }
        let mut addresses = Vec::new();
        for word in self.words(node) {
            let written = String::from_utf8_lossy(&word).into_owned();
            match address(&written) {
                Some(known) => addresses.push(known),
                None => {
                    let why = format!(
                        "\"{}\" is not an IP address, so this virtual host is not probed there; write the address",
                        printable(&word, 80)
                    );
                    self.web.report(format!("{}:{}", shown(&file.path), node.line), why);
                }
            }
        }
        let mut seen = Some(HostSeen::default());
        self.nodes(file, &section.inner, depth, &mut seen);
        self.hosts.push(Host {
            file: file.path.clone(),
            line: node.line,
            open: section.open,
            close: section.close,
            addresses,
            seen: seen.unwrap_or_default(),
        });
    }

    fn directive(&mut self, node: &Node, host: &mut Option<HostSeen>) {
        let words = self.words(node);
        let first = words.first().cloned().unwrap_or_default();
        let in_host = host.is_some();
        match node.name.as_str() {
            "define" => {
                self.defines.insert(first, words.get(1).cloned().unwrap_or_default());
                return;
            }
            "undefine" => {
                self.defines.remove(&first);
                return;
            }
            "loadmodule" => {
                let name = String::from_utf8_lossy(&first).into_owned();
                let file = words.get(1).map(|f| String::from_utf8_lossy(f).into_owned()).unwrap_or_default();
                self.modules.insert(name.trim_end_matches("_module").to_owned());
                let file = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".so");
                self.modules.insert(file.trim_start_matches("mod_").to_owned());
                return;
            }
            "serverroot" if !in_host => {
                self.server_root = absolute(Path::new("/"), &path(&first));
                return;
            }
            "pidfile" if !in_host => {
                self.web.pid_file = Some(absolute(&self.server_root, &path(&first)));
                return;
            }
            "listen" if !in_host => {
                if let Some((ip, Some(port))) = address(&String::from_utf8_lossy(&first)) {
                    let tls = words.get(1).is_some_and(|p| p.eq_ignore_ascii_case(b"https"));
                    self.listens.push(Listen { ip, port, tls });
                }
                return;
            }
            _ => {}
        }
        let root = self.server_root.clone();
        host.as_mut().unwrap_or(&mut self.main).directive(node, &words, &root);
    }

    /// The words of a directive, with `${…}` filled in; what is not defined stays as written (as httpd does).
    fn words(&self, node: &Node) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = &node.args[..];
        while let Some(at) = rest.windows(2).position(|w| w == b"${") {
            let Some(end) = rest[at..].iter().position(|b| *b == b'}') else { break };
            let name = &rest[at + 2..at + end];
            out.extend_from_slice(&rest[..at]);
            match self.defines.get(name).or_else(|| self.env.get(name)) {
                Some(value) => out.extend_from_slice(value),
                None => out.extend_from_slice(&rest[at..=at + end]),
            }
            rest = &rest[at + end + 1..];
        }
        out.extend_from_slice(rest);
        super::apache::words(&out)
    }

    fn finish(self) -> Web {
        let Walk { mut web, hosts, listens, main, .. } = self;
        for host in hosts {
            let seen = host.seen;
            let mut names: Vec<String> = seen.server_name.into_iter().collect();
            if names.is_empty() {
                names.push(String::new());
            }
            names.extend(seen.aliases);
            let own = seen.document_root.is_some();
            let root = seen.document_root.or_else(|| main.document_root.clone()).unwrap_or(Root::Nowhere);
            let document_root = match &root {
                Root::At(path) => path.to_str().map(str::to_owned),
                _ => None,
            };
            let probes = probes(&host.addresses, &listens, seen.tls || main.tls);
            web.vhosts.push(Vhost {
                server: Server::Apache,
                file: host.file,
                line: host.line,
                open: host.open,
                close: host.close,
                names,
                // A proxy in front of an application has no root of its own, whatever the main server says.
                root: if seen.proxies && !own { Root::Nowhere } else { root },
                document_root,
                location_roots: seen.location_roots,
                probes,
                redirects_only: seen.redirects,
                includes: seen.includes,
                weakens_gate: seen.weakens,
            });
        }
        web
    }
}

impl HostSeen {
    fn directive(&mut self, node: &Node, words: &[Vec<u8>], server_root: &Path) {
        let first = words.first().map_or(&b""[..], |w| w);
        match node.name.as_str() {
            "servername" => self.server_name = Some(server_name(first)),
            "serveralias" => self.aliases.extend(words.iter().map(|w| String::from_utf8_lossy(w).to_lowercase())),
            "documentroot" => {
                self.document_root = Some(match first.windows(2).any(|w| w == b"${") {
                    true => Root::Unclear(format!(
                        "the root \"{}\" uses a variable that is not defined; define it or write the site into accounts.d",
                        printable(first, 200)
                    )),
                    false => Root::At(absolute(server_root, &path(first))),
                });
            }
            "virtualdocumentroot" | "virtualdocumentrootip" => {
                self.document_root = Some(Root::Unclear(format!(
                    "{} makes the root out of the name that a visitor sends; write the sites into accounts.d",
                    printable(node.name.as_bytes(), 40)
                )));
            }
            "alias" | "scriptalias" if words.len() > 1 => {
                self.location_roots.push(absolute(server_root, &path(&words[1])));
            }
            "proxypass" => self.proxies |= first == b"/",
            "proxypassmatch" => self.proxies = true,
            "redirect" | "redirectpermanent" => self.redirects |= words.iter().any(|w| w == b"/"),
            "rewritecond" => self.conditions += 1,
            "rewriterule" => {
                let everything =
                    matches!(first, b"^" | b"^/" | b"^(.*)$" | b"^/(.*)$" | b"^/?(.*)$" | b"^/?(.*)" | b"(.*)" | b".*");
                let away = words.get(1).is_some_and(|w| w.starts_with(b"http://") || w.starts_with(b"https://"));
                self.redirects |= everything && away && self.conditions == 0 && self.document_root.is_none();
                self.conditions = 0;
            }
            "sslengine" => self.tls = first.eq_ignore_ascii_case(b"on"),
            "rewriteengine" if first.eq_ignore_ascii_case(b"off") => {
                self.weakens.push("RewriteEngine off".into());
            }
            "errordocument" if first == b"403" => self.weakens.push("ErrorDocument 403".into()),
            _ => {}
        }
    }
}

/// A vhost answers where a `Listen` and one of its addresses meet.
fn probes(addresses: &[(IpAddr, Option<u16>)], listens: &[Listen], tls: bool) -> Vec<ProbeTarget> {
    let mut out = Vec::new();
    for (ip, port) in addresses {
        for listen in listens.iter().filter(|l| port.is_none_or(|p| p == l.port)) {
            let at = match (ip.is_unspecified(), listen.ip.is_unspecified()) {
                (true, _) => listen.ip,
                (false, true) => *ip,
                (false, false) if *ip == listen.ip => *ip,
                (false, false) => continue,
            };
            let probe = ProbeTarget { address: reachable(at, listen.port), tls: tls || listen.tls };
            if !out.contains(&probe) {
                out.push(probe);
            }
        }
    }
    out
}

/// `ServerName [scheme://]host[:port]`.
fn server_name(written: &[u8]) -> String {
    let text = String::from_utf8_lossy(written).to_lowercase();
    let host = text.split_once("://").map_or(text.as_str(), |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name.to_owned(),
        _ => host.to_owned(),
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// `[export] NAME=value` lines; a value that needs a shell to be understood is left out, the last plain one counts.
fn assignments(bytes: &[u8]) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut out: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for line in bytes.split(|b| *b == b'\n').map(|l| l.trim_ascii()) {
        let line = line.strip_prefix(b"export ").unwrap_or(line).trim_ascii();
        let Some(at) = line.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = (&line[..at], &line[at + 1..]);
        let plain_name = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let value = match value {
            [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
            other => other,
        };
        if let Some(value) = plain_value(value, &out).filter(|_| plain_name) {
            out.insert(name.to_vec(), value);
        }
    }
    out
}

/// A shell word with `$NAME` and `${NAME}` only; anything cleverer is not understood.
fn plain_value(value: &[u8], known: &HashMap<Vec<u8>, Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'$' => {
                let (name, next) = match after.strip_prefix(b"{") {
                    Some(inner) => {
                        let end = inner.iter().position(|b| *b == b'}')?;
                        (&inner[..end], &inner[end + 1..])
                    }
                    None => {
                        let end = after.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_');
                        after.split_at(end.unwrap_or(after.len()))
                    }
                };
                if !name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                    return None;
                }
                out.extend_from_slice(known.get(name).map_or(&b""[..], |v| v));
                rest = next;
            }
            b'`' | b'"' | b'\'' | b'\\' | b' ' | b'\t' | b';' | b'(' | b')' | b'&' | b'|' => return None,
            other => {
                out.push(other);
                rest = after;
            }
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "apache_sites_tests.rs"]
mod tests;
