//! `fountain run`: the engine, signals, and the exit code.

use crate::cli::Failure;
use crate::code::Code;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::EngineError;
use crate::pipeline::until::Until;
use crate::stop::Stop;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::collections::HashMap;

/// Runs the enabled shards; with `only`, that one alone. Returns when none is left.
pub fn run(config: Config, only: Option<&str>, until: &HashMap<String, Until>) -> Result<(), Failure> {
    let mut engine = Engine::builder().config(config);
    if let Some(only) = only {
        engine = engine.only(only);
    }
    for (shard, until) in until {
        engine = engine.until(shard, until.clone());
    }
    let engine = engine.build().map_err(failure)?;
    stop_on_signals(&engine.stop_handle())?;
    engine.run().map_err(failure)
}

fn failure(error: EngineError) -> Failure {
    match error {
        EngineError::Config(problems) => Failure::configuration(&problems),
        // Each has been told when it happened.
        EngineError::Shards(_) => Failure { exit: 1, lines: Vec::new() },
        EngineError::StopTimeout { .. } => Failure::failed(Code::StopTimeout, error),
    }
}

fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(Code::Internal, format!("no signal handler: {error}"));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    let stop = stop.clone();
    let thread = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _signal in signals.forever() {
            log::info!("asked to stop");
            stop.request();
        }
    });
    thread.map(|_detached| ()).map_err(failed)
}
