//! Leadership that ends by itself: a deadline on the monotonic clock, which threads ask without a lock.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

const OVER: u64 = 0;
const FOR_EVER: u64 = u64::MAX;

/// A deadline that can be put off until it has passed or was ended; then never again.
#[derive(Debug)]
pub struct Lease {
    /// What the deadline is counted from.
    origin: Instant,
    /// Microseconds behind the origin.
    deadline: AtomicU64,
}

impl Lease {
    pub fn until(deadline: Instant) -> Self {
        let now = Instant::now();
        // A deadline that has passed already must not read as "now".
        let origin = now.min(deadline).checked_sub(Duration::from_secs(1)).unwrap_or(now);
        Self { origin, deadline: AtomicU64::new(micros(origin, deadline)) }
    }

    /// One that no clock ends.
    pub fn for_ever() -> Self {
        Self { origin: Instant::now(), deadline: AtomicU64::new(FOR_EVER) }
    }

    /// Whether the deadline lies ahead.
    pub fn holds(&self) -> bool {
        match self.deadline.load(Ordering::Acquire) {
            OVER => false,
            FOR_EVER => true,
            deadline => micros(self.origin, Instant::now()) < deadline,
        }
    }

    /// Puts the deadline off. False: it had passed, or was ended, before.
    pub fn extend(&self, deadline: Instant) -> bool {
        let now = micros(self.origin, Instant::now());
        let later = micros(self.origin, deadline);
        let put_off = |held: u64| match held {
            FOR_EVER => Some(FOR_EVER),
            held if held <= now => None,
            held => Some(held.max(later)),
        };
        self.deadline.fetch_update(Ordering::AcqRel, Ordering::Acquire, put_off).is_ok()
    }

    /// Ends it before its time.
    pub fn end(&self) {
        self.deadline.store(OVER, Ordering::Release);
    }
}

fn micros(origin: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_micros()).unwrap_or(FOR_EVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_itself_and_stays_ended() {
        let lease = Lease::until(Instant::now() + Duration::from_secs(3600));
        assert!(lease.holds() && lease.extend(Instant::now() + Duration::from_secs(7200)) && lease.holds());
        lease.end();
        assert!(
            !lease.holds() && !lease.extend(Instant::now() + Duration::from_secs(3600)) && !lease.holds()
        );
        let passed = Lease::until(Instant::now());
        assert!(!passed.holds() && !passed.extend(Instant::now() + Duration::from_secs(3600)));
        assert!(!passed.holds());
        let lease = Lease::for_ever();
        assert!(lease.holds() && lease.extend(Instant::now()) && lease.holds());
        lease.end();
        assert!(!lease.holds());
    }
}
