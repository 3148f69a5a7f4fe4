//! What is said over the control socket.

use crate::code::Code;
use crate::engine::operate::Refusal;
use crate::status::report::NodeReport;
use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// The longest request, in bytes, with its line end.
pub const REQUEST_MAX: usize = 16 << 10;

/// The longest answer: ten thousand shards, each with a long reason.
pub const ANSWER_MAX: usize = 64 << 20;

/// Each side reads and writes a line within this time, however slowly the other one does.
pub const LINE_PATIENCE: Duration = Duration::from_secs(5);

/// One line from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Status {},
    Suspend {
        shard: String,
        reason: String,
        /// It ends by itself after so many milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
    },
    /// All shards where none is named.
    Resume {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<String>,
    },
    Switch {
        shard: String,
        /// 0 is the main server, K is haK.
        backup: u32,
    },
    /// All shards where none is named.
    StepDown {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<String>,
    },
}

/// The one line that comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub ok: bool,
    /// Of a refusal: the message's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For a person, a line each.
    #[serde(default)]
    pub lines: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<NodeReport>,
}

impl Answer {
    pub fn done(lines: Vec<String>) -> Self {
        Self { ok: true, code: None, lines, report: None }
    }

    pub fn report(report: NodeReport) -> Self {
        Self { ok: true, code: None, lines: Vec::new(), report: Some(report) }
    }

    pub fn refused(refusal: Refusal) -> Self {
        let code = Some(refusal.code.as_str().to_owned());
        Self { ok: false, code, lines: vec![refusal.text], report: None }
    }

    /// The request itself is not understood.
    pub fn misunderstood(what: impl Into<String>) -> Self {
        Self::refused(Refusal::new(Code::Usage, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_documented_lines() {
        let lines = [
            (Request::Status {}, r#"{"command":"status"}"#),
            (
                Request::Suspend { shard: "a".into(), reason: "r".into(), for_ms: Some(5) },
                r#"{"command":"suspend","shard":"a","reason":"r","for_ms":5}"#,
            ),
            (Request::Resume { shard: None }, r#"{"command":"resume"}"#),
            (
                Request::Switch { shard: "a".into(), backup: 1 },
                r#"{"command":"switch","shard":"a","backup":1}"#,
            ),
            (Request::StepDown { shard: Some("a".into()) }, r#"{"command":"step-down","shard":"a"}"#),
        ];
        for (request, line) in lines {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
        for bad in [
            r#"{"command":"halt"}"#,
            r#"{"command":"status","x":1}"#,
            r#"{"command":"suspend","shard":"a"}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
