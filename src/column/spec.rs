//! What is known of a column: its TABLE_MAP entry, and what the event's optional metadata or a definition
//! adds.

use crate::column::charset::Charset;
use crate::column::declared::DeclaredType;
use crate::column::declared::Word;
use crate::column::type_code;
use crate::column::type_code::RealType;

/// All that decides how a column's bytes are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// As in the TABLE_MAP event.
    pub type_code: u8,
    /// As [`type_code::read_metadata`] reads it.
    pub metadata: u16,
    /// For integer columns.
    pub unsigned: bool,
    /// For strings; `None` where nobody says: the value is then text if it is valid UTF-8.
    pub charset: Option<Charset>,
    /// For ENUM and SET; `None` where they are not known. One with U+FFFD in it is not known either, and values that
    /// have it come as numbers.
    pub labels: Option<Vec<String>>,
    pub declared: Declared,
}

/// What only a definition can tell: the log writes these types as if they were others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Declared {
    /// What the type code says, or no definition at hand.
    #[default]
    AsLogged,
    /// MariaDB's UUID, logged as BINARY(16).
    Uuid,
    /// MariaDB's INET4, logged as BINARY(4).
    Inet4,
    /// MariaDB's INET6, logged as BINARY(16).
    Inet6,
    /// MariaDB's VECTOR, logged as VARBINARY.
    Vector,
    /// MariaDB's TIME, DATETIME and TIMESTAMP with so many digits of fraction (1 to 6), from tables made with
    /// `mysql56_temporal_format=OFF`, logged under the codes of the types without one.
    Fraction(u8),
}

impl ColumnSpec {
    /// A column of which only the TABLE_MAP entry is known.
    pub fn new(type_code: u8, metadata: u16) -> Self {
        Self {
            type_code,
            metadata,
            unsigned: false,
            charset: None,
            labels: None,
            declared: Declared::AsLogged,
        }
    }

    /// Adds what a definition says, over whatever was known before. `charset` is the definition's, none for
    /// columns that hold no text.
    ///
    /// Whether the definition fits the logged type at all is [`crate::column::compatible::compatible`]'s
    /// question.
    pub fn declare(&mut self, declared: &DeclaredType, charset: Option<Charset>) {
        self.unsigned = declared.unsigned;
        self.charset =
            if declared.word.is_binary() { Some(Charset::Binary) } else { charset.or(self.charset) };
        if !declared.labels.is_empty() {
            self.labels = Some(declared.labels.clone());
        }
        self.declared = match declared.word {
            Word::Uuid => Declared::Uuid,
            Word::Inet4 => Declared::Inet4,
            Word::Inet6 => Declared::Inet6,
            Word::Vector if self.type_code != type_code::VECTOR => Declared::Vector,
            Word::Time | Word::Datetime | Word::Timestamp if self.is_old_temporal() => {
                match declared.fraction_digits() {
                    0 => Declared::AsLogged,
                    digits => Declared::Fraction(digits),
                }
            }
            _ => Declared::AsLogged,
        };
    }

    fn is_old_temporal(&self) -> bool {
        matches!(self.type_code, type_code::TIME | type_code::DATETIME | type_code::TIMESTAMP)
    }

    /// The type behind STRING's metadata.
    pub fn real_type(&self) -> RealType {
        RealType::new(self.type_code, self.metadata)
    }
}
