//! Denies logins through the services' own deny lists.

use model::{AccountRef, Login};

use crate::config::LoginConfig;

/// The deny lists.
#[derive(Debug)]
pub struct Logins {
    _config: LoginConfig,
}

const NOT_BUILT: &str = "not built";

impl Logins {
    pub fn new(config: &LoginConfig) -> Logins {
        Logins { _config: config.clone() }
    }
    pub fn check(&self, _: &AccountRef, _: &[Login]) -> Result<(), String> {
        Err(NOT_BUILT.into())
    }
    pub fn set(&self, _: &[(AccountRef, Login)]) -> Result<(), String> {
        Err(NOT_BUILT.into())
    }
    pub fn is_set(&self, _: &[(AccountRef, Login)]) -> Result<bool, String> {
        Err(NOT_BUILT.into())
    }
}
