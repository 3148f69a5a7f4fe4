//! One column's bytes out of a row image, turned into a [`Value`].
//!
//! A [`ColumnSpec`] says what is known of a column: the type and metadata of its TABLE_MAP event, and what
//! the event's optional metadata or a definition adds. [`ColumnFormat`] is compiled from it once per table;
//! decoding then borrows from the row and allocates nothing. Bytes only: which columns a row image holds,
//! NULL bits and names belong to the row's reader, and how a value is written is the business of `pack`.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod charset;
pub mod compatible;
pub mod compressed;
pub mod decimal;
pub mod declared;
mod error;
mod fixed;
#[cfg(test)]
pub(crate) mod fixtures;
mod format;
pub mod json_diff;
mod json_path;
pub mod jsonb;
mod length;
mod spec;
pub mod temporal;
mod temporal_old;
pub mod type_code;
pub mod value;

pub use charset::Charset;
pub use error::ColumnError;
pub use error::ColumnFault;
pub use format::ColumnFormat;
pub use length::ColumnLength;
pub use spec::ColumnSpec;
pub use spec::Declared;
pub use value::Value;
