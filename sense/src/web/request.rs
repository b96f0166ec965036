//! One request of an access log as borrowed bytes: what every format is turned into, and how its parts are read.
//!
//! Nothing is copied. Referer and agent are looked for only when a rule asks, because most requests are of no interest.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memchr;
use model::Moment;

use crate::mail::stamp::access_time;

/// An address as one number: IPv4 in its mapped form; 0 is «unknown».
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub u128);

impl Source {
    /// No address in the line.
    pub const UNKNOWN: Source = Source(0);

    /// The address; none when unknown.
    pub fn address(self) -> Option<IpAddr> {
        (self.0 != 0).then(|| Ipv6Addr::from(self.0).to_canonical())
    }

    /// Its network: /16 of IPv4, /48 of IPv6. Two of them are two places, two addresses of one may be one pool.
    pub fn network(self) -> u128 {
        let v4 = self.0 >> 32 == 0xffff;
        self.0 >> if v4 { 16 } else { 80 }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        match address {
            IpAddr::V4(v4) => Source(u128::from(v4.to_ipv6_mapped())),
            IpAddr::V6(v6) => Source(u128::from(v6)),
        }
    }
}

/// Reads an address in the shapes that servers write: plain, `[v6]`, `[v6]:port`, `v4:port`, `::ffff:v4`.
///
/// `v6:port` without brackets is no address: it has two readings (fail2ban #1745, #1375).
pub fn address(text: &[u8]) -> Option<Source> {
    if let Some(v4) = plain_v4(text) {
        return Some(v4);
    }
    let port = |text: &[u8]| (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    if let Some(inner) = text.strip_prefix(b"[") {
        let end = memchr(b']', inner)?;
        let sound = inner[end + 1..].is_empty() || inner[end + 1..].strip_prefix(b":").is_some_and(port);
        return v6(&inner[..end]).filter(|_| sound);
    }
    match memchr(b':', text)? {
        at if memchr(b'.', &text[..at]).is_some() => plain_v4(&text[..at]).filter(|_| port(&text[at + 1..])),
        _ => v6(text),
    }
}

fn v6(text: &[u8]) -> Option<Source> {
    let text = std::str::from_utf8(text).ok().filter(|t| t.len() <= 45)?;
    Some(IpAddr::V6(text.parse::<Ipv6Addr>().ok()?).to_canonical().into())
}

/// Dotted quad without leading zeros; by hand because it is read once a line.
fn plain_v4(text: &[u8]) -> Option<Source> {
    if text.len() > 15 {
        return None;
    }
    let (mut quad, mut part, mut digits, mut dots) = (0u32, 0u32, 0, 0);
    for b in text {
        match b {
            b'0'..=b'9' if digits < 3 && !(digits > 0 && part == 0) => {
                part = part * 10 + u32::from(b - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 256 && dots < 3 => {
                quad = quad << 8 | part;
                (part, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    let whole = dots == 3 && digits > 0 && part < 256;
    whole.then(|| IpAddr::V4(Ipv4Addr::from(quad << 8 | part)).into())
}

/// What the client wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// Any other, or none.
    Other,
}

impl Method {
    fn read(word: &[u8]) -> Method {
        match word {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            _ => Method::Other,
        }
    }

    /// As it stands in a request.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Other => "-",
        }
    }
}

/// One request. The bytes are as the server wrote them, its escapes (`\xHH`, `\"`, `\\`) included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Virtual host, port cut off; empty when the line names none.
    pub site: &'a [u8],
    /// Who asked.
    pub source: Source,
    /// Whether the server knows a user (HTTP authentication).
    pub user: bool,
    /// When.
    pub at: Moment,
    /// Method.
    pub method: Method,
    /// Path without its parameters; empty when the request was no request.
    pub path: &'a [u8],
    /// Parameters of the address, without `?`.
    pub query: &'a [u8],
    /// Status; 0 when none was written.
    pub status: u16,
    /// Bytes of the answer.
    pub size: u64,
    pub(super) tail: Tail<'a>,
}

/// Where referer and agent are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail<'a> {
    /// The rest of a combined line, behind the size: two fields in quotes.
    Quoted(&'a [u8]),
    /// Known already.
    Read {
        /// Referer, `-` or empty for none.
        referer: &'a [u8],
        /// User agent, the same.
        agent: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// Puts the target of a request in place: `/path?query`, or the absolute form of a proxy request.
    pub(super) fn set_target(&mut self, target: &'a [u8]) {
        let origin = match target.first() {
            Some(b'/') => target,
            _ => {
                let after = memchr::memmem::find(target, b"://").map(|at| &target[at + 3..]).unwrap_or_default();
                memchr(b'/', after).map(|at| &after[at..]).unwrap_or_default()
            }
        };
        (self.path, self.query) = match memchr(b'?', origin) {
            Some(at) => (&origin[..at], &origin[at + 1..]),
            None => (origin, &b""[..]),
        };
    }

    /// Puts the request line in place: `GET /path HTTP/1.1`, with whatever a client sent instead.
    pub(super) fn set_line(&mut self, line: &'a [u8]) {
        let Some(space) = memchr(b' ', line) else { return };
        self.method = Method::read(&line[..space]);
        let rest = &line[space + 1..];
        // A version is ` HTTP/1.1` or ` HTTP/2`; whatever else the last word is belongs to the target.
        let end = match rest.len() {
            n if n >= 9 && &rest[n - 9..n - 3] == b" HTTP/" => n - 9,
            n if n >= 7 && &rest[n - 7..n - 1] == b" HTTP/" => n - 7,
            n => n,
        };
        self.set_target(&rest[..end]);
    }

    pub(super) fn set_method(&mut self, word: &[u8]) {
        self.method = Method::read(word);
    }

    /// Whether it came without a referer.
    pub fn is_bare(&self) -> bool {
        match &self.tail {
            Tail::Quoted(tail) => {
                !tail.starts_with(b" \"") || tail.starts_with(b" \"-\"") || tail.starts_with(b" \"\"")
            }
            Tail::Read { referer, .. } => matches!(*referer, b"" | b"-"),
        }
    }

    /// Where it says that it comes from; empty for none.
    pub fn referer(&self) -> &'a [u8] {
        let text = match &self.tail {
            Tail::Quoted(tail) => tail.strip_prefix(b" \"").and_then(|t| quoted(t)).map(|(text, _)| text),
            Tail::Read { referer, .. } => Some(*referer),
        };
        text.filter(|t| *t != b"-").unwrap_or_default()
    }

    /// The program that it claims to be; empty for none.
    pub fn agent(&self) -> &'a [u8] {
        let text = match &self.tail {
            Tail::Quoted(tail) => tail
                .strip_prefix(b" \"")
                .and_then(quoted)
                .and_then(|(_, rest)| rest.strip_prefix(b" \""))
                .and_then(quoted)
                .map(|(text, _)| text),
            Tail::Read { agent, .. } => Some(*agent),
        };
        text.filter(|t| *t != b"-").unwrap_or_default()
    }

    /// Whether it was answered with what it asked for.
    pub fn is_answered(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What stands before the closing quote, and what follows it. Apache writes a quote inside as `\"` and a backslash as
/// `\\` (mod_log_config, "Security"), nginx as `\x22` and `\x5C` (ngx_http_log_module, `escape`).
pub fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        let end = from + memchr(b'"', &text[from..])?;
        let slashes = text[..end].iter().rev().take_while(|b| **b == b'\\').count();
        if slashes % 2 == 0 {
            return Some((&text[..end], &text[end + 1..]));
        }
        from = end + 1;
    }
}

/// The path as the server understood it: escapes of the log and `%HH` undone, `//`, `.` and `..` gone. Borrowed when
/// there is nothing to undo.
pub fn plain_path(path: &[u8]) -> Cow<'_, [u8]> {
    let folded = memchr::memchr_iter(b'/', path).any(|at| matches!(path.get(at + 1), Some(b'/' | b'.')));
    let odd = folded || memchr::memchr2(b'%', b'\\', path).is_some();
    if !odd {
        return Cow::Borrowed(path);
    }
    let written = unescape(path);
    let bytes = decode(&written);
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in bytes.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut out = Vec::with_capacity(bytes.len());
    for part in &parts {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    if out.is_empty() || bytes.ends_with(b"/") {
        out.push(b'/');
    }
    Cow::Owned(out)
}

/// Undoes the escapes of a log: `\xHH`, `\"`, `\\`, `\n` and the like.
pub fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, more @ ..] = rest {
        rest = more;
        match (first, more) {
            (b'\\', [b'x', a, b, tail @ ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                out.push(hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0));
                rest = tail;
            }
            // JSON of Go programs writes `&`, `<` and `>` so.
            (b'\\', [b'u', b'0', b'0', a, b, tail @ ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                out.push(hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0));
                rest = tail;
            }
            (b'\\', [c, tail @ ..]) => {
                out.push(match c {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    c => *c,
                });
                rest = tail;
            }
            (c, _) => out.push(*c),
        }
    }
    Cow::Owned(out)
}

/// Undoes `%HH` once.
pub fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, more @ ..] = rest {
        rest = more;
        match (first, more) {
            (b'%', [a, b, tail @ ..]) if hex(*a).is_some() && hex(*b).is_some() => {
                out.push(hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0));
                rest = tail;
            }
            (c, _) => out.push(*c),
        }
    }
    Cow::Owned(out)
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|d| d as u8)
}

/// Reads the times of access lines; most lines share the minute of the one before.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `07/Mar/2026:01:00` and ` +0900` of the last line, and the first second of that minute.
    minute: [u8; 23],
    first: i64,
}

impl Clock {
    /// `07/Mar/2026:01:00:00 +0900`.
    pub fn read(&mut self, text: &[u8]) -> Option<Moment> {
        let text: &[u8; 26] = text.try_into().ok()?;
        if text[..17] != self.minute[..17] || text[20..] != self.minute[17..] || text[17] != b':' {
            let at = access_time(text)?;
            let mut first = *text;
            (first[18], first[19]) = (b'0', b'0');
            self.first = access_time(&first)?.secs();
            self.minute[..17].copy_from_slice(&text[..17]);
            self.minute[17..].copy_from_slice(&text[20..]);
            return Some(at);
        }
        let (tens, ones) = (text[18].wrapping_sub(b'0'), text[19].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| Moment::from_secs(self.first + i64::from(tens * 10 + ones).min(59)))
    }
}

/// `[VHOST[:PORT] ]ADDRESS IDENT USER [TIME] "REQUEST" STATUS SIZE[ "REFERER" "AGENT"[ more]]`: the common and combined
/// formats of Apache and nginx, with or without a virtual host.
///
/// The user is the visitor's text and may hold anything but a quote, so the time is what stands in brackets directly
/// before the first quote. A first word that is neither address nor name is no line of ours.
pub fn standard<'a>(line: &'a [u8], clock: &mut Clock) -> Option<Request<'a>> {
    let quote = memchr(b'"', line)?;
    let stamp = quote.checked_sub(29)?;
    if line[stamp] != b'[' || line[quote - 2] != b']' || line[quote - 1] != b' ' {
        return None;
    }
    let at = clock.read(&line[stamp + 1..quote - 2])?;
    let (site, source, rest) = who(&line[..stamp])?;
    // `- - `: no name from identd, no user.
    let user = rest != b"- - " && rest.get(memchr(b' ', rest)? + 1..)? != b"- ";
    let (asked, tail) = quoted(&line[quote + 1..])?;
    let mut request = Request {
        site,
        source,
        user,
        at,
        method: Method::Other,
        path: b"",
        query: b"",
        status: 0,
        size: 0,
        tail: Tail::Quoted(b""),
    };
    request.set_line(asked);
    let tail = tail.strip_prefix(b" ")?;
    let (status, tail) = word(tail);
    request.status = number(status)? as u16;
    let (size, tail) = word(tail);
    request.size = if size == b"-" { 0 } else { number(size)? };
    request.tail = Tail::Quoted(tail);
    (status.len() == 3).then_some(request)
}

/// Site, source and what follows them.
fn who(head: &[u8]) -> Option<(&[u8], Source, &[u8])> {
    let space = memchr(b' ', head)?;
    let (first, rest) = (&head[..space], &head[space + 1..]);
    if let Some(source) = address(first) {
        return Some((b"", source, rest));
    }
    let name = host(first)?;
    let space = memchr(b' ', rest)?;
    match address(&rest[..space]) {
        Some(source) => Some((name, source, &rest[space + 1..])),
        // A name instead of the address (`HostnameLookups On`): exactly three words follow one another.
        None if rest == b"- - " && name.len() == first.len() && memchr(b'.', name).is_some() => {
            Some((b"", Source::UNKNOWN, rest))
        }
        None => None,
    }
}

/// A host name, its port cut off; a number alone is none.
pub fn host(text: &[u8]) -> Option<&[u8]> {
    let name = match memchr(b':', text) {
        Some(at) if text[at + 1..].iter().all(u8::is_ascii_digit) && text.len() - at <= 6 => &text[..at],
        Some(_) => return None,
        None => text,
    };
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*');
    let letters = name.iter().any(u8::is_ascii_alphabetic);
    ((1..=253).contains(&name.len()) && letters && name.iter().all(plain)).then_some(name)
}

/// The first word, and what stands from its space on.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    text.split_at(end)
}

/// Decimal digits, at most 19.
pub fn number(text: &[u8]) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0u64, |sum, b| sum * 10 + u64::from(b - b'0')))
}
