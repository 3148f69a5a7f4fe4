//! Connections to real servers.
#![allow(dead_code, reason = "each test uses its own part")]

use crate::harness::Server;
use fountain::mysql::Connection;
use fountain::mysql::SourceConfig;
use fountain::mysql::SourceError;
use fountain::mysql::TlsMode;
use fountain::secret::Secret;
use fountain::stop::Stop;
use std::time::Duration;

pub const SECOND: Duration = Duration::from_secs(1);
/// For what happens at once on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn account(server: &Server, user: &str, password: &str) -> SourceConfig {
    let mut config = SourceConfig::new(server.host(), server.port(), user, Secret::new(password.to_string()));
    config.server_id = 4711;
    config.replica_uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562".into();
    config.heartbeat_period = SECOND / 2;
    config
}

pub fn replica(server: &Server) -> SourceConfig {
    let (user, password) = server.replica_account();
    account(server, user, password)
}

pub fn open(config: &SourceConfig) -> Result<Connection, SourceError> {
    Connection::open(config, &Stop::new())
}

pub fn with_tls(config: &SourceConfig, mode: TlsMode) -> SourceConfig {
    let mut config = config.clone();
    config.tls.mode = mode;
    config
}
