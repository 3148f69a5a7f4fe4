//! What Fountain uses of ZooKeeper: nodes read and written within deadlines. No recipe of the crate, no watch.
//!
//! A [`session::Session`] is used up by its first doubt: a call without an answer, a lost connection, an expired session.
//! Whoever holds it drops it and opens another one; a [`shared::SharedSession`] does so by itself. Nothing is asked twice:
//! what becomes of a request whose answer was lost is judged by whoever knows what it meant.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod client;
pub mod credentials;
mod frame;
pub mod handshake;
mod relay;
pub mod servers;
pub mod session;
pub mod shared;

use crate::code::Code;
use std::fmt;

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinationError {
    /// No server of `zk_string` serves; what each said.
    Unreachable(String),
    /// No answer within the deadline: what was asked may have happened, or may happen yet.
    TimedOut,
    /// Connection or session are gone: what was asked may have happened.
    Lost(String),
    NoNode,
    NodeExists,
    /// The node has been written since.
    BadVersion,
    /// It has children.
    NotEmpty,
    /// The node belongs to another user.
    NoAuth,
    /// More bytes than a node may hold.
    TooLarge(usize),
    /// What the configuration names cannot be used.
    Unusable {
        code: Code,
        text: String,
    },
    /// ZooKeeper's own word.
    Refused(String),
}

impl CoordinationError {
    /// Whether the session may be gone, or its state is not known: it is to be thrown away.
    pub fn is_doubt(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut | Self::Lost(_))
    }

    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) | Self::Lost(_) => Code::ZkUnreachable,
            Self::TimedOut => Code::ZkTimeout,
            Self::TooLarge(_) => Code::PointStore,
            Self::Unusable { code, .. } => *code,
            _ => Code::ZkAccess,
        }
    }
}

impl fmt::Display for CoordinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(what) => write!(f, "no ZooKeeper server serves: {what}"),
            Self::TimedOut => f.write_str("ZooKeeper gave no answer in time"),
            Self::Lost(what) => write!(f, "the session with ZooKeeper is lost: {what}"),
            Self::NoNode => f.write_str("ZooKeeper has no such node"),
            Self::NodeExists => f.write_str("ZooKeeper has that node already"),
            Self::BadVersion => f.write_str("the node in ZooKeeper has been written by somebody else"),
            Self::NotEmpty => f.write_str("the node in ZooKeeper has children"),
            Self::NoAuth => f.write_str("the node in ZooKeeper belongs to another user (zk_auth_file)"),
            Self::TooLarge(bytes) => write!(
                f,
                "{bytes} bytes are more than a node in ZooKeeper may hold ({} here)",
                session::LARGEST_DATA
            ),
            Self::Unusable { text, .. } => f.write_str(text),
            Self::Refused(what) => write!(f, "ZooKeeper refused: {what}"),
        }
    }
}

impl std::error::Error for CoordinationError {}
