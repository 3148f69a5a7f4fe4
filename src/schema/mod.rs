//! What a table looks like, how its rows are read, and which tables are watched.

pub mod definition;
pub mod file;
pub mod filter;
pub mod ledger;
pub mod own_columns;
pub mod plan;
pub mod resolve;
pub mod row;
pub mod versioned;
