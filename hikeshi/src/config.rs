//! `/etc/hikeshi/hikeshi.toml`: every key, its unit, its default, and what is said when it is wrong.
//!
//! An empty file is a right one: Debian paths, observe mode. All mistakes are shown at once, because an
//! operator who repairs a file at night does not want them one by one. Unknown keys are refused: a mistyped
//! limit must not be an absent limit.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::evidence::printable;
use model::{Language, Mode, Network, Span};
use sense::inventory::accounts::{MailAddress, ZoneName};
use sense::inventory::{ApacheSource, NginxSource, Sources, UidRange};
use sense::load::fpm::format::{DEFAULT, Format};
use serde::{Deserialize, Serialize};

mod values;

pub use values::{AbsolutePath, Bounded, Country, Delay, Endpoint, Url};

/// Where the configuration is, unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/hikeshi/hikeshi.toml";

/// Where crontab(1) keeps the accounts' tables (Debian).
pub const CRON_SPOOL: &str = "/var/spool/cron/crontabs";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How far Hikeshi may go by itself.
    pub mode: Mode,
    /// The node.
    pub node: NodeTable,
    /// Web servers.
    pub web: WebTable,
    /// Mail server and its thresholds.
    pub mail: MailTable,
    /// Login services and their deny lists.
    pub login: LoginTable,
    /// The packet filter.
    pub net: NetTable,
    /// Letters and the portal.
    pub notice: NoticeTable,
    /// Budgets of unattended acts.
    pub limits: LimitsTable,
    /// How a release goes.
    pub release: ReleaseTable,
    /// Our own folders.
    pub paths: PathsTable,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::Observe,
            node: NodeTable::default(),
            web: WebTable::default(),
            mail: MailTable::default(),
            login: LoginTable::default(),
            net: NetTable::default(),
            notice: NoticeTable::default(),
            limits: LimitsTable::default(),
            release: ReleaseTable::default(),
            paths: PathsTable::default(),
        }
    }
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeTable {
    /// The uids of tenants, `first-last`.
    pub tenant_uids: UidRange,
    /// Addresses of the node itself; never throttled.
    pub host_addresses: Vec<IpAddr>,
    /// ccTLD of the node's country: what is "abroad" for mail.
    pub country: Country,
    /// Which address is in which country (MMDB, at most 64 MiB); absent: only the ends of names tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_database: Option<AbsolutePath>,
    /// IANA zone of accounts that have none of their own.
    pub time_zone: Zone,
    /// Uids that several accounts share (PHP under one uid).
    pub shared_uids: Vec<u32>,
    /// passwd(5).
    pub passwd: AbsolutePath,
    /// Descriptions of accounts.
    pub accounts_dir: AbsolutePath,
}

impl Default for NodeTable {
    fn default() -> Self {
        NodeTable {
            // Debian's adduser gives 1000-59999; people of the staff live there too, so tenants begin later.
            tenant_uids: UidRange { first: 20_000, last: 59_999 },
            host_addresses: Vec::new(),
            country: Country("jp".into()),
            country_database: None,
            time_zone: Zone("Asia/Tokyo".into()),
            shared_uids: Vec::new(),
            passwd: AbsolutePath::of("/etc/passwd"),
            accounts_dir: AbsolutePath::of("/etc/hikeshi/accounts.d"),
        }
    }
}

/// A zone that this machine knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(pub String);
impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        ZoneName::try_from(text).map(|zone| Zone(zone.0))
    }
}
impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.0
    }
}

/// `[web]`: paths only; the programs' arguments are fixed in `setup`, no command line comes from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebTable {
    /// nginx's main file; absent: `/etc/nginx/nginx.conf` when it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx: Option<AbsolutePath>,
    /// What nginx takes relative roots from (its compiled-in `--prefix`).
    pub nginx_prefix: AbsolutePath,
    /// The program.
    pub nginx_program: AbsolutePath,
    /// Apache's main files; absent: `/etc/apache2/apache2.conf` when it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apache: Option<Vec<AbsolutePath>>,
    /// The program.
    pub apache_program: AbsolutePath,
    /// Names that Apache is started with as `-D NAME`.
    pub apache_defines: Vec<String>,
    /// Debian's file of Apache's environment.
    pub apache_envvars: AbsolutePath,
    /// Access logs, and folders of them (files that end in `.log` or `_log`, error logs aside).
    pub access_logs: Vec<AbsolutePath>,
    /// Slow and access logs of php-fpm, and folders of them (files whose names speak of php, fpm or slow, error logs
    /// aside). Only those that belong to one account by their place or name are read.
    pub fpm_logs: Vec<AbsolutePath>,
    /// `access.format` of the pools.
    pub fpm_access_format: FpmFormat,
}

/// A format that `sense` can read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FpmFormat(pub Format, String);

impl TryFrom<String> for FpmFormat {
    type Error = String;
    fn try_from(text: String) -> Result<FpmFormat, String> {
        let wrong =
            || format!("web.fpm_access_format: {text:?} has a code that php-fpm does not know; copy access.format");
        Ok(FpmFormat(Format::new(&text).ok_or_else(wrong)?, text))
    }
}

impl From<FpmFormat> for String {
    fn from(format: FpmFormat) -> String {
        format.1
    }
}

impl Default for WebTable {
    fn default() -> Self {
        WebTable {
            nginx: None,
            nginx_prefix: AbsolutePath::of("/usr/share/nginx"),
            nginx_program: AbsolutePath::of("/usr/sbin/nginx"),
            apache: None,
            apache_program: AbsolutePath::of("/usr/sbin/apache2"),
            apache_defines: Vec::new(),
            apache_envvars: AbsolutePath::of("/etc/apache2/envvars"),
            access_logs: vec![AbsolutePath::of("/var/log/nginx"), AbsolutePath::of("/var/log/apache2")],
            fpm_logs: vec![AbsolutePath::of("/var/log"), AbsolutePath::of("/var/log/php-fpm")],
            fpm_access_format: FpmFormat(Format::default(), DEFAULT.to_owned()),
        }
    }
}

/// `[mail]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailTable {
    /// Folder of `main.cf`.
    pub postfix_config_dir: AbsolutePath,
    /// The mail log.
    pub log: AbsolutePath,
    /// Whether nobody but the mail server can write into the log: true where Postfix writes `maillog_file` itself
    /// and `postlog` is not set-gid, or Exim its main log without +arguments in log_selector; false where it goes
    /// through the syslog socket, which any tenant can write to, or Exim logs the folder of each call, whose name
    /// is a tenant's and may hold newlines. Then the log alone is never more than suspicious.
    pub log_is_guarded: bool,
    /// The table of uids whose local mail is held; beside it `…-sasl` (mailboxes) and `…-refused` (accounts that may
    /// hand in nothing).
    pub hold_file: AbsolutePath,
    /// Whether `setup` puts the table of refused accounts into Postfix, for `restrict … refuse-mail`. Where postdrop
    /// cannot read that table, it refuses everybody's mail: a decision of the operator.
    pub can_refuse: bool,
    /// More messages an hour of one account than this are held without a second sign.
    pub hard_mails_per_hour: Bounded<20, 1_000_000>,
}

impl Default for MailTable {
    fn default() -> Self {
        MailTable {
            postfix_config_dir: AbsolutePath::of("/etc/postfix"),
            log: AbsolutePath::of("/var/log/mail.log"),
            log_is_guarded: false,
            hold_file: AbsolutePath::of("/etc/hikeshi/postfix-hold"),
            can_refuse: false,
            hard_mails_per_hour: Bounded(2_000),
        }
    }
}

/// `[login]`: a service whose list is neither named here nor found cannot be blocked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginTable {
    /// A file of ours that sshd includes; absent: `/etc/ssh/sshd_config.d/hikeshi.conf` when that folder exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_deny: Option<AbsolutePath>,
    /// sshd's configuration.
    pub ssh_config: AbsolutePath,
    /// Where sshd writes its process id.
    pub ssh_pid: AbsolutePath,
    /// The FTP servers' list of names that may not log in; absent: `/etc/ftpusers` when it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ftp_deny: Option<AbsolutePath>,
    /// The list of Dovecot's `deny = yes` passdb; absent: `/etc/dovecot/hikeshi-deny` when it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_deny: Option<AbsolutePath>,
    /// Dovecot's configuration.
    pub mail_config: AbsolutePath,
    /// Logs of logins that go through syslog, where every tenant can write: never more than suspicious alone, unless
    /// `mail.log_is_guarded`. The mail log is read for mailboxes too.
    pub logs: Vec<AbsolutePath>,
    /// Logs of logins and transfers that the servers write themselves, as root.
    pub guarded_logs: Vec<AbsolutePath>,
}

impl Default for LoginTable {
    fn default() -> Self {
        LoginTable {
            ssh_deny: None,
            ssh_config: AbsolutePath::of("/etc/ssh/sshd_config"),
            ssh_pid: AbsolutePath::of("/run/sshd.pid"),
            ftp_deny: None,
            mail_deny: None,
            mail_config: AbsolutePath::of("/etc/dovecot/dovecot.conf"),
            logs: vec![AbsolutePath::of("/var/log/auth.log")],
            guarded_logs: vec![AbsolutePath::of("/var/log/vsftpd.log"), AbsolutePath::of("/var/log/xferlog")],
        }
    }
}

impl LoginTable {
    /// sshd's list, configured or Debian's place for it.
    pub fn ssh_deny(&self) -> Option<PathBuf> {
        let found = || Some(PathBuf::from("/etc/ssh/sshd_config.d")).filter(|folder| folder.is_dir());
        self.ssh_deny.as_ref().map(|p| p.0.clone()).or_else(|| found().map(|folder| folder.join("hikeshi.conf")))
    }

    /// The FTP servers' list, configured or found.
    pub fn ftp_deny(&self) -> Option<PathBuf> {
        found_or(&self.ftp_deny, "/etc/ftpusers")
    }

    /// Dovecot's list, configured or found.
    pub fn mail_deny(&self) -> Option<PathBuf> {
        found_or(&self.mail_deny, "/etc/dovecot/hikeshi-deny")
    }
}

fn found_or(configured: &Option<AbsolutePath>, usual: &str) -> Option<PathBuf> {
    let found = || Some(PathBuf::from(usual)).filter(|path| path.is_file());
    configured.as_ref().map(|path| path.0.clone()).or_else(found)
}

/// `[net]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetTable {
    /// Networks that stay reachable over http and https while an account's outgoing connections are blocked.
    pub updates: Vec<Network>,
    /// Networks that are never slowed down nor taken for the source of anything in logs of requests and logins, besides
    /// `node.host_addresses`: proxies, monitoring, the office.
    pub never: Vec<Network>,
}

impl Default for NetTable {
    fn default() -> Self {
        // Where api.wordpress.org and downloads.wordpress.org answer.
        let wordpress = Network::try_from("198.143.164.0/24".to_owned());
        NetTable { updates: wordpress.into_iter().collect(), never: Vec::new() }
    }
}

/// `[notice]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoticeTable {
    /// Where letters are handed in, host and port.
    pub smtp: Endpoint,
    /// Sender of all letters; answers come here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Mailbox>,
    /// Name of the hosting company, as its customers know it.
    pub host_name: String,
    /// Signature under Japanese letters.
    pub desk_name_ja: String,
    /// Signature under English letters.
    pub desk_name_en: String,
    /// The owner's portal, without a trailing slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portal_url: Option<Url>,
    /// Who is paged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_mail: Option<Mailbox>,
    /// Clause or page of the terms that restrictions rest on.
    pub terms: String,
    /// How a decision can be contested outside of the company (EU DSA art. 17).
    pub redress: String,
    /// Language of letters to accounts that have no contact of their own.
    pub default_language: Language,
}

impl Default for NoticeTable {
    fn default() -> Self {
        NoticeTable {
            smtp: Endpoint("127.0.0.1:25".into()),
            from: None,
            host_name: String::new(),
            desk_name_ja: "サポートデスク".into(),
            desk_name_en: "Support desk".into(),
            portal_url: None,
            operator_mail: None,
            terms: String::new(),
            redress: String::new(),
            default_language: Language::Ja,
        }
    }
}

/// One mail address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox(pub String);
impl TryFrom<String> for Mailbox {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        MailAddress::try_from(text).map(|address| Mailbox(address.0))
    }
}
impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> String {
        mailbox.0
    }
}

/// `[limits]`: what may be done without a person; `act` counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// Newly restricted accounts an hour.
    pub accounts_per_hour: Bounded<0, 1_000>,
    /// Newly restricted accounts a day, at least.
    pub accounts_per_day: Bounded<0, 10_000>,
    /// The same as a share of all accounts; the larger of the two counts.
    pub accounts_per_day_percent: Bounded<0, 100>,
}

impl Default for LimitsTable {
    fn default() -> Self {
        LimitsTable {
            accounts_per_hour: Bounded(3),
            accounts_per_day: Bounded(3),
            accounts_per_day_percent: Bounded(1),
        }
    }
}

/// `[release]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReleaseTable {
    /// Between two stages (owner, public, mail).
    pub stage_minutes: Bounded<1, 1_440>,
    /// How long a closed incident is watched for a relapse.
    pub watch_days: Bounded<1, 365>,
    /// How long a pass of an owner's browser is good.
    pub pass: Delay,
}

impl Default for ReleaseTable {
    fn default() -> Self {
        ReleaseTable { stage_minutes: Bounded(15), watch_days: Bounded(42), pass: Delay(Span::hours(2)) }
    }
}

/// `[paths]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathsTable {
    /// Store, journal, originals.
    pub state: AbsolutePath,
    /// Sockets.
    pub run: AbsolutePath,
    /// Flag files and pages that web servers test.
    pub gate: AbsolutePath,
    /// The include files that `setup` writes.
    pub etc: AbsolutePath,
    /// Folders where files are set aside, one on each file system that has homes (a file moves, it is not copied).
    pub quarantine: Vec<AbsolutePath>,
}

impl Default for PathsTable {
    fn default() -> Self {
        PathsTable {
            state: AbsolutePath::of("/var/lib/hikeshi"),
            run: AbsolutePath::of("/run/hikeshi"),
            gate: AbsolutePath::of("/var/lib/hikeshi/gate"),
            etc: AbsolutePath::of("/etc/hikeshi"),
            quarantine: vec![AbsolutePath::of("/home/.hikeshi-quarantine")],
        }
    }
}

/// One mistake: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The key, such as `mail.hard_mails_per_hour`; empty when it is not about one.
    pub key: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(self.file.as_os_str().as_encoded_bytes(), 400))?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)
    }
}
impl std::error::Error for ConfigError {}

/// What `hikeshi config check` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The configuration; absent when there is an error.
    pub config: Option<Config>,
    /// All mistakes.
    pub errors: Vec<ConfigError>,
    /// What works but should be looked at.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads a file; all mistakes at once.
    pub fn read(path: &Path) -> Result<Config, Vec<ConfigError>> {
        let fail = |what: String| vec![ConfigError { file: path.to_owned(), line: 0, key: String::new(), what }];
        let mut bytes = Vec::new();
        let read = crate::parts::open_regular(path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|e| fail(format!("{e}; create it (an empty file is right) or name another")))?;
        let text = String::from_utf8(bytes).map_err(|_| fail("not UTF-8; save it as UTF-8".into()))?;
        Config::parse(path, &text)
    }

    /// Reads a text; all mistakes at once.
    pub fn parse(path: &Path, text: &str) -> Result<Config, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut rest = text.to_owned();
        // serde stops at the first mistake: take it out of the text (lines stay) and read again.
        while errors.len() < 100 {
            let error = match toml::from_str::<Config>(&rest) {
                Ok(config) if errors.is_empty() => return Ok(config),
                Ok(_) => break,
                Err(error) => error,
            };
            let at = error.span().map_or(0, |s| s.start);
            let line = 1 + rest[..at.min(rest.len())].matches('\n').count();
            let found = toml::de::DeTable::parse(&rest).ok().and_then(|table| locate(table.get_ref(), at, ""));
            let key = found.as_ref().map(|f| f.0.clone()).unwrap_or_default();
            let message = match error.message() {
                "invalid IP address syntax" => "not an IP address; write it as in \"192.0.2.10\" or \"2001:db8::10\"",
                other => other,
            };
            let what = printable(message.trim().replace('\n', "; ").as_bytes(), 400);
            errors.push(ConfigError { file: path.to_owned(), line, key, what });
            let Some((_, span)) = found else { break };
            blank(&mut rest, span);
        }
        errors.sort_by_key(|e| e.line);
        Err(errors)
    }

    /// The stop file: while it is there, nothing new is imposed.
    pub fn disarmed(&self) -> PathBuf {
        self.paths.etc.0.join("disarmed")
    }

    /// Whether the node is disarmed; when nobody can tell, it is.
    pub fn is_disarmed(&self) -> bool {
        !std::fs::symlink_metadata(self.disarmed()).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    }

    /// nginx's main file, found or configured.
    pub fn nginx(&self) -> Option<NginxSource> {
        let found = || Some(PathBuf::from("/etc/nginx/nginx.conf")).filter(|p| p.exists());
        let conf = self.web.nginx.as_ref().map(|p| p.0.clone()).or_else(found)?;
        Some(NginxSource { conf, prefix: self.web.nginx_prefix.0.clone() })
    }

    /// Apache's main files, found or configured.
    pub fn apache(&self) -> Vec<ApacheSource> {
        let found = || Some(PathBuf::from("/etc/apache2/apache2.conf")).filter(|p| p.exists()).into_iter().collect();
        let confs: Vec<PathBuf> = match &self.web.apache {
            Some(paths) => paths.iter().map(|p| p.0.clone()).collect(),
            None => found(),
        };
        let source = |conf: PathBuf| ApacheSource {
            conf,
            server_root: "/etc/apache2".into(),
            envvars: Some(self.web.apache_envvars.0.clone()),
            defines: self.web.apache_defines.clone(),
        };
        confs.into_iter().map(source).collect()
    }

    /// Where the inventory looks.
    pub fn sources(&self) -> Sources {
        Sources {
            passwd: Some(self.node.passwd.0.clone()),
            tenant_uids: self.node.tenant_uids,
            shared_uids: self.node.shared_uids.clone(),
            accounts_dir: Some(self.node.accounts_dir.0.clone()),
            nginx: self.nginx(),
            apache: self.apache(),
            host_addresses: self.node.host_addresses.clone(),
            time_zone: self.node.time_zone.0.clone(),
        }
    }
}

/// `hikeshi config check`: every mistake and every doubt.
pub fn check(path: &Path) -> Checked {
    let mut out = Checked::default();
    match Config::read(path) {
        Ok(config) => {
            out.warnings = doubts(&config);
            out.config = Some(config);
        }
        Err(errors) => out.errors = errors,
    }
    for path in path.ancestors().take(2) {
        let Ok(meta) = std::fs::metadata(path) else { continue };
        let shown = printable(path.as_os_str().as_encoded_bytes(), 400);
        if meta.uid() != 0 {
            out.warnings.push(format!(
                "{shown} belongs to uid {}; who can change it can order restrictions: chown root",
                meta.uid()
            ));
        }
        if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
            out.warnings
                .push(format!("{shown} can be written by others (mode {:o}); chmod go-w", meta.mode() & 0o7777));
        }
    }
    out
}

/// What works, but not as well as it could.
fn doubts(config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    let mut doubt = |here: bool, text: &str| {
        if here {
            out.push(text.to_owned());
        }
    };
    doubt(config.notice.operator_mail.is_none(), "notice.operator_mail is missing: nobody is paged; set an address");
    doubt(
        config.notice.from.is_none(),
        "notice.from is missing: letters come from hikeshi@ and the machine's name; set an address that people read",
    );
    doubt(config.notice.portal_url.is_none(), "notice.portal_url is missing: letters have no link to the portal");
    doubt(config.notice.host_name.is_empty(), "notice.host_name is empty: letters do not say who writes");
    doubt(
        config.notice.terms.is_empty(),
        "notice.terms is empty: a statement of reasons needs the clause that it rests on",
    );
    doubt(
        config.node.host_addresses.is_empty(),
        "node.host_addresses is empty: the node's own addresses are not known as such",
    );
    doubt(
        config.nginx().is_none() && config.apache().is_empty(),
        "no web server found: no site is known; set web.nginx or web.apache",
    );
    doubt(
        config.mode == Mode::Enforce && config.limits.accounts_per_hour.0 == 0,
        "mode is enforce, but limits.accounts_per_hour is 0: nothing is ever done unattended; advise says the same more clearly",
    );
    out
}

/// The innermost `key = value` around a byte, with its dotted key and its place.
fn locate(table: &toml::de::DeTable<'_>, at: usize, above: &str) -> Option<(String, Range<usize>)> {
    for (key, value) in table.iter() {
        let name = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
        if let Some(inner) = value.get_ref().as_table()
            && let Some(found) = locate(inner, at, &name)
        {
            return Some(found);
        }
        let (from, to) = (key.span().start.min(value.span().start), key.span().end.max(value.span().end));
        if (from..to).contains(&at) {
            return Some((name, from..to));
        }
    }
    None
}

/// Turns a key and its value into blanks; a table's head loses its brackets with it.
fn blank(text: &mut String, span: Range<usize>) {
    let bytes = text.as_bytes();
    let line_start = bytes[..span.start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let head = text[line_start..].trim_start().starts_with('[');
    let (from, to) = match head {
        // An unknown table: blank its head; its keys then belong to the table above, so blank them too.
        true => {
            let next = text[span.start..].find("\n[").map_or(text.len(), |at| span.start + at);
            (line_start, next)
        }
        false => (span.start, span.end),
    };
    let blanks: String =
        text[from..to].chars().map(|c| if c == '\n' { "\n".into() } else { " ".repeat(c.len_utf8()) }).collect();
    text.replace_range(from..to, &blanks);
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
