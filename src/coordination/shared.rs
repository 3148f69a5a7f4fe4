//! One session for all stores of a process: opened when it is first needed, and again after a doubt.

use crate::config::ZooKeeperConfig;
use crate::coordination::CoordinationError;
use crate::coordination::session::Session;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

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
}

#[derive(Default)]
struct Slot {
    session: Option<Arc<Session>>,
    failed: Option<(Instant, CoordinationError)>,
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
            let inner = Arc::new(Inner { config: config.clone(), slot: Mutex::default() });
            open.push(Arc::downgrade(&inner));
            inner
        });
        Self { inner }
    }

    /// Runs calls on the session. Whatever leaves a doubt about it ends it; nothing is tried again here.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, CoordinationError>,
    ) -> Result<T, CoordinationError> {
        let session = self.session()?;
        let outcome = work(&session);
        if session.is_over() || outcome.as_ref().is_err_and(CoordinationError::is_doubt) {
            let mut slot = lock(&self.inner.slot);
            if slot.session.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &session)) {
                slot.session = None;
            }
        }
        outcome
    }

    fn session(&self) -> Result<Arc<Session>, CoordinationError> {
        let mut slot = lock(&self.inner.slot);
        if let Some(session) = slot.session.as_ref().filter(|session| !session.is_over()) {
            return Ok(Arc::clone(session));
        }
        slot.session = None;
        if let Some((at, error)) = &slot.failed
            && at.elapsed() < RETRY
        {
            return Err(error.clone());
        }
        match Session::open(&self.inner.config) {
            Ok(session) => {
                let session = Arc::new(session);
                *slot = Slot { session: Some(Arc::clone(&session)), failed: None };
                Ok(session)
            }
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}
