//! Access logs as small stories: what is an intruder's, and what only looks like it.

mod formats;
mod hostile;
mod imitation;
mod stories;

use model::{FactKey, Site};

use super::*;

fn site(domain: &str, root: &str) -> Site {
    Site {
        domain: domain.parse().unwrap(),
        aliases: Vec::new(),
        root: root.to_owned(),
        gates: Vec::new(),
        probes: Vec::new(),
    }
}

fn entry(name: &str, uid: u32, domains: &[&str]) -> AccountEntry {
    AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: domains.iter().map(|d| site(d, &format!("/home/{name}/{d}"))).collect(),
        contacts: Vec::new(),
        time_zone: "UTC".to_owned(),
    }
}

fn accounts() -> Vec<AccountEntry> {
    vec![
        entry("aoi", 3001, &["aoi.example.jp"]),
        entry("fuji", 3002, &["fuji.example.jp", "shop.fuji.example.jp"]),
        entry("kiku", 3003, &["kiku.example.jp"]),
    ]
}

fn watch() -> Watch {
    Watch::new(Settings { accounts: accounts().into(), own: vec!["192.0.2.10".parse().unwrap()], never: Vec::new() })
}

fn late() -> Moment {
    Moment::parse("2026-12-31T00:00:00Z").unwrap()
}

/// Reads a log that is `account`'s where its lines do not say otherwise.
fn read(account: &str, log: &str) -> Reading {
    let mut watch = watch();
    let owner = accounts().into_iter().find(|a| a.account.name.as_str() == account).map(|a| a.account);
    let owner = owner.map_or(Owner::Lines, Owner::Otherwise);
    watch.begin(Log { format: Format::Standard, owner });
    inspect(&mut watch, &mut log.as_bytes(), late()).unwrap()
}

/// Account, kind, strength, what is stopped and the way in, one line a finding; attacks without an account last.
fn told(reading: &Reading) -> String {
    let mut lines: Vec<String> = reading
        .findings
        .iter()
        .map(|f| {
            let target = match &f.signal.target {
                model::Target::Scripts { site, paths, sessions } => {
                    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                    format!("{site}/{}{}", paths.join(" "), if *sessions { " +sessions" } else { "" })
                }
                model::Target::Sources(sources) => {
                    sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                }
                other => format!("{other:?}"),
            };
            let entry = f.evidence.get(FactKey::Entry).map(|e| format!(" by {e}")).unwrap_or_default();
            format!("{} {:?} {:?}: {target}{entry}", f.signal.account.name, f.signal.kind, f.signal.strength)
        })
        .collect();
    lines.sort();
    lines.extend(reading.attacks.iter().map(|a| format!("- {:?} {:?}", a.kind, a.strength)));
    lines.join("\n")
}

/// Writes combined lines: `second source method target status size [referer [agent]]` a line; `~` is a browser's agent.
/// A range `1..9` as second repeats the line at each of its seconds, times the number behind `/`.
fn log(text: &str) -> String {
    let mut lines: Vec<(i64, String)> = Vec::new();
    for (n, line) in text.lines().map(str::trim).filter(|l| !l.is_empty()).enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (times, step) = words[0].split_once('/').unwrap_or((words[0], "1"));
        let step: i64 = step.parse().unwrap();
        let (from, to) = times.split_once("..").unwrap_or((times, times));
        let (from, to): (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
        for (turn, at) in (from..=to).enumerate() {
            let second = from + (at - from) * step;
            let at = Moment::from_secs(1_772_841_600 + second).timestamp();
            let stamp = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
            // `{n}` counts the turns; `{a}` cycles through four last numbers of an address, `{h}` encodes the turn.
            let fill = |word: &str| {
                let word = word.replace("{n}", &turn.to_string()).replace("{a}", &(turn % 4 + 1).to_string());
                word.replace("{h}", &format!("{:016x}", (turn as u64 + 77).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            };
            let size = fill(words[5]);
            let size = size.split_once('+').map_or(size.clone(), |(a, b)| {
                (a.parse::<usize>().unwrap() + b.parse::<usize>().unwrap() * 37).to_string()
            });
            let referer = words.get(6).map_or("-".to_owned(), |w| fill(w));
            let agent = match words.get(7) {
                None => "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0".to_owned(),
                Some(_) => fill(&words[7..].join(" ")),
            };
            let (source, target) = (fill(words[1]), fill(words[3]));
            lines.push((
                second * 1000 + n as i64,
                format!(
                    "{source} - - [{stamp}] \"{} {target} HTTP/1.1\" {} {size} \"{referer}\" \"{agent}\"\n",
                    words[2], words[4]
                ),
            ));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What the lines of [`log`] say about `aoi`.
fn check(text: &str, expected: &str) {
    let text = log(text);
    let reading = read("aoi", &text);
    assert_eq!(reading.dropped, 0, "{text}");
    assert_eq!(told(&reading), expected, "{text}");
}

#[test]
fn memory_is_bounded_by_rows_and_the_largest_site_gives_way() {
    let mut watch = watch();
    watch.begin(Log::default());
    let small =
        log("0..3 203.0.113.5 POST /wp-content/uploads/2026/01/a.php 200 10+{n}").replace("203", "aoi.example.jp 203");
    small.lines().for_each(|l| watch.line(l.as_bytes(), late()));
    for n in 0..40_000u32 {
        let (minute, second) = (n / 60 % 60, n % 60);
        let line = format!(
            "fuji.example.jp 2001:db8::{:x}:{:x} - - [01/Jan/2026:{:02}:{minute:02}:{second:02} +0000] \"POST /x{n}.php HTTP/1.1\" 200 {n} \"-\" \"x\"",
            n >> 16,
            n & 0xffff,
            n / 3600 % 24
        );
        watch.line(line.as_bytes(), late());
        assert!(watch.rows <= ROWS_MAX);
    }
    let reading = watch.news(late());
    assert!(told(&reading).contains("aoi UploadsScript Suspicious"), "{}", told(&reading));
    assert!(reading.findings.iter().all(|f| f.signal.strength < Strength::Conclusive));
}

#[test]
fn the_same_trouble_has_the_same_fingerprint_and_is_told_once() {
    let mut watch = watch();
    let account = accounts()[0].account.clone();
    watch.begin(Log { format: Format::Standard, owner: Owner::Otherwise(account) });
    let text = log("0..3 203.0.113.5 POST /wp-content/uploads/2026/01/a.php 200 10");
    text.lines().for_each(|l| watch.line(l.as_bytes(), late()));
    let first = watch.news(late());
    assert_eq!((first.findings.len(), first.lines), (1, 4));
    text.lines().for_each(|l| watch.line(l.as_bytes(), late()));
    assert!(watch.news(late()).findings.is_empty());
    let again = read("aoi", &text);
    assert_eq!(again.findings[0].signal.fingerprint, first.findings[0].signal.fingerprint);
    let other = read("aoi", &text.replace("a.php", "b.php"));
    assert_ne!(other.findings[0].signal.fingerprint, first.findings[0].signal.fingerprint);
}

/// Feeds the lines to a log of `aoi`, and gives what is new.
fn feed(watch: &mut Watch, text: &str) -> Reading {
    watch.begin(Log { format: Format::Standard, owner: Owner::Otherwise(accounts()[0].account.clone()) });
    log(text).lines().for_each(|l| watch.line(l.as_bytes(), late()));
    watch.news(late())
}

#[test]
fn findings_are_of_the_time_of_their_requests_however_late_they_are_read() {
    let text = "0..8/30 203.0.113.5 POST /wp-content/uploads/2026/01/a.php 200 500+{n}
        60..119 203.0.113.1 GET /list?page={n} 200 18000\n60..119 203.0.113.1 GET /l?page={n} 503 1
        200..259 198.51.100.9 POST /wp-login.php 200 4311";
    let reading = feed(&mut watch(), text);
    let ends: Vec<_> = reading.findings.iter().map(|f| (f.signal.kind, f.signal.at.secs() - 1_772_841_600)).collect();
    use model::Kind::*;
    assert_eq!(ends, [(UploadsScript, 240), (SiteGuessing, 259), (Crawling, 120)]);
    assert!(reading.findings.iter().all(|f| f.signal.since <= f.signal.at && f.signal.at < late()));
}

#[test]
fn a_script_that_goes_on_is_told_again_after_an_hour() {
    let calls =
        |from: i64| format!("{from}..{}/30 203.0.113.5 POST /wp-content/uploads/tool/a.php 200 500+{{n}}", from + 3);
    let mut watch = watch();
    let told: Vec<usize> =
        [0, 600, 3000, 4000, 4100, 90_000].iter().map(|at| feed(&mut watch, &calls(*at)).findings.len()).collect();
    assert_eq!(told, [1, 0, 0, 1, 0, 1]);
    // A page of its owner that leads to it is no call of it.
    let page = "99000 203.0.113.5 POST /wp-content/uploads/tool/a.php 200 500 https://aoi.example.jp/form";
    assert_eq!(feed(&mut watch, page).findings.len(), 0);
}

#[test]
fn accounts_that_change_leave_what_is_known_of_the_others() {
    let chain = [
        "0 203.0.113.21 POST /connect/upload.php 200 90\n4 203.0.113.21 GET /images/stories/q.php 200 14",
        "100..110/60 198.51.100.{a} POST /images/stories/q.php 200 300+{n}",
    ];
    let conclusive = |change: &dyn Fn(&mut Vec<AccountEntry>)| {
        let mut watch = watch();
        feed(&mut watch, chain[0]);
        let mut now = accounts();
        change(&mut now);
        watch.set_accounts(now.into());
        told(&feed(&mut watch, chain[1])).contains("aoi UploadChain Conclusive: aoi.example.jp")
    };
    // Others come, go and get sites; aoi's own sites change beside the one concerned.
    assert!(conclusive(&|all| all.insert(0, entry("abe", 3009, &["abe.example.jp"]))));
    assert!(conclusive(&|all| drop(all.remove(1))));
    assert!(conclusive(&|all| all[2].sites.push(site("new.kiku.example.jp", "/home/kiku/new"))));
    assert!(conclusive(&|all| all[0].sites.push(site("new.aoi.example.jp", "/home/aoi/new"))));
    // The next owner of the name inherits nothing, and neither does a reader that begins anew: the naive twin.
    assert!(!conclusive(&|all| all[0].account.generation += 1));
    let mut anew = watch();
    assert!(!told(&feed(&mut anew, chain[1])).contains("Conclusive"));
}

#[test]
fn proxies_and_the_office_are_never_sources() {
    let never = vec!["203.0.113.0/24".to_owned().try_into().unwrap()];
    let guess = "0..59 203.0.113.{a} POST /wp-login.php 200 4311";
    let mut proxied = Watch::new(Settings { accounts: accounts().into(), own: vec![], never });
    assert_eq!(told(&feed(&mut proxied, guess)), "");
    assert!(told(&feed(&mut watch(), guess)).contains("SiteGuessing"));
    // An address that brings visitors too is no guesser alone; one that only pretends to, a little, is.
    let visitors = "0..89 203.0.113.2 GET /img/{n}.png 200 900 https://aoi.example.jp/";
    let both = format!("{guess}\n0..1 203.0.113.3 GET /a.css 200 9 https://aoi.example.jp/\n{visitors}");
    assert_eq!(told(&feed(&mut watch(), &both)), "aoi SiteGuessing Suspicious: 203.0.113.1 203.0.113.3 203.0.113.4");
}
