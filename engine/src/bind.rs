//! Binds what an owner says to the incident that he means: always an open one, whatever number he quotes.
//!
//! The story that taught us: an owner asked "why 403?", support answered about the incident of six weeks ago.

use model::Number;

use crate::account::Account;
use crate::incident::Incident;

/// What an owner's words are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The open incident, and the ended one that he quoted, if he did.
    Open {
        /// The open incident.
        incident: Number,
        /// The ended one that he spoke of.
        earlier: Option<Number>,
    },
    /// No incident is open: nothing of ours stands in his way.
    Nothing {
        /// The ended one that he spoke of.
        earlier: Option<Number>,
    },
}

/// Finds the incident: the quoted one if it is open; else the open one with restrictions, the newest first;
/// else any open one.
pub fn bind(account: &Account, quoted: Option<Number>) -> Bound {
    let open = |n: &Number| account.incident(*n).is_some_and(Incident::is_open);
    if let Some(number) = quoted.filter(open) {
        return Bound::Open { incident: number, earlier: None };
    }
    let earlier = quoted.filter(|n| account.incident(*n).is_some());
    let restricted = account.open_incidents().filter(|i| i.in_force().next().is_some()).last();
    // Without a number, the ended incident that he may have in mind is the latest one.
    let earlier = earlier
        .or_else(|| account.incidents.iter().rev().find(|i| !i.is_open() && i.owner_was_told()).map(|i| i.number));
    match restricted.or_else(|| account.open_incidents().last()) {
        Some(incident) => Bound::Open { incident: incident.number, earlier },
        None => Bound::Nothing { earlier },
    }
}
