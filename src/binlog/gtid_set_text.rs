//! The text of a GTID set, as `SELECT @@gtid_executed` prints it and `SET GLOBAL gtid_purged` takes it
//! (`Gtid_set::add_gtid_text` and `to_string` in MySQL's `sql/rpl_gtid_set.cc`).

use crate::binlog::gtid::GtidTextError;
use crate::binlog::gtid::NUMBER_END;
use crate::binlog::gtid::SourceUuid;
use crate::binlog::gtid::Tag;
use crate::binlog::gtid::UuidText;
use crate::binlog::gtid::parse_uuid;
use crate::binlog::gtid_set::GtidSet;
use crate::binlog::gtid_set::Interval;
use std::fmt;
use std::str::FromStr;

/// `uuid:1-5:7:tag:1-3,` line break `uuid:…`: as the server prints it. Empty for the empty set.
impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, ",\n")
    }
}

impl GtidSet {
    /// The server's text on one line, for messages, files and JSON.
    pub fn to_line(&self) -> String {
        struct Line<'a>(&'a GtidSet);
        impl fmt::Display for Line<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.print(f, ",")
            }
        }
        Line(self).to_string()
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, separator: &str) -> fmt::Result {
        let mut previous: Option<&SourceUuid> = None;
        for group in &self.groups {
            if previous != Some(&group.source) {
                let before = if previous.is_some() { separator } else { "" };
                write!(f, "{before}{}", UuidText(&group.source))?;
            }
            previous = Some(&group.source);
            if let Some(tag) = &group.tag {
                write!(f, ":{tag}")?;
            }
            for interval in &group.intervals {
                match interval.end - 1 {
                    last if last == interval.start => write!(f, ":{last}")?,
                    last => write!(f, ":{}-{last}", interval.start)?,
                }
            }
        }
        Ok(())
    }
}

/// Any case, white space between all parts, empty entries between commas. Other than the server we refuse a
/// UUID without numbers and an interval that ends before it starts, which are slips of the pen.
impl FromStr for GtidSet {
    type Err = GtidTextError;

    fn from_str(text: &str) -> Result<Self, GtidTextError> {
        let mut set = Self::new();
        let mut parser = Parser { text, offset: 0 };
        loop {
            parser.skip_space();
            if parser.peek().is_none() {
                return Ok(set);
            }
            if !parser.eat(b',') {
                parser.source(&mut set)?;
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    offset: usize,
}

impl Parser<'_> {
    /// `uuid:…` up to the next comma or the end.
    fn source(&mut self, set: &mut GtidSet) -> Result<(), GtidTextError> {
        let uuid = self.text.get(self.offset..self.offset.saturating_add(36)).and_then(parse_uuid);
        let Some(source) = uuid else { return Err(self.error("a UUID of 36 characters")) };
        self.offset += 36;
        self.skip_space();
        let mut tag = None;
        let mut numbers_follow = false;
        while self.eat(b':') {
            self.skip_space();
            if let Some(read) = self.tag()? {
                tag = Some(read);
                numbers_follow = false;
            } else {
                set.add_interval(&source, tag.as_ref(), self.interval()?);
                numbers_follow = true;
            }
            self.skip_space();
        }
        match self.peek() {
            None | Some(b',') if numbers_follow => Ok(()),
            None | Some(b',') => Err(self.error("':' and a number")),
            Some(_) => Err(self.error("':', ',' or the end")),
        }
    }

    fn tag(&mut self) -> Result<Option<Tag>, GtidTextError> {
        let rest = self.text.as_bytes().get(self.offset..).unwrap_or_default();
        if !rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
            return Ok(None);
        }
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        match rest.get(..length).and_then(Tag::new) {
            Some(tag) => {
                self.offset += length;
                Ok(Some(tag))
            }
            None => Err(self.error("a tag of at most 32 letters, digits and _")),
        }
    }

    /// `n` or `n-m`.
    fn interval(&mut self) -> Result<Interval, GtidTextError> {
        let first_at = self.offset;
        let first = self.number()?;
        self.skip_space();
        let last = if self.eat(b'-') {
            self.skip_space();
            self.number()?
        } else {
            first
        };
        let interval = Interval::new(first, last.saturating_add(1));
        interval.ok_or_else(|| {
            GtidTextError::at(self.text, first_at, "an interval that does not end before it starts")
        })
    }

    fn number(&mut self) -> Result<u64, GtidTextError> {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..length).and_then(|digits| digits.parse().ok());
        match number.filter(|number| (1..NUMBER_END).contains(number)) {
            Some(number) => {
                self.offset += length;
                Ok(number)
            }
            None => Err(self.error("a number from 1 to 9223372036854775806")),
        }
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.offset += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.offset += usize::from(found);
        found
    }

    fn error(&self, expected: &'static str) -> GtidTextError {
        GtidTextError::at(self.text, self.offset, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "f1e2d3c4-b5a6-9788-ffff-00807f018001";

    /// What MySQL 9.7.4 printed for `SELECT @@gtid_executed` on the server of the fixtures.
    const EXECUTED: &str = "f1e2d3c4-b5a6-9788-ffff-00807f018001:9:red:1000000000000,\n\
        fda0638b-e751-11f1-b781-02fc00000001:1-51:blue:1-6:tag_with_exactly_32_characters_x:1";

    #[test]
    fn the_servers_own_text_reads_back_byte_for_byte() {
        for text in ["", EXECUTED, &format!("{A}:1-5:7:11-18")] {
            assert_eq!(text.parse::<GtidSet>().unwrap().to_string(), text);
        }
        assert_eq!(EXECUTED.parse::<GtidSet>().unwrap().to_line(), EXECUTED.replace('\n', ""));
    }

    #[test]
    fn any_spelling_gives_the_canonical_one() {
        let cases = [
            (format!(" {A} : 3 - 5 : 1 :2,\n\n{A}:9 , "), format!("{A}:1-5:9")),
            (format!("{B}:1,{A}:1"), format!("{A}:1,\n{B}:1")),
            (format!(",,{}:1,,", A.to_uppercase()), format!("{A}:1")),
            (format!("{A}:Red:1:blue:2:3,{A}:4"), format!("{A}:4:blue:2-3:red:1")),
            (format!("{A}:5:1-9:20"), format!("{A}:1-9:20")),
            (format!("{A}:Red:1:blue:2:3:_b:7,{A}:4"), format!("{A}:4:_b:7:blue:2-3:red:1")),
            (format!("{A}:010: tag : 1"), format!("{A}:10:tag:1")),
        ];
        for (text, canonical) in cases {
            assert_eq!(text.parse::<GtidSet>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn malformed_text_is_refused_with_its_place() {
        let bad = [
            "0",
            "1-0",
            "5-3",
            "x-",
            "1-",
            "-1",
            "1;2",
            "9223372036854775807",
            "1-9223372036854775807",
            "tag",
            "a-b:1",
        ];
        for tail in bad {
            assert!(format!("{A}:{tail}").parse::<GtidSet>().is_err(), "{tail}");
        }
        for text in [
            A,
            "x",
            &format!("{A}:1 {B}:1"),
            &format!("{A}1"),
            &format!("{A}:é"),
            &format!("{A}:{}:1", "a".repeat(33)),
        ] {
            assert!(text.parse::<GtidSet>().is_err(), "{text}");
        }
        let error = format!("{A}:1-5,{B}:x1:").parse::<GtidSet>().unwrap_err();
        let expected =
            "expected a number from 1 to 9223372036854775806 at character 81, found the end of the text";
        assert_eq!(error.to_string(), expected);
    }
}
