//! Connections to a fake server, and what it sends.
#![allow(dead_code, reason = "each test uses its own part")]

use crate::fake_server::FakeServer;
use fountain::mysql::BinlogStream;
use fountain::mysql::Connection;
use fountain::mysql::DumpRequest;
use fountain::mysql::SourceConfig;
use fountain::mysql::SourceError;
use fountain::stop::Stop;
use std::time::Duration;
use std::time::Instant;

pub const SECOND: Duration = Duration::from_secs(1);

pub fn open(server: &FakeServer) -> Result<Connection, SourceError> {
    Connection::open(&server.config(), &Stop::new())
}

/// Deadlines short enough to wait for.
pub fn hurried(server: &FakeServer) -> SourceConfig {
    let mut config = server.config();
    (config.login_timeout, config.query_timeout, config.so_timeout) = (SECOND, SECOND, SECOND);
    config.first_event_timeout = 2 * SECOND;
    config
}

pub fn request() -> DumpRequest {
    DumpRequest::Position { file: "mysql-bin.000001".into(), pos: 4 }
}

pub fn stream_with(config: &SourceConfig, stop: &Stop) -> Result<BinlogStream, SourceError> {
    BinlogStream::start(Connection::open(config, stop)?, &request())
}

pub fn stream(server: &FakeServer) -> BinlogStream {
    stream_with(&server.config(), &Stop::new()).unwrap()
}

/// An event of that type and size, its body filled with its own low bytes.
pub fn event(event_type: u8, size: usize) -> Vec<u8> {
    let mut event = vec![0, 0, 0, 0, event_type, 56, 0, 0, 0];
    event.extend((size as u32).to_le_bytes());
    event.extend([0; 6]);
    event.extend((event.len()..size).map(|i| i as u8));
    event
}

/// Runs `work` and says that it took less than `limit`.
pub fn within<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    assert!(began.elapsed() < limit, "took {:?}", began.elapsed());
    result
}
