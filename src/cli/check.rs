//! `fountain check`: the doctor's report on standard output, and what it comes to.

use crate::cli::Failure;
use crate::cli::args::ConfArgs;
use crate::cli::args::Strictness;
use crate::cli::request;
use crate::code::Code;
use crate::config::Config;
use crate::config::Problem;
use crate::doctor;
use crate::doctor::Finding;
use crate::doctor::Place;
use crate::doctor::Report;
use crate::logging;
use log::LevelFilter;
use std::io;

/// Looks everything over. The failure has no lines: the report has told them.
pub fn check(conf: &ConfArgs, strictness: Strictness) -> Result<(), Failure> {
    // What the connections have to say in the log, the findings say better.
    logging::start(LevelFilter::Off);
    let mut report = Report::new(io::stdout());
    let mut refused = true;
    match load(conf) {
        Err(problems) => report.tell(Place::default(), problems.into_iter().map(Finding::from)),
        Ok(config) => {
            refused = !config.unsupported().is_empty();
            doctor::examine(&config, &mut report);
        }
    }
    let failed = report.errors() > 0 || strictness == Strictness::Strict && report.warnings() > 0;
    let exit = match (refused, failed) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    };
    match report.finish() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(Code::FileError, format!("standard output: {error}")))
        }
        _ if exit == 0 => Ok(()),
        _ => Err(Failure { exit, lines: Vec::new() }),
    }
}

fn load(conf: &ConfArgs) -> Result<Config, Vec<Problem>> {
    let config = Config::load(&request(conf))?;
    config.need_shards().map_err(|problem| vec![problem])?;
    Ok(config)
}
