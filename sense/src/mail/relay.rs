//! Who took a mail: the server that a line of a delivery names, and whether its country is that of the reader.
//!
//! Postfix and Exim asked DNS and write what they found, so nothing is asked again. A server says a country only when
//! it takes mail as the domain's own server would:
//!
//! | seen in the mail of one account or part within an hour | the server's country |
//! |---|---|
//! | a house with readers everywhere, by the end of its host name | says nothing |
//! | a private address, loopback, a socket, another port than 25: a filter, a mailbox, a submission | says nothing, is not counted |
//! | fewer than five different takers in all: the node may hand everything to a few smarthosts | says nothing |
//! | a taker of sixteen domains and more: a mail house, or one owner's smarthost | says nothing |
//! | a taker of four domains and more, and of a quarter of all | says nothing |
//! | any other | is the reader's |
//!
//! Servers of one organisation (`mx1.example.net`, `mx2.example.net`) are one taker, whatever their addresses: a smarthost
//! is often a pool. All of it is counted apart for each account, so what one sends never changes what is said of
//! another; and it is worked out when the hour is judged, so that the mail before a smarthost was recognised is unknown
//! too. Only keyed hashes are kept, in bounded memory.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::line::address;

/// Different takers from which the node is known to deliver by itself.
const TAKERS_MIN: usize = 5;
/// Domains, as far as 64 bits tell them apart, from which a taker is a house.
const DOMAINS_HOUSE: u32 = 15;
/// Domains from which the share of a taker counts, and one in so many of all domains.
const DOMAINS_SHARE: u32 = 4;
const SHARE: u32 = 4;
/// Takers remembered for one window.
const TAKERS_MAX: usize = 256;
/// Bookings remembered for one window: minute, taker and place.
const BOOKED_MAX: usize = 1024;
/// Newest bookings among which an equal one is looked for.
const NEAR: usize = 16;

/// Ends of host names of servers that take mail for readers in all countries: webmail, hosted mail, filters before it.
const HOUSES: &[&[u8]] = &[
    b"amazonaws.com",
    b"antispamcloud.com",
    b"aol.com",
    b"apple.com",
    b"arsmtp.com",
    b"barracudanetworks.com",
    b"cloudflare.net",
    b"emailsrvr.com",
    b"fastmail.com",
    b"forwardemail.net",
    b"gmx.com",
    b"gmx.net",
    b"google.com",
    b"googlemail.com",
    b"gpphosted.com",
    b"hostinger.com",
    b"hotmail.com",
    b"icloud.com",
    b"improvmx.com",
    b"iphmx.com",
    b"mail.com",
    b"mailgun.org",
    b"messagelabs.com",
    b"messagingengine.com",
    b"migadu.com",
    b"mimecast.com",
    b"mx.microsoft",
    b"one.com",
    b"outlook.com",
    b"pphosted.com",
    b"ppe-hosted.com",
    b"privateemail.com",
    b"proofpoint.com",
    b"protonmail.ch",
    b"registrar-servers.com",
    b"secureserver.net",
    b"sendgrid.net",
    b"spamexperts.com",
    b"titan.email",
    b"tutanota.de",
    b"yahoodns.net",
    b"yandex.net",
    b"yandex.ru",
    b"zoho.com",
    b"zoho.eu",
];

/// What a line says of the server, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via<'a> {
    /// Postfix: the value of `relay=`.
    Postfix(&'a [u8]),
    /// Exim: everything behind the recipient.
    Exim(&'a [u8]),
}

/// A server that takes mail of other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// Its name; its address where it has none. Capitals as they were written.
    pub host: &'a [u8],
    /// Its address.
    pub address: IpAddr,
}

impl<'a> Via<'a> {
    /// The server, if the line names one that is elsewhere. A line with two is none.
    pub fn server(&self) -> Option<Server<'a>> {
        let (host, inside, after) = match *self {
            // `HOST[ADDRESS]:PORT` (Postfix `src/smtp/smtp_session.c`).
            Via::Postfix(relay) => {
                let (host, rest) = split(relay, b'[')?;
                let (inside, after) = split(rest, b']')?;
                (host, inside, after)
            }
            // `… H=HOST [ADDRESS][:PORT][*] …` (Exim specification, «Delivery to a remote host»).
            Via::Exim(text) => {
                let (host, rest) = split(exim_host(text)?, b' ')?;
                let (inside, after) = split(rest.strip_prefix(b"[")?, b']')?;
                let end = after.iter().position(|b| matches!(b, b' ' | b',')).unwrap_or(after.len());
                let after = &after[..end];
                let after = after.strip_suffix(b":").unwrap_or(after);
                (host, inside, after.strip_suffix(b"*").unwrap_or(after))
            }
        };
        let address = address(inside)?;
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        let fits = (1..=253).contains(&host.len()) && host.iter().all(plain);
        (fits && matches!(after, b"" | b":25") && is_elsewhere(address)).then_some(Server { host, address })
    }
}

fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|b| *b == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// What follows the only `H=` before the reason; senders that are logged too may imitate one.
fn exim_host(text: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    let mut from = 0;
    while let Some(space) = text[from..].iter().position(|b| *b == b' ') {
        let start = from + space + 1;
        let word = &text[start..];
        let end = word.iter().position(|b| *b == b' ').unwrap_or(word.len());
        if let Some(host) = word.strip_prefix(b"H=")
            && found.replace(host).is_some()
        {
            return None;
        }
        // Quoted texts (the server's answer, certificates' names) and the reason come behind the host.
        if word[..end].contains(&b'"') || (end > 0 && word[end - 1] == b':') {
            break;
        }
        from = start;
    }
    found
}

/// Not this node, its own network, or no single host.
fn is_elsewhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64; // RFC 6598
            let local = v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared;
            !(local || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            let local = first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80;
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || local)
        }
    }
}

impl<'a> Server<'a> {
    /// A house with readers everywhere, by the end of its name.
    pub fn is_house(&self) -> bool {
        let host = self.host.strip_suffix(b".").unwrap_or(self.host);
        let ends = |house: &&[u8]| {
            let Some(at) = host.len().checked_sub(house.len()) else { return false };
            host[at..].eq_ignore_ascii_case(house) && (at == 0 || host[at - 1] == b'.')
        };
        HOUSES.iter().any(ends)
    }

    /// What is one taker: the organisation's name, two labels or three (`example.co.jp`), or the network of an address.
    pub fn taker(&self, hash: impl Fn(&[u8]) -> u64) -> u64 {
        if address(self.host).is_some() || !self.host.contains(&b'.') {
            return match self.address {
                IpAddr::V4(v4) => hash(&Ipv4Addr::from_bits(v4.to_bits() & !0xff).octets()),
                IpAddr::V6(v6) => hash(&Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).octets()),
            };
        }
        let name = self.host.strip_suffix(b".").unwrap_or(self.host);
        let mut labels = name.rsplit(|b| *b == b'.');
        let (last, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
        let mut length = last.len() + 1 + second.len();
        if last.len() == 2
            && second.len() <= 3
            && let Some(third) = labels.next()
        {
            length += 1 + third.len();
        }
        hash(&name[name.len().saturating_sub(length)..])
    }
}

/// Where a recipient is if his server may say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// The taker, a keyed hash.
    pub taker: u64,
    /// The recipient's domain, a keyed hash.
    pub domain: u64,
    /// True: abroad; none: its country says nothing, or the domain has said it.
    pub abroad: Option<bool>,
}

/// The takers of one account's mail, or of a part of it.
#[derive(Clone, Debug, Default)]
pub struct Takers {
    takers: Vec<Taker>,
    booked: VecDeque<Booked>,
}

#[derive(Clone, Debug)]
struct Taker {
    key: u64,
    /// Which of 64 classes of domains it took mail for: a count of different ones that is never too high.
    domains: u64,
    last: u32,
}

/// Recipients that were booked as unknown and may be told by their taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Of messages of this minute.
    pub minute: u32,
    taker: u64,
    /// Whether they are abroad; else they are domestic.
    pub abroad: bool,
    /// How many.
    pub count: u32,
}

impl Takers {
    /// A recipient of a message of this minute was handed to a taker. What is returned has no room any more and is
    /// to be booked for good.
    pub fn took(&mut self, minute: u32, by: By) -> Vec<Booked> {
        let known = self.takers.iter().position(|taker| taker.key == by.taker);
        let full = (known.is_none() && self.takers.len() >= TAKERS_MAX) || self.booked.len() >= BOOKED_MAX;
        let settled = if full { self.settle() } else { Vec::new() };
        let at = self.takers.iter().position(|taker| taker.key == by.taker).unwrap_or_else(|| {
            self.takers.push(Taker { key: by.taker, domains: 0, last: minute });
            self.takers.len() - 1
        });
        let taker = &mut self.takers[at];
        taker.domains |= 1 << (by.domain % 64);
        taker.last = taker.last.max(minute);
        if let Some(abroad) = by.abroad {
            let same = |b: &&mut Booked| (b.minute, b.taker, b.abroad) == (minute, by.taker, abroad);
            match self.booked.iter_mut().rev().take(NEAR).find(same) {
                Some(booked) => booked.count += 1,
                None => self.booked.push_back(Booked { minute, taker: by.taker, abroad, count: 1 }),
            }
        }
        settled
    }

    /// The recipients of the minutes inside whose takers say where they are: abroad, domestic.
    pub fn said(&self, inside: impl Fn(u32) -> bool) -> [u32; 2] {
        let mut sums = [0; 2];
        let all = self.domains();
        for booked in self.booked.iter().filter(|booked| inside(booked.minute) && self.speaks(booked.taker, all)) {
            sums[usize::from(!booked.abroad)] += booked.count;
        }
        sums
    }

    /// Forgets what is before this minute.
    pub fn forget(&mut self, old: u32) {
        self.takers.retain(|taker| taker.last >= old);
        // Nearly sorted, as the recipients of a window are.
        while self.booked.front().is_some_and(|booked| booked.minute < old) {
            self.booked.pop_front();
        }
    }

    /// Makes room: bookings are settled by what is known now, and a quarter of the takers goes, those that were quiet
    /// longest.
    fn settle(&mut self) -> Vec<Booked> {
        let all = self.domains();
        let booked = std::mem::take(&mut self.booked);
        let settled = booked.into_iter().filter(|booked| self.speaks(booked.taker, all)).collect();
        if self.takers.len() >= TAKERS_MAX {
            self.takers.sort_by_key(|taker| std::cmp::Reverse(taker.last));
            self.takers.truncate(TAKERS_MAX / 4 * 3);
        }
        settled
    }

    fn domains(&self) -> u32 {
        self.takers.iter().map(|taker| taker.domains.count_ones()).sum()
    }

    fn speaks(&self, key: u64, all: u32) -> bool {
        let Some(taker) = self.takers.iter().find(|taker| taker.key == key) else { return false };
        let own = taker.domains.count_ones();
        let most = own >= DOMAINS_SHARE && own * SHARE >= all;
        self.takers.len() >= TAKERS_MIN && own < DOMAINS_HOUSE && !most
    }
}

#[cfg(test)]
mod tests;
