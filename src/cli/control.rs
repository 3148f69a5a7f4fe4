//! `fountain suspend`, `resume`, `switch` and `step-down`: asked of the node that runs here. Where none does, the first two
//! change what is stored.

use crate::cli::Failure;
use crate::cli::control_args::ControlCommand;
use crate::cli::print;
use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::PointStore;
use crate::config::near;
use crate::control::address::NAME;
use crate::control::client;
use crate::control::client::Asked;
use crate::control::protocol::Answer;
use crate::control::protocol::Request;
use crate::coordination::CoordinationError;
use crate::engine::STATE_POLL;
use crate::engine::handle::change_in;
use crate::engine::operate;
use crate::engine::operate::Refusal;
use crate::guard::neighbours;
use crate::logging;
use crate::pipeline::ports::open_state_store;
use crate::status::now_ms;
use crate::sync_point::StoreError;
use crate::sync_point::folder::make_folder;
use crate::sync_point::lock::FolderLock;
use crate::sync_point::state::ShardState;
use log::LevelFilter;
use std::time::Duration;
use std::time::Instant;

/// For answers that take some work: a switch is waited for a minute, a suspension for `stop_timeout_ms`.
const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks whether a leader elsewhere has come to rest.
const LOOK: Duration = Duration::from_millis(200);

pub fn control(config: &Config, command: ControlCommand) -> Result<(), Failure> {
    logging::start(LevelFilter::Warn);
    let request = request(&command);
    if let ControlCommand::Suspend { reason, .. } = &command {
        operate::check_reason(reason).map_err(refused)?;
    }
    match client::ask(&config.status_dir, &request, PATIENCE + config.stop_timeout) {
        Asked::Answered(answer) => told(answer),
        Asked::NoAnswer(why) => Err(Failure::failed(Code::Control, why)),
        Asked::NoNode => match command {
            ControlCommand::Suspend { shard, reason, time } => suspend(config, &shard, &reason, time),
            ControlCommand::Resume { shard } => resume(config, shard.as_deref()),
            ControlCommand::Switch { .. } | ControlCommand::StepDown { .. } => Err(no_node(config)),
        },
    }
}

fn request(command: &ControlCommand) -> Request {
    match command.clone() {
        ControlCommand::Suspend { shard, reason, time } => {
            let for_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            Request::Suspend { shard, reason, for_ms }
        }
        ControlCommand::Resume { shard } => Request::Resume { shard },
        ControlCommand::Switch { shard, backup } => Request::Switch { shard, backup },
        ControlCommand::StepDown { shard } => Request::StepDown { shard },
    }
}

fn told(answer: Answer) -> Result<(), Failure> {
    let lines: Vec<String> = answer.lines.into_iter().map(logging::one_line).collect();
    if answer.ok {
        return print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }
    let code = answer.code.unwrap_or_default();
    let exit = if code == Code::Usage.as_str() { 2 } else { 1 };
    Err(Failure { exit, lines: vec![format!("{code} {}", lines.join("; "))] })
}

fn no_node(config: &Config) -> Failure {
    let text = format!(
        "no node runs here: nothing listens on {}; status_dir says where to look",
        config.status_dir.join(NAME).display()
    );
    Failure::failed(Code::Control, text)
}

fn refused(refusal: Refusal) -> Failure {
    match refusal.code {
        Code::Usage => Failure::usage(refusal.text),
        code => Failure::failed(code, refusal.text),
    }
}

fn failure(shard: &str, error: &StoreError) -> Failure {
    Failure::failed(error.code, format!("shard={shard} {error}"))
}

fn suspend(config: &Config, shard: &str, reason: &str, time: Option<Duration>) -> Result<(), Failure> {
    let suspension = operate::suspension(reason, time);
    let until = operate::until_in_words(&suspension);
    let former = change(config, shard, |state| state.suspend(suspension.clone()))?;
    let again = match former.suspended.filter(|former| former.holds(now_ms())) {
        Some(former) => format!(" (it was already: {})", logging::one_line(former.reason)),
        None => String::new(),
    };
    let rest = await_rest(config, shard).map_err(|error| failure(shard, &error))?;
    print(&format!("{shard}: suspended{until}{again}; no node runs here{rest}\n"))
}

/// Until the node that leads elsewhere has come to rest; it looks every few seconds.
fn await_rest(config: &Config, shard: &str) -> Result<String, StoreError> {
    const NOBODY: &str = ", the next one finds it so";
    if config.points.store == PointStore::File {
        return Ok(NOBODY.to_owned());
    }
    if config.nodes.guard == HaGuard::None {
        let soon = STATE_POLL.as_secs();
        return Ok(format!(", one that runs elsewhere hears of it within some {soon} s"));
    }
    let mut store = open_state_store(config, shard)?;
    let deadline = Instant::now() + config.stop_timeout + STATE_POLL * 3;
    loop {
        let failed = |error: CoordinationError| StoreError::new(error.code(), error.to_string());
        let seats = neighbours::seats(config, shard).map_err(failed)?;
        let Some(leader) = seats.first() else { return Ok(NOBODY.to_owned()) };
        if store.load()?.is_some_and(|state| state.rests) {
            return Ok(format!("; {leader} leads, and the shard rests there"));
        }
        if Instant::now() >= deadline {
            return Ok(format!(
                "; {leader} leads, and the shard does not rest there yet: \"fountain status\" there tells how it is"
            ));
        }
        std::thread::sleep(LOOK);
    }
}

fn resume(config: &Config, shard: Option<&str>) -> Result<(), Failure> {
    let shards: Vec<&str> = match shard {
        Some(shard) => vec![shard],
        None => config.shards.iter().map(|shard| shard.name.as_str()).collect(),
    };
    for shard in shards {
        let former = change(config, shard, |state| state.resume(now_ms()))?;
        print(&match former.is_clear() {
            true => format!("{shard}: is neither suspended nor stopped; no node runs here\n"),
            false => {
                format!("{shard}: resumed; no node runs here, the one that leads, or the next one, runs it\n")
            }
        })?;
    }
    Ok(())
}

/// Changes the stored state while no process works on the shard.
fn change(config: &Config, shard: &str, change: impl Fn(&mut ShardState)) -> Result<ShardState, Failure> {
    if !config.shards.iter().any(|known| known.name == shard) {
        let names: Vec<&str> = config.shards.iter().map(|shard| shard.name.as_str()).collect();
        let hint = near::hint(shard, names.iter().copied());
        let text = format!("no shard \"{shard}\" is configured (there is {}){hint}", names.join(", "));
        return Err(Failure::usage(text));
    }
    let _lock = match config.points.store {
        PointStore::File => Some(lock(config, shard)?),
        PointStore::ZooKeeper => None,
    };
    let mut store = open_state_store(config, shard).map_err(|error| failure(shard, &error))?;
    change_in(&mut *store, change).map_err(|error| failure(shard, &error))
}

fn lock(config: &Config, shard: &str) -> Result<FolderLock, Failure> {
    let taken =
        make_folder(&config.point_dir, 0o700).and_then(|_made| FolderLock::acquire(&config.point_dir, shard));
    taken.map_err(|error| {
        let text = format!(
            "shard={shard} {error}; no control socket of it is in {}: is it another status_dir?",
            config.status_dir.display()
        );
        Failure::failed(error.code, text)
    })
}
