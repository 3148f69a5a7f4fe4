//! One JSON object on one line that ends in a CRC-32 over the rest of itself.
//!
//! ```text
//! {"format":1,"shard":"orders",…,"crc32":"0f3a77c1"}
//! ```
//!
//! The last member is always the seal: eight lower-case hexadecimal digits, the CRC-32 (the one of zlib, gzip and
//! Python's `zlib.crc32`) of every byte before the `,"crc32"`. A person can read such a line, `jq` can, and a line that
//! was torn, emptied or edited is told from a good one. What stands inside the object is its owner's business.

use std::fmt;

/// Why a line is not the one that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    Empty,
    /// The line does not end in a seal: its end, or all of it, is missing.
    NoSeal {
        length: usize,
    },
    /// The seal is there and does not fit the bytes before it.
    Changed {
        computed: u32,
    },
    NotText,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::NoSeal { length } => write!(f, "it is torn: {length} bytes that do not end in a CRC-32"),
            Self::Changed { computed } => {
                write!(
                    f,
                    "it was changed or torn: its bytes have CRC-32 {computed:08x}, another one is written"
                )
            }
            Self::NotText => f.write_str("it is not UTF-8 text"),
        }
    }
}

impl std::error::Error for SealError {}

/// The seal of an object, from its closing brace on: `,"crc32":"0f3a77c1"}`.
fn trailer(key: &str, crc32: u32) -> String {
    format!(",\"{key}\":\"{crc32:08x}\"}}")
}

/// Seals a JSON object that has at least one member. The line end is left to the caller.
pub fn seal(object: &str, key: &str) -> String {
    let body = object.strip_suffix('}').unwrap_or(object);
    format!("{body}{}", trailer(key, crc32fast::hash(body.as_bytes())))
}

/// Checks a line (without its line end) and returns it as text, seal included: a reader of JSON ignores that member.
pub fn unseal<'a>(line: &'a [u8], key: &str) -> Result<&'a str, SealError> {
    if line.is_empty() {
        return Err(SealError::Empty);
    }
    let torn = SealError::NoSeal { length: line.len() };
    let body_length = line.len().checked_sub(trailer(key, 0).len()).ok_or(torn.clone())?;
    let (body, seal) = line.split_at_checked(body_length).ok_or(torn.clone())?;
    if !seal.starts_with(format!(",\"{key}\":\"").as_bytes()) || !seal.ends_with(b"\"}") {
        return Err(torn);
    }
    let computed = crc32fast::hash(body);
    // Compared as text, so that digits in another case are a change too.
    if seal != trailer(key, computed).as_bytes() {
        return Err(SealError::Changed { computed });
    }
    std::str::from_utf8(line).map_err(|_| SealError::NotText)
}

/// A CRC-32 inside JSON: eight hexadecimal digits in a string, as people and tools print it.
pub mod hex_crc32 {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error;

    pub fn serialize<S: Serializer>(crc32: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{crc32:08x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u32::from_str_radix(&text, 16) {
            Ok(crc32) if digits => Ok(crc32),
            _ => Err(D::Error::custom(format_args!("{text:?} is no CRC-32 of eight lower-case hex digits"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_documented_one() {
        // python3 -c 'import zlib; print("%08x" % zlib.crc32(b"{\"a\":1"))'
        assert_eq!(seal(r#"{"a":1}"#, "crc32"), r#"{"a":1,"crc32":"a702fc6e"}"#);
    }

    #[test]
    fn any_cut_and_any_changed_bit_is_noticed() {
        let line = seal(r#"{"file":"mysql-bin.000003","pos":1234}"#, "crc32");
        assert_eq!(unseal(line.as_bytes(), "crc32"), Ok(line.as_str()));
        for cut in 0..line.len() {
            assert!(unseal(&line.as_bytes()[..cut], "crc32").is_err(), "cut at {cut}");
        }
        for bit in 0..line.len() * 8 {
            let mut bytes = line.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&bytes, "crc32").is_err(), "bit {bit}");
        }
        assert!(unseal(line.as_bytes(), "other").is_err());
        assert_eq!(unseal(b"", "crc32"), Err(SealError::Empty));
    }
}
