//! Whether a recipient writes back: joins inbound mail to pairs of addresses that are suspected of answering themselves.
//!
//! Nothing inbound is looked at while no pair is suspected. All of it is lost at times, for want of room; a pair that
//! goes on is suspected again after a few messages.

use std::collections::HashMap;

use super::line::Id;
use super::reader::Key;

/// Inbound messages remembered; when there are more all are forgotten.
const INBOUND_MAX: usize = 16_384;
/// Pairs that are suspected; when there are more all are forgotten.
const PAIRS_MAX: usize = 1024;
/// Each so many messages of a pair it is suspected (again).
const EACH: u32 = 3;

/// Suspected pairs with the window that has them, and inbound messages with the hash of their sender.
#[derive(Debug, Default)]
pub struct Answers {
    pairs: HashMap<u64, Key>,
    inbound: HashMap<Id, u64>,
}

impl Answers {
    /// Whether nothing is suspected.
    pub fn is_idle(&self) -> bool {
        self.pairs.is_empty()
    }

    /// A pair of this window has had so many messages.
    pub fn suspect(&mut self, pair: u64, count: u32, key: Key) {
        if count.is_multiple_of(EACH) {
            if self.pairs.len() >= PAIRS_MAX {
                self.pairs.clear();
            }
            self.pairs.insert(pair, key);
        }
    }

    /// An inbound message has this sender.
    pub fn arrived(&mut self, id: Id, sender: u64) {
        if self.inbound.len() >= INBOUND_MAX {
            self.inbound.clear();
        }
        self.inbound.insert(id, sender);
    }

    /// The sender of an inbound message.
    pub fn sender(&self, id: &Id) -> Option<u64> {
        self.inbound.get(id).copied()
    }

    /// The window of a suspected pair.
    pub fn window(&self, pair: u64) -> Option<Key> {
        self.pairs.get(&pair).copied()
    }

    /// A message left the queue.
    pub fn left(&mut self, id: &Id) {
        self.inbound.remove(id);
    }

    /// Forgets the pairs of an account.
    pub fn forget(&mut self, uid: u32) {
        self.pairs.retain(|_, key| key.uid != uid);
    }
}

/// The pair of two addresses, in this direction; the way back is another pair.
pub fn pair_key(from: u64, to: u64) -> u64 {
    from.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ to
}
