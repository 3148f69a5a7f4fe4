//! Reading that begins before what is known already, for the sake of prepared XA transactions that are to be held again.
//!
//! Transactions that are known give no items, whatever they hold, and their tables are not resolved.

use crate::binlog::AnyGtid;
use crate::binlog::BinlogPosition;
use crate::binlog::Event;
use crate::binlog::MariadbGtid;
use crate::change::assembler::Assembler;
use crate::change::assembler::At;
use crate::change::batch::Place;
use crate::change::error::ChangeError;
use crate::change::tables::Definitions;
use crate::code::Code;
use std::cmp::Ordering;

/// A transaction that ends with an XA PREPARE on which nothing that is known decides.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Where it starts.
    pub place: Place,
    pub gtid: Option<String>,
}

/// What of a stream is known: all up to some end, but for some transactions that end with XA PREPARE.
#[derive(Debug, Clone)]
pub struct Known {
    up_to: UpTo,
    pending: Vec<Pending>,
    /// The transaction that is being read is known.
    passing: bool,
}

#[derive(Debug, Clone)]
enum UpTo {
    /// Everything before this place.
    Place(Place),
    /// Of each of these domains everything up to this transaction.
    Gtids(Vec<MariadbGtid>),
}

impl Known {
    /// All before the place of a point.
    pub fn before(place: Place, pending: Vec<Pending>) -> Self {
        Self { up_to: UpTo::Place(place), pending, passing: false }
    }

    /// All up to these GTIDs, in a dump that was asked for from before the pending ones of their domains.
    pub fn up_to(ends: Vec<MariadbGtid>, pending: Vec<Pending>) -> Self {
        Self { up_to: UpTo::Gtids(ends), pending, passing: false }
    }

    /// A place tells of moves too that lie before it.
    pub(super) fn is_by_place(&self) -> bool {
        matches!(self.up_to, UpTo::Place(_))
    }

    /// Whether nothing is known any more from this event on, which stands at `place`.
    fn ends_before(&self, event: &Event<'_>, place: &Place) -> Result<bool, ChangeError> {
        let end = match &self.up_to {
            UpTo::Gtids(ends) => return Ok(ends.is_empty() && begins(event).is_some()),
            UpTo::Place(end) => end,
        };
        match position(place).partial_cmp(&position(end)) {
            Some(Ordering::Greater) => Err(missed(format!(
                "no event begins at the point {}:{}, one lies behind it at {}:{}",
                end.file, end.pos, place.file, place.pos
            ))),
            _ => Ok(place == end),
        }
    }

    fn is_end(&self, place: &Place) -> bool {
        matches!(&self.up_to, UpTo::Place(end) if end == place)
    }

    /// Whether an event is known that stands at `place`.
    fn holds(&mut self, event: &Event<'_>, place: &Place) -> Result<bool, ChangeError> {
        if let Some(gtid) = begins(event) {
            self.passing = self.holds_transaction(place, gtid.as_ref());
            self.note(gtid.as_ref())?;
        }
        Ok(match event {
            // These belong to no transaction.
            Event::FormatDescription(_)
            | Event::Rotate(_)
            | Event::PreviousGtids(_)
            | Event::MariadbGtidList(_)
            | Event::Heartbeat(_)
            | Event::Stop
            | Event::Incident(_)
            | Event::MariadbStartEncryption(_)
            | Event::MariadbBinlogCheckpoint(_) => false,
            _ => self.passing,
        })
    }

    fn holds_transaction(&self, place: &Place, gtid: Option<&AnyGtid>) -> bool {
        match (&self.up_to, gtid) {
            (UpTo::Place(_), _) => !self.pending.iter().any(|pending| pending.place == *place),
            (UpTo::Gtids(ends), Some(AnyGtid::Mariadb(gtid))) => {
                let name = gtid.to_string();
                ends.iter().any(|end| end.domain == gtid.domain)
                    && !self.pending.iter().any(|pending| pending.gtid.as_ref() == Some(&name))
            }
            (UpTo::Gtids(_), _) => false,
        }
    }

    /// Of its domain the last known transaction may begin now.
    fn note(&mut self, gtid: Option<&AnyGtid>) -> Result<(), ChangeError> {
        let (UpTo::Gtids(ends), Some(AnyGtid::Mariadb(gtid))) = (&mut self.up_to, gtid) else {
            return Ok(());
        };
        let passed = |end: &&MariadbGtid| end.domain == gtid.domain && gtid.sequence > end.sequence;
        if let Some(end) = ends.iter().find(passed) {
            return Err(missed(format!(
                "{gtid} comes, and {end} has not come before it, the last one of its domain that the point knows"
            )));
        }
        ends.retain(|end| end != gtid);
        Ok(())
    }
}

impl<D: Definitions> Assembler<D> {
    /// The stream begins before what is known.
    pub fn know(&mut self, known: Known) {
        self.borders.set_quiet(known.is_by_place());
        self.known = Some(known);
    }

    /// Whether an event is passed over because it is known.
    pub(super) fn is_known(&mut self, event: &Event<'_>, at: At<'_>) -> Result<bool, ChangeError> {
        let Some(mut known) = self.known.take() else { return Ok(false) };
        let (place, next) = (self.borders.place(at.pos), self.borders.place(at.next));
        if known.ends_before(event, &place)? {
            self.borders.set_quiet(false);
            return Ok(false);
        }
        let holds = known.holds(event, &place)?;
        match known.is_end(&next) {
            true => self.borders.set_quiet(false),
            false => self.known = Some(known),
        }
        if holds {
            self.borders.rest_at(next);
        }
        Ok(holds)
    }
}

/// The name of the transaction that begins with an event. Servers that log XA PREPARE begin all of them with a GTID event.
fn begins(event: &Event<'_>) -> Option<Option<AnyGtid>> {
    match event {
        Event::Gtid(event) => Some(event.gtid.map(AnyGtid::Mysql)),
        Event::MariadbGtid(event) => Some(Some(AnyGtid::Mariadb(event.gtid))),
        _ => None,
    }
}

fn missed(text: String) -> ChangeError {
    let text = format!("{text}; the server's binlogs were reset or restored since");
    ChangeError::new(Code::PointForeign, text)
}

fn position(place: &Place) -> BinlogPosition {
    BinlogPosition { file: place.file.to_string(), pos: place.pos }
}
