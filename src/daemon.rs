//! `fountain run`: one thread a shard, signals, and the orderly end.

use crate::cli::Failure;
use crate::code::Code;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::pipeline::fault::Fault;
use crate::pipeline::shard;
use crate::pipeline::shard::ShardEnded;
use crate::pipeline::until::Until;
use crate::stop::Stop;
use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::unbounded;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// How often the end of the orderly stop is looked for.
const TICK: Duration = Duration::from_millis(100);

/// A shard's thread has ended.
struct ShardOutcome {
    shard: String,
    outcome: Result<ShardEnded, Fault>,
}

/// Runs the enabled shards; with `only`, that one alone. Returns when none is left.
pub fn run(config: Config, only: Option<&str>, until: &HashMap<String, Until>) -> Result<(), Failure> {
    let stop = Stop::new();
    stop_on_signals(&stop)?;
    let config = Arc::new(config);
    let (report, outcomes) = unbounded();
    let mut running = 0;
    for shard in config.enabled_shards().filter(|shard| only.is_none_or(|only| only == shard.name)) {
        let report = report.clone();
        let thread = ShardThread {
            config: Arc::clone(&config),
            shard: shard.clone(),
            until: until.get(&shard.name).cloned(),
            stop: stop.clone(),
        };
        let spawned = std::thread::Builder::new().name(format!("producer-{}", shard.name)).spawn(move || {
            let name = thread.shard.name.clone();
            let outcome = catch_unwind(AssertUnwindSafe(|| thread.run())).unwrap_or_else(|_panic| {
                Err(Fault::stop(Code::Internal, format!("shard={name} its thread panicked")))
            });
            // Nobody listens any more only when the program is ending.
            drop(report.send(ShardOutcome { shard: name, outcome }));
        });
        spawned.map_err(|error| {
            Failure::failed(Code::Internal, format!("shard={} no thread: {error}", shard.name))
        })?;
        running += 1;
    }
    drop(report);
    wait_for_all(&outcomes, running, &stop, config.stop_timeout)
}

struct ShardThread {
    config: Arc<Config>,
    shard: ShardConfig,
    until: Option<Until>,
    stop: Stop,
}

impl ShardThread {
    /// A panic is a defect of ours and this shard's end; the others go on.
    fn run(self) -> Result<ShardEnded, Fault> {
        let Self { config, shard, until, stop } = self;
        let run = AssertUnwindSafe(|| shard::run(&config, &shard, until, &stop));
        catch_unwind(run).unwrap_or_else(|_told_by_the_panic_itself| {
            Err(Fault::stop(Code::Internal, format!("shard={} its thread panicked", shard.name)))
        })
    }
}

/// A stopped shard does not end the others. The program ends when none is left, or when the time for an orderly stop is
/// over: what was not delivered by then is not saved either and is read again.
fn wait_for_all(
    outcomes: &Receiver<ShardOutcome>,
    running: usize,
    stop: &Stop,
    stop_timeout: Duration,
) -> Result<(), Failure> {
    let mut left = running;
    let mut failed = 0;
    let mut stop_seen: Option<Instant> = None;
    while left > 0 {
        match outcomes.recv_timeout(TICK) {
            Ok(ended) => {
                left -= 1;
                failed += usize::from(ended.outcome.is_err());
                tell(&ended);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::failed(Code::Internal, "a shard's thread has gone without a word"));
            }
        }
        if stop.requested() {
            let since = *stop_seen.get_or_insert_with(Instant::now);
            if left > 0 && since.elapsed() >= stop_timeout {
                return Err(Failure::failed(
                    Code::StopTimeout,
                    format!(
                        "{left} shards have not stopped within stop_timeout_ms={}",
                        stop_timeout.as_millis()
                    ),
                ));
            }
        }
    }
    match failed {
        0 => Ok(()),
        // Each has been told when it happened.
        _ => Err(Failure { exit: 1, lines: Vec::new() }),
    }
}

fn tell(ended: &ShardOutcome) {
    let shard = &ended.shard;
    match &ended.outcome {
        Ok(ShardEnded::Reached) => log::info!("shard={shard} done: everything before --until is delivered"),
        Ok(ShardEnded::Stopped | ShardEnded::PackerGone) => log::info!("shard={shard} stopped in good order"),
        Err(fault) => log::error!("{fault}; this shard stops"),
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
