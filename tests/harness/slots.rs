//! Keeps the number of servers that tests of one process run at a time small, whatever `cargo test` starts in parallel.

use std::collections::HashMap;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread::ThreadId;
use std::time::Duration;
use std::time::Instant;

/// Servers at a time when `FOUNTAIN_TEST_SERVERS` does not say otherwise.
const DEFAULT_LIMIT: usize = 3;
/// Then a server starts in spite of the limit: tests may hold servers in ways that this module does not foresee.
const PATIENCE: Duration = Duration::from_secs(180);

static HELD: Mutex<Option<HashMap<ThreadId, usize>>> = Mutex::new(None);
static FREED: Condvar = Condvar::new();

/// Room for one running server, given back on drop.
pub struct Slot(ThreadId);

/// Waits for room. A thread that has a server already gets the next one at once: two tests that each hold one server
/// and wait for their second would wait for ever.
pub fn take() -> Slot {
    let limit = std::env::var("FOUNTAIN_TEST_SERVERS").ok().and_then(|text| text.parse().ok());
    let limit: usize = limit.unwrap_or(DEFAULT_LIMIT).max(1);
    let me = std::thread::current().id();
    let deadline = Instant::now() + PATIENCE;
    let mut held = lock();
    loop {
        let slots = held.get_or_insert_default();
        let left = deadline.saturating_duration_since(Instant::now());
        if slots.contains_key(&me) || slots.values().sum::<usize>() < limit || left.is_zero() {
            *slots.entry(me).or_insert(0) += 1;
            return Slot(me);
        }
        held = FREED.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// A test that panics while it holds the lock leaves the count itself in order.
fn lock() -> MutexGuard<'static, Option<HashMap<ThreadId, usize>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = lock();
        let slots = held.get_or_insert_default();
        if let Some(count) = slots.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                slots.remove(&self.0);
            }
        }
        FREED.notify_all();
    }
}
