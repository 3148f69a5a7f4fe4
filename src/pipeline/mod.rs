//! A shard at work: the producer thread reads and hands batches over, the packer thread writes lines and sends packs,
//! the saver thread stores points.

mod catch_up;
pub mod configured;
pub mod definitions;
pub mod delivery;
mod fail_back;
pub mod fault;
mod first_load;
mod first_words;
mod going_over;
pub mod led_store;
pub mod message;
pub mod packer;
pub mod patience;
mod patiently;
pub mod ports;
pub mod producer;
pub mod replica;
pub mod reread;
mod rounds;
pub mod saver;
pub mod session;
pub mod shard;
pub mod sinks;
pub mod standing;
pub mod start;
mod streaming;
pub mod unproven;
pub mod until;
pub mod wishes;
