//! Whose process is it: by uid, and where one uid runs PHP of several accounts, by paths below a home or site.
//!
//! Never by text that a tenant can forge: a path counts only because the kernel names it. What is not beyond doubt
//! has no account.

use std::collections::HashMap;
use std::sync::Arc;

use model::{AccountEntry, Domain};

/// Maps a process to its account.
pub trait Attribution {
    /// The account of a process of this uid; `paths` (program, script, working directory, open scripts) decide where
    /// the uid is shared. `None` = nobody's, or not beyond doubt.
    fn account(&self, uid: u32, paths: &[&[u8]]) -> Option<&AccountEntry>;

    /// Whether code of several accounts runs under this uid.
    fn is_shared(&self, uid: u32) -> bool;

    /// Whether this uid belongs to an account or is shared by several; never for root.
    fn is_tenant(&self, uid: u32) -> bool;

    /// The account whose home or site root holds this path.
    fn holder(&self, path: &[u8]) -> Option<&AccountEntry>;
}

/// The accounts of a node, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    entries: Arc<[AccountEntry]>,
    /// Place in `entries`; `None` where two accounts claim the uid.
    by_uid: HashMap<u32, Option<usize>>,
    /// Homes and site roots; `None` where two accounts claim the path.
    by_path: HashMap<Vec<u8>, Option<usize>>,
    shared: Vec<u32>,
}

impl Accounts {
    /// These accounts; under `shared_uids` PHP of several of them runs (such as `www-data` with mod_php).
    pub fn new(entries: &[AccountEntry], shared_uids: &[u32]) -> Accounts {
        Accounts::of(entries.to_vec(), shared_uids)
    }

    /// The same without a copy of the entries.
    pub fn of(entries: Vec<AccountEntry>, shared_uids: &[u32]) -> Accounts {
        let mut accounts = Accounts { shared: shared_uids.to_vec(), ..Accounts::default() };
        for (at, entry) in entries.iter().enumerate() {
            claim(&mut accounts.by_uid, entry.account.uid, at);
            for path in std::iter::once(&entry.home).chain(entry.sites.iter().map(|site| &site.root)) {
                let path = path.trim_end_matches('/');
                if path.len() > 1 {
                    claim(&mut accounts.by_path, path.as_bytes().to_vec(), at);
                }
            }
        }
        accounts.entries = entries.into();
        accounts
    }

    /// All accounts, for who keeps them: a node has many, and one copy is enough.
    pub fn shared(&self) -> Arc<[AccountEntry]> {
        self.entries.clone()
    }

    /// All accounts.
    pub fn entries(&self) -> &[AccountEntry] {
        &self.entries
    }

    /// Uids of accounts and shared ones; never root.
    pub fn tenant_uids(&self) -> impl Iterator<Item = u32> {
        self.by_uid.keys().chain(&self.shared).copied().filter(|uid| *uid != 0)
    }
}

/// Two accounts with one uid or path leave it without an account.
fn claim<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Option<usize>>, key: K, at: usize) {
    map.entry(key).and_modify(|held| *held = held.filter(|held| *held == at)).or_insert(Some(at));
}

impl Attribution for Accounts {
    fn account(&self, uid: u32, paths: &[&[u8]]) -> Option<&AccountEntry> {
        if uid == 0 {
            return None;
        }
        if !self.is_shared(uid) {
            return self.by_uid.get(&uid).copied().flatten().map(|at| &self.entries[at]);
        }
        let mut found: Option<&AccountEntry> = None;
        for holder in paths.iter().filter_map(|path| self.holder(path)) {
            if found.is_some_and(|found| found.account != holder.account) {
                return None;
            }
            found = Some(holder);
        }
        found
    }

    fn is_shared(&self, uid: u32) -> bool {
        uid != 0 && self.shared.contains(&uid)
    }

    fn is_tenant(&self, uid: u32) -> bool {
        uid != 0 && (self.by_uid.contains_key(&uid) || self.shared.contains(&uid))
    }

    fn holder(&self, path: &[u8]) -> Option<&AccountEntry> {
        let mut path = path;
        loop {
            if let Some(at) = self.by_path.get(path) {
                return at.map(|at| &self.entries[at]);
            }
            let slash = path.iter().rposition(|b| *b == b'/').filter(|at| *at > 0)?;
            path = &path[..slash];
        }
    }
}

/// The site of the account whose root holds one of these paths; the longest root of each path, and only when all
/// paths that lie in a site lie in the same one.
pub fn site_of(account: &AccountEntry, paths: &[&[u8]]) -> Option<Domain> {
    let mut found = None;
    for path in paths {
        let inside = account.sites.iter().filter(|site| crate::process::below(path, site.root.as_bytes()));
        let longest = inside.clone().map(|site| site.root.trim_end_matches('/').len()).max();
        let mut nearest = inside.filter(|site| Some(site.root.trim_end_matches('/').len()) == longest);
        // Two sites on one root: the program belongs to both, so none is named.
        match (nearest.next(), nearest.next(), &found) {
            (Some(site), None, None) => found = Some(&site.domain),
            (Some(site), None, Some(same)) if site.domain == **same => {}
            (None, _, _) => {}
            _ => return None,
        }
    }
    found.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AccountRef, Site};

    fn entry(name: &str, uid: u32) -> AccountEntry {
        let site = Site {
            domain: format!("{name}.example").parse().unwrap(),
            aliases: Vec::new(),
            root: format!("/home/{name}/public_html"),
            gates: Vec::new(),
            probes: Vec::new(),
        };
        AccountEntry {
            account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
            home: format!("/home/{name}"),
            sites: vec![site],
            contacts: Vec::new(),
            time_zone: "Asia/Tokyo".to_owned(),
        }
    }

    fn who() -> Accounts {
        Accounts::new(&[entry("aoi", 3001), entry("fuji", 3002)], &[33])
    }

    fn name(who: &Accounts, uid: u32, paths: &[&[u8]]) -> String {
        who.account(uid, paths).map_or("nobody".to_owned(), |entry| entry.account.to_string())
    }

    #[test]
    fn a_tenants_uid_is_enough_and_paths_cannot_blame_somebody_else() {
        assert_eq!(name(&who(), 3001, &[b"/home/fuji/x"]), "aoi");
        assert_eq!(name(&who(), 0, &[b"/home/aoi/x"]), "nobody");
        assert_eq!(name(&who(), 999, &[b"/home/aoi/x"]), "nobody");
    }

    #[test]
    fn under_a_shared_uid_paths_decide_and_doubt_blames_nobody() {
        let who = who();
        assert_eq!(name(&who, 33, &[b"/usr/bin/perl", b"/home/fuji/public_html/a.pl"]), "fuji");
        assert_eq!(name(&who, 33, &[b"/home/fuji/a", b"/home/aoi/b"]), "nobody");
        assert_eq!(name(&who, 33, &[b"/usr/bin/perl"]), "nobody");
        assert_eq!(name(&who, 33, &[b"/home/fujiwara/a"]), "nobody");
    }

    #[test]
    fn two_accounts_with_one_uid_are_nobody() {
        let twins = Accounts::new(&[entry("aoi", 3001), entry("fuji", 3001)], &[]);
        assert_eq!(name(&twins, 3001, &[]), "nobody");
    }

    #[test]
    fn a_site_is_named_only_when_all_paths_agree() {
        let mut account = entry("aoi", 3001);
        account.sites.push(account.sites[0].clone());
        account.sites[1].domain = "shop.aoi.example".parse().unwrap();
        account.sites[1].root = "/home/aoi/public_html/shop".to_owned();
        let site = |paths: &[&[u8]]| site_of(&account, paths).map(String::from);
        assert_eq!(site(&[b"/home/aoi/public_html/shop/x.php", b"/"]).as_deref(), Some("shop.aoi.example"));
        assert_eq!(site(&[b"/home/aoi/public_html/shop/x.php", b"/home/aoi/public_html"]), None);
        assert_eq!(site(&[b"/home/aoi/bin"]), None);
    }
}
