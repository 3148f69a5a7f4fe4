//! What a shard is doing, for a person who asks: written when something changes, never for a row.

pub mod report;

use crate::sync_point::PointRecord;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// What a shard is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No server is read yet, or none any more: it is being tried.
    #[default]
    Connecting,
    Running,
    /// The sink does not take a pack.
    WaitingForSink,
    /// Another node leads, or nobody can be told to.
    Standby,
    /// By a person's word.
    Suspended,
    /// By a fault that no retry cures, here or on the node that led before.
    Stopped,
    /// It has come to the end that the run was given.
    Done,
    /// No process runs here.
    Down,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::WaitingForSink => "waiting_for_sink",
            Self::Standby => "standby",
            Self::Suspended => "suspended",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is to be seen of a shard at a moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub state: State,
    /// In milliseconds since 1970.
    pub since_ms: u64,
    /// Why it is not running, in the words of the log.
    pub why: Option<String>,
    /// The server that is read, or was read last: `host:port`.
    pub source: Option<String>,
    /// The point that was saved last under this process's lead.
    pub saved: Option<PointRecord>,
    /// Since the last save failed.
    pub unsaved: Option<Unsaved>,
}

/// Rows are delivered, and their points cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsaved {
    /// In milliseconds since 1970.
    pub since_ms: u64,
    pub why: String,
}

/// Shared by the threads of a shard and by whoever looks at it; clones share it.
#[derive(Debug, Clone, Default)]
pub struct ShardStatus {
    seen: Arc<Mutex<Seen>>,
}

impl ShardStatus {
    /// A reader of that server gets what it asked for.
    pub fn running(&self, source: &str) {
        let mut seen = self.lock();
        seen.source = Some(source.to_owned());
        Self::set(&mut seen, State::Running, None);
    }

    /// From now on it is that, for this reason. The same state again keeps its time.
    pub fn enter(&self, state: State, why: impl Into<String>) {
        Self::set(&mut self.lock(), state, Some(why.into()).filter(|why| !why.is_empty()));
    }

    /// The sink takes packs again.
    pub fn sink_goes_on(&self) {
        let mut seen = self.lock();
        if seen.state == State::WaitingForSink {
            Self::set(&mut seen, State::Running, None);
        }
    }

    pub fn saved(&self, record: &PointRecord) {
        let mut seen = self.lock();
        seen.saved = Some(record.clone());
        seen.unsaved = None;
    }

    /// A save has failed. It counts from the first one on.
    pub fn cannot_save(&self, why: String) {
        let mut seen = self.lock();
        let since_ms = seen.unsaved.as_ref().map_or_else(now_ms, |unsaved| unsaved.since_ms);
        seen.unsaved = Some(Unsaved { since_ms, why });
    }

    /// No point is to be saved any more.
    pub fn saves_nothing(&self) {
        self.lock().unsaved = None;
    }

    /// Somebody else may have moved the point since it was saved here.
    pub fn forget_point(&self) {
        self.lock().saved = None;
    }

    pub fn look(&self) -> Seen {
        self.lock().clone()
    }

    pub fn state(&self) -> State {
        self.lock().state
    }

    fn set(seen: &mut Seen, state: State, why: Option<String>) {
        if seen.state != state || seen.since_ms == 0 {
            seen.since_ms = now_ms();
        }
        seen.state = state;
        seen.why = why;
    }

    /// It is whole at every moment: a thread that panicked with the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970, by the wall clock.
pub fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-01-31T12:00:00.123Z`; a dash for 0, which stands for "not known".
pub fn time_text(ms: u64) -> String {
    if ms == 0 {
        return "-".to_owned();
    }
    match i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
        Some(timestamp) => format!("{timestamp:.3}"),
        None => format!("{ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_time_until_it_is_another_one() {
        let status = ShardStatus::default();
        status.enter(State::Connecting, "db1 is silent");
        status.lock().since_ms = 7;
        status.enter(State::Connecting, "db2 is silent");
        let seen = status.look();
        assert_eq!((seen.since_ms, seen.why.as_deref()), (7, Some("db2 is silent")));
        status.running("db1:3306");
        let seen = status.look();
        assert_eq!((seen.state, seen.why, seen.source.as_deref()), (State::Running, None, Some("db1:3306")));
        assert!(seen.since_ms > 7);
    }

    #[test]
    fn a_sink_that_goes_on_ends_its_own_trouble_only() {
        let status = ShardStatus::default();
        status.enter(State::Connecting, "lost");
        status.sink_goes_on();
        assert_eq!(status.state(), State::Connecting);
        status.enter(State::WaitingForSink, "no room");
        status.sink_goes_on();
        assert_eq!(status.state(), State::Running);
    }

    #[test]
    fn a_save_that_fails_is_seen_from_its_first_failure_until_one_succeeds() {
        let status = ShardStatus::default();
        status.cannot_save("no answer".into());
        status.lock().unsaved.as_mut().unwrap().since_ms = 7;
        status.cannot_save("too large".into());
        assert_eq!(status.look().unsaved, Some(Unsaved { since_ms: 7, why: "too large".into() }));
        status.saved(&crate::sync_point::record::tests::record(1, 1));
        assert_eq!(status.look().unsaved, None);
    }

    #[test]
    fn the_words_are_those_of_the_json() {
        for state in [State::Connecting, State::WaitingForSink, State::Down] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }
}
