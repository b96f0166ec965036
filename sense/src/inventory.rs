//! Who lives on the node: accounts from passwd and `accounts.d`, sites from the web servers' own configuration.
//!
//! Nothing is guessed: what is not beyond doubt becomes a [`model::Unclear`] with its next step, and the rest
//! is still read. One broken file never hides the other accounts.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{AccountEntry, AccountName, AccountRef, Unclear};

pub mod accounts;
pub mod apache;
pub mod apache_sites;
pub mod files;
pub mod join;
pub mod nginx;
pub mod nginx_sites;
pub mod passwd;
#[cfg(test)]
mod testing;
pub mod vhost;

pub use accounts::AccountsError;
pub use apache_sites::ApacheSource;
pub use files::Fingerprint;
pub use nginx_sites::NginxSource;
pub use passwd::UidRange;
pub use vhost::{Root, Server, Vhost, Web};

use accounts::Declared;
use files::{Reader, shown};
use join::{Owner, join};
use passwd::Passwd;

/// Most reports that one reading gives; a last one counts the rest.
pub const UNCLEAR_MAX: usize = 2_000;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// passwd(5), usually `/etc/passwd`; absent when accounts are described by `accounts.d` alone.
    pub passwd: Option<PathBuf>,
    /// The uids of tenants.
    pub tenant_uids: UidRange,
    /// Uids that several accounts share (PHP under one uid): never an account of their own.
    pub shared_uids: Vec<u32>,
    /// The folder `accounts.d`.
    pub accounts_dir: Option<PathBuf>,
    /// nginx, when it serves here.
    pub nginx: Option<NginxSource>,
    /// Apache, when it serves here; some nodes run two.
    pub apache: Vec<ApacheSource>,
    /// Addresses of the node itself.
    pub host_addresses: Vec<IpAddr>,
    /// IANA zone of accounts that have none of their own.
    pub time_zone: String,
}

/// Device and inode of each account's home: tells an account from a later one of the same name and uid.
pub type Homes = BTreeMap<AccountName, (u64, u64)>;

/// Facts about the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its own addresses.
    pub host_addresses: Vec<IpAddr>,
    /// The uids of tenants.
    pub tenant_uids: UidRange,
    /// Lines of passwd that are no passwd lines.
    pub passwd_bad_lines: u64,
    /// Virtual hosts read.
    pub vhosts: usize,
}

/// Everything that was read.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The accounts, by name.
    pub accounts: Vec<AccountEntry>,
    /// What is not beyond doubt.
    pub unclear: Vec<Unclear>,
    /// The node.
    pub node: NodeFacts,
    /// Identity of the homes, for [`generations`].
    pub homes: Homes,
    /// The state of the inputs.
    pub fingerprint: Fingerprint,
}

impl Inventory {
    /// Reads all sources. Never fails as a whole: what cannot be read is in `unclear`.
    pub fn read(sources: &Sources) -> Inventory {
        let mut reader = Reader::default();
        let mut unclear = Vec::new();
        let mut passwd = Passwd::default();
        if let Some(path) = &sources.passwd {
            match reader.read(path) {
                Ok(bytes) => passwd = passwd::read(path, &bytes, sources.tenant_uids, &mut reader),
                Err(e) => unclear.push(plain(shown(path), format!("no account is known: {e}"))),
            }
        }
        unclear.append(&mut passwd.unclear);
        passwd.tenants.retain(|t| !sources.shared_uids.contains(&t.uid));
        let declared = read_accounts_dir(sources, &mut reader, &mut unclear);
        let mut people =
            People { zone: &sources.time_zone, entries: Vec::new(), owners: Vec::new(), homes: Homes::new() };
        people.add_tenants(&passwd);
        for account in &declared {
            people.add_declared(account, sources.tenant_uids, &mut reader, &mut unclear);
        }
        let mut vhosts = Vec::new();
        for mut web in webs(sources, &mut reader) {
            unclear.append(&mut web.unclear);
            vhosts.append(&mut web.vhosts);
        }
        let mut joined = join(&people.owners, &vhosts, &mut reader);
        unclear.append(&mut joined.unclear);
        for (entry, sites) in people.entries.iter_mut().zip(joined.sites) {
            entry.sites = sites;
        }
        people.entries.sort_by(|a, b| a.account.cmp(&b.account));
        if unclear.len() > UNCLEAR_MAX {
            let more = unclear.len() - UNCLEAR_MAX;
            unclear.truncate(UNCLEAR_MAX);
            unclear.push(plain(
                "inventory".into(),
                format!("{more} more reports are left out; see to the ones above first"),
            ));
        }
        Inventory {
            accounts: people.entries,
            unclear,
            node: NodeFacts {
                host_addresses: sources.host_addresses.clone(),
                tenant_uids: sources.tenant_uids,
                passwd_bad_lines: passwd.bad_lines,
                vhosts: vhosts.len(),
            },
            homes: people.homes,
            fingerprint: reader.fingerprint(),
        }
    }

    /// Reads one file that describes a node by itself (`inspect --inventory FILE`): it has `[node]`, and nothing
    /// on this machine is looked at. Recorded input comes from elsewhere, so homes need not exist here.
    pub fn from_file(path: &Path) -> Result<Inventory, AccountsError> {
        let mut reader = Reader::default();
        let refuse = |what: String| AccountsError { place: shown(path), what };
        let bytes = reader.read(path).map_err(|e| refuse(e.to_string()))?;
        let file = accounts::parse(path, &bytes)?;
        let node =
            file.node.ok_or_else(|| refuse("[node] is missing; add it with tenant_uids = \"20000-59999\"".into()))?;
        let mut accounts = Vec::new();
        let mut names = HashMap::new();
        for declared in &file.accounts {
            if !node.tenant_uids.contains(declared.uid) {
                let range = String::from(node.tenant_uids);
                return Err(refuse(format!(
                    "uid {} of {} is not within tenant_uids = \"{range}\"",
                    declared.uid, declared.name
                )));
            }
            if names.insert(declared.name.to_string(), ()).is_some()
                || names.insert(declared.uid.to_string(), ()).is_some()
            {
                return Err(refuse(format!(
                    "{} or its uid {} is described twice; remove one",
                    declared.name, declared.uid
                )));
            }
            let mut entry = entry(declared, "UTC");
            entry.sites = declared
                .sites
                .iter()
                .map(|s| model::Site {
                    domain: s.domain.clone(),
                    aliases: Vec::new(),
                    root: s.root.0.to_string_lossy().into_owned(),
                    gates: Vec::new(),
                    probes: Vec::new(),
                })
                .collect();
            accounts.push(entry);
        }
        accounts.sort_by(|a, b| a.account.cmp(&b.account));
        Ok(Inventory {
            accounts,
            unclear: Vec::new(),
            node: NodeFacts {
                host_addresses: node.host_addresses,
                tenant_uids: node.tenant_uids,
                passwd_bad_lines: 0,
                vhosts: 0,
            },
            homes: Homes::new(),
            fingerprint: reader.fingerprint(),
        })
    }
}

/// The virtual hosts alone, without accounts: what `setup` works on.
pub fn webs(sources: &Sources, reader: &mut Reader) -> Vec<Web> {
    let nginx = sources.nginx.iter().map(|s| nginx_sites::read(s, reader)).collect::<Vec<Web>>();
    let apache = sources.apache.iter().map(|s| apache_sites::read(s, reader)).collect::<Vec<Web>>();
    nginx.into_iter().chain(apache).collect()
}

/// Carries generations on from what was known. A uid under another name, or a name and uid whose home is
/// another folder than before, is a stranger: one generation more than the last owner of that uid.
///
/// When most homes changed at once, the node was moved (new disk, restored backup) and nobody is a stranger.
pub fn generations(known: &[AccountEntry], known_homes: &Homes, now: &mut [AccountEntry], now_homes: &Homes) {
    let moved = |name: &AccountName| match (known_homes.get(name), now_homes.get(name)) {
        // The device number may change at any boot; the inode of a home does not.
        (Some(before), Some(after)) => before.1 != after.1,
        _ => false,
    };
    let moves = known.iter().filter(|k| moved(&k.account.name)).count();
    let node_moved = moves >= 3 && moves * 2 > known.len();
    let mut by_uid: HashMap<u32, &AccountEntry> = HashMap::new();
    for entry in known {
        let last = by_uid.entry(entry.account.uid).or_insert(entry);
        if last.account.generation < entry.account.generation {
            *last = entry;
        }
    }
    for entry in now {
        let account = &mut entry.account;
        let Some(last) = by_uid.get(&account.uid) else { continue };
        let same = last.account.name == account.name && (node_moved || !moved(&account.name));
        account.generation = account.generation.max(last.account.generation + u32::from(!same));
    }
}

struct People<'a> {
    zone: &'a str,
    entries: Vec<AccountEntry>,
    /// Beside `entries`.
    owners: Vec<Owner>,
    homes: Homes,
}

impl People<'_> {
    fn add_tenants(&mut self, passwd: &Passwd) {
        for tenant in &passwd.tenants {
            self.homes.extend(tenant.home_id.map(|id| (tenant.name.clone(), id)));
            self.entries.push(AccountEntry {
                account: AccountRef { name: tenant.name.clone(), uid: tenant.uid, generation: 1 },
                home: tenant.home.to_string_lossy().into_owned(),
                sites: Vec::new(),
                contacts: Vec::new(),
                time_zone: self.zone.to_owned(),
            });
            let homes = [files::tidy(&tenant.home_written), tenant.home.clone()];
            self.owners.push(Owner { name: tenant.name.clone(), uid: tenant.uid, homes, declared: Vec::new() });
        }
    }

    fn add_declared(&mut self, declared: &Declared, range: UidRange, reader: &mut Reader, unclear: &mut Vec<Unclear>) {
        let sites: Vec<_> = declared.sites.iter().map(|s| (s.domain.clone(), files::resolve(&s.root.0))).collect();
        let mut refuse = |why: String| {
            unclear.push(Unclear {
                subject: format!("accounts.d: {}", declared.name),
                why,
                candidates: vec![declared.name.clone()],
            });
        };
        if !range.contains(declared.uid) {
            return refuse(format!("uid {} is not within tenant_uids; correct one of the two", declared.uid));
        }
        let known = self.entries.iter().position(|e| e.account.name == declared.name || e.account.uid == declared.uid);
        if let Some(at) = known {
            let account = &self.entries[at].account;
            if account.name != declared.name || account.uid != declared.uid {
                return refuse(format!("{} has uid {} elsewhere; correct name or uid", account.name, account.uid));
            }
            if !self.owners[at].declared.is_empty() || !self.entries[at].contacts.is_empty() {
                return refuse("the account is described twice; remove one of the entries".into());
            }
            if files::resolve(&declared.home.0) != self.owners[at].homes[1] {
                return refuse(format!("passwd has the home {}; correct one of the two", self.entries[at].home));
            }
            let from_file = entry(declared, self.zone);
            let entry = &mut self.entries[at];
            entry.contacts = from_file.contacts;
            entry.time_zone = from_file.time_zone;
            entry.account.generation = from_file.account.generation;
            self.owners[at].declared = sites;
            return;
        }
        match passwd::tenant(&declared.name, declared.uid, &declared.home.0, reader) {
            Err(why) => refuse(why),
            Ok(tenant) => {
                let mut entry = entry(declared, self.zone);
                entry.home = tenant.home.to_string_lossy().into_owned();
                self.entries.push(entry);
                self.homes.extend(tenant.home_id.map(|id| (declared.name.clone(), id)));
                let homes = [declared.home.0.clone(), tenant.home];
                self.owners.push(Owner { name: declared.name.clone(), uid: declared.uid, homes, declared: sites });
            }
        }
    }
}

fn entry(declared: &Declared, zone: &str) -> AccountEntry {
    let generation = declared.generation.unwrap_or(1).max(1);
    AccountEntry {
        account: AccountRef { name: declared.name.clone(), uid: declared.uid, generation },
        home: declared.home.0.to_string_lossy().into_owned(),
        sites: Vec::new(),
        contacts: declared.contacts(),
        time_zone: declared.time_zone.as_ref().map_or_else(|| zone.to_owned(), |z| z.0.clone()),
    }
}

fn read_accounts_dir(sources: &Sources, reader: &mut Reader, unclear: &mut Vec<Unclear>) -> Vec<Declared> {
    let mut out = Vec::new();
    let Some(dir) = &sources.accounts_dir else { return out };
    for path in reader.glob(&dir.join("*.toml")) {
        // Whoever can write here names himself the owner of anything.
        let writable =
            std::fs::metadata(&path).is_ok_and(|m| m.mode() & 0o002 != 0 || sources.tenant_uids.contains(m.uid()));
        if writable {
            let why =
                "a tenant or everybody can write this file, so it is not believed; chown root and chmod 0644".into();
            unclear.push(plain(shown(&path), why));
            continue;
        }
        let read = reader.read(&path).map_err(|e| AccountsError { place: shown(&path), what: e.to_string() });
        match read.and_then(|bytes| accounts::parse(&path, &bytes)) {
            Ok(file) if file.node.is_some() => {
                unclear.push(plain(shown(&path), "[node] belongs into hikeshi.toml; remove it here".into()));
                out.extend(file.accounts);
            }
            Ok(file) => out.extend(file.accounts),
            Err(e) => unclear.push(plain(e.place, e.what)),
        }
    }
    out
}

fn plain(subject: String, why: String) -> Unclear {
    Unclear { subject, why, candidates: Vec::new() }
}

#[cfg(test)]
#[path = "inventory/read_tests.rs"]
mod tests;
