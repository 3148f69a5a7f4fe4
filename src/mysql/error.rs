//! What can go wrong between us and a server, told so that a person can act and the caller can decide.

use crate::code::Code;
use std::fmt;
use std::time::Duration;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It may pass: the network, a server that restarts, too many connections.
    Retry,
    /// It stays until somebody changes the server or the configuration.
    Refused,
    /// We were asked to stop while waiting.
    Stopped,
}

/// An error of one server. `Display` is one line: code, place, what happened, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    code: Code,
    kind: ErrorKind,
    place: String,
    text: String,
    advice: Option<String>,
    server_errno: Option<u16>,
}

impl SourceError {
    pub(super) fn new(code: Code, kind: ErrorKind, place: &str, text: impl Into<String>) -> Self {
        Self { code, kind, place: place.to_string(), text: text.into(), advice: None, server_errno: None }
    }

    pub(super) fn retry(code: Code, place: &str, text: impl Into<String>) -> Self {
        Self::new(code, ErrorKind::Retry, place, text)
    }

    pub(super) fn refused(code: Code, place: &str, text: impl Into<String>) -> Self {
        Self::new(code, ErrorKind::Refused, place, text)
    }

    pub(super) fn stopped(place: &str, what: &str) -> Self {
        Self::new(Code::Stopped, ErrorKind::Stopped, place, format!("asked to stop while waiting for {what}"))
    }

    pub(super) fn timeout(place: &str, what: &str, limit: Duration) -> Self {
        Self::retry(Code::Timeout, place, format!("no {what} within {limit:?}"))
    }

    pub(super) fn lost(place: &str, what: &str, cause: &dyn fmt::Display) -> Self {
        Self::retry(Code::ConnectionLost, place, format!("connection lost while waiting for {what}: {cause}"))
    }

    pub(super) fn protocol(place: &str, what: &str, cause: &dyn fmt::Display) -> Self {
        Self::retry(Code::Protocol, place, format!("cannot read the {what}: {cause}"))
    }

    /// Adds what to do.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds the server's own number.
    pub(super) fn numbered(mut self, number: u16) -> Self {
        self.server_errno = Some(number);
        self
    }

    /// Adds the statement that the error is about, cut where it gets long.
    pub(super) fn about(mut self, sql: &str) -> Self {
        let short: String = sql.chars().take(120).collect();
        self.text = format!("{}, in answer to: {short}", self.text);
        self
    }

    /// The stable word for what went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The server, as `host:port`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What happened, without the place and the advice.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a person can do about it, where we know.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The number of the server's error, where the server sent one.
    pub fn server_errno(&self) -> Option<u16> {
        self.server_errno
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.place, self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SourceError {}
