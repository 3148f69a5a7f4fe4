//! What a connection needs to know. Plain fields: where the values come from is the configuration's business.

/// `mysql_ssl_mode`: whether and how a connection is encrypted.
pub use crate::config::SslMode as TlsMode;
use crate::config::place;
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach one server, log in there, and stream from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// A name, an IPv4 address, or an IPv6 address with or without brackets.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Secret,
    pub tls: TlsConfig,
    /// For the name lookup, and for the connect to each of the name's addresses.
    pub connect_timeout: Duration,
    /// From the connect to the end of the login, TLS handshake included. A server that looks our address up by name
    /// (no `skip_name_resolve`) may take many seconds before it greets.
    pub login_timeout: Duration,
    /// For the whole answer to a statement.
    pub query_timeout: Duration,
    /// The longest silence of a stream: heartbeats come more often. Past it the connection counts as dead.
    pub so_timeout: Duration,
    /// The longest silence before the first event that carries news: in GTID mode the server first searches its files.
    pub first_event_timeout: Duration,
    /// How often the server is asked to speak when it has nothing to say. Less than `so_timeout`, best a quarter.
    pub heartbeat_period: Duration,
    /// Session variables `wait_timeout`, `net_write_timeout`, `net_read_timeout` of a stream, in whole seconds.
    /// The server's default of 60 s for the second kills a stream whose reader is held up.
    pub wait_timeout: Duration,
    pub net_write_timeout: Duration,
    pub net_read_timeout: Duration,
    /// SO_RCVBUF and SO_SNDBUF in bytes. Setting either ends the kernel's own tuning of it: best left unset.
    pub receive_buffer: Option<usize>,
    pub send_buffer: Option<usize>,
    /// For SET NAMES before a stream. Statements always use utf8mb4.
    pub charset: String,
    /// Our id as a replica: not 0, and no other replica's or server's.
    pub server_id: u32,
    /// Our uuid as a replica. A new stream with the same uuid makes the server end the old one.
    pub replica_uuid: String,
    /// Shown to people in the server's `SHOW REPLICAS`; at most 60 bytes are sent.
    pub report_host: String,
    pub report_port: u16,
    /// The largest event taken, in bytes.
    pub max_event_bytes: usize,
}

impl SourceConfig {
    /// A configuration with fountain's defaults for all but the place and the account.
    pub fn new(host: &str, port: u16, user: &str, password: Secret) -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            host: host.to_string(),
            port,
            user: user.to_string(),
            password,
            tls: TlsConfig::default(),
            connect_timeout: Duration::from_millis(3000),
            login_timeout: Duration::from_secs(15),
            query_timeout: Duration::from_secs(60),
            so_timeout: Duration::from_secs(60),
            first_event_timeout: Duration::from_secs(600),
            heartbeat_period: Duration::from_secs(15),
            wait_timeout: hour,
            net_write_timeout: hour,
            net_read_timeout: hour,
            receive_buffer: None,
            send_buffer: None,
            charset: "utf8mb4".to_string(),
            server_id: 0,
            replica_uuid: String::new(),
            report_host: String::new(),
            report_port: 0,
            max_event_bytes: 1 << 30,
        }
    }

    /// `host:port`, an IPv6 address in brackets: how messages call the server.
    pub fn place(&self) -> String {
        place::address(&self.host, self.port)
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        place::bare_host(&self.host)
    }
}

/// Whether and how the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    pub mode: TlsMode,
    /// The certificates that vouch for the server's, in PEM form; for `VerifyCa` and `VerifyIdentity` alone.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, in PEM form, for accounts made with REQUIRE X509. Both or neither.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { mode: TlsMode::Preferred, ca: None, cert: None, key: None }
    }
}
