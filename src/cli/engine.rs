//! Where the command line hands over to the engine. Configuration and options are checked when they come here.

use crate::binlog::BinlogPosition;
use crate::cat;
use crate::change::assembler::AssemblerOptions;
use crate::cli;
use crate::cli::Failure;
use crate::cli::args::CatOptions;
use crate::cli::args::RunOptions;
use crate::config::Config;
use crate::config::JsonBigint;
use crate::daemon;
use crate::logging;
use crate::pack::json::JsonOptions;
use crate::pipeline::configured::assembler_options;
use crate::pipeline::definitions::KnownDefinitions;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::replica::replica_uuid;
use crate::pipeline::session::source_config;
use crate::pipeline::shard;
use crate::pipeline::until::Until;
use crate::stop::Stop;
use log::LevelFilter;
use std::collections::HashMap;
use std::io;

/// `fountain run`: at least one shard is enabled, nothing unsupported is asked for, and a place in `until` names its
/// shard.
pub fn run(config: Config, options: RunOptions) -> Result<(), Failure> {
    logging::start(LevelFilter::Info);
    let mut until = HashMap::new();
    let mut only = None;
    match options.until {
        None => {}
        Some(cli::Until::End) => {
            until.extend(config.enabled_shards().map(|shard| (shard.name.clone(), Until::End)));
        }
        Some(cli::Until::Position { shard, file, pos }) => {
            only = shard.clone();
            until.extend(shard.map(|shard| (shard, Until::Position(BinlogPosition { file, pos }))));
        }
        Some(cli::Until::GtidText { shard, text }) => {
            let gtids = text
                .parse()
                .map_err(|error| Failure::usage(format!("--until {text}: no GTID set: {error}")))?;
            only = shard.clone();
            until.extend(shard.map(|shard| (shard, Until::Gtid(gtids))));
        }
    }
    daemon::run(config, only.as_deref(), &until)
}

/// `fountain cat`: there is at least one file; the configuration has shards only when `--conf`, `-D` or the
/// environment name servers.
pub fn cat(config: Config, options: CatOptions) -> Result<(), Failure> {
    logging::start(LevelFilter::Warn);
    let failure = |fault: crate::pipeline::fault::Fault| Failure::failed(fault.code, fault.text);
    let schema_file = options.schema.as_deref().map(shard::read_schema_file).transpose().map_err(failure)?;
    let server = match config.enabled_shards().next() {
        None => None,
        Some(shard) => {
            let uuid = replica_uuid(&config, &shard.name);
            let source = shard
                .sources
                .first()
                .map(|source| source_config(shard, source, ReplicaIds::new(source.slave_id).take(), &uuid));
            source.transpose().map_err(failure)?.map(|source| (source, Stop::new()))
        }
    };
    let shared = &config.shared;
    let options_of_lines = cat::CatOptions {
        assembler: AssemblerOptions {
            filter: shared.filter.clone(),
            max_event_bytes: shared.max_event_bytes,
            ..assembler_options(&shared.transactions)
        },
        json: JsonOptions { bigint_as_string: shared.json_bigint == JsonBigint::String },
        transaction_lines: shared.transactions.dispatch_transaction,
        definitions: KnownDefinitions::for_files(schema_file, server),
    };
    cat::run(options_of_lines, &options.files, io::stdout().lock())
}
