//! Takes a Postfix line apart. Anchored at both ends; text that users or foreign servers choose comes last.
//!
//! Only `pickup` says who handed a message over (owner of the file in the maildrop, Postfix `src/pickup/pickup.c`).
//! A line with two readings is dropped and counted, never guessed (CVE-2013-2178 and what followed it).

use model::{Moment, QueueId};

/// What happened to one recipient in one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Delivered or handed on.
    Sent,
    /// Will be tried again.
    Deferred,
    /// Refused for good, or too old.
    Bounced,
}

/// A line that matters to us. `id` is the queue id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A local program handed a message over; the only line that attributes.
    Pickup {
        /// Queue id.
        id: Id,
        /// Owner of the maildrop file.
        uid: u32,
        /// Envelope sender as the program gave it, without the angle brackets.
        sender: &'a [u8],
        /// The id that the message had before `postsuper -r`.
        before: Option<Id>,
    },
    /// PHP's own header; anybody can write one, so it is only a hint.
    Script {
        /// Queue id.
        id: Id,
        /// The uid that the header claims.
        uid: u32,
        /// Base name of the script.
        name: &'a str,
    },
    /// The message is in the active queue.
    Queued {
        /// Queue id.
        id: Id,
        /// Number of recipients.
        recipients: u32,
    },
    /// One recipient, one attempt.
    Delivery {
        /// Queue id.
        id: Id,
        /// Recipient, as logged.
        to: &'a [u8],
        /// What came of it.
        status: Status,
    },
    /// Put into the hold queue.
    Held(Id),
    /// Taken out of it.
    Unheld(Id),
    /// Refused by a filter: it stays with the sender, who tries again under another id.
    Refused(Id),
    /// Left the queue.
    Removed(Id),
    /// The id belongs to a message that came by SMTP.
    Arrived(Id),
}

/// What a line is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// It counts.
    Line(Line<'a>),
    /// Another program's, or one of the many that say nothing we need.
    Other,
    /// One of ours, but not as Postfix writes it.
    Malformed,
}

/// A queue id without allocation: at most 22 letters and digits (long ids have about 15).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    bytes: [u8; 23],
    len: u8,
}

impl Id {
    /// A queue id as Postfix makes them: hexadecimal in capitals, or digits and consonants. Words such as
    /// `warning` are none.
    fn new(text: &[u8]) -> Option<Id> {
        let sign = |b: &u8| match b {
            b'0'..=b'9' | b'A' | b'E' => true,
            b'I' | b'O' | b'U' | b'a' | b'e' | b'i' | b'o' | b'u' => false,
            other => other.is_ascii_alphabetic(),
        };
        if !(5..=22).contains(&text.len()) || !text.iter().all(sign) {
            return None;
        }
        let mut bytes = [0; 23];
        bytes[..text.len()].copy_from_slice(text);
        Some(Id { bytes, len: text.len() as u8 })
    }

    /// The id as the other rooms speak it.
    pub fn queue_id(&self) -> Option<QueueId> {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).ok()?.parse().ok()
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes[..usize::from(self.len)]))
    }
}

/// Takes apart what follows the stamp: `HOST postfix…/PROCESS[PID]: TEXT`.
pub fn parse(line: &[u8]) -> Parsed<'_> {
    let Some((process, text)) = postfix(line) else { return Parsed::Other };
    let Some((id, text)) = identified(text) else { return Parsed::Other };
    let known = match process {
        b"pickup" => pickup(id, text),
        b"cleanup" => match cleanup(id, text) {
            Some(line) => Some(line),
            None => return Parsed::Other,
        },
        b"qmgr" | b"oqmgr" | b"nqmgr" => match text {
            b"removed" => Some(Line::Removed(id)),
            _ if text.ends_with(b" (queue active)") => queued(id, text),
            _ => return Parsed::Other,
        },
        b"smtpd" => match text.starts_with(b"client=") {
            true => Some(Line::Arrived(id)),
            false => return Parsed::Other,
        },
        b"postsuper" => match text {
            b"placed on hold" => Some(Line::Held(id)),
            b"released from hold" => Some(Line::Unheld(id)),
            b"removed" => Some(Line::Removed(id)),
            _ => return Parsed::Other,
        },
        _ if text.starts_with(b"to=<") => delivery(id, text),
        _ => return Parsed::Other,
    };
    known.map_or(Parsed::Malformed, Parsed::Line)
}

/// The process, last part of the tag, and the text, if the tag is Postfix's: `postfix/smtp`,
/// `postfix-out/pickup` (a second instance), `postfix/submission/smtpd`.
fn postfix(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let host = line.iter().position(|b| *b == b' ')?;
    let tag = line[host + 1..].strip_prefix(b"postfix")?;
    let end = tag.iter().position(|b| !matches!(b, b'-' | b'_' | b'/' | b'.') && !b.is_ascii_alphanumeric())?;
    let slash = tag[..end].iter().rposition(|b| *b == b'/')?;
    let pid = tag[end..].strip_prefix(b"[")?;
    let digits = pid.iter().take_while(|b| b.is_ascii_digit()).count();
    let text = pid[digits..].strip_prefix(b"]: ")?;
    (digits > 0).then_some((&tag[slash + 1..end], text))
}

fn identified(text: &[u8]) -> Option<(Id, &[u8])> {
    let end = text.iter().take(24).position(|b| *b == b':')?;
    Some((Id::new(&text[..end])?, text[end + 1..].strip_prefix(b" ")?))
}

/// `uid=N from=<SENDER>`, and after `postsuper -r` also ` orig_id=ID`. The sender is the tenant's text; since the
/// line ends either in his bracket or in an id, the end tells the two apart.
fn pickup(id: Id, text: &[u8]) -> Option<Line<'_>> {
    let (uid, text) = number(text.strip_prefix(b"uid=")?)?;
    let text = text.strip_prefix(b" from=<")?;
    if let Some(sender) = text.strip_suffix(b">") {
        return Some(Line::Pickup { id, uid, sender, before: None });
    }
    let at = text.len() - text.iter().rev().position(|b| *b == b'=')?;
    let sender = text[..at].strip_suffix(b"> orig_id=")?;
    Some(Line::Pickup { id, uid, sender, before: Some(Id::new(&text[at..])?) })
}

fn cleanup(id: Id, text: &[u8]) -> Option<Line<'_>> {
    const PHP: &[u8] = b"info: header x-php-originating-script: ";
    if text.starts_with(b"hold: ") || text.starts_with(b"milter-hold: ") {
        return Some(Line::Held(id));
    }
    if text.starts_with(b"reject: ") || text.starts_with(b"milter-reject: ") {
        return Some(Line::Refused(id));
    }
    let (head, value) = text.split_at_checked(PHP.len())?;
    if !head.eq_ignore_ascii_case(PHP) {
        return None;
    }
    let (uid, rest) = number(value)?;
    let rest = rest.strip_prefix(b":")?;
    // A base name without spaces and without an `@`: nothing that could be an address is kept.
    let end = rest.iter().position(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'_' | b'-'))?;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    let ended = matches!(rest[end], b' ' | b'('); // `x.php(1) : eval()'d code`
    ((1..=64).contains(&end) && ended).then_some(Line::Script { id, uid, name })
}

/// `from=<SENDER>, size=N, nrcpt=N (queue active)`, read from the end because the sender is the tenant's.
fn queued(id: Id, text: &[u8]) -> Option<Line<'_>> {
    let text = text.strip_prefix(b"from=<")?.strip_suffix(b" (queue active)")?;
    let (text, recipients) = last_number(text)?;
    let (text, _size) = last_number(text.strip_suffix(b", nrcpt=")?)?;
    text.strip_suffix(b">, size=")?;
    Some(Line::Queued { id, recipients })
}

/// `to=<R>, [orig_to=<R>, ]relay=…, …, dsn=…, status=WORD (REPLY)`. The recipient is the tenant's text and the
/// reply is a foreign server's: if the reply looks like a second line of this kind, nobody can tell where the
/// recipient ended.
fn delivery(id: Id, text: &[u8]) -> Option<Line<'_>> {
    let text = text.strip_prefix(b"to=<")?;
    let (to, mut rest) = bracketed(text)?;
    if let Some(orig) = rest.strip_prefix(b"orig_to=<") {
        rest = bracketed(orig)?.1;
    }
    if !rest.starts_with(b"relay=") {
        return None;
    }
    let mut dsn = false;
    loop {
        if let Some(status) = rest.strip_prefix(b"status=") {
            let word = status.iter().take_while(|b| b.is_ascii_lowercase()).count();
            let status_word = match &status[..word] {
                b"sent" => Status::Sent,
                b"deferred" => Status::Deferred,
                b"bounced" | b"expired" => Status::Bounced,
                _ => return None,
            };
            let reply = status[word..].strip_prefix(b" (")?;
            // Postfix cuts its lines at 2,000 bytes, then the bracket is missing.
            let whole = reply.ends_with(b")") || text.len() > 1800;
            let second = contains(reply, b">, relay=") && contains(reply, b", status=");
            return (dsn && whole && !second).then_some(Line::Delivery { id, to, status: status_word });
        }
        let end = rest.iter().position(|b| *b == b',')?;
        let key = rest[..end].iter().position(|b| *b == b'=')?;
        if !rest[..key].iter().all(|b| b.is_ascii_lowercase() || *b == b'_') {
            return None;
        }
        dsn |= &rest[..key] == b"dsn";
        rest = rest[end + 1..].strip_prefix(b" ")?;
    }
}

/// A text up to the first `>, ` behind which a field of ours begins. Postfix puts a local part with brackets or
/// commas in quotes (seen with 3.7); then the search begins behind the closing quote, so nothing is ambiguous.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = if text.starts_with(b"\"") { 1 + closing_quote(&text[1..])? } else { 0 };
    loop {
        let end = from + text[from..].iter().position(|b| *b == b'>')?;
        if let Some(rest) = text[end + 1..].strip_prefix(b", ")
            && (rest.starts_with(b"relay=") || rest.starts_with(b"orig_to=<"))
        {
            return Some((&text[..end], rest));
        }
        from = end + 1;
    }
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|b| {
        let closes = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        closes
    })
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    // Replies hold few commas and brackets, so looking at the first byte is enough work.
    text.iter().enumerate().any(|(at, b)| *b == what[0] && text[at..].starts_with(what))
}

fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let value = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((value, &text[digits..]))
}

fn last_number(text: &[u8]) -> Option<(&[u8], u32)> {
    let digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let at = text.len() - digits;
    // A size may be beyond 32 bits; it only has to be a number.
    let value: u64 = std::str::from_utf8(&text[at..]).ok()?.parse().ok()?;
    Some((&text[..at], u32::try_from(value).unwrap_or(u32::MAX)))
}

/// Where the stamp of a message points in the windows: whole minutes since 1970.
pub(crate) fn minute(at: Moment) -> u32 {
    u32::try_from(at.secs().div_euclid(60)).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests;
