//! Where a run ends that does not run for ever.

use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::binlog::GtidSet;
use crate::change::batch::Place;
use crate::code::Code;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_stream::DumpRequest;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_fault;
use crate::pipeline::start::Dump;

/// `--until`, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// The end of the server's binlog at the first connect.
    End,
    /// A place; transactions begun before it are delivered whole.
    Position(BinlogPosition),
    /// All of these transactions.
    Gtid(GtidSet),
}

/// A place that can be compared with how far we are.
#[derive(Debug, Clone)]
pub enum Target {
    Position(BinlogPosition),
    Gtid(GtidSet),
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
                    Some(_) => Ok(Self::Position(position.clone())),
                    None => Err(Fault::stop(
                        Code::Usage,
                        format!(
                            "shard={shard} source={} --until {position}: the server never has such a file, its last one is {}",
                            session.server, end.file
                        ),
                    )),
                }
            }
            Until::Gtid(set) if dump.resume.frontier.executed.is_some() => Ok(Self::Gtid(set.clone())),
            Until::Gtid(_) => Err(Fault::stop(
                Code::Usage,
                format!(
                    "shard={shard} --until GTIDSET: this source is not followed by GTID; give FILE:POS or end"
                ),
            )),
            Until::End => {
                let end = Self::end_of(shard, session)?;
                let by_gtid = matches!(dump.request, DumpRequest::Gtid { .. });
                match end.gtid_executed.as_deref().map(str::parse).filter(|_| by_gtid) {
                    Some(Ok(set)) => Ok(Self::Gtid(set)),
                    Some(Err(error)) => Err(Fault::refused(
                        Code::Protocol,
                        format!(
                            "shard={shard} source={} its gtid_executed makes no sense: {error}",
                            session.server
                        ),
                    )),
                    None => Ok(Self::Position(BinlogPosition { file: end.file, pos: end.pos })),
                }
            }
        }
    }

    fn end_of(shard: &str, session: &mut Session) -> Result<BinlogEnd, Fault> {
        let end = BinlogEnd::ask(&mut session.connection, &session.facts);
        end.map_err(|error| source_fault(shard, &error))
    }

    /// Whether everything before the target has been read. `executed` is how far we are as a set, where it is known.
    pub fn reached(&self, rest: &Place, executed: Option<&ExecutedGtids>) -> bool {
        match self {
            Self::Position(target) => {
                BinlogPosition { file: rest.file.to_string(), pos: rest.pos } >= *target
            }
            Self::Gtid(target) => {
                executed.and_then(ExecutedGtids::mysql).is_some_and(|executed| executed.contains_set(target))
            }
        }
    }
}
