//! What is wrong with a configuration: one line each, all of them at once.

use crate::code::Code;
use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The key table.
    Default,
    /// A line of a properties file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
    },
    /// An environment variable of the key's name.
    Environment,
    /// `-D KEY=VALUE`.
    Define,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment => f.write_str("environment"),
            Origin::Define => f.write_str("-D"),
        }
    }
}

/// One thing that is wrong, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `Config`, or `Unsupported` for what belongs to the contract and is not in this version.
    pub code: Code,
    /// Where, when it is one place.
    pub origin: Option<Origin>,
    /// What, with the key's name. Never a secret.
    pub text: String,
}

impl Problem {
    /// A mistake at one place.
    pub fn at(origin: &Origin, text: impl Into<String>) -> Self {
        Problem { code: Code::Config, origin: Some(origin.clone()), text: text.into() }
    }

    /// A mistake that has no single place.
    pub fn general(text: impl Into<String>) -> Self {
        Problem { code: Code::Config, origin: None, text: text.into() }
    }

    /// Something that is right and that this version does not do.
    pub fn unsupported(origin: Option<&Origin>, text: impl Into<String>) -> Self {
        Problem { code: Code::Unsupported, origin: origin.cloned(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for Problem {}

/// The problems in their order, each once: main server and backup often share the line that is wrong.
pub fn without_repeats(problems: Vec<Problem>) -> Vec<Problem> {
    let mut once: Vec<Problem> = Vec::new();
    for problem in problems {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_that_begins_with_its_code() {
        let origin = Origin::File { path: "conf/jdbc-mysql.properties".into(), line: 14 };
        assert_eq!(Problem::at(&origin, "bad").to_string(), "CONFIG conf/jdbc-mysql.properties:14: bad");
        assert_eq!(Problem::at(&Origin::Define, "bad").to_string(), "CONFIG -D: bad");
        assert_eq!(Problem::general("bad").to_string(), "CONFIG bad");
        let later = Problem::unsupported(Some(&Origin::Environment), "later");
        assert_eq!(later.to_string(), "UNSUPPORTED environment: later");
    }
}
