//! One period of leadership, shared by the guard and the threads of a shard that works under it.

use crate::guard::lease::Lease;
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

/// Clones share it. Once over it never comes back: leadership gained again is another term.
#[derive(Debug, Clone)]
pub struct Term {
    lease: Arc<Lease>,
    over: Stop,
    why: Arc<OnceLock<String>>,
}

impl Term {
    /// A term that holds until `deadline`, unless that is put off. Its stop is a child of `stop`.
    pub fn until(deadline: Instant, stop: &Stop) -> Self {
        Self::with(Lease::until(deadline), stop)
    }

    /// A term that nobody ends but a stop.
    pub fn always(stop: &Stop) -> Self {
        Self::with(Lease::for_ever(), stop)
    }

    fn with(lease: Lease, stop: &Stop) -> Self {
        Self { lease: Arc::new(lease), over: stop.child(), why: Arc::default() }
    }

    /// Whether this node leads now. Asked before every pack and every save: what answers no once never answers yes again
    /// unless the guard was late, and then the lease is over for good.
    pub fn holds(&self) -> bool {
        self.lease.holds()
    }

    /// Raised when the process stops, and when the term is over: threads that work under it end.
    pub fn stop(&self) -> &Stop {
        &self.over
    }

    /// Puts the deadline off. False: the term is over.
    pub fn extend(&self, deadline: Instant) -> bool {
        self.lease.extend(deadline)
    }

    /// Leadership is lost: nothing may begin under this term. The first reason counts.
    pub fn end(&self, why: impl Into<String>) {
        // A second reason comes from what the first one broke.
        drop(self.why.set(why.into()));
        self.lease.end();
        self.over.request();
    }

    /// Why it is over, for a person.
    pub fn why(&self) -> String {
        let late = || "ZooKeeper has not confirmed it in time".to_owned();
        self.why.get().cloned().unwrap_or_else(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_end_of_a_term_stops_its_threads_and_not_the_process() {
        let stop = Stop::new();
        let term = Term::until(Instant::now() + Duration::from_secs(3600), &stop);
        assert!(term.holds() && !term.stop().requested());
        term.clone().end("somebody else leads");
        term.end("a later reason");
        assert!(!term.holds() && term.stop().requested() && !stop.requested());
        assert_eq!(term.why(), "somebody else leads");
        let always = Term::always(&stop);
        stop.request();
        assert!(always.holds() && always.stop().requested());
    }
}
