//! The command line: what was typed, which command that is, and how its end is told.
//!
//! Commands return a `Failure` or print what they have to say; `main` prints a failure once and turns it into
//! the exit code. The work of `run` and `cat` is the engine's.

pub mod args;
mod check;
pub mod commands;
mod conf;
mod control;
pub mod control_args;
pub mod engine;
mod failure;
mod filter;
mod help;
mod points;
pub mod points_args;
pub mod schema;
mod status;
pub mod until;
mod verify;

pub use args::CatOptions;
pub use args::RunOptions;
pub use failure::Failure;
pub use until::Until;

use crate::code::Code;
use crate::config::Config;
use crate::config::Problem;
use crate::config::Request;
use crate::logging::one_line;
use args::ConfArgs;
use args::Invocation;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the program with the process's own arguments and environment.
pub fn main() -> ExitCode {
    match args::parse(std::env::args_os()).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // When standard error is gone too, the exit code is all that is left to tell it.
            let told = failure
                .lines
                .iter()
                .try_for_each(|line| writeln!(io::stderr(), "{}", one_line(line.clone())));
            ExitCode::from(if told.is_err() { failure.exit.max(1) } else { failure.exit })
        }
    }
}

fn perform(invocation: Invocation) -> Result<(), Failure> {
    match invocation {
        Invocation::Help(None) => print(&help::overview()),
        Invocation::Help(Some(topic)) => print(&help::topic(&topic).unwrap_or_else(help::overview)),
        Invocation::Version => print(&version()),
        Invocation::Run(conf, options) => run(&conf, options),
        Invocation::Cat(conf, options) => cat(&conf, options),
        Invocation::Check(conf, strictness) => check::check(&conf, strictness),
        Invocation::Verify(conf, options) => verify::verify(&conf, &options),
        Invocation::Schema(conf, command) => {
            let config = load(&conf)?;
            config.need_shards()?;
            schema::schema(&config, command)
        }
        Invocation::Conf(conf) => {
            let config = load(&conf)?;
            config.need_shards()?;
            print(&conf::table(&config))
        }
        Invocation::Points(conf, command) => points::points(&load_shards(&conf)?, command),
        Invocation::Control(conf, command) => control::control(&load_shards(&conf)?, command),
        Invocation::Status(conf, json) => {
            // What cannot be found out is "unknown", as monitors call it.
            let config = load_shards(&conf).map_err(|failure| Failure { exit: 3, ..failure })?;
            status::status(&config, json)
        }
        Invocation::Gaps(conf, options) => points::gaps(&load_shards(&conf)?, &options),
        Invocation::FilterTest(conf, table) => print(&filter::test(&load(&conf)?, &table)),
    }
}

fn run(conf: &ConfArgs, options: RunOptions) -> Result<(), Failure> {
    let config = load(conf)?;
    config.need_shards()?;
    let unsupported = config.unsupported();
    if !unsupported.is_empty() {
        return Err(Failure::configuration(&unsupported));
    }
    let until = options.until.map(|until| until.for_shards(&config)).transpose()?;
    engine::run(config, RunOptions { until })
}

/// `cat` needs no server and asks none unless `--conf`, `-D` or the environment name it: the default files
/// are not read.
fn cat(conf: &ConfArgs, options: CatOptions) -> Result<(), Failure> {
    let config = config(Request { default_files: false, ..request(conf) })?;
    let unsupported = config.unsupported_for_cat();
    if !unsupported.is_empty() {
        return Err(Failure::configuration(&unsupported));
    }
    engine::cat(config, options)
}

fn load_shards(conf: &ConfArgs) -> Result<Config, Failure> {
    let config = load(conf)?;
    config.need_shards()?;
    Ok(config)
}

fn load(conf: &ConfArgs) -> Result<Config, Failure> {
    config(request(conf))
}

fn config(request: Request) -> Result<Config, Failure> {
    Config::load(&request).map_err(|problems| Failure::configuration(&problems))
}

fn request(conf: &ConfArgs) -> Request {
    Request {
        home: home(),
        files: conf.files.clone(),
        default_files: true,
        environment: std::env::vars_os().collect(),
        defines: conf.defines.clone(),
    }
}

/// `$FOUNTAIN_HOME`, else the parent of the folder that the program is in.
fn home() -> PathBuf {
    let named = std::env::var_os("FOUNTAIN_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let beside =
        || std::env::current_exe().ok().and_then(|program| program.parent()?.parent().map(Path::to_path_buf));
    let home = named.or_else(beside).unwrap_or_default();
    std::path::absolute(&home).unwrap_or(home)
}

fn version() -> String {
    let (commit, target) = (env!("FOUNTAIN_COMMIT"), env!("FOUNTAIN_TARGET"));
    format!("fountain {} (commit {commit}, target {target})\n", env!("CARGO_PKG_VERSION"))
}

/// Prints to standard output. A reader that has gone away has seen what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(Code::FileError, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// For `Config::need_shards` and its like.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure::configuration(&[problem])
    }
}
