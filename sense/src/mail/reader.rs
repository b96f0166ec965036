//! Joins the lines of one message by its queue id and books them to whoever handed it over.
//!
//! Only messages that somebody of this node handed over are remembered: by `pickup`'s uid, by Exim's `U=` of a local
//! process, by the login of a submission. Mail that comes by SMTP belongs to nobody. Addresses are turned into keyed
//! hashes at once; the domain of senders is kept for an hour, and so are the addresses of a pair that repeats
//! ([`super::pairs`]), in memory only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::{MailUser, Moment};

use super::answers::{Answers, pair_key};
use super::country::{self, Place, Said};
use super::exim;
use super::folders::Folders;
use super::line::{Id, Line, Parsed, Status, Why, closing_quote, minute, parse};
use super::message::{Message, hash};
use super::relay::{By, Via};
use super::stamp::Stamps;
use super::who::Who;
use super::window::{Part, Window};
use crate::country::Countries;

/// Messages remembered while they are in the queue. Two generations of half as many: the older one is dropped
/// when the younger is full, so that no more are kept and those in use stay.
pub const MESSAGES_MAX: usize = 200_000;
/// Windows of all kinds. Uids cannot be made by a tenant; folders and mailboxes can, so these have a bound of their
/// own for each account and never take the last quarter.
const WINDOWS_MAX: usize = 65_536;
/// Mailboxes and folders of one account that are counted apart; the one that is silent longest goes first.
const PARTS_MAX: usize = 512;
/// What was read, since the reader was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All lines.
    pub lines: u64,
    /// Lines that say nothing we need, or of other programs.
    pub other: u64,
    /// Lines without a stamp, or of a mail server in a shape that has no or two readings.
    pub dropped: u64,
    /// Messages forgotten while still in the queue, for want of room.
    pub messages_shed: u64,
    /// Messages not booked because too many accounts send.
    pub accounts_shed: u64,
}

/// Whose window: an account's sendmail mail, or a part of its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The account.
    pub uid: u32,
    /// 0: all sendmail mail; else a keyed hash of the folder (even) or mailbox (odd).
    part: u64,
}

/// One word: uids are not chosen by tenants, and parts are keyed hashes already.
impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.part ^ u64::from(self.uid).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

impl Key {
    /// All that the uid hands to sendmail.
    pub fn local(uid: u32) -> Key {
        Key { uid, part: 0 }
    }

    /// Handed over by a user that is no account, until cPanel says for whom.
    const NOBODY: Key = Key { uid: u32::MAX, part: u64::MAX };
}

/// Reads lines in their order.
pub struct Reader {
    key: [u8; 32],
    country: Option<[u8; 2]>,
    pub(super) countries: Option<Arc<Countries>>,
    zone: TimeZone,
    pub(super) stamps: Stamps,
    who: Who,
    young: HashMap<Id, Message>,
    old: HashMap<Id, Message>,
    pub(super) windows: HashMap<Key, Window>,
    /// Parts of each account that have a window.
    parts: HashMap<u32, Vec<Key>>,
    folders: Folders,
    answers: Answers,
    /// Windows with something new since they were last asked for; never those of folders, whose account is.
    touched: Vec<Key>,
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
            country: country.map(|c| country::normal(c.map(|b| b.to_ascii_lowercase()))),
            countries: None,
            stamps: Stamps::new(zone.clone()),
            zone,
            who: Who::default(),
            young: HashMap::new(),
            old: HashMap::new(),
            windows: HashMap::new(),
            parts: HashMap::new(),
            folders: Folders::default(),
            answers: Answers::default(),
            touched: Vec::new(),
            counts: Counts::default(),
            last: Moment(i64::MIN),
            night: (u32::MAX, false),
        }
    }

    /// Whose logins, mailboxes and folders are whose, from now on.
    pub fn set_who(&mut self, who: Who) {
        self.who = who;
    }

    /// What was read so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A line was too long to be one of a mail server.
    pub(super) fn drop_line(&mut self) {
        self.counts.lines += 1;
        self.counts.dropped += 1;
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
        let parsed = match self.stamps.is_exim() {
            true => exim::parse(rest),
            false => match parse(rest) {
                Parsed::Other => exim::in_syslog(rest).unwrap_or(Parsed::Other),
                parsed => parsed,
            },
        };
        match parsed {
            Parsed::Line(line) => self.book(line, at),
            Parsed::Other => self.counts.other += 1,
            Parsed::Malformed => self.counts.dropped += 1,
        }
        Some(at)
    }

    /// The ids of messages of one window that wait in the queue and are not held, oldest first, at most `most`.
    pub fn queued(&self, key: Key, since: Moment, most: usize) -> Vec<Id> {
        let waiting = self.old.iter().chain(&self.young);
        let mut ids: Vec<(u32, Id)> = waiting
            .filter(|(_, m)| m.key == key && !m.held && m.minute >= minute(since))
            .map(|(id, m)| (m.minute, *id))
            .collect();
        ids.sort_unstable();
        ids.truncate(most);
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// The folders and mailboxes of an account that are counted apart.
    pub fn parts(&self, uid: u32) -> &[Key] {
        self.parts.get(&uid).map(Vec::as_slice).unwrap_or_default()
    }

    /// Forgets everything of a uid.
    pub(super) fn forget_account(&mut self, uid: u32) {
        self.windows.retain(|key, _| key.uid != uid);
        self.parts.remove(&uid);
        self.answers.forget(uid);
        self.folders.forget(uid);
        self.touched.retain(|touched| touched.uid != uid);
        self.young.retain(|_, message| message.key.uid != uid);
        self.old.retain(|_, message| message.key.uid != uid);
    }

    /// Forgets windows that were silent for a day.
    pub(super) fn forget_idle(&mut self, now: Moment) {
        self.windows.retain(|_, window| !window.is_idle(now));
        let windows = &self.windows;
        self.parts.retain(|_, keys| {
            keys.retain(|key| windows.contains_key(key));
            !keys.is_empty()
        });
    }

    /// Windows with something new since the last call, by account.
    pub(super) fn take_touched(&mut self) -> Vec<Key> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        for key in &touched {
            if let Some(window) = self.windows.get_mut(key) {
                window.touched = false;
            }
        }
        touched
    }

    fn book(&mut self, line: Line<'_>, at: Moment) {
        match line {
            Line::Pickup { id, uid, sender, before } => {
                // Requeued by an operator: Postfix's own uid hands it over, the message stays its first owner's.
                if let Some(mut message) = before.and_then(|before| self.forget(before)) {
                    message.held = false;
                    self.remember(id, message);
                    return;
                }
                self.handed(id, Key::local(uid), None, sender, b"", at);
            }
            Line::Local { id, user, sender, recipients, pid } => match self.who.login(user) {
                Some(uid) => {
                    let folder = self.folders.take(uid, pid, at);
                    self.handed(id, Key::local(uid), folder, sender, recipients, at);
                }
                None => {
                    let mut message = Message::new(Key::NOBODY, minute(at), hash(&self.key, sender));
                    for to in addresses(recipients) {
                        message.name(hash(&self.key, to));
                    }
                    self.remember(id, message);
                }
            },
            Line::Folder { path, pid } => {
                if let Some(uid) = self.who.folder(path) {
                    self.folders.entered(uid, pid, path, at);
                }
            }
            Line::Identified { id, user, sender } => self.identified(id, user, sender, at),
            Line::Login { id, login, client, sender, recipients } => {
                self.login(id, login, client, sender.unwrap_or_default(), recipients, at);
            }
            Line::Script { id, uid, name } => self.with(id, |message, window| {
                // A header that names another uid is forged, and the first one is PHP's own.
                if message.key.uid == uid && !std::mem::replace(&mut message.script, true) {
                    window.script(message.minute, name);
                }
            }),
            Line::Queued { id, sender, recipients } => {
                if !self.answers.is_idle() && !self.knows(&id) {
                    self.answers.arrived(id, hash(&self.key, sender));
                }
                self.with(id, |message, window| {
                    let more = recipients.saturating_sub(message.recipients);
                    message.recipients += more;
                    window.recipients(message.minute, more);
                });
            }
            Line::Delivery { id, to, status, why, via } => self.delivery(id, to, (status, why, via)),
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
            Line::Removed(id) => {
                self.forget(id);
                self.answers.left(&id);
            }
            Line::Arrived { id, before, sender } => {
                self.forget(id);
                if let Some(sender) = sender.filter(|_| !self.answers.is_idle()) {
                    self.answers.arrived(id, hash(&self.key, sender));
                }
                // Given back by a filter under a new id: still the message of whoever handed it over.
                if let Some(message) = before.filter(|before| *before != id).and_then(|b| self.find(&b).cloned()) {
                    self.remember(id, message);
                }
            }
        }
    }

    /// A message was handed over; it is booked to `key` and to its folder.
    fn handed(&mut self, id: Id, key: Key, folder: Option<String>, sender: &[u8], to: &[u8], at: Moment) {
        let night = self.is_night(at);
        let sender_hash = hash(&self.key, sender);
        let mut room = [0; 253];
        let domain = domain_of(sender, &mut room);
        let mut message = Message::new(key, minute(at), sender_hash);
        if self.window(key, Part::All).is_none() {
            self.counts.accounts_shed += 1;
            return;
        }
        message.folder = folder.and_then(|folder| {
            let key = Key { uid: key.uid, part: hash(&self.key, folder.as_bytes()) & !1 | 2 };
            self.window(key, Part::Folder(folder)).map(|_| key)
        });
        for key in [Some(key), message.folder].into_iter().flatten() {
            let Some(window) = self.windows.get_mut(&key) else { continue };
            window.message(at, night, sender_hash, domain);
            if window.sender.0 != sender_hash {
                window.sender.0 = sender_hash;
                window.sender.1.clear();
                window.sender.1.extend_from_slice(&sender[..sender.len().min(320)]);
            }
        }
        self.remember(id, message);
        self.touch(key);
        for to in addresses(to) {
            self.named(id, to);
        }
    }

    /// A mailbox's message. Its window has to be made first, because it has a name.
    fn login(&mut self, id: Id, login: &[u8], client: IpAddr, sender: &[u8], to: &[u8], at: Moment) {
        self.forget(id);
        let name = std::str::from_utf8(login).ok().and_then(|name| name.parse::<MailUser>().ok());
        let Some((uid, name)) = name.and_then(|name| Some((self.who.mailbox(name.as_str())?, name))) else { return };
        let key = Key { uid, part: hash(&self.key, login) | 1 };
        let Some(window) = self.window(key, Part::Mailbox(name.to_string())) else {
            self.counts.accounts_shed += 1;
            return;
        };
        window.places.login(minute(at), client);
        // Postfix says the sender later; the login is what counts here.
        self.handed(id, key, None, if sender.is_empty() { login } else { sender }, to, at);
    }

    /// cPanel says for whom a shared user handed a message over.
    fn identified(&mut self, id: Id, user: &[u8], sender: &[u8], at: Moment) {
        if self.find(&id).is_none_or(|message| message.key != Key::NOBODY) {
            return;
        }
        let (Some(uid), Some(earlier)) = (self.who.login(user), self.forget(id)) else { return };
        self.handed(id, Key::local(uid), None, sender, b"", at);
        let at = minute(at);
        let Some(message) = self.young.get_mut(&id) else { return };
        let Some(window) = self.windows.get_mut(&message.key) else { return };
        for hash in earlier.hashes() {
            if message.name(hash) {
                window.recipient(at, hash, Place::Unknown);
                message.recipients += 1;
                window.recipients(at, 1);
            }
        }
    }

    /// The window of a key, made if there is room for it.
    fn window(&mut self, key: Key, part: Part) -> Option<&mut Window> {
        if !self.windows.contains_key(&key) {
            let room = if part == Part::All { WINDOWS_MAX } else { WINDOWS_MAX / 4 * 3 };
            if self.windows.len() >= room {
                return None;
            }
            if part != Part::All {
                let parts = self.parts.entry(key.uid).or_default();
                if parts.len() >= PARTS_MAX {
                    let newest = |key: &Key| self.windows.get(key).map_or(0, Window::newest);
                    let oldest = parts.iter().enumerate().min_by_key(|(_, key)| newest(key)).map_or(0, |(at, _)| at);
                    self.windows.remove(&parts.swap_remove(oldest));
                }
                parts.push(key);
            }
            self.windows.insert(key, Window::of(part));
        }
        self.windows.get_mut(&key)
    }

    fn touch(&mut self, key: Key) {
        if let Some(window) = self.windows.get_mut(&key)
            && !std::mem::replace(&mut window.touched, true)
        {
            self.touched.push(key);
        }
    }

    /// A recipient that was named when the message was handed over.
    fn named(&mut self, id: Id, to: &[u8]) {
        self.recipient(id, to, None);
    }

    fn delivery(&mut self, id: Id, to: &[u8], outcome: (Status, Why, Via<'_>)) {
        if !self.answers.is_idle() && self.inbound_delivery(id, to) {
            return;
        }
        self.recipient(id, to, Some(outcome));
    }

    /// A recipient that was named, or tried with this outcome.
    fn recipient(&mut self, id: Id, to: &[u8], outcome: Option<(Status, Why, Via<'_>)>) {
        let Reader { young, old, windows, key, country, countries, answers, .. } = self;
        let Some(message) = young.get_mut(&id).or_else(|| old.get_mut(&id)) else { return };
        let hash = hash(key, to);
        let new = message.name(hash);
        let first_try = outcome.is_some() && message.tried(hash);
        let more = new && message.seen > message.recipients;
        message.recipients += u32::from(more);
        let mut by = None;
        let mut place = Place::Unknown;
        if let Some(node) = *country
            && (new || countries.is_some())
        {
            let mut room = [0; 253];
            let domain = domain_of(to, &mut room).as_bytes();
            let said = country::said(domain);
            if let Said::Country(country) = said {
                place = Place::of(country, node);
            }
            if let (Some(countries), Some((.., via))) = (&countries, outcome)
                && let Some(server) = via.server()
                && message.taken(hash, new)
            {
                let keyed = |bytes: &[u8]| super::message::hash(key, bytes);
                let asked = said == Said::Nothing && !matches!(domain, b"" | b"?") && !server.is_house();
                let found = asked.then(|| countries.lookup(server.address)).flatten();
                let abroad = found.map(|country| Place::of(country, node) == Place::Abroad);
                by = Some(By { taker: server.taker(keyed), domain: keyed(domain), abroad });
            }
        }
        let pair = pair_key(message.sender, hash);
        for at in [Some(message.key), message.folder].into_iter().flatten() {
            let Some(window) = windows.get_mut(&at) else { continue };
            if new {
                window.recipient(message.minute, hash, place);
                let from = (window.sender.0 == message.sender).then_some(window.sender.1.as_slice());
                let count = window.pairs.seen(pair, message.minute, || Some((from?, to)));
                if at == message.key && hash != message.sender {
                    answers.suspect(pair, count, at);
                }
            }
            if more {
                window.recipients(message.minute, 1);
            }
            if let Some(by) = by {
                window.took(message.minute, by);
            }
            let Some((status, why, _)) = outcome else { continue };
            if status == Status::Bounced {
                window.pairs.bounced(pair);
            }
            window.change(message.minute, |sums| {
                match status {
                    Status::Sent => sums.sent += 1,
                    Status::Bounced => sums.bounced += 1,
                    Status::Deferred => sums.deferred += u32::from(first_try),
                }
                let once = status == Status::Bounced || (status == Status::Deferred && first_try);
                sums.spam += u32::from(once && why == Why::Spam);
                sums.excused += u32::from(status == Status::Bounced && why == Why::Excused);
            });
        }
        let key = message.key;
        self.touch(key);
    }

    /// Whether this delivers an inbound message; if it answers a pair, that is noted.
    fn inbound_delivery(&mut self, id: Id, to: &[u8]) -> bool {
        let Some(sender) = self.answers.sender(&id) else { return false };
        let pair = pair_key(hash(&self.key, to), sender);
        if let Some(window) = self.answers.window(pair).and_then(|key| self.windows.get_mut(&key)) {
            window.pairs.answered(pair);
        }
        true
    }

    fn with(&mut self, id: Id, how: impl Fn(&mut Message, &mut Window)) {
        let Reader { young, old, windows, .. } = self;
        let Some(message) = young.get_mut(&id).or_else(|| old.get_mut(&id)) else { return };
        let key = message.key;
        if let Some(window) = message.folder.and_then(|folder| windows.get_mut(&folder)) {
            how(&mut message.clone(), window); // the same step, in the folder's window
        }
        if let Some(window) = windows.get_mut(&key) {
            how(message, window);
        }
        self.touch(key);
    }

    fn find(&self, id: &Id) -> Option<&Message> {
        self.young.get(id).or_else(|| self.old.get(id))
    }

    fn knows(&self, id: &Id) -> bool {
        self.young.contains_key(id) || self.old.contains_key(id)
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

/// The recipients of an Exim line: separated by spaces, a quoted local part may hold some.
fn addresses(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let quoted = rest.strip_prefix(b"\"").and_then(closing_quote).map_or(0, |close| close + 2);
        let end = quoted + rest[quoted..].iter().position(|b| *b == b' ').unwrap_or(rest.len() - quoted);
        let (address, after) = rest.split_at(end);
        rest = after;
        (!address.is_empty()).then_some(address)
    })
}

/// The domain of an address, lower case, empty when it has none; a strange one is `?`.
fn domain_of<'a>(address: &[u8], room: &'a mut [u8; 253]) -> &'a str {
    let Some(at) = address.iter().rposition(|b| *b == b'@') else { return "" };
    let domain = &address[at + 1..];
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let Some(room) = room.get_mut(..domain.len()).filter(|_| domain.iter().all(plain)) else { return "?" };
    room.copy_from_slice(domain);
    room.make_ascii_lowercase();
    std::str::from_utf8(room).unwrap_or("?")
}
