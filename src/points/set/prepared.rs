//! What becomes of the point's XA transactions: from the new place alone, and from the log up to there.

use super::PreparedXa;
use super::Target;
use super::Wanted;
use crate::binlog::BinlogPosition;
use crate::code::Code;
use crate::config::StartWithoutPoint;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::connection::Connection;
use crate::mysql::error::SourceError;
use crate::mysql::xa_recover::prepared_xa;
use crate::pack::builder::Frontier;
use crate::pipeline::fault::Fault;
use crate::pipeline::replica::other_replica;
use crate::pipeline::session::Session;
use crate::pipeline::start;
use crate::points::xa;
use crate::points::xa::Border;
use crate::points::xa::Moving;
use crate::points::xa_scan;
use crate::stop::Stop;

impl Wanted<'_> {
    /// The XA transactions of the point as far as the new place alone says what becomes of them; none where the new point
    /// knows its own.
    pub(super) fn xa_before(&self, target: &Target, frontier: &Frontier) -> Option<Moving> {
        const ON_PURPOSE: &str = "dropped on purpose";
        match (target, self.prepared) {
            (Target::History(_) | Target::Here | Target::Local, PreparedXa::Keep) => None,
            (Target::History(_) | Target::Here | Target::Local, PreparedXa::Drop) => {
                Some(Moving::without(&frontier.pending_xa, ON_PURPOSE))
            }
            (Target::Start(StartWithoutPoint::Beginning), _) => {
                let mut moving = Moving::new(Border::of(frontier)?, self.from);
                moving.leave_all("its XA PREPARE is no longer in the log");
                Some(moving)
            }
            (_, prepared) => {
                let mut moving = Moving::new(Border::of(frontier)?, self.from);
                if prepared == PreparedXa::Drop {
                    moving.leave_all(ON_PURPOSE);
                }
                Some(moving)
            }
        }
    }

    /// Reads what is left out for XA transactions that are prepared or decided on there. What cannot be proven is told, or
    /// refused where the point has any to lose.
    pub(super) fn follow_xa(
        &self,
        session: &mut Session,
        target: &Target,
        frontier: &Frontier,
        moving: &mut Moving,
    ) -> Result<Vec<String>, Fault> {
        let nothing_new = !session.facts.logs_xa_prepare()
            || matches!(
                target,
                Target::Here
                    | Target::Local
                    | Target::History(_)
                    | Target::Start(StartWithoutPoint::Beginning)
            )
            || self.goes_back(frontier);
        if nothing_new {
            return Ok(Vec::new());
        }
        let prepared = prepared_xa(&mut session.connection);
        let all_decided = matches!(&prepared, Ok(names) if names.is_empty());
        if all_decided && matches!(target, Target::Start(StartWithoutPoint::End)) && moving.names().is_empty()
        {
            return Ok(Vec::new());
        }
        let read = match self.prepared {
            PreparedXa::Keep => self.read_xa(session, frontier, moving),
            PreparedXa::Drop => Err("none is to go along".to_owned()),
        };
        let Err(why) = read else { return Ok(Vec::new()) };
        let names = moving.names();
        match names.is_empty() {
            true => Ok(vec![unknown_xa(prepared, &why)]),
            false => Err(Fault::refused(
                Code::RowsLeftOut,
                format!(
                    "shard={} source={} the point holds prepared XA transactions, {}, and on which of them the log decides in what \
                     is left out cannot be proven: {why}; ask the server to which the point belongs (--source), or drop them \
                     (--drop-xa): if one is committed later its rows are missing, and a gap is recorded",
                    self.shard.name,
                    session.server,
                    names.join(", ")
                ),
            )),
        }
    }

    fn goes_back(&self, frontier: &Frontier) -> bool {
        let border = Border::of(frontier);
        border.zip(self.from).and_then(|(border, from)| border.is_no_further_than(from)) == Some(true)
    }

    fn read_xa(&self, session: &mut Session, frontier: &Frontier, moving: &mut Moving) -> Result<(), String> {
        let from = self.from.ok_or("it is not known where delivery stood")?;
        if !start::is_same_server(session.facts.flavor(), &from.server, &session.identity()) {
            return Err("the point belongs to another server".to_owned());
        }
        if xa::certain_place(from).is_none() {
            return Err("the point tells no certain place in this server's files".to_owned());
        }
        let end = match Border::of(frontier) {
            Some(Border::Place(place)) => place,
            _ => {
                let end = BinlogEnd::ask(&mut session.connection, &session.facts);
                end.map(|end| BinlogPosition::new(end.file, end.pos))
                    .map_err(|error| error.text().to_owned())?
            }
        };
        let source = other_replica(&session.config, session.facts.server_id());
        let connection = Connection::open(&source, &Stop::new()).map_err(|error| error.text().to_owned())?;
        let read =
            xa_scan::read(connection, from, &end, self.shard.max_event_bytes, &mut |met| moving.meet(met));
        read.map_err(|error| error.text)
    }
}

/// What the server holds prepared, where it is not known whether that lies before the new place.
fn unknown_xa(prepared: Result<Vec<String>, SourceError>, why: &str) -> String {
    match prepared {
        Ok(prepared) if prepared.is_empty() => format!(
            "XA transactions prepared in what is left out and decided on behind the new place were not looked for ({why}): the rows \
                 of such a one are missing, and a gap is recorded"
        ),
        Ok(prepared) => format!(
            "prepared on the server: {}; what was prepared before the new place is not known ({why}): if such a one is \
                 committed its rows are missing, and a gap is recorded",
            prepared.join(", ")
        ),
        Err(error) => format!(
            "which XA transactions are prepared is not known ({}; {why}): if one that was prepared before the new place is \
                 committed its rows are missing, and a gap is recorded",
            error.text()
        ),
    }
}
