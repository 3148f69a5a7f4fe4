//! What was typed behind `points` and `gaps`.

use crate::binlog::ExecutedGtids;
use crate::cli::Failure;
use crate::config::StartWithoutPoint;
use crate::config::near;
use crate::config::place;
use crate::points::set::PreparedXa;
use crate::points::set::Prover;
use crate::points::set::Target;
use crate::points::time;
use std::ffi::OsString;

/// `fountain points …`
#[derive(Debug, PartialEq, Eq)]
pub enum PointsCommand {
    Show(Looking),
    /// The last `limit` ones only.
    History(Looking, Option<usize>),
    /// The one before a time in milliseconds since 1970.
    Find(Looking, u64),
    Set(SetOptions),
}

/// Which shard, or all, and in which form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looking {
    pub shard: Option<String>,
    pub json: bool,
}

/// `fountain points set`
#[derive(Debug, PartialEq, Eq)]
pub struct SetOptions {
    pub shard: String,
    pub target: Target,
    pub prover: Prover,
    pub prepared: PreparedXa,
    pub reason: String,
    pub yes: bool,
    pub json: bool,
}

/// `fountain gaps`
#[derive(Debug, PartialEq, Eq)]
pub struct GapsOptions {
    pub looking: Looking,
    /// In milliseconds since 1970.
    pub since_ms: u64,
}

/// As typed.
pub struct Typed {
    pub words: Vec<OsString>,
    pub values: Vec<(&'static str, String)>,
    pub options: Vec<&'static str>,
}

const EVERYWHERE: [&str; 3] = ["--conf", "-D", "--json"];
const PLACES: [&str; 6] = ["--file", "--gtids", "--to-history", "--start", "--drop-gtids", "--from-local"];
/// The options of `points set` that have a value, and those that have none.
pub const SET_VALUES: [&str; 8] =
    ["--file", "--pos", "--gtids", "--to-history", "--start", "--drop-gtids", "--source", "--reason"];
pub const SET_FLAGS: [&str; 4] = ["--drop-xa", "--no-server", "--from-local", "--yes"];

impl Typed {
    pub fn gaps(self) -> Result<GapsOptions, Failure> {
        let words = self.plain_words()?;
        let looking = self.looking("gaps", &words)?;
        let since_ms = self.value("--since").map_or(Ok(0), |text| in_time("--since", text))?;
        Ok(GapsOptions { looking, since_ms })
    }

    pub fn points(self) -> Result<PointsCommand, Failure> {
        let words = self.plain_words()?;
        let Some((command, words)) = words.split_first() else {
            return Err(Failure::usage("expected \"fountain points show|history|find|set\""));
        };
        let full = format!("points {command}");
        match command.as_str() {
            "show" => {
                self.only(&full, &[])?;
                Ok(PointsCommand::Show(self.looking(&full, words)?))
            }
            "history" => {
                self.only(&full, &[&["--limit"]])?;
                let limit = self.value("--limit").map(|text| number("--limit", text, 0)).transpose()?;
                let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
                Ok(PointsCommand::History(self.looking(&full, words)?, limit))
            }
            "find" => {
                self.only(&full, &[&["--time"]])?;
                let needed = || Failure::usage("\"fountain points find\" needs --time T");
                let time_ms = in_time("--time", self.value("--time").ok_or_else(needed)?)?;
                Ok(PointsCommand::Find(self.looking(&full, words)?, time_ms))
            }
            "set" => {
                self.only(&full, &[&SET_VALUES, &SET_FLAGS])?;
                self.set(words).map(PointsCommand::Set)
            }
            other => {
                let hint = near::hint(other, ["show", "history", "find", "set"]);
                Err(Failure::usage(format!("\"fountain points\" does not know \"{other}\"{hint}")))
            }
        }
    }

    fn set(&self, words: &[String]) -> Result<SetOptions, Failure> {
        let Looking { shard, json } = self.looking("points set", words)?;
        let shard = shard.ok_or_else(|| Failure::usage("\"fountain points set\" needs the shard's name"))?;
        let reason = self.value("--reason").map(str::trim).filter(|reason| !reason.is_empty());
        let needed =
            || Failure::usage("\"fountain points set\" needs --reason TEXT: it is kept with the gap record");
        let reason = reason.ok_or_else(needed)?.to_owned();
        let target = self.target()?;
        let prover = self.prover(&target)?;
        let prepared = if self.has("--drop-xa") { PreparedXa::Drop } else { PreparedXa::Keep };
        Ok(SetOptions { shard, target, prover, prepared, reason, yes: self.has("--yes"), json })
    }

    fn target(&self) -> Result<Target, Failure> {
        let given: Vec<&str> = PLACES.into_iter().filter(|place| self.has(place)).collect();
        if self.has("--file") != self.has("--pos") {
            return Err(Failure::usage("--file and --pos belong together"));
        }
        let place = match given.as_slice() {
            [place] => *place,
            [] if self.has("--drop-xa") => return Ok(Target::Here),
            [] => {
                return Err(Failure::usage(
                    "\"fountain points set\" needs one of --file F --pos P, --gtids SET, --to-history ID, --start \
                     beginning|end, --drop-gtids SET, --from-local, --drop-xa",
                ));
            }
            [one, other, ..] => {
                return Err(Failure::usage(format!("{one} and {other} are two places, one is needed")));
            }
        };
        let text = self.value(place).unwrap_or_default();
        match place {
            "--file" if text.is_empty() || text.contains('/') => Err(Failure::usage(format!(
                "--file: expected the name of a binlog file without its folder, got \"{text}\""
            ))),
            "--file" => {
                let pos = number("--pos", self.value("--pos").unwrap_or_default(), 4)?;
                Ok(Target::Place { file: text.to_owned(), pos })
            }
            "--gtids" => gtids(text).map(Target::Gtids),
            "--from-local" => Ok(Target::Local),
            "--to-history" => number(place, text, 1).map(Target::History),
            "--start" => match text {
                "beginning" => Ok(Target::Start(StartWithoutPoint::Beginning)),
                "end" => Ok(Target::Start(StartWithoutPoint::End)),
                _ => Err(Failure::usage(format!("--start: expected beginning or end, got \"{text}\""))),
            },
            _ => {
                let set = place::with_commas(text).parse();
                let bad = |_| {
                    Failure::usage(format!(
                        "--drop-gtids: expected a GTID set of MySQL, got \"{text}\" (on MariaDB: --gtids with the domains set back)"
                    ))
                };
                set.map(Target::Without).map_err(bad)
            }
        }
    }

    fn prover(&self, target: &Target) -> Result<Prover, Failure> {
        let source = match self.value("--source") {
            None => None,
            Some("main") => Some(0),
            Some(text) => {
                let backup =
                    text.strip_prefix("ha").and_then(|number| number.parse().ok()).filter(|ha| *ha > 0);
                let bad = || Failure::usage(format!("--source: expected main or haK, got \"{text}\""));
                Some(backup.ok_or_else(bad)?)
            }
        };
        match (source, self.has("--no-server")) {
            (Some(_), true) => Err(Failure::usage("--source and --no-server contradict each other")),
            (None, true) if matches!(target, Target::Start(_)) => {
                Err(Failure::usage("--start needs a server: only it knows its beginning and its end"))
            }
            (None, true) => Ok(Prover::Nobody),
            (Some(source), false) => Ok(Prover::Source(source)),
            (None, false) => Ok(Prover::Any),
        }
    }

    fn looking(&self, command: &str, words: &[String]) -> Result<Looking, Failure> {
        match words {
            [] => Ok(Looking { shard: None, json: self.has("--json") }),
            [shard] => Ok(Looking { shard: Some(shard.clone()), json: self.has("--json") }),
            [_, extra, ..] => {
                Err(Failure::usage(format!("\"fountain {command}\" does not take \"{extra}\"")))
            }
        }
    }

    fn only(&self, command: &str, own: &[&[&str]]) -> Result<(), Failure> {
        let fits =
            |option: &&&str| EVERYWHERE.contains(*option) || own.iter().any(|list| list.contains(*option));
        match self.options.iter().find(|option| !fits(option)) {
            Some(option) => Err(Failure::usage(format!("\"fountain {command}\" has no option {option}"))),
            None => Ok(()),
        }
    }

    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| *name == option).map(|(_, value)| value.as_str())
    }

    pub(super) fn plain_words(&self) -> Result<Vec<String>, Failure> {
        let bad =
            |word: &OsString| Failure::usage(format!("\"{}\" is not UTF-8 text", word.to_string_lossy()));
        self.words.iter().map(|word| word.to_str().map(str::to_owned).ok_or_else(|| bad(word))).collect()
    }
}

fn number(option: &str, text: &str, least: u64) -> Result<u64, Failure> {
    let bad = || {
        let more = if least > 0 { format!(" of {least} or more") } else { String::new() };
        Failure::usage(format!("{option}: expected a whole number{more}, got \"{text}\""))
    };
    place::whole_number(text).filter(|number| *number >= least).ok_or_else(bad)
}

fn in_time(option: &str, text: &str) -> Result<u64, Failure> {
    time::parse(text).map_err(|problem| Failure::usage(format!("{option}: {problem}")))
}

fn gtids(text: &str) -> Result<ExecutedGtids, Failure> {
    let compact = place::with_commas(text);
    let bad = || {
        Failure::usage(format!(
            "--gtids: expected a GTID set of MySQL or a position of MariaDB, got \"{text}\""
        ))
    };
    compact.parse().ok().filter(|_| !compact.is_empty()).ok_or_else(bad)
}
