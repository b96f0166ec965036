//! Turns what a site remembers into findings about its account and attacks from outside.
//!
//! Addresses stay in the evidence, which expires; events carry only its hash.

use model::order::Finding;
use model::{AccountEntry, Evidence, FactKey, FilePath, Hash, Kind, Moment, Signal, Strength, Target};

use super::judge::{Verdict, judge};
use super::login::Entered;
use super::place::Places;
use super::request::Source;
use super::script::Script;
use super::site::Site;
use crate::reading::{Attack, Reading};

/// Scripts of one site that are told at once; the strongest first.
const TOLD_MAX: usize = 16;

/// Where and when a finding is made.
struct Scene<'a> {
    places: &'a Places,
    place: usize,
    votes: &'a [(usize, u32)],
    now: Moment,
}

/// Seconds of a script's own time after which a new call of it is told again: what was ordered may have been refused,
/// or the owner may have said that it is gone.
const AGAIN_SECS: i64 = 3600;

/// Adds what is new about one site.
pub fn tell(places: &Places, place: usize, site: &mut Site, now: Moment, reading: &mut Reading) {
    let votes = site.votes.clone();
    let scene = Scene { places, place, votes: &votes, now };
    if std::mem::replace(&mut site.touched, false) && places.account(place).is_some() {
        scripts(&scene, site, reading);
        for entered in std::mem::take(&mut site.logins.entered) {
            scene.entered(&entered, reading);
        }
    }
    let guessed: Vec<_> = site
        .logins
        .news()
        .map(|login| (login.path.clone(), login.guessed.unwrap_or_default(), login.guessers()))
        .collect();
    for (path, (since, until), (sources, failures)) in guessed {
        let entered = reading.findings.iter().any(|f| {
            f.signal.kind == Kind::GuessedSiteLogin
                && places.account(place).is_some_and(|a| a.account == f.signal.account)
        });
        if entered || failures == 0 {
            continue; // whoever got in is told of, with these failures
        }
        let mut evidence = Evidence::default();
        scene.site_fact(&mut evidence);
        evidence
            .text(FactKey::Path, &path)
            .text(FactKey::Service, "site")
            .number(FactKey::Failures, i64::from(failures))
            .text(FactKey::From, Moment::from_secs(since).to_string())
            .text(FactKey::To, Moment::from_secs(until).to_string())
            .text(FactKey::Addresses, addresses(&sources));
        scene.against(Kind::SiteGuessing, &path, &sources, evidence, [since, until].map(Moment::from_secs), reading);
    }
    if let Some(crawl) = site.crowd.seen.take() {
        let sources: Vec<Source> = crawl.sources.iter().map(|(s, _)| *s).collect();
        let mut evidence = Evidence::default();
        scene.site_fact(&mut evidence);
        evidence
            .number(FactKey::Requests, i64::from(crawl.requests))
            .number(FactKey::Refused, i64::from(crawl.refused))
            .text(FactKey::From, crawl.since.to_string())
            .text(FactKey::To, crawl.until.to_string())
            .text(FactKey::Addresses, addresses(&sources));
        scene.against(Kind::Crawling, b"", &sources, evidence, [crawl.since, crawl.until], reading);
    }
    if let Some(seen) = site.probes.seen.take() {
        let mut evidence = Evidence::default();
        scene.site_fact(&mut evidence);
        evidence
            .number(FactKey::Requests, i64::from(seen.requests))
            .text(FactKey::From, seen.since.to_string())
            .text(FactKey::To, seen.until.to_string())
            .text(FactKey::Addresses, addresses(&seen.sources));
        // A hint names nobody to slow down: tomorrow the same names come from elsewhere.
        let sources = seen.sources.iter().filter_map(|s| s.address()).collect();
        reading.attacks.push(Attack { kind: Kind::Probing, strength: Strength::Hint, sources, evidence });
    }
}

fn scripts(scene: &Scene<'_>, site: &mut Site, reading: &mut Reading) {
    let mut found: Vec<(Verdict, Box<[u8]>)> = site
        .scripts
        .iter()
        .filter(|(path, script)| {
            let silent = script.told.is_some_and(|(told, at)| told == Strength::Conclusive && !is_due(script, at));
            !silent && FilePath::new(path.get(1..).unwrap_or_default()).is_ok()
        })
        .filter_map(|(path, script)| Some((judge(site, path, script)?, path.clone())))
        .collect();
    found.sort_by(|(a, p), (b, q)| b.strength.cmp(&a.strength).then_with(|| p.cmp(q)));
    for (verdict, path) in found.into_iter().take(TOLD_MAX) {
        let Some(script) = site.scripts.get_mut(&path) else { continue };
        if script.told.is_some_and(|(told, at)| told >= verdict.strength && !is_due(script, at)) {
            continue;
        }
        script.told = Some((verdict.strength, script.called));
        scene.script(&verdict, &path, script, reading);
    }
}

fn is_due(script: &Script, told: i64) -> bool {
    script.called >= told + AGAIN_SECS
}

impl Scene<'_> {
    fn account(&self) -> Option<&AccountEntry> {
        self.places.account(self.place)
    }

    fn site_fact(&self, evidence: &mut Evidence) {
        if let Some(site) = self.places.likely_site(self.place, self.votes) {
            evidence.text(FactKey::Site, site.as_str());
        }
    }

    fn script(&self, verdict: &Verdict, path: &[u8], script: &Script, reading: &mut Reading) {
        let Some(site) = self.places.likely_site(self.place, self.votes).cloned() else { return };
        let Ok(below) = FilePath::new(&path[1..]) else { return };
        let mut evidence = Evidence::default();
        evidence.text(FactKey::Path, path).text(FactKey::Site, site.as_str());
        if let Some(origin) = script.origin.as_deref().filter(|_| tells_entry(verdict.kind)) {
            evidence.text(FactKey::Entry, &origin.entry);
            evidence.text(FactKey::EntryAt, Moment::from_secs(origin.at).to_string());
            if let Some(address) = origin.source.address() {
                evidence.text(FactKey::SourceAddress, address.to_string());
            }
        }
        evidence
            .number(FactKey::Requests, i64::from(script.hits))
            .text(FactKey::From, Moment::from_secs(script.first).to_string())
            .text(FactKey::To, Moment::from_secs(script.last).to_string())
            .text(FactKey::Addresses, addresses(&script.sources));
        let target = Target::Scripts { site, paths: vec![below], sessions: verdict.sessions };
        let since = Moment::from_secs(script.origin.as_deref().map_or(script.first, |o| o.at));
        let span = [since, Moment::from_secs(script.called)];
        self.find(verdict.kind, verdict.strength, path, target, evidence, span, reading);
    }

    fn entered(&self, entered: &Entered, reading: &mut Reading) {
        let Some(site) = self.places.likely_site(self.place, self.votes).cloned() else { return };
        let mut evidence = Evidence::default();
        evidence
            .text(FactKey::Site, site.as_str())
            .text(FactKey::Service, "site")
            .text(FactKey::Entry, [b"POST ", &entered.path[..]].concat())
            .text(FactKey::EntryAt, Moment::from_secs(entered.at).to_string())
            .number(FactKey::Failures, i64::from(entered.failures))
            .text(FactKey::From, Moment::from_secs(entered.tries.first).to_string())
            .text(FactKey::To, Moment::from_secs(entered.at).to_string());
        if let Some(address) = entered.source.address() {
            evidence.text(FactKey::SourceAddress, address.to_string());
        }
        let target = Target::Scripts { site, paths: Vec::new(), sessions: true };
        let strength = if entered.sure { Strength::Conclusive } else { Strength::Suspicious };
        let span = [entered.tries.first, entered.at].map(Moment::from_secs);
        self.find(Kind::GuessedSiteLogin, strength, &entered.path, target, evidence, span, reading);
    }

    /// Somebody outside; of a known account's site it is a finding, so that its owner hears of it.
    fn against(
        &self,
        kind: Kind,
        what: &[u8],
        sources: &[Source],
        evidence: Evidence,
        span: [Moment; 2],
        reading: &mut Reading,
    ) {
        let sources = sources.iter().filter_map(|s| s.address()).collect::<Vec<_>>();
        match self.account() {
            Some(_) => {
                self.find(kind, Strength::Suspicious, what, Target::Sources(sources), evidence, span, reading);
            }
            None => reading.attacks.push(Attack { kind, strength: Strength::Suspicious, sources, evidence }),
        }
    }

    /// `span`: the first and the last request concerned. A log may be read long after it was written, so a finding is
    /// of the time of its requests.
    #[expect(clippy::too_many_arguments, reason = "a finding has these parts")]
    fn find(
        &self,
        kind: Kind,
        strength: Strength,
        what: &[u8],
        target: Target,
        evidence: Evidence,
        span: [Moment; 2],
        reading: &mut Reading,
    ) {
        let Some(known) = self.account() else { return };
        let site = self.places.site(self.place).cloned();
        let fingerprint = Hash::of_parts(&[
            b"web",
            known.account.name.as_str().as_bytes(),
            &known.account.uid.to_le_bytes(),
            &known.account.generation.to_le_bytes(),
            format!("{kind:?}").as_bytes(),
            site.as_ref().map(|s| s.as_str().as_bytes()).unwrap_or_default(),
            what,
        ]);
        let body = serde_json::to_vec(&evidence).expect("texts and numbers are JSON");
        let signal = Signal {
            kind,
            also: Vec::new(),
            strength,
            account: known.account.clone(),
            site,
            at: span[1].max(span[0]).min(self.now),
            since: span[0],
            target,
            fingerprint,
            evidence: Hash::of(&body),
            forgeable: false,
        };
        reading.findings.push(Finding { signal, evidence });
    }
}

/// Only where the way in is known beyond doubt it is said.
fn tells_entry(kind: Kind) -> bool {
    matches!(kind, Kind::UploadChain | Kind::UploadedPlugin)
}

fn addresses(sources: &[Source]) -> String {
    let shown = sources.iter().filter_map(|s| s.address()).take(16).map(|a| a.to_string());
    shown.collect::<Vec<_>>().join(" ")
}

/// Of findings about the same thing only the strongest and latest stays; who got in by guessing is no guesser beside it.
pub fn settle(reading: &mut Reading) {
    let strongest = |f: &Finding| (f.signal.strength, f.evidence.get(FactKey::To).map(ToString::to_string));
    let all = std::mem::take(&mut reading.findings);
    let same = |a: &Finding, b: &Finding| a.signal.account == b.signal.account && subject(a) == subject(b);
    for finding in all {
        match reading.findings.iter_mut().find(|known| same(known, &finding)) {
            Some(known) if strongest(&finding) >= strongest(known) => *known = finding,
            Some(_) => {}
            None => reading.findings.push(finding),
        }
    }
    let got_in: Vec<_> = reading.findings.iter().filter(|f| f.signal.kind == Kind::GuessedSiteLogin).cloned().collect();
    reading.findings.retain(|f| {
        f.signal.kind != Kind::SiteGuessing
            || !got_in.iter().any(|g| g.signal.account == f.signal.account && g.signal.site == f.signal.site)
    });
}

fn subject(finding: &Finding) -> Vec<u8> {
    match &finding.signal.target {
        Target::Scripts { site, paths, .. } if !paths.is_empty() => {
            format!("{site} {}", paths.iter().map(ToString::to_string).collect::<String>()).into_bytes()
        }
        _ => finding.signal.fingerprint.to_string().into_bytes(),
    }
}
