//! Sets files aside and gives them back.

use std::io;
use std::path::PathBuf;

use model::{AccountRef, Failure, FilePath, FileRef, RestrictionId};
use serde::{Deserialize, Serialize};

use crate::config::Steps;

/// A file that is set aside, and what it takes to give it back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    file: FileRef,
}

impl Moved {
    pub fn path(&self) -> &FilePath {
        &self.file.path
    }
}

/// The folders where files are set aside.
#[derive(Debug)]
pub struct Files {}

const NOT_BUILT: &str = "not built";

impl Files {
    pub fn open(_dirs: &[PathBuf]) -> io::Result<Files> {
        Ok(Files {})
    }
    pub fn plan(&self, _: &AccountRef, _: RestrictionId, _home: &str, _: &[FileRef]) -> Result<Vec<Moved>, Failure> {
        Err(Failure::Error(NOT_BUILT.into()))
    }
    pub fn apply(
        &self,
        _: &AccountRef,
        _: RestrictionId,
        _home: &str,
        _: &[Moved],
        _: &mut Steps,
    ) -> Result<(), Failure> {
        Err(Failure::Error(NOT_BUILT.into()))
    }
    pub fn take_back(
        &self,
        _: &AccountRef,
        _: RestrictionId,
        _home: &str,
        _: &[Moved],
        _: &mut Steps,
    ) -> Result<String, String> {
        Err(NOT_BUILT.into())
    }
    pub fn look(&self, _: &AccountRef, _: RestrictionId, _home: &str, _: &[Moved]) -> (bool, String) {
        (false, NOT_BUILT.into())
    }
}
