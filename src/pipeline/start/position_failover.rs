//! Positions on another server (`position_failover`): they mean nothing there. Either it is refused, or the time of the last
//! commit that was delivered leads to a place at or before it, from which on rows come again.
//!
//! That no row is lost stands on three things. The other server logs what it replicates, in its source's order. The times in
//! its log are those of its source, or later ones. And no two clocks differ by more than `position_failover_margin_ms`: then
//! the last transaction that was delivered is one that is looked for, and what follows it there was not delivered. (Times
//! that a session sets itself, by `SET timestamp`, are as good as its clock.) Where nothing that young is in the log, all
//! that comes is new, and reading begins at its end.

use super::Dump;
use super::Planning;
use super::Resume;
use super::identity_text;
use super::is_same_server;
use super::position_by_time::ByTime;
use super::position_by_time::Found;
use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::change::batch::Place;
use crate::code::Code;
use crate::config::PositionFailover;
use crate::config::ShardConfig;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_index::binlog_files;
use crate::mysql::binlog_stream::DumpRequest;
use crate::pack::builder::Frontier;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;
use crate::sync_point::Moved;
use crate::sync_point::SyncPoint;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapRecord;
use jiff::Timestamp;

const MS: u64 = 1000;

impl Planning<'_> {
    /// A point of another server, carried to this one.
    pub(super) fn by_time(&mut self, resume: Resume) -> Result<Resume, Fault> {
        self.require_timed(&resume)?;
        let since_ms = since(self.shard, resume.frontier.ts_ms);
        let fault = self.source_fault();
        let end = BinlogEnd::ask(&mut self.session.connection, &self.session.facts).map_err(&fault)?;
        let end = BinlogPosition::new(end.file, end.pos);
        let files = binlog_files(&mut self.session.connection).map_err(&fault)?;
        let files: Vec<String> = files.into_iter().map(|entry| entry.name).collect();
        // The search may take longer than a server waits for us by itself.
        self.session.connection.set_timeouts().map_err(&fault)?;
        let search = ByTime { beside: self.beside(), since_ms };
        match search.find(&files, &end)? {
            Found::At(BinlogPosition { file, pos }) => {
                let place = Place { file: file.as_str().into(), pos };
                let frontier = Frontier { ts_ms: resume.frontier.ts_ms, ..Frontier::at(place) };
                Ok(Resume { identity: self.session.identity(), frontier, inside: None })
            }
            Found::Purged { oldest, begun_ms } => Err(self.refused(
                Code::Purged,
                &format!(
                    "position_failover=timestamp: what was committed since {} is needed, and this server's oldest binlog, {oldest}, \
                     was begun at {}; copy the tables anew and start behind them, or connect to a server that still has it",
                    text(since_ms),
                    text(begun_ms)
                ),
            )),
        }
    }

    fn require_timed(&self, resume: &Resume) -> Result<(), Fault> {
        let refused = |text: &str| Err(self.refused(Code::PointForeign, text));
        let Frontier { place, ts_ms, pending_xa, .. } = &resume.frontier;
        if self.shard.position_failover == PositionFailover::Refuse {
            return refused(&format!(
                "the point {}:{} belongs to another server: expected {}, got {}; a position means nothing there: wait for that \
                 server, turn GTIDs on, or set position_failover=timestamp, which repeats rows",
                place.file,
                place.pos,
                identity_text(&resume.identity),
                identity_text(&self.session.identity())
            ));
        }
        let updates = ["log_replica_updates", "log_slave_updates"];
        if let Some(name) = updates.into_iter().find(|name| self.session.facts.is_on(name) == Some(false)) {
            return Err(self.refused(
                Code::ReplicaUpdates,
                &format!(
                    "position_failover=timestamp: the server does not log what it replicates ({name}=OFF), so its binlog lacks those \
                     rows; connect to one that does"
                ),
            ));
        }
        if !pending_xa.is_empty() {
            let fault = self.refused(
                Code::PointForeign,
                "position_failover=timestamp: times do not tell where a prepared XA transaction lies on another server",
            );
            return Err(self.for_pending_xa(fault, resume));
        }
        match *ts_ms {
            0 => refused(
                "position_failover=timestamp: the point belongs to another server and knows no commit time, because no \
                 transaction has been delivered yet; wait for that server, or move the point (fountain points set)",
            ),
            ts_ms if ts_ms > now_ms().saturating_add(margin(self.shard)) => refused(&format!(
                "position_failover=timestamp: the last transaction that was delivered says it was committed at {}, which is to \
                 come: such a time leads nowhere; wait for the point's server, or move the point (fountain points set)",
                text(ts_ms)
            )),
            _ => Ok(()),
        }
    }
}

/// A change of the source that breaks the order of the log: rows come again behind it.
pub struct Jump {
    from: GapEdge,
    reason: String,
}

impl Jump {
    /// Whether a dump that was planned for a point is one.
    pub fn of(shard: &ShardConfig, resume: Option<&Resume>, dump: &Dump, session: &Session) -> Option<Self> {
        let resume = resume?;
        let by_position = matches!(dump.request, DumpRequest::Position { .. });
        // Baidu's group ids name the same place on every server.
        let by_group = matches!(resume.frontier.executed, Some(ExecutedGtids::Group(_)));
        let here = session.identity();
        if !by_position || by_group || is_same_server(session.facts.flavor(), &resume.identity, &here) {
            return None;
        }
        let from = GapEdge::of_point(&resume.frontier.point(resume.identity.clone(), resume.inside.clone()));
        let reason = format!(
            "position_failover=timestamp: {} ({}) instead of {} is read from what was committed at {} on, {} ms before the last \
             transaction that was delivered; what was delivered since then comes again",
            session.server,
            identity_text(&here),
            identity_text(&resume.identity),
            text(since(shard, resume.frontier.ts_ms)),
            margin(shard),
        );
        Some(Self { from, reason })
    }

    /// What is kept for people.
    pub fn record(&self, shard: &str, to: &SyncPoint) -> GapRecord {
        GapRecord {
            shard: shard.to_owned(),
            at_ms: now_ms(),
            kind: GapKind::Jump,
            from: self.from.clone(),
            to: GapEdge::of_point(to),
            tables: Vec::new(),
            reason: self.reason.clone(),
        }
    }

    /// What consumers are told, also of a move that they have not been told of yet.
    pub fn moved(&self, untold: Option<Moved>) -> Moved {
        let (from, before) = match untold {
            Some(Moved { from, reason, .. }) => (from, format!("{reason}; ")),
            None => (Some(self.from.clone()), String::new()),
        };
        Moved { at_ms: now_ms(), from, reason: format!("{before}{}", self.reason) }
    }
}

/// Whole seconds: most servers log no others.
fn since(shard: &ShardConfig, last_ms: u64) -> u64 {
    (last_ms.saturating_sub(margin(shard)) / MS) * MS
}

fn margin(shard: &ShardConfig) -> u64 {
    u64::try_from(shard.position_failover_margin.as_millis()).unwrap_or(u64::MAX)
}

fn text(ms: u64) -> String {
    let timestamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| format!("{ms} ms"), |timestamp| timestamp.to_string())
}
