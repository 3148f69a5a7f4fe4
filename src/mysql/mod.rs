//! One blocking connection to one MySQL or MariaDB server: to log in, to ask, and to receive its binlog.
//!
//! Every wait here has a deadline and sees a requested stop within a fifth of a second. Which server to use, when to
//! try again and what the events mean is decided above; the bytes on the wire are [`crate::wire`]'s.

pub mod advice;
pub mod binlog_index;
pub mod binlog_stream;
pub mod catalog;
pub mod config;
pub mod connection;
pub mod error;
pub mod event_at;
mod link;
mod login;
mod own_columns;
pub mod preflight;
mod refusal;
mod stream;
mod tls;
pub mod upstream;
pub mod xa_recover;

pub use binlog_stream::BinlogStream;
pub use binlog_stream::DumpRequest;
pub use binlog_stream::Poll;
pub use config::SourceConfig;
pub use config::TlsConfig;
pub use config::TlsMode;
pub use connection::Connection;
pub use error::ErrorKind;
pub use error::SourceError;
pub use preflight::Flavor;
pub use preflight::ServerFacts;
