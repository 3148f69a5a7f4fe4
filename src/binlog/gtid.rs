//! MySQL's global transaction identifiers: the source's UUID, a tag or none, a number.
//!
//! Sets of them are in `gtid_set`, the events that carry them in `gtid_event`, MariaDB's in `mariadb_gtid`.

use std::fmt;
use std::str::FromStr;

/// `server_uuid` of the server that committed the transaction first.
pub type SourceUuid = [u8; 16];

/// Numbers are 1 to 2^63 - 2 (`GNO_END` in MySQL is 2^63 - 1).
pub const NUMBER_END: u64 = i64::MAX as u64;

/// Length of a UUID's text.
const UUID_TEXT_LENGTH: usize = 36;

/// A text that is no GTID or no set of them: what was expected, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GtidTextError {
    pub expected: &'static str,
    /// Byte offset in the text.
    pub offset: usize,
    /// What stands there, cut to a length that fits in a message.
    pub found: String,
}

impl GtidTextError {
    pub(super) fn at(text: &str, offset: usize, expected: &'static str) -> Self {
        let rest = text.get(offset..).unwrap_or_default();
        let found = rest.chars().take(40).collect();
        Self { expected, offset, found }
    }
}

impl fmt::Display for GtidTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, offset, found } = self;
        match found.is_empty() {
            true => write!(f, "expected {expected} at character {offset}, found the end of the text"),
            false => write!(f, "expected {expected} at character {offset}, found {found:?}"),
        }
    }
}

impl std::error::Error for GtidTextError {}

/// The tag of a tagged GTID (MySQL 8.3 and later): 1 to 32 of `a-z`, `0-9`, `_`, not beginning with a digit.
/// Servers write it in lower case and read it in any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    // The zeros behind the text sort before all that a tag may hold, so the derived order is the text's.
    bytes: [u8; Tag::MAX_LENGTH],
    length: u8,
}

impl Tag {
    pub const MAX_LENGTH: usize = 32;

    /// Reads a tag's text; `None` if it is none.
    pub fn new(text: &[u8]) -> Option<Self> {
        let first = text.first()?;
        if first.is_ascii_digit() || !text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return None;
        }
        let mut bytes = [0; Self::MAX_LENGTH];
        let place = bytes.get_mut(..text.len())?;
        place.copy_from_slice(text);
        place.make_ascii_lowercase();
        Some(Self { bytes, length: text.len() as u8 })
    }

    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        // `new` lets nothing in but ASCII.
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// Prints a UUID as the server does: lower case, with dashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UuidText<'a>(pub &'a SourceUuid);

impl fmt::Display for UuidText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Reads a UUID of 36 characters, in any case.
pub fn parse_uuid(text: &str) -> Option<SourceUuid> {
    if text.len() != UUID_TEXT_LENGTH {
        return None;
    }
    let mut uuid = [0; 16];
    let mut digits = text.bytes().enumerate();
    for byte in &mut uuid {
        let high = next_digit(&mut digits)?;
        let low = next_digit(&mut digits)?;
        *byte = high << 4 | low;
    }
    digits.next().is_none().then_some(uuid)
}

/// The next hexadecimal digit, past the dash that must stand before some of them.
fn next_digit(text: &mut impl Iterator<Item = (usize, u8)>) -> Option<u8> {
    let (offset, mut byte) = text.next()?;
    if matches!(offset, 8 | 13 | 18 | 23) {
        if byte != b'-' {
            return None;
        }
        (_, byte) = text.next()?;
    }
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// One transaction. Prints as `uuid:number` or `uuid:tag:number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    pub source: SourceUuid,
    pub tag: Option<Tag>,
    /// 1 to 2^63 - 2.
    pub number: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", UuidText(&self.source))?;
        if let Some(tag) = &self.tag {
            write!(f, "{tag}:")?;
        }
        write!(f, "{}", self.number)
    }
}

impl FromStr for Gtid {
    type Err = GtidTextError;

    fn from_str(text: &str) -> Result<Self, GtidTextError> {
        const EXPECTED: &str = "a GTID (uuid:number or uuid:tag:number)";
        let error = || GtidTextError::at(text, 0, EXPECTED);
        let mut parts = text.trim().split(':');
        let source = parts.next().and_then(parse_uuid).ok_or_else(error)?;
        let (tag, number) = match (parts.next(), parts.next(), parts.next()) {
            (Some(number), None, None) => (None, number),
            (Some(tag), Some(number), None) => (Some(Tag::new(tag.as_bytes()).ok_or_else(error)?), number),
            _ => return Err(error()),
        };
        let number =
            number.parse().ok().filter(|number| (1..NUMBER_END).contains(number)).ok_or_else(error)?;
        Ok(Self { source, tag, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn a_gtid_reads_back_what_it_prints() {
        for text in [format!("{UUID}:23"), format!("{UUID}:blue_1:9223372036854775806")] {
            assert_eq!(text.parse::<Gtid>().unwrap().to_string(), text);
        }
        let upper = format!("{}:TAG:1", UUID.to_uppercase());
        assert_eq!(upper.parse::<Gtid>().unwrap().to_string(), format!("{UUID}:tag:1"));
    }

    #[test]
    fn what_is_no_gtid_is_refused() {
        let bad = [
            "",
            UUID,
            "x",
            ":1",
            "3e11fa4771ca11e19e33c80aa9429562:1",
            "3e11fa47-71ca-11e1-9e33c-80aa9429562:1",
        ];
        for text in bad {
            assert!(text.parse::<Gtid>().is_err(), "{text}");
        }
        for tail in
            [":", ":0", ":-1", ":1-2", ":9223372036854775807", ":1tag:1", ":tag:", ":a-b:1", ":a:b:1", ":1:2"]
        {
            assert!(format!("{UUID}{tail}").parse::<Gtid>().is_err(), "{tail}");
        }
        let error = "nonsense".parse::<Gtid>().unwrap_err();
        let expected = "expected a GTID (uuid:number or uuid:tag:number) at character 0, found \"nonsense\"";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn tags_follow_the_servers_rules() {
        let longest = "a".repeat(32);
        for good in ["a", "_", "_1", "Z9", longest.as_str()] {
            assert_eq!(Tag::new(good.as_bytes()).unwrap().as_str(), good.to_lowercase());
        }
        for bad in ["", "1a", "a-b", "ä", "a b", &"a".repeat(33)] {
            assert!(Tag::new(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Tag::new(b"a") < Tag::new(b"aa") && Tag::new(b"aa") < Tag::new(b"b"));
    }
}
