//! `hikeshi restrict`: impose one restriction by hand, or say what would be done.

use clap::Subcommand;
use model::packet::ToCore;
use model::{AccountName, Domain, FilePath, MailScope, Measure, Operator, ProcessRef, Wide};

use crate::cli::{Common, ask};
use crate::exit::{Answer, CommandError};

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
    /// All sendmail mail of the account goes to the hold queue
    HoldMail,
    /// These processes stand still
    FreezeProcess {
        /// Process ids
        #[arg(required = true)]
        pids: Vec<u32>,
    },
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
        What::HoldMail => Measure::HoldMail { scope: MailScope::Local, queued: Vec::new() },
        What::FreezeProcess { pids } => {
            Measure::FreezeProcess { processes: pids.into_iter().map(identify).collect::<Result<_, _>>()? }
        }
        What::BlockScript { site, path } => Measure::BlockScript { site, path },
        What::EndSessions { site } => Measure::EndSessions { site },
        What::CloseSite { site } => Measure::CloseSite { site },
        What::CloseAccount => {
            let store = ask::store(&ask::config(common)?)?;
            let known = store.account(&args.account).map_err(|e| CommandError::failure(e.to_string()))?;
            let sites = known.map(|k| k.entry.sites).unwrap_or_default().into_iter().map(|s| s.domain).collect();
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

/// The process beyond doubt, as it is now; `act` checks again before it does anything.
fn identify(pid: u32) -> Result<ProcessRef, CommandError> {
    let seen = sys::process::Process::open(pid).and_then(|p| p.identity());
    let wrong =
        |why: String| CommandError::usage(format!("process {pid}: {why}; `ps -p {pid}` shows whether it still runs"));
    let identity = seen.map_err(|e| wrong(e.to_string()))?;
    let (exe_dev, exe_ino) = identity.exe.ok_or_else(|| wrong("it has no program (kernel thread or ended)".into()))?;
    Ok(ProcessRef { pid, start_ticks: identity.start_ticks, uid: identity.uids[0], exe_dev, exe_ino })
}
