//! How the lines of one access log are written: known by themselves, or compiled from the operator's format.
//!
//! nginx `log_format` (ngx_http_log_module) and Apache `LogFormat` (mod_log_config) become pieces: texts that stand as
//! they are, and fields between them. A line that does not fit exactly is dropped.

use memchr::memmem;
use model::Moment;

use super::json;
use super::request::{Clock, Method, Request, Tail, address, host, number, quoted, standard};
use crate::mail::stamp::iso_time;

/// Longest format text, bytes, and most pieces in it.
const FORMAT_MAX: usize = 4096;
const PIECES_MAX: usize = 128;

/// How the lines of a log are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Each line tells: common and combined of Apache and nginx, each with or without a leading virtual host, or one
    /// JSON object.
    #[default]
    Standard,
    /// Compiled from a format string.
    Pieces(Vec<Piece>),
}

/// One piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands as it is.
    Literal(Vec<u8>),
    /// A value.
    Field(Field),
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Virtual host.
    Site,
    /// Address of the peer.
    Source,
    /// User of HTTP authentication.
    User,
    /// `07/Mar/2026:01:00:00 +0900`.
    TimeLocal,
    /// RFC 3339.
    TimeIso,
    /// Seconds since 1970, with or without a fraction; the divisor says of which part (1, 1,000, 1,000,000).
    Epoch(i64),
    /// `GET /path HTTP/1.1`.
    Line,
    /// Method alone.
    Method,
    /// Path with parameters.
    Target,
    /// Parameters alone.
    Query,
    /// Status.
    Status,
    /// Bytes of the answer.
    Size,
    /// Referer.
    Referer,
    /// User agent.
    Agent,
    /// A value that is passed over.
    Skip,
}

impl Format {
    /// Reads what an operator wrote: a name (`common`, `combined`, `vhost_combined`, `json`, `auto`), an nginx
    /// `log_format` or an Apache `LogFormat`.
    ///
    /// # Errors
    /// Neither of them, too long, two values without a text between them, no time in it; the message says which.
    pub fn new(text: &str) -> Result<Format, String> {
        match text {
            "auto" | "common" | "combined" | "vhost_combined" | "main" | "json" => Ok(Format::Standard),
            _ if text.contains('$') => Format::nginx(text),
            _ if text.contains('%') => Format::apache(text),
            _ => Err("no format; give combined, json, an nginx log_format or an Apache LogFormat".to_owned()),
        }
    }

    /// Reads an nginx `log_format`, such as `$server_name $remote_addr [$time_local] "$request"`.
    ///
    /// # Errors
    /// As [`Format::new`].
    pub fn nginx(text: &str) -> Result<Format, String> {
        check(text)?;
        // A server block's own name is constant; `$host` is the visitor's word and only taken without it.
        let own = text.contains("$server_name") || text.contains("${server_name}");
        let mut pieces = Pieces::default();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            pieces.text(&rest.as_bytes()[..at]);
            let after = &rest[at + 1..];
            let braced = after.strip_prefix('{');
            let from = braced.unwrap_or(after);
            let end = from.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(from.len());
            let (name, tail) = from.split_at(end);
            rest = match braced {
                Some(_) => tail.strip_prefix('}').ok_or("a ${ without its }")?,
                None => tail,
            };
            pieces.field(match name {
                "server_name" => Field::Site,
                "host" | "http_host" if !own => Field::Site,
                "remote_addr" => Field::Source,
                "remote_user" => Field::User,
                "time_local" => Field::TimeLocal,
                "time_iso8601" => Field::TimeIso,
                "msec" => Field::Epoch(1),
                "request" => Field::Line,
                "request_method" => Field::Method,
                "request_uri" => Field::Target,
                // Without the parameters, or as it was rewritten: all that is known when there is no other.
                "uri" | "document_uri" if !text.contains("$request_uri") && !has_line(text) => Field::Target,
                "args" | "query_string" => Field::Query,
                "status" => Field::Status,
                "body_bytes_sent" => Field::Size,
                "bytes_sent" if !text.contains("$body_bytes_sent") => Field::Size,
                "http_referer" => Field::Referer,
                "http_user_agent" => Field::Agent,
                _ => Field::Skip,
            })?;
        }
        pieces.text(rest.as_bytes());
        pieces.done("$time_local, $time_iso8601 or $msec")
    }

    /// Reads an Apache `LogFormat`, such as `%v:%p %h %l %u %t "%r" %>s %O`; quotes may be escaped as in the file.
    ///
    /// # Errors
    /// As [`Format::new`].
    pub fn apache(text: &str) -> Result<Format, String> {
        check(text)?;
        let text = text.replace("\\\"", "\"").replace("\\t", "\t").replace("\\\\", "\\");
        let own = text.contains("%v");
        let mut pieces = Pieces::default();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('%') {
            pieces.text(&rest.as_bytes()[..at]);
            // `%!200,304>{name}i`: conditions and `<`, `>` choose among requests and say nothing of the shape.
            let after =
                rest[at + 1..].trim_start_matches(|c: char| matches!(c, '<' | '>' | '!' | ',') || c.is_ascii_digit());
            let (name, after) = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}').ok_or("a %{ without its }")?,
                None => ("", after),
            };
            let kind = after.chars().next().ok_or("a % at the end")?;
            rest = &after[kind.len_utf8()..];
            let field = match (kind, name.to_ascii_lowercase().as_str()) {
                ('%', _) => {
                    pieces.text(b"%");
                    continue;
                }
                ('v', _) => Field::Site,
                ('V', _) if !own => Field::Site,
                ('i', "host") if !own && !text.contains("%V") => Field::Site,
                ('a' | 'h', _) => Field::Source,
                ('u', _) => Field::User,
                ('t', "") => {
                    pieces.text(b"[");
                    pieces.field(Field::TimeLocal)?;
                    pieces.text(b"]");
                    continue;
                }
                ('t', "sec") => Field::Epoch(1),
                ('t', "msec") => Field::Epoch(1_000),
                ('t', "usec") => Field::Epoch(1_000_000),
                ('t', "%d/%b/%y:%h:%m:%s %z") => Field::TimeLocal,
                ('r', _) => Field::Line,
                ('m', _) => Field::Method,
                ('U', _) => {
                    rest = rest.strip_prefix("%q").unwrap_or(rest);
                    if has_line(&text) { Field::Skip } else { Field::Target }
                }
                ('q', _) => Field::Query,
                ('s', _) => Field::Status,
                ('b' | 'B', _) => Field::Size,
                ('O', _) if !text.contains("%b") && !text.contains("%B") => Field::Size,
                ('i', "referer") => Field::Referer,
                ('i', "user-agent") => Field::Agent,
                _ => Field::Skip,
            };
            pieces.field(field)?;
        }
        pieces.text(rest.as_bytes());
        pieces.done("%t")
    }

    /// One line; none when it does not fit.
    pub fn read<'a>(&self, line: &'a [u8], clock: &mut Clock) -> Option<Request<'a>> {
        match self {
            Format::Standard if line.first() == Some(&b'{') => json::read(line, clock),
            Format::Standard => standard(line, clock),
            Format::Pieces(pieces) => by_pieces(pieces, line, clock),
        }
    }
}

fn has_line(text: &str) -> bool {
    text.contains("%r") || text.contains("$request\"") || text.contains("$request ") || text.ends_with("$request")
}

fn check(text: &str) -> Result<(), String> {
    match text.len() > FORMAT_MAX {
        true => Err(format!("longer than {FORMAT_MAX} bytes; give only the fields up to the agent")),
        false => Ok(()),
    }
}

/// Pieces being put together; texts that follow one another become one.
#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn text(&mut self, bytes: &[u8]) {
        match self.0.last_mut() {
            _ if bytes.is_empty() => {}
            Some(Piece::Literal(text)) => text.extend_from_slice(bytes),
            _ => self.0.push(Piece::Literal(bytes.to_vec())),
        }
    }

    fn field(&mut self, field: Field) -> Result<(), String> {
        if matches!(self.0.last(), Some(Piece::Field(_))) {
            return Err("two variables stand side by side; put a space between them".to_owned());
        }
        self.0.push(Piece::Field(field));
        Ok(())
    }

    fn done(self, times: &str) -> Result<Format, String> {
        let time = |p: &Piece| matches!(p, Piece::Field(Field::TimeLocal | Field::TimeIso | Field::Epoch(_)));
        match self.0.iter().any(time) && self.0.len() <= PIECES_MAX {
            true => Ok(Format::Pieces(self.0)),
            false => Err(format!("no time ({times}) in it, or too many fields")),
        }
    }
}

/// A request of which nothing is known yet.
pub(super) fn blank<'a>() -> Request<'a> {
    Request {
        site: b"",
        source: Default::default(),
        user: false,
        at: Moment::EPOCH,
        method: Method::Other,
        path: b"",
        query: b"",
        status: 0,
        size: 0,
        tail: Tail::Read { referer: b"", agent: b"" },
    }
}

fn by_pieces<'a>(pieces: &[Piece], mut line: &'a [u8], clock: &mut Clock) -> Option<Request<'a>> {
    let mut request = blank();
    let (mut referer, mut agent, mut query, mut timed): (&[u8], &[u8], &[u8], bool) = (b"", b"", b"", false);
    for (n, piece) in pieces.iter().enumerate() {
        let field = match piece {
            Piece::Literal(text) => {
                line = line.strip_prefix(text.as_slice())?;
                continue;
            }
            Piece::Field(field) => *field,
        };
        let value = match pieces.get(n + 1) {
            // A quote inside of a value is escaped, so the first one that is not ends it.
            Some(Piece::Literal(text)) if text[0] == b'"' => quoted(line)?.0,
            Some(Piece::Literal(text)) => &line[..memmem::find(line, text)?],
            _ => line,
        };
        line = &line[value.len()..];
        match field {
            Field::Site => request.site = site(value)?,
            Field::Source => request.source = address(value)?,
            Field::User => request.user = !matches!(value, b"-" | b"" | b"\"\""),
            Field::TimeLocal => (request.at, timed) = (clock.read(value)?, true),
            Field::TimeIso => (request.at, timed) = (iso_time(value)?, true),
            Field::Epoch(parts) => (request.at, timed) = (epoch(value, parts)?, true),
            Field::Line => request.set_line(value),
            Field::Method => request.set_method(value),
            Field::Target => request.set_target(value),
            Field::Query => query = value.strip_prefix(b"?").unwrap_or(value),
            Field::Status => request.status = status(value)?,
            Field::Size => request.size = size(value)?,
            Field::Referer => referer = value,
            Field::Agent => agent = value,
            Field::Skip => {}
        }
    }
    if request.query.is_empty() && query != b"-" {
        request.query = query;
    }
    request.tail = Tail::Read { referer, agent };
    (timed && line.is_empty()).then_some(request)
}

/// A virtual host of a line; `-` and nothing are none.
pub(super) fn site(value: &[u8]) -> Option<&[u8]> {
    match value {
        b"" | b"-" | b"_" => Some(b""),
        _ if address(value).is_some() => Some(b""),
        _ => host(value),
    }
}

pub(super) fn status(value: &[u8]) -> Option<u16> {
    match value {
        b"-" => Some(0),
        _ => number(value).filter(|n| *n < 1000).map(|n| n as u16),
    }
}

pub(super) fn size(value: &[u8]) -> Option<u64> {
    if value == b"-" { Some(0) } else { number(value) }
}

/// Seconds since 1970, or parts of them; up to the year 9999.
pub(super) fn epoch(value: &[u8], parts: i64) -> Option<Moment> {
    let whole = value.split(|b| *b == b'.').next().and_then(number)?;
    let secs = i64::try_from(whole).ok()? / parts;
    (0..=253_402_300_799).contains(&secs).then(|| Moment::from_secs(secs))
}
