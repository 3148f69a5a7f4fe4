//! The wish to stop, shared by every thread: a flag that can be waited on, so that sleeps end early.
//!
//! Who raises it (a signal, a failed shard, a test) is not known here.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// A handle on one flag; clones share it. Once requested, a stop is never taken back.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Read on hot paths; set only with `gate` held, so that no sleeper misses it.
    requested: AtomicBool,
    /// The flags below this one.
    gate: Mutex<Vec<Weak<Shared>>>,
    raised: Condvar,
}

impl Stop {
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag of its own that is raised with this one too, but not the other way round: one shard can be stopped alone.
    pub fn child(&self) -> Stop {
        let child = Stop::new();
        let mut gate = self.gate();
        if self.requested() {
            child.request();
        }
        gate.retain(|other| other.strong_count() > 0);
        gate.push(Arc::downgrade(&child.shared));
        child
    }

    /// Asks everybody who holds this flag to stop, and wakes those who wait on it.
    pub fn request(&self) {
        let mut gate = self.gate();
        self.shared.requested.store(true, Ordering::Release);
        let children = std::mem::take(&mut *gate);
        drop(gate);
        self.shared.raised.notify_all();
        for shared in children.iter().filter_map(Weak::upgrade) {
            Stop { shared }.request();
        }
    }

    /// Each list of children is whole at every moment: a holder that panicked left nothing half done.
    fn gate(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a stop has been asked for.
    pub fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::Acquire)
    }

    /// Sleeps for `time`, or until a stop is requested; says whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        let Some(end) = Instant::now().checked_add(time) else {
            // A time beyond the clock's range: a year at a time will do.
            return self.wait(Duration::from_secs(365 * 24 * 3600));
        };
        let mut gate = self.gate();
        while !self.requested() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.shared.raised.wait_timeout(gate, left);
            gate = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_a_sleep_and_stays() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::from_millis(1)));
        let other = stop.clone();
        let began = Instant::now();
        let sleeper = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        stop.request();
        assert!(sleeper.join().unwrap());
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(stop.requested() && stop.wait(Duration::ZERO) && stop.wait(Duration::MAX));
    }

    #[test]
    fn a_request_reaches_children_and_not_parents() {
        let stop = Stop::new();
        let (one, other) = (stop.child(), stop.child());
        one.request();
        assert!(one.requested() && !stop.requested() && !other.requested());
        let grandchild = other.child();
        let sleeper = std::thread::spawn(move || grandchild.wait(Duration::from_secs(60)));
        stop.request();
        assert!(other.requested() && stop.child().requested());
        assert!(sleeper.join().unwrap());
    }
}
