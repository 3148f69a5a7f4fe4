//! Row images: which columns they hold, which of them are NULL, and how to walk over them.

use crate::binlog::ColumnBits;
use crate::binlog::RowsKind;
use crate::code::Code;
use crate::codec::CodecError;
use crate::codec::Reader;
use crate::column::ColumnError;
use crate::schema::plan::TablePlan;
use std::fmt;

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The column at which it went wrong; none when it is the row's frame.
    pub column: Option<String>,
    pub code: Code,
    pub detail: String,
}

impl RowError {
    pub fn at(column: &str, error: ColumnError) -> Self {
        Self { column: Some(column.to_owned()), code: error.code(), detail: error.to_string() }
    }
}

impl From<CodecError> for RowError {
    fn from(error: CodecError) -> Self {
        Self { column: None, code: Code::BadEvent, detail: error.to_string() }
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "column {column}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for RowError {}

/// The NULL bits at the start of a row image: one for each column that the image holds, in their order.
#[derive(Debug, Clone, Copy)]
pub struct NullBits<'a> {
    bits: &'a [u8],
    next: usize,
}

impl<'a> NullBits<'a> {
    /// `held` is the number of columns that the image holds.
    #[inline]
    pub fn read(held: usize, bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(Self { bits: bytes.take(held.div_ceil(8), "row: NULL bits")?, next: 0 })
    }

    /// What stands before the after image of a PARTIAL_UPDATE_ROWS_EVENT: `value_options`, then, when they say so,
    /// one bit for every JSON column of the table, held or not (`Rows_log_event::print_verbose_one_row` in
    /// log_event.cc).
    pub fn read_partial(plan: &TablePlan, bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        const PARTIAL_JSON_UPDATES: u64 = 1;
        let value_options = bytes.lenenc("row: value options")?;
        if value_options & PARTIAL_JSON_UPDATES == 0 {
            return Ok(NullBits::none());
        }
        let json_columns = plan.columns.iter().filter(|column| column.format.is_json()).count();
        NullBits::read(json_columns, bytes)
    }

    /// Bits that are all clear.
    pub fn none() -> Self {
        Self { bits: &[], next: 0 }
    }

    /// The next bit: for NULL bits, whether the next held column is NULL.
    #[inline]
    pub fn next_bit(&mut self) -> bool {
        let byte = self.bits.get(self.next >> 3).copied().unwrap_or(0);
        let bit = byte >> (self.next & 7) & 1 == 1;
        self.next += 1;
        bit
    }
}

/// Which images the rows of an event have, and which columns those hold.
#[derive(Debug)]
pub struct RowImages<'a> {
    pub plan: &'a TablePlan,
    pub kind: RowsKind,
    /// The after images of updates may hold JSON differences (PARTIAL_UPDATE_ROWS_EVENT).
    pub partial_json: bool,
    pub before: HeldColumns<'a>,
    pub after: HeldColumns<'a>,
}

/// Where the images of one row start, as far as it has them.
#[derive(Debug)]
pub struct RowStarts<'a> {
    pub before: Option<Reader<'a>>,
    pub after: Option<Reader<'a>>,
}

/// The columns that an image holds.
#[derive(Debug, Clone, Copy)]
pub struct HeldColumns<'a> {
    /// None for an image that the rows do not have.
    bits: Option<ColumnBits<'a>>,
    pub count: usize,
}

impl<'a> HeldColumns<'a> {
    fn new(bits: &'a [u8], columns: usize) -> Self {
        let bits = ColumnBits::new(bits, columns);
        Self { bits, count: bits.map_or(0, |bits| bits.count_ones()) }
    }

    #[inline]
    pub fn has(&self, column: usize) -> bool {
        self.bits.is_some_and(|bits| bits.get(column))
    }
}

impl<'a> RowImages<'a> {
    /// `before` and `after` are the bits of the columns that the images hold, empty for an image that there is none of.
    pub fn new(
        plan: &'a TablePlan,
        kind: RowsKind,
        partial_json: bool,
        before: &'a [u8],
        after: &'a [u8],
    ) -> Self {
        let columns = plan.columns.len();
        let (before, after) = (HeldColumns::new(before, columns), HeldColumns::new(after, columns));
        Self { plan, kind, partial_json, before, after }
    }

    /// Whether there is one row though it has no bytes: of an INSERT for which no column was given, MySQL logs none with
    /// `binlog_row_image=MINIMAL`. A second such row it refuses to log in the same event. (`do_add_row_data` in log_event.cc;
    /// `print_verbose` there shows one row, and a replica applies one.)
    pub fn is_one_without_bytes(&self, bytes: &Reader<'_>) -> bool {
        self.kind == RowsKind::Insert && self.after.count == 0 && bytes.is_empty()
    }

    /// Walks over one row, both images of an update, without decoding it.
    pub fn skip(&self, bytes: &mut Reader<'_>) -> Result<(), RowError> {
        self.split(bytes).map(|_starts| ())
    }

    /// As [`Self::skip`], and tells where its images start; the bits of JSON differences belong to the after image.
    pub fn split<'b>(&self, bytes: &mut Reader<'b>) -> Result<RowStarts<'b>, RowError> {
        let mut starts = RowStarts { before: None, after: None };
        if self.kind != RowsKind::Insert {
            starts.before = Some(bytes.clone());
            self.skip_image(&self.before, bytes)?;
        }
        if self.kind != RowsKind::Delete {
            starts.after = Some(bytes.clone());
            if self.partial_json {
                // A difference is framed like the document that it stands for, so the bits make none here.
                self.read_partial_bits(bytes)?;
            }
            self.skip_image(&self.after, bytes)?;
        }
        Ok(starts)
    }

    /// Walks over one image.
    pub fn skip_image(&self, held: &HeldColumns<'_>, bytes: &mut Reader<'_>) -> Result<(), RowError> {
        let mut nulls = NullBits::read(held.count, bytes)?;
        self.skip_columns(0, held, &mut nulls, bytes)
    }

    /// Walks over an image's columns from `first` on.
    pub fn skip_columns(
        &self,
        first: usize,
        held: &HeldColumns<'_>,
        nulls: &mut NullBits<'_>,
        bytes: &mut Reader<'_>,
    ) -> Result<(), RowError> {
        for (index, column) in self.plan.columns.iter().enumerate().skip(first) {
            if held.has(index) && !nulls.next_bit() {
                column.format.skip(bytes).map_err(|error| RowError::at(&column.name, error))?;
            }
        }
        Ok(())
    }

    /// As [`NullBits::read_partial`].
    pub fn read_partial_bits<'b>(&self, bytes: &mut Reader<'b>) -> Result<NullBits<'b>, CodecError> {
        NullBits::read_partial(self.plan, bytes)
    }
}
