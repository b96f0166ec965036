//! Joins the lines of one message by its queue id and books them to the account that handed it over.
//!
//! Only messages from `pickup` are remembered; mail that came by SMTP belongs to nobody here. Addresses are
//! turned into keyed hashes at once: nothing that this module keeps or returns holds one. Of senders the domain is
//! kept for an hour, in memory only, to be compared with the account's own.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use model::Moment;

use super::country::{self, Place};
use super::line::{Id, Line, Parsed, Status, minute, parse};
use super::stamp::Stamps;
use super::window::Window;

/// Messages remembered while they are in the queue. Two generations of half as many: the older one is dropped
/// when the younger is full, so that no more are kept and those in use stay.
pub const MESSAGES_MAX: usize = 200_000;
/// Accounts with mail in the past day; each is a uid, so a tenant cannot make more.
const ACCOUNTS_MAX: usize = 65_536;
/// Recipients of one message told apart; repeats beyond count again.
const RECIPIENTS_MAX: usize = 256;

/// What was read, since the reader was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All lines.
    pub lines: u64,
    /// Lines that say nothing we need, or of other programs.
    pub other: u64,
    /// Lines without a stamp, or of Postfix in a shape that has no or two readings.
    pub dropped: u64,
    /// Messages forgotten while still in the queue, for want of room.
    pub messages_shed: u64,
    /// Messages not booked because too many accounts send.
    pub accounts_shed: u64,
}

/// A message in the queue.
#[derive(Clone, Debug)]
struct Message {
    uid: u32,
    minute: u32,
    /// Recipients booked.
    recipients: u32,
    /// Recipients of which an attempt was seen, and their hashes; the first lies here, because most have one.
    seen: u32,
    first: u64,
    others: Vec<u64>,
    script: bool,
    held: bool,
}

/// Reads lines in their order.
pub struct Reader {
    key: [u8; 32],
    country: Option<[u8; 2]>,
    zone: TimeZone,
    pub(super) stamps: Stamps,
    young: HashMap<Id, Message>,
    old: HashMap<Id, Message>,
    pub(super) windows: HashMap<u32, Window>,
    /// Accounts with something new since they were last asked for.
    touched: Vec<u32>,
    counts: Counts,
    last: Moment,
    /// Whether the hour that begins at this minute is night.
    night: (u32, bool),
}

impl Reader {
    /// `key` is random and of this process only; `country` is the node's, two letters; `zone` is the node's.
    pub fn new(key: [u8; 32], country: Option<[u8; 2]>, zone: TimeZone) -> Reader {
        Reader {
            key,
            country: country.map(|c| c.map(|b| b.to_ascii_lowercase())),
            stamps: Stamps::new(zone.clone()),
            zone,
            young: HashMap::new(),
            old: HashMap::new(),
            windows: HashMap::new(),
            touched: Vec::new(),
            counts: Counts::default(),
            last: Moment(i64::MIN),
            night: (u32::MAX, false),
        }
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The youngest stamp so far.
    pub fn last(&self) -> Moment {
        self.last
    }

    /// Reads one line that was there at `now`; its moment, if it has one.
    pub fn line(&mut self, line: &[u8], now: Moment) -> Option<Moment> {
        self.counts.lines += 1;
        let Some((at, rest)) = self.stamps.read(line, now) else {
            self.counts.dropped += 1;
            return None;
        };
        self.last = self.last.max(at);
        match parse(rest) {
            Parsed::Line(line) => self.book(line, at),
            Parsed::Other => self.counts.other += 1,
            Parsed::Malformed => self.counts.dropped += 1,
        }
        Some(at)
    }

    /// The ids of an account's messages that wait in the queue and are not held, oldest first, at most `most`.
    pub fn queued(&self, uid: u32, since: Moment, most: usize) -> Vec<Id> {
        let waiting = self.old.iter().chain(&self.young);
        let mut ids: Vec<(u32, Id)> = waiting
            .filter(|(_, m)| m.uid == uid && !m.held && m.minute >= minute(since))
            .map(|(id, m)| (m.minute, *id))
            .collect();
        ids.sort_unstable();
        ids.truncate(most);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Forgets everything of a uid.
    pub(super) fn forget_account(&mut self, uid: u32) {
        self.windows.remove(&uid);
        self.touched.retain(|touched| *touched != uid);
        self.young.retain(|_, message| message.uid != uid);
        self.old.retain(|_, message| message.uid != uid);
    }

    /// Accounts with something new since the last call, by uid.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        for uid in &touched {
            if let Some(window) = self.windows.get_mut(uid) {
                window.touched = false;
            }
        }
        touched
    }

    fn book(&mut self, line: Line<'_>, at: Moment) {
        match line {
            Line::Pickup { id, uid, sender, before } => self.pickup(id, uid, sender, before, at),
            Line::Script { id, uid, name } => self.with(id, |message, window| {
                // A header that names another uid is forged, and the first one is PHP's own.
                if message.uid == uid && !std::mem::replace(&mut message.script, true) {
                    window.script(message.minute, name);
                }
            }),
            Line::Queued { id, recipients } => self.with(id, |message, window| {
                let more = recipients.saturating_sub(message.recipients);
                message.recipients += more;
                window.recipients(message.minute, more);
            }),
            Line::Delivery { id, to, status } => self.delivery(id, to, status),
            Line::Held(id) => self.with(id, |message, window| {
                if !std::mem::replace(&mut message.held, true) {
                    window.change(message.minute, |sums| sums.held += 1);
                }
            }),
            Line::Unheld(id) => self.with(id, |message, window| {
                if std::mem::replace(&mut message.held, false) {
                    window.change(message.minute, |sums| sums.held = sums.held.saturating_sub(1));
                }
            }),
            Line::Refused(id) => {
                self.with(id, |message, window| window.unmessage(message.minute, message.recipients));
                self.forget(id);
            }
            Line::Removed(id) | Line::Arrived(id) => {
                self.forget(id);
            }
        }
    }

    fn pickup(&mut self, id: Id, uid: u32, sender: &[u8], before: Option<Id>, at: Moment) {
        // Requeued by an operator: Postfix's own uid hands it over, the message stays its first owner's.
        if let Some(message) = before.and_then(|before| self.forget(before)) {
            self.remember(id, Message { held: false, ..message });
            return;
        }
        if !self.windows.contains_key(&uid) && self.windows.len() >= ACCOUNTS_MAX {
            self.counts.accounts_shed += 1;
            return;
        }
        let night = self.is_night(at);
        let hash = hash(&self.key, sender);
        let domain = domain_of(sender);
        let domain = std::str::from_utf8(&domain).unwrap_or("?");
        let window = self.windows.entry(uid).or_default();
        window.message(at, night, hash, domain);
        if !std::mem::replace(&mut window.touched, true) {
            self.touched.push(uid);
        }
        let minute = minute(at);
        let (recipients, seen, first, others) = (0, 0, 0, Vec::new());
        self.remember(id, Message { uid, minute, recipients, seen, first, others, script: false, held: false });
    }

    fn delivery(&mut self, id: Id, to: &[u8], status: Status) {
        let (key, country) = (self.key, self.country);
        self.with(id, |message, window| {
            let hash = hash(&key, to);
            let again = message.seen > 0 && (message.first == hash || message.others.contains(&hash));
            if !again {
                let place = if country.is_some() { country::place(&domain_of(to), country) } else { Place::Unknown };
                window.recipient(message.minute, hash, place);
                message.seen += 1;
                if message.seen == 1 {
                    message.first = hash;
                } else if message.others.len() < RECIPIENTS_MAX {
                    message.others.push(hash);
                }
                if message.seen > message.recipients {
                    message.recipients = message.seen;
                    window.recipients(message.minute, 1);
                }
            }
            window.change(message.minute, |sums| match status {
                Status::Sent => sums.sent += 1,
                Status::Bounced => sums.bounced += 1,
                Status::Deferred => sums.deferred += u32::from(!again),
            });
        });
    }

    fn with(&mut self, id: Id, how: impl FnOnce(&mut Message, &mut Window)) {
        let Some(message) = self.young.get_mut(&id).or_else(|| self.old.get_mut(&id)) else { return };
        let uid = message.uid;
        if let Some(window) = self.windows.get_mut(&uid) {
            how(message, window);
            if !std::mem::replace(&mut window.touched, true) {
                self.touched.push(uid);
            }
        }
    }

    fn remember(&mut self, id: Id, message: Message) {
        if self.young.len() >= MESSAGES_MAX / 2 {
            self.counts.messages_shed += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&id); // a short id that is used again
        self.young.insert(id, message);
    }

    fn forget(&mut self, id: Id) -> Option<Message> {
        self.young.remove(&id).or_else(|| self.old.remove(&id))
    }

    fn is_night(&mut self, at: Moment) -> bool {
        let hour = minute(at) / 60;
        if self.night.0 != hour {
            let local = self.zone.to_datetime(at.timestamp()).hour();
            self.night = (hour, local < 6);
        }
        self.night.1
    }
}

/// The first eight bytes of the keyed hash of an address, capitals made small.
fn hash(key: &[u8; 32], address: &[u8]) -> u64 {
    let mut small = [0u8; 320]; // the longest address of RFC 5321 is 254; what is longer is cut
    let n = address.len().min(small.len());
    small[..n].copy_from_slice(&address[..n]);
    small[..n].make_ascii_lowercase();
    let hash = blake3::keyed_hash(key, &small[..n]);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("32 bytes hold 8"))
}

/// The domain of an address, lower case, empty when it has none; a strange one is `?`.
fn domain_of(address: &[u8]) -> Vec<u8> {
    let Some(at) = address.iter().rposition(|b| *b == b'@') else { return Vec::new() };
    let domain = address[at + 1..].to_ascii_lowercase();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if domain.len() > 253 || !domain.iter().all(plain) { b"?".to_vec() } else { domain }
}
