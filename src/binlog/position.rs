//! A place in a server's binlog: a file and a byte in it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Prints as `mysql-bin.000003:1234`.
///
/// Files are ordered by the number behind the last dot, as a number: `.1000000` follows `.999999`. Files with
/// another name before the dot belong to another log (`log_bin` was changed) and compare as neither before
/// nor after.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BinlogPosition {
    pub file: String,
    /// Bytes from the file's beginning; 4 is the first event.
    pub pos: u64,
}

impl BinlogPosition {
    pub fn new(file: impl Into<String>, pos: u64) -> Self {
        Self { file: file.into(), pos }
    }

    /// The file's name before the last dot and the number behind it.
    fn numbered(&self) -> Option<(&str, u64)> {
        let (base, number) = self.file.rsplit_once('.')?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse().ok())?.map(|number| (base, number))
    }
}

impl PartialOrd for BinlogPosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.file == other.file {
            return Some(self.pos.cmp(&other.pos));
        }
        let ((base, number), (other_base, other_number)) = (self.numbered()?, other.numbered()?);
        // Equal numbers spelled differently are two files that cannot both exist.
        let order = number.cmp(&other_number);
        (base == other_base && order != Ordering::Equal).then_some(order)
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.pos)
    }
}

/// A text that is no `FILE:POS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionTextError(String);

impl fmt::Display for PositionTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected FILE:POS such as mysql-bin.000003:1234, found {:?}", self.0)
    }
}

impl std::error::Error for PositionTextError {}

impl FromStr for BinlogPosition {
    type Err = PositionTextError;

    fn from_str(text: &str) -> Result<Self, PositionTextError> {
        let error = || PositionTextError(text.to_owned());
        let (file, pos) = text.rsplit_once(':').ok_or_else(error)?;
        let digits = pos.bytes().all(|byte| byte.is_ascii_digit());
        match pos.parse() {
            Ok(pos) if digits && !file.is_empty() => Ok(Self::new(file, pos)),
            _ => Err(error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> BinlogPosition {
        text.parse().unwrap()
    }

    #[test]
    fn files_follow_each_other_by_number() {
        assert!(at("b.999999:500") < at("b.1000000:4"));
        assert!(at("b.000009:4") < at("b.000010:4"));
        assert!(at("b.000009:4") < at("b.000009:5"));
        assert!(at("a.b.2:4") > at("a.b.1:999"));
        assert_eq!(at("b.1:4").partial_cmp(&at("b.1:4")), Some(Ordering::Equal));
    }

    #[test]
    fn other_logs_do_not_compare() {
        for (one, other) in
            [("a.000001:4", "b.000002:4"), ("b.01:4", "b.1:4"), ("b:4", "b.1:4"), ("b.x:4", "b.y:4")]
        {
            assert_eq!(at(one).partial_cmp(&at(other)), None, "{one} {other}");
        }
    }

    #[test]
    fn text_reads_back() {
        assert_eq!(
            at("c:\\data\\bin.000001:18446744073709551615").to_string(),
            "c:\\data\\bin.000001:18446744073709551615"
        );
        for bad in ["", ":", "b.1", "b.1:", ":4", "b.1:-4", "b.1:+4", "b.1:x", "b.1:18446744073709551616"] {
            assert!(bad.parse::<BinlogPosition>().is_err(), "{bad}");
        }
    }
}
