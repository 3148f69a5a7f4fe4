//! The saver thread of a shard: makes acknowledged points durable without keeping the packer waiting.
//!
//! Only the newest point counts: while one save is under way, newer points replace each other in the slot. A failed
//! save is repeated until it succeeds, at the end for a limited time; the point on disk is then older than what was delivered,
//! never newer. Each saved
//! point goes into the history too, which may fail without any harm but a shorter memory.

use crate::code::Code;
use crate::pipeline::patience::Told;
use crate::pipeline::patience::so_often;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::history::PointHistory;
use crate::sync_point::zk_node::is_passing;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

/// Between two saves of a busy shard: each costs the disk a flush or two, and what is saved late is only read again
/// after a crash. The first point after a quiet time is saved at once.
const SYNC_PAUSE: Duration = Duration::from_millis(50);

/// Between two tries to save.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The same at the end, which has little time.
const LAST_PAUSE: Duration = Duration::from_millis(200);

/// How often points are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveRhythm {
    /// As soon as a pack is acknowledged, with a short pause between two saves.
    Sync,
    /// After `initial_delay`, then once in a `period`.
    Async { initial_delay: Duration, period: Duration },
}

/// The packer's end of the saver thread.
#[derive(Debug)]
pub struct Saver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
    /// Lines may be numbered up to here: the highest reservation that is durable.
    seq_reserved: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    newest: Option<PointRecord>,
    /// The next save is waited for: no pause.
    urgent: bool,
    /// It is the end; no try begins after this time but the first one.
    closing: Option<Instant>,
}

impl Saver {
    /// `saved`: the record that is in the store already. It is the first one of the history.
    pub fn start(
        shard: &str,
        store: Box<dyn SyncPointStore>,
        history: Box<dyn PointHistory>,
        rhythm: SaveRhythm,
        saved: PointRecord,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slot: Mutex::default(),
            changed: Condvar::new(),
            seq_reserved: AtomicU64::new(saved.seq_reserved),
        });
        let worker = Worker {
            shared: Arc::clone(&shared),
            store,
            history,
            history_fails: false,
            shard: shard.to_owned(),
            rhythm,
        };
        let thread =
            std::thread::Builder::new().name(format!("saver-{shard}")).spawn(move || worker.run(saved))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands over the newest acknowledged point; returns at once.
    pub fn offer(&self, record: PointRecord) {
        self.shared.lock().newest = Some(record);
        self.shared.changed.notify_one();
    }

    /// Somebody waits for the next save: it is not put off.
    pub fn hurry(&self) {
        self.shared.lock().urgent = true;
        self.shared.changed.notify_one();
    }

    /// Lines may be numbered below this.
    pub fn seq_reserved(&self) -> u64 {
        self.shared.seq_reserved.load(Ordering::Acquire)
    }

    /// Saves what is left and ends the thread. A store that is away is tried for `patience`.
    pub fn close(mut self, patience: Duration) -> Result<(), StoreError> {
        self.shared.lock().closing = Some(Instant::now() + patience);
        self.shared.changed.notify_one();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_panic)) => Err(StoreError::new(Code::Internal, "the saver thread panicked")),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // A slot is whole at every moment: a thread that panicked with the lock left nothing half done.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    shared: Arc<Shared>,
    store: Box<dyn SyncPointStore>,
    history: Box<dyn PointHistory>,
    history_fails: bool,
    shard: String,
    rhythm: SaveRhythm,
}

impl Worker {
    fn run(mut self, mut saved: PointRecord) -> Result<(), StoreError> {
        self.note(&saved);
        let mut pause = match self.rhythm {
            SaveRhythm::Sync => Duration::ZERO,
            SaveRhythm::Async { initial_delay, .. } => initial_delay,
        };
        let (mut failing, mut told, mut told_closing) = (false, Told::default(), false);
        loop {
            let (record, closing) = self.next(pause, failing);
            let Some(record) = record else { return Ok(()) };
            if is_unchanged(&mut saved, &record) {
                pause = self.period();
                continue;
            }
            match self.store.save(&record) {
                Ok(()) => {
                    self.note(&record);
                    self.shared.seq_reserved.fetch_max(record.seq_reserved, Ordering::AcqRel);
                    if failing {
                        log::info!("shard={} points are saved again", self.shard);
                    }
                    failing = false;
                    told.clear();
                    pause = self.period();
                    saved = record;
                }
                // Whoever leads now saves; nothing of ours may land any more.
                Err(error) if error.code == Code::LeadershipLost => return Err(error),
                Err(error) => {
                    match closing {
                        None => self.tell(&error, &mut told),
                        Some(until) if !is_passing(&error) || Instant::now() >= until => return Err(error),
                        Some(until) => {
                            if !std::mem::replace(&mut told_closing, true) {
                                self.tell_closing(&error, until);
                            }
                            std::thread::sleep(LAST_PAUSE);
                        }
                    }
                    failing = true;
                    pause = RETRY_PAUSE;
                    self.put_back(record);
                }
            }
        }
    }

    fn tell(&self, error: &StoreError, told: &mut Told) {
        if let Some(untold) = told.news(error.code, Instant::now()) {
            let so_often = so_often(untold);
            log::error!(
                "{}: shard={} {error}; the point waits, trying again every second{so_often}",
                error.code,
                self.shard
            );
        }
    }

    fn tell_closing(&self, error: &StoreError, until: Instant) {
        log::warn!(
            "{}: shard={} {error}; its end waits for the last point to be saved, {} ms at the most",
            error.code,
            self.shard,
            until.saturating_duration_since(Instant::now()).as_millis()
        );
    }

    fn period(&self) -> Duration {
        match self.rhythm {
            SaveRhythm::Sync => SYNC_PAUSE,
            SaveRhythm::Async { period, .. } => period,
        }
    }

    fn note(&mut self, record: &PointRecord) {
        let failure = self.history.note(record).err();
        if let Some(error) = failure.as_ref().filter(|_| !self.history_fails) {
            log::warn!("shard={} {}: {error}; going on without a history of points", self.shard, error.code);
        }
        self.history_fails = failure.is_some();
    }

    /// Waits out the pause, then for a record. Closing cuts both short; somebody who waits cuts the pause, but not
    /// that behind a failure. No record: it is over.
    fn next(&self, pause: Duration, failing: bool) -> (Option<PointRecord>, Option<Instant>) {
        let mut slot = self.shared.lock();
        if !pause.is_zero() {
            slot = self
                .shared
                .changed
                .wait_timeout_while(slot, pause, |slot| slot.closing.is_none() && (failing || !slot.urgent))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        slot = self
            .shared
            .changed
            .wait_while(slot, |slot| slot.newest.is_none() && slot.closing.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        slot.urgent = false;
        (slot.newest.take(), slot.closing)
    }

    fn put_back(&self, record: PointRecord) {
        self.shared.lock().newest.get_or_insert(record);
    }
}

/// When a record was saved is no news.
fn is_unchanged(saved: &mut PointRecord, record: &PointRecord) -> bool {
    saved.saved_ms = record.saved_ms;
    saved == record
}

#[cfg(test)]
mod tests;
