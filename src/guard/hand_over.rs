//! When trouble of this machine's is reason to let another node try: `ha_release_after_ms`.

use std::time::Duration;
use std::time::Instant;

/// However often it was in vain: the longest time that a node tries by itself.
const LONGEST: Duration = Duration::from_secs(3600);

/// For one latch. Each hand-over doubles the patience until a shard works again: a server that is dead for all must not tour
/// the nodes.
#[derive(Debug)]
pub struct Patience {
    base: Duration,
    now: Duration,
    calm_since: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Patience {
    /// `base`: `ha_release_after_ms`; zero: never.
    pub fn new(base: Duration) -> Self {
        Self { base, now: base, calm_since: None, rests_until: None }
    }

    /// A term begins: nothing is known of it yet.
    pub fn begins(&mut self, now: Instant) {
        self.calm_since = Some(now);
    }

    /// Looks at what keeps the shards of the latch from working, all of them; none: at least one works. True: another node is
    /// to try.
    pub fn is_over(&mut self, trouble: Option<Duration>, now: Instant) -> bool {
        let Some(lasts) = trouble else {
            let since = *self.calm_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.base {
                self.now = self.base;
            }
            return false;
        };
        self.calm_since = None;
        !self.base.is_zero() && lasts >= self.now
    }

    /// It was handed over.
    pub fn handed_over(&mut self, now: Instant) {
        self.now = (self.now * 2).min(LONGEST).max(self.base);
        self.rests_until = Some(now + self.now);
    }

    /// It was handed over so recently that this node does not try again while others do.
    pub fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_doubles_until_a_shard_has_worked_for_a_while() {
        let minute = Duration::from_secs(60);
        let mut patience = Patience::new(minute);
        let mut now = Instant::now();
        patience.begins(now);
        assert!(
            !patience.is_over(None, now) && !patience.is_over(Some(minute - Duration::from_millis(1)), now)
        );
        for times in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(!patience.is_over(Some(minute * times - Duration::from_millis(1)), now), "{times}");
            assert!(patience.is_over(Some(minute * times), now), "{times}");
            patience.handed_over(now);
            let rest = minute * (times * 2).min(60);
            assert!(patience.rests(now + rest / 2) && !patience.rests(now + rest), "{times}");
            now += minute * times;
            patience.begins(now);
            // Until its first failure a term looks well.
            assert!(!patience.is_over(None, now + Duration::from_secs(3)));
        }
        patience.begins(now);
        assert!(!patience.is_over(None, now + minute));
        assert!(patience.is_over(Some(minute), now), "it has worked");
        assert!(!Patience::new(Duration::ZERO).is_over(Some(minute * 1000), now));
    }
}
