//! Packs: the rows of one shard as text, cut into pieces that a sink takes whole.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod header;
