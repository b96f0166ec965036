//! What was seen, in small facts: the part of a signal that may name people and is deleted on time.
//!
//! Events carry only the hash of an [`Evidence`]; the body is a row of its own that expires (design: privacy).

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::name::Hash;

/// What a fact is about. The snake_case names are those of `hikeshi inspect --format json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKey {
    /// Name that a process shows (comm or argv[0]).
    Shown,
    /// Program file that really runs.
    Really,
    /// Command line, arguments joined by spaces, escaped, cut at 300 characters.
    CommandLine,
    /// Working directory.
    Cwd,
    /// Process ids, decimal, separated by spaces.
    Pids,
    /// RFC 3339 start of the oldest process.
    Started,
    /// Remote ends of connections, separated by spaces.
    Remote,
    /// Listening address and port.
    Listening,
    /// CPU seconds used so far.
    CpuSeconds,
    /// A file of the tenant.
    Path,
    /// Script that did it: path, or base name when only that is known.
    Script,
    /// Directory of that script.
    ScriptDir,
    /// RFC 3339 first and last time.
    From,
    /// See `From`.
    To,
    /// Messages in the window.
    Messages,
    /// Recipients (with repeats) in the window.
    Recipients,
    /// Different recipients in the window.
    DistinctRecipients,
    /// Bounced deliveries.
    Bounced,
    /// Deferred deliveries.
    Deferred,
    /// Share of recipients abroad, whole per cent.
    AbroadPercent,
    /// Share inside the node's country, whole per cent.
    DomesticPercent,
    /// Share that cannot be told (big webmail, no country in the name, a smarthost), whole per cent.
    UnknownPercent,
    /// Different envelope senders.
    Senders,
    /// Messages per hour at the peak.
    MailsPerHour,
    /// What is normal for this account, same unit as the value beside it.
    Baseline,
    /// CPU use, per cent of one core.
    CpuPercent,
    /// The account's fair share, per cent of one core.
    FairPercent,
    /// Requests per second of the account's sites.
    RequestsPerSecond,
    /// Share of time in which the node's tasks waited for CPU (PSI "some", 10 s), per cent.
    PressurePercent,
    /// Programs that use most of it.
    Programs,
    /// Memory in use, MiB (2^20 bytes).
    MemoryMib,
    /// Read from and written to disks, MiB per second.
    IoMibPerSecond,
    /// Processes and threads.
    Tasks,
    /// Share of time in which the account's group, or the node where it has none, waited for memory, per cent.
    MemoryPressurePercent,
    /// The same for disks.
    IoPressurePercent,
    /// The plugin, theme, module, script or folder of the account in which PHP spent its time.
    SlowScript,
    /// How long it took in twenty minutes, seconds.
    SlowSeconds,
    /// What a verdict about load rests on, words separated by spaces: `foreign_program`, `requests`, `crawler`,
    /// `slow_script`, `scheduled_by_site`, `known_tool`, `cron`, `session`, `memory`, `io`.
    Grounds,
    /// Mailbox that was used.
    Mailbox,
    /// Networks from which it logs in.
    Networks,
    /// Two addresses that answer one another, separated by a space.
    Pair,
    /// Deliveries refused as spam.
    RefusedAsSpam,
    /// How the mail was bound to the account: `uid`, `script`, `mailbox`.
    AttributedBy,
    /// Date of the country database, as YYYY-MM-DD.
    CountriesOf,
    /// Site that was asked.
    Site,
    /// The request by which the intruder came in: method and path without its parameters.
    Entry,
    /// When that was, RFC 3339.
    EntryAt,
    /// Requests in the window.
    Requests,
    /// Requests that were refused or found nothing.
    Refused,
    /// Addresses, separated by spaces.
    Addresses,
    /// The address that matters most.
    SourceAddress,
    /// Country of that address, two letters.
    Country,
    /// User agent that the client claims.
    Agent,
    /// Service that was logged in to: `ssh`, `ftp`, `mail`, `panel`, `site`.
    Service,
    /// Name that was logged in with.
    User,
    /// How the client proved itself: `password`, `publickey`.
    Method,
    /// Failed attempts before.
    Failures,
    /// Files that were fetched and put back changed.
    FilesChanged,
    /// Lines of the crontab, counted from 1, separated by spaces.
    Lines,
    /// Text of the scheduled line.
    Line,
    /// Further mechanism seen in the same place, one per fact (see `Kind`).
    Also,
    /// Different countries of the networks from which a mailbox logs in, as far as they are known.
    Countries,
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactValue {
    /// Printable text: whoever makes it has escaped controls, bidi marks and bytes that are not UTF-8.
    Text(String),
    /// A count or amount.
    Number(i64),
}

impl std::fmt::Display for FactValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FactValue::Text(text) => f.write_str(text),
            FactValue::Number(number) => number.fmt(f),
        }
    }
}

/// The facts behind one signal, in the order in which a person reads them. At most 32 facts of 400 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence(pub Vec<(FactKey, FactValue)>);

impl Evidence {
    /// Most facts that one evidence holds; more are dropped.
    pub const FACTS_MAX: usize = 32;
    /// Longest text of one fact, bytes; longer ones are cut in the middle.
    pub const TEXT_MAX: usize = 400;

    /// Adds a text, escaped and cut to its bounds.
    pub fn text(&mut self, key: FactKey, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.push(key, FactValue::Text(printable(bytes.as_ref(), Evidence::TEXT_MAX)))
    }

    /// Adds a number.
    pub fn number(&mut self, key: FactKey, number: i64) -> &mut Self {
        self.push(key, FactValue::Number(number))
    }

    fn push(&mut self, key: FactKey, value: FactValue) -> &mut Self {
        if self.0.len() < Evidence::FACTS_MAX {
            self.0.push((key, value));
        }
        self
    }

    /// The first fact of this key.
    pub fn get(&self, key: FactKey) -> Option<&FactValue> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

/// Bytes as a person may safely see them: controls, bidi and zero-width marks and invalid UTF-8 as `\xNN` or
/// `\u{N}`; a text over `bytes_max` loses its middle (an ellipsis stands there).
pub fn printable(bytes: &[u8], bytes_max: usize) -> String {
    let mut out = String::with_capacity(bytes.len().min(bytes_max) + 8);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c.is_control() || hides(c) {
                true if c.is_ascii() => out.push_str(&format!("\\x{:02x}", c as u32)),
                true => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
                false => out.push(c),
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
        if out.len() > bytes_max.saturating_mul(8).max(4096) {
            break;
        }
    }
    if out.len() <= bytes_max {
        return out;
    }
    let half = bytes_max.saturating_sub('…'.len_utf8()) / 2;
    format!("{}…{}", &out[..out.floor_char_boundary(half)], &out[out.ceil_char_boundary(out.len() - half)..])
}

/// The words of a text with single spaces, every one that holds an `@` as `(address)`: for texts of mail servers.
pub fn without_addresses(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if word.contains('@') { "(address)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Bidi and zero-width marks: they are printed as nothing, or turn round what stands beside them.
pub fn hides(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// What a row named by its hash holds; each kind has its own time of deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyKind {
    /// An [`Evidence`], as JSON.
    Evidence,
    /// A letter as it went out or waits to go out.
    Letter,
    /// What an owner wrote to us.
    Question,
    /// A pass of an owner's browser (secret or address).
    Pass,
    /// What was captured of a frozen process.
    Capture,
}

/// A row that may hold personal data: named by its hash, gone after `expires`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// What it is.
    pub kind: BodyKind,
    /// When it may be deleted at the latest.
    pub expires: Moment,
    /// The bytes; their hash is the row's name.
    pub bytes: Vec<u8>,
}

impl Body {
    /// The name under which events speak of it.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_sees_has_no_controls_and_no_bidi_marks() {
        for c in (0..=0x10ffff).filter_map(char::from_u32) {
            let shown = printable(c.to_string().as_bytes(), 64);
            assert!(!shown.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{c:?}");
        }
        assert_eq!(printable(b"a\x1b[2Jb\xff", 64), "a\\x1b[2Jb\\xff");
    }

    #[test]
    fn long_texts_lose_their_middle() {
        let shown = printable("山".repeat(1000).as_bytes(), 100);
        assert!(shown.len() <= 100 && shown.contains('…'));
    }
}
