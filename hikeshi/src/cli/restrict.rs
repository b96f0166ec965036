//! `hikeshi restrict`: impose one restriction by hand, or say what would be done.

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::Subcommand;
use model::evidence::printable;
use model::packet::ToCore;
use model::{
    AccountName, Domain, FilePath, FileRef, Login, MailScope, MailUser, Measure, Operator, ProcessRef, Site, Wide,
};

use crate::cli::{Common, ask};
use crate::exit::{Answer, CommandError};

/// Domains that one restriction names.
const DOMAINS_MAX: usize = 200;

/// Arguments of `restrict`.
#[derive(clap::Args)]
pub struct RestrictArgs {
    /// The account
    account: AccountName,
    /// What to limit
    #[command(subcommand)]
    what: What,
    /// Why, for the record
    #[arg(long, global = true, default_value = "")]
    reason: String,
    /// Say what would be done and do nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum What {
    /// New web connections from these addresses are slowed down for one hour
    ThrottleSource {
        /// Addresses of clients, at most 64
        #[arg(required = true)]
        addresses: Vec<IpAddr>,
    },
    /// Outgoing mail goes to the hold queue: all sendmail mail of the account, or as --mailbox or --account says
    HoldMail {
        /// What this mailbox hands in with its password (SASL user name), and nothing else
        #[arg(long, value_name = "USER", conflicts_with = "account_mail")]
        mailbox: Option<MailUser>,
        /// Sendmail mail and every mailbox of the domains of the account's sites
        #[arg(long = "account", id = "account_mail")]
        account: bool,
    },
    /// The account may hand nothing to sendmail: mail of its forms is refused and lost
    RefuseMail,
    /// These processes stand still
    FreezeProcess {
        /// Process ids
        #[arg(required = true)]
        pids: Vec<u32>,
    },
    /// One line of the crontab is switched off
    DisableCronLine {
        /// Which line, from 1, as `crontab -l` shows them
        line: usize,
    },
    /// These files are set aside, not deleted; `hikeshi undo` puts them back
    QuarantineFile {
        /// Paths below the home, or absolute ones in it
        #[arg(required = true)]
        files: Vec<OsString>,
    },
    /// Nobody logs in by these
    BlockLogin {
        /// `ssh`, `ftp`, or a mailbox
        #[arg(required = true, value_parser = login)]
        logins: Vec<Login>,
    },
    /// Its processes connect to nobody outside; updates stay possible
    BlockOutbound,
    /// One path of a site answers 403, also to the owner's pass
    BlockScript {
        /// The site's domain
        site: Domain,
        /// The file, below the site's document root (write odd bytes as %XX)
        path: FilePath,
    },
    /// Everyone is signed out of a WordPress site
    EndSessions {
        /// Its domain
        site: Domain,
    },
    /// One site answers 403
    CloseSite {
        /// Its domain
        site: Domain,
    },
    /// All sites of the account answer 403
    CloseAccount,
}

/// Imposes it; the owner gets a notice.
pub fn restrict(common: &Common, args: RestrictArgs) -> Answer {
    let measure = match args.what {
        What::HoldMail { mailbox, account } => {
            let scope = match mailbox {
                Some(mailbox) => MailScope::Mailbox(owned(common, &args.account, mailbox)?),
                None if account => {
                    let domains = mail_domains(&sites(common, &args.account)?);
                    if domains.len() > DOMAINS_MAX {
                        let many = domains.len();
                        let why = format!(
                            "{many} domains are more than {DOMAINS_MAX}; hold local mail and mailboxes one by one"
                        );
                        return Err(CommandError::usage(why));
                    }
                    MailScope::Account { domains }
                }
                None => MailScope::Local,
            };
            Measure::HoldMail { scope, queued: Vec::new() }
        }
        What::RefuseMail => Measure::RefuseMail,
        What::FreezeProcess { pids } => {
            Measure::FreezeProcess { processes: pids.into_iter().map(identify).collect::<Result<_, _>>()? }
        }
        What::DisableCronLine { line } => {
            let spool = Path::new(crate::config::CRON_SPOOL);
            let found = sense::locate::cron_line(spool, &args.account, line);
            let (line, text) = found.map_err(|e| {
                CommandError::usage(format!(
                    "crontab of {}, line {line}: {e}; `crontab -l -u {0}` shows it",
                    args.account
                ))
            })?;
            anstream::println!("{}", printable(&text, 200));
            Measure::DisableCronLine { line }
        }
        What::QuarantineFile { files } => quarantine(common, &args.account, &files)?,
        What::BlockLogin { logins } => {
            for login in &logins {
                if let Login::Mail(mailbox) = login {
                    owned(common, &args.account, mailbox.clone())?;
                }
            }
            Measure::BlockLogin { logins }
        }
        What::ThrottleSource { addresses } => Measure::ThrottleSource { sources: addresses },
        What::BlockOutbound => Measure::BlockOutbound,
        What::BlockScript { site, path } => Measure::BlockScript { site, path },
        What::EndSessions { site } => Measure::EndSessions { site },
        What::CloseSite { site } => Measure::CloseSite { site },
        What::CloseAccount => {
            let sites = sites(common, &args.account)?.into_iter().map(|site| site.domain).collect();
            Measure::CloseAccount { sites, wide: Wide::Ordered }
        }
    };
    if args.dry_run {
        return ask::order(common, &ToCore::DryRun { account: args.account, measure });
    }
    if args.reason.is_empty() {
        return Err(CommandError::usage("say why with --reason: it stays in the log and colleagues read it"));
    }
    let what = Operator::Impose { measure, reason: args.reason };
    ask::order(common, &ToCore::Operator { account: args.account, by: ask::operator(), what })
}

fn login(text: &str) -> Result<Login, String> {
    match text {
        "ssh" => Ok(Login::Shell),
        "ftp" => Ok(Login::Ftp),
        mailbox => mailbox.parse().map(Login::Mail).map_err(|e: model::NameError| e.to_string()),
    }
}

/// The files beyond doubt, as they are now, and how many the site has in which they lie.
fn quarantine(common: &Common, account: &AccountName, files: &[OsString]) -> Result<Measure, CommandError> {
    let store = ask::store(&ask::config(common)?)?;
    let known = store.account(account).map_err(|e| CommandError::failure(e.to_string()))?;
    let entry = known.ok_or_else(|| CommandError::usage(format!("no account \"{account}\" is known")))?.entry;
    let home = Path::new(&entry.home);
    let mut found = Vec::new();
    for file in files {
        let below = Path::new(file).strip_prefix(home).unwrap_or(Path::new(file)).as_os_str().as_bytes();
        let wrong = |why: String| {
            let shown = printable(file.as_bytes(), 200);
            CommandError::usage(format!("{shown}: {why}; name a file below {}", home.display()))
        };
        let path = FilePath::new(below).map_err(|e| wrong(e.to_string()))?;
        found.push(sense::locate::file(home, &path).map_err(|e| wrong(e.to_string()))?);
    }
    let whole = |file: &FileRef| home.join(std::ffi::OsStr::from_bytes(file.path.bytes()));
    let holds = |site: &&model::Site| found.iter().all(|file| whole(file).starts_with(&site.root));
    let root = entry.sites.iter().find(holds).map_or(home, |site| Path::new(&site.root));
    Ok(Measure::QuarantineFile { of: sense::locate::count(root), files: found })
}

fn sites(common: &Common, account: &AccountName) -> Result<Vec<Site>, CommandError> {
    let store = ask::store(&ask::config(common)?)?;
    let known = store.account(account).map_err(|e| CommandError::failure(e.to_string()))?;
    Ok(known.map(|known| known.entry.sites).unwrap_or_default())
}

/// A mailbox of the account, or an error: a slip of the finger must not stop another customer and tell this one.
fn owned(common: &Common, account: &AccountName, mailbox: MailUser) -> Result<MailUser, CommandError> {
    let domain = mailbox.as_str().rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
    let related = |name: &Domain| {
        let below = domain.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
        below || *name.as_str() == domain || name.as_str().strip_prefix("www.") == Some(&domain)
    };
    if mailbox.as_str() == account.as_str() || mail_domains(&sites(common, account)?).iter().any(related) {
        return Ok(mailbox);
    }
    Err(CommandError::usage(format!(
        "{mailbox} is of no domain of {account}'s sites; name the account that it belongs to (`hikeshi status` shows unclear ones)"
    )))
}

/// Names and aliases of the sites: where the account's mailboxes can be. A wildcard is no domain of a mailbox, and a
/// shorter name (`www.` taken off) could be somebody else's.
fn mail_domains(sites: &[Site]) -> Vec<Domain> {
    let names = sites.iter().flat_map(|site| site.aliases.iter().chain([&site.domain]));
    let mut domains: Vec<Domain> = names.filter(|name| !name.as_str().contains('*')).cloned().collect();
    domains.sort();
    domains.dedup();
    domains
}

/// The process beyond doubt, as it is now; `act` checks again before it does anything.
fn identify(pid: u32) -> Result<ProcessRef, CommandError> {
    let seen = sys::process::Process::open(pid).and_then(|p| p.identity());
    let wrong =
        |why: String| CommandError::usage(format!("process {pid}: {why}; `ps -p {pid}` shows whether it still runs"));
    let identity = seen.map_err(|e| wrong(e.to_string()))?;
    let (exe_dev, exe_ino) = identity.exe.ok_or_else(|| wrong("it has no program (kernel thread or ended)".into()))?;
    Ok(ProcessRef { pid, start_ticks: identity.start_ticks, uid: identity.uids[0], exe_dev, exe_ino })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_looked_for_at_the_names_of_the_sites() {
        let site = |domain: &str, aliases: &[&str]| Site {
            domain: domain.parse().unwrap(),
            aliases: aliases.iter().map(|alias| alias.parse().unwrap()).collect(),
            root: "/srv".into(),
            gates: vec![],
            probes: vec![],
        };
        let sites = [site("www.a.jp", &["*.a.jp", "shop.a.jp"]), site("shop.a.jp", &[]), site("www.b.jp", &["b.jp"])];
        let domains: Vec<String> = mail_domains(&sites).iter().map(Domain::to_string).collect();
        assert_eq!(domains, ["b.jp", "shop.a.jp", "www.a.jp", "www.b.jp"]);
    }
}
