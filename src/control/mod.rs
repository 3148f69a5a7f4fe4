//! The control socket of a running node, `fountain.sock` in `status_dir`: one line of JSON asks, one line answers. Only the
//! user that the node runs as, and root, are heard. What is asked for is done by [`crate::engine::operate`].
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod address;
pub mod client;
mod line;
pub mod protocol;
pub mod server;
