//! One message while it is in the queue: whose it is, and which of its recipients were named and tried.

use super::reader::Key;

/// Recipients of one message told apart; repeats beyond count again.
const RECIPIENTS_MAX: usize = 256;
/// Set in the hash of a recipient of which an attempt was seen.
const TRIED: u64 = 1 << 63;
/// Set when the server that took it was named.
const TAKEN: u64 = 1 << 62;
const MARKS: u64 = TRIED | TAKEN;

/// A message in the queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// Whose.
    pub key: Key,
    /// The folder from which it was handed over, if that is counted apart.
    pub folder: Option<Key>,
    /// When it was handed over.
    pub minute: u32,
    /// Recipients booked.
    pub recipients: u32,
    /// Recipients that were named.
    pub seen: u32,
    /// Keyed hash of the envelope sender.
    pub sender: u64,
    /// Its script was named.
    pub script: bool,
    /// In the hold queue.
    pub held: bool,
    /// Hashes of recipients; the first lies here, because most have one.
    first: u64,
    others: Vec<u64>,
}

impl Message {
    /// Just handed over.
    pub fn new(key: Key, minute: u32, sender: u64) -> Message {
        let (recipients, seen, first, others) = (0, 0, 0, Vec::new());
        Message { key, folder: None, minute, recipients, seen, sender, script: false, held: false, first, others }
    }

    /// A recipient is named; true if it was not before.
    pub fn name(&mut self, hash: u64) -> bool {
        if self.place(hash).is_some() {
            return false;
        }
        // Of a long list that is complete the later ones were not kept: a name that is not known is one of them.
        if self.others.len() >= RECIPIENTS_MAX && self.seen >= self.recipients && self.recipients > 0 {
            return false;
        }
        self.seen += 1;
        if self.seen == 1 {
            self.first = hash & !MARKS;
        } else if self.others.len() < RECIPIENTS_MAX {
            self.others.push(hash & !MARKS);
        }
        true
    }

    /// An attempt at a recipient; true for the first one.
    pub fn tried(&mut self, hash: u64) -> bool {
        self.place(hash).is_none_or(|place| {
            let first = *place & TRIED == 0;
            *place |= TRIED;
            first
        })
    }

    /// The server that was asked to take it is known; true for the first one. Of a recipient that is not kept only the
    /// attempt that named it counts (`new`).
    pub fn taken(&mut self, hash: u64, new: bool) -> bool {
        self.place(hash).map_or(new, |place| {
            let first = *place & TAKEN == 0;
            *place |= TAKEN;
            first
        })
    }

    /// The hashes that are known.
    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        let first = (self.seen > 0).then_some(self.first);
        first.into_iter().chain(self.others.iter().copied()).map(|hash| hash & !MARKS)
    }

    fn place(&mut self, hash: u64) -> Option<&mut u64> {
        let same = |known: u64| known & !MARKS == hash & !MARKS;
        if self.seen > 0 && same(self.first) {
            return Some(&mut self.first);
        }
        self.others.iter_mut().find(|known| same(**known))
    }
}

/// The first eight bytes of the keyed hash of an address, capitals made small.
pub fn hash(key: &[u8; 32], address: &[u8]) -> u64 {
    let mut small = [0u8; 320]; // the longest address of RFC 5321 is 254; what is longer is cut
    let n = address.len().min(small.len());
    small[..n].copy_from_slice(&address[..n]);
    small[..n].make_ascii_lowercase();
    let hash = blake3::keyed_hash(key, &small[..n]);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("32 bytes hold 8"))
}
