//! The command line as typed. Options may stand before and behind the command's name.

#[cfg(test)]
mod tests;

use crate::cli::Failure;
use crate::cli::commands;
use crate::cli::commands::Action;
use crate::cli::commands::COMMON_OPTIONS;
use crate::cli::commands::Command;
use crate::cli::control_args::ControlCommand;
use crate::cli::points_args;
use crate::cli::points_args::GapsOptions;
use crate::cli::points_args::PointsCommand;
use crate::cli::points_args::SET_FLAGS;
use crate::cli::points_args::SET_VALUES;
use crate::cli::schema::SchemaCommand;
use crate::cli::until::Until;
use crate::config::near;
use crate::config::properties;
use crate::verify::VerifyOptions;
use crate::verify::against::AgainstOptions;
use crate::verify::report::Form;
use lexopt::Arg;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// `--sample` where it is not given.
const SAMPLE: u64 = 300;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Print the list of commands, or one command's help.
    Help(Option<String>),
    /// Print version, commit and target.
    Version,
    /// Stream every shard.
    Run(ConfArgs, RunOptions),
    /// Decode files.
    Cat(ConfArgs, CatOptions),
    /// Look everything over; strictly: a warning counts as an error.
    Check(ConfArgs, Strictness),
    /// Prove files of the file sink.
    Verify(ConfArgs, VerifyOptions),
    /// Look at definitions, or put some in.
    Schema(ConfArgs, SchemaCommand),
    /// Show the configuration.
    Conf(ConfArgs),
    /// Say which rule decides on a table.
    FilterTest(ConfArgs, TableName),
    /// Look at sync points, or move one.
    Points(ConfArgs, PointsCommand),
    /// Ask something of the node that runs here.
    Control(ConfArgs, ControlCommand),
    /// Say how every shard is doing; as JSON, or as a table.
    Status(ConfArgs, bool),
    /// List gap records.
    Gaps(ConfArgs, GapsOptions),
}

/// The options that say where the configuration comes from.
#[derive(Default, PartialEq, Eq)]
pub struct ConfArgs {
    /// `--conf FILE`, in order.
    pub files: Vec<PathBuf>,
    /// `-D KEY=VALUE`, in order.
    pub defines: Vec<(String, String)>,
}

/// Without the values: somebody may have typed a password before it was refused.
impl fmt::Debug for ConfArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.defines.iter().map(|(key, _)| key).collect();
        f.debug_struct("ConfArgs").field("files", &self.files).field("defines", &keys).finish()
    }
}

/// The options of `run`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Where to end; `None` runs until it is told to stop.
    pub until: Option<Until>,
}

/// `check --strict`, or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Warnings are allowed.
    #[default]
    Lenient,
    /// A warning fails the check.
    Strict,
}

/// The options of `cat`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatOptions {
    /// `--schema FILE`.
    pub schema: Option<PathBuf>,
    /// The binlog files, at least one.
    pub files: Vec<PathBuf>,
}

/// `DB.TABLE`.
#[derive(Debug, PartialEq, Eq)]
pub struct TableName {
    /// Before the first dot.
    pub database: String,
    /// Behind it.
    pub table: String,
}

/// Everything typed, before the command is known to want it.
#[derive(Default)]
struct Typed {
    command: Option<&'static Command>,
    conf: ConfArgs,
    until: Option<Until>,
    schema: Option<PathBuf>,
    strictness: Strictness,
    /// Options with a value that only a few commands have, each given once.
    values: Vec<(&'static str, String)>,
    shard: Option<String>,
    form: Form,
    against: bool,
    sample: Option<u64>,
    seed: Option<u64>,
    words: Vec<OsString>,
    options: Vec<&'static str>,
    help: bool,
    version: bool,
}

/// Reads the arguments; the first is the program's own name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut typed = Typed::default();
    while let Some(argument) = parser.next().map_err(Failure::usage)? {
        match argument {
            Arg::Value(word) if typed.command.is_none() => {
                let command = command(&word)?;
                typed.command = Some(command);
                if command.action.is_none() {
                    return not_here(command, &mut parser);
                }
            }
            Arg::Value(word) => typed.words.push(word),
            option => {
                let option = known(&option, typed.command)?;
                typed.take(option, &mut parser)?;
            }
        }
    }
    typed.invocation()
}

fn command(word: &OsString) -> Result<&'static Command, Failure> {
    let word = word.to_string_lossy();
    commands::find(&word).ok_or_else(|| {
        let hint = near::hint(&word, commands::COMMANDS.iter().map(|command| command.name));
        let list = if hint.is_empty() { "; \"fountain help\" lists them" } else { "" };
        Failure::usage(format!("unknown command \"{word}\"{hint}{list}"))
    })
}

/// A command of a later version may have options that this one has never heard of.
fn not_here(command: &Command, parser: &mut lexopt::Parser) -> Result<Invocation, Failure> {
    let rest = parser.raw_args().map_err(Failure::usage)?;
    if rest.as_slice().iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Invocation::Help(Some(command.name.to_string())));
    }
    Err(Failure::unsupported(format!("\"fountain {}\" is not in this version", command.name)))
}

const OPTIONS: [&str; 15] = [
    "--conf",
    "-D",
    "--until",
    "--schema",
    "--strict",
    "--shard",
    "--json",
    "--against",
    "--sample",
    "--seed",
    "--watch",
    "--help",
    "-h",
    "--version",
    "-V",
];

/// Those with a value that are kept as typed, besides the ones of `points set`.
const VALUES: [&str; 4] = ["--limit", "--time", "--since", "--for"];

/// The option's name in the table of options.
fn known(option: &Arg<'_>, command: Option<&Command>) -> Result<&'static str, Failure> {
    let typed = match option {
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Long(name) => format!("--{name}"),
        Arg::Value(word) => word.to_string_lossy().into_owned(),
    };
    let mut all = OPTIONS.iter().chain(&VALUES).chain(&SET_VALUES).chain(&SET_FLAGS);
    all.find(|option| **option == typed).copied().ok_or_else(|| {
        let own: Vec<_> = command.map_or(OPTIONS.to_vec(), |command| command.own_options().collect());
        let hint = near::hint(&typed, own.into_iter().chain(COMMON_OPTIONS));
        let list = match command {
            _ if !hint.is_empty() => String::new(),
            Some(command) => format!("; \"fountain help {}\" lists them", command.name),
            None => "; \"fountain help\" lists them".to_string(),
        };
        Failure::usage(format!("unknown option \"{typed}\"{hint}{list}"))
    })
}

impl Typed {
    fn take(&mut self, option: &'static str, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        let once = |given: bool| {
            if given { Err(Failure::usage(format!("{option} is given twice"))) } else { Ok(()) }
        };
        let mut value =
            || parser.value().map_err(|_| Failure::usage(format!("{option} needs a value behind it")));
        match option {
            "--conf" => self.conf.files.push(PathBuf::from(value()?)),
            "-D" => self.conf.defines.push(define(value()?)?),
            "--until" => {
                once(self.until.is_some())?;
                self.until = Some(Until::parse(&text(option, value()?)?)?);
            }
            "--schema" => {
                once(self.schema.is_some())?;
                self.schema = Some(PathBuf::from(value()?));
            }
            "--strict" => self.strictness = Strictness::Strict,
            flag if flag == "--watch" || SET_FLAGS.contains(&flag) => {}
            name if VALUES.contains(&name) || SET_VALUES.contains(&name) => {
                once(self.values.iter().any(|(given, _)| *given == name))?;
                self.values.push((name, text(name, value()?)?));
            }
            "--shard" => {
                once(self.shard.is_some())?;
                self.shard = Some(text(option, value()?)?);
            }
            "--json" => self.form = Form::Json,
            "--against" => self.against = true,
            "--sample" => {
                once(self.sample.is_some())?;
                self.sample = Some(number(option, value()?)?);
            }
            "--seed" => {
                once(self.seed.is_some())?;
                self.seed = Some(number(option, value()?)?);
            }
            "--help" | "-h" => self.help = true,
            _ => self.version = true,
        }
        self.options.push(option);
        Ok(())
    }

    fn invocation(self) -> Result<Invocation, Failure> {
        if self.help {
            return Ok(Invocation::Help(self.command.map(|command| command.name.to_string())));
        }
        if self.version {
            return Ok(Invocation::Version);
        }
        let Some(command) = self.command else {
            return Err(Failure::usage("no command given; \"fountain help\" lists them"));
        };
        let Some(action) = command.action else {
            return Err(Failure::unsupported(format!(
                "\"fountain {}\" is not in this version",
                command.name
            )));
        };
        self.check_options(command)?;
        self.act(action)
    }

    fn check_options(&self, command: &Command) -> Result<(), Failure> {
        let fits = |option: &&str| {
            COMMON_OPTIONS.contains(option) || command.own_options().any(|own| own == *option)
        };
        match self.options.iter().copied().find(|option| !fits(option)) {
            Some(option) => {
                Err(Failure::usage(format!("\"fountain {}\" has no option {option}", command.name)))
            }
            None => Ok(()),
        }
    }

    fn act(self, action: Action) -> Result<Invocation, Failure> {
        match action {
            Action::Run => {
                self.no_words("run")?;
                Ok(Invocation::Run(self.conf, RunOptions { until: self.until }))
            }
            Action::Check => {
                self.no_words("check")?;
                Ok(Invocation::Check(self.conf, self.strictness))
            }
            Action::Conf => {
                self.no_words("conf")?;
                Ok(Invocation::Conf(self.conf))
            }
            Action::Version => {
                self.no_words("version")?;
                Ok(Invocation::Version)
            }
            Action::Cat => {
                let files: Vec<PathBuf> = self.words.into_iter().map(PathBuf::from).collect();
                if files.is_empty() {
                    return Err(Failure::usage("\"fountain cat\" needs at least one binlog file"));
                }
                Ok(Invocation::Cat(self.conf, CatOptions { schema: self.schema, files }))
            }
            Action::Verify => {
                let folders: Vec<PathBuf> = self.words.into_iter().map(PathBuf::from).collect();
                if folders.is_empty() {
                    return Err(Failure::usage(
                        "\"fountain verify\" needs at least one folder of the file sink",
                    ));
                }
                if !self.against && (self.sample.is_some() || self.seed.is_some()) {
                    return Err(Failure::usage("--sample and --seed go with --against"));
                }
                let sample = usize::try_from(self.sample.unwrap_or(SAMPLE)).unwrap_or(usize::MAX);
                let against = AgainstOptions { sample, seed: self.seed.unwrap_or(0) };
                let against = self.against.then_some(against);
                let options = VerifyOptions { folders, shard: self.shard, form: self.form, against };
                Ok(Invocation::Verify(self.conf, options))
            }
            Action::Schema => {
                let words: Result<Vec<String>, Failure> =
                    self.words.into_iter().map(|word| text("schema", word)).collect();
                // The only one of these that the command has.
                let reason = self.values.into_iter().next().map(|(_, reason)| reason);
                let command = SchemaCommand::parse(words?, self.form == Form::Json, reason)?;
                Ok(Invocation::Schema(self.conf, command))
            }
            Action::Filter => {
                let table = filter_test(&self.words)?;
                Ok(Invocation::FilterTest(self.conf, table))
            }
            Action::Points => {
                let typed =
                    points_args::Typed { words: self.words, values: self.values, options: self.options };
                typed.points().map(|points| Invocation::Points(self.conf, points))
            }
            Action::Status => {
                self.no_words("status")?;
                if self.options.contains(&"--watch") {
                    return Err(Failure::unsupported("\"--watch\" is not in this version; watch(1) does it"));
                }
                Ok(Invocation::Status(self.conf, self.form == Form::Json))
            }
            Action::Suspend | Action::Resume | Action::Switch | Action::StepDown => {
                let typed =
                    points_args::Typed { words: self.words, values: self.values, options: self.options };
                let command = match action {
                    Action::Suspend => ControlCommand::suspend(&typed),
                    Action::Resume => ControlCommand::resume(&typed),
                    Action::Switch => ControlCommand::switch(&typed),
                    _ => ControlCommand::step_down(&typed),
                };
                command.map(|command| Invocation::Control(self.conf, command))
            }
            Action::Gaps => {
                let typed =
                    points_args::Typed { words: self.words, values: self.values, options: self.options };
                typed.gaps().map(|gaps| Invocation::Gaps(self.conf, gaps))
            }
            Action::Help => match self.words.as_slice() {
                [] => Ok(Invocation::Help(None)),
                [topic] if topic == "keys" => Ok(Invocation::Help(Some("keys".to_string()))),
                [topic] if topic == "codes" => Ok(Invocation::Help(Some("codes".to_string()))),
                [topic] => Ok(Invocation::Help(Some(command(topic)?.name.to_string()))),
                [_, extra, ..] => Err(unexpected("help", extra)),
            },
        }
    }

    fn no_words(&self, command: &str) -> Result<(), Failure> {
        self.words.first().map_or(Ok(()), |word| Err(unexpected(command, word)))
    }
}

fn unexpected(command: &str, word: &OsString) -> Failure {
    Failure::usage(format!("\"fountain {command}\" does not take \"{}\"", word.to_string_lossy()))
}

/// `test DB.TABLE`
fn filter_test(words: &[OsString]) -> Result<TableName, Failure> {
    let expected = "expected \"fountain filter test DB.TABLE\"";
    let [test, name] = words else { return Err(Failure::usage(expected)) };
    let name = text("DB.TABLE", name.clone())?;
    let parts = name.split_once('.').filter(|(database, table)| !database.is_empty() && !table.is_empty());
    match parts {
        Some((database, table)) if test == "test" => {
            Ok(TableName { database: database.to_string(), table: table.to_string() })
        }
        _ => Err(Failure::usage(expected)),
    }
}

/// What stands behind `-D`. The message shows no value: it could be a password.
fn define(value: OsString) -> Result<(String, String), Failure> {
    let pair = value.to_str().and_then(|pair| pair.split_once('='));
    pair.map(|(key, value)| (key.to_string(), value.to_string())).ok_or_else(|| {
        let shown = properties::shown_key(&value.to_string_lossy());
        Failure::usage(format!("-D {shown}: expected -D KEY=VALUE"))
    })
}

fn number(option: &str, value: OsString) -> Result<u64, Failure> {
    let text = text(option, value)?;
    text.parse().map_err(|_| Failure::usage(format!("{option} {text}: expected a whole number")))
}

fn text(what: &str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|value| {
        let shown = value.to_string_lossy().into_owned();
        Failure::usage(format!("{what}: \"{shown}\" is not UTF-8 text"))
    })
}
