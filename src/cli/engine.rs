//! Where the command line hands over to the engine. Configuration and options are checked when they come
//! here.

use crate::cli::Failure;
use crate::cli::args::CatOptions;
use crate::cli::args::RunOptions;
use crate::code::Code;
use crate::config::Config;

/// `fountain run`: at least one shard is enabled, nothing unsupported is asked for, and a place in `until`
/// names its shard.
pub fn run(_config: Config, _options: RunOptions) -> Result<(), Failure> {
    Err(Failure::failed(Code::Internal, "the engine is not joined to the command line yet"))
}

/// `fountain cat`: there is at least one file; the configuration has shards only when `--conf`, `-D` or the
/// environment name servers.
pub fn cat(_config: Config, _options: CatOptions) -> Result<(), Failure> {
    Err(Failure::failed(Code::Internal, "the engine is not joined to the command line yet"))
}
