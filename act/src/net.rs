//! Blocks connections of uids and slows down sources, by one nftables table of ours: `inet hikeshi`.
//!
//! The table is replaced as a whole in one transaction of the kernel (nft(8), `-f`), from what the journal wants: no
//! moment without it, nothing half done, and no table of anybody else is named. It works without us; after a boot it
//! is gone until the next order repeated by the reconciler.
//!
//! What is reached. A packet is judged by the uid that opened its socket (`meta skuid`). A connection that stands
//! ends with ECONNRESET at the next segment the uid's socket sends, acknowledgements of a download included; one that
//! is idle stays as an idle socket through which nothing passes. Answers from ports below 1024 pass, because only root
//! gives these away and the owner's ssh and FTP must stay open; answers from other ports do not: neither a planted
//! listener's nor those of passive FTP when the server opens the data socket with the owner's uid (ProFTPD, Pure-FTPd).
//! On loopback, which is also the way to the node's own public addresses, all but mail ports stays open (PHP-FPM,
//! database, resolver), so a proxy that the node itself offers there is a way out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Hash, Moment};
use serde_json::Value;

use crate::config::NetConfig;
use crate::program::Program;

/// Most elements, so that what nft prints of them is read back whole.
const UIDS_MAX: usize = 10_000;
const SOURCES_MAX: usize = 1_000;
/// Most addresses of one order.
const ORDERED_MAX: usize = 64;
/// Seconds by which the kernel's time of an element may differ from ours.
const DRIFT: i64 = 30;

/// The table.
#[derive(Debug)]
pub struct Net {
    config: NetConfig,
}

impl Net {
    /// Changes and asks nothing yet.
    pub fn new(config: &NetConfig) -> Net {
        Net { config: config.clone() }
    }

    /// Whether this node's nft and kernel would take our table; the kernel judges it and commits nothing.
    pub fn check(&self) -> Result<(), String> {
        run(&["--check", "--file", "-"], &self.text(&BTreeSet::new(), &BTreeMap::new(), Moment::EPOCH)).map(drop)
    }

    /// Those of these addresses that may be slowed down: never the node's own, its proxies, or what is no single sender.
    ///
    /// Error: why not the last one, when none is left, so that one that is guarded does not protect the others.
    pub fn may_slow(&self, sources: &[IpAddr]) -> Result<Vec<IpAddr>, String> {
        let mut why = format!("{} sources were named; name 1 to {ORDERED_MAX}", sources.len());
        if sources.len() > ORDERED_MAX {
            return Err(why);
        }
        let mut may = Vec::new();
        for source in sources.iter().map(IpAddr::to_canonical) {
            if source.is_loopback() || source.is_unspecified() || source.is_multicast() {
                why = format!("{source} is nobody outside of this node; name the client's own address");
            } else if let Some(network) = self.config.never.iter().find(|network| network.contains(source)) {
                why = format!(
                    "{source} lies in {network} (node.host_addresses or net.never of hikeshi.toml); behind a proxy, slow down its clients there"
                );
            } else {
                may.push(source);
            }
        }
        if may.is_empty() { Err(why) } else { Ok(may) }
    }

    /// Replaces the table by one with exactly these; with none, removes it.
    ///
    /// Sources whose time is over are left out. Errors: over 10,000 uids or 1,000 sources, nft refuses or is missing;
    /// then the table is as before.
    pub fn set(&self, uids: &[u32], sources: &[(IpAddr, Moment)], now: Moment) -> Result<(), String> {
        let (uids, sources): (BTreeSet<u32>, _) = (uids.iter().copied().collect(), latest(sources, now));
        if uids.len() > UIDS_MAX || sources.len() > SOURCES_MAX {
            return Err(format!(
                "{} uids and {} sources are more than the {UIDS_MAX} and {SOURCES_MAX} that can be read back; lift what is not needed",
                uids.len(),
                sources.len()
            ));
        }
        let text = match uids.is_empty() && sources.is_empty() {
            true => REMOVE.to_owned(),
            false => self.text(&uids, &sources, now),
        };
        run(&["--file", "-"], &text).map(drop)
    }

    /// Whether the table is there with exactly these, its rules are ours, and it is not switched off
    /// (libnftables-json(5)).
    pub fn is_set(&self, uids: &[u32], sources: &[(IpAddr, Moment)], now: Moment) -> Result<bool, String> {
        let (uids, sources): (BTreeSet<u32>, _) = (uids.iter().copied().collect(), latest(sources, now));
        let Some(printed) = run(&["--json", "list", "table", "inet", "hikeshi"], "")? else {
            return Ok(uids.is_empty() && sources.is_empty());
        };
        let unread = |why: &str| format!("nft printed no table that can be read: {why}; `nft list table inet hikeshi`");
        let listing: Value = serde_json::from_str(&printed).map_err(|e| unread(&e.to_string()))?;
        let items = listing["nftables"].as_array().ok_or_else(|| unread("no list"))?;
        let (_, rules, mark) = self.table();
        let comments: Vec<&Value> = items.iter().filter_map(|item| item.get("rule")).map(|r| &r["comment"]).collect();
        let (mut uids_there, mut sources_there) = (BTreeSet::new(), BTreeMap::new());
        let mut ours = comments.len() == rules && comments.iter().all(|comment| **comment == mark);
        ours &= items.iter().all(|item| item["table"]["flags"].is_null());
        for element in items.iter().filter_map(|item| item["set"]["elem"].as_array()).flatten() {
            let (source, expires) = (element["elem"]["val"].as_str(), element["elem"]["expires"].as_i64());
            match (element.as_u64(), source.map(str::parse::<IpAddr>), expires) {
                (Some(uid), ..) => drop(uids_there.insert(uid)),
                (_, Some(Ok(source)), Some(expires)) => drop(sources_there.insert(source, expires)),
                _ => ours = false,
            }
        }
        // An element at the end of its time may be gone here and still there, or the other way round.
        let left = |source| sources.get(source).map_or(0, |until| seconds(*until, now));
        let left_there = |source| sources_there.get(source).copied().unwrap_or(0);
        let mut all = sources.keys().chain(sources_there.keys());
        ours &= all.all(|source| (left(source) - left_there(source)).abs() <= DRIFT);
        Ok(ours && uids_there.into_iter().eq(uids.into_iter().map(u64::from)))
    }

    /// The batch that replaces the table: integers, addresses and constants, nothing else.
    fn text(&self, uids: &BTreeSet<u32>, sources: &BTreeMap<IpAddr, Moment>, now: Moment) -> String {
        let timed = |v4: bool| {
            let of = sources.iter().filter(move |(source, _)| source.is_ipv4() == v4);
            list(of.map(|(source, until)| format!("{source} timeout {}s", seconds(*until, now))))
        };
        let (table, ..) = self.table();
        let table = table.replace("UIDS", &list(uids.iter().map(u32::to_string)));
        REMOVE.to_owned() + &table.replace("SOURCES4", &timed(true)).replace("SOURCES6", &timed(false))
    }

    /// The table without its elements, how many rules it has, and the mark that each of them carries: another build or
    /// configuration has another one.
    fn table(&self) -> (String, usize, String) {
        let family = |address: IpAddr| if address.is_ipv4() { "ip" } else { "ip6" };
        let resolvers = sys::resolv::servers(&self.config.resolv_conf).into_iter().map(|server| {
            format!("{} daddr {server} meta l4proto {{ tcp, udp }} th dport 53 accept MARK\n", family(server))
        });
        let updates = self.config.updates.iter().map(|network| {
            format!("{} daddr {network} tcp dport {{ 80, 443 }} accept MARK\n", family(network.address()))
        });
        let table = TABLE.replace("OPEN\n", &resolvers.chain(updates).collect::<String>());
        let mark = format!("{:016x}", Hash::of(table.as_bytes()).low64());
        (table.replace("MARK", &format!("comment \"{mark}\"")), table.matches("MARK").count(), mark)
    }
}

/// Removes the table whether it is there or not (`destroy` is younger than the nft of Debian 12).
const REMOVE: &str = "add table inet hikeshi\ndelete table inet hikeshi\n";

/// Our own sockets, without an owner, answer for the kernel: only what has a blocked owner goes on to `stopped`. Updates
/// need names, and a site that waits for names stands still; so the resolvers answer, nobody else. The node speaks to
/// itself through lo, whatever address it uses: never slowed down. The rate stands at the set, so each address has a
/// bucket of its own, and an address below it passes.
const TABLE: &str = include_str!("net/table.nft");

/// Each source once, with the latest end, without those whose time is over.
fn latest(sources: &[(IpAddr, Moment)], now: Moment) -> BTreeMap<IpAddr, Moment> {
    let mut all = BTreeMap::new();
    for (source, until) in sources.iter().filter(|(_, until)| *until > now) {
        let end = all.entry(source.to_canonical()).or_insert(*until);
        *end = (*until).max(*end);
    }
    all
}

/// Seconds left, at least 1.
fn seconds(until: Moment, now: Moment) -> i64 {
    (until.secs() - now.secs()).max(1)
}

fn list(elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<String> = elements.collect();
    if elements.is_empty() { String::new() } else { format!("elements = {{ {} }};", elements.join(", ")) }
}

/// Runs nft; `None` when the table is not there.
fn run(arguments: &[&str], input: &str) -> Result<Option<String>, String> {
    match Program::Nft.run(arguments, input)? {
        (true, printed) => Ok(Some(printed)),
        (false, why) if arguments.contains(&"list") && why.contains("No such file or directory") => Ok(None),
        (false, why) => Err(format!(
            "nft refuses: {}; act needs CAP_NET_ADMIN and a kernel of 5.7 or later with nf_tables, reject and limit",
            why.lines().next().unwrap_or("no reason given")
        )),
    }
}
