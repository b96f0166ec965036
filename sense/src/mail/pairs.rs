//! Pairs of sender and recipient that come again and again, to tell loops and floods of notices.
//!
//! A few pairs an account, by hash; the two addresses are kept only once a pair has repeated, in memory alone: a loop
//! cannot be slowed down without naming it. A pair that pauses is forgotten.

/// Pairs remembered; the one that was seen the longest ago goes first.
const PAIRS_MAX: usize = 32;
/// Messages from which the addresses are kept.
const NAMED_FROM: u32 = 4;
/// Minutes without a message after which a pair begins anew.
const PAUSE: u32 = 20;
/// Longest address that is kept, bytes (RFC 5321: 254).
const ADDRESS_MAX: usize = 254;

/// One pair since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// Messages.
    pub count: u32,
    /// How many of them were refused for good.
    pub bounced: u32,
    /// Messages that came back from the recipient to the sender.
    pub answered: u32,
    /// Minutes of the first and of the last one.
    pub first: u32,
    /// See `first`.
    pub last: u32,
    /// Sender and recipient, once it has repeated.
    pub names: Option<(String, String)>,
}

impl Pair {
    /// An account that writes to itself, as cron does: the same address, or the bare login and an address of it.
    pub fn is_own(&self) -> bool {
        self.names.as_ref().is_some_and(|(from, to)| {
            let local = |name: &str| name.split('@').next().unwrap_or_default().to_ascii_lowercase();
            from.eq_ignore_ascii_case(to) || (local(from) == local(to) && !(from.contains('@') && to.contains('@')))
        })
    }

    /// Minutes from one message to the next, on average.
    pub fn gap(&self) -> f64 {
        f64::from(self.last.saturating_sub(self.first)) / f64::from(self.count.saturating_sub(1).max(1))
    }
}

/// The pairs of one account.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// Key and last minute of each, in the order of `pairs`: what is searched for each recipient lies together.
    keys: Vec<(u64, u32)>,
    pairs: Vec<Pair>,
}

impl Pairs {
    /// A message of this minute; `names` gives both addresses when they are wanted and known. The messages of the pair.
    pub fn seen<'a>(&mut self, key: u64, minute: u32, names: impl FnOnce() -> Option<(&'a [u8], &'a [u8])>) -> u32 {
        let begun = Pair { first: minute, last: minute, ..Pair::default() };
        let at = match self.keys.iter().position(|(known, _)| *known == key) {
            Some(at) => {
                if minute > self.keys[at].1 + PAUSE {
                    self.pairs[at] = begun;
                }
                at
            }
            None if self.keys.len() < PAIRS_MAX => {
                self.keys.push((key, minute));
                self.pairs.push(begun);
                self.keys.len() - 1
            }
            None => {
                let oldest = self.keys.iter().enumerate().min_by_key(|(_, (_, last))| *last).map_or(0, |(at, _)| at);
                self.pairs[oldest] = begun;
                oldest
            }
        };
        let pair = &mut self.pairs[at];
        pair.count += 1;
        pair.last = pair.last.max(minute);
        self.keys[at] = (key, pair.last);
        if pair.count >= NAMED_FROM
            && pair.names.is_none()
            && let Some((from, to)) = names()
        {
            let text = |bytes: &[u8]| model::evidence::printable(&bytes[..bytes.len().min(ADDRESS_MAX)], ADDRESS_MAX);
            pair.names = Some((text(from), text(to)));
        }
        pair.count
    }

    /// One of them was refused for good.
    pub fn bounced(&mut self, key: u64) {
        self.with(key, |pair| pair.bounced += 1);
    }

    /// The recipient wrote back.
    pub fn answered(&mut self, key: u64) {
        self.with(key, |pair| pair.answered += 1);
    }

    /// Those that repeated and are named, with a message after this minute.
    pub fn named(&self, after: u32) -> Vec<Pair> {
        self.pairs.iter().filter(|pair| pair.names.is_some() && pair.last > after).cloned().collect()
    }

    fn with(&mut self, key: u64, how: impl FnOnce(&mut Pair)) {
        if let Some(at) = self.keys.iter().position(|(known, _)| *known == key) {
            how(&mut self.pairs[at]);
        }
    }
}
