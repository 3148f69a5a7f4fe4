//! What follows a failure: whom to ask next, after which pause, for how long, and what is told about it. No sockets here.
//!
//! | a stream or a connect failed | next | pause | ends the run |
//! |---|---|---|---|
//! | it may pass ([`Cure::Retry`]), and the stream had brought us on | the same source, then the others in turn | none | never |
//! | it may pass, and the stream had brought nothing | the same source; the next one after two streams without any event, and after one that fell silent | 1, 2, … 20 × `data_source_try_interval` | with `--until`: when each source has had its turn |
//! | the server dismissed us: another replica has our id | the same source | 1, 2, … 20 × `data_source_try_interval` | never |
//! | this server says no ([`Cure::Refused`]) | the next source | `data_source_try_interval`, when it has said so before `repeat_resource_interval` | before the first row: when each source has said no; with `--until`: when each has had its turn |
//! | no source can be connected | all in turn, the last one that worked first | `repeat_resource_interval` | as above, by what the most hopeful source said |
//! | what lies in the stream cannot be passed ([`Cure::Stop`]) | | | at once |
//!
//! Which error of a server is which: the tables in `mysql::refusal`.

use crate::code::Code;
use crate::config::ShardConfig;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// Pauses grow up to so many times `data_source_try_interval`.
const LONGEST_BACK_OFF: u32 = 20;
/// A trouble that goes on is told again after so long.
const REMINDER: Duration = Duration::from_secs(600);
/// A stream that lived so long was not taken from us by somebody who contends for it.
const LONG_LIFE: Duration = Duration::from_secs(600);

/// How a stream went that then broke.
#[derive(Debug, Clone, Copy, Default)]
pub struct Story {
    /// The point moved.
    pub advanced: bool,
    /// At least one event came, be it a heartbeat.
    pub served: bool,
    /// It broke behind a whole event.
    pub between_events: bool,
    /// The server ended it without a reason, as it does for another replica with our id, and when it shuts down.
    pub dismissed: bool,
    pub lived: Duration,
    /// A server of before heartbeats: when nothing happens, it is silent.
    pub idle: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    GiveUp,
    Again {
        pause: Duration,
        /// Begin with the next source, not with the one that failed.
        elsewhere: bool,
    },
}

/// What a shard's failures so far mean for the next one.
#[derive(Debug)]
pub struct Patience {
    sources: u32,
    try_interval: Duration,
    repeat_interval: Duration,
    /// `--until`: nobody waits for ever.
    bounded: bool,
    /// A row of a watched table has been read, in this term or a former one: from then on refusals are waited out.
    seen_row: Arc<AtomicBool>,
    /// Streams in a row that did not bring us on.
    barren: u32,
    /// Streams in a row of this source without any event.
    mute: u32,
    /// The sources that have said no since a stream last brought us on.
    refusing: BTreeSet<usize>,
    /// Streams in a row that were taken from us soon.
    dismissed: u32,
    /// The last stream ended because nothing happened, on a server that does not say so.
    idle: bool,
    /// The source whose stream fell silent, until another stream serves.
    silent: Option<usize>,
    streams: Told,
    rounds: Told,
    connects: Vec<Told>,
}

/// What was told last, so that a trouble that goes on is told once.
#[derive(Debug, Clone, Default)]
pub struct Told {
    last: Option<(Code, Instant)>,
    /// Silent since then.
    untold: u32,
}

impl Told {
    /// Whether this is to be told, and how often it was not since it last was.
    pub fn news(&mut self, code: Code, now: Instant) -> Option<u32> {
        match self.last {
            Some((last, at)) if last == code && now.saturating_duration_since(at) < REMINDER => {
                self.untold += 1;
                None
            }
            _ => {
                self.last = Some((code, now));
                Some(std::mem::take(&mut self.untold))
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Patience {
    /// `seen_row`: what a former run of the shard in this process knows.
    pub fn new(shard: &ShardConfig, bounded: bool, seen_row: &Arc<AtomicBool>) -> Self {
        let (try_interval, repeat_interval) =
            (shard.data_source_try_interval, shard.repeat_resource_interval);
        let patience = Self::of(shard.sources.len(), try_interval, repeat_interval, bounded);
        Self { seen_row: Arc::clone(seen_row), ..patience }
    }

    fn of(sources: usize, try_interval: Duration, repeat_interval: Duration, bounded: bool) -> Self {
        Self {
            sources: sources.try_into().unwrap_or(u32::MAX).max(1),
            try_interval,
            repeat_interval,
            bounded,
            seen_row: Arc::default(),
            barren: 0,
            mute: 0,
            refusing: BTreeSet::new(),
            dismissed: 0,
            idle: false,
            silent: None,
            streams: Told::default(),
            rounds: Told::default(),
            connects: vec![Told::default(); sources],
        }
    }

    pub fn note_rows(&mut self, seen: bool) {
        self.seen_row.fetch_or(seen, Ordering::Relaxed);
    }

    /// Whether a whole round that came to this is the last one.
    fn is_final(&self, cure: Cure) -> bool {
        match cure {
            Cure::Stop => true,
            Cure::Refused | Cure::Wait => self.bounded || !self.seen_row.load(Ordering::Relaxed),
            Cure::Retry => self.bounded,
        }
    }

    /// After a connect to one of several sources failed.
    pub fn after_connect(&mut self, source: usize, fault: &Fault) {
        self.note_answer(source, fault.cure);
        // The same silence, which has been told of the stream.
        if self.silent == Some(source) && is_silence(fault.code) {
            return log::debug!("{fault}");
        }
        if self.sources > 1
            && let Some(told) = self.connects.get_mut(source)
            && let Some(untold) = told.news(fault.code, Instant::now())
        {
            log::warn!("{fault}{}", so_often(untold));
        }
    }

    /// After no source could be connected: the pause until the next round.
    pub fn after_round(&mut self, fault: &Fault) -> Next {
        if self.is_final(fault.cure) {
            return Next::GiveUp;
        }
        if let Some(untold) = self.rounds.news(fault.code, Instant::now()) {
            log::error!("{fault}; trying again every {:?}{}", self.repeat_interval, so_often(untold));
        }
        Next::Again { pause: self.repeat_interval, elsewhere: false }
    }

    /// After a source could be connected. True: that is to be told, and is not the next try of many that are not told.
    pub fn connected(&mut self, source: usize) -> bool {
        self.rounds.clear();
        if let Some(told) = self.connects.get_mut(source) {
            told.clear();
        }
        let idle = std::mem::take(&mut self.idle);
        self.streams.untold == 0 && !idle
    }

    /// A server of before heartbeats was silent: that is no failure, and the next connect no news.
    pub fn note_idle(&mut self) {
        self.idle = true;
    }

    /// The first event of a stream has come. True: tries that were not told are over, and that is to be told.
    pub fn served(&mut self) -> bool {
        self.silent = None;
        // Where somebody contends for the stream, its beginning is not the end of the trouble.
        let over = self.dismissed == 0;
        let told = over && self.streams.untold > 0;
        if over {
            self.streams.clear();
        }
        told
    }

    /// After a stream of a source broke.
    pub fn after_stream(&mut self, source: usize, fault: &Fault, story: Story) -> Next {
        if story.advanced {
            self.refusing.clear();
        }
        self.silent = is_silence(fault.code).then_some(source);
        let again = !self.note_answer(source, fault.cure);
        let next = match fault.cure {
            Cure::Stop => Next::GiveUp,
            Cure::Refused | Cure::Wait => self.after_refusal(again),
            Cure::Retry => self.after_break(fault, story),
        };
        if let Next::Again { pause, .. } = next {
            self.tell(fault, story, pause);
        }
        next
    }

    /// Whether that is news of the source. One that cannot be reached may have changed its mind when it comes back.
    fn note_answer(&mut self, source: usize, cure: Cure) -> bool {
        match cure {
            Cure::Refused | Cure::Wait => self.refusing.insert(source),
            Cure::Retry | Cure::Stop => self.refusing.remove(&source),
        }
    }

    /// `again`: it has said no before, and no other source has brought us on since.
    fn after_refusal(&mut self, again: bool) -> Next {
        let all = self.refusing.len() >= self.sources as usize;
        match again || all {
            true if (all || self.bounded) && self.is_final(Cure::Refused) => Next::GiveUp,
            true => Next::Again { pause: self.repeat_interval, elsewhere: true },
            false => Next::Again { pause: self.try_interval, elsewhere: true },
        }
    }

    fn after_break(&mut self, fault: &Fault, story: Story) -> Next {
        self.barren = if story.advanced { 0 } else { self.barren.saturating_add(1) };
        self.mute = if story.served { 0 } else { self.mute.saturating_add(1) };
        if self.bounded && self.barren > self.sources {
            return Next::GiveUp;
        }
        let clash = fault.code == Code::ReplicaIdClash;
        let dismissed = (clash || story.dismissed) && story.lived < LONG_LIFE;
        self.dismissed = if dismissed { self.dismissed.saturating_add(1) } else { 0 };
        // One that was dismissed without a reason, once, may have been served by a server that shuts down.
        let dismissals = if clash { self.dismissed } else { self.dismissed.saturating_sub(1) };
        let pause = self.try_interval * self.barren.max(dismissals).min(LONGEST_BACK_OFF);
        let frozen = fault.code == Code::Stalled && !story.served;
        let elsewhere = self.mute >= 2 || frozen;
        if elsewhere {
            self.mute = 0;
        }
        Next::Again { pause, elsewhere }
    }

    fn tell(&mut self, fault: &Fault, story: Story, pause: Duration) {
        if story.advanced && self.dismissed == 0 {
            self.streams.clear();
        }
        // MySQL before 5.7 gives no reason; a server that shuts down does not come back at once to do it again.
        let contended = self.dismissed > 1 && fault.code != Code::ReplicaIdClash;
        let code = if contended { Code::ReplicaIdClash } else { fault.code };
        let Some(untold) = self.streams.news(code, Instant::now()) else {
            return log::debug!("{fault}; again in {pause:?}");
        };
        let so_often = so_often(untold);
        match fault.cure {
            Cure::Retry if contended => log::warn!(
                "{code}: {}, again and again: give each replica its own mysql_shard_N_slaveId; going on with pauses{so_often}",
                fault.text
            ),
            Cure::Retry if code == Code::ReplicaIdClash => {
                log::warn!("{fault}; going on with pauses{so_often}");
            }
            Cure::Retry => log::warn!("{fault}; reconnecting{so_often}"),
            Cure::Refused | Cure::Wait | Cure::Stop => {
                log::error!("{fault}; trying again in {pause:?}{so_often}")
            }
        }
    }
}

/// What is added to a line that was not told so often.
fn is_silence(code: Code) -> bool {
    matches!(code, Code::Stalled | Code::Timeout)
}

pub fn so_often(untold: u32) -> String {
    match untold {
        0 => String::new(),
        times => format!(" (so it was {times} times more since the last such line)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRY: Duration = Duration::from_secs(3);
    const REPEAT: Duration = Duration::from_secs(5);
    const BARREN: Story = Story {
        advanced: false,
        served: false,
        between_events: true,
        dismissed: false,
        lived: Duration::from_secs(1),
        idle: false,
    };
    const IDLE: Story = Story { served: true, ..BARREN };
    const ADVANCED: Story = Story { advanced: true, ..IDLE };
    const DISMISSED: Story = Story { dismissed: true, ..ADVANCED };

    fn patience(sources: usize, bounded: bool) -> Patience {
        Patience::of(sources, TRY, REPEAT, bounded)
    }

    fn again(pause: Duration, elsewhere: bool) -> Next {
        Next::Again { pause, elsewhere }
    }

    fn lost() -> Fault {
        Fault::retry(Code::ConnectionLost, "lost")
    }

    fn purged() -> Fault {
        Fault::refused(Code::Purged, "purged")
    }

    #[test]
    fn what_may_pass_is_waited_for_longer_and_longer_and_then_elsewhere() {
        let mut patience = patience(2, false);
        assert_eq!(patience.after_stream(0, &lost(), ADVANCED), again(Duration::ZERO, false));
        assert_eq!(patience.after_stream(0, &lost(), BARREN), again(TRY, false));
        assert_eq!(patience.after_stream(0, &lost(), BARREN), again(2 * TRY, true));
        assert_eq!(patience.after_stream(0, &lost(), BARREN), again(3 * TRY, false));
        assert_eq!(patience.after_stream(0, &lost(), IDLE), again(4 * TRY, false));
        for _ in 0..30 {
            patience.after_stream(0, &lost(), IDLE);
        }
        assert_eq!(patience.after_stream(0, &lost(), IDLE), again(20 * TRY, false), "an idle source is kept");
        assert_eq!(patience.after_stream(0, &lost(), ADVANCED), again(Duration::ZERO, false));
        assert_eq!(patience.after_round(&lost()), again(REPEAT, false));
    }

    #[test]
    fn with_an_end_in_sight_each_source_has_its_turn() {
        let mut patience = patience(2, true);
        assert_eq!(patience.after_round(&lost()), Next::GiveUp);
        assert_eq!(patience.after_stream(0, &lost(), BARREN), again(TRY, false));
        assert_eq!(patience.after_stream(0, &lost(), BARREN), again(2 * TRY, true));
        assert_eq!(patience.after_stream(0, &lost(), BARREN), Next::GiveUp);
        assert_eq!(patience.after_stream(0, &purged(), BARREN), again(TRY, true));
        assert_eq!(patience.after_stream(1, &purged(), BARREN), Next::GiveUp);
        // The other one cannot be reached, and this one says no again.
        let mut patience = self::patience(2, true);
        assert_eq!(patience.after_stream(0, &purged(), BARREN), again(TRY, true));
        patience.after_connect(1, &lost());
        assert_eq!(patience.after_stream(0, &purged(), BARREN), Next::GiveUp);
        // Long after the first refusal it is one of another time.
        let mut patience = self::patience(2, true);
        assert_eq!(patience.after_stream(0, &purged(), BARREN), again(TRY, true));
        assert_eq!(patience.after_stream(1, &lost(), ADVANCED), again(Duration::ZERO, false));
        assert_eq!(patience.after_stream(0, &purged(), ADVANCED), again(TRY, true));
    }

    #[test]
    fn a_refusal_ends_the_run_before_the_first_row_and_is_waited_out_later() {
        let mut one = patience(1, false);
        assert_eq!(one.after_round(&purged()), Next::GiveUp);
        assert_eq!(one.after_stream(0, &purged(), BARREN), Next::GiveUp);
        let mut two = patience(2, false);
        assert_eq!(two.after_stream(0, &purged(), BARREN), again(TRY, true), "the other source may do");
        assert_eq!(two.after_stream(1, &purged(), BARREN), Next::GiveUp);
        two.note_rows(true);
        assert_eq!(two.after_stream(0, &purged(), ADVANCED), again(TRY, true));
        assert_eq!(two.after_stream(1, &purged(), BARREN), again(REPEAT, true));
        assert_eq!(two.after_round(&purged()), again(REPEAT, false));
        let stop = Fault::stop(Code::BadEvent, "bad");
        assert_eq!(two.after_stream(0, &stop, ADVANCED), Next::GiveUp);
        assert_eq!(two.after_round(&stop), Next::GiveUp);
    }

    /// One that cannot be reached has not said no.
    #[test]
    fn before_the_first_row_each_source_has_to_say_no() {
        let mut patience = patience(2, false);
        for pause in [TRY, REPEAT, REPEAT] {
            assert_eq!(patience.after_stream(0, &purged(), BARREN), again(pause, true));
            patience.after_connect(1, &lost());
        }
        patience.after_connect(1, &purged());
        assert_eq!(patience.after_stream(0, &purged(), BARREN), Next::GiveUp);
    }

    /// What a shard has delivered in this process it has delivered, whatever ends its term.
    #[test]
    fn a_row_that_was_seen_in_a_former_term_counts() {
        let pairs = [("mysql_shard_0_server", "db1"), ("mysql_username", "u")];
        let config = crate::config::Config::load(&crate::config::Request::from_pairs("/a", &pairs)).unwrap();
        let live = crate::pipeline::wishes::Live::default();
        let mut patiences = [(), ()].map(|()| Patience::new(&config.shards[0], false, &live.seen_row));
        assert_eq!(patiences[1].after_round(&purged()), Next::GiveUp);
        patiences[0].note_rows(true);
        patiences[0].note_rows(false);
        assert!(matches!(patiences[1].after_round(&purged()), Next::Again { .. }));
    }

    /// It does not answer a second connection either, so there is no need to ask it twice.
    #[test]
    fn a_source_that_fell_silent_before_its_first_event_is_left_for_the_next() {
        let mut patience = patience(2, false);
        let stalled = Fault::retry(Code::Stalled, "frozen");
        assert_eq!(patience.after_stream(0, &stalled, BARREN), again(TRY, true));
        assert_eq!(patience.after_stream(1, &stalled, IDLE), again(2 * TRY, false));
    }

    #[test]
    fn who_contends_for_a_stream_waits_longer_each_time_though_rows_come() {
        let clash = Fault::retry(Code::ReplicaIdClash, "another replica with our id");
        let mut named = patience(1, false);
        for times in 1..=3 {
            assert_eq!(named.after_stream(0, &clash, ADVANCED), again(times * TRY, false));
        }
        // The server that gives no reason: the first time it may have shut down.
        let mut nameless = patience(1, false);
        for times in 0..=2 {
            assert_eq!(nameless.after_stream(0, &lost(), DISMISSED), again(times * TRY, false));
        }
        let long = Story { lived: LONG_LIFE, ..DISMISSED };
        assert_eq!(nameless.after_stream(0, &lost(), long), again(Duration::ZERO, false));
    }

    #[test]
    fn a_trouble_is_told_once_and_again_after_a_while() {
        let mut told = Told::default();
        let now = Instant::now();
        assert_eq!(told.news(Code::Purged, now), Some(0));
        assert_eq!(told.news(Code::Purged, now), None);
        assert_eq!(told.news(Code::Purged, now + REMINDER), Some(1));
        assert_eq!(told.news(Code::Unreachable, now + REMINDER), Some(0));
        told.clear();
        assert_eq!(told.news(Code::Unreachable, now + REMINDER), Some(0));
    }

    #[test]
    fn tries_that_were_not_told_are_told_to_be_over() {
        let mut patience = patience(1, false);
        patience.note_rows(true);
        patience.after_stream(0, &purged(), BARREN);
        assert!(patience.connected(0), "the first try after the line");
        patience.after_stream(0, &purged(), BARREN);
        assert!(!patience.connected(0));
        assert!(patience.served());
        assert!(!patience.served());
        patience.after_stream(0, &lost(), DISMISSED);
        patience.after_stream(0, &lost(), DISMISSED);
        patience.after_stream(0, &lost(), DISMISSED);
        assert!(!patience.served(), "it may be taken from us again");
    }
}
