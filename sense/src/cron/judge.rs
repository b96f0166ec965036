//! What a scheduled line does, and what that means.
//!
//! | seen | kind | conclusive | suspicious |
//! |---|---|---|---|
//! | text from elsewhere runs: pipe, substitution, variable, saved and started; a shell is given to another machine | `CronDownload` | always, but for | https to a named host once a week or less, or an own domain |
//! | decoded text runs (base64, hex, `rev`, alphabets turned, `eval(base64_decode(…))`) | `CronDecode` | always | |
//! | starts a file in an upload folder (`uploads`: always), below `.well-known`, in a data or temporary folder, under a name of the kernel's or a daemon's, or hidden | `CronFromUploads` | in memory, hidden, or once an hour and more | else |
//! | the same, hidden folder of the home without a disguise | | | once an hour and more, in folders for data |
//! | sets the crontab from a text, a download or a hidden file | `CronReinstalls` | always | from a filter, once an hour and more |
//! | writes a page or program of a site, or unpacks into it, from a hidden, temporary, disguised or decoded source | `CronReinstalls` | once an hour and more (download: once a day) | else |
//! | a program of a site gets an old time or loses its right to be written | `CronReinstalls` | beside one written | alone, once an hour and more |
//! | calls a bare address with an identifier, nothing else on the line, the answer unused | `CronBeacon` | never | always |
//! | sends a file with passwords to somebody else | `CronBeacon` | never | always |
//!
//! Not seen as anything: own domains, private addresses and the node's own, answers that are saved as data or read by
//! another program, pings after a job, tools in their own hidden folders (`~/.acme.sh`, `~/.nvm`), sourced profiles, a
//! `.phar` of a named https host that is tried after its update, files copied from a visible place.

use std::net::IpAddr;

use model::{AccountEntry, Kind, Strength};

use super::table::Job;
use crate::process::place::{Place, below, has_hidden_part, place};
use crate::process::word::{base, contains, is_kernel_thread, is_miner_name, is_system_daemon, is_system_tool};
use crate::shell::{Deed, Host, Source, Taint, host_of};

const HOURLY: u32 = 7 * 24;
const TEN_MINUTES: u32 = 7 * 24 * 6;
const DAILY: u32 = 7;

/// What one line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The strongest mechanism.
    pub kind: Kind,
    /// Further ones, at most four.
    pub also: Vec<Kind>,
    /// What it says.
    pub strength: Strength,
    /// The file or address in question.
    pub subject: Option<Vec<u8>>,
}

/// What is known about the owner.
pub struct Surroundings<'a> {
    name: &'a [u8],
    home: &'a [u8],
    roots: Vec<&'a [u8]>,
    domains: Vec<&'a str>,
    own: &'a [IpAddr],
}

impl<'a> Surroundings<'a> {
    /// Of this account; `own` are the node's addresses.
    pub fn of(entry: &'a AccountEntry, own: &'a [IpAddr]) -> Surroundings<'a> {
        Surroundings {
            name: entry.account.name.as_str().as_bytes(),
            home: entry.home.as_bytes(),
            roots: entry.sites.iter().map(|site| site.root.as_bytes()).collect(),
            domains: entry
                .sites
                .iter()
                .flat_map(|site| std::iter::once(&site.domain).chain(&site.aliases))
                .map(|domain| domain.as_str().trim_start_matches("*."))
                .collect(),
            own,
        }
    }

    /// Own sites, this machine, private networks.
    fn is_own(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => {
                let below =
                    |domain: &&str| name.strip_suffix(*domain).is_some_and(|r| r.is_empty() || r.ends_with('.'));
                name == "localhost" || !name.contains('.') || self.domains.iter().any(below)
            }
            Host::Address(address) => self.own.contains(address) || is_private(*address),
        }
    }

    fn in_root(&self, path: &[u8]) -> bool {
        self.roots.iter().any(|root| below(path, root))
    }
}

/// Networks that are not of the internet (RFC 1918, 4193, 6598, loopback, link-local).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            a.is_private() || a.is_loopback() || a.is_link_local() || a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64
        }
        IpAddr::V6(a) => a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local(),
    }
}

/// Judges one job; `None`: nothing to say.
pub(crate) fn judge(job: &Job<'_>, deeds: &[Deed], around: &Surroundings<'_>) -> Option<Verdict> {
    let line = Line { job, deeds, around };
    let mut found: Vec<(Strength, Kind, Option<Vec<u8>>)> = Vec::new();
    for deed in deeds {
        match deed {
            Deed::RunsText(taint) => line.runs(*taint, &mut found),
            Deed::RemoteShell => found.push((Strength::Conclusive, Kind::CronDownload, None)),
            Deed::Starts { taint, file, .. } if taint.any() => {
                let tried = file.ends_with(b".phar") && !taint.decoded && line.is_plain_publisher(DAILY);
                if !tried {
                    line.runs(*taint, &mut found);
                }
            }
            Deed::Starts { file, sourced, .. } => {
                found.extend(line.starts(file, *sourced).map(|s| (s, Kind::CronFromUploads, Some(file.clone()))));
            }
            Deed::Writes { file, from } => {
                found.extend(line.writes(file, from).map(|s| (s, Kind::CronReinstalls, Some(file.clone()))));
            }
            Deed::Unpacks { archive, folder } if around.in_root(folder) && line.is_odd_source(archive) => {
                let strength = if job.at_least(HOURLY) { Strength::Conclusive } else { Strength::Suspicious };
                found.push((strength, Kind::CronReinstalls, Some(folder.clone())));
            }
            Deed::Unpacks { .. } => {}
            Deed::Crontab { from } => {
                found.extend(line.sets_table(from).map(|s| (s, Kind::CronReinstalls, None)));
            }
            Deed::Disguises(file) if around.in_root(file) && is_program(file) && job.at_least(HOURLY) => {
                let written = deeds.iter().any(|d| matches!(d, Deed::Writes { file: other, .. } if other == file));
                let strength = if written { Strength::Conclusive } else { Strength::Suspicious };
                found.push((strength, Kind::CronReinstalls, Some(file.clone())));
            }
            Deed::Disguises(_) => {}
            Deed::Fetches { url, file, sends, tells, used } => {
                let says = line.calls(url, file.as_deref(), sends, *tells, *used);
                found.extend(says.then(|| (Strength::Suspicious, Kind::CronBeacon, Some(url.clone()))));
            }
        }
    }
    // The first of the strongest, so that the order on the line decides between equals.
    let mut best: Option<&(Strength, Kind, Option<Vec<u8>>)> = None;
    for one in &found {
        if best.is_none_or(|best| best.0 < one.0) {
            best = Some(one);
        }
    }
    let (strength, kind, subject) = best?.clone();
    let mut also: Vec<Kind> = Vec::new();
    for (_, other, _) in &found {
        if *other != kind && !also.contains(other) {
            also.push(*other);
        }
    }
    Some(Verdict { kind, also, strength, subject })
}

struct Line<'a> {
    job: &'a Job<'a>,
    deeds: &'a [Deed],
    around: &'a Surroundings<'a>,
}

impl Line<'_> {
    fn urls(&self) -> impl Iterator<Item = &[u8]> {
        self.deeds.iter().filter_map(|deed| match deed {
            Deed::Fetches { url, .. } => Some(&url[..]),
            _ => None,
        })
    }

    /// Everything is fetched by https from hosts with names, and no more often than this.
    fn is_plain_publisher(&self, per_week: u32) -> bool {
        let named = |url: &[u8]| url.starts_with(b"https://") && matches!(host_of(url), Some(Host::Name(_)));
        self.urls().next().is_some() && self.urls().all(named) && !self.job.at_start && self.job.per_week <= per_week
    }

    fn runs(&self, taint: Taint, found: &mut Vec<(Strength, Kind, Option<Vec<u8>>)>) {
        let own = |url: &[u8]| host_of(url).is_some_and(|host| self.around.is_own(&host));
        let mild = self.is_plain_publisher(1) || self.urls().next().is_some() && self.urls().all(own);
        let strength = if mild && !taint.decoded { Strength::Suspicious } else { Strength::Conclusive };
        let url = self.urls().next().map(<[u8]>::to_vec);
        if taint.decoded {
            found.push((strength, Kind::CronDecode, url.clone()));
        }
        if taint.fetched {
            found.push((strength, Kind::CronDownload, url));
        }
    }

    fn starts(&self, file: &[u8], sourced: bool) -> Option<Strength> {
        if !file.contains(&b'/') {
            return None;
        }
        let name = base(file);
        let often = self.job.at_least(HOURLY);
        let by_often = if often { Strength::Conclusive } else { Strength::Suspicious };
        let hidden_file = name.starts_with(b".") && name.len() > 1;
        let posed =
            is_kernel_thread(name, false) || is_kernel_thread(name, name.starts_with(b"[")) || is_miner_name(name);
        let daemon = posed || is_system_daemon(name);
        let in_root = self.around.in_root(file);
        if in_root && file.windows(13).any(|part| part == b"/.well-known/") {
            return Some(Strength::Conclusive);
        }
        match place(file, self.around.home, &self.around.roots) {
            Place::Temp { memory: true } => Some(Strength::Conclusive),
            Place::Temp { memory: false } if has_hidden_part(file) => Some(Strength::Conclusive),
            Place::Temp { memory: false } => Some(by_often),
            Place::Uploads if hidden_file || has_hidden_part(file) => Some(Strength::Conclusive),
            Place::Uploads if file.windows(9).any(|part| part == b"/uploads/") => Some(Strength::Conclusive),
            // Some programs are shipped in a folder of such a name.
            Place::Uploads => Some(Strength::Suspicious),
            _ if sourced => None,
            Place::Hidden if in_root && (hidden_file || self.is_data_folder(file) || daemon) => {
                Some(Strength::Conclusive)
            }
            Place::Hidden if in_root => Some(Strength::Suspicious),
            Place::Hidden if daemon || hidden_file || is_system_tool(name) || no_name(file) || hides_twice(file) => {
                Some(Strength::Conclusive)
            }
            Place::Hidden if self.is_data_folder(file) => match (extension(name).is_empty(), often) {
                (true, true) => Some(Strength::Conclusive),
                (true, false) | (false, true) => Some(Strength::Suspicious),
                (false, false) => None,
            },
            Place::Data | Place::Home if in_root && hidden_file => Some(Strength::Conclusive),
            Place::Data if self.is_data_folder(file) => Some(by_often),
            Place::Tools if daemon => Some(Strength::Conclusive),
            Place::Home if posed => Some(Strength::Conclusive),
            Place::Home if hidden_file && self.is_data_folder(file) => Some(Strength::Conclusive),
            Place::Home if often && self.is_passing(file) => Some(Strength::Suspicious),
            Place::Home if hidden_file && often => Some(Strength::Suspicious),
            _ => None,
        }
    }

    /// Whether the file lies in a folder for data, hidden or not: pictures, caches, settings, keys.
    fn is_data_folder(&self, file: &[u8]) -> bool {
        const DATA: &[&str] = &[
            "cache",
            "caches",
            "tmp",
            "temp",
            "images",
            "image",
            "img",
            "css",
            "fonts",
            "icons",
            "thumbs",
            "tmb",
            "thumbnails",
            "avatars",
            "config",
            "ssh",
            "gnupg",
            "trash",
            "session",
            "sessions",
            "logs",
            "log",
            "git",
            "svn",
            "htpasswds",
            "spamassassin",
            "mozilla",
            "dbus",
            "systemd",
            "X11-unix",
        ];
        let top = self.around.roots.iter().filter(|root| below(file, root)).max_by_key(|root| root.len());
        let below = &file[top.map_or(self.around.home.len(), |root| root.len()).min(file.len())..];
        let mut parts: Vec<&[u8]> = below.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
        parts.pop();
        let plain = |part: &[u8]| part.strip_prefix(b".").unwrap_or(part).to_owned();
        parts.iter().any(|part| DATA.iter().any(|word| word.as_bytes() == plain(part)))
    }

    /// Whether the file lies in a folder of the home, outside of sites, whose content is not kept or comes from others.
    fn is_passing(&self, file: &[u8]) -> bool {
        let mut parts: Vec<&[u8]> =
            file.get(self.around.home.len()..).unwrap_or_default().split(|b| *b == b'/').collect();
        parts.pop();
        parts.iter().any(|part| matches!(*part, b"tmp" | b"temp" | b"cache" | b"uploads"))
    }

    fn writes(&self, file: &[u8], from: &Source) -> Option<Strength> {
        if !self.around.in_root(file) || !(is_program(file) || is_page(file)) {
            return None;
        }
        let by_often = if self.job.at_least(HOURLY) { Strength::Conclusive } else { Strength::Suspicious };
        match from {
            Source::Tainted(taint) if taint.decoded && is_program(file) => Some(by_often),
            Source::Tainted(_) => {
                let bare = self.urls().any(|url| match host_of(url) {
                    Some(host @ Host::Address(_)) => !self.around.is_own(&host),
                    _ => false,
                });
                let own = self.urls().all(|url| host_of(url).is_some_and(|host| self.around.is_own(&host)));
                let other_type = |url: &[u8]| is_data_type(url.split(|b| *b == b'?').next().unwrap_or_default());
                let odd = bare || is_program(file) && self.urls().any(other_type);
                match (odd, is_program(file)) {
                    (true, true) if self.job.at_least(DAILY) => Some(Strength::Conclusive),
                    (true, _) => Some(Strength::Suspicious),
                    (false, true) if !own && self.job.at_least(HOURLY) => Some(Strength::Suspicious),
                    _ => None,
                }
            }
            Source::Text(text) => {
                let words: &[&[u8]] = match base(file) {
                    b".htaccess" => &[b"AddHandler", b"SetHandler", b"AddType", b"auto_prepend", b"auto_append"],
                    b".user.ini" | b"php.ini" => &[b"auto_prepend", b"auto_append"],
                    _ => &[b"<?", b"eval(", b"<script"],
                };
                words.iter().any(|word| contains(text, word)).then_some(by_often)
            }
            Source::File(source) => {
                let name = base(source);
                let hidden_name = name.starts_with(b".") && name != base(file) && !same_stem(name, base(file));
                let odd = self.is_odd_source(source) || hidden_name || is_program(file) && is_data_type(name);
                match odd {
                    true => Some(by_often),
                    false => (is_program(file) && self.job.at_least(TEN_MINUTES)).then_some(Strength::Suspicious),
                }
            }
            Source::Output => None,
        }
    }

    /// Whether nobody keeps what he publishes there.
    fn is_odd_source(&self, source: &[u8]) -> bool {
        let lies = place(source, self.around.home, &self.around.roots);
        lies.is_bad() || lies == Place::Data && self.is_data_folder(source)
    }

    fn sets_table(&self, from: &Source) -> Option<Strength> {
        match from {
            Source::Tainted(_) | Source::Text(_) => Some(Strength::Conclusive),
            Source::File(file) => {
                let lies = place(file, self.around.home, &self.around.roots);
                let hidden = base(file).starts_with(b".");
                (lies.is_bad() || lies == Place::Data || hidden).then_some(Strength::Conclusive)
            }
            Source::Output => self.job.at_least(HOURLY).then_some(Strength::Suspicious),
        }
    }

    fn calls(&self, url: &[u8], file: Option<&[u8]>, sends: &[Vec<u8>], tells: bool, used: bool) -> bool {
        let Some(host) = host_of(url).filter(|host| !self.around.is_own(host)) else { return false };
        if sends.iter().any(|file| is_secret(file)) {
            return true;
        }
        let alone = self.deeds.iter().all(|deed| matches!(deed, Deed::Fetches { .. }));
        let dropped = file.is_none_or(|file| file == b"/dev/null") && !used;
        if !alone || !dropped {
            return false;
        }
        let path = url.splitn(4, |b| *b == b'/').nth(3).unwrap_or_default();
        let query = path.splitn(2, |b| *b == b'?').nth(1).unwrap_or_default();
        let digit = |part: &[u8]| part.iter().any(u8::is_ascii_digit);
        let token = path.split(|b| matches!(b, b'/' | b'?')).any(|part| part.len() >= 8 && digit(part));
        let says_self = contains(query, self.around.name)
            && !self.around.domains.iter().any(|domain| contains(query, domain.as_bytes()));
        match host {
            Host::Address(_) => contains(query, b"=") || token || tells || contains(path, self.around.name),
            Host::Name(_) => !url.starts_with(b"https://") && says_self && self.job.at_least(HOURLY),
        }
    }
}

/// A hidden folder in a hidden folder.
fn hides_twice(file: &[u8]) -> bool {
    file.split(|b| *b == b'/').filter(|part| part.len() > 1 && part[0] == b'.').count() >= 2
}

/// Folders whose names are only dots or spaces.
fn no_name(file: &[u8]) -> bool {
    let empty = |part: &[u8]| !part.is_empty() && part.iter().all(|b| matches!(b, b'.' | b' '));
    file.split(|b| *b == b'/').any(empty)
}

fn extension(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b".").unwrap_or(name);
    name.iter().rposition(|b| *b == b'.').map_or(&b""[..], |at| &name[at + 1..])
}

/// `.htaccess.prod` and `.htaccess`, `index.php` and `index.php.bak`.
fn same_stem(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn has_extension(file: &[u8], known: &[&str]) -> bool {
    let extension = extension(base(file)).to_ascii_lowercase();
    known.iter().any(|word| word.as_bytes() == extension)
}

/// Files that a web server runs or that change how it does.
fn is_program(file: &[u8]) -> bool {
    let php = extension(base(file)).to_ascii_lowercase().starts_with(b"php");
    php || has_extension(file, &["phtml", "phar", "inc", "cgi", "pl", "py", "shtml"])
        || matches!(base(file), b".htaccess" | b".user.ini" | b"php.ini")
}

fn is_page(file: &[u8]) -> bool {
    has_extension(file, &["html", "htm", "js"])
}

/// Types of files that never hold a program, so that one which comes out of them was hidden there.
fn is_data_type(file: &[u8]) -> bool {
    has_extension(
        file,
        &[
            "jpg", "jpeg", "png", "gif", "webp", "ico", "svg", "txt", "log", "dat", "css", "woff", "woff2", "ttf",
            "pdf", "bmp",
        ],
    )
}

/// Files with passwords or keys.
fn is_secret(file: &[u8]) -> bool {
    let name = base(file);
    matches!(
        name,
        b"wp-config.php"
            | b".env"
            | b"configuration.php"
            | b"settings.php"
            | b"local.xml"
            | b"env.php"
            | b".my.cnf"
            | b".htpasswd"
            | b".pgpass"
            | b".netrc"
            | b"passwd"
            | b"shadow"
            | b"authorized_keys"
            | b".git-credentials"
    ) || name.starts_with(b"id_") && contains(file, b".ssh")
}
