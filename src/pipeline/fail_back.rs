//! `fail_back=auto`: while a backup is read, a thread looks now and then whether the main server serves again and has all
//! that the backup has. The stream is not touched by that; its producer judges what was seen at the next border.

use crate::binlog::ExecutedGtids;
use crate::code::Code;
use crate::config::ShardConfig;
use crate::mysql::config::SourceConfig;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;
use crate::pipeline::start::fit::Has;
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// Looks come at least so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// A replica under load is always a little behind: it is asked for so long whether it has what its source had.
const CLOSE_BEHIND: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A main server that lives so long after a return is trusted again.
const TRUSTED: Duration = Duration::from_secs(600);

/// How long until the next look, by what came of the last ones.
#[derive(Debug)]
pub struct Pauses {
    shortest: Duration,
    next: Duration,
    returned: Option<Instant>,
}

impl Pauses {
    pub fn new(shortest: Duration) -> Self {
        let shortest = shortest.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        Self { shortest, next: shortest, returned: None }
    }

    /// The first pause behind the beginning of a backup's stream.
    pub fn first(&self) -> Duration {
        self.next
    }

    /// The main server is read again. If that soon happens once more, it comes and goes.
    pub fn returned(&mut self) {
        self.next = match self.returned.replace(Instant::now()) {
            Some(last) if last.elapsed() < TRUSTED => longer(self.next),
            _ => self.shortest,
        };
    }

    /// It looked well and could not be read.
    pub fn failed(&mut self) {
        self.next = longer(self.next);
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// A thread that looks; it ends when this is dropped.
pub struct FailBack {
    seen: Arc<Seen>,
    stop: Stop,
}

/// What the last look has seen, until the producer takes it.
#[derive(Default)]
struct Seen {
    /// Looked at for each event, so without the lock.
    fresh: AtomicBool,
    has: Mutex<Option<Has>>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Option<Has>> {
        self.has.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to look at.
struct Look {
    shard: ShardConfig,
    main: SourceConfig,
    backup: SourceConfig,
    stop: Stop,
}

impl FailBack {
    /// None: there is no thread to be had; that is no reason to stop reading.
    pub fn start(
        shard: &ShardConfig,
        (main, backup): (SourceConfig, SourceConfig),
        first_pause: Duration,
        stop: &Stop,
    ) -> Option<Self> {
        let (seen, stop) = (Arc::new(Seen::default()), stop.child());
        let look = Look { shard: shard.clone(), main, backup, stop: stop.clone() };
        let shared = Arc::clone(&seen);
        let thread = std::thread::Builder::new().name(format!("fail-back-{}", shard.name));
        match thread.spawn(move || look.now_and_then(&shared, first_pause)) {
            Ok(_) => Some(Self { seen, stop }),
            Err(error) => {
                log::warn!("shard={} {}: no thread for fail_back=auto: {error}", shard.name, Code::Limits);
                None
            }
        }
    }

    /// Whether a look is to be judged: for a look at each event.
    pub fn is_fresh(&self) -> bool {
        self.seen.fresh.load(Ordering::Acquire)
    }

    /// Whether the main server could go on behind these, as it was seen last.
    pub fn main_goes_on_behind(&self, ours: &ExecutedGtids) -> bool {
        let mut has = self.seen.lock();
        self.seen.fresh.store(false, Ordering::Release);
        has.take().is_some_and(|has| has.goes_on_behind(ours))
    }
}

impl Drop for FailBack {
    fn drop(&mut self) {
        self.stop.request();
    }
}

impl Look {
    fn now_and_then(&self, seen: &Seen, first_pause: Duration) {
        let mut pause = first_pause;
        while !self.stop.wait(pause) {
            match self.look() {
                Ok(has) => {
                    *seen.lock() = Some(has);
                    seen.fresh.store(true, Ordering::Release);
                }
                Err(fault) => log::debug!("{fault}; the backup is read on"),
            }
            pause = longer(pause);
        }
    }

    /// What the main server has, if that is all that the backup has.
    fn look(&self) -> Result<Has, Fault> {
        let open = |config: &SourceConfig| Session::open(&self.shard.name, config.clone(), &self.stop);
        let mut main = open(&self.main)?;
        let there = Has::ask(&self.shard, &mut open(&self.backup)?)?;
        let begun = Instant::now();
        loop {
            let here = Has::ask(&self.shard, &mut main)?;
            if here.has_all_of(&there) {
                return Ok(here);
            }
            if begun.elapsed() > CLOSE_BEHIND || self.stop.wait(ASK_AGAIN) {
                let text = format!(
                    "shard={} source={} the main server lags behind the backup",
                    self.shard.name, main.server
                );
                return Err(Fault::wait(Code::SourceLags, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_a_main_server_comes_and_goes() {
        let mut pauses = Pauses::new(Duration::from_secs(5));
        assert_eq!(pauses.first(), Duration::from_secs(5));
        pauses.returned();
        assert_eq!(pauses.first(), Duration::from_secs(5));
        pauses.returned();
        assert_eq!(pauses.first(), Duration::from_secs(10));
        (0..9).for_each(|_| pauses.failed());
        assert_eq!(pauses.first(), LONGEST_PAUSE);
        pauses.returned = Instant::now().checked_sub(TRUSTED);
        pauses.returned();
        assert_eq!(pauses.first(), Duration::from_secs(5));
        assert_eq!(Pauses::new(Duration::ZERO).first(), SHORTEST_PAUSE);
    }
}
