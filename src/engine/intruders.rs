//! Somebody outside of the latch who saves the points of a shard that is led here: another deployment on the same place.

use std::time::Duration;
use std::time::Instant;

/// Once may be a person's word, twice an accident.
const AT_LEAST: u32 = 3;

/// What lies further apart is not one trouble.
const WINDOW: Duration = Duration::from_secs(600);

const SHORTEST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How often in a row a turn has ended so.
#[derive(Debug, Default)]
pub struct Intruders {
    last: Option<Instant>,
    times: u32,
}

impl Intruders {
    /// Once more. Some: so often that two must be at it; for how long to leave the point alone.
    pub fn met(&mut self, now: Instant) -> Option<Duration> {
        let again = self.last.is_some_and(|last| now.saturating_duration_since(last) < WINDOW);
        self.times = if again { self.times.saturating_add(1) } else { 1 };
        self.last = Some(now);
        let doublings = self.times.checked_sub(AT_LEAST)?;
        Some(SHORTEST_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_time_in_a_row_is_no_accident_and_pauses_grow() {
        let mut intruders = Intruders::default();
        let mut now = Instant::now();
        let pauses: Vec<Option<u64>> = (0..9)
            .map(|_| {
                now += WINDOW / 2;
                intruders.met(now).map(|pause| pause.as_secs())
            })
            .collect();
        let expected = [None, None, Some(15), Some(30), Some(60), Some(120), Some(240), Some(300), Some(300)];
        assert_eq!(pauses, expected);
        assert_eq!(intruders.met(now + WINDOW), None, "long ago");
    }
}
