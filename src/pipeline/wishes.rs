//! What a person may wish of a shard while it works, and what is to be seen of it meanwhile: shared by the shard's threads
//! and whoever talks to the person.

use crate::code::Code;
use crate::pipeline::fault::Fault;
use crate::status::ShardStatus;
use crate::stop::Stop;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// How soon a wait notices a wish.
const TICK: Duration = Duration::from_millis(200);

/// Lent to a run of a shard; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Live {
    pub status: ShardStatus,
    pub switch: SwitchSlot,
    /// A row of a watched table has been read: by this process, in whatever term.
    pub seen_row: Arc<AtomicBool>,
}

/// The wish that the shard is read from another of its sources now.
///
/// The producer takes it ([`SwitchSlot::take`]) at the next event or heartbeat, or while it waits between two tries
/// ([`SwitchSlot::wait`]); leaves the stream it has as after a break; and connects to `source` first, by all the checks of
/// any connect. Then it answers, once: Ok with a line for the person ("shard=a source=db2:3306 is read now") when that
/// source's stream has begun, the fault when it cannot be (going on with the source it had, or with the next one). A wish
/// that is dropped without an answer reads as "the shard has ended".
#[derive(Debug)]
pub struct SwitchWish {
    /// The index in [`crate::config::ShardConfig::sources`].
    pub source: usize,
    answer: Sender<Result<String, Fault>>,
}

impl SwitchWish {
    pub fn answer(self, outcome: Result<String, Fault>) {
        // Who asked may have gone away in the meantime.
        drop(self.answer.try_send(outcome));
    }
}

/// Where a wish waits until the producer takes it: one at a time.
#[derive(Debug, Clone, Default)]
pub struct SwitchSlot {
    shared: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Looked at for each event, so without the lock.
    full: AtomicBool,
    wish: Mutex<Option<SwitchWish>>,
}

impl SwitchSlot {
    /// Puts a wish in; what it comes to is received. A former one that nobody has taken is told so.
    pub fn ask(&self, source: usize) -> Receiver<Result<String, Fault>> {
        let (answer, outcome) = bounded(1);
        let former = {
            let mut wish = self.lock();
            self.shared.full.store(true, Ordering::Release);
            wish.replace(SwitchWish { source, answer })
        };
        if let Some(former) = former {
            former.answer(Err(Fault::stop(Code::Stopped, "a later wish has taken the place of this one")));
        }
        outcome
    }

    /// Whether a wish is waiting: for a look at each event.
    pub fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Acquire)
    }

    pub fn take(&self) -> Option<SwitchWish> {
        if !self.is_full() {
            return None;
        }
        let mut wish = self.lock();
        self.shared.full.store(false, Ordering::Release);
        wish.take()
    }

    /// Sleeps for `time`, until a stop is requested, or until a wish is waiting. True: a stop was requested.
    pub fn wait(&self, stop: &Stop, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let left = time.saturating_sub(begun.elapsed());
            if stop.wait(left.min(TICK)) {
                return true;
            }
            if self.is_full() || left <= TICK {
                return false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<SwitchWish>> {
        self.shared.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_taken_once_and_answered() {
        let slot = SwitchSlot::default();
        assert!(slot.take().is_none());
        let outcome = slot.ask(1);
        let wish = slot.clone().take().unwrap();
        assert!(wish.source == 1 && slot.take().is_none() && !slot.is_full());
        wish.answer(Ok("done".to_owned()));
        assert_eq!(outcome.recv().unwrap().unwrap(), "done");
    }

    #[test]
    fn a_later_wish_replaces_one_that_nobody_took() {
        let slot = SwitchSlot::default();
        let (first, second) = (slot.ask(1), slot.ask(2));
        assert_eq!(first.recv().unwrap().unwrap_err().code, Code::Stopped);
        assert_eq!(slot.take().unwrap().source, 2);
        assert!(second.recv().is_err(), "dropped without an answer");
    }

    #[test]
    fn a_wait_ends_with_a_wish_a_stop_or_the_time() {
        let (slot, stop) = (SwitchSlot::default(), Stop::new());
        assert!(!slot.wait(&stop, Duration::from_millis(1)));
        let _outcome = slot.ask(0);
        assert!(!slot.wait(&stop, Duration::from_secs(3600)));
        stop.request();
        assert!(slot.wait(&stop, Duration::from_secs(3600)));
    }
}
