//! What is saved when, however often the store fails.

use super::*;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::record::tests::record;
use std::time::Instant;

/// Fails as often as it is told to; keeps what was saved and noted.
#[derive(Debug, Default, Clone)]
struct Store {
    /// As a ZooKeeper that is away; else as a full disk.
    passing: bool,
    failures: Arc<Mutex<u64>>,
    tries: Arc<Mutex<u64>>,
    saved: Arc<Mutex<Vec<u64>>>,
    noted: Arc<Mutex<Vec<u64>>>,
}

impl Store {
    fn failing(failures: u64) -> Self {
        Self { failures: Arc::new(Mutex::new(failures)), ..Self::default() }
    }

    fn saved(&self) -> Vec<u64> {
        self.saved.lock().unwrap().clone()
    }

    fn saver(&self, rhythm: SaveRhythm) -> Saver {
        let saved = PointRecord { seq_reserved: 7, ..record(1, 0) };
        Saver::start("s", Box::new(self.clone()), Box::new(self.clone()), rhythm, saved).unwrap()
    }
}

impl SyncPointStore for Store {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        Ok(None)
    }

    fn load_old(&mut self) -> Result<Option<FoundPoint>, StoreError> {
        Ok(None)
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        *self.tries.lock().unwrap() += 1;
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            if self.passing {
                return Err(StoreError::new(Code::ZkTimeout, "no answer"));
            }
            return Err(StoreError::new(Code::PointStore, "the disk is full"));
        }
        self.saved.lock().unwrap().push(record.sequence);
        Ok(())
    }
}

impl PointHistory for Store {
    fn note(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        self.noted.lock().unwrap().push(record.sequence);
        Err(StoreError::new(Code::PointStore, "no history"))
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const HOURLY: SaveRhythm = SaveRhythm::Async { initial_delay: HOUR, period: HOUR };

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn failed_saves_are_repeated_with_the_newest_point_and_reserve_nothing() {
    let store = Store::failing(3);
    let saver = store.saver(SaveRhythm::Sync);
    saver.offer(record(1, 1));
    wait_for("a first try", || *store.tries.lock().unwrap() > 0);
    assert_eq!(saver.seq_reserved(), 7, "what is not on disk is not reserved");
    saver.offer(record(1, 2));
    wait_for("the fourth try", || !store.saved().is_empty());
    assert_eq!(store.saved(), [2], "the newest one only");
    assert_eq!(*store.tries.lock().unwrap(), 4);
    assert_eq!(saver.close(Duration::ZERO), Ok(()));
    assert_eq!(*store.noted.lock().unwrap(), [0, 2], "a history that fails stops nothing");
}

#[test]
fn the_end_flushes_what_a_timer_has_not_saved() {
    let store = Store::default();
    let saver = store.saver(HOURLY);
    for sequence in 1..=100 {
        saver.offer(record(1, sequence));
    }
    assert!(store.saved().is_empty());
    assert_eq!(saver.close(Duration::ZERO), Ok(()));
    assert_eq!(store.saved(), [100]);
}

#[test]
fn a_save_that_fails_at_the_end_is_told() {
    let store = Store::failing(1);
    let saver = store.saver(HOURLY);
    saver.offer(record(1, 1));
    assert_eq!(saver.close(Duration::ZERO).unwrap_err().code, Code::PointStore);
}

#[test]
fn a_store_that_is_away_is_waited_for_at_the_end_and_not_for_ever() {
    let store = Store { passing: true, ..Store::failing(2) };
    let saver = store.saver(HOURLY);
    saver.offer(record(1, 1));
    assert_eq!(saver.close(HOUR), Ok(()));
    assert_eq!((store.saved(), *store.tries.lock().unwrap()), (vec![1], 3));

    let away = Store { passing: true, ..Store::failing(u64::MAX) };
    let saver = away.saver(HOURLY);
    saver.offer(record(1, 1));
    assert_eq!(saver.close(Duration::from_millis(300)).unwrap_err().code, Code::ZkTimeout);
    let full = Store::failing(1);
    let saver = full.saver(HOURLY);
    saver.offer(record(1, 1));
    assert_eq!(saver.close(HOUR).unwrap_err().code, Code::PointStore, "a disk does not empty itself");
}

#[test]
fn an_unchanged_point_is_not_saved_again() {
    let store = Store::default();
    let millisecond = Duration::from_millis(1);
    let saver = store.saver(SaveRhythm::Async { initial_delay: Duration::ZERO, period: millisecond });
    for saved_ms in 1..=5 {
        saver.offer(PointRecord { saved_ms, ..record(1, 1) });
        wait_for("taken", || saver.shared.lock().newest.is_none());
    }
    saver.offer(record(1, 2));
    assert_eq!(saver.close(Duration::ZERO), Ok(()));
    assert_eq!(store.saved(), [1, 2]);
}

#[test]
fn whoever_waits_for_numbers_does_not_wait_for_the_timer() {
    let store = Store::default();
    let saver = store.saver(HOURLY);
    saver.offer(record(1, 1));
    saver.hurry();
    wait_for("a save", || saver.seq_reserved() == record(1, 1).seq_reserved);
    assert_eq!(store.saved(), [1]);
    // The next one waits for its time again.
    saver.offer(record(1, 2));
    assert_eq!(saver.close(Duration::ZERO), Ok(()));
    assert_eq!(store.saved(), [1, 2]);
}
