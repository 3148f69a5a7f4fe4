//! Fountain.
pub mod binlog;
pub mod change;
pub mod cli;
pub mod code;
pub mod codec;
pub mod column;
pub mod config;
pub mod mysql;
pub mod pack;
pub mod pipeline;
pub mod schema;
pub mod secret;
pub mod sink;
pub mod stop;
pub mod sync_point;
pub mod wire;
