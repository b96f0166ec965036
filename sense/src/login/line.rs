//! One line of any login log: when, and what it says. Each program's own texts stand in [`super::shell_log`],
//! [`super::mail_log`], [`super::ftp_log`] and [`super::pairs`].
//!
//! Names in these lines are written by whoever knocks. A line is read only where its fixed parts stand as the program
//! writes them, from the end where the name comes first; a name that makes a second reading possible drops the line.

use model::Moment;

use super::event::{Read, number};
use super::{ftp_log, mail_log, pairs, shell_log};
use crate::mail::stamp::Stamps;

/// A line that was read.
pub(super) struct Seen<'a> {
    pub at: Moment,
    /// The hour as written, when the stamp carries no offset: the node's own.
    pub hour: Option<u8>,
    pub read: Read<'a>,
}

/// Reads a line; `None`: it has no time and says nothing about logins.
pub(super) fn read<'a>(line: &'a [u8], stamps: &mut Stamps, now: Moment) -> Option<Seen<'a>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some((at, hour, rest)) = stamps.ctime(line, now) {
        // In brackets it is a web server's error log.
        let read = if line[0] == b'[' { Read::Nothing } else { ftp_log::own_log(rest) };
        return Some(Seen { at, hour: Some(hour), read });
    }
    if let Some((at, rest)) = stamps.read(line, now) {
        let written = line.get(7..9).filter(|_| line[0].is_ascii_alphabetic()).and_then(number);
        return Some(Seen { at, hour: written.map(|hour| hour as u8), read: message(rest) });
    }
    if let Some((at, hour, rest)) = stamps.spaced(line, now) {
        return Some(Seen { at, hour: Some(hour), read: message(rest) });
    }
    if let Some((at, hour)) = named_time(line, stamps, now) {
        return Some(Seen { at, hour, read: pairs::read(line) });
    }
    match pairs::read(line) {
        Read::Nothing => None,
        read => Some(Seen { at: now, hour: None, read }),
    }
}

/// `time="…"` at the beginning of a line of pairs.
fn named_time(line: &[u8], stamps: &mut Stamps, now: Moment) -> Option<(Moment, Option<u8>)> {
    let keys = [&b"time="[..], b"ts=", b"date=", b"timestamp=", b"at="];
    let value = keys.iter().find_map(|key| line.strip_prefix(*key))?;
    let value = match value.strip_prefix(b"\"") {
        Some(inside) => inside.split(|b| *b == b'"').next()?,
        None => value.split(|b| *b == b' ').next()?,
    };
    let value = [value.get(..value.len().min(40))?, b" "].concat();
    let plain = stamps.read(&value, now).map(|(at, _)| (at, None));
    plain.or_else(|| stamps.spaced(&value, now).map(|(at, hour, _)| (at, Some(hour))))
}

/// `host tag[pid]: text`, or words and pairs.
fn message(rest: &[u8]) -> Read<'_> {
    let Some((tag, pid, text)) = tag(rest) else { return pairs::read(rest) };
    match tag {
        b"sshd" | b"sshd-session" | b"sshd-auth" | b"sftp-server" | b"internal-sftp" => shell_log::read(text, pid),
        b"dovecot" => mail_log::dovecot(text),
        b"imapd" | b"pop3d" | b"imapd-ssl" | b"pop3d-ssl" | b"courier-imapd" | b"courierpop3login" | b"pop3login"
        | b"imaplogin" => mail_log::courier(text),
        b"proftpd" => ftp_log::proftpd(text),
        b"pure-ftpd" => ftp_log::pure(text),
        b"vsftpd" => ftp_log::own_log(text),
        _ if tag.starts_with(b"postfix") && tag.ends_with(b"smtpd") => mail_log::postfix(text),
        // Panels that log through syslog.
        _ if super::event::find(tag, b"panel").is_some() => pairs::read(text),
        _ => Read::Nothing,
    }
}

/// The program, its process and its text: `web01 sshd[5000]: text` (RFC 3164, 4.1.3).
fn tag(rest: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let space = rest.iter().position(|b| *b == b' ')?;
    let rest = &rest[space + 1..];
    let end = rest.windows(2).position(|pair| pair == b": ")?;
    let tag = &rest[..end];
    if tag.contains(&b' ') {
        return None;
    }
    let (name, pid) = match tag.iter().position(|b| *b == b'[') {
        Some(at) => (&tag[..at], tag[at + 1..].strip_suffix(b"]").and_then(number)),
        None => (tag, None),
    };
    Some((name, pid.unwrap_or(0) as u32, &rest[end + 2..]))
}
