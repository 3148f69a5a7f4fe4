//! Values as JSON: one [`Value`] in, its JSON text appended to the line that is being written.
//!
//! Numbers are exact, text is UTF-8 with the fewest escapes that JSON allows, what JSON has no type for becomes a string.
//! Names of columns and what stands around the values are the line writer's business.

mod document;
mod text;

use crate::column::ColumnError;
use crate::column::Value;
use crate::column::value::Bytes;
use crate::column::value::Labels;
use crate::column::value::Vector;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use text::write_string;

/// The largest integer up to which every one is a double of its own: 2⁵³ - 1 and its negative.
const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;
/// No CHAR or BINARY is longer than its ten bits of metadata can say.
const MAX_PADDED: usize = 1024;

/// Choices of how values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonOptions {
    /// Integers that a double cannot hold become strings, also inside JSON documents.
    pub bigint_as_string: bool,
}

/// Appends a value. After an error `out` may hold a part of it, which the caller cuts off.
#[inline]
pub fn write_value(out: &mut Vec<u8>, value: &Value<'_>, options: JsonOptions) -> Result<(), ColumnError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Int(number) => write_int(out, *number, options),
        Value::Unsigned(number) => write_unsigned(out, *number, options),
        // Finite, as Value promises.
        Value::Float(number) => write_ascii(out, zmij::Buffer::new().format_finite(*number)),
        Value::Double(number) => write_ascii(out, zmij::Buffer::new().format_finite(*number)),
        Value::Decimal(decimal) => {
            out.push(b'"');
            decimal.write(out)?;
            out.push(b'"');
        }
        Value::Date(date) => quoted(out, |out| date.write(out)),
        Value::Time(time) => quoted(out, |out| time.write(out)),
        Value::DateTime(datetime) => quoted(out, |out| datetime.write(out)),
        Value::Timestamp(timestamp) => quoted(out, |out| timestamp.write(out)),
        Value::Text(text) => text::write_text(out, text)?,
        Value::Bytes(bytes) => write_bytes(out, bytes)?,
        Value::Label(label) => write_string(out, label),
        Value::Labels(labels) => write_labels(out, labels),
        Value::Vector(vector) => write_vector(out, vector),
        Value::Uuid(uuid) => quoted(out, |out| uuid.write(out)),
        Value::Inet4(address) => quoted(out, |out| address.write(out)),
        Value::Inet6(address) => quoted(out, |out| address.write(out)),
        Value::Json(json) => document::write_json(out, *json, options)?,
        Value::JsonDiff(diff) => document::write_diff(out, diff, options)?,
        Value::JsonUpdated(base, diff) => document::write_updated(out, *base, diff, options)?,
    }
    Ok(())
}

#[inline]
fn write_ascii(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

#[inline]
fn write_int(out: &mut Vec<u8>, number: i64, options: JsonOptions) {
    let mut buffer = itoa::Buffer::new();
    write_integer(out, buffer.format(number), number.unsigned_abs(), options);
}

#[inline]
fn write_unsigned(out: &mut Vec<u8>, number: u64, options: JsonOptions) {
    let mut buffer = itoa::Buffer::new();
    write_integer(out, buffer.format(number), number, options);
}

#[inline]
fn write_integer(out: &mut Vec<u8>, text: &str, size: u64, options: JsonOptions) {
    if options.bigint_as_string && size > MAX_SAFE_INTEGER {
        quoted(out, |out| write_ascii(out, text));
    } else {
        write_ascii(out, text);
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &Bytes<'_>) -> Result<(), ColumnError> {
    if bytes.padding == 0 {
        return write_base64(out, bytes.logged);
    }
    let length = bytes.logged.len() + usize::from(bytes.padding);
    let mut padded = [0; MAX_PADDED];
    match (padded.get_mut(..bytes.logged.len()), length <= MAX_PADDED) {
        (Some(place), true) => place.copy_from_slice(bytes.logged),
        _ => return Err(ColumnError::impossible("BINARY", "length", length as i64)),
    }
    write_base64(out, padded.get(..length).unwrap_or(&padded))
}

/// A string of base64 in the standard alphabet, padded.
fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ColumnError> {
    out.push(b'"');
    append_base64(out, bytes)?;
    out.push(b'"');
    Ok(())
}

fn append_base64(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ColumnError> {
    let too_long = || ColumnError::impossible("BLOB", "length", bytes.len() as i64);
    let start = out.len();
    let size = base64::encoded_len(bytes.len(), true).ok_or_else(too_long)?;
    out.resize(start + size, 0);
    let place = out.get_mut(start..).unwrap_or(&mut []);
    STANDARD.encode_slice(bytes, place).map_err(|_| too_long())?;
    Ok(())
}

fn write_labels(out: &mut Vec<u8>, labels: &Labels<'_>) {
    out.push(b'"');
    for (place, label) in labels.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        text::append_escaped(out, label.as_bytes());
    }
    out.push(b'"');
}

fn write_vector(out: &mut Vec<u8>, vector: &Vector<'_>) {
    out.push(b'[');
    for (place, number) in vector.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        // Finite, as Vector promises.
        write_ascii(out, zmij::Buffer::new().format_finite(number));
    }
    out.push(b']');
}
