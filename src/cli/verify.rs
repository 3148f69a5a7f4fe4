//! `fountain verify`: the proof on standard output, and what it comes to.

use crate::cli::Failure;
use crate::code::Code;
use crate::verify;
use crate::verify::VerifyOptions;
use std::io;

/// The failure has no lines where the report has told them.
pub fn verify(options: &VerifyOptions) -> Result<(), Failure> {
    match verify::verify(options, &mut io::stdout()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure { exit: 1, lines: Vec::new() }),
        Err(error) => Err(Failure::failed(Code::FileError, format!("standard output: {error}"))),
    }
}
