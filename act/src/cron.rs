//! Switches one line of a crontab off and on again.

use std::path::{Path, PathBuf};

use model::{AccountRef, CronLine, Failure, RestrictionId};
use serde::{Deserialize, Serialize};

use crate::config::Steps;

/// One line of a crontab, and what it takes to give it back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    line: CronLine,
}

impl std::fmt::Display for Splice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bytes {} to {}", self.line.start, self.line.end)
    }
}

/// The folder in which crontab(1) keeps the accounts' tables.
#[derive(Debug)]
pub struct Cron {
    _spool: PathBuf,
}

const NOT_BUILT: &str = "not built";

impl Cron {
    pub fn new(spool: &Path) -> Cron {
        Cron { _spool: spool.to_owned() }
    }
    pub fn plan(&self, _: &AccountRef, _: RestrictionId, _: &CronLine) -> Result<Splice, Failure> {
        Err(Failure::Error(NOT_BUILT.into()))
    }
    pub fn apply(&self, _: &AccountRef, _: &Splice, _: &mut Steps) -> Result<(), Failure> {
        Err(Failure::Error(NOT_BUILT.into()))
    }
    pub fn take_back(&self, _: &AccountRef, _: &Splice, _: &mut Steps) -> Result<String, String> {
        Err(NOT_BUILT.into())
    }
    pub fn look(&self, _: &AccountRef, _: &Splice) -> (bool, String) {
        (false, NOT_BUILT.into())
    }
}
