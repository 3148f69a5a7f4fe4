//! Operating a running engine, from any thread: what the control socket does for a person, and what a program that uses the
//! library may do itself.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::engine::handle::ShardHandle;
use crate::engine::reasons::Hindrance;
use crate::engine::turns::STATE_POLL;
use crate::guard::Guard;
use crate::guard::HandOver;
use crate::guard::Leader;
use crate::guard::Standing;
use crate::pipeline::ports::peek_point;
use crate::pipeline::wishes::Wished;
use crate::status::Seen;
use crate::status::State;
use crate::status::now_ms;
use crate::status::report::Health;
use crate::status::report::Leadership;
use crate::status::report::NodeReport;
use crate::status::report::PointReport;
use crate::status::report::ShardReport;
use crate::status::time_text;
use crate::stop::Stop;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::state::ShardState;
use crate::sync_point::state::Suspension;
use crate::sync_point::state::node_name;
use crossbeam_channel::RecvTimeoutError;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// How long a switch is waited for. It may come about later.
const SWITCH_PATIENCE: Duration = Duration::from_secs(60);

/// After a last pack another node has this time to be seen to lead: some polls of either one.
const TAKE_OVER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a shard is given to leave its stopped or suspended state: it looks when the bell rings.
const RESUME_PATIENCE: Duration = Duration::from_secs(5);
/// For a thread that has gone on to say what it does.
const SETTLED: Duration = Duration::from_millis(300);

const TICK: Duration = Duration::from_millis(20);

/// The longest reason, in bytes: it is kept with the point and told in a line.
pub const REASON_MAX: usize = 1000;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub text: String,
}

impl Refusal {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    fn of(shard: &str, error: &StoreError) -> Self {
        Self::new(error.code, format!("shard={shard} {error}"))
    }
}

/// A handle on a running engine; clones share it.
#[derive(Clone)]
pub struct EngineHandle {
    config: Arc<Config>,
    guard: Arc<dyn Guard>,
    shards: Arc<[Arc<ShardHandle>]>,
    started_ms: u64,
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle").field("shards", &self.shards).finish_non_exhaustive()
    }
}

impl EngineHandle {
    pub(super) fn new(config: Arc<Config>, guard: Arc<dyn Guard>, shards: Vec<Arc<ShardHandle>>) -> Self {
        Self { config, guard, shards: shards.into(), started_ms: now_ms() }
    }

    /// Ends the shard's turn in good order and keeps it from running until it is resumed, or for that time. Returns when it
    /// holds neither folder nor connection any more, or with a word that it still does. The answer is a line for a person.
    pub fn suspend(&self, shard: &str, reason: &str, time: Option<Duration>) -> Result<String, Refusal> {
        check_reason(reason)?;
        let handle = self.shard(shard)?;
        let elsewhere = self.other_leader(handle);
        let suspension = suspension(reason, time);
        let until = until_in_words(&suspension);
        let former = handle.change_state(|state| state.suspend(suspension.clone()));
        let former = former.map_err(|error| Refusal::of(shard, &error))?;
        log::warn!("shard={shard} is suspended{until}: {reason}");
        handle.ring();
        let again = match former.suspended.filter(|former| former.holds(now_ms())) {
            Some(former) => format!(" (it was already: {})", former.reason),
            None => String::new(),
        };
        if let Some(leader) = elsewhere {
            let rest = match await_rest(handle, self.config.stop_timeout + STATE_POLL * 3) {
                true => "and the shard rests there",
                false => "and the shard does not rest there yet: \"fountain status\" there tells how it is",
            };
            return Ok(format!("{shard}: suspended{until}{again}; {leader} leads, {rest}"));
        }
        let ends = |state| matches!(state, State::Suspended | State::Stopped | State::Done);
        let rest = match await_state(handle, self.config.stop_timeout, ends) {
            Some(State::Stopped) => "; it has stopped for another reason, which stands as well",
            Some(_) => "",
            None => "; its last pack is still being delivered, \"fountain status\" tells when it rests",
        };
        Ok(format!("{shard}: suspended{until}{again}{rest}"))
    }

    /// Lets a suspended shard run, and a stopped one be tried again; all of them where none is named.
    pub fn resume(&self, shard: Option<&str>) -> Result<Vec<String>, Refusal> {
        if let Some(name) = shard {
            return self.resume_one(self.shard(name)?).map(|line| vec![line]);
        }
        let (mut lines, mut refused) = (Vec::new(), Vec::new());
        for handle in self.shards.iter() {
            match self.resume_one(handle) {
                Ok(line) => lines.push(line),
                Err(refusal) => refused.push(refusal),
            }
        }
        let Some(first) = refused.first() else { return Ok(lines) };
        // What was done is told all the same.
        let told = refused.iter().map(|refusal| refusal.text.clone()).chain(lines);
        Err(Refusal::new(first.code, told.collect::<Vec<_>>().join("; ")))
    }

    fn resume_one(&self, handle: &ShardHandle) -> Result<String, Refusal> {
        let shard = handle.name();
        let rests = |state| matches!(state, State::Suspended | State::Stopped);
        let before = handle.live.status.state();
        let former = handle.change_state(|state| state.resume(now_ms()));
        let former = former.map_err(|error| Refusal::of(shard, &error))?;
        if former.is_clear() && !rests(before) {
            return Ok(format!("{shard}: is neither suspended nor stopped ({before})"));
        }
        if handle.is_gone() {
            let text = format!("shard={shard} this run of it is over ({before}); start fountain again");
            return Err(Refusal::new(Code::Control, text));
        }
        log::info!("shard={shard} is resumed by a person's word");
        handle.resume();
        if await_state(handle, RESUME_PATIENCE, |state| !rests(state) || handle.has_heard()).is_none() {
            let text = format!("shard={shard} its thread has not gone on within {RESUME_PATIENCE:?}");
            return Err(Refusal::new(Code::Timeout, text));
        }
        // It may have stopped again already.
        let state = await_state(handle, SETTLED, |state| !rests(state)).unwrap_or(handle.live.status.state());
        Ok(format!("{shard}: resumed ({state})"))
    }

    /// Reads the shard from another of its sources: 0 is the main server, K is haK.
    pub fn switch(&self, shard: &str, backup: u32) -> Result<String, Refusal> {
        let handle = self.shard(shard)?;
        self.need_no_other_leader(handle)?;
        let source = handle.shard.sources.iter().position(|source| source.backup == backup);
        let Some(source) = source else {
            let known: Vec<String> =
                handle.shard.sources.iter().map(|source| source_word(source.backup)).collect();
            let text =
                format!("shard={shard} has no source {} (it has {})", source_word(backup), known.join(", "));
            return Err(Refusal::new(Code::Usage, text));
        };
        let state = handle.live.status.state();
        if !matches!(state, State::Running | State::Connecting | State::WaitingForSink) {
            let text = format!("shard={shard} is {state}: only a shard that runs can be switched");
            return Err(Refusal::new(Code::Control, text));
        }
        log::info!("shard={shard} is to be read from {} by a person's word", source_word(backup));
        let wished = handle.live.switch.ask(source);
        match wished.outcome.recv_timeout(SWITCH_PATIENCE) {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(fault)) => Err(Refusal::new(fault.code, fault.text)),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Refusal::new(Code::Control, format!("shard={shard} has ended before it was switched")))
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(Refusal::new(Code::Timeout, switch_is_late(handle, &wished)))
            }
        }
    }

    /// Hands leadership of a shard, or of all, to another node, and waits until one is seen to lead. A line for each shard.
    pub fn step_down(&self, shard: Option<&str>) -> Result<Vec<String>, Refusal> {
        if let Some(shard) = shard {
            self.need_no_other_leader(self.shard(shard)?)?;
        }
        let led = |shard: &str| (shard.to_owned(), self.guard.standing(shard));
        let before: BTreeMap<_, _> = self.shards.iter().map(|handle| led(handle.name())).collect();
        let begun = self.guard.step_down(shard).map_err(|why| Refusal::new(Code::Control, why))?;
        let HandOver { shards, kept } = begun;
        log::info!("{}: leadership is handed over by a person's word", shards.join(", "));
        let deadline = Instant::now() + self.config.stop_timeout + TAKE_OVER_PATIENCE;
        let mut lines = Vec::new();
        let mut done = kept.is_empty();
        for shard in shards {
            let (taken, line) = self.await_taker(&shard, before.get(&shard), deadline);
            done &= taken;
            lines.push(format!("{shard}: {line}"));
        }
        if !kept.is_empty() {
            lines.push(format!(
                "{}: this node goes on with it: the other nodes do not run it, or may not lead more (ha_max_shards)",
                kept.join(", ")
            ));
        }
        match done {
            true => Ok(lines),
            false => Err(Refusal::new(Code::Control, lines.join("; "))),
        }
    }

    /// True: another node leads.
    fn await_taker(&self, shard: &str, before: Option<&Standing>, deadline: Instant) -> (bool, String) {
        loop {
            match self.guard.standing(shard) {
                Standing::StandsBy { leader: Some(leader), .. } if leader.since_ms.is_some() => {
                    return (true, format!("{leader} leads"));
                }
                now @ Standing::Leads { .. } if Some(&now) != before => {
                    return (false, "given up, but nobody has taken it: this node leads it again".to_owned());
                }
                Standing::Leads { .. } if Instant::now() >= deadline => {
                    return (false, "not given up yet: its last pack is still being delivered".to_owned());
                }
                Standing::StandsBy { .. } if Instant::now() >= deadline => {
                    return (false, "given up, but nobody has taken it yet".to_owned());
                }
                Standing::Leads { .. } | Standing::StandsBy { .. } => {}
            }
            // Nobody stops this wait; it has an end.
            Stop::new().wait(TICK);
        }
    }

    /// How every shard is doing.
    pub fn report(&self) -> NodeReport {
        let shards: Vec<ShardReport> = self.shards.iter().map(|handle| self.report_one(handle)).collect();
        NodeReport {
            node: node_name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: Some(std::process::id()),
            started_ms: Some(self.started_ms),
            guard: guard_word(&self.config).to_owned(),
            health: NodeReport::judge(&shards),
            why: None,
            shards,
        }
    }

    fn report_one(&self, handle: &ShardHandle) -> ShardReport {
        let Seen { mut state, since_ms, mut why, source, saved, unsaved } = handle.live.status.look();
        let leadership = (self.config.nodes.guard == HaGuard::ZooKeeper)
            .then(|| leadership(self.guard.standing(handle.name())));
        // Whoever stands by does not look at what keeps the shard from running until it leads.
        if state == State::Standby
            && let Ok(stored) = handle.load_state()
            && let Ok(Some(hindrance)) = Hindrance::of(stored, &self.config, &handle.shard)
        {
            state = hindered(&hindrance);
            why = Some(hindrance.fault(handle.name()).to_string());
        }
        let stored = match saved {
            Some(record) => Ok(Some(record)),
            None => peek_point(&self.config, handle.name()),
        };
        let mut report = with_point(handle.name(), stored);
        report.state = state;
        report.since_ms = Some(since_ms).filter(|since| *since > 0);
        report.why = why;
        report.source = source;
        report.unsaved = unsaved;
        report.leadership = leadership;
        report.health = report.judge(now_ms(), self.config.zookeeper.session_timeout);
        report
    }

    fn shard(&self, name: &str) -> Result<&ShardHandle, Refusal> {
        let found = self.shards.iter().find(|handle| handle.name() == name);
        found.map(|handle| &**handle).ok_or_else(|| {
            let names: Vec<&str> = self.shards.iter().map(|handle| handle.name()).collect();
            let text = format!("no shard \"{name}\" runs on this node (there is {})", names.join(", "));
            Refusal::new(Code::Usage, text)
        })
    }

    fn need_no_other_leader(&self, handle: &ShardHandle) -> Result<(), Refusal> {
        match self.other_leader(handle) {
            Some(leader) => {
                let text = format!("shard={} is led by {leader}: ask that node", handle.name());
                Err(Refusal::new(Code::Control, text))
            }
            None => Ok(()),
        }
    }

    fn other_leader(&self, handle: &ShardHandle) -> Option<String> {
        match self.guard.standing(handle.name()) {
            Standing::StandsBy { leader, .. } if handle.live.status.state() == State::Standby => {
                leader.map(|leader| leader.to_string())
            }
            Standing::StandsBy { .. } | Standing::Leads { .. } => None,
        }
    }
}

fn switch_is_late(handle: &ShardHandle, wished: &Wished) -> String {
    let shard = handle.name();
    match handle.live.switch.withdraw(wished) {
        true => format!("shard={shard} has not come to it within {SWITCH_PATIENCE:?}: the wish is withdrawn"),
        false => format!(
            "shard={shard} is still trying after {SWITCH_PATIENCE:?}; \"fountain status\" tells what it reads"
        ),
    }
}

/// How every shard of this configuration is doing when no process runs here: what the stores say.
pub fn report_without_node(config: &Config) -> NodeReport {
    let report_one = |name: &str| {
        let mut report = with_point(name, peek_point(config, name));
        let shard = config.shards.iter().find(|shard| shard.name == name);
        let state = crate::pipeline::ports::open_state_store(config, name).and_then(|mut store| store.load());
        report.why = match (state, shard) {
            (Err(error), _) => Some(format!("{}: {error}", error.code)),
            (Ok(None), _) | (Ok(_), None) => None,
            (Ok(Some(state)), Some(_)) => kept_in_words(name, state),
        };
        report.health = report.judge(now_ms(), config.zookeeper.session_timeout);
        report
    };
    let shards: Vec<ShardReport> = config.enabled_shards().map(|shard| report_one(&shard.name)).collect();
    NodeReport { health: NodeReport::judge(&shards), why: None, shards, ..unknown_report(config, "") }
}

/// A node that is there, or may be, and of which nothing is known.
pub fn unknown_report(config: &Config, why: &str) -> NodeReport {
    NodeReport {
        node: node_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: None,
        started_ms: None,
        guard: guard_word(config).to_owned(),
        health: Health::Unknown,
        why: Some(why.to_owned()),
        shards: Vec::new(),
    }
}

fn kept_in_words(shard: &str, state: ShardState) -> Option<String> {
    if let Some(suspended) = state.suspended.filter(|suspended| suspended.holds(now_ms())) {
        return Some(Hindrance::Suspended(suspended).why(shard));
    }
    state.stopped.map(|reason| crate::engine::reasons::had_stopped(&reason))
}

/// A suspension from now on, by a person on this host; `time`: for so long.
pub fn suspension(reason: &str, time: Option<Duration>) -> Suspension {
    let at_ms = now_ms();
    let until_ms = time.map(|time| at_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    Suspension { reason: reason.to_owned(), at_ms, until_ms, node: node_name() }
}

/// ` until …`, or nothing.
pub fn until_in_words(suspension: &Suspension) -> String {
    suspension.until_ms.map(|until| format!(" until {}", time_text(until))).unwrap_or_default()
}

/// Insists on one line of text.
pub fn check_reason(reason: &str) -> Result<(), Refusal> {
    let problem = match reason {
        reason if reason.trim().is_empty() => "a reason is needed: it is kept and shown".to_owned(),
        reason if reason.len() > REASON_MAX => format!("the reason is longer than {REASON_MAX} bytes"),
        reason if reason.chars().any(char::is_control) => "the reason is not one line of text".to_owned(),
        _ => return Ok(()),
    };
    Err(Refusal::new(Code::Usage, problem))
}

/// `main`, `ha1`, …
fn source_word(backup: u32) -> String {
    match backup {
        0 => "main".to_owned(),
        backup => format!("ha{backup}"),
    }
}

fn guard_word(config: &Config) -> &'static str {
    match config.nodes.guard {
        HaGuard::None => "none",
        HaGuard::ZooKeeper => "zookeeper",
    }
}

fn hindered(hindrance: &Hindrance) -> State {
    match hindrance {
        Hindrance::Suspended(_) => State::Suspended,
        Hindrance::Stopped(_) => State::Stopped,
    }
}

fn leadership(standing: Standing) -> Leadership {
    match standing {
        Standing::Leads { since_ms } => Leadership {
            here: true,
            leader: Some(node_name()),
            leader_pid: Some(std::process::id()),
            leader_since_ms: Some(since_ms),
            nobody_since_ms: None,
            differs: Vec::new(),
            why: None,
        },
        Standing::StandsBy { leader, nobody_since_ms, why } => {
            let Leader { node, pid, since_ms, differs } = leader.unwrap_or_default();
            Leadership {
                here: false,
                leader: Some(node).filter(|node| !node.is_empty()),
                leader_pid: pid,
                leader_since_ms: since_ms,
                nobody_since_ms,
                differs,
                why: Some(why),
            }
        }
    }
}

/// A report of which the point is known, and the rest is not yet.
fn with_point(shard: &str, stored: Result<Option<PointRecord>, StoreError>) -> ShardReport {
    let (point, point_unknown) = match stored {
        Ok(record) => (record.map(PointReport::of), None),
        Err(error) => (None, Some(format!("{}: {error}", error.code))),
    };
    ShardReport {
        shard: shard.to_owned(),
        state: State::Down,
        health: Health::Unknown,
        since_ms: None,
        why: None,
        source: None,
        point,
        point_unknown,
        unsaved: None,
        leadership: None,
    }
}

/// Until the leader elsewhere has said that the shard rests.
fn await_rest(handle: &ShardHandle, patience: Duration) -> bool {
    let begun = Instant::now();
    loop {
        if handle.load_state().is_ok_and(|state| state.rests) {
            return true;
        }
        // Nobody stops this wait; it has an end.
        if begun.elapsed() >= patience || Stop::new().wait(SETTLED) {
            return false;
        }
    }
}

fn await_state(handle: &ShardHandle, patience: Duration, reached: impl Fn(State) -> bool) -> Option<State> {
    let begun = Instant::now();
    loop {
        let state = handle.live.status.state();
        if reached(state) {
            return Some(state);
        }
        // Nobody stops this wait; it has an end.
        if begun.elapsed() >= patience || Stop::new().wait(TICK) {
            return None;
        }
    }
}
