//! Prepared XA transactions at a start: reading begins at the first that is pending, and what is known is passed over.

use super::Dump;
use super::Planning;
use super::Resume;
use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::binlog::MariadbGtid;
use crate::binlog::MariadbGtidPosition;
use crate::change::assembler::Known;
use crate::change::assembler::Pending;
use crate::change::batch::Place;
use crate::code::Code;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::xa_recover::prepared_xa;
use crate::pipeline::fault::Fault;
use crate::sync_point::pending_xa::PendingXa;

impl Resume {
    /// Where reading begins, and when that file was begun: at the first pending XA transaction, or where it goes on.
    pub fn begins(&self) -> (Place, u32) {
        let position = |file: &str, pos| BinlogPosition { file: file.to_owned(), pos };
        let mut begins = (self.frontier.place.clone(), self.frontier.file_created);
        for xa in self.frontier.pending_xa.iter().filter(|xa| !xa.file.is_empty()) {
            if position(&xa.file, xa.pos) < position(&begins.0.file, begins.0.pos) {
                begins = (Place { file: xa.file.as_str().into(), pos: xa.pos }, xa.file_created);
            }
        }
        begins
    }
}

impl Dump {
    /// What of the stream is known already.
    pub fn known(&self) -> Result<Option<Known>, Fault> {
        let frontier = &self.resume.frontier;
        let pending = frontier.pending_xa.iter().map(|xa| Pending {
            place: Place { file: xa.file.as_str().into(), pos: xa.pos },
            gtid: xa.gtid.clone(),
        });
        Ok(match (&self.request, &frontier.executed) {
            (DumpRequest::Position { .. }, _) if self.resume.begins().0 != frontier.place => {
                Some(Known::before(frontier.place.clone(), pending.collect()))
            }
            (DumpRequest::MariadbGtid { .. }, Some(ExecutedGtids::Mariadb(executed))) => {
                let ends: Vec<MariadbGtid> = domains(&frontier.pending_xa)
                    .map_err(|text| Fault::stop(Code::PointBroken, format!("the stored point: {text}")))?
                    .iter()
                    .filter_map(|(domain, _)| executed.get(*domain).copied())
                    .collect();
                (!ends.is_empty()).then(|| Known::up_to(ends, pending.collect()))
            }
            // A MySQL set leaves out just the pending ones.
            (
                DumpRequest::Position { .. } | DumpRequest::Gtid { .. } | DumpRequest::MariadbGtid { .. },
                _,
            ) => None,
        })
    }
}

/// The GTIDs from which on a MariaDB server sends all that is pending: those that we have, but of a domain with pending
/// ones what lies before the first of them.
pub(super) fn ask_behind(
    executed: &MariadbGtidPosition,
    pending: &[PendingXa],
) -> Result<MariadbGtidPosition, String> {
    let mut position = MariadbGtidPosition::new();
    let domains = domains(pending)?;
    for gtid in executed.gtids() {
        match domains.iter().find(|(domain, _)| *domain == gtid.domain) {
            None => position.set(*gtid),
            Some((_, Some(before))) => position.set(*before),
            // The first one of all in its domain.
            Some((_, None)) => {}
        }
    }
    Ok(position)
}

/// A domain with pending transactions, and the last GTID before the first of them.
type Domain = (u32, Option<MariadbGtid>);

/// All of these. An error where the point does not tell: passed over, its XA COMMIT would come without rows.
fn domains(pending: &[PendingXa]) -> Result<Vec<Domain>, String> {
    let mut domains: Vec<Domain> = Vec::new();
    for xa in pending {
        let (Some(gtid), Some(before)) = (&xa.gtid, &xa.gtids_before) else {
            return Err(format!(
                "of the prepared XA transaction {} no GTID, or none before it, is stored",
                xa.xid
            ));
        };
        let bad = |name: &str, text: &str| {
            format!("of the prepared XA transaction {} {name} is \"{text}\", which makes no sense", xa.xid)
        };
        let at = gtid.parse::<MariadbGtid>().map_err(|_| bad("gtid", gtid))?;
        let before = before.parse::<MariadbGtidPosition>().map_err(|_| bad("gtids_before", before))?;
        if domains.iter().all(|(domain, _)| *domain != at.domain) {
            domains.push((at.domain, before.get(at.domain).copied()));
        }
    }
    Ok(domains)
}

impl Planning<'_> {
    /// A refusal of the place where pending transactions lie, or of the GTIDs before them.
    pub(super) fn for_pending_xa(&self, fault: Fault, resume: &Resume) -> Fault {
        let names: Vec<&str> = resume.frontier.pending_xa.iter().map(|xa| xa.xid.as_str()).collect();
        let text = format!(
            "{}; it is needed for the prepared XA transactions {}, whose rows are only there (to go on without those: fountain \
             points set {} --drop-xa --reason TEXT)",
            fault.text,
            names.join(", "),
            self.shard.name
        );
        Fault { text, ..fault }
    }

    /// What was prepared before a start at the server's end will come as a gap, if it is committed.
    pub(super) fn warn_of_prepared_xa(&mut self) {
        if !self.session.facts.logs_xa_prepare() {
            return;
        }
        let name = &self.shard.name;
        match prepared_xa(&mut self.session.connection) {
            Ok(prepared) if prepared.is_empty() => {}
            Ok(prepared) => log::warn!(
                "{}: shard={name} source={} begins at the end of the log, and these XA transactions were prepared before it: {}; \
                 when one of them is committed its rows will be missing, and a gap is recorded",
                Code::RowsLeftOut,
                self.session.server,
                prepared.join(", ")
            ),
            Err(error) => log::debug!("shard={name} {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::builder::Frontier;
    use crate::pack::builder::StreamKind;
    use crate::sync_point::ServerIdentity;

    fn pending(file: &str, pos: u64, gtid: &str, before: &str) -> PendingXa {
        PendingXa {
            xid: format!("X'{pos}',X'',1"),
            file: file.into(),
            pos,
            file_created: 9,
            gtid: Some(gtid.into()),
            gtids_before: Some(before.into()),
        }
    }

    fn resume(pending_xa: Vec<PendingXa>, executed: &str) -> Resume {
        let frontier = Frontier {
            place: Place { file: "b.10".into(), pos: 500 },
            file_created: 10,
            executed: Some(ExecutedGtids::Mariadb(executed.parse().unwrap())),
            set_ahead: false,
            pending_xa,
            ts_ms: 0,
        };
        Resume { identity: ServerIdentity { server_uuid: None, server_id: 1 }, frontier, inside: None }
    }

    #[test]
    fn reading_begins_at_the_first_that_is_pending() {
        let begins = |pending_xa| {
            let (place, created) = resume(pending_xa, "").begins();
            (place.file.to_string(), place.pos, created)
        };
        assert_eq!(begins(vec![]), ("b.10".into(), 500, 10));
        let met = [pending("b.10", 100, "0-1-9", ""), pending("b.9", 700, "0-1-3", "")];
        assert_eq!(begins(met.to_vec()), ("b.9".into(), 700, 9));
        assert_eq!(
            begins(vec![pending("", 0, "0-1-9", "")]),
            ("b.10".into(), 500, 10),
            "not met on this server"
        );
    }

    #[test]
    fn mariadb_is_asked_from_before_the_first_of_each_domain() {
        let executed = "0-1-20,1-1-5,2-1-7,3-1-1";
        let list = vec![
            pending("b.9", 100, "0-1-9", "0-2-8,1-1-2"),
            pending("b.9", 200, "0-1-12", "0-1-11,1-1-2"),
            pending("b.9", 300, "2-1-1", "0-1-12,1-1-2"),
        ];
        let ours: MariadbGtidPosition = executed.parse().unwrap();
        // The domain 2 began with the one that is pending: all of it is sent.
        assert_eq!(ask_behind(&ours, &list), Ok("0-2-8,1-1-5,3-1-1".parse().unwrap()));
        assert_eq!(ask_behind(&ours, &[]), Ok(ours));
        let dump = |request| Dump {
            request,
            resume: resume(list.clone(), executed),
            stream: StreamKind::default(),
            described: String::new(),
        };
        assert!(dump(DumpRequest::MariadbGtid { position: String::new() }).known().unwrap().is_some());
        assert!(dump(DumpRequest::Position { file: "b.9".into(), pos: 100 }).known().unwrap().is_some());
        assert!(dump(DumpRequest::Gtid { set: Vec::new() }).known().unwrap().is_none());
    }

    #[test]
    fn one_that_makes_no_sense_is_named() {
        let ours: MariadbGtidPosition = "0-1-20".parse().unwrap();
        let unknown = PendingXa { gtids_before: None, ..pending("b.9", 3, "0-1-9", "") };
        for (broken, part) in [
            (pending("b.9", 1, "0-1-x", "0-1-8"), "gtid is \"0-1-x\""),
            (pending("b.9", 2, "0-1-9", "nothing"), "gtids_before is \"nothing\""),
            (unknown, "none before it"),
        ] {
            let text = ask_behind(&ours, std::slice::from_ref(&broken)).unwrap_err();
            assert!(text.contains(&broken.xid) && text.contains(part), "{text}");
        }
    }
}
