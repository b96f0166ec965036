//! Whose mail is it: by login, by the domain of a mailbox, by the folder from which it was handed over.
//!
//! A name that two accounts claim belongs to neither.

use std::collections::HashMap;

use model::AccountEntry;

use crate::attribution::{Accounts, Attribution};

/// The accounts of a node by the names that a mail log uses.
#[derive(Clone, Debug, Default)]
pub struct Who {
    logins: HashMap<Vec<u8>, Option<u32>>,
    domains: HashMap<String, Option<u32>>,
    paths: Accounts,
}

impl Who {
    /// These accounts.
    pub fn new(entries: &[AccountEntry]) -> Who {
        let mut who = Who { paths: Accounts::new(entries, &[]), ..Who::default() };
        for entry in entries {
            let uid = entry.account.uid;
            claim(&mut who.logins, entry.account.name.as_str().as_bytes().to_vec(), uid);
            for domain in entry.sites.iter().flat_map(|s| std::iter::once(&s.domain).chain(&s.aliases)) {
                // A wildcard is no domain of a mailbox; `www.` is a name of the web alone.
                if !domain.as_str().contains('*') {
                    claim(&mut who.domains, domain.as_str().to_owned(), uid);
                }
            }
        }
        let bare: Vec<(String, Option<u32>)> = who.domains.iter().filter_map(without_www).collect();
        for (domain, uid) in bare {
            // The name itself, where some account has it, says more.
            who.domains.entry(domain).or_insert(uid);
        }
        who
    }

    /// The account of a login of the node.
    pub fn login(&self, login: &[u8]) -> Option<u32> {
        self.logins.get(login).copied().flatten()
    }

    /// The account to which a mailbox belongs: `info@example.jp` to the one whose site has that domain or one above
    /// it, the nearest; a name without a domain is a login.
    pub fn mailbox(&self, name: &str) -> Option<u32> {
        let Some((_, domain)) = name.rsplit_once('@') else { return self.login(name.as_bytes()) };
        let mut domain = domain.to_ascii_lowercase();
        loop {
            if let Some(uid) = self.domains.get(&domain) {
                return *uid;
            }
            domain = domain.split_once('.').filter(|(_, above)| above.contains('.'))?.1.to_owned();
        }
    }

    /// The account whose home or document root holds this folder.
    pub fn folder(&self, path: &[u8]) -> Option<u32> {
        self.paths.holder(path).map(|entry| entry.account.uid)
    }
}

fn without_www((domain, uid): (&String, &Option<u32>)) -> Option<(String, Option<u32>)> {
    let bare = domain.strip_prefix("www.").filter(|bare| bare.contains('.'))?;
    Some((bare.to_owned(), *uid))
}

fn claim<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Option<u32>>, key: K, uid: u32) {
    map.entry(key).and_modify(|held| *held = held.filter(|held| *held == uid)).or_insert(Some(uid));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_belongs_to_the_nearest_domain_and_a_disputed_one_to_nobody() {
        let account = |name: &str, uid: u32, domains: &[&str]| AccountEntry {
            account: model::AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
            home: format!("/home/{name}"),
            sites: domains
                .iter()
                .map(|domain| model::Site {
                    domain: domain.parse().unwrap(),
                    aliases: Vec::new(),
                    root: format!("/home/{name}/{domain}"),
                    gates: Vec::new(),
                    probes: Vec::new(),
                })
                .collect(),
            contacts: Vec::new(),
            time_zone: "Asia/Tokyo".to_owned(),
        };
        let who = Who::new(&[
            account("aoi", 1, &["www.aoi.example.jp", "both.example.net"]),
            account("fuji", 2, &["shop.aoi.example.jp", "both.example.net"]),
        ]);
        let table = [
            ("info@aoi.example.jp", Some(1)),
            ("info@AOI.example.jp", Some(1)),
            ("x@lists.aoi.example.jp", Some(1)),
            ("x@shop.aoi.example.jp", Some(2)),
            ("x@both.example.net", None),
            ("x@example.jp", None),
            ("x@notaoi.example.jp", None),
            ("x@aoi.example.jp.evil.example", None),
            ("aoi", Some(1)),
            ("root", None),
            ("@", None),
        ];
        for (name, uid) in table {
            assert_eq!(who.mailbox(name), uid, "{name}");
        }
        assert_eq!(who.folder(b"/home/fuji/x/y"), Some(2));
        assert_eq!(who.folder(b"/home/fujiwara"), None);
    }
}
