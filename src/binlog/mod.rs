//! Binlog bytes → events.
//!
//! Takes whole events as they stand in a binlog or arrive in a dump and says what is in them; knows no
//! sockets and no clock (`file` alone reads files). What the columns of a row mean is the `column` module's
//! business, what a transaction is `change`'s.
//!
//! The way in is [`Decoder`]: one for each connection or file.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod checksum;
pub mod control;
pub mod decoder;
pub mod error;
pub mod event_type;
pub mod executed_gtids;
pub mod file;
pub mod format_description;
pub mod gtid;
pub mod gtid_event;
pub mod gtid_set;
mod gtid_set_bytes;
mod gtid_set_text;
pub mod header;
pub mod mariadb;
pub mod mariadb_binlog_state;
pub mod mariadb_compressed;
pub mod mariadb_gtid;
pub mod payload;
pub mod position;
pub mod position_tracker;
pub mod query;
pub mod rotate;
pub mod rows;
mod serialization;
pub mod statement;
pub mod table_map;
pub mod table_metadata;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod walk_tests;
pub mod xa;

pub use checksum::ChecksumAlgorithm;
pub use decoder::Decoder;
pub use decoder::Event;
pub use error::BinlogError;
pub use executed_gtids::AnyGtid;
pub use executed_gtids::ExecutedGtids;
pub use file::BinlogFile;
pub use format_description::Flavor;
pub use format_description::Format;
pub use format_description::FormatDescription;
pub use gtid::Gtid;
pub use gtid_event::GtidEvent;
pub use gtid_set::GtidSet;
pub use header::EventHeader;
pub use mariadb_binlog_state::MariadbBinlogState;
pub use mariadb_gtid::MariadbGtid;
pub use mariadb_gtid::MariadbGtidPosition;
pub use payload::PayloadEvent;
pub use payload::PayloadReader;
pub use position::BinlogPosition;
pub use position_tracker::PositionTracker;
pub use query::Query;
pub use rotate::Heartbeat;
pub use rotate::Rotate;
pub use rows::ColumnBits;
pub use rows::RowsEvent;
pub use rows::RowsKind;
pub use table_map::TableMapEvent;
pub use table_metadata::TableMetadata;
