//! Dumps by MariaDB GTIDs: one position for each domain, compared with what the server has logged, applied and purged.
//!
//! The server checks the same when the dump begins (`check_slave_start_position` and `gtid_find_binlog_file` in MariaDB's
//! `sql/sql_repl.cc`); here it is told which transactions are meant. One thing it does not see: binlogs that were reset
//! and have counted past our numbers since.

use super::Dump;
use super::Planning;
use super::Resume;
use super::lag::Lacking;
use super::pending::ask_behind;
use super::shown;
use crate::binlog::ExecutedGtids;
use crate::binlog::MariadbGtid;
use crate::binlog::MariadbGtidPosition;
use crate::change::batch::Place;
use crate::code::Code;
use crate::mysql::binlog_index::MariadbGtids;
use crate::mysql::binlog_index::binlog_files;
use crate::mysql::binlog_index::mariadb_gtids;
use crate::mysql::binlog_index::mariadb_gtids_at;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::upstream::Replication;
use crate::pack::builder::StreamKind;
use crate::pipeline::fault::Fault;

impl Planning<'_> {
    pub(super) fn mariadb_gtids(&mut self) -> Result<MariadbGtids, Fault> {
        mariadb_gtids(&mut self.session.connection).map_err(self.source_fault())
    }

    pub(super) fn resume_by_mariadb_gtid(&mut self, mut resume: Resume) -> Result<Dump, Fault> {
        let executed = resume.frontier.executed.as_ref();
        let ours = executed.and_then(ExecutedGtids::mariadb).cloned().unwrap_or_default();
        let theirs = self.mariadb_gtids()?;
        self.require_logged_updates()?;
        self.check_mariadb_gtids(&ours, &theirs)?;
        let behind =
            ask_behind(&ours, &resume.frontier.pending_xa).map_err(|text| self.broken_point(&text))?;
        if behind != ours {
            let fits = self.check_mariadb_gtids(&behind, &theirs);
            fits.map_err(|fault| self.for_pending_xa(fault, &resume))?;
        }

        match self.is_same_server(&resume) {
            true if resume.frontier.set_ahead || resume.frontier.place.file.is_empty() => {}
            true => self.compare_mariadb_gtids(&mut resume)?,
            false => {
                resume.frontier.leave_server();
            }
        }
        let stream = StreamKind { by_gtid: true, in_order: false, purged: None };
        let described = match behind.is_empty() {
            true => "from the first GTID on".to_owned(),
            false => format!("behind the GTIDs {}", shown(&behind)),
        };
        let request = DumpRequest::MariadbGtid { position: behind.to_string() };
        Ok(Dump { request, resume, stream, described })
    }

    /// No other server understands it either.
    fn broken_point(&self, text: &str) -> Fault {
        let advice = "put a good copy of it back, or drop it";
        let text = format!(
            "shard={} the stored point is broken: {text}; {advice} (fountain points set {} --drop-xa --reason TEXT)",
            self.shard.name, self.shard.name
        );
        Fault::stop(Code::PointBroken, text)
    }

    fn check_mariadb_gtids(
        &mut self,
        ours: &MariadbGtidPosition,
        theirs: &MariadbGtids,
    ) -> Result<(), Fault> {
        match compare(ours, theirs) {
            Comparison::Fits { unknown } if unknown.is_empty() => Ok(()),
            Comparison::Fits { unknown } => {
                log::warn!(
                    "shard={} source={} knows nothing of the domains of {}; going on, and it will say so if it meets them",
                    self.shard.name,
                    self.session.server,
                    listed(&unknown)
                );
                Ok(())
            }
            Comparison::Lags(what) => {
                let replication = match self.replication()? {
                    // What a replica applies is noted there, whether it may be seen that it is one or not.
                    Replication::Hidden if theirs.slave_pos.is_empty() => Replication::None,
                    replication => replication,
                };
                let way_out = self.give_up_domains(ours, theirs);
                Err(self.lags(&Lacking { what, way_out }, &replication))
            }
            Comparison::GoneAnotherWay(what) => {
                let way_out = self.give_up_domains(ours, theirs);
                Err(self.refused(
                    Code::PointBeyondEnd,
                    &format!(
                        "the server lacks {what}; it has gone another way, was restored, or its binlogs were reset; if no server \
                         has them any more: {way_out}"
                    ),
                ))
            }
            Comparison::Unlogged(text) => Err(self.refused(Code::ReplicaUpdates, &text)),
            Comparison::Lost(text) => Err(self.refused(Code::Purged, &text)),
        }
    }

    /// The command that sets each domain of which the server lacks something back to what it has.
    fn give_up_domains(&self, ours: &MariadbGtidPosition, theirs: &MariadbGtids) -> String {
        let known = known_of(ours, theirs).to_string();
        let place =
            if known.is_empty() { "--start beginning".to_owned() } else { format!("--gtids {known}") };
        format!("fountain points set {} {place} --reason TEXT", self.shard.name)
    }

    /// Asks the server which GTIDs lie before our place. If we do not know it, we do now; if we do, it must be the same,
    /// or the binlogs were reset and the numbers have been given out anew.
    pub(super) fn compare_mariadb_gtids(&mut self, resume: &mut Resume) -> Result<(), Fault> {
        let place = resume.frontier.place.clone();
        let there = mariadb_gtids_at(&mut self.session.connection, &place.file, place.pos);
        let Some(there) = there.map_err(self.source_fault())? else {
            return self.explain_silence_at(&place);
        };
        match &resume.frontier.executed {
            // The first transaction of all lies behind the place; or the file has no GTID_LIST, as those of before MariaDB
            // 10.0, and then the server says the same of any place. A later file's list will tell.
            None if there.is_empty() => {}
            // One that is pending could not be asked for by GTID.
            None if resume.frontier.pending_xa.iter().any(|xa| xa.gtids_before.is_none()) => {}
            None => resume.frontier.executed = Some(ExecutedGtids::Mariadb(there)),
            Some(ExecutedGtids::Mariadb(ours)) if is_that(ours, &there) => {}
            Some(ours) => {
                return Err(self.refused(
                    Code::PointForeign,
                    &format!(
                        "before {}:{} the point knows the GTIDs {}, the server has {} there: its binlogs were reset or restored \
                         since; copy the tables anew and start behind them",
                        place.file,
                        place.pos,
                        shown(ours),
                        shown(&there)
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The server cannot tell what lies before a place of a file that it has purged, nor past 4 GiB. In a file that is
    /// there it can, if the place is one.
    fn explain_silence_at(&mut self, place: &Place) -> Result<(), Fault> {
        let files = match binlog_files(&mut self.session.connection) {
            Err(error) if error.code() == Code::RightMissing => Vec::new(),
            other => other.map_err(self.source_fault())?,
        };
        let is_there = files.iter().any(|entry| *entry.name == *place.file);
        match is_there && u32::try_from(place.pos).is_ok() {
            false => Ok(()),
            true => Err(self.refused(
                Code::PointForeign,
                &format!(
                    "no event of the server's {} starts at {}, where the point stands: its binlogs were reset or restored \
                     since (copy the tables anew and start behind them), or it cannot read that file (its error log tells)",
                    place.file, place.pos
                ),
            )),
        }
    }
}

/// Whether the GTIDs before a place are ours. Domains may be missing there: FLUSH BINARY LOGS DELETE_DOMAIN_ID.
fn is_that(ours: &MariadbGtidPosition, there: &MariadbGtidPosition) -> bool {
    ours.stands_at(there) && there.is_empty() == ours.is_empty()
}

/// Whether a server can go on where we stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// It can. It has no transaction of these domains at all: they were deleted there (FLUSH BINARY LOGS
    /// DELETE_DOMAIN_ID), or they never came to it. The server checks anew as soon as one of the domain comes.
    Fits { unknown: Vec<MariadbGtid> },
    /// It has not all that we have, and stands before it.
    Lags(String),
    /// It has not what we have, and stands behind it: it never will.
    GoneAnotherWay(String),
    /// It has what we have not, and not in its log.
    Unlogged(String),
    /// It no longer has all that we have not.
    Lost(String),
}

pub(super) fn compare(ours: &MariadbGtidPosition, theirs: &MariadbGtids) -> Comparison {
    let MariadbGtids { binlog_state, slave_pos, purged } = theirs;
    let (mut unknown, mut lacking, mut unlogged) = (Vec::new(), Vec::new(), Vec::new());
    let (mut count, mut elsewhere) = (0, false);
    let mut lacks =
        |gtid: &MariadbGtid, stands: &MariadbGtid| match gtid.sequence.checked_sub(stands.sequence) {
            Some(behind) if behind > 0 => {
                count += behind;
                lacking.push(format!("{gtid} (it is at {stands})"));
            }
            _ => {
                elsewhere = true;
                lacking.push(format!("{gtid} (it has {stands} instead)"));
            }
        };
    for gtid in ours.gtids().iter().filter(|gtid| !binlog_state.holds(gtid)) {
        match (binlog_state.newest(gtid.domain), slave_pos.get(gtid.domain)) {
            // It was a replica that logs none of what it applies, has applied just that, and goes on from there.
            (_, Some(applied)) if applied == gtid => {}
            (None, Some(applied)) if applied.sequence > gtid.sequence => unlogged.push(range(gtid, applied)),
            (Some(stands), _) => lacks(gtid, &stands),
            (None, Some(stands)) => lacks(gtid, stands),
            (None, None) => unknown.push(*gtid),
        }
    }
    if lacking.is_empty() && !unknown.is_empty() && unknown.len() == ours.gtids().len() {
        count = unknown.iter().map(|gtid| gtid.sequence).sum();
        lacking.push(format!("{} (it has nothing of these domains)", listed(&unknown)));
    }
    match (lacking.is_empty(), elsewhere) {
        (true, _) => {}
        (false, true) => {
            return Comparison::GoneAnotherWay(format!("what the point holds: {}", lacking.join(", ")));
        }
        (false, false) => {
            return Comparison::Lags(format!(
                "what the point holds, by their numbers {count} transactions: {}",
                lacking.join(", ")
            ));
        }
    }
    if !unlogged.is_empty() {
        return Comparison::Unlogged(format!(
            "the server has applied transactions without logging them that were not read yet: {}; set log_slave_updates=ON \
             there, and connect to a server that has logged them",
            unlogged.join(", ")
        ));
    }
    let lost = purged.iter().flat_map(|purged| purged.newer_than(ours));
    let lost: Vec<String> = lost
        .map(|newest| match ours.get(newest.domain) {
            Some(gtid) => range(gtid, &newest),
            None => format!("all of domain {} up to {newest}", newest.domain),
        })
        .collect();
    match lost.is_empty() {
        true => Comparison::Fits { unknown },
        false => Comparison::Lost(format!(
            "the server has purged transactions that were not read yet: {}; copy the tables anew and start behind them, or \
             connect to a server that still has them",
            lost.join(", ")
        )),
    }
}

/// Our position, but of each domain no more than the server has.
fn known_of(ours: &MariadbGtidPosition, theirs: &MariadbGtids) -> MariadbGtidPosition {
    let known = |gtid: &MariadbGtid| match theirs.binlog_state.holds(gtid) {
        true => Some(*gtid),
        false => theirs.binlog_state.newest(gtid.domain).or(theirs.slave_pos.get(gtid.domain).copied()),
    };
    ours.gtids().iter().filter_map(known).collect()
}

fn range(ours: &MariadbGtid, newest: &MariadbGtid) -> String {
    format!("those behind {ours} up to {newest}")
}

fn listed(gtids: &[MariadbGtid]) -> String {
    gtids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ours: &str, state: &str, slave_pos: &str, purged: &str) -> String {
        let theirs = MariadbGtids {
            binlog_state: state.parse().unwrap(),
            slave_pos: slave_pos.parse().unwrap(),
            purged: Some(purged.parse().unwrap()),
        };
        match compare(&ours.parse().unwrap(), &theirs) {
            Comparison::Fits { unknown } => format!("fits, unknown {}", listed(&unknown)),
            Comparison::Lags(text) => format!("lags {}", inner(&text)),
            Comparison::GoneAnotherWay(text) => format!("lacks {}", inner(&text)),
            Comparison::Unlogged(text) => format!("unlogged {}", inner(&text)),
            Comparison::Lost(text) => format!("lost {}", inner(&text)),
        }
    }

    /// What stands between the first colon and the advice.
    fn inner(text: &str) -> &str {
        text.split_once(": ").unwrap().1.split(';').next().unwrap()
    }

    #[test]
    fn a_server_that_has_ours_goes_on() {
        for (ours, state) in [
            ("", ""),
            ("", "0-1-5"),
            ("0-1-5", "0-1-5"),
            ("0-1-4,1-2-7", "0-1-5,1-2-7"),
            // Another server goes on in the domain; ours is older than its newest, or newer in number.
            ("0-1-4", "0-1-4,0-2-5"),
            ("0-1-9", "0-1-9,0-2-5"),
        ] {
            assert_eq!(told(ours, state, "", ""), "fits, unknown ", "{ours} {state}");
        }
        // A replica that does not log what it applies, and has applied just ours.
        assert_eq!(told("0-1-5", "", "0-1-5", ""), "fits, unknown ");
        assert_eq!(told("0-1-5", "0-2-3", "0-1-5", ""), "fits, unknown ");
    }

    #[test]
    fn what_the_server_lacks_is_named() {
        assert_eq!(told("0-1-5", "0-1-4", "", ""), "lags 0-1-5 (it is at 0-1-4)");
        assert_eq!(told("0-1-5", "0-1-4,0-2-5", "", ""), "lacks 0-1-5 (it has 0-2-5 instead)");
        assert_eq!(told("0-1-5", "", "0-1-4", ""), "lags 0-1-5 (it is at 0-1-4)");
        assert_eq!(told("0-1-5,1-1-1", "0-1-4,1-1-1", "", ""), "lags 0-1-5 (it is at 0-1-4)");
        // Reset, or a server of quite other data.
        assert_eq!(told("0-1-5", "", "", ""), "lags 0-1-5 (it has nothing of these domains)");
        assert_eq!(
            told("0-1-5,2-1-1", "7-1-3", "", ""),
            "lags 0-1-5,2-1-1 (it has nothing of these domains)"
        );
        assert_eq!(told("0-1-5,2-1-1", "0-1-5", "", ""), "fits, unknown 2-1-1");
        let theirs = MariadbGtids {
            binlog_state: "0-1-4,1-1-1".parse().unwrap(),
            slave_pos: MariadbGtidPosition::new(),
            purged: None,
        };
        let Comparison::Lags(text) = compare(&"0-1-9,1-1-3".parse().unwrap(), &theirs) else {
            panic!("lags")
        };
        assert!(text.contains("by their numbers 7 transactions"), "{text}");
    }

    #[test]
    fn domains_are_set_back_to_what_the_server_has() {
        let theirs = MariadbGtids {
            binlog_state: "0-1-4,0-2-5,1-1-3".parse().unwrap(),
            slave_pos: "3-1-8".parse().unwrap(),
            purged: None,
        };
        let known = |ours: &str| known_of(&ours.parse().unwrap(), &theirs).to_string();
        assert_eq!(known("0-1-9,1-1-2,3-1-9,4-1-1"), "0-2-5,1-1-2,3-1-8");
        assert_eq!(known("0-2-5"), "0-2-5");
    }

    #[test]
    fn what_the_server_has_lost_is_named() {
        assert_eq!(told("0-1-5", "0-1-9", "", "0-1-5"), "fits, unknown ");
        assert_eq!(told("0-1-5", "0-1-9", "", "0-1-7"), "lost those behind 0-1-5 up to 0-1-7");
        assert_eq!(told("0-1-5", "0-1-5,0-2-9", "", "0-1-5,0-2-6"), "lost those behind 0-1-5 up to 0-2-6");
        assert_eq!(told("0-1-5", "0-1-9,1-1-3", "", "0-1-5,1-1-2"), "lost all of domain 1 up to 1-1-2");
        assert_eq!(told("0-1-5", "", "0-1-9", ""), "unlogged those behind 0-1-5 up to 0-1-9");
    }

    #[test]
    fn the_gtids_before_a_place_are_ours_or_not() {
        let that = |ours: &str, there: &str| is_that(&ours.parse().unwrap(), &there.parse().unwrap());
        assert!(that("0-1-5,1-1-2", "0-1-5,1-1-2") && that("", ""));
        assert!(that("0-1-5,1-1-2", "0-1-5"), "a domain was deleted");
        for there in ["0-1-4", "0-2-5", "", "0-1-5,2-1-1"] {
            assert!(!that("0-1-5", there), "{there}");
        }
    }
}
