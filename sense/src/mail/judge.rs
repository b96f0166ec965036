//! Tells mass mail by a stranger from newsletters, shops, tickets, forms and noise.
//!
//! | what is seen within an hour | strength |
//! |---|---|
//! | burst to many strangers, a fifth refused (or refused as spam), above the own past | conclusive |
//! | a dozen strangers in five minutes, or thirty in the hour, nearly half refused, above the own past, not under the own domain | conclusive |
//! | the same under the own domain | suspicious |
//! | the burst with senders of three foreign domains | conclusive |
//! | the same, half of a hundred recipients or more abroad, not under the own domain | conclusive |
//! | the same under the own domain, four of five of five hundred abroad | conclusive |
//! | one of these, but usual at this hour, or one address gets a copy of nearly each (a form) | suspicious |
//! | burst to strangers: half abroad, or a tenth refused, or two foreign domains, or ten senders | suspicious |
//! | burst to strangers at night, above the own past, not under the own domain | suspicious |
//! | burst to strangers, not under the own domain, half of it put off | suspicious |
//! | a form that sends each visitor a copy, a dozen in five minutes | suspicious, form abuse |
//! | copies apart from the owner's mail, thirty in five minutes, a tenth refused | suspicious, form abuse |
//! | 22 in five minutes to one address, nine of ten mails go there | suspicious, notice flood |
//! | the same from an account to itself (cron) | nothing |
//! | eight to a mailer-daemon, or eight that were answered each, minutes apart | suspicious, bounce loop |
//! | more than the operator's hard rate, nothing else | suspicious, of its own kind |
//! | everything else: even pace, one recipient, one message to a list, answers to bounces | nothing |
//!
//! A mailbox that hands in with its password (submission):
//!
//! | what is seen within an hour | strength |
//! |---|---|
//! | burst to strangers from four networks far apart within ten minutes | conclusive |
//! | burst to strangers from three networks, a fifth refused or refused as spam | conclusive |
//! | burst to strangers, half of what was tried refused as spam | conclusive |
//! | forty to strangers from eight networks far apart, a fifth refused, however slow | conclusive |
//! | burst to strangers from four networks near one another, all accepted | hint |
//! | twenty messages in five minutes by a program, three of ten and thirty recipients refused | suspicious |
//! | everything else: a club's letter, a phone on the way, an office that shares a mailbox | nothing |
//!
//! A refusal that names the node's address (block list) or a full mailbox says nothing about the mail and does not count.
//! A loop and a flood of notices are the account's own trouble: that mail is slowed down, nobody is accused.
//!
//! Rates and shares alone say little: a newsletter is a burst to strangers too. What it does not have is a fifth
//! of dead addresses, foreign senders, or a country where the owner has no readers.

use super::pairs::Pair;
use super::past::Usual;
use super::window::{Counters, Facts};
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
    /// Messages within five minutes, and within the hour, that are enough where nearly all is plain.
    pub few_messages: u32,
    /// See `few_messages`.
    pub few_messages_hour: u32,
    /// Refused share for which few messages are enough, per cent: nobody's list is half dead but a guessed one.
    pub few_bounced_percent: u32,
    /// Messages within five minutes from which a form that copies is suspicious.
    pub form_messages: u32,
    /// Messages from which the pattern of a form excuses nothing: a copy to oneself is cheap camouflage.
    pub form_messages_max: u32,
    /// Messages within five minutes to one address that are a flood of notices: more than four a minute, and more
    /// than a score of form mails that come at once. A site's cron sends one a minute.
    pub notices: u32,
    /// Messages of one pair that may be a loop; people write fewer within minutes.
    pub loop_messages: u32,
    /// Networks within ten minutes that one person does not have: a desk, a phone, a mobile line are three.
    pub networks: u32,
    /// The same, where the mail is refused too.
    pub networks_refused: u32,
    /// Networks far apart within an hour that no office has that shares a mailbox.
    pub networks_hour: u32,
    /// Refused share from which a program's burst by a mailbox is suspicious, per cent, and recipients for it.
    pub mailbox_bounced_percent: u32,
    /// See `mailbox_bounced_percent`.
    pub mailbox_bounced: u32,
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
            few_messages: 12,
            few_messages_hour: 30,
            few_bounced_percent: 45,
            form_messages: 12,
            form_messages_max: 200,
            notices: 22,
            loop_messages: 8,
            networks: 4,
            networks_refused: 3,
            networks_hour: 8,
            mailbox_bounced_percent: 30,
            mailbox_bounced: 30,
            hard_per_hour: None,
        }
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Strength of the mass mail, if it is one.
    pub mass: Option<Strength>,
    /// It has the shape of a form that is abused.
    pub form: bool,
    /// More than the operator's hard rate.
    pub above_hard_rate: bool,
}

/// Judges an hour of one account. `own` are the domains of its sites.
pub fn judge(facts: &Facts, usual: Option<Usual>, own: &[String], limits: &Limits) -> Judgement {
    let (mass, form) = mass(facts, usual, own, limits);
    let above_hard_rate = limits.hard_per_hour.is_some_and(|most| facts.sums.messages > most);
    Judgement { mass, form, above_hard_rate }
}

/// A flood of notices to one address that is not cron's mail to the account itself.
pub fn is_notice_flood(facts: &Facts, limits: &Limits) -> bool {
    let (sums, peak, spread) = (&facts.sums, &facts.peak, &facts.spread);
    let own: u32 = facts.pairs.iter().filter(|pair| pair.is_own()).map(|pair| pair.count).sum();
    peak.messages >= limits.notices
        && !share(own, sums.messages, 50)
        && share(spread.top, sums.messages, 90)
        && !share(sums.recipients, sums.messages, 120)
}

/// The pair of addresses that answers itself, if there is one.
pub fn answering<'a>(facts: &'a Facts, limits: &Limits) -> Option<&'a Pair> {
    let answering = |pair: &&Pair| {
        let Some((_, to)) = &pair.names else { return false };
        let robot = to.split('@').next().unwrap_or_default().to_ascii_lowercase();
        // Nobody writes to a mailer-daemon but what answers a bounce (RFC 3834, section 2); people read a postmaster's mail.
        let daemon = robot == "mailer-daemon" || (robot == "postmaster" && share(pair.bounced, pair.count, 50));
        let answered = share(pair.answered, pair.count, 70) && pair.gap() <= 3.0;
        pair.count >= limits.loop_messages && !pair.is_own() && ((daemon && pair.gap() <= 5.0) || answered)
    };
    facts.pairs.iter().filter(answering).max_by_key(|pair| pair.count)
}

/// Judges an hour of one mailbox.
pub fn mailbox(facts: &Facts, own: &[String], limits: &Limits) -> Option<Strength> {
    let (sums, peak, spread, networks) = (&facts.sums, &facts.peak, &facts.spread, &facts.networks);
    // Recipients that were not tried yet are strangers until they turn out to be the same few.
    let reach = spread.distinct + sums.recipients.saturating_sub(spread.seen);
    if sums.messages < 3 || reach < limits.strangers || !share(reach, sums.recipients.max(1), 40) {
        return None;
    }
    let burst = peak.messages >= limits.burst_messages || peak.recipients >= limits.burst_recipients;
    let tried = sums.tried();
    let refused = refused(sums);
    let spam = |least: u32, percent: u32| sums.spam >= least && share(sums.spam, tried, percent);
    let bad = (refused >= limits.bounced && share(refused, tried, limits.bounced_percent))
        || spam(limits.bounced, limits.bounced_percent);
    let forged = facts.domains.iter().filter(|(d, _)| !d.is_empty() && !is_own(d, own)).count() as u32;
    let bad = bad || forged >= limits.foreign_domains;
    let many = networks.at_once >= limits.networks;
    let conclusive = (burst && networks.apart_at_once >= limits.networks)
        || (burst && networks.at_once >= limits.networks_refused && bad)
        || (burst && spam(limits.bounced * 2, 50))
        || (bad && networks.apart >= limits.networks_hour && sums.messages >= limits.burst_messages * 2);
    let program = peak.messages >= limits.burst_messages
        && refused >= limits.mailbox_bounced
        && share(refused, tried, limits.mailbox_bounced_percent);
    match () {
        () if conclusive => Some(Strength::Conclusive),
        () if program => Some(Strength::Suspicious),
        () if burst && many => Some(Strength::Hint),
        () => None,
    }
}

fn share(part: u32, of: u32, percent: u32) -> bool {
    of > 0 && u64::from(part) * 100 >= u64::from(of) * u64::from(percent)
}

/// Recipients refused for what may be the mail's or its list's fault.
fn refused(sums: &Counters) -> u32 {
    sums.bounced.saturating_sub(sums.excused)
}

fn mass(facts: &Facts, usual: Option<Usual>, own: &[String], limits: &Limits) -> (Option<Strength>, bool) {
    let (sums, peak, spread) = (&facts.sums, &facts.peak, &facts.spread);

    // A form: one address gets nearly each message, and somebody else gets it too, in the same mail or in one apart.
    let form = share(spread.top, sums.messages, 40) && spread.top >= 10;
    let copies = form && share(spread.top, sums.messages, 80) && share(sums.recipients, sums.messages, 180);
    let many = sums.messages >= limits.form_messages_max;
    if copies && peak.messages >= limits.form_messages && spread.distinct >= limits.form_messages {
        return match many {
            true => (Some(strength(facts, usual, own, limits).unwrap_or(Strength::Suspicious)), false),
            false => (Some(Strength::Suspicious), true),
        };
    }
    match strength(facts, usual, own, limits) {
        Some(_) if form && !many => (Some(Strength::Suspicious), true),
        other => (other, false),
    }
}

fn strength(facts: &Facts, usual: Option<Usual>, own: &[String], limits: &Limits) -> Option<Strength> {
    let (sums, peak, spread) = (&facts.sums, &facts.peak, &facts.spread);
    let burst =
        peak.messages >= limits.burst_messages || (sums.messages >= 3 && peak.recipients >= limits.burst_recipients);
    // One message to many is a list; many to the same few are notices, tickets or cron.
    let others = spread.seen.saturating_sub(spread.top);
    let strangers =
        sums.messages >= 3 && spread.distinct >= limits.strangers && share(spread.distinct, others.max(1), 60);
    let unusual = usual.is_none_or(|usual| usual.is_exceeded_by(sums.messages));

    let foreign: Vec<u32> =
        facts.domains.iter().filter(|(d, _)| !d.is_empty() && !is_own(d, own)).map(|d| d.1).collect();
    let own_sent: u32 = facts.domains.iter().filter(|(d, _)| is_own(d, own)).map(|d| d.1).sum();
    let own_sender = share(own_sent, sums.messages, 50);

    let few = peak.messages >= limits.few_messages || sums.messages >= limits.few_messages_hour;
    let dead =
        refused(sums) * 2 >= limits.few_messages && share(refused(sums), sums.recipients, limits.few_bounced_percent);
    let apart = spread.distinct >= limits.few_messages && share(spread.distinct, others.max(1), 60);
    if few && dead && apart {
        return Some(if unusual && !own_sender { Strength::Conclusive } else { Strength::Suspicious });
    }
    if !burst || !strangers {
        return None;
    }

    let tried = sums.tried();
    // Dead addresses are refused at once, living ones take their time: those not tried yet count as living.
    let handed = sums.recipients.max(tried);
    let bounced = refused(sums);
    let refused = |percent| {
        (bounced >= limits.bounced && share(bounced, handed, percent))
            || (sums.spam >= limits.bounced && share(sums.spam, handed, percent))
    };
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
    let put_off = unusual && !own_sender && sums.deferred >= limits.strangers && share(sums.deferred, handed, 50);
    let doubtful = mostly_abroad || refused(limits.bounced_percent_low) || several || at_night || put_off;
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
