//! What Dovecot, Courier and Postfix write about logins to mailboxes.
//!
//! Dovecot: `src/login-common/client-common.c` (`client_get_log_str`); Courier: `authlib`'s `LOGIN, user=…`; Postfix:
//! `src/smtpd/smtpd_sasl_glue.c`.

use super::event::{Event, Read, Service, What, address, between, find, find_last, number};

fn event<'a>(user: &'a [u8], source: std::net::IpAddr, what: What<'a>) -> Read<'a> {
    Read::Event(Event { service: Service::Mail, user, source: Some(source), pid: 0, what })
}

fn accepted(method: &[u8]) -> What<'_> {
    What::Accepted { method, key: b"", second: false, country: b"" }
}

/// `imap-login: Login: user=<…>, method=PLAIN, rip=…, lip=…`.
pub(super) fn dovecot(text: &[u8]) -> Read<'_> {
    let Some(at) = find(text, b"-login: ").filter(|at| *at < 24) else { return Read::Nothing };
    let text = &text[at + 8..];
    let text = text.strip_prefix(b"Info: ").unwrap_or(text);
    let ok = text.starts_with(b"Login: ");
    let Some(from) = find(text, b"user=<") else { return Read::Nothing };
    let failed = between(&text[..from], b"(auth failed, ", b" attempts");
    if !ok && failed.is_none() {
        return Read::Nothing;
    }
    let source = between(text, b", rip=", b",").or_else(|| between(text, b" rip=", b","));
    let (Some(user), Some(source)) = (between(text, b"user=<", b">"), source.and_then(address)) else {
        return Read::Unclear;
    };
    // Nothing that the name holds may look like a field of the program's.
    if find(user, b"rip=").is_some() || find(user, b"<").is_some() {
        return Read::Unclear;
    }
    let method = between(text, b" method=", b",").unwrap_or_default();
    match failed.map(number) {
        Some(Some(times)) => event(user, source, What::Failed(times.min(1000) as u32)),
        Some(None) => Read::Unclear,
        None => event(user, source, accepted(method)),
    }
}

/// `LOGIN, user=…, ip=[::ffff:203.0.113.9], port=[…], protocol=IMAP`.
pub(super) fn courier(text: &[u8]) -> Read<'_> {
    let ok = text.starts_with(b"LOGIN, ");
    if !ok && !text.starts_with(b"LOGIN FAILED, ") {
        return Read::Nothing;
    }
    let Some(source) = between(text, b"ip=[", b"]").and_then(address) else { return Read::Unclear };
    let user = between(text, b"user=", b",").unwrap_or_default();
    match ok {
        true if user.is_empty() => Read::Unclear,
        true => event(user, source, accepted(b"password")),
        false => event(user, source, What::Failed(1)),
    }
}

/// `warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: …`, `QID: client=…, sasl_method=…,
/// sasl_username=…`.
pub(super) fn postfix(text: &[u8]) -> Read<'_> {
    if let Some(rest) = text.strip_prefix(b"warning: ") {
        let Some(at) = find(rest, b": SASL ") else { return Read::Nothing };
        let (client, rest) = (&rest[..at], &rest[at + 7..]);
        if find(rest, b" authentication failed").is_none() {
            return Read::Nothing;
        }
        let user = find_last(rest, b"sasl_username=").map_or(&b""[..], |at| &rest[at + 14..]);
        return match between(client, b"[", b"]").and_then(address) {
            Some(source) => event(user.trim_ascii(), source, What::Failed(1)),
            None => Read::Unclear,
        };
    }
    let Some(at) = find(text, b", sasl_username=") else { return Read::Nothing };
    let (head, user) = (&text[..at], &text[at + 16..]);
    let user = &user[..user.iter().position(|b| matches!(b, b',' | b' ')).unwrap_or(user.len())];
    let client = find(head, b": client=").map(|at| &head[at + 9..]).unwrap_or_default();
    let Some(source) = between(client, b"[", b"]").and_then(address) else { return Read::Unclear };
    let method = between(head, b"sasl_method=", b",").or_else(|| {
        let at = find(head, b"sasl_method=")?;
        Some(&head[at + 12..])
    });
    event(user, source, accepted(method.unwrap_or_default()))
}
