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
use std::sync::atomic::AtomicU64;
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
    number: u64,
    answer: Sender<Result<String, Fault>>,
}

impl SwitchWish {
    pub fn answer(self, outcome: Result<String, Fault>) {
        // Who asked may have gone away in the meantime.
        drop(self.answer.try_send(outcome));
    }
}

/// A wish as whoever made it keeps it.
#[derive(Debug)]
pub struct Wished {
    number: u64,
    pub outcome: Receiver<Result<String, Fault>>,
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
    /// Tells wishes apart.
    last: AtomicU64,
    wish: Mutex<Option<SwitchWish>>,
}

impl SwitchSlot {
    /// Puts a wish in; what it comes to is received by what this returns. A former one that nobody has taken is told so.
    pub fn ask(&self, source: usize) -> Wished {
        let (answer, outcome) = bounded(1);
        let number = self.shared.last.fetch_add(1, Ordering::Relaxed);
        let former = {
            let mut wish = self.lock();
            self.shared.full.store(true, Ordering::Release);
            wish.replace(SwitchWish { source, number, answer })
        };
        if let Some(former) = former {
            former.answer(Err(Fault::stop(Code::Stopped, "a later wish has taken the place of this one")));
        }
        Wished { number, outcome }
    }

    /// Takes back that wish, and no other one's. False: it was taken already.
    pub fn withdraw(&self, wished: &Wished) -> bool {
        let mut wish = self.lock();
        let waits = wish.take_if(|wish| wish.number == wished.number).is_some();
        self.shared.full.store(wish.is_some(), Ordering::Release);
        waits
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
        assert_eq!(outcome.outcome.recv().unwrap().unwrap(), "done");
    }

    #[test]
    fn who_gives_up_withdraws_no_wish_but_its_own() {
        let slot = SwitchSlot::default();
        let first = slot.ask(1);
        let _at_work = slot.take().unwrap();
        let second = slot.ask(2);
        assert!(!slot.withdraw(&first) && slot.is_full());
        assert!(slot.withdraw(&second) && !slot.is_full());
        assert!(slot.take().is_none() && second.outcome.recv().is_err());
    }

    #[test]
    fn a_later_wish_replaces_one_that_nobody_took() {
        let slot = SwitchSlot::default();
        let (first, second) = (slot.ask(1), slot.ask(2));
        assert_eq!(first.outcome.recv().unwrap().unwrap_err().code, Code::Stopped);
        assert_eq!(slot.take().unwrap().source, 2);
        assert!(second.outcome.recv().is_err(), "dropped without an answer");
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
