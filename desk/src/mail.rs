//! Sends letters by SMTP to the one relay that is configured, normally on loopback, and says what became of them.
//!
//! No sendmail program and no argument list (a name may begin with `-`); bodies go as base64, so that no line of
//! ours can be a command, a dot or a mailbox separator; a header with a line break is never built.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Body, Mailbox, Message};
use lettre::transport::smtp::SmtpTransport;
use lettre::{Address, Transport};
use model::{Delivery, Number, Span};

use crate::words::mask::server_words;

/// Longest wait for the relay at each step.
const WAIT: Duration = Duration::from_secs(30);
/// After so long without success a letter will not arrive this way.
const GIVE_UP: Span = Span::days(5);

/// Where letters go out and in whose name.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Host of the relay, `127.0.0.1`.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender's name, in any script.
    pub name: String,
    /// The sender's address.
    pub from: String,
}

/// A letter without its recipients; each gets a message of its own, so that none reads the other's address.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Without brackets, the same at every try.
    pub message_id: &'a str,
    /// Earlier notices of the incident, oldest first.
    pub references: &'a [String],
    /// One line.
    pub subject: &'a str,
    /// UTF-8, lines ended by LF.
    pub text: &'a str,
}

/// What became of one recipient's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Try {
    /// The relay took it.
    Accepted,
    /// Not now.
    Later(String),
    /// Never.
    Never(String),
}

/// When to try again after the `attempt`-th try (from 1), if a letter has waited for `since`; `None`: give up.
pub fn next_try(attempt: u32, since: Span) -> Option<Span> {
    if since >= GIVE_UP {
        return None;
    }
    Some(match attempt {
        0 | 1 => Span::minutes(1),
        2 => Span::minutes(5),
        3 => Span::minutes(15),
        _ => Span::hours(1),
    })
}

/// Sends to one recipient.
pub fn send(relay: &Relay, letter: &Outgoing, to: &str, now: SystemTime) -> Try {
    let (envelope, bytes) = match compose(relay, letter, to, now) {
        Ok(composed) => composed,
        Err(why) => return Try::Never(why),
    };
    let smtp = SmtpTransport::builder_dangerous(&relay.host).port(relay.port).timeout(Some(WAIT)).build();
    match smtp.send_raw(&envelope, &bytes) {
        Ok(_) => Try::Accepted,
        Err(error) if error.is_permanent() => Try::Never(server_words(&error.to_string())),
        // 4xx, refused connections, time-outs and answers that make no sense: the letter waits.
        Err(error) => Try::Later(server_words(&error.to_string())),
    }
}

/// The result of all recipients as the log keeps it. One that waits keeps the letter waiting.
pub fn delivery(tries: &[Try]) -> Delivery {
    let accepted = tries.iter().filter(|one| **one == Try::Accepted).count();
    let later = tries.iter().find_map(|one| match one {
        Try::Later(why) => Some(why.clone()),
        _ => None,
    });
    let never = tries.iter().find_map(|one| match one {
        Try::Never(why) => Some(why.clone()),
        _ => None,
    });
    match (later, accepted, never) {
        (Some(why), _, _) => Delivery::Waiting { why },
        (None, 0, why) => Delivery::Undeliverable { why: why.unwrap_or_else(|| "no address of record".to_owned()) },
        (None, accepted, _) => Delivery::Accepted { addresses: accepted.try_into().unwrap_or(u16::MAX) },
    }
}

/// Envelope and bytes of one message, or why it cannot be built.
fn compose(relay: &Relay, letter: &Outgoing, to: &str, now: SystemTime) -> Result<(Envelope, Vec<u8>), String> {
    let from = address(&relay.from).ok_or("sender address not usable")?;
    let to = address(to).ok_or("recipient address not usable")?;
    let id = message_id(letter.message_id).ok_or("message id not usable")?;
    let envelope = Envelope::new(Some(from.clone()), vec![to.clone()]).map_err(|_| "envelope not usable")?;
    let name = Some(one_line(&relay.name)).filter(|name| !name.is_empty());
    let body = Body::new_with_encoding(letter.text.to_owned(), ContentTransferEncoding::Base64)
        .map_err(|_| "text not usable")?;
    let subject = one_line(letter.subject);
    let mut builder = Message::builder()
        .from(Mailbox::new(name, from))
        .to(Mailbox::new(None, to))
        .date(now)
        .message_id(Some(id))
        .raw_header(plain("Auto-Submitted", "auto-generated"));
    let references: Vec<String> = letter.references.iter().filter_map(|id| message_id(id)).collect();
    if let Some(last) = references.last() {
        builder = builder.in_reply_to(last.clone()).references(references.join(" "));
    }
    // The number is the last word of every subject of an incident.
    if let Some(number) = subject.rsplit(' ').next().and_then(|word| word.parse::<Number>().ok()) {
        builder = builder.raw_header(plain("X-Hikeshi-Incident", &number.to_string()));
    }
    let message = builder
        .subject(subject)
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .map_err(|error| format!("message not usable: {error}"))?;
    Ok((envelope, message.formatted()))
}

fn plain(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// One mailbox in plain ASCII and nothing else: no list, no quotes, no comment, no line break.
fn address(text: &str) -> Option<Address> {
    let plain =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b':' | b'<' | b'>' | b'(' | b')' | b'\\');
    if !text.bytes().all(plain) || text.matches('@').count() != 1 || text.len() > 254 || text.starts_with('-') {
        return None;
    }
    text.parse().ok()
}

/// A Message-ID in brackets, when it is one.
fn message_id(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'@' | b'+' | b'=');
    let right = text.bytes().all(plain) && text.matches('@').count() == 1 && text.len() <= 200;
    right.then(|| format!("<{text}>"))
}

/// A header text without controls; runs of white space become one space.
fn one_line(text: &str) -> String {
    let signs = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    signs.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
