//! What the doctor says about one thing: fine, take care, or wrong; and what cures it.

use crate::code::Code;
use crate::config::Problem;
use crate::mysql::advice::Advice;
use crate::mysql::error::SourceError;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warn,
    Error,
}

impl Level {
    /// The word that a line begins with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What was looked at and found in order. A line that is fine carries a topic where others carry their code, so that a
/// search for a code finds trouble only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    Configuration,
    Folders,
    Limits,
    Sink,
    Connection,
    Encryption,
    Rights,
    Binlog,
    Gtid,
    Replicas,
    Clock,
    Expiry,
    Point,
    Tables,
    History,
    ZooKeeper,
}

impl Topic {
    fn word(self) -> &'static str {
        match self {
            Self::Configuration => "CONFIGURATION",
            Self::Folders => "FOLDERS",
            Self::Limits => "LIMITS_FIT",
            Self::Sink => "SINK",
            Self::Connection => "CONNECTION",
            Self::Encryption => "ENCRYPTION",
            Self::Rights => "RIGHTS",
            Self::Binlog => "BINLOG",
            Self::Gtid => "GTID",
            Self::Replicas => "REPLICAS",
            Self::Clock => "CLOCK",
            Self::Expiry => "EXPIRY",
            Self::Point => "POINT",
            Self::Tables => "TABLES",
            Self::History => "HISTORY",
            Self::ZooKeeper => "ZOOKEEPER",
        }
    }
}

/// One thing that the doctor found. Its place is added where it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// In capitals.
    pub code: &'static str,
    pub text: String,
    /// What to do, in the words of the server's SQL or of a key.
    pub cure: Option<String>,
}

impl Finding {
    pub fn fine(topic: Topic, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, code: topic.word(), text: text.into(), cure: None }
    }

    pub fn warn(code: Code, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { level: Level::Warn, code: code.as_str(), text: text.into(), cure: Some(cure.into()) }
    }

    pub fn error(code: Code, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { level: Level::Error, code: code.as_str(), text: text.into(), cure: Some(cure.into()) }
    }

    /// An error of a source, whose place the line names anyway.
    pub fn source(level: Level, error: &SourceError) -> Self {
        Self {
            level,
            code: error.code().as_str(),
            text: error.text().to_owned(),
            cure: error.advice().map(str::to_owned),
        }
    }
}

/// Problems of the configuration end with the way out.
impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        let place = problem.origin.map(|origin| format!("{origin}: ")).unwrap_or_default();
        let text = format!("{place}{}", problem.text);
        Self { level: Level::Error, code: problem.code.as_str(), text, cure: None }
    }
}

impl From<Advice> for Finding {
    fn from(advice: Advice) -> Self {
        Self::warn(advice.code, advice.text, advice.cure)
    }
}
