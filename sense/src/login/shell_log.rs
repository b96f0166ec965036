//! What sshd and its sftp server write (OpenSSH `auth.c`, `auth_log`; `sftp-server.c`).

use super::event::{Event, Read, Service, What, address, find, find_last, number};

/// Reads the text behind the tag.
pub(super) fn read(text: &[u8], pid: u32) -> Read<'_> {
    // rsyslog and syslogd fold equal lines.
    if let Some(rest) = text.strip_prefix(b"message repeated ") {
        let Some(space) = rest.iter().position(|b| *b == b' ') else { return Read::Unclear };
        let inside = rest[space..].strip_prefix(b" times: [ ").and_then(|rest| rest.strip_suffix(b"]"));
        let (Some(times), Some(inside)) = (number(&rest[..space]), inside) else { return Read::Unclear };
        return match read(inside, pid) {
            Read::Event(Event { what: What::Failed(_), service, user, source, pid }) => {
                Read::Event(Event { what: What::Failed(times.min(10_000) as u32), service, user, source, pid })
            }
            other => other,
        };
    }
    let (what, rest) = if let Some(rest) = text.strip_prefix(b"Accepted ") {
        (true, rest)
    } else if let Some(rest) = text.strip_prefix(b"Failed ") {
        (false, rest)
    } else {
        return other(text, pid);
    };
    let Some(at) = find(rest, b" for ") else { return Read::Unclear };
    let (method, rest) = (&rest[..at], &rest[at + 5..]);
    let Some((user, source, key)) = user_and_source(rest) else { return Read::Unclear };
    let event = |what| Read::Event(Event { service: Service::Shell, user, source: Some(source), pid, what });
    match (what, method) {
        (true, _) => event(What::Accepted { method, key, second: method.contains(&b','), country: b"" }),
        // A client offers one key after the other, and asks what is possible first: no guesses.
        (false, b"publickey" | b"none" | b"hostbased") => Read::Nothing,
        (false, _) => event(What::Failed(1)),
    }
}

/// `[invalid user ]NAME from ADDRESS port N[ ssh2[: KEY]]`, read from its end.
fn user_and_source(rest: &[u8]) -> Option<(&[u8], std::net::IpAddr, &[u8])> {
    let user = rest.strip_prefix(b"invalid user ").unwrap_or(rest);
    let from = find_last(user, b" from ")?;
    let (name, after) = (&user[..from], &user[from + 6..]);
    if find(name, b" from ").is_some() {
        return None;
    }
    let mut words = after.splitn(5, |b| *b == b' ');
    let source = address(words.next()?)?;
    if let Some(word) = words.next() {
        (word == b"port").then_some(())?;
        number(words.next()?.strip_suffix(b":").unwrap_or_default()).or(number(after.split(|b| *b == b' ').nth(2)?))?;
    }
    let protocol = words.next().unwrap_or_default();
    (matches!(protocol, b"" | b"ssh2" | b"ssh2:" | b"[preauth]")).then_some(())?;
    let key = words.next().unwrap_or_default();
    // The kind of key and its fingerprint; certificates name more behind it.
    let key = key.split(|b| *b == b' ').find(|word| word.starts_with(b"SHA256:") || word.starts_with(b"MD5:"));
    Some((name, source, key.unwrap_or_default()))
}

fn other(text: &[u8], pid: u32) -> Read<'_> {
    let event = |user, source, what| Read::Event(Event { service: Service::Shell, user, source, pid, what });
    if let Some(rest) = text.strip_prefix(b"Invalid user ") {
        return match user_and_source(rest) {
            Some((user, source, _)) => event(user, Some(source), What::Unknown),
            None => Read::Unclear,
        };
    }
    if let Some(rest) = text.strip_prefix(b"session opened for local user ") {
        let Some(at) = find_last(rest, b" from [") else { return Read::Unclear };
        let Some(source) = rest[at + 7..].strip_suffix(b"]").and_then(address) else { return Read::Unclear };
        return event(&rest[..at], Some(source), What::Began);
    }
    if text.starts_with(b"opendir \"") {
        return event(b"", None, What::Listed);
    }
    if let Some(rest) = text.strip_prefix(b"close \"") {
        let Some(at) = find_last(rest, b"\" bytes read ") else { return Read::Nothing };
        let (path, counts) = (&rest[..at], &rest[at + 13..]);
        let Some(middle) = find(counts, b" written ") else { return Read::Unclear };
        return match (number(&counts[..middle]), number(&counts[middle + 9..])) {
            (Some(0), Some(written)) => event(b"", None, What::Put(path, written)),
            (Some(read), Some(0)) => event(b"", None, What::Got(path, read)),
            (Some(_), Some(_)) => event(b"", None, What::Other),
            _ => Read::Unclear,
        };
    }
    Read::Nothing
}
