//! What came out of reading one input: findings about accounts, what nobody may be blamed for, and attacks from outside.

use std::net::IpAddr;

use model::order::Finding;
use model::{Evidence, Kind, Strength};

/// A finding that no account may be blamed for: the uid is shared and the paths do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unattributed {
    /// The mechanism.
    pub kind: Kind,
    /// Further ones.
    pub also: Vec<Kind>,
    /// What it says.
    pub strength: Strength,
    /// The uid.
    pub uid: u32,
    /// The facts.
    pub evidence: Evidence,
}

/// Somebody outside tries what did not work, or asks for too much: nobody's account is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// The mechanism.
    pub kind: Kind,
    /// From [`Strength::Suspicious`] on its sources may be slowed down.
    pub strength: Strength,
    /// Where it comes from, at most 64, never the node's own addresses or its proxies.
    pub sources: Vec<IpAddr>,
    /// The facts.
    pub evidence: Evidence,
}

/// The result of one input.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// About accounts, by account and site.
    pub findings: Vec<Finding>,
    /// About uids that several accounts share.
    pub unattributed: Vec<Unattributed>,
    /// About the node as a whole.
    pub attacks: Vec<Attack>,
    /// Lines read.
    pub lines: u64,
    /// Lines of the kind that this reader is for and that it did not understand.
    pub dropped: u64,
    /// What could not be seen, each with the next step.
    pub blind: Vec<String>,
}

impl Reading {
    /// Adds what another input said.
    pub fn join(&mut self, other: Reading) {
        self.findings.extend(other.findings);
        self.unattributed.extend(other.unattributed);
        self.attacks.extend(other.attacks);
        self.lines += other.lines;
        self.dropped += other.dropped;
        self.blind.extend(other.blind);
    }
}
