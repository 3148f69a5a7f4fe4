//! Values as JSON: one [`Value`] in, its JSON text appended to the line that is being written.
//!
//! Numbers are exact, text is UTF-8 with the fewest escapes that JSON allows, what JSON has no type for
//! becomes a string. Names of columns and what stands around the values are the line writer's business.

mod document;
mod text;

use crate::column::Charset;
use crate::column::ColumnError;
use crate::column::Value;
use crate::column::compressed::Compressed;
use crate::column::value::Bytes;
use crate::column::value::Labels;
use crate::column::value::Text;
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

/// Appends a value. After an error `out` may hold a part of it, which the caller cuts off. Always inlined, as
/// [`crate::column::ColumnFormat::decode`] is.
#[inline(always)]
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
        Value::Compressed(compressed) => write_compressed(out, compressed)?,
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

fn write_compressed(out: &mut Vec<u8>, compressed: &Compressed<'_>) -> Result<(), ColumnError> {
    let bytes = compressed.unpack()?;
    match compressed.charset() {
        Charset::Binary => write_base64(out, &bytes),
        charset => text::write_text(out, &Text { bytes: &bytes, charset }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;
    use crate::column::ColumnFormat;
    use crate::column::ColumnLength;
    use crate::column::ColumnSpec;
    use crate::column::compatible::compatible;
    use crate::column::fixtures::Random;
    use crate::column::fixtures::diff_samples;
    use crate::column::fixtures::hex;
    use crate::column::fixtures::samples;
    use crate::column::type_code;

    const PLAIN: JsonOptions = JsonOptions { bigint_as_string: false };
    const BIGINT: JsonOptions = JsonOptions { bigint_as_string: true };

    /// Decodes and writes a value that takes up all of `logged`.
    fn written(format: &ColumnFormat, logged: &[u8], options: JsonOptions) -> Result<String, ColumnError> {
        let mut reader = Reader::new(logged);
        let value = format.decode(&mut reader)?;
        reader.finish("value")?;
        let mut out = Vec::new();
        write_value(&mut out, &value, options)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn updated(base: &[u8], diff: &[u8]) -> Result<String, ColumnError> {
        let format = json_format();
        let base = format.decode(&mut Reader::new(base))?;
        let mut reader = Reader::new(diff);
        let value = format.decode_partial_json(&mut reader, Some(base))?;
        reader.finish("diff")?;
        let mut out = Vec::new();
        write_value(&mut out, &value, PLAIN)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn json_format() -> ColumnFormat {
        ColumnFormat::new(&ColumnSpec::new(type_code::JSON, 4)).unwrap()
    }

    fn document(jsonb: &str) -> Vec<u8> {
        let jsonb = hex(jsonb);
        let mut column = (jsonb.len() as u32).to_le_bytes().to_vec();
        column.extend_from_slice(&jsonb);
        column
    }

    #[test]
    fn values_of_real_servers() {
        for sample in samples() {
            let format = ColumnFormat::new(&sample.spec).unwrap();
            assert_eq!(
                written(&format, &sample.logged, PLAIN).as_deref(),
                Ok(sample.json),
                "{}",
                sample.line
            );
            let mut reader = Reader::new(&sample.logged);
            ColumnLength::new(&sample.spec).unwrap().skip(&mut reader).unwrap();
            assert!(reader.is_empty(), "{}", sample.line);
            let ColumnSpec { type_code, metadata, .. } = sample.spec;
            assert!(compatible(&sample.declared, sample.charset, type_code, metadata), "{}", sample.line);
        }
    }

    #[test]
    fn every_truncation_of_a_value_is_an_error() {
        for sample in samples() {
            let format = ColumnFormat::new(&sample.spec).unwrap();
            for cut in 0..sample.logged.len() {
                assert!(written(&format, &sample.logged[..cut], PLAIN).is_err(), "{} at {cut}", sample.line);
                assert!(
                    format.skip(&mut Reader::new(&sample.logged[..cut])).is_err(),
                    "{} at {cut}",
                    sample.line
                );
            }
        }
    }

    #[test]
    fn every_truncation_inside_a_document_is_an_error() {
        let format = json_format();
        for sample in samples().filter(|sample| sample.spec.type_code == type_code::JSON) {
            for length in 1..sample.logged.len().saturating_sub(4) {
                let mut column = (length as u32).to_le_bytes().to_vec();
                column.extend_from_slice(&sample.logged[4..4 + length]);
                assert!(written(&format, &column, PLAIN).is_err(), "{} at {length}", sample.line);
            }
        }
    }

    #[test]
    fn changed_bytes_give_json_or_an_error() {
        let mut random = Random::new(3);
        for sample in samples() {
            let format = ColumnFormat::new(&sample.spec).unwrap();
            for _ in 0..200 {
                let mut logged = sample.logged.clone();
                for _ in 0..=random.below(3) {
                    let place = random.below(logged.len().max(1) as u64) as usize;
                    if let Some(byte) = logged.get_mut(place) {
                        *byte = [random.next() as u8, 0, 0xff, *byte ^ 1 << random.below(8)]
                            [random.below(4) as usize];
                    }
                }
                if let Ok(json) = written(&format, &logged, PLAIN) {
                    let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&json);
                    assert!(parsed.is_ok(), "{}: {json}", sample.line);
                }
            }
        }
    }

    #[test]
    fn partial_updates_of_a_real_server() {
        for sample in diff_samples() {
            assert_eq!(updated(&sample.base, &sample.diff).as_deref(), Ok(sample.json));
            for cut in 0..sample.diff.len() {
                assert!(updated(&sample.base, &sample.diff[..cut]).is_err());
            }
        }
    }

    #[test]
    fn changed_partial_updates_give_json_or_an_error() {
        let mut random = Random::new(4);
        for sample in diff_samples() {
            for _ in 0..300 {
                let (mut base, mut diff) = (sample.base.clone(), sample.diff.clone());
                for bytes in [&mut base, &mut diff] {
                    let place = 4 + random.below(bytes.len() as u64 - 4) as usize;
                    bytes[place] = random.next() as u8;
                }
                if let Ok(json) = updated(&base, &diff) {
                    let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&json);
                    assert!(parsed.is_ok(), "{json}");
                }
            }
        }
    }

    /// `UPDATE p SET j = JSON_SET(j, '$.a', 'x', '$.b', 12345678901234567)` with `binlog_row_image=MINIMAL`
    /// on MySQL 9.7.
    #[test]
    fn a_partial_update_without_its_document() {
        let logged = hex("180000000003242e61030c01780103242e620909874b6b5d54dc2b00");
        let format = json_format();
        let value = format.decode_partial_json(&mut Reader::new(&logged), None).unwrap();
        let text = |options| {
            let mut out = Vec::new();
            write_value(&mut out, &value, options).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(PLAIN),
            r#"{"$json_diff":[{"op":"replace","path":"$.a","value":"x"},{"op":"insert","path":"$.b","value":12345678901234567}]}"#
        );
        assert!(text(BIGINT).contains(r#""value":"12345678901234567""#));
        let removal = hex("060000000204242e7a7a");
        let value = format.decode_partial_json(&mut Reader::new(&removal), None).unwrap();
        let mut out = Vec::new();
        write_value(&mut out, &value, PLAIN).unwrap();
        assert_eq!(out, br#"{"$json_diff":[{"op":"remove","path":"$.zz"}]}"#);
    }

    #[test]
    fn no_change_leaves_the_document_and_null_cannot_be_changed() {
        assert_eq!(updated(&document("050700"), &hex("00000000")).unwrap(), "7");
        assert_eq!(updated(&[0; 4], &hex("00000000")).unwrap(), "null", "no bytes at all are JSON's null");
        let format = json_format();
        let error = format.decode_partial_json(&mut Reader::new(&[0; 4]), Some(Value::Null)).unwrap_err();
        assert_eq!(error.to_string(), "partial JSON update of $: the before-image holds no document");
    }

    #[test]
    fn changes_that_do_not_fit_are_errors() {
        let object = document("0001000c000b000100050700 61");
        assert_eq!(updated(&object, &hex("00000000")).unwrap(), r#"{"a":7}"#);
        for (diff, message) in [
            ("0800000000 03242e62 03 050100", "partial JSON update of $.b: the document has no such place"),
            (
                "0800000001 03242e61 03 050100",
                "partial JSON update of $.a: the member to insert is there already",
            ),
            ("0500000002 03242e62", "partial JSON update of $.b: the document has no such place"),
            ("0600000002 04245b305d", "partial JSON update of $[0]: the document has no such place"),
            (
                "0300000002 0124",
                "partial JSON update of $: the document as a whole cannot be changed in part",
            ),
            ("0600000002 04242e2a61", "partial JSON update of $.*a: the path cannot be read"),
        ] {
            let mut diff = hex(diff);
            let length = diff.len() as u32 - 4;
            diff[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(updated(&object, &diff).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn big_integers_as_strings() {
        let mut spec = ColumnSpec::new(type_code::LONGLONG, 0);
        let int = ColumnFormat::new(&spec).unwrap();
        spec.unsigned = true;
        let unsigned = ColumnFormat::new(&spec).unwrap();
        let limit = 1i64 << 53;
        for (number, text) in [
            (limit - 1, "9007199254740991"),
            (limit, r#""9007199254740992""#),
            (1 - limit, "-9007199254740991"),
            (i64::MIN, r#""-9223372036854775808""#),
        ] {
            assert_eq!(written(&int, &number.to_le_bytes(), BIGINT).unwrap(), text);
        }
        assert_eq!(written(&int, &i64::MIN.to_le_bytes(), PLAIN).unwrap(), "-9223372036854775808");
        assert_eq!(written(&unsigned, &[0xff; 8], BIGINT).unwrap(), r#""18446744073709551615""#);
        assert_eq!(written(&unsigned, &[0xff; 8], PLAIN).unwrap(), "18446744073709551615");
    }

    #[test]
    fn big_integers_inside_documents() {
        let format = json_format();
        let int64 = document("090000000000002000");
        assert_eq!(written(&format, &int64, PLAIN).unwrap(), "9007199254740992");
        assert_eq!(written(&format, &int64, BIGINT).unwrap(), r#""9007199254740992""#);
        // DECIMAL(20,0): two digits, nine, nine.
        let largest_safe = document("0ff60b1400800089705f0f2f09ff");
        let decimal = document("0ff60b1400800089705f0f2f0a00");
        assert_eq!(written(&format, &largest_safe, BIGINT).unwrap(), "9007199254740991");
        assert_eq!(written(&format, &decimal, BIGINT).unwrap(), r#""9007199254740992""#);
        assert_eq!(written(&format, &decimal, PLAIN).unwrap(), "9007199254740992");
    }

    #[test]
    fn depth_ends_where_the_server_ends_it() {
        let nested = |depth: usize| {
            // A small array of one member, again and again; the innermost holds nothing.
            let mut bytes = vec![0, 0, 4, 0];
            for _ in 1..depth {
                let size = bytes.len() as u16 + 7;
                let mut outer = vec![1, 0];
                outer.extend_from_slice(&size.to_le_bytes());
                outer.extend_from_slice(&[2, 7, 0]);
                outer.extend_from_slice(&bytes);
                bytes = outer;
            }
            let mut column = (bytes.len() as u32 + 1).to_le_bytes().to_vec();
            column.push(2);
            column.extend_from_slice(&bytes);
            column
        };
        let text = written(&json_format(), &nested(100), PLAIN).unwrap();
        assert_eq!(text, format!("{}{}", "[".repeat(100), "]".repeat(100)));
        let error = written(&json_format(), &nested(101), PLAIN).unwrap_err();
        assert_eq!(error.to_string(), "JSON: depth: impossible value 101");
    }

    #[test]
    fn values_that_share_bytes_end() {
        // Arrays of 2000 members, each of which is the next array.
        let mut bytes: Vec<u8> = Vec::new();
        let levels = 10;
        for level in 0..levels {
            let (count, rest) = (2000u32, (levels - level) * 10_008);
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&(rest as u32).to_le_bytes());
            for _ in 0..count {
                bytes.extend_from_slice(&if level + 1 < levels {
                    [3, 0x18, 0x27, 0, 0]
                } else {
                    [4, 0, 0, 0, 0]
                });
            }
        }
        let mut column = (bytes.len() as u32 + 1).to_le_bytes().to_vec();
        column.push(3);
        column.extend_from_slice(&bytes);
        let error = written(&json_format(), &column, PLAIN).unwrap_err();
        assert!(error.to_string().starts_with("JSON: values that share bytes"), "{error}");
    }

    #[test]
    fn random_documents_give_json_or_an_error() {
        let mut random = Random::new(9);
        let format = json_format();
        let mut good = 0;
        for _ in 0..50_000 {
            let length = 1 + random.below(40) as usize;
            let mut jsonb: Vec<u8> =
                (0..length).map(|_| (random.below(256) & random.below(256)) as u8).collect();
            jsonb[0] = random.below(16) as u8;
            let mut column = (length as u32).to_le_bytes().to_vec();
            column.extend_from_slice(&jsonb);
            if let Ok(json) = written(&format, &column, PLAIN) {
                let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&json);
                assert!(parsed.is_ok(), "{json}");
                good += 1;
            }
        }
        assert!(good > 100);
    }

    #[test]
    fn binary_is_padded_and_varbinary_is_not() {
        let mut spec = ColumnSpec::new(type_code::STRING, 0xfe04);
        spec.charset = Some(crate::column::Charset::Binary);
        let binary = ColumnFormat::new(&spec).unwrap();
        assert_eq!(written(&binary, &[2, 1, 2], PLAIN).unwrap(), r#""AQIAAA==""#);
        assert_eq!(written(&binary, &[0], PLAIN).unwrap(), r#""AAAAAA==""#);
        assert!(written(&binary, &[5, 1, 2, 3, 4, 5], PLAIN).is_err());
        spec.type_code = type_code::VARCHAR;
        spec.metadata = 4;
        let varbinary = ColumnFormat::new(&spec).unwrap();
        assert_eq!(written(&varbinary, &[2, 1, 2], PLAIN).unwrap(), r#""AQI=""#);
    }
}
