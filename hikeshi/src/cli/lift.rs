//! `hikeshi lift`: end one restriction by hand.

use model::packet::ToCore;
use model::{Operator, RestrictionId};

use crate::cli::{Common, ask, incident};
use crate::exit::Answer;

/// Arguments of `lift`.
#[derive(clap::Args)]
pub struct LiftArgs {
    /// The restriction, as in HK-20260321-7K3Q/1
    restriction: RestrictionId,
    /// Why, for the record
    #[arg(long)]
    reason: String,
}

/// Lifts it; the same findings impose nothing for a day.
pub fn lift(common: &Common, args: LiftArgs) -> Answer {
    let account = incident::owner_of(common, args.restriction.incident)?;
    let what = Operator::Lift { restriction: args.restriction, reason: args.reason };
    ask::order(common, &ToCore::Operator { account, by: ask::operator(), what })
}
