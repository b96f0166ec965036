//! Decides which account owns which virtual host, and makes sites of them.
//!
//! Three things can point to an owner: the configured path, the path behind all links, and the uid that owns
//! the folder. They must not disagree: a tenant who points his root at another tenant's files by a link would
//! otherwise put his own doings on the other's account. Where they disagree, a person decides (`accounts.d`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{AccountName, Domain, GateKey, Site, Unclear};

use super::files::{Reader, resolve, shown};
use super::nginx_sites::gate_name;
use super::vhost::{Root, Server, Vhost};

/// An account to whom a site can belong.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its name.
    pub name: AccountName,
    /// Its uid.
    pub uid: u32,
    /// Its home, as written and with links resolved.
    pub homes: [PathBuf; 2],
    /// Sites that the operator named in `accounts.d`.
    pub declared: Vec<(Domain, PathBuf)>,
}

/// Sites by owner (same order as the owners), and what is not beyond doubt.
pub struct Joined {
    /// The sites of each owner, sorted by domain.
    pub sites: Vec<Vec<Site>>,
    /// What a person has to decide.
    pub unclear: Vec<Unclear>,
}

/// Joins virtual hosts to owners.
pub fn join(owners: &[Owner], vhosts: &[Vhost], reader: &mut Reader) -> Joined {
    let mut join = Join::new(owners);
    let mut owned: Vec<Owned> = Vec::new();
    let mut proxies: Vec<&Vhost> = Vec::new();
    for vhost in vhosts {
        match join.owner(vhost, reader) {
            Claim::One(owner, root) => owned.push(Owned { owner, root, vhost, group: owned.len() }),
            Claim::Proxy => proxies.push(vhost),
            Claim::Nobody => {}
        }
    }
    join.drop_contested_first_names(&mut owned);
    join.group(&mut owned);
    join.proxies(&proxies, &mut owned);
    let gates = join.contested_gates(vhosts, &owned);
    join.sites(&owned, &gates)
}

/// A virtual host with a sure owner.
struct Owned<'a> {
    owner: usize,
    /// Its root behind all links; `None` for a proxy in front of a site of the same name.
    root: Option<PathBuf>,
    vhost: &'a Vhost,
    /// The smallest index of its group.
    group: usize,
}

enum Claim {
    One(usize, Option<PathBuf>),
    Proxy,
    Nobody,
}

struct Join<'a> {
    owners: &'a [Owner],
    by_home: HashMap<&'a Path, usize>,
    by_uid: HashMap<u32, usize>,
    by_domain: HashMap<&'a str, BTreeSet<usize>>,
    /// Names of aliases that several accounts carry.
    contested: BTreeSet<String>,
    unclear: Vec<Unclear>,
}

impl<'a> Join<'a> {
    fn new(owners: &'a [Owner]) -> Self {
        let mut join = Join {
            owners,
            by_home: HashMap::new(),
            by_uid: HashMap::new(),
            by_domain: HashMap::new(),
            contested: BTreeSet::new(),
            unclear: Vec::new(),
        };
        for (i, owner) in owners.iter().enumerate() {
            owner.homes.iter().for_each(|home| {
                join.by_home.insert(home, i);
            });
            join.by_uid.insert(owner.uid, i);
            for (domain, _) in &owner.declared {
                join.by_domain.entry(domain.as_str()).or_default().insert(i);
            }
        }
        join
    }

    fn names(&self, owners: impl IntoIterator<Item = usize>) -> Vec<AccountName> {
        owners.into_iter().map(|i| self.owners[i].name.clone()).collect()
    }

    fn report(&mut self, subject: String, why: String, candidates: Vec<AccountName>) {
        self.unclear.push(Unclear { subject, why, candidates });
    }

    /// The account whose home is nearest above a path.
    fn home_of(&self, path: &Path) -> Option<usize> {
        path.ancestors().find_map(|p| self.by_home.get(p).copied())
    }

    fn owner(&mut self, vhost: &Vhost, reader: &mut Reader) -> Claim {
        let declared: BTreeSet<usize> =
            vhost.names.iter().filter_map(|n| self.by_domain.get(n.as_str())).flatten().copied().collect();
        let subject = subject(vhost);
        if declared.len() > 1 {
            let why = "accounts.d gives names of this virtual host to several accounts; correct one of the entries";
            let candidates = self.names(declared);
            self.report(subject, why.into(), candidates);
            return Claim::Nobody;
        }
        if vhost.redirects_only {
            return Claim::Nobody;
        }
        if let Some(owner) = declared.first().copied() {
            let root = match &vhost.root {
                Root::At(path) => Some(resolve(path)),
                _ => None,
            };
            return Claim::One(owner, root);
        }
        match &vhost.root {
            Root::Nowhere => Claim::Proxy,
            Root::Unclear(why) => {
                self.report(subject, why.clone(), Vec::new());
                Claim::Nobody
            }
            Root::At(path) => self.by_path(vhost, path, reader),
        }
    }

    fn by_path(&mut self, vhost: &Vhost, path: &Path, reader: &mut Reader) -> Claim {
        reader.identity(path);
        let real = resolve(path);
        let uid = fs::metadata(&real).ok().map(|m| m.uid());
        let claimants: BTreeSet<usize> =
            [self.home_of(path), self.home_of(&real), uid.and_then(|uid| self.by_uid.get(&uid).copied())]
                .into_iter()
                .flatten()
                .collect();
        let sure = claimants.first().copied().filter(|_| claimants.len() == 1);
        let Some(owner) = sure else {
            let root = shown(&real);
            let owned_by = uid.map_or("it does not exist".into(), |uid| format!("its owner is uid {uid}"));
            let why = match claimants.is_empty() {
                true => format!(
                    "the root {root} lies in no account's home and {owned_by}; nothing to do for the host's own \
                     pages, else write the site into accounts.d"
                ),
                false => format!(
                    "the path as configured ({}), the path behind its links ({root}) and the owner of the folder \
                     ({owned_by}) point to different accounts; write the site into accounts.d for the right one",
                    shown(path)
                ),
            };
            let candidates = self.names(claimants);
            self.report(subject(vhost), why, candidates);
            return Claim::Nobody;
        };
        for location in &vhost.location_roots {
            if let Some(other) = self.home_of(&resolve(location)).filter(|o| *o != owner) {
                let why = format!(
                    "a location of this virtual host serves {}, which lies in another account's home; what happens \
                     there is not bound to this site. Remove it unless it is meant",
                    shown(location)
                );
                let candidates = self.names([owner, other]);
                self.report(subject(vhost), why, candidates);
            }
        }
        if real.to_str().is_none() {
            let why = "the root is not UTF-8; rename the folder".into();
            let candidates = self.names([owner]);
            self.report(subject(vhost), why, candidates);
            return Claim::Nobody;
        }
        Claim::One(owner, Some(real))
    }

    /// Names that virtual hosts of several accounts carry: no site may be called by them unless it is the only
    /// one that has it as its first name. (A panel lets tenants add aliases: nobody may take a site away
    /// from another by naming it.)
    fn drop_contested_first_names(&mut self, owned: &mut Vec<Owned<'_>>) {
        let mut all: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut first: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for o in owned.iter() {
            for name in o.vhost.names.iter().filter(|n| plain_domain(n).is_some()) {
                all.entry(name).or_default().insert(o.owner);
            }
            if let Some(name) = o.vhost.names.iter().find(|n| plain_domain(n).is_some()) {
                first.entry(name).or_default().insert(o.owner);
            }
        }
        let mut dropped = BTreeSet::new();
        for (name, owners) in all.into_iter().filter(|(_, owners)| owners.len() > 1) {
            self.contested.insert(name.to_owned());
            let candidates = self.names(owners);
            let both_first = first.get(name).is_some_and(|f| f.len() > 1);
            let why = match both_first {
                true => {
                    "virtual hosts of several accounts have this as their first name; none of them is a site \
                         until one is removed"
                }
                false => {
                    "virtual hosts of several accounts carry this name; it stays with the one whose first name \
                          it is. Remove it from the other"
                }
            };
            self.report(name.to_owned(), why.into(), candidates);
            if both_first {
                dropped.insert(name.to_owned());
            }
        }
        owned
            .retain(|o| !o.vhost.names.iter().find(|n| plain_domain(n).is_some()).is_some_and(|n| dropped.contains(n)));
        owned.iter_mut().enumerate().for_each(|(i, o)| o.group = i);
    }

    /// One site = all virtual hosts of an account that share a root or a name.
    fn group(&mut self, owned: &mut [Owned<'_>]) {
        let mut by_root: HashMap<(usize, PathBuf), usize> = HashMap::new();
        let mut by_name: HashMap<(usize, &str), usize> = HashMap::new();
        let mut parent: Vec<usize> = (0..owned.len()).collect();
        for (i, o) in owned.iter().enumerate() {
            if let Some(root) = &o.root {
                let other = *by_root.entry((o.owner, root.clone())).or_insert(i);
                unite(&mut parent, i, other);
            }
            for name in o.vhost.names.iter().filter(|n| plain_domain(n).is_some() && !self.contested.contains(*n)) {
                let other = *by_name.entry((o.owner, name)).or_insert(i);
                unite(&mut parent, i, other);
            }
        }
        for (i, o) in owned.iter_mut().enumerate() {
            o.group = top(&mut parent, i);
        }
    }

    /// A proxy belongs to the site of its name behind it, when one account alone has such a site.
    fn proxies<'v>(&mut self, proxies: &[&'v Vhost], owned: &mut Vec<Owned<'v>>) {
        let mut behind: HashMap<&str, BTreeSet<(usize, usize)>> = HashMap::new();
        for o in owned.iter() {
            for name in o.vhost.names.iter().filter(|n| plain_domain(n).is_some()) {
                behind.entry(name).or_default().insert((o.owner, o.group));
            }
        }
        for &vhost in proxies {
            let found: BTreeSet<(usize, usize)> =
                vhost.names.iter().filter_map(|n| behind.get(n.as_str())).flatten().copied().collect();
            let owners: BTreeSet<usize> = found.iter().map(|f| f.0).collect();
            match found.first() {
                Some(&(owner, group)) if owners.len() == 1 => owned.push(Owned { owner, root: None, vhost, group }),
                _ => {
                    let why = "it passes requests on and has no root, so its owner cannot be told; write the site \
                               into accounts.d when it is a tenant's";
                    let candidates = self.names(owners);
                    self.report(subject(vhost), why.into(), candidates);
                }
            }
        }
    }

    /// Gate keys that also stand for something else than one site: closing one would close the other.
    fn contested_gates(&mut self, vhosts: &[Vhost], owned: &[Owned<'_>]) -> BTreeSet<GateKey> {
        let mut holders: BTreeMap<GateKey, BTreeSet<Option<usize>>> = BTreeMap::new();
        let groups: HashMap<*const Vhost, usize> =
            owned.iter().map(|o| (std::ptr::from_ref(o.vhost), o.group)).collect();
        for vhost in vhosts.iter().filter(|v| !v.redirects_only) {
            if let Some(gate) = gate(vhost) {
                holders.entry(gate).or_default().insert(groups.get(&std::ptr::from_ref(vhost)).copied());
            }
        }
        holders.retain(|_, holders| holders.len() > 1);
        for (gate, holders) in &holders {
            let owners: BTreeSet<usize> =
                owned.iter().filter(|o| holders.contains(&Some(o.group))).map(|o| o.owner).collect();
            let (GateKey::Nginx(key) | GateKey::Apache(key)) = gate;
            let why = "several virtual hosts that are not one site share this first name or root, so closing one \
                       would close the others; give each its own first name";
            let candidates = self.names(owners);
            self.report(key.clone(), why.into(), candidates);
        }
        holders.into_keys().collect()
    }

    fn sites(mut self, owned: &[Owned<'_>], contested_gates: &BTreeSet<GateKey>) -> Joined {
        let mut groups: BTreeMap<usize, Vec<&Owned<'_>>> = BTreeMap::new();
        owned.iter().for_each(|o| groups.entry(o.group).or_default().push(o));
        let mut sites: Vec<Vec<Site>> = vec![Vec::new(); self.owners.len()];
        for members in groups.into_values() {
            let owner = members[0].owner;
            if let Some(site) = self.site(owner, &members, contested_gates) {
                sites[owner].push(site);
            }
        }
        for (owner, sites) in self.owners.iter().zip(&mut sites) {
            for (domain, root) in &owner.declared {
                if !sites.iter().any(|s| s.domain == *domain || s.aliases.contains(domain)) {
                    let root = root.to_string_lossy().into_owned();
                    let (aliases, gates, probes) = Default::default();
                    sites.push(Site { domain: domain.clone(), aliases, root, gates, probes });
                }
            }
            sites.sort_by(|a, b| a.domain.cmp(&b.domain));
        }
        Joined { sites, unclear: self.unclear }
    }

    fn site(&mut self, owner: usize, members: &[&Owned<'_>], contested_gates: &BTreeSet<GateKey>) -> Option<Site> {
        let mut names: Vec<Domain> = Vec::new();
        for (i, name) in members.iter().flat_map(|m| m.vhost.names.iter().enumerate()) {
            let usable = i == 0 || !self.contested.contains(name);
            let Some(domain) = plain_domain(name).filter(|_| usable) else { continue };
            if !names.contains(&domain) {
                names.push(domain);
            }
        }
        let candidates = self.names([owner]);
        let Some(at) = names.iter().position(|n| !n.as_str().contains('*')).or((!names.is_empty()).then_some(0)) else {
            let why = "no name of this virtual host is a host name, so it cannot be spoken of; give it a server name";
            self.report(subject(members[0].vhost), why.into(), candidates);
            return None;
        };
        let domain = names.remove(at);
        let declared = self.owners[owner].declared.iter().find(|d| d.0 == domain || names.contains(&d.0));
        let roots: Vec<&PathBuf> = members.iter().filter_map(|m| m.root.as_ref()).collect();
        // The outermost root holds what is served by all.
        let widest = roots.iter().min_by_key(|r| r.components().count()).copied();
        let root = declared.map(|d| &d.1).or(widest)?.to_string_lossy().into_owned();
        if let Some(other) = roots.iter().find(|r| !r.starts_with(&root)) {
            let why = format!(
                "this site has two roots, {root} and {}; only what lies below the first is bound to the site",
                shown(other)
            );
            self.report(domain.to_string(), why, candidates.clone());
        }
        let mut site = Site { domain, aliases: names, root, gates: Vec::new(), probes: Vec::new() };
        for member in members {
            match gate(member.vhost) {
                Some(gate) if contested_gates.contains(&gate) => {}
                Some(gate) if !site.gates.contains(&gate) => site.gates.push(gate),
                Some(_) => {}
                None => {
                    let why = match member.vhost.server {
                        Server::Nginx => {
                            "the first server_name is no plain name, so this server block cannot be closed; \
                             put a host name first"
                        }
                        Server::Apache => {
                            "this virtual host has no DocumentRoot, so it cannot be closed; give it one of its own"
                        }
                    };
                    self.report(subject(member.vhost), why.into(), candidates.clone());
                }
            }
            for probe in &member.vhost.probes {
                if !site.probes.contains(probe) {
                    site.probes.push(probe.clone());
                }
            }
        }
        Some(site)
    }
}

/// The constant that names the flag file of a virtual host.
pub fn gate(vhost: &Vhost) -> Option<GateKey> {
    match vhost.server {
        Server::Nginx => gate_name(vhost.names.first()?).map(|n| GateKey::Nginx(n.to_owned())),
        Server::Apache => vhost.document_root.clone().map(GateKey::Apache),
    }
}

/// A server name as a domain: expressions, the empty name and `_` are none; `.x` stands for `x`.
fn plain_domain(name: &str) -> Option<Domain> {
    if name.starts_with('~') || name == "_" || name.contains('?') {
        return None;
    }
    name.strip_prefix('.').unwrap_or(name).parse().ok()
}

fn subject(vhost: &Vhost) -> String {
    let name = vhost.names.iter().find(|n| !n.is_empty()).map_or("(no name)", |n| n);
    let name = model::evidence::printable(name.as_bytes(), 100);
    format!("{}: {} {name}", vhost.place(), vhost.server)
}

fn top(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

fn unite(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (top(parent, a), top(parent, b));
    parent[a.max(b)] = a.min(b);
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
