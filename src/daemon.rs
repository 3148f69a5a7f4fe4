//! `fountain run`: the engine, signals, and the exit code.

use crate::cli::Failure;
use crate::code::Code;
use crate::config::Config;
use crate::control::server::ControlServer;
use crate::control::server::StatusFolder;
use crate::engine::Engine;
use crate::engine::EngineError;
use crate::engine::operate::EngineHandle;
use crate::pipeline::until::Until;
use crate::stop::Stop;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::collections::HashMap;
use std::path::Path;

/// Runs the enabled shards; with `only`, that one alone. Returns when none is left.
pub fn run(config: Config, only: Option<&str>, until: &HashMap<String, Until>) -> Result<(), Failure> {
    let status_dir = config.status_dir.clone();
    let mut engine = Engine::builder().config(config);
    if let Some(only) = only {
        engine = engine.only(only);
    }
    for (shard, until) in until {
        engine = engine.until(shard, until.clone());
    }
    let engine = engine.build().map_err(failure)?;
    let folder = status_folder(&status_dir)?;
    stop_on_signals(&engine.stop_handle())?;
    let running = engine.start().map_err(failure)?;
    let _control = folder.and_then(|folder| listen(folder, running.handle()));
    running.join().map_err(failure)
}

/// None: it cannot be used, and that is told. What a full disk or a wrong right takes away is the control of the run, not
/// the run; another process there is the same node started twice.
fn status_folder(path: &Path) -> Result<Option<StatusFolder>, Failure> {
    match StatusFolder::take(path) {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.code == Code::Locked => Err(Failure::failed(Code::Locked, error)),
        Err(error) => {
            log::error!("{}: {error}; going on without a control socket", error.code);
            Ok(None)
        }
    }
}

fn listen(folder: StatusFolder, engine: EngineHandle) -> Option<ControlServer> {
    let server = ControlServer::start(folder, engine);
    server.inspect_err(|error| log::error!("no control socket: {error}; going on without")).ok()
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
