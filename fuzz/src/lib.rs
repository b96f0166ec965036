//! What all targets share: a small node, and what must hold of every reading whatever was read.

use model::{AccountEntry, AccountRef, Moment, Site};
use sense::reading::Reading;

/// Most sources that an attack may name (documented at `Attack::sources`).
const SOURCES_MAX: usize = 64;

/// One account with two sites, the second below the first one's name.
fn account(name: &str, uid: u32) -> AccountEntry {
    let site = |domain: String, root: String| Site {
        domain: domain.parse().expect("a domain"),
        aliases: Vec::new(),
        root,
        gates: Vec::new(),
        probes: Vec::new(),
    };
    AccountEntry {
        account: AccountRef { name: name.parse().expect("a name"), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: vec![
            site(format!("{name}.example.jp"), format!("/home/{name}/www")),
            site(format!("shop.{name}.example.jp"), format!("/home/{name}/shop")),
        ],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

/// The accounts `aoi` (uid 3001) and `fuji` (uid 3002).
pub fn node() -> Vec<AccountEntry> {
    vec![account("aoi", 3001), account("fuji", 3002)]
}

/// The node's own address.
pub fn own() -> Vec<std::net::IpAddr> {
    vec!["192.0.2.10".parse().expect("an address")]
}

/// When everything is read: 1 June 2026, noon, in Tokyo.
pub fn now() -> Moment {
    Moment::parse("2026-06-01T12:00:00+09:00").expect("a moment")
}

/// Lines of a file as an editor counts them: one without a newline at the end is one too.
pub fn lines(bytes: &[u8]) -> u64 {
    let newlines = bytes.iter().filter(|b| **b == b'\n').count() as u64;
    newlines + u64::from(bytes.last().is_some_and(|b| *b != b'\n'))
}

/// What holds of every reading: it speaks of accounts and sites of the inventory alone, names few sources and never the
/// node, counts no more losses than lines, and what people will see has no control signs.
pub fn check(reading: &Reading, accounts: &[AccountEntry]) {
    assert!(reading.dropped <= reading.lines, "{} of {} lines dropped", reading.dropped, reading.lines);
    for finding in &reading.findings {
        let signal = &finding.signal;
        let entry = accounts.iter().find(|entry| entry.account == signal.account);
        let entry = entry.unwrap_or_else(|| panic!("{} is nobody here", signal.account));
        if let Some(site) = &signal.site {
            assert!(entry.sites.iter().any(|own| own.domain == *site), "{site} is not of {}", signal.account);
        }
        let evidence = finding.evidence.0.iter().map(|(_, value)| value.to_string());
        for text in evidence {
            assert!(!text.chars().any(|c| c.is_control() || model::evidence::hides(c)), "{text:?}");
        }
    }
    for attack in &reading.attacks {
        assert!(attack.sources.len() <= SOURCES_MAX);
        assert!(attack.sources.iter().all(|source| !own().contains(source)));
    }
}

/// A reading as text, so that two of them can be compared whole.
pub fn told(reading: &Reading) -> String {
    format!("{reading:#?}")
}

/// A folder for files of this process, in memory where the machine has such a place.
pub fn folder() -> std::path::PathBuf {
    let shm = std::path::PathBuf::from("/dev/shm");
    let above = if shm.is_dir() { shm } else { std::env::temp_dir() };
    let folder = above.join(format!("hikeshi-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What holds of every inventory: no name of a site belongs to two accounts, and a root lies in its owner's home.
pub fn sites(accounts: &[AccountEntry]) {
    let mut owners = std::collections::BTreeMap::new();
    for entry in accounts {
        for site in &entry.sites {
            let inside = site.root == entry.home || site.root.starts_with(&format!("{}/", entry.home));
            assert!(inside, "{} is not in {}", site.root, entry.home);
            for name in std::iter::once(&site.domain).chain(&site.aliases) {
                let owner = owners.entry(name.clone()).or_insert(&entry.account);
                assert_eq!(*owner, &entry.account, "{name}");
            }
        }
    }
}
