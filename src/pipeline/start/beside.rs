//! A second connection to the server that a dump is planned for, to look into its binlog files.

use super::Planning;
use super::identity_text;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::change::error::ChangeError;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::Poll;
use crate::mysql::config::SourceConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::ServerFacts;
use crate::pipeline::fault::Fault;
use crate::pipeline::replica::other_replica;
use crate::pipeline::session::identity;
use crate::pipeline::session::source_fault;
use crate::stop::Stop;
use crate::sync_point::ServerIdentity;
use std::time::Duration;

/// How long a read waits before a stop is looked at.
pub(super) const POLL_TICK: Duration = Duration::from_millis(200);
/// Where a file's first event stands.
pub(super) const FIRST_EVENT: u64 = 4;

/// Whom to ask, and who must answer.
pub(super) struct Beside {
    shard: String,
    /// Under an id that no other replica has.
    source: SourceConfig,
    /// A name or a balancer may lead elsewhere the next time, and files of the same names say other things there.
    server: ServerIdentity,
    pub stop: Stop,
}

impl Planning<'_> {
    pub(super) fn beside(&self) -> Beside {
        let session = &self.session;
        Beside {
            shard: self.shard.name.clone(),
            source: other_replica(&session.config, session.facts.server_id()),
            server: session.identity(),
            stop: session.connection.stop().clone(),
        }
    }
}

impl Beside {
    /// The log from a file's beginning to its end.
    pub fn read(&self, file: &str) -> Result<BinlogStream, Fault> {
        let lost = |error: SourceError| self.lost(&error);
        let mut connection = Connection::open(&self.source, &self.stop).map_err(lost)?;
        let facts = ServerFacts::probe(&mut connection).map_err(lost)?;
        let server = identity(&facts);
        if server != self.server {
            return Err(self.fault(ChangeError::again(format!(
                "another server answers than the one that was asked before (it is {}, it was {}), so its binlogs were not \
                 looked into",
                identity_text(&server),
                identity_text(&self.server)
            ))));
        }
        BinlogStream::start_to_end(connection, file, FIRST_EVENT).map_err(lost)
    }

    /// When a file was begun, in seconds since 1970: its format description tells.
    pub fn begun(&self, file: &str) -> Result<u32, Fault> {
        let mut stream = self.read(file)?;
        let mut decoder = Decoder::new(stream.announced_algorithm());
        loop {
            let again = |text: &str| self.fault(ChangeError::again(format!("{file}: {text}")));
            match stream.poll(POLL_TICK).map_err(|error| self.lost(&error))? {
                Poll::Event(bytes) => {
                    let (header, event) = decoder.decode(bytes).map_err(|error| self.fault(error.into()))?;
                    if let Event::FormatDescription(_) = event {
                        return Ok(header.timestamp);
                    }
                }
                Poll::Idle if self.stop.requested() => {
                    return Err(again("asked to stop while looking when it was begun"));
                }
                Poll::Idle => {}
                Poll::End => {
                    return Err(again("the server ended the stream before it told when it was begun"));
                }
            }
        }
    }

    pub fn lost(&self, error: &SourceError) -> Fault {
        source_fault(&self.shard, error)
    }

    pub fn fault(&self, error: ChangeError) -> Fault {
        let text = format!("shard={} source={} {}", self.shard, self.source.place(), error.text);
        match error.retry {
            true => Fault::retry(error.code, text),
            false => Fault::refused(error.code, text),
        }
    }
}
