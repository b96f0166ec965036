//! Decides. One pure function turns what was seen and said into events; no clock, no disk, no network.
//!
//! `step` never sees file contents or log lines, only signals, so a planted file cannot steer it. The same
//! events and inputs always give the same answer, which is what makes a story replayable.

#![forbid(unsafe_code)]

mod account;
mod bind;
mod choose;
mod draft;
mod incident;
mod operator;
mod outcome;
mod owner;
mod policy;
mod release;
mod tick;
mod weigh;

#[cfg(test)]
mod tests;

use model::{Event, Input, Moment};

pub use account::{Account, Waiting};
pub use bind::{Bound, bind};
pub use choose::{Choice, choose};
pub use incident::{Given, Incident, NoticeState, State, Status};
pub use policy::Policy;

/// What follows from one input, as events in order; empty when nothing does.
///
/// The caller stores the events first, applies them with [`Account::apply`], then sends the orders that they
/// carry. Nothing here is undone by a crash in between: pending orders are sent again and answered once.
pub fn step(account: &Account, policy: &Policy, now: Moment, input: Input) -> Vec<Event> {
    let mut draft = draft::Draft::new(account, policy, now);
    match input {
        Input::Signal(signal) => weigh::weigh(&mut draft, signal),
        Input::Outcome(outcome) => outcome::see(&mut draft, outcome),
        Input::Owner { quoted, what } => owner::hear(&mut draft, quoted, what),
        Input::Operator { by, what } => operator::obey(&mut draft, &by, what),
        Input::Tick => tick::pass(&mut draft),
        Input::Replaced => operator::hand_over(&mut draft),
        Input::Inventory(sites) => {
            if sites != draft.account.sites {
                draft.emit(model::Fact::SitesSeen { sites });
            }
        }
    }
    draft.events
}
