//! What a table looks like, and which tables are watched.

pub mod definition;
pub mod filter;
