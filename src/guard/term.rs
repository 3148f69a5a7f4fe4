//! One period in which a shard is led here, shared by the guard and the threads of the shard.

use crate::guard::lease::Lease;
use crate::guard::trouble::Trouble;
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

/// Clones share it. Once over it never comes back: leadership gained again is another term.
#[derive(Debug, Clone)]
pub struct Term {
    /// The node's, which several shards may work under.
    lease: Arc<Lease>,
    /// This shard's alone.
    own: Arc<Lease>,
    over: Stop,
    why: Arc<OnceLock<String>>,
    trouble: Arc<Trouble>,
}

impl Term {
    /// A term that holds until `deadline`, unless that is put off. Its stop is a child of `stop`.
    pub fn until(deadline: Instant, stop: &Stop) -> Self {
        Self::under(Arc::new(Lease::until(deadline)), stop)
    }

    /// A term that nobody ends but a stop.
    pub fn always(stop: &Stop) -> Self {
        Self::under(Arc::new(Lease::for_ever()), stop)
    }

    /// One shard's term under a lease that others may share: it ends with the lease, and may end before.
    pub fn under(lease: Arc<Lease>, stop: &Stop) -> Self {
        let own = Arc::new(Lease::for_ever());
        Self { lease, own, over: stop.child(), why: Arc::default(), trouble: Arc::default() }
    }

    /// Whether this node leads now. Asked before every pack and every save: what answers no once never answers yes again
    /// unless the guard was late, and then the lease is over for good.
    pub fn holds(&self) -> bool {
        self.own.holds() && self.lease.holds()
    }

    /// Whether it was ended for this shard alone: the lease lives on.
    pub fn ended_alone(&self) -> bool {
        !self.own.holds() && self.lease.holds()
    }

    /// Raised when the process stops, when the term is over, and when it is to come to its end in good order: threads that
    /// work under it end.
    pub fn stop(&self) -> &Stop {
        &self.over
    }

    /// Puts the deadline off. False: the term is over.
    pub fn extend(&self, deadline: Instant) -> bool {
        self.own.holds() && self.lease.extend(deadline)
    }

    /// Leadership is lost: nothing may begin under this term. The first reason counts.
    pub fn end(&self, why: impl Into<String>) {
        // A second reason comes from what the first one broke.
        drop(self.why.set(why.into()));
        self.own.end();
        self.over.request();
    }

    /// Asks for its end in good order: what was read is delivered and the last point saved while leadership is still held.
    pub fn retire(&self) {
        self.over.request();
    }

    /// Why it is over, for a person.
    pub fn why(&self) -> String {
        let late = || "ZooKeeper has not confirmed it in time".to_owned();
        self.why.get().cloned().unwrap_or_else(late)
    }

    /// What keeps the shard from working here.
    pub fn trouble(&self) -> &Arc<Trouble> {
        &self.trouble
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

    #[test]
    fn terms_end_alone_or_with_the_lease_that_they_share() {
        let lease = Arc::new(Lease::until(Instant::now() + Duration::from_secs(3600)));
        let stop = Stop::new();
        let (one, other) = (Term::under(Arc::clone(&lease), &stop), Term::under(Arc::clone(&lease), &stop));
        one.end("its point was moved");
        assert!(!one.holds() && one.ended_alone() && other.holds() && !other.stop().requested());
        assert!(!one.extend(Instant::now()));
        other.retire();
        assert!(other.holds() && other.stop().requested(), "it still leads while it ends");
        lease.end();
        assert!(!other.holds() && !other.ended_alone());
    }
}
