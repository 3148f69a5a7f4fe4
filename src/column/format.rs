//! [`ColumnFormat`]: a column's description compiled into what decoding needs.

use crate::codec::Reader;
use crate::column::charset::Charset;
use crate::column::compressed;
use crate::column::compressed::Compressed;
use crate::column::decimal::Decimal;
use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;
use crate::column::fixed::padded;
use crate::column::json_diff::JsonDiff;
use crate::column::jsonb::Json;
use crate::column::length::ColumnLength;
use crate::column::length::unsupported;
use crate::column::spec::ColumnSpec;
use crate::column::spec::Declared;
use crate::column::temporal::Date;
use crate::column::temporal::DateTime;
use crate::column::temporal::Time;
use crate::column::temporal::Timestamp;
use crate::column::temporal_old;
use crate::column::type_code;
use crate::column::type_code::RealType;
use crate::column::value::Bytes;
use crate::column::value::Inet4;
use crate::column::value::Inet6;
use crate::column::value::Labels;
use crate::column::value::Text;
use crate::column::value::Uuid;
use crate::column::value::Value;
use crate::column::value::Vector;

type Result<T> = std::result::Result<T, ColumnError>;

/// How a column's values are read. Compiled once per table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFormat {
    kind: Kind,
    length: ColumnLength,
    type_code: u8,
}

/// One arm of [`ColumnFormat::decode`] each. The small number is the declared digits of a fraction.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Null,
    Int8,
    Int16,
    Int24,
    Int32,
    Int64,
    Unsigned8,
    Unsigned16,
    Unsigned24,
    Unsigned32,
    Unsigned64,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
        size: u8,
    },
    Year,
    Date,
    Time(u8),
    DateTime(u8),
    Timestamp(u8),
    OldTime,
    OldDateTime,
    OldTimestamp,
    HiresTime(u8),
    HiresDateTime(u8),
    HiresTimestamp(u8),
    Bit {
        size: u8,
    },
    /// Without labels, or with one that is not known: the index.
    Enum {
        size: u8,
        labels: Option<Vec<Option<String>>>,
    },
    /// Without labels, or with one of the unknown ones: the bits.
    Set {
        size: u8,
        labels: Option<Vec<String>>,
        unknown: u64,
    },
    Text(Charset),
    /// Padded to so many bytes.
    Bytes {
        padded: u16,
    },
    /// MariaDB's COMPRESSED: of so many bytes at most when it is unpacked.
    Compressed {
        charset: Charset,
        most: u32,
    },
    Vector,
    Uuid,
    Inet4,
    Inet6,
    Json,
}

impl ColumnFormat {
    /// Refuses by name what this version does not decode: types, and character sets that it does not convert.
    pub fn new(spec: &ColumnSpec) -> Result<Self> {
        let length = ColumnLength::new(spec)?;
        Ok(Self { kind: Kind::new(spec, length)?, length, type_code: spec.real_type().type_code })
    }

    /// For values that are walked over and never decoded: a length is all that takes, also of types that this version
    /// does not decode.
    pub fn walking(spec: &ColumnSpec) -> Result<Self> {
        let length = ColumnLength::new(spec)?;
        let kind = Kind::new(spec, length).unwrap_or(Kind::Bytes { padded: 0 });
        Ok(Self { kind, length, type_code: spec.real_type().type_code })
    }

    /// The type's name in SQL, for messages.
    pub fn type_name(&self) -> &'static str {
        type_code::name(self.type_code)
    }

    /// Whether rows may log partial updates of this column: the columns for which `PARTIAL_UPDATE_ROWS` has a
    /// bit.
    pub fn is_json(&self) -> bool {
        self.kind == Kind::Json
    }

    /// Walks over a value that is not NULL.
    #[inline]
    pub fn skip(&self, bytes: &mut Reader<'_>) -> Result<()> {
        self.length.skip(bytes)
    }

    /// Walks over a value in the form of a partial JSON update.
    pub fn skip_partial_json(&self, bytes: &mut Reader<'_>) -> Result<()> {
        JsonDiff::read(bytes).map(|_| ())
    }

    /// Reads a value in the form of a partial JSON update. `base` is the column in the before-image, none
    /// when the image does not hold it.
    pub fn decode_partial_json<'a>(
        &self,
        bytes: &mut Reader<'a>,
        base: Option<Value<'a>>,
    ) -> Result<Value<'a>> {
        let diff = JsonDiff::read(bytes)?;
        match base {
            None => Ok(Value::JsonDiff(diff)),
            Some(Value::Json(base)) => Ok(Value::JsonUpdated(base, diff)),
            Some(_) => {
                Err(ColumnFault::Diff { path: "$".to_owned(), reason: "the before-image holds no document" }
                    .into())
            }
        }
    }

    /// Reads a value that is not NULL. What NULL bits say is the row's business.
    ///
    /// Always inlined, together with `pack::json::write_value`: the value then stays in registers. Stored in parts and read
    /// back whole it made the processor wait at every column, for a quarter of the time that a row takes.
    #[inline(always)]
    pub fn decode<'a>(&'a self, bytes: &mut Reader<'a>) -> Result<Value<'a>> {
        Ok(match &self.kind {
            Kind::Null => Value::Null,
            Kind::Int8 => Value::Int((bytes.u8("TINYINT")? as i8).into()),
            Kind::Int16 => Value::Int((bytes.u16("SMALLINT")? as i16).into()),
            Kind::Int24 => Value::Int(((bytes.u24("MEDIUMINT")? << 8) as i32 >> 8).into()),
            Kind::Int32 => Value::Int((bytes.u32("INT")? as i32).into()),
            Kind::Int64 => Value::Int(bytes.u64("BIGINT")? as i64),
            Kind::Unsigned8 => Value::Unsigned(bytes.u8("TINYINT")?.into()),
            Kind::Unsigned16 => Value::Unsigned(bytes.u16("SMALLINT")?.into()),
            Kind::Unsigned24 => Value::Unsigned(bytes.u24("MEDIUMINT")?.into()),
            Kind::Unsigned32 => Value::Unsigned(bytes.u32("INT")?.into()),
            Kind::Unsigned64 => Value::Unsigned(bytes.u64("BIGINT")?),
            Kind::Float => Value::Float(finite_float(f32::from_bits(bytes.u32("FLOAT")?))?),
            Kind::Double => Value::Double(finite_double(f64::from_bits(bytes.u64("DOUBLE")?))?),
            Kind::Decimal { precision, scale, size } => {
                Value::Decimal(Decimal::new(bytes.take((*size).into(), "DECIMAL")?, *precision, *scale))
            }
            Kind::Year => Value::Unsigned(match bytes.u8("YEAR")? {
                0 => 0,
                since_1900 => 1900 + u64::from(since_1900),
            }),
            Kind::Date => Value::Date(Date::read(bytes)?),
            Kind::Time(digits) => Value::Time(Time::read2(bytes, *digits)?),
            Kind::DateTime(digits) => Value::DateTime(DateTime::read2(bytes, *digits)?),
            Kind::Timestamp(digits) => Value::Timestamp(Timestamp::read2(bytes, *digits)?),
            Kind::OldTime => Value::Time(temporal_old::read_time(bytes)?),
            Kind::OldDateTime => Value::DateTime(temporal_old::read_datetime(bytes)?),
            Kind::OldTimestamp => Value::Timestamp(temporal_old::read_timestamp(bytes)?),
            Kind::HiresTime(digits) => Value::Time(temporal_old::read_hires_time(bytes, *digits)?),
            Kind::HiresDateTime(digits) => {
                Value::DateTime(temporal_old::read_hires_datetime(bytes, *digits)?)
            }
            Kind::HiresTimestamp(digits) => {
                Value::Timestamp(temporal_old::read_hires_timestamp(bytes, *digits)?)
            }
            Kind::Bit { size } => Value::Unsigned(bytes.uint_be((*size).into(), "BIT")?),
            Kind::Enum { size, labels } => label(bytes.uint((*size).into(), "ENUM")?, labels)?,
            Kind::Set { size, labels, unknown } => {
                set_labels(bytes.uint((*size).into(), "SET")?, labels, *unknown)?
            }
            Kind::Text(charset) => Value::Text(Text { bytes: self.length.take(bytes)?, charset: *charset }),
            Kind::Bytes { padded } => padded_bytes(self.length.take(bytes)?, *padded)?,
            Kind::Compressed { charset, most } => {
                Value::Compressed(Compressed::new(self.length.take(bytes)?, *most, *charset))
            }
            Kind::Vector => Value::Vector(Vector::new(self.length.take(bytes)?)?),
            Kind::Uuid => Value::Uuid(Uuid(padded("UUID", self.length.take(bytes)?)?)),
            Kind::Inet4 => Value::Inet4(Inet4(padded("INET4", self.length.take(bytes)?)?)),
            Kind::Inet6 => Value::Inet6(Inet6(padded("INET6", self.length.take(bytes)?)?)),
            Kind::Json => Value::Json(Json::new(self.length.take(bytes)?)),
        })
    }
}

impl Kind {
    fn new(spec: &ColumnSpec, length: ColumnLength) -> Result<Self> {
        let RealType { type_code, metadata } = spec.real_type();
        // ColumnLength has refused what does not fit.
        let size = match length {
            ColumnLength::Fixed(size) | ColumnLength::Prefixed(size) => size,
        };
        let [high, low] = metadata.to_be_bytes();
        let is_known = |label: &String| !label.contains(char::REPLACEMENT_CHARACTER);
        Ok(match (type_code, spec.unsigned) {
            (type_code::NULL, _) => Self::Null,
            (type_code::TINY, false) => Self::Int8,
            (type_code::SHORT, false) => Self::Int16,
            (type_code::INT24, false) => Self::Int24,
            (type_code::LONG, false) => Self::Int32,
            (type_code::LONGLONG, false) => Self::Int64,
            (type_code::TINY, true) => Self::Unsigned8,
            (type_code::SHORT, true) => Self::Unsigned16,
            (type_code::INT24, true) => Self::Unsigned24,
            (type_code::LONG, true) => Self::Unsigned32,
            (type_code::LONGLONG, true) => Self::Unsigned64,
            (type_code::FLOAT, _) => Self::Float,
            (type_code::DOUBLE, _) => Self::Double,
            (type_code::NEWDECIMAL, _) => Self::Decimal { precision: high, scale: low, size },
            (type_code::YEAR, _) => Self::Year,
            (type_code::DATE | type_code::NEWDATE, _) => Self::Date,
            (type_code::TIME2, _) => Self::Time(low),
            (type_code::DATETIME2, _) => Self::DateTime(low),
            (type_code::TIMESTAMP2, _) => Self::Timestamp(low),
            (type_code::TIME, _) => fraction(spec).map_or(Self::OldTime, Self::HiresTime),
            (type_code::DATETIME, _) => fraction(spec).map_or(Self::OldDateTime, Self::HiresDateTime),
            (type_code::TIMESTAMP, _) => fraction(spec).map_or(Self::OldTimestamp, Self::HiresTimestamp),
            (type_code::BIT, _) => Self::Bit { size },
            (type_code::ENUM, _) => Self::Enum {
                size,
                labels: spec.labels.as_ref().map(|labels| {
                    labels.iter().map(|label| is_known(label).then(|| label.clone())).collect()
                }),
            },
            (type_code::SET, _) => Self::Set {
                size,
                labels: spec.labels.clone(),
                unknown: (0..u64::BITS)
                    .zip(spec.labels.iter().flatten())
                    .fold(0, |bits, (place, label)| bits | u64::from(!is_known(label)) << place),
            },
            (type_code::JSON, _) => Self::Json,
            (type_code::VECTOR, _) => Self::Vector,
            (type_code::GEOMETRY, _) => Self::Bytes { padded: 0 },
            (
                type_code::STRING
                | type_code::VARCHAR
                | type_code::VAR_STRING
                | type_code::TINY_BLOB
                | type_code::MEDIUM_BLOB
                | type_code::LONG_BLOB
                | type_code::BLOB,
                _,
            ) => Self::of_string(spec, if type_code == type_code::STRING { metadata } else { 0 })?,
            (type_code::BLOB_COMPRESSED | type_code::VARCHAR_COMPRESSED, _) => {
                let charset = spec.charset.unwrap_or(Charset::Utf8mb4);
                Self::Compressed { charset, most: compressed::most_bytes(type_code, metadata) }
            }
            (other, _) => return Err(unsupported(other)),
        })
    }

    /// A string's kind. `padded` is BINARY's length.
    fn of_string(spec: &ColumnSpec, padded: u16) -> Result<Self> {
        Ok(match spec.declared {
            Declared::Uuid => Self::Uuid,
            Declared::Inet4 => Self::Inet4,
            Declared::Inet6 => Self::Inet6,
            Declared::Vector => Self::Vector,
            Declared::AsLogged | Declared::Fraction(_) => match spec.charset {
                Some(Charset::Binary) => Self::Bytes { padded },
                Some(charset) => Self::Text(charset),
                None => Self::Text(Charset::Utf8mb4),
            },
        })
    }
}

fn fraction(spec: &ColumnSpec) -> Option<u8> {
    match spec.declared {
        Declared::Fraction(digits) => Some(digits),
        _ => None,
    }
}

#[inline]
fn finite_float(number: f32) -> Result<f32> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(ColumnError::impossible("FLOAT", "bits", number.to_bits().into()))
    }
}

#[inline]
fn finite_double(number: f64) -> Result<f64> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(ColumnError::impossible("DOUBLE", "bits", number.to_bits() as i64))
    }
}

fn label(index: u64, labels: &Option<Vec<Option<String>>>) -> Result<Value<'_>> {
    let Some(labels) = labels else { return Ok(Value::Unsigned(index)) };
    // The index counts from 1; 0 stands for a value that was refused, and prints as the empty string.
    let Some(place) = index.checked_sub(1) else { return Ok(Value::Label("")) };
    match usize::try_from(place).ok().and_then(|place| labels.get(place)) {
        Some(Some(label)) => Ok(Value::Label(label)),
        Some(None) => Ok(Value::Unsigned(index)),
        None => Err(ColumnFault::Undefined { type_name: "ENUM", value: index, labels: labels.len() }.into()),
    }
}

/// `unknown`: the bits of labels that are not known.
fn set_labels(bits: u64, labels: &Option<Vec<String>>, unknown: u64) -> Result<Value<'_>> {
    let Some(labels) = labels else { return Ok(Value::Unsigned(bits)) };
    let highest = (u64::BITS - bits.leading_zeros()) as usize;
    if highest > labels.len() {
        return Err(ColumnFault::Undefined { type_name: "SET", value: bits, labels: labels.len() }.into());
    }
    Ok(if bits & unknown == 0 { Value::Labels(Labels::new(bits, labels)) } else { Value::Unsigned(bits) })
}

fn padded_bytes(logged: &[u8], length: u16) -> Result<Value<'_>> {
    let padding = match length {
        0 => 0,
        _ => match u16::try_from(logged.len()).ok().and_then(|logged| length.checked_sub(logged)) {
            Some(padding) => padding,
            None => return Err(ColumnError::impossible("BINARY", "length", logged.len() as i64)),
        },
    };
    Ok(Value::Bytes(Bytes { logged, padding }))
}
