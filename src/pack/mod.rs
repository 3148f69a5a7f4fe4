//! Packs: changes as lines of JSON, cut into pieces that a sink takes whole.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod builder;
pub mod encoder;
pub mod header;
pub mod json;
pub mod lines;
pub mod run_crc;
pub mod template;
