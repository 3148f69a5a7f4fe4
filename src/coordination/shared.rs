//! One session for all stores of a process: opened when it is first needed, and again after a doubt.

use crate::config::ZooKeeperConfig;
use crate::coordination::CoordinationError;
use crate::coordination::session::Session;
use crate::stop::Stop;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Who looks and is to stop waits no longer than this for a session: one that can be had is had sooner. A last save waits.
const STOP_PATIENCE: Duration = Duration::from_millis(500);
/// How often a waiting thread looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// Between two tries to open a session. Whoever asks meanwhile hears what the last one came to.
const RETRY: Duration = Duration::from_secs(1);

static OPEN: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

/// Clones share the session. It ends with the last of them.
#[derive(Clone)]
pub struct SharedSession {
    inner: Arc<Inner>,
}

struct Inner {
    config: ZooKeeperConfig,
    slot: Mutex<Slot>,
    opened: Condvar,
    stop: Mutex<Option<Stop>>,
}

#[derive(Default)]
struct Slot {
    /// With the moment when it was opened.
    session: Option<(Instant, Arc<Session>)>,
    failed: Option<(Instant, CoordinationError)>,
    /// A thread is at it: opening takes as long as `zk_connection_timeout`, which is longer than a stop may take to be seen.
    opening: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each value is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedSession {
    /// The one that this process has for such a configuration.
    pub fn of(config: &ZooKeeperConfig) -> Self {
        let mut open = lock(&OPEN);
        open.retain(|inner| inner.strong_count() > 0);
        let known = open.iter().filter_map(Weak::upgrade).find(|inner| inner.config == *config);
        let inner = known.unwrap_or_else(|| {
            let inner = Arc::new(Inner {
                config: config.clone(),
                slot: Mutex::default(),
                opened: Condvar::new(),
                stop: Mutex::default(),
            });
            open.push(Arc::downgrade(&inner));
            inner
        });
        Self { inner }
    }

    /// From when that stop is requested nobody who looks waits long for a session to be opened.
    pub fn ends_with(&self, stop: &Stop) {
        *lock(&self.inner.stop) = Some(stop.clone());
    }

    /// As [`SharedSession::with`], for what is of no use to whoever is to stop: it does not wait long then.
    pub fn look<T>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, CoordinationError>,
    ) -> Result<T, CoordinationError> {
        self.on(self.session(&|| lock(&self.inner.stop).as_ref().is_some_and(Stop::requested))?, work)
    }

    /// Runs calls on the session. Whatever leaves a doubt about it ends it; nothing is tried again here.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, CoordinationError>,
    ) -> Result<T, CoordinationError> {
        self.on(self.session(&|| false)?, work)
    }

    fn on<T>(
        &self,
        session: Arc<Session>,
        work: impl FnOnce(&Session) -> Result<T, CoordinationError>,
    ) -> Result<T, CoordinationError> {
        let outcome = work(&session);
        if session.is_over() || outcome.as_ref().is_err_and(CoordinationError::is_doubt) {
            let mut slot = lock(&self.inner.slot);
            if slot.session.as_ref().is_some_and(|(_, kept)| Arc::ptr_eq(kept, &session)) {
                slot.session = None;
            }
        }
        outcome
    }

    fn session(&self, hurries: &dyn Fn() -> bool) -> Result<Arc<Session>, CoordinationError> {
        let begun = Instant::now();
        let mut slot = lock(&self.inner.slot);
        loop {
            // One that is over so soon is for the caller to find out.
            let usable = |(at, session): &&(Instant, Arc<Session>)| *at >= begun || !session.is_over();
            if let Some((_, session)) = slot.session.as_ref().filter(usable) {
                return Ok(Arc::clone(session));
            }
            slot.session = None;
            if let Some((at, error)) = &slot.failed
                && (*at >= begun || at.elapsed() < RETRY)
            {
                return Err(error.clone());
            }
            if !slot.opening {
                self.begin_to_open()?;
                slot.opening = true;
            }
            if begun.elapsed() >= STOP_PATIENCE && hurries() {
                return Err(CoordinationError::TimedOut);
            }
            slot = self.inner.opened.wait_timeout(slot, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn begin_to_open(&self) -> Result<(), CoordinationError> {
        let inner = Arc::clone(&self.inner);
        let open = move || {
            let opened = catch_unwind(AssertUnwindSafe(|| Session::open(&inner.config)));
            let opened = opened.unwrap_or_else(|_told_by_the_panic_itself| {
                Err(CoordinationError::Lost("the thread that opens it panicked".to_owned()))
            });
            let mut slot = lock(&inner.slot);
            *slot = match opened {
                Ok(session) => {
                    Slot { session: Some((Instant::now(), Arc::new(session))), failed: None, opening: false }
                }
                Err(error) => Slot { session: None, failed: Some((Instant::now(), error)), opening: false },
            };
            inner.opened.notify_all();
        };
        let thread = thread::Builder::new().name("zookeeper-open".into()).spawn(open);
        thread.map(drop).map_err(|error| CoordinationError::Lost(format!("no thread: {error}")))
    }
}
