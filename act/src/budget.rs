//! How much may be done without the node being taken apart: accounts and files by the hour and the day.
//!
//! Counted by a time that no wall clock turns back ([`Stamp`]), across restarts.

use std::collections::BTreeSet;

use model::packet::ActOrder;
use model::{AccountRef, Failure, Stamp};

use crate::actor::Actor;
use crate::config::Budgets;
use crate::journal::Spent;

/// Files of one account that are set aside in any hour without a person, and the share of where they lie.
const FILES_PER_HOUR: u64 = 200;
const FILES_PERCENT: u64 = 20;

impl Actor {
    /// Whether this account may be restricted without a person: now, and whether it is one more. One that is restricted
    /// already, by more than a throttle, counts no second time.
    pub(crate) fn room_for_account(&self, account: &AccountRef) -> Result<(Stamp, bool), Failure> {
        let (book, now) = (self.book(), self.stamp());
        if book.held.values().any(|held| held.account == *account && !held.restriction.measure.slows()) {
            return Ok((now, false));
        }
        let Budgets { accounts_per_hour, accounts_per_day } = self.config.budgets;
        for (most, secs, span) in [(accounts_per_hour, 3600, "hour"), (accounts_per_day, 86_400, "day")] {
            let recent = book.spent.iter().filter(|spent| spent.one_more && spent.at.passed + secs > now.passed);
            let others = recent.map(|spent| &spent.account).filter(|other| *other != account);
            let count = others.collect::<BTreeSet<_>>().len();
            if count >= most as usize {
                return Err(Failure::Budget(format!(
                    "{count} accounts were restricted within one {span} without a person, and {most} is the most; confirm this one by hand if it is right"
                )));
            }
        }
        Ok((now, true))
    }

    /// Files that may be set aside without the site being taken apart: 200 in any hour without a person, and never
    /// more than 20 % of where they lie, with what is set aside already.
    pub(crate) fn room_for_files(&self, order: &ActOrder, more: u64, of: u64) -> Result<(), Failure> {
        let (book, now, account) = (self.book(), self.stamp(), &order.account);
        let aside = book.held.values().chain(book.kept.values().map(|kept| &kept.held));
        let all = more + aside.filter(|held| held.account == *account).map(|held| held.files() as u64).sum::<u64>();
        if of > 0 && all * 100 > of * FILES_PERCENT {
            return Err(Failure::Budget(format!(
                "{all} of {of} files would be set aside, and {FILES_PERCENT} % is the most; close the site or block scripts instead"
            )));
        }
        let recent = |spent: &&Spent| spent.account == *account && spent.at.passed + 3600 > now.passed;
        let hour = more + book.spent.iter().filter(recent).map(|spent| spent.files).sum::<u64>();
        if !order.verb.by_person() && hour > FILES_PER_HOUR {
            return Err(Failure::Budget(format!(
                "{hour} files of {account} would be set aside within one hour without a person, and {FILES_PER_HOUR} is the most; confirm this one by hand if it is right"
            )));
        }
        Ok(())
    }
}
