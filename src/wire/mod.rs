//! The MySQL client/server protocol as bytes, in both directions, so that a fake server can be made of the same code.
//!
//! Nothing here owns a socket or a clock: bytes come in as arguments, and "not enough yet" is a value, not an error.
//! Field orders are those of the MySQL "Client/Server Protocol" manual; where MariaDB differs, its own documentation
//! is named. Events inside the replication stream are opaque here: see [`crate::binlog`].
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod auth;
pub mod capability;
pub mod command;
pub mod handshake;
pub mod packet;
pub mod proof;
pub mod response;
