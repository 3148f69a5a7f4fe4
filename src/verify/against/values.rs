//! A value of a line against the same value as the server selects it.
//!
//! The server's text forms are the oracle as far as they go: what it prints is compared with what the line holds; bytes
//! are compared in hexadecimal, floating-point numbers as numbers (of its own precision), JSON documents as values.

use crate::column::declared::DeclaredType;
use crate::column::declared::Word;
use crate::mysql::catalog::quote_name;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write;

/// How a column is selected so that its text can be compared.
pub fn expression(column: &str, declared: &DeclaredType, is_binary: bool) -> String {
    let name = quote_name(column);
    match declared.word {
        word if is_integer(word) => format!("{name}+0"),
        // In full: FLOAT alone prints six digits.
        Word::Float | Word::Double => format!("{name}+0e0"),
        Word::Vector => format!("HEX({name})"),
        _ if is_binary => format!("HEX({name})"),
        _ => name,
    }
}

fn is_integer(word: Word) -> bool {
    use Word::*;
    matches!(word, TinyInt | SmallInt | MediumInt | Int | BigInt | Bit | Year)
}

/// A condition that is true of exactly this value; none for a type that cannot be looked up.
pub fn condition(column: &str, declared: &DeclaredType, is_binary: bool, raw: &str) -> Option<String> {
    let name = quote_name(column);
    match declared.word {
        Word::Float | Word::Double | Word::Json | Word::Geometry | Word::Vector | Word::Other => None,
        word if is_integer(word) || word == Word::Decimal => {
            let number = raw.trim_matches('"');
            let plain = number.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte));
            plain.then(|| format!("{name}={number}"))
        }
        _ if is_binary => Some(format!("{name}=x'{}'", hex(&STANDARD.decode(text(raw)?).ok()?))),
        Word::Date
        | Word::Time
        | Word::Datetime
        | Word::Timestamp
        | Word::Uuid
        | Word::Inet4
        | Word::Inet6 => {
            let text = text(raw)?;
            let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:. ".contains(&byte));
            plain.then(|| format!("{name}='{text}'"))
        }
        // Equal by the collation for the index, equal by its bytes to be the same.
        _ => {
            let digits = hex(text(raw)?.as_bytes());
            Some(format!(
                "{name}=_utf8mb4 x'{digits}' AND CAST(CONVERT({name} USING utf8mb4) AS BINARY)=x'{digits}'"
            ))
        }
    }
}

/// Whether a line's value is what the server answered; `None` is SQL NULL. No answer where it cannot be told.
pub fn equal(declared: &DeclaredType, is_binary: bool, raw: &str, server: Option<&[u8]>) -> Option<bool> {
    let Some(server) = server else { return Some(raw == "null") };
    if raw == "null" {
        return Some(false);
    }
    let told = std::str::from_utf8(server).ok()?;
    Some(match declared.word {
        word if is_integer(word) => raw.trim_matches('"') == told,
        Word::Float => raw.parse::<f32>().ok().map(f64::from) == told.parse().ok(),
        Word::Double => raw.parse::<f64>().ok()? == told.parse::<f64>().ok()?,
        Word::Vector => vector_hex(raw)? == told,
        Word::Json if raw.contains("\"$json_diff\"") => return None,
        Word::Json => same_json(&serde_json::from_str(raw).ok()?, &serde_json::from_str(told).ok()?),
        _ if is_binary => hex(&STANDARD.decode(text(raw)?).ok()?).eq_ignore_ascii_case(told),
        // Bytes that are no text in the column's character set, or a label that is not known.
        _ if !raw.starts_with('"') => return None,
        _ => text(raw)? == told,
    })
}

fn text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A String takes everything.
        if write!(digits, "{byte:02x}").is_err() {
            break;
        }
    }
    digits
}

fn vector_hex(raw: &str) -> Option<String> {
    let numbers = raw.strip_prefix('[')?.strip_suffix(']')?.split(',');
    let numbers: Option<Vec<f32>> = numbers.map(|number| number.trim().parse().ok()).collect();
    let bytes: Vec<u8> = numbers?.iter().flat_map(|number| number.to_le_bytes()).collect();
    Some(hex(&bytes).to_uppercase())
}

fn same_json(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| same_json(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            let same = |(name, ours)| theirs.get(name).is_some_and(|theirs| same_json(ours, theirs));
            ours.len() == theirs.len() && ours.iter().all(same)
        }
        // With json_bigint=string large numbers are strings.
        (Value::String(ours), Value::Number(theirs)) => *ours == theirs.to_string(),
        (Value::Number(ours), Value::Number(theirs)) if ours != theirs => {
            let (ours, theirs) = (ours.as_f64().unwrap_or(f64::NAN), theirs.as_f64().unwrap_or(f64::NAN));
            // Two texts of one double may be read a last bit apart.
            (ours - theirs).abs() <= f64::EPSILON * theirs.abs()
        }
        (ours, theirs) => ours == theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::declared::parse;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let cases = [
            ("int(5) unsigned zerofill", false, "42", Some("42"), Some(true)),
            ("bigint unsigned", false, "\"18446744073709551615\"", Some("18446744073709551615"), Some(true)),
            ("float", false, "0.1", Some("0.10000000149011612"), Some(true)),
            ("float", false, "0.1", Some("0.1"), Some(false)),
            ("double", false, "1e300", Some("1e300"), Some(true)),
            ("decimal(9,2)", false, "\"9.50\"", Some("9.50"), Some(true)),
            ("decimal(9,2)", false, "\"9.5\"", Some("9.50"), Some(false)),
            ("varbinary(9)", true, "\"AP8=\"", Some("00FF"), Some(true)),
            ("varchar(9)", false, "\"a\\\"b\"", Some("a\"b"), Some(true)),
            ("varchar(9)", false, "null", None, Some(true)),
            ("varchar(9)", false, "\"\"", None, Some(false)),
            ("varchar(9)", false, "null", Some(""), Some(false)),
            ("varchar(9)", false, "{\"$base64\":\"/w==\"}", Some("?"), None),
            (
                "json",
                false,
                "{\"a\":[1,2.50],\"b\":null}",
                Some("{\"b\": null, \"a\": [1, 2.5]}"),
                Some(true),
            ),
            ("json", false, "{\"a\":1}", Some("{\"a\": 2}"), Some(false)),
            ("vector(2)", false, "[1,-2.5]", Some("0000803F000020C0"), Some(true)),
        ];
        for (declared, is_binary, raw, server, expected) in cases {
            let declared = parse(declared).unwrap();
            let got = equal(&declared, is_binary, raw, server.map(str::as_bytes));
            assert_eq!(got, expected, "{declared:?} {raw} {server:?}");
        }
    }
}
