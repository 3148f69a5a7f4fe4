//! What can go wrong with a consumer.

use crate::code::Code;
use crate::sink::SinkError;

/// Why a pack is not delivered.
pub enum Failure {
    /// The consumer must be replaced. "The consumer …".
    Consumer(String),
    /// It is fine, and does not take this pack.
    Rejected(String),
    /// No consumer would help.
    Fatal(SinkError),
}

impl Failure {
    pub fn broken(what: String) -> Self {
        let text = format!(
            "exec: the consumer's records do not fit: {what}; let it find them again, or start anew with a new point"
        );
        Failure::Fatal(SinkError::fatal(Code::SinkBroken, text))
    }
}

/// Some of what a consumer said, for a message.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(bytes.get(..MOST).unwrap_or(bytes));
    let more = if bytes.len() > MOST { "…" } else { "" };
    format!("\"{text}{more}\"")
}
