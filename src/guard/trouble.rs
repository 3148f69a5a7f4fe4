//! Since when a shard that is led here does not work for reasons that another machine may not have.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// What keeps a shard from working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No server of the shard can be reached.
    Source,
    /// The sink does not take packs.
    Sink,
}

/// Set by the threads that meet it, read by the guard. Not touched while all is well.
#[derive(Debug, Default)]
pub struct Trouble {
    since: Mutex<Since>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Since {
    source: Option<Instant>,
    sink: Option<Instant>,
}

impl Since {
    fn of(&mut self, cause: Cause) -> &mut Option<Instant> {
        match cause {
            Cause::Source => &mut self.source,
            Cause::Sink => &mut self.sink,
        }
    }
}

impl Trouble {
    /// The trouble is met: it counts from the first time on.
    pub fn met(&self, cause: Cause) {
        self.lock().of(cause).get_or_insert_with(Instant::now);
    }

    /// It is over.
    pub fn over(&self, cause: Cause) {
        *self.lock().of(cause) = None;
    }

    /// For how long there has been trouble, of the longer-lasting kind; none: there is none.
    pub fn lasts(&self, now: Instant) -> Option<(Cause, Duration)> {
        let Since { source, sink } = *self.lock();
        let lasts = |since: Instant| now.saturating_duration_since(since);
        let source = source.map(|since| (Cause::Source, lasts(since)));
        let sink = sink.map(|since| (Cause::Sink, lasts(since)));
        source.into_iter().chain(sink).max_by_key(|(_, lasts)| *lasts)
    }

    fn lock(&self) -> MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_counts_from_its_first_sign_until_it_is_over() {
        let trouble = Trouble::default();
        let second = Duration::from_secs(1);
        assert_eq!(trouble.lasts(Instant::now()), None);
        trouble.met(Cause::Source);
        let begun = Instant::now();
        trouble.met(Cause::Source);
        let (cause, lasts) = trouble.lasts(begun + second).unwrap();
        assert!(cause == Cause::Source && lasts >= second);
        trouble.met(Cause::Sink);
        assert_eq!(trouble.lasts(begun + second).unwrap().0, Cause::Source, "the older one");
        trouble.over(Cause::Source);
        assert_eq!(trouble.lasts(begun + second).unwrap().0, Cause::Sink);
        trouble.over(Cause::Sink);
        assert_eq!(trouble.lasts(begun + second), None);
    }
}
