//! Fountain inside of another program: the engine that `fountain run` runs, with that program's own sink, store of points
//! or form of rows where it wants them.
//!
//! ```no_run
//! use fountain::Engine;
//! use fountain::pack::header::Pack;
//! use fountain::sink::{Sink, SinkError};
//!
//! struct Printer;
//!
//! impl Sink for Printer {
//!     fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
//!         // Returning Ok says: all of it is safe. Only then is the point saved.
//!         print!("{}", String::from_utf8_lossy(pack.rows));
//!         Ok(())
//!     }
//! }
//!
//! let engine = Engine::builder()
//!     .file("conf/fountain-config.properties")
//!     .set("mysql_shard_0_server", "db1")
//!     .sink(|_shard| Ok(Box::new(Printer)))
//!     .build()?;
//! let stop = engine.stop_handle(); // stop.request() from any thread ends it in good order
//! engine.run()?;
//! # drop(stop);
//! # Ok::<(), fountain::engine::EngineError>(())
//! ```
//!
//! - **Sink** ([`crate::sink::Sink`]): takes the packs of one shard; what is promised to the built-in ones is promised to it.
//!   One that answers [`crate::sink::Sink::standing`] with the last pack that it holds gets each row once.
//! - **Store of points** ([`SyncPointStore`]): one record a shard. The gap records, the history of points and a lock stay in the
//!   folder `producer_position`.
//! - **Rows** ([`RowEncoder`]): typed values lent from the log, in place of JSON lines. What it writes is packed, numbered, resumed and
//!   checked like any other row.
//!
//! Each is made by a closure that is called once for a shard, on that shard's thread, at its start. Nothing here installs a
//! logger or a signal handler: messages go through the crate `log`, and the stop is the program's to request.

pub mod handle;
mod intruders;
mod lookout;
pub mod operate;
pub mod reasons;
mod turns;

pub use crate::engine::turns::STATE_POLL;

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::PointStore;
use crate::config::Problem;
use crate::config::Request;
use crate::config::ShardConfig;
use crate::config::TransactionPolicy;
use crate::config::choice::Choice;
use crate::config::keys;
use crate::coordination::shared::SharedSession;
use crate::engine::handle::ShardHandle;
use crate::engine::intruders::Intruders;
use crate::engine::lookout::Lookout;
use crate::engine::operate::EngineHandle;
use crate::engine::turns::Turns;
use crate::guard::Guard;
use crate::guard::NoGuard;
use crate::guard::zookeeper::ZooKeeperGuard;
use crate::pack::encoder::RowEncoder;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::Ports;
use crate::pipeline::shard::ShardEnded;
use crate::pipeline::until::Until;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::status::State;
use crate::stop::Stop;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use crossbeam_channel::unbounded;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// How often the end of the orderly stop is looked for.
const TICK: Duration = Duration::from_millis(100);

/// Everything that a run needs, checked, and not begun yet.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    ports: Arc<Ports>,
    only: Option<String>,
    until: HashMap<String, Until>,
    stop: Stop,
}

/// Collects what an [`Engine`] is made from. What is given later wins; of the process's environment nothing is read, unless
/// a [`Request`] holds it.
#[derive(Default)]
pub struct EngineBuilder {
    request: Request,
    config: Option<Config>,
    ports: Ports,
    only: Option<String>,
    until: HashMap<String, Until>,
    until_end: bool,
    stop: Stop,
}

impl EngineBuilder {
    /// `$FOUNTAIN_HOME`: relative folders are meant from here. By default the working folder.
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.request.home = home.into();
        self
    }

    /// Reads a properties file; may be called again.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.request.files.push(path.into());
        self
    }

    /// Sets a key; it wins over files. Unlike `-D` this may be a password.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        match keys::recognise(key).is_some_and(|slot| slot.key.is_secret()) {
            true => self.request.environment.push((key.into(), value.into())),
            false => self.request.defines.push((key.to_owned(), value)),
        }
        self
    }

    /// Takes files, environment and pairs as they are here, in place of what was given before.
    pub fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    /// Takes a configuration that is made already; files and keys do not count then.
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Runs this shard alone.
    pub fn only(mut self, shard: impl Into<String>) -> Self {
        self.only = Some(shard.into());
        self
    }

    /// Every shard ends at the end that its server has when it is first reached.
    pub fn until_end(mut self) -> Self {
        self.until_end = true;
        self
    }

    /// A shard ends at a place. A run with an end waits for nothing that fails.
    pub fn until(mut self, shard: impl Into<String>, until: Until) -> Self {
        self.until.insert(shard.into(), until);
        self
    }

    /// A sink of one's own, made for each shard by its name.
    pub fn sink<F>(mut self, make: F) -> Self
    where
        F: Fn(&str) -> Result<Box<dyn Sink>, SinkError> + Send + Sync + 'static,
    {
        self.ports.sink = Some(Box::new(make));
        self
    }

    /// A store of points of one's own, made for each shard by its name.
    pub fn point_store<F>(mut self, make: F) -> Self
    where
        F: Fn(&str) -> Result<Box<dyn SyncPointStore>, StoreError> + Send + Sync + 'static,
    {
        self.ports.store = Some(Box::new(make));
        self
    }

    /// A form of rows of one's own, made for each shard by its name. Needs `transaction_policy=none`.
    pub fn row_encoder<F>(mut self, make: F) -> Self
    where
        F: Fn(&str) -> Box<dyn RowEncoder> + Send + Sync + 'static,
    {
        self.ports.encoder = Some(Box::new(make));
        self
    }

    /// A stop that the program has already.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Checks everything that can be checked without a server.
    pub fn build(self) -> Result<Engine, EngineError> {
        let config = match self.config {
            Some(config) => config,
            None => {
                let home = &self.request.home;
                let absolute = match home.as_os_str().is_empty() {
                    true => std::env::current_dir(),
                    false => std::path::absolute(home),
                };
                // Points and files must not land in whatever folder a relative path means later.
                let home = absolute.map_err(|error| {
                    let text = format!("home \"{}\" cannot be made absolute: {error}", home.display());
                    EngineError::Config(vec![Problem::general(text)])
                })?;
                let request = Request { home, ..self.request };
                Config::load(&request).map_err(EngineError::Config)?
            }
        };
        config.need_shards().map_err(|problem| EngineError::Config(vec![problem]))?;
        let unsupported = config.unsupported();
        if !unsupported.is_empty() {
            return Err(EngineError::Config(unsupported));
        }
        if let Some(shard) = config.enabled_shards().find(|shard| {
            self.ports.encoder.is_some() && shard.transactions.policy != TransactionPolicy::None
        }) {
            let text = format!(
                "shard={} transaction_policy={} numbers rows after they are written, which a row encoder's cannot be: set it to none",
                shard.name,
                shard.transactions.policy.word()
            );
            return Err(EngineError::Config(vec![Problem::unsupported(None, text)]));
        }
        let mut until = self.until;
        if self.until_end {
            for shard in config.enabled_shards() {
                until.entry(shard.name.clone()).or_insert(Until::End);
            }
        }
        let known = |name: &str| config.enabled_shards().any(|shard| shard.name == name);
        if let Some(name) = until.keys().chain(&self.only).find(|name| !known(name)) {
            let problem = Problem::general(format!("there is no enabled shard {name}"));
            return Err(EngineError::Config(vec![problem]));
        }
        let (config, ports) = (Arc::new(config), Arc::new(self.ports));
        Ok(Engine { config, ports, only: self.only, until, stop: self.stop })
    }
}

impl Engine {
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Requests a stop from any thread: packs in work are finished, points saved.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs until no shard is left: all have come to their end, have stopped, or a stop was requested.
    pub fn run(self) -> Result<(), EngineError> {
        self.start()?.join()
    }

    /// Begins to run, on threads of its own.
    pub fn start(self) -> Result<RunningEngine, EngineError> {
        let (report, events) = unbounded();
        // Ends those shards' threads that wait for a person, once no other is left.
        let over = self.stop.child();
        let session = SharedSession::of(&self.config.zookeeper);
        session.ends_with(&over);
        let mut shards = Vec::new();
        let chosen = |shard: &&ShardConfig| self.only.as_ref().is_none_or(|only| *only == shard.name);
        let guard =
            open_guard(&self.config, &self.config.enabled_shards().filter(chosen).collect::<Vec<_>>())?;
        for shard in self.config.enabled_shards().filter(chosen) {
            let handle = Arc::new(ShardHandle::new(&self.config, shard));
            shards.push(Arc::clone(&handle));
            let turns = Turns {
                config: Arc::clone(&self.config),
                ports: Arc::clone(&self.ports),
                guard: Arc::clone(&guard),
                handle,
                until: self.until.get(&shard.name).cloned(),
                stop: over.clone(),
                told: None,
                stopped_at: None,
                returning: false,
                locked: false,
                intruders: Intruders::default(),
            };
            if let Err(error) = spawn(turns, report.clone()) {
                // Those that have begun end with it.
                self.stop.request();
                let text = format!("shard={} no thread: {error}", shard.name);
                return Err(EngineError::Shards(vec![Fault::stop(Code::Internal, text)]));
            }
        }
        if self.config.points.store == PointStore::ZooKeeper {
            let lookout = Lookout::new(&self.config, &shards, &over);
            let started = std::thread::Builder::new().name("lookout".into()).spawn(move || lookout.run());
            if let Err(error) = started {
                self.stop.request();
                let text = format!("no thread that looks at what is said elsewhere: {error}");
                return Err(EngineError::Shards(vec![Fault::stop(Code::Internal, text)]));
            }
        }
        let stop_timeout = self.config.stop_timeout;
        let running = shards.len();
        let handle = EngineHandle::new(self.config, Arc::clone(&guard), shards);
        let stop = self.stop;
        Ok(RunningEngine { events, running, guard, handle, over, stop, stop_timeout, _session: session })
    }
}

/// Who decides whether this node works.
fn open_guard(config: &Config, shards: &[&ShardConfig]) -> Result<Arc<dyn Guard>, EngineError> {
    Ok(match config.nodes.guard {
        HaGuard::None => Arc::new(NoGuard::new(now_ms())),
        HaGuard::ZooKeeper => Arc::new(ZooKeeperGuard::start(config, shards).map_err(|error| {
            EngineError::Shards(vec![Fault::stop(
                Code::Internal,
                format!("no thread for the guard: {error}"),
            )])
        })?),
    })
}

/// What a shard's thread tells.
enum ShardEvent {
    Ended(String, Result<ShardEnded, Fault>),
    /// One that had stopped is tried again.
    Resumed(String),
}

fn spawn(mut turns: Turns, report: Sender<ShardEvent>) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name(format!("producer-{}", turns.handle.name()));
    let run = move || {
        let handle = Arc::clone(&turns.handle);
        loop {
            let outcome = turns.run();
            let stopped = note_end(&handle, &outcome);
            // Nobody listens any more only when the program is ending.
            drop(report.send(ShardEvent::Ended(handle.name().to_owned(), outcome)));
            if !stopped || !turns.wait_for_resume() {
                break;
            }
            drop(report.send(ShardEvent::Resumed(handle.name().to_owned())));
        }
        handle.note_gone();
    };
    thread.spawn(run).map(|_detached| ())
}

/// True: by a fault.
fn note_end(handle: &ShardHandle, outcome: &Result<ShardEnded, Fault>) -> bool {
    let status = &handle.live.status;
    match outcome {
        Ok(ShardEnded::Reached) => status.enter(State::Done, ""),
        Ok(_) => status.enter(State::Stopped, "in good order"),
        Err(fault) => status.enter(State::Stopped, fault.to_string()),
    }
    outcome.is_err()
}

/// An engine at work. It goes on when this is dropped; a stop ends it.
pub struct RunningEngine {
    events: Receiver<ShardEvent>,
    running: usize,
    guard: Arc<dyn Guard>,
    handle: EngineHandle,
    over: Stop,
    stop: Stop,
    stop_timeout: Duration,
    /// Of the stores, which ask for it when they need it: it is to know of the stop.
    _session: SharedSession,
}

impl RunningEngine {
    /// As [`Engine::stop_handle`].
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// To operate it by, from any thread.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Waits until no shard is left. A stopped shard does not end the others. What is not delivered within
    /// `stop_timeout_ms` of a stop is not saved either, and is read again.
    pub fn join(self) -> Result<(), EngineError> {
        let mut left = self.running;
        let mut faults: Vec<(String, Fault)> = Vec::new();
        let mut stop_seen: Option<Instant> = None;
        while left > 0 {
            match self.events.recv_timeout(TICK) {
                Ok(ShardEvent::Ended(shard, outcome)) => {
                    left -= 1;
                    tell(&shard, &outcome);
                    faults.extend(outcome.err().map(|fault| (shard, fault)));
                }
                Ok(ShardEvent::Resumed(shard)) => {
                    left += 1;
                    faults.retain(|(stopped, _)| *stopped != shard);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let fault = Fault::stop(Code::Internal, "a shard's thread has gone without a word");
                    log::error!("{fault}");
                    faults.push((String::new(), fault));
                    break;
                }
            }
            if self.stop.requested() {
                let since = *stop_seen.get_or_insert_with(Instant::now);
                if left > 0 && since.elapsed() >= self.stop_timeout {
                    // Nothing begins any more, and another node need not wait for the session's end.
                    self.guard.close();
                    return Err(EngineError::StopTimeout { left, after: self.stop_timeout });
                }
            }
        }
        self.over.request();
        self.guard.close();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(EngineError::Shards(faults.into_iter().map(|(_, fault)| fault).collect())),
        }
    }
}

fn tell(shard: &str, outcome: &Result<ShardEnded, Fault>) {
    match outcome {
        Ok(ShardEnded::Reached) => log::info!("shard={shard} done: everything before --until is delivered"),
        Ok(_) => {
            log::info!("shard={shard} stopped in good order")
        }
        Err(fault) => log::error!("{fault}; this shard stops"),
    }
}

/// Why an engine could not be made, or how it ended.
#[derive(Debug)]
pub enum EngineError {
    /// The configuration cannot be used: all that is wrong with it.
    Config(Vec<Problem>),
    /// These shards stopped; each was logged when it did. The others came to their end.
    Shards(Vec<Fault>),
    /// Shards that had not stopped in time. Their threads end with the process.
    StopTimeout { left: usize, after: Duration },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |f: &mut fmt::Formatter<'_>, lines: Vec<String>| f.write_str(&lines.join("\n"));
        match self {
            Self::Config(problems) => lines(f, problems.iter().map(ToString::to_string).collect()),
            Self::Shards(faults) => lines(f, faults.iter().map(ToString::to_string).collect()),
            Self::StopTimeout { left, after } => {
                write!(
                    f,
                    "{left} shards have not stopped within stop_timeout_ms={}; what they have not delivered, or saved no point of, \
                     is read again, nothing is lost",
                    after.as_millis()
                )
            }
        }
    }
}

impl std::error::Error for EngineError {}
