//! Follows nginx configuration through its includes to the server blocks, their names, roots and listens.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use model::ProbeTarget;
use model::evidence::printable;

use super::files::{DEPTH_MAX, Reader, has_wildcard, shown};
use super::nginx::{Block, Directive, parse};
use super::vhost::{Root, Server, Vhost, Web, absolute, address, reachable};

/// An nginx to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxSource {
    /// The main file; includes are relative to its folder (nginx: "conf prefix").
    pub conf: PathBuf,
    /// What roots are relative to: the compiled-in `--prefix`, on Debian `/usr/share/nginx`.
    pub prefix: PathBuf,
}

/// Server blocks of one nginx.
pub fn read(source: &NginxSource, reader: &mut Reader) -> Web {
    let mut walk = Walk {
        source,
        reader,
        parsed: HashMap::new(),
        web: Web::default(),
        seen: BTreeSet::new(),
        sockets: BTreeMap::new(),
        listens: Vec::new(),
    };
    let main = source.conf.clone();
    if let Some(file) = walk.load(&main) {
        walk.each(&file, 0, &mut |walk, file, directive, depth| match (directive.name(), &directive.block) {
            (b"http", Some(block)) => walk.http(file, block, depth),
            (b"pid", None) => {
                let path = directive.args().first().map(|p| OsString::from_vec(p.clone()));
                walk.web.pid_file = path.map(|p| absolute(&walk.source.prefix, Path::new(&p)));
            }
            _ => {}
        });
    }
    walk.finish()
}

struct Parsed {
    path: PathBuf,
    directives: Vec<Directive>,
}

/// A listen of one server block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Socket {
    ip: IpAddr,
    port: u16,
}

/// What any server block says about a socket holds for all blocks on it.
#[derive(Clone, Copy, Default)]
struct SocketFacts {
    tls: bool,
    /// Speaks the PROXY protocol first, or UDP: a plain probe gets no answer.
    unprobed: bool,
}

struct Walk<'a> {
    source: &'a NginxSource,
    reader: &'a mut Reader,
    parsed: HashMap<PathBuf, Option<Rc<Parsed>>>,
    web: Web,
    seen: BTreeSet<(PathBuf, usize)>,
    sockets: BTreeMap<Socket, SocketFacts>,
    /// Beside `web.vhosts`: the sockets of each.
    listens: Vec<Vec<Socket>>,
}

type Visit<'v, 'a> = &'v mut dyn FnMut(&mut Walk<'a>, &Rc<Parsed>, &Directive, u32);

impl<'a> Walk<'a> {
    /// Reads and parses a file once.
    fn load(&mut self, path: &Path) -> Option<Rc<Parsed>> {
        if let Some(known) = self.parsed.get(path) {
            return known.clone();
        }
        let parsed = match self.reader.read(path) {
            Err(e) => {
                self.web.report(shown(path), format!("nginx configuration was not read: {e}"));
                None
            }
            Ok(bytes) => {
                let (directives, error) = parse(&bytes);
                if let Some(error) = error {
                    let why = format!(
                        "nginx configuration does not parse: {}; what follows in this file is not known. \
                         Run \"nginx -t\" and correct it",
                        error.what
                    );
                    self.web.report(format!("{}:{}", shown(path), error.line), why);
                }
                Some(Rc::new(Parsed { path: path.to_owned(), directives }))
            }
        };
        self.parsed.insert(path.to_owned(), parsed.clone());
        parsed
    }

    fn each(&mut self, file: &Rc<Parsed>, depth: u32, visit: Visit<'_, 'a>) {
        self.each_of(file, &file.directives, depth, visit);
    }

    /// Visits directives in order; includes are followed in place.
    fn each_of(&mut self, file: &Rc<Parsed>, directives: &[Directive], depth: u32, visit: Visit<'_, 'a>) {
        for directive in directives {
            visit(self, file, directive, depth);
            let ("include", Some(pattern)) = (&*text(directive.name()), directive.args().first()) else { continue };
            let place = || format!("{}:{}", shown(&file.path), directive.line);
            if depth >= DEPTH_MAX {
                self.web.report(place(), format!("includes are nested deeper than {DEPTH_MAX}; look for a circle"));
                continue;
            }
            let pattern = self.conf_path(pattern);
            for path in self.reader.glob(&pattern) {
                if !self.reader.may_include() {
                    self.web.report(place(), "too many includes in all; look for a circle".into());
                    return;
                }
                if let Some(inner) = self.load(&path) {
                    self.each(&inner, depth + 1, visit);
                }
            }
        }
    }

    /// nginx takes includes as relative to the folder of the main file.
    fn conf_path(&self, written: &[u8]) -> PathBuf {
        let base = self.source.conf.parent().unwrap_or(Path::new("/"));
        base.join(OsString::from_vec(written.to_vec()))
    }

    fn http(&mut self, file: &Rc<Parsed>, block: &Block, depth: u32) {
        // The last root of the http level counts, also when it stands below the servers.
        let mut http_root = None;
        let mut servers = Vec::new();
        self.each_of(file, &block.inner, depth, &mut |_, file, directive, depth| match &*text(directive.name()) {
            "root" => http_root = directive.args().first().cloned(),
            "server" if directive.block.is_some() => servers.push((file.clone(), directive.clone(), depth)),
            _ => {}
        });
        for (file, directive, depth) in servers {
            let block = directive.block.as_ref().expect("chosen above");
            if block.complete && self.seen.insert((file.path.clone(), block.open)) {
                self.server(&file, &directive, block, depth, http_root.as_deref());
            }
        }
    }

    fn server(&mut self, file: &Rc<Parsed>, head: &Directive, block: &Block, depth: u32, http_root: Option<&[u8]>) {
        let mut seen = ServerSeen::default();
        self.each_of(file, &block.inner, depth, &mut |walk, _, directive, depth| {
            seen.directive(walk, directive, depth);
        });
        let sockets = self.sockets_of(file, head, &seen);
        let mut names: Vec<String> = seen.names;
        if names.is_empty() {
            names.push(String::new());
        }
        let own_root = seen.root.or_else(|| seen.slash_root.clone());
        let root = match own_root.as_deref().or(http_root) {
            Some(written) => self.root(written, &seen.constants),
            None if seen.passes => Root::Nowhere,
            None => Root::At(absolute(&self.source.prefix, Path::new("html"))),
        };
        let location_roots = seen
            .location_roots
            .iter()
            .filter_map(|written| match self.root(written, &seen.constants) {
                Root::At(path) => Some(path),
                _ => None,
            })
            .collect();
        self.web.vhosts.push(Vhost {
            server: Server::Nginx,
            file: file.path.clone(),
            line: head.line,
            open: block.open,
            close: block.close,
            names,
            root,
            document_root: None,
            location_roots,
            probes: Vec::new(),
            redirects_only: seen.returns || (own_root.is_none() && seen.slash_returns),
            includes: seen.includes,
            weakens_gate: Vec::new(),
        });
        self.listens.push(sockets);
    }

    fn sockets_of(&mut self, file: &Rc<Parsed>, head: &Directive, seen: &ServerSeen) -> Vec<Socket> {
        let mut sockets = Vec::new();
        // Without a listen nginx takes *:80 (as root).
        let default = [vec![b"80".to_vec()]];
        let listens = if seen.listens.is_empty() { &default[..] } else { &seen.listens };
        for words in listens {
            let written = text(words.first().map_or(&b""[..], |w| w));
            if written.starts_with("unix:") {
                continue;
            }
            let Some((ip, port)) = address(&written) else {
                let why = format!(
                    "listen \"{}\" is not an IP address, so this server block is not probed; write the address",
                    printable(written.as_bytes(), 80)
                );
                self.web.report(format!("{}:{}", shown(&file.path), head.line), why);
                continue;
            };
            let socket = Socket { ip, port: port.unwrap_or(80) };
            let facts = self.sockets.entry(socket).or_default();
            for flag in &words[1..] {
                facts.tls |= flag == b"ssl";
                facts.unprobed |= flag == b"quic" || flag == b"proxy_protocol";
            }
            facts.tls |= seen.ssl_on;
            sockets.push(socket);
        }
        sockets
    }

    /// Puts constants of the same server block in; anything else that varies is unclear.
    fn root(&self, written: &[u8], constants: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Root {
        let mut path = Vec::new();
        let mut rest = written;
        while let Some(dollar) = rest.iter().position(|b| *b == b'$') {
            path.extend_from_slice(&rest[..dollar]);
            let (name, after) = variable(&rest[dollar + 1..]);
            match constants.get(name) {
                Some(Some(value)) if !value.contains(&b'$') => path.extend_from_slice(value),
                _ => {
                    return Root::Unclear(format!(
                        "the root \"{}\" depends on ${}, which is not a constant of this server block; \
                         write the sites into accounts.d",
                        printable(written, 200),
                        printable(name, 60)
                    ));
                }
            }
            rest = after;
        }
        path.extend_from_slice(rest);
        Root::At(absolute(&self.source.prefix, Path::new(&OsString::from_vec(path))))
    }

    fn finish(mut self) -> Web {
        for (vhost, sockets) in self.web.vhosts.iter_mut().zip(&self.listens) {
            for socket in sockets {
                let facts = self.sockets.get(socket).copied().unwrap_or_default();
                let probe = ProbeTarget { address: reachable(socket.ip, socket.port), tls: facts.tls };
                if !facts.unprobed && !vhost.probes.contains(&probe) {
                    vhost.probes.push(probe);
                }
            }
        }
        self.web
    }
}

/// The name of a variable after `$`, and what follows it.
fn variable(text: &[u8]) -> (&[u8], &[u8]) {
    if let Some(inner) = text.strip_prefix(b"{") {
        let end = inner.iter().position(|b| *b == b'}').unwrap_or(inner.len());
        return (&inner[..end], inner.get(end + 1..).unwrap_or_default());
    }
    let end = text.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(text.len());
    text.split_at(end)
}

/// What one server block says.
#[derive(Default)]
struct ServerSeen {
    names: Vec<String>,
    root: Option<Vec<u8>>,
    /// Root of `location /`: what most requests see when the block has none.
    slash_root: Option<Vec<u8>>,
    slash_returns: bool,
    location_roots: Vec<Vec<u8>>,
    listens: Vec<Vec<Vec<u8>>>,
    /// `set` of a constant; set twice or under a condition is no constant: `None`.
    constants: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    includes: Vec<PathBuf>,
    returns: bool,
    passes: bool,
    ssl_on: bool,
}

impl ServerSeen {
    fn directive(&mut self, walk: &mut Walk<'_>, directive: &Directive, depth: u32) {
        let args = directive.args();
        match (&*text(directive.name()), &directive.block) {
            ("listen", _) => self.listens.push(args.to_vec()),
            ("server_name", _) => self.names.extend(args.iter().map(|n| name(n))),
            ("root", _) => self.root = args.first().cloned(),
            ("ssl", _) => self.ssl_on |= args.first().is_some_and(|a| a == b"on"),
            ("set", _) => self.set(args, true),
            ("return", _) => self.returns = true,
            ("rewrite", _) => self.returns |= redirects_all(args),
            ("include", _) => {
                if let Some(path) = args.first().filter(|p| !has_wildcard(p)) {
                    self.includes.push(walk.conf_path(path));
                }
            }
            ("location", Some(block)) => self.location(walk, directive, block, depth, 0),
            ("if", Some(block)) => {
                // A condition may change what a variable holds, so it is no constant after that.
                block.inner.iter().filter(|d| d.name() == b"set").for_each(|d| self.set(d.args(), false));
            }
            (other, _) => self.passes |= passes(other),
        }
    }

    fn set(&mut self, args: &[Vec<u8>], always: bool) {
        let [variable, value] = args else { return };
        let variable = variable.strip_prefix(b"$").unwrap_or(variable).to_vec();
        let known = self.constants.get(&variable);
        let constant = always && known.is_none_or(|k| k.as_ref() == Some(value));
        self.constants.insert(variable, constant.then(|| value.clone()));
    }

    fn location(&mut self, walk: &mut Walk<'_>, head: &Directive, block: &Block, depth: u32, level: u32) {
        let slash = level == 0 && head.args().last().is_some_and(|a| a == b"/") && head.args().len() <= 2;
        let file = Rc::new(Parsed { path: walk.source.conf.clone(), directives: Vec::new() });
        walk.each_of(&file, &block.inner, depth, &mut |walk, _, directive, depth| {
            let args = directive.args();
            match (&*text(directive.name()), &directive.block) {
                ("root", _) if slash => self.slash_root = args.first().cloned(),
                ("root" | "alias", _) => self.location_roots.extend(args.first().cloned()),
                ("return", _) if slash => self.slash_returns = true,
                ("rewrite", _) if slash => self.slash_returns |= redirects_all(args),
                ("location", Some(inner)) if level < 8 => self.location(walk, directive, inner, depth, level + 1),
                (other, _) => self.passes |= passes(other),
            }
        });
    }
}

fn passes(directive: &str) -> bool {
    matches!(directive, "proxy_pass" | "fastcgi_pass" | "uwsgi_pass" | "scgi_pass" | "grpc_pass")
}

/// `rewrite ^ https://…` and its cousins: no request gets further.
fn redirects_all(args: &[Vec<u8>]) -> bool {
    let everything =
        args.first().is_some_and(|a| matches!(&a[..], b"^" | b"^/" | b"^(.*)$" | b"^/(.*)$" | b".*" | b"^(.*)"));
    let away = args
        .get(1)
        .is_some_and(|a| a.starts_with(b"http://") || a.starts_with(b"https://") || a.starts_with(b"$scheme"))
        || args.get(2).is_some_and(|a| a == b"permanent" || a == b"redirect");
    everything && away
}

/// A server name: nginx lowers all but expressions.
fn name(written: &[u8]) -> String {
    match written.starts_with(b"~") {
        true => printable(written, 255),
        false => text(written).to_lowercase(),
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// `$server_name` of a block whose first name this is (nginx 1.22, `ngx_http_core_merge_srv_conf`): a leading
/// dot goes; an expression, an empty name and one that is no file name give no gate.
pub fn gate_name(first: &str) -> Option<&str> {
    let name = first.strip_prefix('.').unwrap_or(first);
    let safe = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*'));
    (safe && !name.is_empty() && !name.starts_with('.') && name.len() <= 200).then_some(name)
}

#[cfg(test)]
#[path = "nginx_sites_tests.rs"]
mod tests;
