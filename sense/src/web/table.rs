//! A fast hash for tables of addresses and paths, keyed anew in each process so that nobody can aim at one bucket.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map with [`Seed`].
pub type Table<K, V> = HashMap<K, V, Seed>;

/// Makes hashers of one secret.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Seed {
        Seed(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Seed {
    type Hasher = Folded;
    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

/// Multiplies and folds eight bytes at a time (the step of wyhash and foldhash).
pub struct Folded(u64);

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd6e8_feb8_6659_fd93);
    (wide >> 64) as u64 ^ wide as u64
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            self.0 = fold(self.0, u64::from_le_bytes(*eight));
        }
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.0 = fold(self.0, u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
    }
    fn write_u8(&mut self, n: u8) {
        self.0 = fold(self.0, u64::from(n));
    }
    fn write_usize(&mut self, n: usize) {
        self.0 = fold(self.0, n as u64);
    }
    fn write_u128(&mut self, n: u128) {
        self.0 = fold(fold(self.0, n as u64), (n >> 64) as u64);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The hash of a text, for small sets of bits and comparisons; equal in one process only where the seed is the same.
pub fn short(text: &[u8]) -> u64 {
    let mut hasher = Folded(0x51_7c_c1_b7_27_22_0a_95);
    hasher.write(text);
    hasher.finish()
}

/// Different values, estimated in 64 bits: exact enough up to about forty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Different(u64);

impl Different {
    /// Takes one in.
    pub fn add(&mut self, hash: u64) {
        self.0 |= 1 << (hash & 63);
    }
    /// Takes in what another has seen.
    pub fn join(&mut self, other: Different) {
        self.0 |= other.0;
    }
    /// How many were different, at least.
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }
}
