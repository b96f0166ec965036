//! Which logins mean what.
//!
//! | seen | kind | conclusive | suspicious |
//! |---|---|---|---|
//! | failures in a row for one name from one network, then the right password; the network was never seen with it | `GuessedLogin` | 20 and more, 10 s or less apart | 12 and more of that pace; for ssh 20 and more of any pace |
//! | 10 and more failures, half of them names of nobody, then a name that is right | `GuessedLogin` | always | |
//! | 20 failures from a network, 5 s or less apart, three of them for the name that is then right | `GuessedLogin` | always | |
//! | 30 failures for one name, at most a tenth of them from the network that is then right | `GuessedLogin` | 10 s or less apart | 30 s or less |
//! | after 10 failures and a login: within an hour another address, by another method or key | `GuessedLogin` | always | |
//! | within an hour: a file fetched and put back larger by 16 bytes and more within 10 s, by the same address | `RewritingLogin` | three files by the same amount, whatever addresses | the same where this address moved other files a day before; five files by any amount |
//! | a login by night that only lists, from a network that was never seen before, at most three times | `NewPlace` | never | FTP; ssh where others were seen and neither key nor provider is known |
//! | panel: another country, an unknown device and no second factor | `NewPlace` | never | always |
//! | with a database of countries: a password alone, from a country that is neither the node's nor one of the account's, which has three logins and more | `NewPlace` | never | FTP, ssh: at most three logins that only list; all: the third such country within a day; else a hint |
//! | failures of 10 and more, five names and half of them nobody's; 20 names; or 20 failures within 5 s of one another; one name from 20 and more networks, 30 failures, a minute or less apart | `LoginGuessing` | never | as long as nobody got in from there |
//!
//! Not seen as anything: old passwords in a mail program (one name, half a minute apart), telephones that close idle
//! connections or change addresses, connections that try no password, keys offered one after the other, networks from
//! which several accounts are looked after, fetching alone, putting alone; from abroad with a key, a known device or a
//! second factor. A new country with normal use (a journey, a mobile carrier, a VPN) is a hint and no more.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use jiff::tz::TimeZone;
use model::order::Finding;
use model::{Evidence, FactKey, Hash, Kind, Login as Blocked, Moment, Signal, Span, Strength, Target};

use super::state::{Bounded, Credential, FEW, Guess, Network, Origin, Run, Transfer, Tried, Visit, WINDOW, mark};
use super::{Login, Service, Settings, Trust};
use crate::reading::Attack;

/// Failures that cannot be somebody's own mistakes.
const GUESSES_MIN: u32 = 20;
/// Failures that are odd.
const GUESSES_ODD: u32 = 12;
/// Failures after which it matters what comes next.
pub(super) const FOLLOWED_MIN: u32 = 10;
/// A program that guesses is this fast, seconds; a mail program with an old password asks twice a minute.
const FAST_SECS: i64 = 10;
/// A program that tries one name without end is this fast, seconds; slower ones may be somebody's own.
const HAMMER_SECS: i64 = 5;
/// Names of one network that make it a spray.
const NAMES_MIN: usize = 5;
const NAMES_MANY: usize = 20;
/// A file that is fetched and back within this time was not edited by a person.
const PAIR: Span = Span::secs(10);
/// What is put into a page has at least so many bytes; a number that went up has fewer.
const GROWTH_MIN: i64 = 16;
/// Files that grew by the same amount.
const SAME_MIN: usize = 3;
/// Files that grew by any amount.
const GROWN_MIN: usize = 5;
/// Logins of a visit that is still a first look.
const VISIT_MAX: u32 = 3;
/// Logins after which an account has habits.
pub(super) const HABIT_MIN: u32 = 3;
/// Hours that are night: 00:00 to 05:59.
const NIGHT: std::ops::Range<i8> = 0..6;

/// Whether it is night: by the hour as written where the log carries no offset (the node's own time), else where the
/// owner lives.
pub(super) fn is_night(written: Option<u8>, at: Moment, zone: &TimeZone) -> bool {
    let hour = written.map_or_else(|| zone.to_datetime(at.timestamp()).hour(), |hour| hour as i8);
    NIGHT.contains(&hour)
}

/// Remembers a name that failed.
pub(super) fn count_name(origin: &mut Origin, name: u64, stranger: bool) {
    if origin.names.len() < FEW {
        origin.names.insert(name);
    }
    if stranger && origin.strangers.len() < FEW {
        origin.strangers.insert(name);
    }
}

/// Whether what fails from there is guessing.
pub(super) fn is_attack(origin: &Origin) -> bool {
    let names = origin.names.len();
    let spray = origin.run.count >= FOLLOWED_MIN && names >= NAMES_MIN && origin.strangers.len() * 2 >= names;
    let hammering = origin.run.last.is_some_and(|last| is_hammering(origin, last));
    origin.welcome.is_empty() && (spray || hammering || names >= NAMES_MANY)
}

/// Whether many names were tried from there just now, most of them nobody's.
pub(super) fn is_spray(origin: &Origin, at: Moment) -> bool {
    let names = origin.names.len();
    origin.run.holds(at)
        && names >= FOLLOWED_MIN as usize
        && origin.strangers.len() * 2 >= names
        && origin.welcome.is_empty()
}

/// Takes in one more try of a name.
pub(super) fn count_try(tried: &mut Tried, from: IpAddr, times: u32, at: Moment) {
    if tried.run.last.is_some() && !tried.run.holds(at) {
        tried.from.clear();
    }
    tried.run.add(times, at);
    if tried.from.len() < FEW {
        tried.from.entry(Network::of(from)).or_insert(from);
    }
    if tried.run.count >= 30 && tried.from.len() >= NAMES_MANY && tried.run.pace() <= 60 {
        tried.attack = Some(tried.run.clone());
    }
}

/// Whether somebody there tries passwords without end, whatever the names, and nobody ever got in.
pub(super) fn is_hammering(origin: &Origin, at: Moment) -> bool {
    let run = &origin.run;
    origin.welcome.is_empty() && run.holds(at) && run.count >= GUESSES_MIN && run.pace() <= HAMMER_SECS
}

/// Whether a password that was right had been guessed.
pub(super) fn guessed(service: Service, run: &Run, all: &Run, sprayed: bool, at: Moment) -> Option<Strength> {
    let fast = run.pace() <= FAST_SECS;
    if sprayed {
        return Some(Strength::Conclusive);
    }
    if !run.holds(at) {
        return None;
    }
    match run.count {
        count if count >= GUESSES_MIN && fast => Some(Strength::Conclusive),
        count if count >= GUESSES_ODD && fast => Some(Strength::Suspicious),
        count if count >= GUESSES_MIN && service == Service::Shell => Some(Strength::Suspicious),
        count => {
            let spread = all.count >= 30 && all.pace() <= 30 && all.count >= count.saturating_mul(10);
            let strength = if all.pace() <= FAST_SECS { Strength::Conclusive } else { Strength::Suspicious };
            (spread && all.holds(at)).then_some(strength)
        }
    }
}

/// Whether this login makes use of what was guessed: soon, from elsewhere, in another way.
pub(super) fn follows(guess: &Guess, login: &Login, method: &[u8], known_key: bool) -> bool {
    let soon = login.at - guess.at <= WINDOW && login.at >= guess.at;
    soon && login.source != guess.address && method != guess.method && !known_key
}

/// Takes a transfer in; by how many bytes a file came back larger, if it did.
pub(super) fn moves(transfer: &mut Transfer, path: u64, size: u64, put: bool, at: Moment) -> Option<i64> {
    let first = *transfer.first.get_or_insert(at);
    transfer.first = Some(first.min(at));
    transfer.got.retain(|(.., then)| (at - *then) <= PAIR);
    if !put {
        if transfer.got.len() >= 256 {
            transfer.got.remove(0);
        }
        transfer.got.push((path, size, at));
        return None;
    }
    let place = transfer.got.iter().rposition(|(known, ..)| *known == path)?;
    let (_, before, _) = transfer.got.remove(place);
    let grown = i64::try_from(size).unwrap_or(i64::MAX).saturating_sub(i64::try_from(before).unwrap_or(i64::MAX));
    (grown >= GROWTH_MIN).then_some(grown)
}

/// Adds a file that came back larger; `false` when it adds nothing.
pub(super) fn adds(transfer: &mut Transfer, path: u64, grown: i64, at: Moment) -> bool {
    if transfer.pairs_to.is_some_and(|to| at - to > WINDOW) {
        transfer.pairs.clear();
        transfer.pairs_from = None;
    }
    if transfer.pairs.len() >= 256 || transfer.pairs.iter().any(|(known, _)| *known == path) {
        return false;
    }
    transfer.pairs.push((path, grown));
    transfer.first.get_or_insert(at);
    transfer.pairs_from.get_or_insert(at);
    transfer.pairs_to = Some(at);
    true
}

/// Whether files are rewritten by a program that adds the same to each.
pub(super) fn rewrites(transfer: &Transfer) -> Option<Strength> {
    let mut by_amount: HashMap<i64, usize> = HashMap::new();
    for (_, grown) in &transfer.pairs {
        *by_amount.entry(*grown).or_default() += 1;
    }
    let same = by_amount.values().copied().max().unwrap_or_default();
    let twice: usize = by_amount.values().filter(|count| **count >= 2).sum();
    let known =
        matches!((transfer.first, transfer.pairs_from), (Some(first), Some(from)) if from - first >= Span::days(1));
    match () {
        () if (same >= SAME_MIN || twice >= 4) && !known => Some(Strength::Conclusive),
        () if same >= SAME_MIN || transfer.pairs.len() >= GROWN_MIN && !known => Some(Strength::Suspicious),
        () => None,
    }
}

/// A visit of this credential that nobody knows yet, if there is one, and what it says.
pub(super) fn new_place<'a>(
    service: Service,
    credential: &'a Credential,
    settled: &dyn Fn(&Visit) -> bool,
) -> Option<(Network, &'a Visit, Strength)> {
    let others = |network: &Network, visit: &Visit| {
        let (network, first) = (*network, visit.first);
        let earlier = move |v: &&Visit| v.logins > 0 && v.first < first;
        credential.visits.iter().filter(move |(other, _)| **other != network).filter(move |(_, v)| earlier(v))
    };
    let odd = |(network, visit): &(&Network, &Visit)| {
        if visit.logins == 0 || !settled(visit) {
            return false;
        }
        let before: u32 = others(network, visit).map(|(_, v)| v.logins).sum();
        if service == Service::Panel {
            let country = others(network, visit).any(|(_, v)| !v.country.is_empty() && v.country == visit.country);
            return before > 0 && !visit.country.is_empty() && !country && visit.strange && !visit.second;
        }
        let near = others(network, visit).any(|(other, _)| other.provider() == network.provider());
        let owl = others(network, visit).any(|(_, v)| v.night);
        let first_look = visit.night && visit.logins <= VISIT_MAX && visit.moved == 0 && !near && !owl;
        match service {
            Service::Ftp => first_look && visit.listed > 0,
            Service::Shell => first_look && visit.strange && (visit.listed > 0 || before >= VISIT_MAX),
            _ => false,
        }
    };
    let foreign = |visit: &Visit| {
        let foreign = visit.foreign.as_ref().filter(|_| visit.logins > 0 && settled(visit))?;
        let look = visit.logins <= VISIT_MAX && visit.moved == 0 && visit.listed > 0;
        let bare = look && matches!(service, Service::Ftp | Service::Shell);
        Some(if bare || foreign.many { Strength::Suspicious } else { Strength::Hint })
    };
    let said = |(network, visit): (&Network, &'a Visit)| {
        let strength = if odd(&(network, visit)) { Some(Strength::Suspicious) } else { foreign(visit) };
        Some((*network, visit, strength?))
    };
    // The latest of the strongest, and by its network where two are equal, so that one log always says the same.
    credential.visits.iter().filter_map(said).max_by_key(|(network, v, strength)| (*strength, v.first, *network))
}

/// What was told of attacks: service, network or name as a number, how large.
pub(super) type Told = BTreeSet<(Service, u64, u32)>;

/// Attacks that are new or have doubled since they were told, by service and source.
pub(super) fn attacks(
    origins: &Bounded<(Service, Network), Origin>,
    tried: &Bounded<(Service, u64), Tried>,
    settings: &Settings,
    told: &mut Told,
) -> Vec<Attack> {
    let mut found: Vec<(Service, Vec<IpAddr>, Run)> = Vec::new();
    let mut fresh = |service, who, run: &Run| told.insert((service, who, run.count.max(1).ilog2()));
    let unwelcome = |key: &(Service, Network)| origins.get(key).is_none_or(|origin| origin.welcome.is_empty());
    let outside = |a: &IpAddr| !settings.is_near(a);
    for ((service, network), origin) in origins.iter().filter(|(key, _)| unwelcome(key)) {
        let Some(run) = &origin.attack else { continue };
        if fresh(*service, mark(network.0.to_string().as_bytes()), run) {
            found.push((*service, origin.addresses.iter().copied().collect(), run.clone()));
        }
    }
    for ((service, name), tried) in tried.iter() {
        let Some(run) = &tried.attack else { continue };
        if fresh(*service, *name, run) {
            let from = tried.from.iter().filter(|(network, _)| unwelcome(&(*service, **network)));
            found.push((*service, from.map(|(_, address)| *address).collect(), run.clone()));
        }
    }
    while told.len() > super::ENTRIES_MAX {
        told.pop_first();
    }
    let attack = |(service, mut sources, run): (Service, Vec<IpAddr>, Run)| {
        sources.retain(outside);
        sources.sort();
        sources.truncate(64);
        let mut evidence = Evidence::default();
        evidence.text(FactKey::Service, service.word()).number(FactKey::Failures, i64::from(run.count));
        span(&mut evidence, run.first, run.last);
        evidence.text(FactKey::Addresses, words(&sources));
        Attack { kind: Kind::LoginGuessing, strength: Strength::Suspicious, sources, evidence }
    };
    let mut attacks: Vec<Attack> = found.into_iter().map(attack).filter(|attack| !attack.sources.is_empty()).collect();
    attacks.sort_by(|a, b| a.sources.cmp(&b.sources));
    attacks
}

fn span(evidence: &mut Evidence, from: Option<Moment>, to: Option<Moment>) {
    for (key, at) in [(FactKey::From, from), (FactKey::To, to)] {
        if let Some(at) = at {
            evidence.text(key, at.to_string());
        }
    }
}

fn words(addresses: &[IpAddr]) -> String {
    addresses.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The finding of a guessed password; `then` is the login that made use of it.
pub(super) fn guess_finding(
    settings: &Settings,
    names: &Bounded<u64, Vec<u8>>,
    login: &Login,
    strength: Strength,
    run: &Run,
    method: &[u8],
    then: Option<(IpAddr, &[u8])>,
) -> Finding {
    let mut evidence = about(settings, names, login);
    evidence.number(FactKey::Failures, i64::from(run.count)).text(FactKey::Method, method);
    evidence.text(FactKey::SourceAddress, login.source.to_string());
    span(&mut evidence, run.first, Some(login.at));
    if let Some((other, method)) = then {
        evidence.text(FactKey::Addresses, words(&[login.source, other])).text(FactKey::Method, method);
    }
    finding(settings, Kind::GuessedLogin, login, strength, evidence, names)
}

/// The finding of a place where the account never was.
pub(super) fn place_finding(
    settings: &Settings,
    names: &Bounded<u64, Vec<u8>>,
    login: &Login,
    visit: &Visit,
    strength: Strength,
) -> Finding {
    let mut evidence = about(settings, names, login);
    evidence.text(FactKey::SourceAddress, login.source.to_string());
    if !visit.country.is_empty() {
        evidence.text(FactKey::Country, &visit.country);
    } else if let Some(foreign) = &visit.foreign {
        evidence.text(FactKey::Country, foreign.country.to_ascii_uppercase());
        evidence.text(FactKey::CountriesOf, &foreign.of);
    }
    if !visit.method.is_empty() {
        evidence.text(FactKey::Method, &visit.method);
    }
    span(&mut evidence, visit.first, visit.last);
    finding(settings, Kind::NewPlace, login, strength, evidence, names)
}

/// The finding of files that are put back larger.
pub(super) fn rewriting_finding(
    settings: &Settings,
    service: Service,
    account: usize,
    source: IpAddr,
    transfer: &Transfer,
    strength: Strength,
    at: Moment,
) -> Finding {
    let mut evidence = Evidence::default();
    evidence.text(FactKey::Service, service.word()).number(FactKey::FilesChanged, transfer.pairs.len() as i64);
    evidence.text(FactKey::SourceAddress, source.to_string());
    span(&mut evidence, transfer.pairs_from, transfer.pairs_to);
    let since = transfer.pairs_from.unwrap_or(at);
    let login = Login { service, account, name: 0, source, at: since, night: false };
    let mut finding = finding(settings, Kind::RewritingLogin, &login, strength, evidence, &Bounded::new(1));
    finding.signal.at = at.max(since);
    finding
}

fn about(settings: &Settings, names: &Bounded<u64, Vec<u8>>, login: &Login) -> Evidence {
    let mut evidence = Evidence::default();
    evidence.text(FactKey::Service, login.service.word());
    let name = names.get(&login.name);
    match (login.service, name) {
        (Service::Mail, Some(name)) => evidence.text(FactKey::Mailbox, name),
        (_, Some(name)) => evidence.text(FactKey::User, name),
        (_, None) => evidence.text(FactKey::User, settings.accounts[login.account].account.name.as_str()),
    };
    evidence
}

fn finding(
    settings: &Settings,
    kind: Kind,
    login: &Login,
    strength: Strength,
    evidence: Evidence,
    names: &Bounded<u64, Vec<u8>>,
) -> Finding {
    let account = settings.accounts[login.account].account.clone();
    let name: &[u8] = names.get(&login.name).map_or(b"", Vec::as_slice);
    let blocked = match login.service {
        Service::Shell => Some(Blocked::Shell),
        Service::Ftp => Some(Blocked::Ftp),
        Service::Mail => std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).map(Blocked::Mail),
        Service::Panel => None,
    };
    // A forged line looks like a real one, so nothing in such a log proves anything.
    let strength = match settings.trust {
        Trust::Guarded => strength,
        Trust::Forgeable => strength.min(Strength::Suspicious),
    };
    let by: Vec<u8> = match kind {
        Kind::GuessedLogin => name.to_vec(),
        _ => Network::of(login.source).0.to_string().into_bytes(),
    };
    let signal = Signal {
        kind,
        also: Vec::new(),
        strength,
        fingerprint: Hash::of_parts(&[
            b"login",
            account.name.as_str().as_bytes(),
            &[kind as u8],
            login.service.word().as_bytes(),
            &by,
        ]),
        account,
        site: None,
        at: login.at,
        since: login.at,
        target: blocked.map_or(Target::Nothing, |login| Target::Logins(vec![login])),
        evidence: Hash::of(&serde_json::to_vec(&evidence).unwrap_or_default()),
        forgeable: settings.trust == Trust::Forgeable,
    };
    Finding { signal, evidence }
}
