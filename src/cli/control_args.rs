//! What was typed behind `suspend`, `resume`, `switch`, `step-down` and `status`.

use crate::cli::Failure;
use crate::cli::points_args::Typed;
use crate::config::value;
use crate::config::value::Unit;
use std::time::Duration;

/// A suspension that is to end by itself lasts at least and at most so long.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What is asked of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlCommand {
    Suspend {
        shard: String,
        reason: String,
        time: Option<Duration>,
    },
    Resume {
        shard: Option<String>,
    },
    /// 0: the main server, K: haK.
    Switch {
        shard: String,
        backup: u32,
    },
    StepDown {
        shard: Option<String>,
    },
}

impl ControlCommand {
    pub fn suspend(typed: &Typed) -> Result<Self, Failure> {
        let [shard] = words(typed, "suspend SHARD --reason TEXT")?;
        let reason = typed.value("--reason").map(str::trim).filter(|reason| !reason.is_empty());
        let needed = || Failure::usage("\"fountain suspend\" needs --reason TEXT: it is kept and shown");
        let reason = reason.ok_or_else(needed)?.to_owned();
        let time = typed.value("--for").map(duration).transpose()?;
        Ok(Self::Suspend { shard, reason, time })
    }

    pub fn resume(typed: &Typed) -> Result<Self, Failure> {
        Ok(Self::Resume { shard: at_most_one(typed, "resume")? })
    }

    pub fn switch(typed: &Typed) -> Result<Self, Failure> {
        let [shard, source] = words(typed, "switch SHARD main|haK")?;
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let backup = match source.as_str() {
            "main" => Some(0),
            source => source.strip_prefix("ha").and_then(number),
        };
        let bad = || Failure::usage(format!("expected main or haK, got \"{source}\""));
        Ok(Self::Switch { shard, backup: backup.ok_or_else(bad)? })
    }

    pub fn step_down(typed: &Typed) -> Result<Self, Failure> {
        Ok(Self::StepDown { shard: at_most_one(typed, "step-down")? })
    }
}

fn words<const N: usize>(typed: &Typed, usage: &str) -> Result<[String; N], Failure> {
    let words = typed.plain_words()?;
    <[String; N]>::try_from(words).map_err(|_| Failure::usage(format!("expected \"fountain {usage}\"")))
}

fn at_most_one(typed: &Typed, command: &str) -> Result<Option<String>, Failure> {
    let mut words = typed.plain_words()?.into_iter();
    let first = words.next();
    match words.next() {
        None => Ok(first),
        Some(extra) => Err(Failure::usage(format!("\"fountain {command}\" does not take \"{extra}\""))),
    }
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let time = value::time(text, Unit::Seconds).filter(|time| (SHORTEST..=LONGEST).contains(time));
    time.ok_or_else(|| {
        Failure::usage(format!(
            "--for: expected a time such as 2h, 90m or 45s, of a second or more, got \"{text}\""
        ))
    })
}
