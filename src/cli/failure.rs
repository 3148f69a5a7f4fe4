//! How a command ends when it does not end well: the lines for a person, and the exit code.

use crate::code::Code;
use crate::config::Problem;
use std::fmt;

/// Why a command failed. Its text is printed once, by `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// 1: it failed. 2: bad usage or configuration.
    pub exit: u8,
    /// One line each; a stable code stands first.
    pub lines: Vec<String>,
}

impl Failure {
    /// The work itself failed: exit code 1.
    pub fn failed(code: Code, text: impl fmt::Display) -> Self {
        Failure { exit: 1, lines: vec![format!("{code} {text}")] }
    }

    /// The command line cannot be understood: exit code 2.
    pub fn usage(text: impl fmt::Display) -> Self {
        Failure { exit: 2, lines: vec![format!("{} {text}", Code::Usage)] }
    }

    /// This version does not do it: exit code 2.
    pub fn unsupported(text: impl fmt::Display) -> Self {
        Failure { exit: 2, lines: vec![format!("{} {text}", Code::Unsupported)] }
    }

    /// The configuration cannot be used: exit code 2.
    pub fn configuration(problems: &[Problem]) -> Self {
        Failure { exit: 2, lines: problems.iter().map(Problem::to_string).collect() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Failure {}
