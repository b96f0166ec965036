//! (being written)
use crate::cli::Common;
use crate::exit::{Answer, Exit};
/// Arguments.
#[derive(clap::Args)]
pub struct SetupArgs {}
/// Runs.
pub fn setup(_: &Common, _: SetupArgs) -> Answer { Ok(Exit::Ok) }
