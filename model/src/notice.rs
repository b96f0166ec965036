//! Notices: which kinds there are and what became of one that was sent.

use serde::{Deserialize, Serialize};

use crate::name::{Hash, Number};

/// The kinds of letters to an owner (numbers of `words.md` in brackets).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeKind {
    /// Something was stopped (1).
    Restricted,
    /// Something more was stopped in the same incident (2).
    Added,
    /// The answer to a question, bound by machine to the open incident (4).
    Answer {
        /// The question's row.
        question: Hash,
        /// The closed incident that the owner spoke of, if he did.
        earlier: Option<Number>,
    },
    /// What a verification found (5).
    CheckFailed,
    /// Everything was lifted; carries the certificate (7).
    Released,
    /// Trouble again after a release (8).
    Relapse {
        /// The incident that was released before.
        earlier: Number,
    },
    /// Our mistake; everything undone (9).
    FalseAlarm,
    /// An earlier notice once more, unchanged.
    Resend {
        /// Its ordinal within the incident.
        ordinal: u16,
    },
}

/// What is known about a letter's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The receiving server (or our relay) took it; whether it was read is not known.
    Accepted {
        /// How many addresses took it.
        addresses: u16,
    },
    /// Not yet; it is tried again.
    Waiting {
        /// Why, in the server's words, cut to 200 printable characters, without addresses.
        why: String,
    },
    /// It was never sent: what it would have told did not come about.
    Withdrawn,
    /// It will not arrive by this way; the operator has it on his list.
    Undeliverable {
        /// Why, as above.
        why: String,
    },
}
