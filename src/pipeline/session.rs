//! One connection to one source of a shard, made ready for a dump: who the server is, and whether it can serve us.

use crate::code::Code;
use crate::config::ShardConfig;
use crate::config::SourceOptions;
use crate::mysql::config::SourceConfig;
use crate::mysql::config::TlsConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::ErrorKind;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::ServerFacts;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::stop::Stop;
use crate::sync_point::ServerIdentity;
use std::time::Duration;

/// A server that we are logged in to and that logs rows.
#[derive(Debug)]
pub struct Session {
    pub connection: Connection,
    pub facts: ServerFacts,
    pub config: SourceConfig,
    /// `host:port`.
    pub server: String,
}

impl Session {
    /// Connects, logs in, and refuses a server that cannot be a source.
    pub fn open(shard: &str, config: SourceConfig, stop: &Stop) -> Result<Self, Fault> {
        let server = config.place();
        let fault = |error| source_fault(shard, &error);
        let mut connection = Connection::open(&config, stop).map_err(fault)?;
        let facts = ServerFacts::probe(&mut connection).map_err(fault)?;
        facts.require_row_binlog().map_err(fault)?;
        facts.require_other_id(config.server_id).map_err(fault)?;
        Ok(Self { connection, facts, config, server })
    }

    pub fn identity(&self) -> ServerIdentity {
        identity(&self.facts)
    }
}

/// Who a server says that it is.
pub fn identity(facts: &ServerFacts) -> ServerIdentity {
    ServerIdentity { server_uuid: facts.server_uuid().map(str::to_owned), server_id: facts.server_id() }
}

/// The connection's settings, from the shard's configuration. The password's file is read now.
pub fn source_config(
    shard: &ShardConfig,
    source: &SourceOptions,
    server_id: u32,
    replica_uuid: &str,
) -> Result<SourceConfig, Fault> {
    let password = source
        .password
        .read()
        .map_err(|error| Fault::refused(Code::FileError, format!("shard={} {error}", shard.name)))?;
    let (cert, key) = source.ssl.identity.clone().unzip();
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    Ok(SourceConfig {
        tls: TlsConfig { mode: source.ssl.mode, ca: source.ssl.ca.clone(), cert, key },
        connect_timeout: source.connect_timeout,
        query_timeout: query_timeout(source.so_timeout),
        so_timeout: source.so_timeout,
        heartbeat_period: source.heartbeat_period,
        wait_timeout: source.wait_timeout,
        net_write_timeout: source.net_write_timeout,
        net_read_timeout: source.net_read_timeout,
        receive_buffer: source.receive_buffer.map(bytes),
        send_buffer: source.send_buffer.map(bytes),
        charset: source.charset.clone(),
        server_id,
        replica_uuid: replica_uuid.to_owned(),
        report_host: shard.name.clone(),
        max_event_bytes: bytes(shard.max_event_bytes),
        ..SourceConfig::new(&source.host, source.port, &source.user, password)
    })
}

/// A server that is frozen in the middle of a question costs no more than one whose stream falls silent; one that has to read
/// a binlog file for its answer has time to.
fn query_timeout(so_timeout: Duration) -> Duration {
    so_timeout.clamp(Duration::from_secs(15), Duration::from_secs(60))
}

/// A source's error, in the shard's name.
pub fn source_fault(shard: &str, error: &SourceError) -> Fault {
    let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
    let cure = match error.kind() {
        ErrorKind::Retry | ErrorKind::Stopped => Cure::Retry,
        // Our own limit: no server can change its mind about that.
        ErrorKind::Refused if error.code() == Code::EventTooLarge => Cure::Stop,
        ErrorKind::Refused => Cure::Refused,
    };
    let text = format!("shard={shard} source={} {}{advice}", error.place(), error.text());
    Fault { code: error.code(), text, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_wait_as_long_as_streams_within_reason() {
        let of = |seconds| query_timeout(Duration::from_secs(seconds)).as_secs();
        assert_eq!([of(1), of(30), of(60), of(600)], [15, 30, 60, 60]);
    }
}
