//! Who is meant by a name or a domain, and in which zone he lives.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use model::AccountEntry;

/// Accounts by what a line may say, as numbers.
pub(super) struct Maps {
    pub by_name: HashMap<Vec<u8>, usize>,
    /// `None`: two accounts claim the domain.
    pub by_domain: HashMap<Vec<u8>, Option<usize>>,
    /// Where each account's owner lives.
    pub zones: Vec<TimeZone>,
}

impl Maps {
    pub fn of(accounts: &[AccountEntry]) -> Maps {
        let (mut by_name, mut by_domain) = (HashMap::new(), HashMap::new());
        for (at, entry) in accounts.iter().enumerate() {
            by_name.insert(entry.account.name.as_str().as_bytes().to_vec(), at);
            for domain in entry.sites.iter().flat_map(|site| std::iter::once(&site.domain).chain(&site.aliases)) {
                let domain = domain.as_str().trim_start_matches("www.").as_bytes().to_vec();
                let held = by_domain.entry(domain).or_insert(Some(at));
                *held = held.filter(|held| *held == at);
            }
        }
        let zone = |entry: &AccountEntry| TimeZone::get(&entry.time_zone).unwrap_or(TimeZone::UTC);
        Maps { by_name, by_domain, zones: accounts.iter().map(zone).collect() }
    }
}
