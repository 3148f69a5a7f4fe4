//! Dumps by MySQL GTID sets: what the server must have of ours, and must not have lost of the rest.

use super::Dump;
use super::Planning;
use super::Resume;
use super::lag::Lacking;
use super::shown;
use crate::binlog::ExecutedGtids;
use crate::binlog::GtidSet;
use crate::binlog::gtid::parse_uuid;
use crate::code::Code;
use crate::mysql::binlog_index::gtid_sets;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::upstream::Replication;
use crate::pack::builder::StreamKind;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;

/// A server's sets.
pub(super) struct MysqlGtids {
    /// All that it ever executed.
    pub executed: GtidSet,
    /// Those of them that its files no longer hold.
    pub purged: GtidSet,
}

impl Planning<'_> {
    pub(super) fn mysql_gtids(&mut self) -> Result<MysqlGtids, Fault> {
        let sets = gtid_sets(&mut self.session.connection).map_err(self.source_fault())?;
        let sets = sets.ok_or_else(|| self.refused(Code::Unsupported, "the server keeps no GTID sets"))?;
        match (sets.executed.parse(), sets.purged.parse()) {
            (Ok(executed), Ok(purged)) => Ok(MysqlGtids { executed, purged }),
            (Err(error), _) | (_, Err(error)) => Err(self.refused(
                Code::Protocol,
                &format!("the server's gtid_executed or gtid_purged makes no sense: {error}"),
            )),
        }
    }

    pub(super) fn resume_by_mysql_gtid(&mut self, mut resume: Resume) -> Result<Dump, Fault> {
        let ours =
            resume.frontier.executed.as_ref().and_then(ExecutedGtids::mysql).cloned().unwrap_or_default();
        let theirs = self.mysql_gtids()?;
        self.require_logged_updates()?;
        self.check_sets(&ours, &theirs).map_err(|fault| self.for_lost_xa(fault, &resume, &theirs))?;
        match self.is_same_server(&resume) {
            true => self.check_own_log(&resume.frontier)?,
            false => {
                resume.frontier.leave_server();
                if let Some(inside) = &mut resume.inside {
                    inside.elsewhere = true;
                }
            }
        }
        let stream = StreamKind { by_gtid: true, in_order: false, purged: Some(theirs.purged) };
        let described = format!("behind the GTID set {}", shown(&ours));
        Ok(Dump { request: DumpRequest::Gtid { set: ours.encode() }, resume, stream, described })
    }

    /// Says so when the server has lost an XA PREPARE that is pending.
    fn for_lost_xa(&self, fault: Fault, resume: &Resume, theirs: &MysqlGtids) -> Fault {
        let lost = |gtid: &str| gtid.parse().is_ok_and(|gtid| theirs.purged.contains(&gtid));
        let pending = &resume.frontier.pending_xa;
        match pending.iter().any(|xa| xa.gtid.as_deref().is_some_and(lost)) {
            true => self.for_pending_xa(fault, resume),
            false => fault,
        }
    }

    /// What the server lacks of what we have, and what it has lost of what we need, is named: asked for the rest, it would
    /// send a stream with a hole.
    fn check_sets(&mut self, ours: &GtidSet, theirs: &MysqlGtids) -> Result<(), Fault> {
        let lacking = ours.subtract(&theirs.executed);
        if !lacking.is_empty() {
            let replication = self.replication()?;
            let lags = self.lags(&lacks(&lacking, &self.shard.name), &replication);
            return Err(match replication {
                // What it has made itself nobody gives back to it.
                Replication::None if self.has_made_some_of(&lacking) => Fault { cure: Cure::Refused, ..lags },
                _ => lags,
            });
        }
        let lost = theirs.purged.subtract(ours);
        if !lost.is_empty() {
            return Err(self.refused(
                Code::Purged,
                &format!(
                    "the server has purged {} that were not read yet: {}; copy the tables anew and start behind them, or \
                     connect to a server that still has them",
                    transactions(lost.count()),
                    shown(&lost)
                ),
            ));
        }
        Ok(())
    }

    fn has_made_some_of(&self, gtids: &GtidSet) -> bool {
        let own = self.session.facts.server_uuid().and_then(parse_uuid);
        own.is_some_and(|own| gtids.iter().any(|(source, ..)| *source == own))
    }
}

fn lacks(lacking: &GtidSet, shard: &str) -> Lacking {
    Lacking {
        what: format!("{} that the point holds: {}", transactions(lacking.count()), shown(lacking)),
        way_out: format!("fountain points set {shard} --drop-gtids '{}' --reason TEXT", lacking.to_line()),
    }
}

fn transactions(count: u64) -> String {
    match count {
        1 => "1 transaction".to_owned(),
        _ => format!("{count} transactions"),
    }
}
