//! What a shard's thread shares with whoever operates it: what is to be seen, a person's wishes, and a bell.

use crate::config::Config;
use crate::config::ShardConfig;
use crate::pipeline::ports::open_state_store;
use crate::pipeline::wishes::Live;
use crate::stop::Stop;
use crate::sync_point::StoreError;
use crate::sync_point::state::ShardState;
use crate::sync_point::state::StateStore;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// One shard of a running engine.
pub struct ShardHandle {
    pub shard: ShardConfig,
    pub live: Live,
    config: Arc<Config>,
    /// What the thread works or waits under at the moment.
    turn: Mutex<Stop>,
    /// A person has said that a stopped shard is to be tried again.
    resumed: AtomicBool,
    /// The thread has ended for good.
    gone: AtomicBool,
    /// Opened when it is first needed. Whoever changes the state holds it from the look to the save.
    store: Mutex<Option<Box<dyn StateStore>>>,
}

impl ShardHandle {
    pub fn new(config: &Arc<Config>, shard: &ShardConfig) -> Self {
        Self {
            shard: shard.clone(),
            live: Live::default(),
            config: Arc::clone(config),
            turn: Mutex::default(),
            resumed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            store: Mutex::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.shard.name
    }

    /// Begins a turn or a wait that [`ShardHandle::ring`] ends, as `stop` does. The state is to be looked at behind this: who
    /// changes it afterwards rings.
    pub fn begin(&self, stop: &Stop) -> Stop {
        let turn = stop.child();
        *lock(&self.turn) = turn.clone();
        turn
    }

    /// The state has changed: the turn or the wait ends, and the state is looked at anew.
    pub fn ring(&self) {
        lock(&self.turn).request();
    }

    /// A shard that has stopped here is to be tried again.
    pub fn resume(&self) {
        self.resumed.store(true, Ordering::Release);
        self.ring();
    }

    pub fn take_resumed(&self) -> bool {
        self.resumed.swap(false, Ordering::AcqRel)
    }

    /// Whether the thread has taken the last word to resume.
    pub fn has_heard(&self) -> bool {
        !self.resumed.load(Ordering::Acquire)
    }

    pub fn note_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The state as it is stored; none is the same as an empty one.
    pub fn load_state(&self) -> Result<ShardState, StoreError> {
        let mut slot = lock(&self.store);
        let outcome = self.opened(&mut slot).and_then(|store| store.load());
        if outcome.is_err() {
            *slot = None;
        }
        Ok(outcome?.unwrap_or_default())
    }

    /// Changes the stored state and returns the former one. Nothing is written where nothing changes.
    pub fn change_state(&self, change: impl Fn(&mut ShardState)) -> Result<ShardState, StoreError> {
        let mut slot = lock(&self.store);
        let first = self.opened(&mut slot).and_then(|store| change_in(store, &change));
        if first.is_ok() {
            return first;
        }
        // Somebody else may have written it since it was read, or a session may be used up: once more from the start.
        *slot = None;
        self.opened(&mut slot).and_then(|store| change_in(store, &change))
    }

    fn opened<'a>(
        &self,
        slot: &'a mut Option<Box<dyn StateStore>>,
    ) -> Result<&'a mut dyn StateStore, StoreError> {
        let store = match slot.take() {
            Some(store) => store,
            None => open_state_store(&self.config, self.name())?,
        };
        Ok(&mut **slot.insert(store))
    }
}

/// Changes what a store holds and returns what it held before.
pub fn change_in(
    store: &mut dyn StateStore,
    change: impl Fn(&mut ShardState),
) -> Result<ShardState, StoreError> {
    let former = store.load()?.unwrap_or_default();
    let mut state = former.clone();
    change(&mut state);
    if state != former {
        store.save(&state)?;
    }
    Ok(former)
}

impl fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHandle").field("shard", &self.shard.name).field("live", &self.live).finish()
    }
}

/// What is behind these locks is whole at every moment: a thread that panicked left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use crate::sync_point::state::Suspension;
    use std::time::Duration;

    fn handle(home: &std::path::Path) -> ShardHandle {
        let request = Request::from_pairs(home, &[("mysql_username", "u"), ("mysql_shard_0_server", "db1")]);
        let config = Arc::new(Config::load(&request).unwrap());
        let shard = config.shards[0].clone();
        ShardHandle::new(&config, &shard)
    }

    #[test]
    fn a_bell_ends_the_turn_and_not_the_process() {
        let temp = tempfile::tempdir().unwrap();
        let (handle, stop) = (handle(temp.path()), Stop::new());
        let first = handle.begin(&stop);
        handle.ring();
        assert!(first.wait(Duration::from_secs(60)) && !stop.requested());
        let second = handle.begin(&stop);
        assert!(!second.requested(), "the bell is heard once");
        assert!(!handle.take_resumed());
        handle.resume();
        assert!(second.requested() && handle.take_resumed() && !handle.take_resumed());
        let third = handle.begin(&stop);
        stop.request();
        assert!(third.requested());
    }

    #[test]
    fn a_change_of_the_state_is_stored_and_tells_what_was_before() {
        let temp = tempfile::tempdir().unwrap();
        let handle = handle(temp.path());
        let suspend = |state: &mut ShardState| {
            let at = Suspension { reason: "r".into(), at_ms: 1, until_ms: None, node: "n".into() };
            state.suspended = Some(at);
        };
        assert_eq!(handle.change_state(suspend).unwrap(), ShardState::default());
        assert!(handle.change_state(|state| state.suspended = None).unwrap().suspended.is_some());
        assert_eq!(handle.load_state().unwrap(), ShardState::default());
        let file = temp.path().join("points/producer00.state");
        std::fs::remove_file(&file).unwrap();
        handle.change_state(|_| ()).unwrap();
        assert!(!file.exists(), "nothing has changed");
    }
}
