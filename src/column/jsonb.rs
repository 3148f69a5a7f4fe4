//! MySQL's binary JSON documents (`sql-common/json_binary.h` draws the format).
//!
//! A document is a type byte and a value. An object or array starts with its number of members and its size,
//! then come the entries (for objects those of the keys first), each an offset from its start or, for small
//! scalars, the value itself. "Large" ones have four bytes for these numbers, small ones two.
//!
//! Offsets come from outside: each is checked against the container's end, entries may only point behind
//! the header, nesting ends at the server's own limit, and a [`Budget`] keeps bytes that point at one another
//! from growing without end.

use crate::codec::Reader;
use crate::column::decimal::Decimal;
use crate::column::error::ColumnError;
use crate::column::temporal::Date;
use crate::column::temporal::DateTime;
use crate::column::temporal::Time;
use crate::column::type_code;

type Result<T> = std::result::Result<T, ColumnError>;

/// The server refuses deeper documents (`JSON_DOCUMENT_MAX_DEPTH`).
pub const MAX_DEPTH: usize = 100;

const SMALL_OBJECT: u8 = 0x00;
const LARGE_OBJECT: u8 = 0x01;
const SMALL_ARRAY: u8 = 0x02;
const LARGE_ARRAY: u8 = 0x03;
const LITERAL: u8 = 0x04;
const INT16: u8 = 0x05;
const UINT16: u8 = 0x06;
const INT32: u8 = 0x07;
const UINT32: u8 = 0x08;
const INT64: u8 = 0x09;
const UINT64: u8 = 0x0a;
const DOUBLE: u8 = 0x0b;
const STRING: u8 = 0x0c;
const OPAQUE: u8 = 0x0f;

/// A whole document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a> {
    bytes: &'a [u8],
}

/// One value of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Double(f64),
    Text(&'a str),
    Decimal(Decimal<'a>),
    Date(Date),
    Time(Time),
    /// DATETIME and TIMESTAMP.
    DateTime(DateTime),
    /// A value of a type that JSON does not have, by MySQL's type code.
    Opaque {
        type_code: u8,
        bytes: &'a [u8],
    },
    Array(Container<'a>),
    Object(Container<'a>),
}

/// An array or object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container<'a> {
    /// From the count to the end.
    bytes: &'a [u8],
    count: usize,
    large: bool,
    is_object: bool,
}

impl<'a> Json<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The document's value. No bytes at all are `null`: the server stores that when it must put NULL into a
    /// NOT NULL column.
    pub fn root(self) -> Result<Node<'a>> {
        let mut bytes = Reader::new(self.bytes);
        if bytes.is_empty() {
            return Ok(Node::Null);
        }
        let type_byte = bytes.u8("JSON: type")?;
        read_value(type_byte, bytes.rest())
    }

    /// Bytes of the document.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Reads the value of a type at the start of `bytes`, which may go on behind it.
fn read_value(type_byte: u8, bytes: &[u8]) -> Result<Node<'_>> {
    let container = |is_object, large| Container::read(bytes, is_object, large);
    match type_byte {
        SMALL_OBJECT => container(true, false).map(Node::Object),
        LARGE_OBJECT => container(true, true).map(Node::Object),
        SMALL_ARRAY => container(false, false).map(Node::Array),
        LARGE_ARRAY => container(false, true).map(Node::Array),
        _ => read_scalar(type_byte, &mut Reader::new(bytes)),
    }
}

fn read_scalar<'a>(type_byte: u8, bytes: &mut Reader<'a>) -> Result<Node<'a>> {
    Ok(match type_byte {
        LITERAL => match bytes.u8("JSON literal")? {
            0 => Node::Null,
            1 => Node::Bool(true),
            2 => Node::Bool(false),
            other => return Err(bytes.invalid("JSON literal", other.into()).into()),
        },
        INT16 => Node::Int((bytes.u16("JSON integer")? as i16).into()),
        UINT16 => Node::Unsigned(bytes.u16("JSON integer")?.into()),
        INT32 => Node::Int((bytes.u32("JSON integer")? as i32).into()),
        UINT32 => Node::Unsigned(bytes.u32("JSON integer")?.into()),
        INT64 => Node::Int(bytes.u64("JSON integer")? as i64),
        UINT64 => Node::Unsigned(bytes.u64("JSON integer")?),
        DOUBLE => match f64::from_bits(bytes.u64("JSON double")?) {
            number if number.is_finite() => Node::Double(number),
            number => return Err(bytes.invalid("JSON double: bits", number.to_bits()).into()),
        },
        STRING => {
            let length = read_length(bytes)?;
            Node::Text(utf8(bytes.take(length, "JSON string")?)?)
        }
        OPAQUE => {
            let type_code = bytes.u8("JSON opaque value: type")?;
            let length = read_length(bytes)?;
            read_opaque(type_code, bytes.take(length, "JSON opaque value")?)?
        }
        other => return Err(bytes.invalid("JSON: type", other.into()).into()),
    })
}

/// A length in groups of seven bits, the lowest first, each but the last with its top bit set; 32 bits at
/// most.
fn read_length(bytes: &mut Reader<'_>) -> Result<usize> {
    let mut length = 0u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.u8("JSON: length")?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return match u32::try_from(length) {
                Ok(length) => Ok(length as usize),
                Err(_) => Err(bytes.invalid("JSON: length", length).into()),
            };
        }
    }
    Err(bytes.invalid("JSON: length", length).into())
}

fn read_opaque(type_code: u8, bytes: &[u8]) -> Result<Node<'_>> {
    let mut reader = Reader::new(bytes);
    let node = match type_code {
        type_code::NEWDECIMAL => Node::Decimal(Decimal::read_self_described(&mut reader)?),
        type_code::DATE => Node::Date(DateTime::read_packed(&mut reader)?.date),
        type_code::TIME => Node::Time(Time::read_packed(&mut reader)?),
        type_code::DATETIME | type_code::TIMESTAMP => Node::DateTime(DateTime::read_packed(&mut reader)?),
        _ => return Ok(Node::Opaque { type_code, bytes }),
    };
    reader.finish("JSON opaque value")?;
    Ok(node)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    // The server keeps JSON's strings and keys in utf8mb4 and checks them on the way in.
    std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or(0);
        ColumnError::impossible("JSON", "byte of UTF-8 text", byte.into())
    })
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8], is_object: bool, large: bool) -> Result<Self> {
        let mut header = Reader::new(bytes);
        let number = |header: &mut Reader<'a>, what| {
            if large { header.u32(what).map(|n| n as usize) } else { header.u16(what).map(usize::from) }
        };
        let count = number(&mut header, "JSON: number of members")?;
        let size = number(&mut header, "JSON: size")?;
        let container =
            Self { bytes: Reader::new(bytes).take(size, "JSON array or object")?, count, large, is_object };
        // At most 2³² × 11 bytes: this cannot overflow. And so every entry is inside.
        if container.header_size() > size {
            return Err(header.invalid("JSON: number of members", count as u64).into());
        }
        Ok(container)
    }

    /// Members.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, in order.
    pub fn values(self) -> impl Iterator<Item = Result<Node<'a>>> {
        (0..self.count).map(move |place| self.value(place))
    }

    /// The members of an object, in order (the server sorts keys by length, then by bytes).
    pub fn members(self) -> impl Iterator<Item = Result<(&'a str, Node<'a>)>> {
        (0..self.count).map(move |place| Ok((self.key(place)?, self.value(place)?)))
    }

    fn number_size(&self) -> usize {
        if self.large { 4 } else { 2 }
    }

    fn value_entries(&self) -> usize {
        let key_entry_size = if self.is_object { self.number_size() + 2 } else { 0 };
        2 * self.number_size() + self.count * key_entry_size
    }

    fn header_size(&self) -> usize {
        self.value_entries() + self.count * (1 + self.number_size())
    }

    fn at(&self, offset: usize, what: &'static str) -> Result<Reader<'a>> {
        let mut reader = Reader::new(self.bytes);
        reader.skip(offset, what)?;
        Ok(reader)
    }

    fn read_number(&self, bytes: &mut Reader<'a>, what: &'static str) -> Result<usize> {
        Ok(if self.large { bytes.u32(what)? as usize } else { bytes.u16(what)?.into() })
    }

    fn key(&self, place: usize) -> Result<&'a str> {
        let entry = 2 * self.number_size() + place * (self.number_size() + 2);
        let mut entry = self.at(entry, "JSON: key entry")?;
        let offset = self.read_number(&mut entry, "JSON: key's offset")?;
        let length = entry.u16("JSON: key's length")?;
        if offset < self.header_size() {
            return Err(entry.invalid("JSON: key's offset", offset as u64).into());
        }
        utf8(self.at(offset, "JSON: key's offset")?.take(length.into(), "JSON: key")?)
    }

    fn value(&self, place: usize) -> Result<Node<'a>> {
        let entry = self.value_entries() + place * (1 + self.number_size());
        let mut entry = self.at(entry, "JSON: value entry")?;
        let type_byte = entry.u8("JSON: value's type")?;
        let inlined = match type_byte {
            LITERAL | INT16 | UINT16 => true,
            INT32 | UINT32 => self.large,
            _ => false,
        };
        if inlined {
            return read_scalar(type_byte, &mut entry);
        }
        let offset = self.read_number(&mut entry, "JSON: value's offset")?;
        if offset < self.header_size() {
            return Err(entry.invalid("JSON: value's offset", offset as u64).into());
        }
        read_value(type_byte, self.at(offset, "JSON: value's offset")?.rest())
    }
}

/// What a reader of documents may still take, so that hostile ones end.
///
/// In a document that a server wrote no two values share bytes: all that is read of it together is no larger
/// than the document. Offsets that meet could make a few bytes a text of any size.
#[derive(Debug)]
pub struct Budget {
    bytes: usize,
    depth: usize,
}

impl Budget {
    /// For documents of so many bytes together.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, depth: 0 }
    }

    /// Pays for a value itself, without its members.
    pub fn spend(&mut self, node: &Node<'_>) -> Result<()> {
        match node {
            Node::Text(text) => self.spend_bytes(text.len()),
            Node::Opaque { bytes, .. } => self.spend_bytes(bytes.len()),
            Node::Array(container) | Node::Object(container) => self.spend_bytes(container.header_size()),
            _ => Ok(()),
        }
    }

    /// Pays for a key.
    pub fn spend_bytes(&mut self, bytes: usize) -> Result<()> {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => {
                Err(ColumnError::impossible("JSON", "values that share bytes, left over", self.bytes as i64))
            }
        }
    }

    /// Goes into an array or object.
    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(ColumnError::impossible("JSON", "depth", self.depth as i64))
    }

    /// Comes out of it.
    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}
