//! `hikeshi undo`: take an incident's restrictions back as they were.

use model::packet::ToCore;
use model::{Number, Operator, RestrictionId};

use crate::cli::{Common, ask, incident};
use crate::exit::{Answer, CommandError};

/// Arguments of `undo`.
#[derive(clap::Args)]
pub struct UndoArgs {
    /// The incident, as in HK-20260321-7K30
    incident: Number,
    /// Only this restriction, as in HK-20260321-7K30/1; can be given more than once
    #[arg(long, value_name = "RESTRICTION")]
    only: Vec<RestrictionId>,
    /// Why, for the record
    #[arg(long)]
    reason: String,
}

/// Frozen programs go on, files and cron lines come back where they were, sites open, mail flows; the last restriction
/// first. The same findings impose nothing for a day. A program that was ended does not come back.
pub fn undo(common: &Common, args: UndoArgs) -> Answer {
    if let Some(other) = args.only.iter().find(|id| id.incident != args.incident) {
        return Err(CommandError::usage(format!("{other} is not a restriction of {}", args.incident)));
    }
    let account = incident::owner_of(common, args.incident)?;
    let what = Operator::Undo { incident: args.incident, only: args.only, reason: args.reason };
    ask::order(common, &ToCore::Operator { account, by: ask::operator(), what })
}
