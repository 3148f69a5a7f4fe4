//! How often a guard asks ZooKeeper, and how long what it hears counts.

use std::time::Duration;
use std::time::Instant;

/// A latch is polled twice in this time, or twelve times a session where that is shorter.
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// A trouble that goes on is told again after so long.
const REMINDER: Duration = Duration::from_secs(600);

/// What was told last, and when, makes it no news for a while.
pub fn is_news<T: PartialEq>(told: Option<&(T, Instant)>, what: &T, now: Instant) -> bool {
    told.is_none_or(|(other, at)| other != what || now.saturating_duration_since(*at) >= REMINDER)
}

/// What follows from the session time-out that ZooKeeper gives.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Between two rounds of polls.
    pub poll: Duration,
    /// Between two proofs of a node that stands first.
    pub proof: Duration,
    /// A lease lasts so long behind the sending of a proof that was answered.
    pub lease: Duration,
    /// Who stands first waits so long before it leads.
    pub patience: Duration,
}

impl Times {
    pub fn of(negotiated: Duration) -> Self {
        let proof = negotiated / 6;
        let poll = proof.min(LONGEST_POLL) / 2;
        // Over at the second poll behind the first look, however little that one is early.
        let patience = poll * 7 / 4;
        Self { poll, proof, lease: negotiated * 2 / 3, patience }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_when_it_changes_and_now_and_then() {
        let now = Instant::now();
        let told = Some(("one", now));
        assert!(is_news(None, &"one", now) && is_news(told.as_ref(), &"other", now));
        assert!(!is_news(told.as_ref(), &"one", now + REMINDER / 2));
        assert!(is_news(told.as_ref(), &"one", now + REMINDER));
    }

    #[test]
    fn a_lease_ends_before_the_session_can_and_outlives_several_proofs() {
        for millis in [1_000, 2_000, 4_000, 9_000, 50_000, 600_000] {
            let session = Duration::from_millis(millis);
            let times = Times::of(session);
            assert!(times.poll * 2 <= times.proof && times.poll <= Duration::from_millis(500));
            assert_eq!(times.lease.as_millis(), u128::from(millis) * 2 / 3);
            // An answer may take a quarter of the session before it counts as lost.
            assert!(times.proof + times.poll + session / 4 < times.lease);
            // The leader of ZooKeeper's servers hears of a session by pings, half a tickTime apart, of which two make the
            // shortest session, and we speak to our server once a poll.
            assert!(session - session / 4 - times.poll + times.patience >= times.lease);
        }
    }
}
