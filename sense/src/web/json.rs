//! Reads access lines that are one JSON object: nginx with a JSON `log_format`, Caddy, Traefik, Apache.
//!
//! By hand and without allocation, because nginx writes `\xHH` inside (its default `escape`), which is no JSON and
//! which strict readers refuse. Names are looked at wherever they stand; one that comes twice has two readings.

use model::Moment;

use super::format::{blank, epoch, site, size, status};
use super::request::{Clock, Request, Tail, address};
use crate::mail::stamp::iso_time;

/// Depth of objects in one another, and most values in a line.
const DEPTH_MAX: u32 = 6;
const VALUES_MAX: u32 = 256;

/// The places that are filled, each once, from the first of its names that is there.
#[derive(Default)]
struct Fields<'a> {
    site: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    line: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    query: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    /// Names of which the better one was seen: the server's own host before the client's.
    own_site: bool,
    twice: bool,
}

/// One line; none when it is no object, has no time or names something twice.
pub fn read<'a>(line: &'a [u8], clock: &mut Clock) -> Option<Request<'a>> {
    let mut fields = Fields::default();
    let mut left = VALUES_MAX;
    let rest = object(skip(line), &mut fields, DEPTH_MAX, &mut left)?;
    if !skip(rest).is_empty() || fields.twice {
        return None;
    }
    let mut request = blank();
    request.at = time(fields.time?, clock)?;
    request.site = site(fields.site.unwrap_or_default())?;
    if let Some(source) = fields.source {
        request.source = address(source)?;
    }
    request.user = fields.user.is_some_and(|u| !matches!(u, b"" | b"-" | b"null"));
    if let Some(asked) = fields.line {
        request.set_line(asked);
    }
    if let Some(method) = fields.method {
        request.set_method(method);
    }
    if let Some(target) = fields.target.filter(|_| fields.line.is_none()) {
        request.set_target(target);
    }
    if request.query.is_empty() {
        request.query = fields.query.map(|q| q.strip_prefix(b"?").unwrap_or(q)).unwrap_or_default();
    }
    request.status = status(fields.status.unwrap_or(b"-"))?;
    request.size = size(fields.size.unwrap_or(b"-"))?;
    request.tail = Tail::Read { referer: fields.referer.unwrap_or_default(), agent: fields.agent.unwrap_or_default() };
    Some(request)
}

fn time(text: &[u8], clock: &mut Clock) -> Option<Moment> {
    let bare = text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or(text);
    let whole = bare.iter().take_while(|b| b.is_ascii_digit()).count();
    let parts = match whole {
        0..=11 => 1,
        12..=14 => 1_000,
        15..=17 => 1_000_000,
        _ => 1_000_000_000,
    };
    clock.read(bare).or_else(|| iso_time(bare)).or_else(|| epoch(bare, parts))
}

impl<'a> Fields<'a> {
    fn put(&mut self, name: &[u8], value: &'a [u8]) {
        let own = matches!(name, b"server_name" | b"vhost" | b"virtual_host" | b"virtualhost");
        let slot = match name {
            b"server_name" | b"vhost" | b"virtual_host" | b"virtualhost" => {
                if !self.own_site {
                    self.site = None;
                }
                self.own_site = true;
                &mut self.site
            }
            // The client's word, taken only when the server has not said its own.
            b"host" | b"http_host" | b"RequestHost" if self.own_site => return,
            b"host" | b"http_host" | b"RequestHost" => &mut self.site,
            b"remote_addr" | b"remote_ip" | b"clientip" | b"ClientHost" | b"remote_host" => &mut self.source,
            b"remote_user" | b"user" | b"user_id" | b"ClientUsername" => &mut self.user,
            b"time_local" | b"time_iso8601" | b"time" | b"ts" | b"@timestamp" | b"timestamp" | b"msec" => {
                // Several stamps of one line are common; the first is as good as any.
                if self.time.is_none() {
                    self.time = Some(value);
                }
                return;
            }
            b"request" | b"request_line" => &mut self.line,
            b"method" | b"request_method" | b"RequestMethod" => &mut self.method,
            b"request_uri" | b"uri" | b"RequestPath" | b"path" | b"url" => {
                if self.target.is_none() || name == b"request_uri" {
                    self.target = Some(value);
                }
                return;
            }
            b"args" | b"query_string" | b"query" => &mut self.query,
            b"status" | b"DownstreamStatus" | b"status_code" => &mut self.status,
            b"body_bytes_sent" | b"bytes" | b"size" | b"DownstreamContentSize" | b"bytes_sent" => {
                if self.size.is_none() || name == b"body_bytes_sent" {
                    self.size = Some(value);
                }
                return;
            }
            b"http_referer" | b"referer" | b"referrer" | b"Referer" | b"request_Referer" => &mut self.referer,
            b"http_user_agent" | b"user_agent" | b"agent" | b"User-Agent" | b"request_User-Agent" => &mut self.agent,
            _ => return,
        };
        let same = own && slot.is_some_and(|known| known == value);
        self.twice |= slot.is_some() && !same;
        *slot = Some(value);
    }
}

fn skip(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// Reads an object and gives what follows it.
fn object<'a>(text: &'a [u8], fields: &mut Fields<'a>, depth: u32, left: &mut u32) -> Option<&'a [u8]> {
    let mut rest = skip(text.strip_prefix(b"{")?);
    if let Some(rest) = rest.strip_prefix(b"}") {
        return Some(rest);
    }
    loop {
        let (name, after) = string(rest)?;
        let after = skip(skip(after).strip_prefix(b":")?);
        rest = skip(value(name, after, fields, depth, left)?);
        match rest.split_first()? {
            (b',', more) => rest = skip(more),
            (b'}', more) => return Some(more),
            _ => return None,
        }
    }
}

/// Reads a value, takes it when it is plain, and gives what follows it.
fn value<'a>(name: &[u8], text: &'a [u8], fields: &mut Fields<'a>, depth: u32, left: &mut u32) -> Option<&'a [u8]> {
    *left = left.checked_sub(1)?;
    let depth = depth.checked_sub(1)?;
    match text.first()? {
        b'"' => {
            let (value, rest) = string(text)?;
            fields.put(name, value);
            Some(rest)
        }
        // What the answer carried says nothing of the request (Caddy's `resp_headers`).
        b'{' if name == b"resp_headers" => object(text, &mut Fields::default(), depth, left),
        b'{' => object(text, fields, depth, left),
        b'[' => {
            let mut rest = skip(&text[1..]);
            let mut name = name;
            while !rest.starts_with(b"]") {
                rest = skip(value(name, rest, fields, depth, left)?);
                name = b"";
                rest = match rest.strip_prefix(b",") {
                    Some(more) => skip(more),
                    None if rest.starts_with(b"]") => rest,
                    None => return None,
                };
            }
            Some(&rest[1..])
        }
        _ => {
            let end = text.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t'))?;
            let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
            if end == 0 || !text[..end].iter().all(plain) {
                return None;
            }
            fields.put(name, &text[..end]);
            Some(&text[end..])
        }
    }
}

fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    super::request::quoted(text.strip_prefix(b"\"")?)
}
