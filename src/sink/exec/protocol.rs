//! The lines between us and a consumer.
//!
//! A pack goes out as one line with its header and then its row lines, as they are:
//!
//! ```text
//! {"op":"pack","shard":"producer00","epoch":3,"sequence":17,"rows":2,"bytes":611,"first":{…},…,"header_crc32":"c2b7a5d1"}
//! {"op":"insert","database":"shop",…
//! {"op":"update","database":"shop",…
//! ```
//!
//! Without its `"op":"pack",` the line is, byte for byte, the sealed line that the file sink writes into `.packs`
//! ([`crate::pack::header`]). With `exec_resume=consumer` a new consumer is first asked which pack it holds, by
//! `{"op":"resume","shard":"producer00"}`.

use crate::pack::header::PackHeader;
use std::fmt;

const PACK_START: &str = "{\"op\":\"pack\",";

/// What a consumer says, one line each.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// `ack EPOCH SEQUENCE`: the pack is safe.
    Ack { epoch: u64, sequence: u64 },
    /// `reject EPOCH SEQUENCE REASON`: the pack was not taken, nothing of it.
    Reject { epoch: u64, sequence: u64, reason: String },
    /// `resume none`, or `resume` and the line of the last pack that it holds.
    Resume(Option<Box<PackHeader>>),
}

impl Answer {
    /// None when the line is none of the answers. The error says what is wrong with a `resume` line.
    pub fn from_line(line: &[u8]) -> Result<Option<Answer>, String> {
        let Ok(line) = std::str::from_utf8(line.trim_ascii_end()) else { return Ok(None) };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut numbers = rest.splitn(3, ' ');
        let mut number = || numbers.next().and_then(|text| text.parse::<u64>().ok());
        Ok(match word {
            "ack" => match (number(), number(), numbers.next()) {
                (Some(epoch), Some(sequence), None) => Some(Answer::Ack { epoch, sequence }),
                _ => None,
            },
            "reject" => match (number(), number()) {
                (Some(epoch), Some(sequence)) => {
                    let reason = numbers.next().unwrap_or("no reason given").to_owned();
                    Some(Answer::Reject { epoch, sequence, reason })
                }
                _ => None,
            },
            "resume" if rest == "none" => Some(Answer::Resume(None)),
            "resume" => Some(Answer::Resume(Some(Box::new(pack_from_line(rest)?)))),
            _ => None,
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Ack { epoch, sequence } => write!(f, "\"ack {epoch} {sequence}\""),
            Answer::Reject { epoch, sequence, .. } => write!(f, "\"reject {epoch} {sequence} …\""),
            Answer::Resume(_) => f.write_str("\"resume …\""),
        }
    }
}

/// The line in front of a pack's rows, with its line end.
pub fn pack_line(header: &PackHeader) -> Result<Vec<u8>, String> {
    let header = header.to_line()?;
    let members = header.strip_prefix('{').ok_or("is no object")?;
    Ok(format!("{PACK_START}{members}\n").into_bytes())
}

/// The question to a consumer that keeps packs.
pub fn resume_line(shard: &str) -> Vec<u8> {
    // The names of shards are safe for files and need no escapes.
    format!("{{\"op\":\"resume\",\"shard\":\"{shard}\"}}\n").into_bytes()
}

fn pack_from_line(line: &str) -> Result<PackHeader, String> {
    let members = line.strip_prefix(PACK_START).ok_or("it does not begin like the line of a pack")?;
    PackHeader::from_line(format!("{{{members}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::packs;

    #[test]
    fn answers_are_read_and_nothing_else_is() {
        let read = |line: &str| Answer::from_line(line.as_bytes()).unwrap();
        assert_eq!(read("ack 3 17"), Some(Answer::Ack { epoch: 3, sequence: 17 }));
        assert_eq!(read("ack 3 17\r"), Some(Answer::Ack { epoch: 3, sequence: 17 }));
        let reject = |reason: &str| Answer::Reject { epoch: 3, sequence: 17, reason: reason.into() };
        assert_eq!(read("reject 3 17 the table is locked"), Some(reject("the table is locked")));
        assert_eq!(read("reject 3 17"), Some(reject("no reason given")));
        assert_eq!(read("resume none"), Some(Answer::Resume(None)));
        for other in ["", "ack", "ack 3", "ack 3 x", "ack 3 17 18", "ack  3 17", " ack 3 17", "ACK 3 17"] {
            assert_eq!(read(other), None, "{other:?}");
        }
        assert_eq!(read("reject three"), None);
        assert_eq!(Answer::from_line(b"ack \xff 1"), Ok(None));
    }

    #[test]
    fn a_packs_line_comes_back_whole_or_not_at_all() {
        let (header, _) = packs("producer00", 3, 1).remove(0);
        let line = String::from_utf8(pack_line(&header).unwrap()).unwrap();
        assert!(
            line.starts_with(
                "{\"op\":\"pack\",\"shard\":\"producer00\",\"epoch\":3,\"sequence\":1,\"rows\":1,"
            )
        );
        let sealed = line.replacen("\"op\":\"pack\",", "", 1);
        assert_eq!(PackHeader::from_line(sealed.trim_end().as_bytes()), Ok(header.clone()));
        let answer = format!("resume {}", line.trim_end());
        assert_eq!(Answer::from_line(answer.as_bytes()), Ok(Some(Answer::Resume(Some(Box::new(header))))));
        for end in 7..answer.len() {
            assert!(Answer::from_line(&answer.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        assert!(Answer::from_line(answer.replace("\"epoch\":3", "\"epoch\":4").as_bytes()).is_err());
    }
}
