//! `hikeshi restrict`: impose one restriction by hand, or say what would be done.

use clap::Subcommand;
use model::packet::ToCore;
use model::{AccountName, Domain, MailScope, MailUser, Measure, Operator, ProcessRef, Site, Wide};

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
                Some(mailbox) => MailScope::Mailbox(mailbox),
                None if account => MailScope::Account { domains: mail_domains(&sites(common, &args.account)?) },
                None => MailScope::Local,
            };
            Measure::HoldMail { scope, queued: Vec::new() }
        }
        What::RefuseMail => Measure::RefuseMail,
        What::FreezeProcess { pids } => {
            Measure::FreezeProcess { processes: pids.into_iter().map(identify).collect::<Result<_, _>>()? }
        }
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

fn sites(common: &Common, account: &AccountName) -> Result<Vec<Site>, CommandError> {
    let store = ask::store(&ask::config(common)?)?;
    let known = store.account(account).map_err(|e| CommandError::failure(e.to_string()))?;
    Ok(known.map(|known| known.entry.sites).unwrap_or_default())
}

/// Names and aliases of the sites: where the account's mailboxes can be. A wildcard is no domain of a mailbox, and a
/// shorter name (`www.` taken off) could be somebody else's.
fn mail_domains(sites: &[Site]) -> Vec<Domain> {
    let names = sites.iter().flat_map(|site| site.aliases.iter().chain([&site.domain]));
    let mut domains: Vec<Domain> = names.filter(|name| !name.as_str().contains('*')).cloned().collect();
    domains.sort();
    domains.dedup();
    domains.truncate(DOMAINS_MAX);
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
