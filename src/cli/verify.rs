//! `fountain verify`: the proof on standard output, and what it comes to.

use crate::cli::Failure;
use crate::cli::args::ConfArgs;
use crate::cli::load;
use crate::code::Code;
use crate::logging;
use crate::verify;
use crate::verify::VerifyOptions;
use log::LevelFilter;
use std::io;

/// The failure has no lines where the report has told them.
/// A configuration is read only where servers are to be asked.
pub fn verify(conf: &ConfArgs, options: &VerifyOptions) -> Result<(), Failure> {
    let config = match options.against {
        Some(_) => {
            logging::start(LevelFilter::Warn);
            let config = load(conf)?;
            config.need_shards()?;
            Some(config)
        }
        None => None,
    };
    match verify::verify(options, config.as_ref(), &mut io::stdout()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure { exit: 1, lines: Vec::new() }),
        Err(error) => Err(Failure::failed(Code::FileError, format!("standard output: {error}"))),
    }
}
