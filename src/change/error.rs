//! Why the stream cannot be followed further. The place (shard, file and position) is added by whoever reads it.

use crate::binlog::error::BinlogError;
use crate::code::Code;
use crate::schema::resolve::ResolveError;
use std::fmt;

/// An event that must not be passed over, or a definition that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeError {
    pub code: Code,
    pub text: String,
    /// Connecting again may help: the definition's server went away, or somebody wants to stop.
    pub retry: bool,
}

impl ChangeError {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry: false }
    }

    /// The stream has to be read anew, for a reason that lies with us.
    pub fn again(text: impl Into<String>) -> Self {
        Self { code: Code::ConnectionLost, text: text.into(), retry: true }
    }
}

impl From<ResolveError> for ChangeError {
    fn from(error: ResolveError) -> Self {
        Self::new(error.code, error.text)
    }
}

impl From<BinlogError> for ChangeError {
    fn from(error: BinlogError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ChangeError {}
