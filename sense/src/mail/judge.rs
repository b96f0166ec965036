//! Tells mass mail by a stranger from newsletters, shops, tickets, forms and noise.
//!
//! | what is seen within an hour | strength |
//! |---|---|
//! | burst to many strangers, a fifth refused, above the own past | conclusive |
//! | the same with senders of three foreign domains | conclusive |
//! | the same, half of a hundred recipients or more abroad, not under the own domain | conclusive |
//! | the same under the own domain, four of five of five hundred abroad | conclusive |
//! | one of these, but usual at this hour, or one address gets a copy of nearly each (a form) | suspicious |
//! | burst to strangers: half abroad, or a tenth refused, or two foreign domains, or ten senders | suspicious |
//! | burst to strangers at night, above the own past, not under the own domain | suspicious |
//! | a form that sends each visitor a copy, fifteen in five minutes | suspicious |
//! | more than the operator's hard rate, nothing else | suspicious, of its own kind |
//! | everything else: even pace, one recipient, one message to a list, answers to bounces | nothing |
//!
//! Rates and shares alone say little: a newsletter is a burst to strangers too. What it does not have is a fifth
//! of dead addresses, foreign senders, or a country where the owner has no readers.

use super::past::Usual;
use super::window::Facts;
use model::Strength;

/// Thresholds; counts are messages or recipients handed over within one hour unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages within five minutes that make a burst. A newsletter plugin that keeps to a host's limit sends
    /// about seven (fluent-smtp #214), a shop in a sale about a dozen; mailers send one a second or more.
    pub burst_messages: u32,
    /// Recipients within five minutes that make a burst too, from three messages on (one may be a list's).
    pub burst_recipients: u32,
    /// Different recipients below which nobody is called strangers.
    pub strangers: u32,
    /// Refused recipients that count at all, so that one typing error is no share.
    pub bounced: u32,
    /// Refused share that is conclusive, per cent. Bought and guessed lists show a quarter to a half (e107 #320,
    /// easyengine #787), a well-kept list below 5, a neglected one about 10.
    pub bounced_percent: u32,
    /// Refused share that is suspicious, per cent.
    pub bounced_percent_low: u32,
    /// Foreign sender domains that are conclusive; an owner may use one of a mail house.
    pub foreign_domains: u32,
    /// Different senders that are suspicious, when most are not under the own domain.
    pub senders: u32,
    /// Share abroad that counts, per cent of all recipients, the unknown ones included.
    pub abroad_percent: u32,
    /// Recipients tried from which the share abroad is conclusive.
    pub abroad_tried: u32,
    /// Share abroad that is conclusive under the own domain, per cent.
    pub abroad_percent_own: u32,
    /// Recipients tried for it.
    pub abroad_tried_own: u32,
    /// Messages within five minutes from which a form that copies is suspicious.
    pub form_messages: u32,
    /// Messages from which the pattern of a form excuses nothing: a copy to oneself is cheap camouflage.
    pub form_messages_max: u32,
    /// The operator's hard rate, messages an hour; none: no such rule.
    pub hard_per_hour: Option<u32>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            burst_messages: 20,
            burst_recipients: 100,
            strangers: 20,
            bounced: 5,
            bounced_percent: 20,
            bounced_percent_low: 10,
            foreign_domains: 3,
            senders: 10,
            abroad_percent: 50,
            abroad_tried: 100,
            abroad_percent_own: 80,
            abroad_tried_own: 500,
            form_messages: 15,
            form_messages_max: 200,
            hard_per_hour: None,
        }
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Strength of the mass mail, if it is one.
    pub mass: Option<Strength>,
    /// More than the operator's hard rate.
    pub above_hard_rate: bool,
}

/// Judges an hour of one account. `own` are the domains of its sites.
pub fn judge(facts: &Facts, usual: Option<Usual>, own: &[String], limits: &Limits) -> Judgement {
    Judgement {
        mass: mass(facts, usual, own, limits),
        above_hard_rate: limits.hard_per_hour.is_some_and(|most| facts.sums.messages > most),
    }
}

fn mass(facts: &Facts, usual: Option<Usual>, own: &[String], limits: &Limits) -> Option<Strength> {
    let (sums, peak, spread) = (&facts.sums, &facts.peak, &facts.spread);
    let share =
        |part: u32, of: u32, percent: u32| of > 0 && u64::from(part) * 100 >= u64::from(of) * u64::from(percent);

    // A form: one address gets nearly each message, and somebody else gets it too.
    let form = share(spread.top, sums.messages, 40) && spread.top >= 10;
    let copies = form && share(spread.top, sums.messages, 80) && share(sums.recipients, sums.messages, 180);
    if copies && peak.messages >= limits.form_messages && spread.distinct >= limits.form_messages {
        return Some(match sums.messages >= limits.form_messages_max {
            true => strength(facts, usual, own, limits).unwrap_or(Strength::Suspicious),
            false => Strength::Suspicious,
        });
    }
    match strength(facts, usual, own, limits)? {
        Strength::Conclusive if form && sums.messages < limits.form_messages_max => Some(Strength::Suspicious),
        other => Some(other),
    }
}

fn strength(facts: &Facts, usual: Option<Usual>, own: &[String], limits: &Limits) -> Option<Strength> {
    let (sums, peak, spread) = (&facts.sums, &facts.peak, &facts.spread);
    let share =
        |part: u32, of: u32, percent: u32| of > 0 && u64::from(part) * 100 >= u64::from(of) * u64::from(percent);

    let burst =
        peak.messages >= limits.burst_messages || (sums.messages >= 3 && peak.recipients >= limits.burst_recipients);
    // One message to many is a list; many to the same few are notices, tickets or cron.
    let others = spread.seen.saturating_sub(spread.top);
    let strangers =
        sums.messages >= 3 && spread.distinct >= limits.strangers && share(spread.distinct, others.max(1), 60);
    if !burst || !strangers {
        return None;
    }
    let unusual = usual.is_none_or(|usual| usual.is_exceeded_by(sums.messages));

    let foreign: Vec<u32> =
        facts.domains.iter().filter(|(d, _)| !d.is_empty() && !is_own(d, own)).map(|d| d.1).collect();
    let own_sent: u32 = facts.domains.iter().filter(|(d, _)| is_own(d, own)).map(|d| d.1).sum();
    let own_sender = share(own_sent, sums.messages, 50);

    let tried = sums.tried();
    // Dead addresses are refused at once, living ones take their time: those not tried yet count as living.
    let handed = sums.recipients.max(tried);
    let refused = |percent| sums.bounced >= limits.bounced && share(sums.bounced, handed, percent);
    let forged = foreign.len() as u32 >= limits.foreign_domains;
    let (percent, messages) = match own_sender {
        true => (limits.abroad_percent_own, limits.abroad_tried_own),
        false => (limits.abroad_percent, limits.abroad_tried),
    };
    let abroad = tried >= messages && share(sums.abroad, tried, percent);
    if refused(limits.bounced_percent) || forged || abroad {
        return Some(if unusual { Strength::Conclusive } else { Strength::Suspicious });
    }
    let mostly_abroad = sums.abroad >= limits.strangers / 2 && share(sums.abroad, tried, limits.abroad_percent);
    // Under the own domain a sender for each recipient is a list's return path (VERP).
    let several = foreign.len() >= 2 || (facts.senders >= limits.senders && !own_sender);
    let at_night = unusual && !own_sender && share(sums.night, sums.messages, 80) && sums.messages >= 50;
    let doubtful = mostly_abroad || refused(limits.bounced_percent_low) || several || at_night;
    doubtful.then_some(Strength::Suspicious)
}

/// Whether a sender's domain belongs to the account: a site's name, above it, or below it
/// (`news@example.jp` and `x@lists.example.jp` for the site `www.example.jp`).
fn is_own(domain: &str, own: &[String]) -> bool {
    let below = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('.'));
    own.iter().any(|site| {
        let site = site.strip_prefix("*.").or(site.strip_prefix("www.")).unwrap_or(site);
        domain == site || below(domain, site) || (domain.contains('.') && below(site, domain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_domain_is_a_sites_name_or_above_or_below_it() {
        let own = ["www.example.jp".to_owned(), "*.shop.example.com".to_owned()];
        for domain in ["example.jp", "www.example.jp", "lists.example.jp", "shop.example.com", "example.com"] {
            assert!(is_own(domain, &own), "{domain}");
        }
        for domain in ["", "jp", "example.org", "notexample.jp", "?", "example.jp.evil.test"] {
            assert!(!is_own(domain, &own), "{domain}");
        }
    }
}
