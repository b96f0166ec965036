//! Takes a line of Postfix apart (one of Exim: [`super::exim`]). Anchored at both ends; text that users or foreign servers choose comes last.
//!
//! Only `pickup` says who handed a message over (owner of the file in the maildrop, Postfix `src/pickup/pickup.c`).
//! A line with two readings is dropped and counted, never guessed (CVE-2013-2178 and what followed it).

use std::net::IpAddr;

use model::{Moment, QueueId};

use super::relay::Via;

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

/// Why a recipient was put off or refused, as far as that tells about the mail itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Refused as spam: somebody read the mail and said so.
    Spam,
    /// Says nothing about this mail or its list: the node's address is on a block list, a mailbox is full.
    Excused,
    /// Everything else, unknown addresses above all.
    Other,
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
    /// Exim: a local program handed a message over; the only line of Exim that attributes a script.
    Local {
        /// Message id.
        id: Id,
        /// Login of the user whose process called sendmail.
        user: &'a [u8],
        /// Envelope sender, empty for `<>`.
        sender: &'a [u8],
        /// Recipients separated by spaces; empty when they are not logged.
        recipients: &'a [u8],
        /// Process, when it is logged.
        pid: Option<u32>,
    },
    /// Exim: a program is about to hand a message over from this folder.
    Folder {
        /// Working directory, as the kernel names it.
        path: &'a [u8],
        /// Process, when it is logged.
        pid: Option<u32>,
    },
    /// cPanel: the account for which a message of a shared user was made.
    Identified {
        /// Message id.
        id: Id,
        /// The account's login.
        user: &'a [u8],
        /// Envelope sender.
        sender: &'a [u8],
    },
    /// Somebody handed a message in with a password.
    Login {
        /// Queue id.
        id: Id,
        /// The name that was logged in with.
        login: &'a [u8],
        /// From where.
        client: IpAddr,
        /// Envelope sender, when the line has it (Exim).
        sender: Option<&'a [u8]>,
        /// Recipients separated by spaces; empty when they are not logged.
        recipients: &'a [u8],
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
        /// Envelope sender, without the angle brackets.
        sender: &'a [u8],
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
        /// Why, if it did not go out.
        why: Why,
        /// Who was asked to take it.
        via: Via<'a>,
    },
    /// Put into the hold queue.
    Held(Id),
    /// Taken out of it.
    Unheld(Id),
    /// Refused by a filter: it stays with the sender, who tries again under another id.
    Refused(Id),
    /// Left the queue.
    Removed(Id),
    /// The id belongs to a message that came by SMTP: a stranger's, or one of ours that a filter on this node gives
    /// back under a new id.
    Arrived {
        /// Queue id.
        id: Id,
        /// The id that it had before the filter.
        before: Option<Id>,
        /// Envelope sender, when the line has it (Exim).
        sender: Option<&'a [u8]>,
    },
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

/// A queue id without allocation: at most 23 letters and digits (long ids of Postfix have about 15, those of Exim 16,
/// since 4.97 23).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    bytes: [u8; 23],
    len: u8,
}

/// One word instead of 24 bytes: ids are looked up for each line. Mail servers make them, so nobody chooses collisions.
impl std::hash::Hash for Id {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let word = |at: usize| u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"));
        let mixed = word(0).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word(8).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        state.write_u64(mixed.rotate_left(23) ^ word(15).wrapping_mul(0x1656_67b1_9e37_79f9));
    }
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

    /// A message id of Exim at the beginning of a text, and what follows its space: three numbers in base 62 joined by
    /// hyphens, of 6, 6 and 2 signs, since 4.97 of 6, 11 and 4 (Exim specification, «Message identification»). A sign
    /// more or less does no harm, as long as there are three of about that length.
    pub(super) fn of_exim(text: &[u8]) -> Option<(Id, &[u8])> {
        let len = text.iter().take(24).position(|b| *b == b' ')?;
        let mut groups = text[..len].split(|b| *b == b'-');
        let mut group = |least, most| {
            let group = groups.next().filter(|group| (least..=most).contains(&group.len()));
            group.is_some_and(|group| group.iter().all(u8::is_ascii_alphanumeric))
        };
        if !(group(6, 7) && group(6, 11) && group(2, 4)) || groups.next().is_some() {
            return None;
        }
        let mut bytes = [0; 23];
        bytes[..len].copy_from_slice(&text[..len]);
        Some((Id { bytes, len: len as u8 }, &text[len + 1..]))
    }

    /// The id as the other rooms speak it; none for Exim's.
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
        b"smtpd" => match text.strip_prefix(b"client=") {
            Some(text) => client(id, text),
            None => return Parsed::Other,
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
    let sender = text.strip_suffix(b">, size=")?;
    Some(Line::Queued { id, sender, recipients })
}

/// `HOST[IP][:PORT][, orig_queue_id=ID][, orig_client=…][, sasl_method=M, sasl_username=U[, sasl_sender=S]]`
/// (Postfix `src/smtpd/smtpd.c`). The name of the login is what the SASL server accepted; a name that holds a comma or
/// a space has two readings.
fn client(id: Id, text: &[u8]) -> Option<Line<'_>> {
    let open = text.iter().position(|b| *b == b'[')?;
    let close = open + text[open..].iter().position(|b| *b == b']')?;
    let (mut login, mut before) = (None, None);
    for field in text[close..].split(|b| *b == b',').skip(1) {
        let field = field.strip_prefix(b" ")?;
        if let Some(name) = field.strip_prefix(b"sasl_username=") {
            if login.replace(name).is_some() {
                return None;
            }
        } else if let Some(earlier) = field.strip_prefix(b"orig_queue_id=") {
            before = Id::new(earlier);
        }
    }
    let Some(login) = login else { return Some(Line::Arrived { id, before, sender: None }) };
    if login.is_empty() || !login.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let client = address(&text[open + 1..close])?;
    Some(Line::Login { id, login, client, sender: None, recipients: b"" })
}

/// An address as Postfix and Exim write it; IPv4 mapped into IPv6 is IPv4.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = text.strip_prefix(b"IPv6:").unwrap_or(text);
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// What the words of a foreign server say about a mail that was not taken. Only words for spam count as spam; a block
/// list names the node's address, not the mail, and comes first because its texts speak of spam too.
pub(super) fn why(reply: &[u8]) -> Why {
    const EXCUSED: &[&[u8]] = &[
        b"block list",
        b"blocklist",
        b"blacklist",
        b"black list",
        b"denylist",
        b"dnsbl",
        b"blocked using",
        b"is listed",
        b"listed in",
        b"listed at",
        b"rbl",
        b"reputation",
        b"mailbox full",
        b"mailbox is full",
        b"over quota",
        b"quota exceeded",
        b"exceeded storage",
        b"greylist",
        b"graylist",
    ];
    const SPAM: &[&[u8]] = &[b"spam", b"unsolicited", b"junk mail", b"bulk mail", b"bulk email"];
    let mut small = [0u8; 512];
    let n = reply.len().min(small.len());
    small[..n].copy_from_slice(&reply[..n]);
    small[..n].make_ascii_lowercase();
    let says = |words: &[&[u8]]| words.iter().any(|word| contains(&small[..n], word));
    match () {
        () if says(EXCUSED) => Why::Excused,
        () if says(SPAM) => Why::Spam,
        () => Why::Other,
    }
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
    let relay = rest.strip_prefix(b"relay=")?;
    let via = Via::Postfix(&relay[..relay.iter().position(|b| *b == b',')?]);
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
            let why = if status_word == Status::Sent { Why::Other } else { why(reply) };
            return (dsn && whole && !second).then_some(Line::Delivery { id, to, status: status_word, why, via });
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

pub(super) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|b| {
        let closes = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        closes
    })
}

pub(super) fn contains(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

/// Where a text begins in another, by its first byte, which is rare enough in what is searched here.
pub(super) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].iter().position(|b| *b == what[0])?;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}

pub(super) fn number(text: &[u8]) -> Option<(u32, &[u8])> {
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
