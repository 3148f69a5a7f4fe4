//! Where the shards' threads and the guard thread meet: who wants to lead, who works under which lease, and what is to be told
//! about it. No network; who leads is decided elsewhere.

use crate::guard::HandOver;
use crate::guard::Leader;
use crate::guard::Release;
use crate::guard::Standing;
use crate::guard::lease::Lease;
use crate::guard::term::Term;
use crate::guard::trouble::Cause;
use crate::status::now_ms;
use crate::stop::Stop;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// How soon a waiting shard sees a stop.
const TICK: Duration = Duration::from_millis(200);

/// A shard that has lost its term asks for the next one at once; one that does not within this time is not coming.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);

/// A shard whose term was ended for it alone waits so long for the next one: whoever writes its point may do so again.
const PAUSE_ALONE: Duration = Duration::from_secs(1);

/// See the module's page.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// In the order that the guard thread knows.
    latches: Vec<Latch>,
    /// So many more of them the other nodes have room for.
    room: usize,
    closing: bool,
    closed: bool,
    /// Counts what the guard thread has to look at.
    wishes: u64,
}

/// What is won and lost together.
#[derive(Debug)]
struct Latch {
    shards: BTreeMap<String, Place>,
    led: Option<Led>,
    /// Other nodes could lead it.
    others_wait: bool,
    leader: Option<Leader>,
    /// Since when nobody is known to lead.
    nobody_since_ms: Option<u64>,
    why: String,
}

#[derive(Debug)]
enum Place {
    /// Its thread does not want to lead.
    Away,
    /// Its term is lost, and it is about to ask for the next one.
    Returning {
        until: Instant,
        not_before: Instant,
    },
    Wanted {
        not_before: Instant,
    },
    Working(Term),
}

#[derive(Debug)]
struct Led {
    lease: Arc<Lease>,
    since_ms: u64,
    /// It comes to its end in good order.
    retiring: bool,
}

/// What the guard thread needs to know of a latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// A thread waits for it or works under it.
    pub wanted: bool,
    /// A thread works under it, or still works under what was lost before.
    pub working: bool,
    pub led: bool,
    pub retiring: bool,
}

impl Desk {
    /// One latch for each of these groups of shards.
    pub fn new(groups: Vec<Vec<String>>) -> Self {
        let latch = |shards: Vec<String>| Latch {
            shards: shards.into_iter().map(|shard| (shard, Place::Away)).collect(),
            led: None,
            others_wait: false,
            leader: None,
            nobody_since_ms: Some(now_ms()),
            why: "it has not asked ZooKeeper yet".to_owned(),
        };
        let latches = groups.into_iter().map(latch).collect();
        let state = State { latches, room: usize::MAX, closing: false, closed: false, wishes: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    // ------------------------------------------------------------------------------------------- the shards' side

    /// As [`crate::guard::Guard::wait_for_term`].
    pub fn take(&self, shard: &str, stop: &Stop) -> Option<Term> {
        let mut state = self.lock();
        loop {
            let closing = state.closing;
            let latch = state.latch_of(shard)?;
            let place = latch.shards.get_mut(shard)?;
            if stop.requested() || closing {
                *place = Place::Away;
                self.tell_guard(&mut state);
                return None;
            }
            let now = Instant::now();
            let wanted = match place {
                Place::Away => Some(now),
                Place::Returning { not_before, .. } => Some(*not_before),
                Place::Wanted { .. } | Place::Working(_) => None,
            };
            if let Some(not_before) = wanted {
                *place = Place::Wanted { not_before };
            }
            if let Some(term) = latch.term(shard, stop, now) {
                return Some(term);
            }
            if wanted.is_some() {
                self.tell_guard(&mut state);
            }
            state = self.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// As [`crate::guard::Guard::give_back`].
    pub fn give_back(&self, shard: &str, term: &Term, release: Release) {
        let now = Instant::now();
        let not_before = if term.ended_alone() { now + PAUSE_ALONE } else { now };
        let mut state = self.lock();
        if let Some(latch) = state.latch_of(shard) {
            let place = match release {
                Release::Ended | Release::Stopped | Release::HandOver => Place::Away,
                // Meanwhile the latch is not let go for want of a shard.
                Release::Lost => Place::Returning { until: now + RETURN_PATIENCE, not_before },
            };
            latch.shards.insert(shard.to_owned(), place);
            if release == Release::HandOver && latch.working().next().is_none() {
                latch.retire();
            }
        }
        self.tell_guard(&mut state);
    }

    pub fn standing(&self, shard: &str) -> Standing {
        let mut state = self.lock();
        match state.latch_of(shard) {
            None => {
                let why = "this node does not run the shard".to_owned();
                Standing::StandsBy { leader: None, nobody_since_ms: None, why }
            }
            Some(latch) => latch.standing(),
        }
    }

    /// Begins to end the terms of one latch, or of all, in good order. `shard` none: all. Err: why that cannot be.
    pub fn step_down(&self, shard: Option<&str>) -> Result<HandOver, String> {
        let mut state = self.lock();
        if let Some(shard) = shard {
            let alone = state.latches.iter().find(|latch| latch.shards.contains_key(shard));
            let latch = alone.ok_or_else(|| format!("this node does not run shard {shard}"))?;
            if latch.shards.len() > 1 {
                return Err(
                    "ha_scope=process: all shards are led together; step down with all of them".to_owned()
                );
            }
        }
        let outcome = state.step_down(shard);
        self.tell_guard(&mut state);
        outcome
    }

    /// Asks the guard thread to let everything go; waits for it until then at the latest.
    pub fn close(&self, deadline: Instant) {
        let mut state = self.lock();
        state.closing = true;
        self.tell_guard(&mut state);
        while !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        // Whatever the guard thread waits for: nothing is led by a process that ends.
        for latch in &mut state.latches {
            latch.end("this node ends");
        }
    }

    // --------------------------------------------------------------------------------------- the guard thread's side

    pub fn closing(&self) -> bool {
        self.lock().closing
    }

    /// Nothing is held any more.
    pub fn closed(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub fn wishes(&self, latch: usize) -> Wishes {
        let state = self.lock();
        let latch = state.latches.get(latch);
        latch.map_or(Wishes { wanted: false, working: false, led: false, retiring: false }, Latch::wishes)
    }

    /// The latch is ours under that lease.
    pub fn grant(&self, latch: usize, lease: &Arc<Lease>, since_ms: u64) {
        if let Some(latch) = self.lock().latches.get_mut(latch) {
            latch.led = Some(Led { lease: Arc::clone(lease), since_ms, retiring: false });
            latch.leader = None;
            latch.nobody_since_ms = None;
        }
        self.changed.notify_all();
    }

    /// Since when this node leads it, in milliseconds since 1970.
    pub fn leads_since(&self, latch: usize) -> Option<u64> {
        self.lock().latches.get(latch).and_then(|latch| latch.led.as_ref()).map(|led| led.since_ms)
    }

    /// Leadership of a latch is lost. True: it was led.
    pub fn end(&self, latch: usize, why: &str) -> bool {
        self.lock().latches.get_mut(latch).is_some_and(|latch| latch.end(why))
    }

    /// Asks for the end of the latch's terms in good order, where another node has room for it. False: none has.
    pub fn hand_over(&self, latch: usize) -> bool {
        self.lock().hand_over(latch)
    }

    /// What keeps all the shards that work under a latch from working: the shortest of the troubles, with its shard. None: one
    /// of them does work, or there is none.
    pub fn trouble(&self, latch: usize, now: Instant) -> Option<(String, Cause, Duration)> {
        let state = self.lock();
        let latch = state.latches.get(latch)?;
        let working = latch.shards.iter().filter_map(|(shard, place)| match place {
            Place::Working(term) => Some((shard, term)),
            Place::Away | Place::Returning { .. } | Place::Wanted { .. } => None,
        });
        let mut shortest: Option<(String, Cause, Duration)> = None;
        for (shard, term) in working {
            let (cause, lasts) = term.trouble().lasts(now)?;
            if shortest.as_ref().is_none_or(|(_, _, least)| lasts < *least) {
                shortest = Some((shard.clone(), cause, lasts));
            }
        }
        shortest
    }

    /// Who leads in place of us, for a person, and why we do not.
    pub fn see(&self, latch: usize, leader: Option<Leader>, why: impl Into<String>) {
        if let Some(latch) = self.lock().latches.get_mut(latch) {
            latch.nobody_since_ms = match leader {
                Some(_) => None,
                None => latch.nobody_since_ms.or_else(|| Some(now_ms())),
            };
            latch.leader = leader;
            latch.why = why.into();
        }
    }

    pub fn others_wait(&self, latch: usize, others: bool) {
        if let Some(latch) = self.lock().latches.get_mut(latch) {
            latch.others_wait = others;
        }
    }

    /// How many more latches the other nodes have room for. Until this is told: all.
    pub fn others_have_room(&self, room: usize) {
        self.lock().room = room;
    }

    /// Sleeps until then, or until there is something new to look at: what was new last is `seen`. Says what is new now.
    pub fn wait(&self, until: Instant, seen: u64) -> u64 {
        let mut state = self.lock();
        while state.wishes == seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wishes
    }

    /// Sleeps, unless the process ends; says whether it does.
    pub fn pause(&self, time: Duration) -> bool {
        let state = self.lock();
        let slept = self.changed.wait_timeout_while(state, time, |state| !state.closing);
        slept.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// The shards of a latch.
    pub fn shards(&self, latch: usize) -> Vec<String> {
        let state = self.lock();
        state.latches.get(latch).map(|latch| latch.shards.keys().cloned().collect()).unwrap_or_default()
    }

    /// Why this node does not lead.
    pub fn why(&self, latch: usize) -> String {
        self.lock().latches.get(latch).map(|latch| latch.why.clone()).unwrap_or_default()
    }

    fn tell_guard(&self, state: &mut State) {
        state.wishes += 1;
        self.changed.notify_all();
    }

    /// It is whole at every moment: a thread that panicked with the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn latch_of(&mut self, shard: &str) -> Option<&mut Latch> {
        self.latches.iter_mut().find(|latch| latch.shards.contains_key(shard))
    }

    fn hand_over(&mut self, at: usize) -> bool {
        let Some(latch) = self.latches.get_mut(at).filter(|latch| latch.others_wait) else { return false };
        let Some(room) = self.room.checked_sub(1) else { return false };
        self.room = room;
        latch.retire();
        true
    }

    fn step_down(&mut self, shard: Option<&str>) -> Result<HandOver, String> {
        let named = |latch: &Latch| shard.is_none_or(|shard| latch.shards.contains_key(shard));
        let led: Vec<usize> = self
            .latches
            .iter()
            .enumerate()
            .filter_map(|(at, latch)| (named(latch) && latch.leads()).then_some(at))
            .collect();
        if led.is_empty() {
            return Err("this node does not lead: there is nothing to hand over".to_owned());
        }
        let is = |at: &usize, what: fn(&Latch) -> bool| self.latches.get(*at).is_some_and(what);
        if !led.iter().any(|at| is(at, |latch| latch.others_wait)) {
            return Err("no other node waits to take over".to_owned());
        }
        let mut begun = HandOver::default();
        for at in led {
            let goes = self.latches.get(at).is_some_and(Latch::retires) || self.hand_over(at);
            let names = self.latches.get(at).into_iter().flat_map(|latch| latch.shards.keys().cloned());
            if goes { &mut begun.shards } else { &mut begun.kept }.extend(names);
        }
        match begun.shards.is_empty() {
            true => Err("the other nodes do not run it, or may not lead more (ha_max_shards)".to_owned()),
            false => Ok(begun),
        }
    }
}

impl Latch {
    fn term(&mut self, shard: &str, stop: &Stop, now: Instant) -> Option<Term> {
        let led = self.led.as_ref().filter(|led| !led.retiring && led.lease.holds())?;
        let place = self.shards.get_mut(shard)?;
        match place {
            Place::Wanted { not_before } if *not_before <= now => {
                let term = Term::under(Arc::clone(&led.lease), stop);
                *place = Place::Working(term.clone());
                Some(term)
            }
            Place::Away | Place::Returning { .. } | Place::Wanted { .. } | Place::Working(_) => None,
        }
    }

    fn leads(&self) -> bool {
        self.led.as_ref().is_some_and(|led| led.lease.holds())
    }

    fn retires(&self) -> bool {
        self.led.as_ref().is_some_and(|led| led.retiring)
    }

    fn standing(&self) -> Standing {
        match &self.led {
            Some(led) if led.lease.holds() => Standing::Leads { since_ms: led.since_ms },
            _ => Standing::StandsBy {
                leader: self.leader.clone(),
                nobody_since_ms: self.nobody_since_ms,
                why: self.why.clone(),
            },
        }
    }

    fn wishes(&self) -> Wishes {
        let places = || self.shards.values();
        Wishes {
            wanted: places().any(|place| match place {
                Place::Away => false,
                Place::Returning { until, .. } => Instant::now() < *until,
                Place::Wanted { .. } | Place::Working(_) => true,
            }),
            working: places().any(|place| matches!(place, Place::Working(_))),
            led: self.led.is_some(),
            retiring: self.retires(),
        }
    }

    fn end(&mut self, why: &str) -> bool {
        let Some(led) = self.led.take() else { return false };
        self.why = why.to_owned();
        self.nobody_since_ms = Some(now_ms());
        led.lease.end();
        for term in self.working() {
            term.end(why);
        }
        true
    }

    fn retire(&mut self) {
        if let Some(led) = &mut self.led {
            led.retiring = true;
        }
        self.working().for_each(Term::retire);
    }

    fn working(&self) -> impl Iterator<Item = &Term> {
        self.shards.values().filter_map(|place| match place {
            Place::Working(term) => Some(term),
            Place::Away | Place::Returning { .. } | Place::Wanted { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn desk() -> (Desk, Stop) {
        (Desk::new(vec![vec!["a".to_owned(), "b".to_owned()]]), Stop::new())
    }

    fn lease() -> Arc<Lease> {
        Arc::new(Lease::until(Instant::now() + LONG))
    }

    /// The shard's thread asks, and gets what is there already.
    fn took(desk: &Desk, shard: &str, stop: &Stop) -> Term {
        desk.take(shard, stop).expect("a term")
    }

    #[test]
    fn a_lease_serves_all_shards_and_is_free_when_all_have_given_it_back() {
        let (desk, stop) = desk();
        assert!(!desk.wishes(0).wanted);
        desk.grant(0, &lease(), 7);
        let (a, b) = (took(&desk, "a", &stop), took(&desk, "b", &stop));
        assert_eq!(desk.standing("a"), Standing::Leads { since_ms: 7 });
        desk.give_back("a", &a, Release::Stopped);
        let wishes = desk.wishes(0);
        assert!(wishes.wanted && wishes.working && a.holds() && !a.stop().requested());
        desk.give_back("b", &b, Release::Ended);
        assert_eq!(desk.wishes(0), Wishes { wanted: false, working: false, led: true, retiring: false });
    }

    #[test]
    fn what_is_lost_ends_all_terms_with_its_reason() {
        let (desk, stop) = desk();
        desk.grant(0, &lease(), 7);
        let (a, b) = (took(&desk, "a", &stop), took(&desk, "b", &stop));
        assert!(desk.end(0, "the session is over") && !desk.end(0, "again"));
        assert!(!a.holds() && b.stop().requested() && b.why() == "the session is over");
        let Standing::StandsBy { leader: None, nobody_since_ms: since @ Some(_), why } = desk.standing("b")
        else {
            panic!("{:?}", desk.standing("b"))
        };
        assert_eq!(why, "the session is over");
        desk.see(0, None, "ZooKeeper is away");
        assert!(
            matches!(desk.standing("b"), Standing::StandsBy { nobody_since_ms, .. } if nobody_since_ms == since),
            "it counts from the loss on"
        );
        desk.see(0, Some(Leader { node: "db2".to_owned(), ..Leader::default() }), "db2 leads");
        assert!(matches!(desk.standing("b"), Standing::StandsBy { nobody_since_ms: None, .. }));
        assert!(desk.wishes(0).working, "the threads have not seen it yet");
        desk.grant(0, &lease(), 8);
        desk.give_back("a", &a, Release::Lost);
        assert!(took(&desk, "a", &stop).holds() && !b.holds());
    }

    #[test]
    fn who_steps_down_leads_until_the_last_shard_is_done() {
        let (desk, stop) = desk();
        assert!(desk.step_down(None).unwrap_err().contains("does not lead"));
        desk.grant(0, &lease(), 7);
        let a = took(&desk, "a", &stop);
        assert!(desk.step_down(None).unwrap_err().contains("no other node"));
        assert!(desk.step_down(Some("a")).unwrap_err().contains("ha_scope=process"));
        assert!(desk.step_down(Some("c")).unwrap_err().contains("does not run shard c"));
        desk.others_wait(0, true);
        desk.step_down(None).unwrap();
        assert!(a.holds() && a.stop().requested() && desk.wishes(0).retiring);
        desk.give_back("a", &a, Release::HandOver);
        assert_eq!(desk.wishes(0), Wishes { wanted: false, working: false, led: true, retiring: true });
        let waiting = Stop::new();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| desk.take("a", &waiting));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!thread.is_finished(), "a lease that retires serves nobody");
            waiting.request();
            assert!(thread.join().unwrap().is_none());
        });
    }

    #[test]
    fn no_more_latches_are_handed_over_than_the_others_have_room_for() {
        let names = ["a", "b", "c"].map(|name| vec![name.to_owned()]);
        let (desk, stop) = (Desk::new(names.to_vec()), Stop::new());
        let terms = [0, 1, 2].map(|at| {
            desk.grant(at, &lease(), 7);
            desk.others_wait(at, true);
            took(&desk, ["a", "b", "c"][at], &stop)
        });
        desk.others_have_room(2);
        assert!(desk.hand_over(1) && desk.wishes(1).retiring);
        let begun = desk.step_down(None).unwrap();
        assert_eq!((begun.shards.join(" "), begun.kept.join(" ")), ("a b".to_owned(), "c".to_owned()));
        assert_eq!([0, 1, 2].map(|at| desk.wishes(at).retiring), [true, true, false]);
        assert!(terms.iter().all(Term::holds) && !desk.hand_over(2));
        assert!(desk.step_down(Some("c")).unwrap_err().contains("ha_max_shards"));
        desk.step_down(Some("b")).expect("it is about to be");
        desk.others_have_room(1);
        desk.step_down(None).unwrap();
    }

    #[test]
    fn the_last_shard_that_another_node_may_do_better_hands_over_the_latch() {
        let (desk, stop) = desk();
        desk.grant(0, &lease(), 7);
        let (a, b) = (took(&desk, "a", &stop), took(&desk, "b", &stop));
        desk.give_back("a", &a, Release::HandOver);
        assert!(!desk.wishes(0).retiring, "the other one works");
        desk.give_back("b", &b, Release::HandOver);
        assert!(desk.wishes(0).retiring);
    }

    #[test]
    fn a_term_that_was_ended_alone_is_not_renewed_at_once() {
        let (desk, stop) = desk();
        desk.grant(0, &lease(), 7);
        let (a, b) = (took(&desk, "a", &stop), took(&desk, "b", &stop));
        a.end("its point was moved");
        desk.give_back("a", &a, Release::Lost);
        let begun = Instant::now();
        assert!(took(&desk, "a", &stop).holds() && begun.elapsed() >= PAUSE_ALONE / 2);
        assert!(b.holds() && !b.stop().requested());
    }

    #[test]
    fn trouble_counts_when_all_that_work_have_it() {
        let (desk, stop) = desk();
        let now = || Instant::now() + LONG;
        desk.grant(0, &lease(), 7);
        let (a, b) = (took(&desk, "a", &stop), took(&desk, "b", &stop));
        a.trouble().met(Cause::Source);
        assert_eq!(desk.trouble(0, now()), None);
        b.trouble().met(Cause::Sink);
        let (shard, cause, _) = desk.trouble(0, now()).unwrap();
        assert_eq!((shard.as_str(), cause), ("b", Cause::Sink), "the later one");
        desk.give_back("b", &b, Release::Stopped);
        assert_eq!(desk.trouble(0, now()).unwrap().0, "a", "what has stopped does not count");
    }

    #[test]
    fn the_end_waits_no_longer_than_it_may() {
        let (desk, stop) = desk();
        desk.grant(0, &lease(), 7);
        let a = took(&desk, "a", &stop);
        desk.close(Instant::now() + Duration::from_millis(20));
        assert!(!a.holds() && desk.take("a", &stop).is_none());
        desk.closed();
        desk.close(Instant::now() + LONG);
    }
}
