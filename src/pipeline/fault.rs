//! Why a shard cannot go on, and what that means for it.

use crate::code::Code;
use std::fmt;

/// What is to be done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Connect again, to this source or another one: the network, a restart, a silent server.
    Retry,
    /// The server lacks transactions that we have, and may get them: ask again for a while, then it is a no.
    Wait,
    /// The server says no, and will until somebody acts: a wrong password, a purged binlog.
    Refused,
    /// What lies in the stream or on our side cannot be passed: the shard stops.
    Stop,
}

/// A coded reason, complete with its place, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    pub text: String,
    pub cure: Cure,
}

impl Fault {
    pub fn stop(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), cure: Cure::Stop }
    }

    pub fn refused(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), cure: Cure::Refused }
    }

    pub fn wait(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), cure: Cure::Wait }
    }

    pub fn retry(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), cure: Cure::Retry }
    }
}

impl Fault {
    /// Of two ends the one that counts more, the second: of two faults the first one is told here, unless both say the same.
    pub fn weigh(first: Result<(), Fault>, second: Result<(), Fault>) -> Result<(), Fault> {
        if let (Err(first), Err(second)) = (&first, &second)
            && first.code != second.code
        {
            log::error!("{first}");
        }
        second.and(first)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl std::error::Error for Fault {}
