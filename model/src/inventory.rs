//! Who lives on the node: accounts, their sites, how to reach a site and its owner.
//!
//! Built by `sense` from passwd, the web servers' own configuration and `accounts.d`. What cannot be told
//! beyond doubt is an [`Unclear`], which an operator sees; it is never guessed.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::name::{AccountName, AccountRef, Domain};

/// The language in which an owner is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// Japanese.
    Ja,
    /// English.
    En,
}

/// What a contact is to the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The customer: contract and sites.
    Owner,
    /// The billing address, used when the owner's own lies on the restricted account.
    Billing,
    /// An agency that keeps the sites (制作会社).
    Agency,
}

/// An address of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// One mailbox, ASCII, checked for CR, LF and commas where it is read.
    pub address: String,
    /// What this contact is.
    pub role: Role,
    /// The language of letters to it.
    pub language: Language,
    /// The name in the salutation; empty when unknown.
    #[serde(default)]
    pub name: String,
}

/// The constant of a vhost that names its flag file (never a header that a client sends).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GateKey {
    /// nginx: `$server_name`, the first name of the server block.
    Nginx(String),
    /// Apache: `%{DOCUMENT_ROOT}`, absolute, as configured.
    Apache(String),
}

/// Where a probe reaches the site on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// Address and port on which the server listens (a wildcard address becomes loopback).
    pub address: SocketAddr,
    /// Whether TLS is spoken there.
    pub tls: bool,
}

/// One vhost and its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The name by which people know it (the first server name).
    pub domain: Domain,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<Domain>,
    /// Document root, absolute.
    pub root: String,
    /// Its flag files, one per server that serves it; empty = it cannot be closed by us (and `status` says so).
    #[serde(default)]
    pub gates: Vec<GateKey>,
    /// Where it answers; empty = it cannot be probed.
    #[serde(default)]
    pub probes: Vec<ProbeTarget>,
}

/// One hosting account as the node knows it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountEntry {
    /// Name, uid, generation.
    pub account: AccountRef,
    /// Home directory, absolute, links resolved.
    pub home: String,
    /// Its sites, by domain.
    pub sites: Vec<Site>,
    /// Addresses of record; may be empty (then notices go to the operator).
    pub contacts: Vec<Contact>,
    /// IANA name of the owner's zone, such as `Asia/Tokyo`.
    pub time_zone: String,
}

/// Something about ownership that is not beyond doubt; reported to the operator with what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclear {
    /// The file, site or account in question.
    pub subject: String,
    /// What is wrong, and the next step.
    pub why: String,
    /// The accounts that could be meant.
    pub candidates: Vec<AccountName>,
}
