//! Why building stops: a row that cannot be read, a transaction that is not the one we were in, an output that fails.

use crate::change::batch::Begin;
use crate::change::batch::Place;
use crate::change::batch::Rows;
use crate::code::Code;
use crate::schema::row::RowError;
use crate::sync_point::Inside;
use std::fmt;
use std::sync::Arc;

/// Why building stopped.
#[derive(Debug)]
pub enum BuildError<E> {
    /// A row cannot be read.
    Row(Box<BadRow>),
    /// The transaction in which we resumed is not the one that the point speaks of: it has to be read anew,
    /// nothing left out ([`crate::pack::builder::PackBuilder::deliver_anew`]).
    Changed(Box<Changed>),
    /// Something that cannot be delivered rightly.
    Refused(Refusal),
    /// The output did not take a pack.
    Output(E),
}

impl<E> From<Box<Changed>> for BuildError<E> {
    fn from(changed: Box<Changed>) -> Self {
        BuildError::Changed(changed)
    }
}

impl<E> From<Refusal> for BuildError<E> {
    fn from(refusal: Refusal) -> Self {
        BuildError::Refused(refusal)
    }
}

/// A row that cannot be read, and where it lies.
#[derive(Debug)]
pub struct BadRow {
    pub place: Place,
    pub table: String,
    /// The row's ordinal in its transaction.
    pub row: u64,
    pub error: RowError,
}

impl BadRow {
    pub(super) fn new(rows: &Rows, row: u64, error: RowError) -> Self {
        Self { place: rows.place.clone(), table: rows.plan.full_name(), row, error }
    }

    pub fn code(&self) -> Code {
        self.error.code
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, table, row, error } = self;
        write!(f, "{}:{}: row {row} of the transaction, {table}", place.file, place.pos)?;
        if let Some(column) = &error.column {
            write!(f, ".{column}")?;
        }
        write!(f, ": {}", error.detail)
    }
}

/// A transaction that has gone out in part, seen from behind a break.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// Where it started.
    pub place: Place,
    pub inside: Inside,
}

impl Resumed {
    /// Insists that the transaction that begins is the one that has gone out in part, as far as its name tells, and that its
    /// rows come in the same order.
    /// Without GTIDs its place is its name: such a point is never carried to another server.
    pub(super) fn check_name(self, begin: &Begin) -> Result<Self, Box<Changed>> {
        let gtid = begin.gtid.as_ref().map(|gtid| &*gtid.text);
        let same = match (&self.inside.gtid, gtid) {
            (None, None) => self.place == *begin.border(),
            (Some(expected), gtid) => gtid == Some(expected),
            // A point of before GTIDs were noted in it: the checksum must do.
            (None, Some(_)) => true,
        };
        match same {
            true if self.inside.elsewhere && self.inside.unordered => {
                Err(Box::new(Changed::new(self, begin, Difference::Order)))
            }
            true => Ok(self),
            false => Err(Box::new(Changed::new(self, begin, Difference::Name))),
        }
    }
}

/// Another transaction comes where the rest of one was to come that has gone out in part.
#[derive(Debug, Clone)]
pub struct Changed {
    pub expected: Resumed,
    /// Where the one that comes now starts.
    pub place: Place,
    pub gtid: Option<Arc<str>>,
    pub difference: Difference,
}

/// How we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// By its GTID; where there are none, by its place.
    Name,
    /// By the checksum over the rows that are delivered of the other one.
    Crc32(u32),
    /// It ends after so many rows.
    Rows(u64),
    /// It is the same, from a server that may have logged it in another order.
    Order,
}

impl Changed {
    pub(super) fn new(expected: Resumed, begin: &Begin, difference: Difference) -> Self {
        let gtid = begin.gtid.as_ref().map(|gtid| Arc::clone(&gtid.text));
        Self { expected, place: begin.place.clone(), gtid, difference }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected: Resumed { place: start, inside }, place, gtid, difference } = self;
        let rows = inside.rows;
        f.write_str("the transaction ")?;
        name(f, inside.gtid.as_deref(), start)?;
        write!(f, " was delivered up to its row {rows}, and ")?;
        match difference {
            Difference::Name => f.write_str("another one comes now: ")?,
            Difference::Crc32(got) => write!(
                f,
                "the one that comes now is another: the checksum over its first {rows} rows is {got:08x}, expected {:08x}: ",
                inside.crc32
            )?,
            Difference::Order => f.write_str(
                "it comes from another server now: rows of a table without a key, which replicas log in an order of their own, \
                 are among them, so which ones were delivered is not known here: ",
            )?,
            Difference::Rows(got) => {
                write!(f, "the one that comes now is another, it has {got} rows: ")?;
            }
        }
        name(f, gtid.as_deref(), place)
    }
}

fn name(f: &mut fmt::Formatter<'_>, gtid: Option<&str>, place: &Place) -> fmt::Result {
    match gtid {
        Some(gtid) => write!(f, "{gtid} at {}:{}", place.file, place.pos),
        None => write!(f, "at {}:{}", place.file, place.pos),
    }
}

/// Something that cannot be delivered rightly, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Refusal {
    /// Batches come from the assembler, which begins a transaction before anything else of it.
    pub(super) fn outside(what: &str) -> Self {
        Self { code: Code::Internal, text: format!("{what} outside of a transaction") }
    }

    pub(super) fn nested() -> Self {
        Self { code: Code::Internal, text: "a transaction begins inside another one".to_owned() }
    }
}
