//! Events to changes: where transactions begin and end, which tables and rows they touch. No I/O, no clock.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod assembler;
pub mod batch;
pub mod error;
pub mod sql;
pub mod tables;
