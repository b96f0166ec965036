//! Lines of words and `key=value`, as panels, webmail and small tools write them.
//!
//! A key that stands there twice makes two readings, so the line is dropped; an address that may end in a port as well.

use super::event::{Event, Read, Service, What, address_and_port};

const ADDRESS: &[&str] = &["ip", "rip", "src", "source", "client", "addr", "address", "remote", "rhost", "remote_ip"];
const USER: &[&str] = &["account", "user", "login", "username"];
const EVENT: &[&str] = &["ev", "event", "action", "type"];
const RESULT: &[&str] = &["result", "status", "outcome", "res"];
const OK: &[&str] = &["ok", "success", "succeeded", "successful", "accepted", "accept", "granted", "pass"];
const FAILED: &[&str] =
    &["fail", "failed", "failure", "denied", "error", "rejected", "bad", "invalid", "wrong", "refused"];

/// Reads words and pairs.
pub(super) fn read(text: &[u8]) -> Read<'_> {
    let mut found: [Option<&[u8]>; 9] = [None; 9];
    let (mut ok, mut failed, mut pairs) = (false, false, 0);
    let mut service = None;
    let mut login = false;
    for word in Words(text) {
        let word = match word {
            Word::Pair(key, value) => {
                pairs += 1;
                let slot = match key {
                    _ if is(key, ADDRESS) => 0,
                    // `login=ok` is no name.
                    _ if is(key, USER) && !is(value, OK) && !is(value, FAILED) => 1,
                    _ if is(key, RESULT) || is(key, USER) => 2,
                    _ if is(key, EVENT) => 8,
                    _ if is(key, &["country", "cc", "geo"]) => 3,
                    _ if is(key, &["device", "fingerprint", "key", "device_id"]) => 4,
                    _ if is(key, &["mfa", "2fa", "otp", "factor"]) => 5,
                    _ if is(key, &["method", "auth"]) => 6,
                    _ if is(key, &["service", "svc", "proto", "app"]) => 7,
                    _ => continue,
                };
                if found[slot].replace(value).is_some() {
                    return Read::Unclear;
                }
                if !matches!(slot, 2 | 7 | 8) {
                    continue;
                }
                value
            }
            Word::Bare(word) => word,
        };
        ok |= is(word, OK);
        failed |= is(word, FAILED);
        login |= is(word, &["login", "logon", "signin", "auth"]);
        let named = match word {
            _ if is(word, &["ssh", "sshd", "sftp", "shell"]) => Some(Service::Shell),
            _ if is(word, &["ftp", "ftps", "ftpd"]) => Some(Service::Ftp),
            _ if is(word, &["imap", "pop3", "smtp", "mail", "webmail"]) => Some(Service::Mail),
            _ if is(word, &["panel", "site", "admin", "cpanel", "plesk"]) => Some(Service::Panel),
            _ => None,
        };
        service = service.or(named);
    }
    let [source, user, _, country, device, mfa, method, ..] = found;
    let Some(source) = source.filter(|_| pairs > 0) else { return Read::Nothing };
    let Some(source) = address_and_port(source) else { return Read::Unclear };
    let no = |value: &[u8]| value.is_empty() || is(value, &["none", "no", "off", "0", "false", "-"]);
    let what = match (ok, failed) {
        (true, true) => return Read::Unclear,
        (true, false) if login || service.is_some() => What::Accepted {
            method: method.unwrap_or(b"password"),
            key: device.unwrap_or_default(),
            second: mfa.is_some_and(|mfa| !no(mfa)),
            country: country.unwrap_or_default(),
        },
        (false, true) => What::Failed(1),
        _ => What::Other,
    };
    let (service, user) = (service.unwrap_or(Service::Panel), user.unwrap_or_default());
    Read::Event(Event { service, user, source: Some(source), pid: 0, what })
}

fn is(word: &[u8], known: &[&str]) -> bool {
    known.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(word))
}

enum Word<'a> {
    Bare(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

/// Words and pairs of a text; values may stand in double quotes.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let text = self.0.trim_ascii_start();
        if text.is_empty() {
            return None;
        }
        let end = text.iter().position(|b| b.is_ascii_whitespace() || *b == b'=').unwrap_or(text.len());
        if text.get(end) != Some(&b'=') {
            self.0 = &text[end..];
            return Some(Word::Bare(text[..end].trim_suffix_colon()));
        }
        let (key, rest) = (&text[..end], &text[end + 1..]);
        let (value, rest) = match rest.strip_prefix(b"\"") {
            Some(inside) => {
                let end = inside.iter().position(|b| *b == b'"').unwrap_or(inside.len());
                (&inside[..end], inside.get(end + 1..).unwrap_or_default())
            }
            None => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].strip_suffix(b",").unwrap_or(&rest[..end]), &rest[end..])
            }
        };
        self.0 = rest;
        Some(Word::Pair(key, value))
    }
}

trait TrimColon {
    fn trim_suffix_colon(&self) -> &Self;
}

impl TrimColon for [u8] {
    fn trim_suffix_colon(&self) -> &[u8] {
        self.strip_suffix(b":").or_else(|| self.strip_suffix(b",")).unwrap_or(self)
    }
}
