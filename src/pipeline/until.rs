//! Where a run ends that does not run for ever.

use crate::binlog::AnyGtid;
use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::binlog::GtidSet;
use crate::binlog::MariadbGtid;
use crate::binlog::MariadbGtidPosition;
use crate::change::batch::Place;
use crate::code::Code;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_stream::DumpRequest;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_fault;
use crate::pipeline::start::Dump;
use crate::sync_point::ServerIdentity;

/// `--until`, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// The end of the server's binlog at the first connect.
    End,
    /// A place; transactions begun before it are delivered whole.
    Position(BinlogPosition),
    /// All of these transactions.
    Gtid(ExecutedGtids),
}

/// A place that can be compared with how far we are.
#[derive(Debug, Clone)]
pub enum Target {
    /// A place on this server.
    Position(BinlogPosition, ServerIdentity),
    Mysql(GtidSet),
    Mariadb(MariadbTarget),
}

/// In each of its domains this transaction, or one behind it.
#[derive(Debug, Clone)]
pub struct MariadbTarget {
    /// Those that have not been met yet.
    gtids: Vec<MariadbGtid>,
    /// The server at whose end these were, and that end. On that server they come, or have come, and are waited for
    /// by name, for without `gtid_strict_mode` a domain's numbers need not rise. Elsewhere a higher number does.
    end: Option<(ServerIdentity, BinlogPosition)>,
}

impl MariadbTarget {
    fn new(position: &MariadbGtidPosition, end: Option<(ServerIdentity, BinlogPosition)>) -> Self {
        Self { gtids: position.gtids().to_vec(), end }
    }

    fn reached(&self, rest: &Place, executed: &MariadbGtidPosition) -> bool {
        let at_end = self.end.as_ref().is_some_and(|(_, end)| position_of(rest) >= *end);
        let have = |wanted: &MariadbGtid| match executed.get(wanted.domain) {
            Some(have) => have == wanted || self.end.is_none() && have.sequence >= wanted.sequence,
            None => false,
        };
        at_end || self.gtids.iter().all(have)
    }
}

impl Target {
    /// Asks the server where its end is, if that is what is meant. A set can be waited for when how far we are is known
    /// as a set, also while the dump itself goes by position.
    pub fn fix(until: &Until, shard: &str, session: &mut Session, dump: &Dump) -> Result<Self, Fault> {
        match until {
            Until::Position(position) => {
                let end = Self::end_of(shard, session)?;
                // Files of another name are of another log: this one would be waited for in vain.
                match position.partial_cmp(&BinlogPosition::new(end.file.as_str(), end.pos)) {
                    Some(_) => Ok(Self::Position(position.clone(), session.identity())),
                    None => Err(Fault::stop(
                        Code::Usage,
                        format!(
                            "shard={shard} source={} --until {position}: the server never has such a file, its last one is {}",
                            session.server, end.file
                        ),
                    )),
                }
            }
            Until::Gtid(gtids) => match (gtids, &dump.resume.frontier.executed) {
                (ExecutedGtids::Mysql(set), Some(ExecutedGtids::Mysql(_))) => Ok(Self::Mysql(set.clone())),
                (ExecutedGtids::Mariadb(position), Some(ExecutedGtids::Mariadb(_))) => {
                    Ok(Self::Mariadb(MariadbTarget::new(position, None)))
                }
                (_, Some(ours)) => Err(Fault::stop(
                    Code::Usage,
                    format!(
                        "shard={shard} --until {gtids}: this source's GTIDs are of the other kind, such as {ours}"
                    ),
                )),
                (_, None) => Err(Fault::stop(
                    Code::Usage,
                    format!(
                        "shard={shard} --until GTIDSET: this source is not followed by GTID; give FILE:POS or end"
                    ),
                )),
            },
            Until::End => Self::at_end(shard, session, dump),
        }
    }

    fn at_end(shard: &str, session: &mut Session, dump: &Dump) -> Result<Self, Fault> {
        let end = Self::end_of(shard, session)?;
        let position = BinlogPosition { file: end.file.clone(), pos: end.pos };
        let gtids = match &dump.request {
            DumpRequest::Position { .. } => return Ok(Self::Position(position, session.identity())),
            DumpRequest::Gtid { .. } => end.mysql_gtids(),
            DumpRequest::MariadbGtid { .. } => end.mariadb_gtids(),
        };
        match gtids {
            Some(Ok(ExecutedGtids::Mysql(set))) => Ok(Self::Mysql(set)),
            Some(Ok(ExecutedGtids::Mariadb(gtids))) => {
                Ok(Self::Mariadb(MariadbTarget::new(&gtids, Some((session.identity(), position)))))
            }
            Some(Err(error)) => Err(Fault::refused(
                Code::Protocol,
                format!("shard={shard} source={} its GTIDs make no sense: {error}", session.server),
            )),
            Some(Ok(ExecutedGtids::Group(_))) | None => Ok(Self::Position(position, session.identity())),
        }
    }

    fn end_of(shard: &str, session: &mut Session) -> Result<BinlogEnd, Fault> {
        let end = BinlogEnd::ask(&mut session.connection, &session.facts);
        end.map_err(|error| source_fault(shard, &error))
    }

    /// A stream from this server begins. False: the end is a place on another one and says nothing here.
    pub fn connected_to(&mut self, identity: &ServerIdentity) -> bool {
        match self {
            Self::Position(_, server) => server == identity,
            Self::Mysql(_) => true,
            Self::Mariadb(target) => {
                target.end = target.end.take().filter(|(server, _)| server == identity);
                true
            }
        }
    }

    /// This transaction has ended.
    pub fn passed(&mut self, gtid: &AnyGtid) {
        if let (Self::Mariadb(target), AnyGtid::Mariadb(gtid)) = (self, gtid) {
            target.gtids.retain(|wanted| wanted != gtid);
        }
    }

    /// Whether everything before the target has been read. `executed` is how far we are in GTIDs, where it is known.
    pub fn reached(&self, rest: &Place, executed: Option<&ExecutedGtids>) -> bool {
        match (self, executed) {
            (Self::Position(target, _), _) => position_of(rest) >= *target,
            (Self::Mysql(target), Some(ExecutedGtids::Mysql(executed))) => executed.contains_set(target),
            (Self::Mariadb(target), Some(ExecutedGtids::Mariadb(executed))) => target.reached(rest, executed),
            (Self::Mysql(_) | Self::Mariadb(_), _) => false,
        }
    }
}

fn position_of(place: &Place) -> BinlogPosition {
    BinlogPosition { file: place.file.to_string(), pos: place.pos }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str, pos: u64) -> Place {
        Place { file: file.into(), pos }
    }

    fn server(server_id: u32) -> ServerIdentity {
        ServerIdentity { server_uuid: None, server_id }
    }

    fn target(gtids: &str, end: Option<u32>) -> Target {
        let end = end.map(|id| (server(id), BinlogPosition::new("b.2", 900)));
        Target::Mariadb(MariadbTarget::new(&gtids.parse().unwrap(), end))
    }

    fn at(gtids: &str) -> Option<ExecutedGtids> {
        Some(ExecutedGtids::Mariadb(gtids.parse().unwrap()))
    }

    /// Server 2 wrote its fifth behind server 1's tenth.
    #[test]
    fn at_a_server_s_own_end_transactions_are_waited_for_by_name() {
        let mut target = target("0-2-5,1-1-1", Some(1));
        assert!(target.connected_to(&server(1)));
        let reached = |target: &Target, gtids: &str| target.reached(&place("b.2", 500), at(gtids).as_ref());
        assert!(!reached(&target, "0-1-10,1-1-1"));
        assert!(reached(&target, "0-2-5,1-1-1"));
        target.passed(&AnyGtid::Mariadb("1-1-1".parse().unwrap()));
        assert!(reached(&target, "0-2-5,1-1-7"));
        assert!(!reached(&target, "0-2-4,1-1-7"));
        // Nothing more comes: the end's place is as good.
        assert!(target.reached(&place("b.2", 900), at("0-1-10").as_ref()));
        // Elsewhere that transaction may be another one.
        assert!(target.connected_to(&server(2)));
        assert!(reached(&target, "0-1-10,1-1-7"));
        assert!(!target.reached(&place("b.2", 900), at("0-1-4").as_ref()));
    }

    #[test]
    fn gtids_that_were_given_are_reached_by_number() {
        let target = target("0-2-5", None);
        for (gtids, reached) in [("0-2-4", false), ("0-1-5", true), ("0-1-9,1-1-1", true), ("1-1-9", false)] {
            assert_eq!(target.reached(&place("b.1", 4), at(gtids).as_ref()), reached, "{gtids}");
        }
        assert!(!target.reached(&place("b.1", 4), None));
    }

    #[test]
    fn a_place_means_nothing_on_another_server() {
        let mut target = Target::Position(BinlogPosition::new("b.2", 900), server(1));
        assert!(target.connected_to(&server(1)));
        assert!(target.reached(&place("b.2", 900), None) && !target.reached(&place("b.2", 899), None));
        assert!(!target.connected_to(&server(2)));
    }
}
