//! A shard's thread: waits for its turn to lead, works, gives leadership back, and waits again. Before each turn, and once
//! more when it leads, it looks whether a person or a fault has decided that the shard is not to run.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::PointStore;
use crate::engine::handle::ShardHandle;
use crate::engine::intruders::Intruders;
use crate::engine::reasons;
use crate::engine::reasons::Hindrance;
use crate::engine::reasons::StoppedAt;
use crate::guard::Guard;
use crate::guard::Release;
use crate::guard::Standing;
use crate::guard::term::Term;
use crate::pipeline::fault::Fault;
use crate::pipeline::patience::Told;
use crate::pipeline::patience::so_often;
use crate::pipeline::ports::Ports;
use crate::pipeline::ports::peek_stored;
use crate::pipeline::shard;
use crate::pipeline::shard::ShardEnded;
use crate::pipeline::until::Until;
use crate::status::State;
use crate::status::now_ms;
use crate::status::time_text;
use crate::stop::Stop;
use crate::sync_point::StoreError;
use crate::sync_point::state::StopReason;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

/// How often a state is looked at that another node, or a command beside us, may have changed.
pub const STATE_POLL: Duration = Duration::from_secs(3);

/// Between two tries to read a state, or to get a folder that somebody else works on for a moment.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

pub struct Turns {
    pub config: Arc<Config>,
    pub ports: Arc<Ports>,
    pub guard: Arc<dyn Guard>,
    pub handle: Arc<ShardHandle>,
    pub until: Option<Until>,
    pub stop: Stop,
    /// Why it does not run, as it was told last.
    pub told: Option<Hindrance>,
    /// Where it has stopped last, by a reason that is kept with the point.
    pub stopped_at: Option<StoppedAt>,
    /// A turn has ended before: what is in the way now was not when the process began.
    pub returning: bool,
    /// That somebody else works on its folder has been told.
    pub locked: bool,
    pub intruders: Intruders,
}

impl Turns {
    /// Until a stop, `--until`, or a fault. A term that is lost is not the end, nor is a suspension.
    pub fn run(&mut self) -> Result<ShardEnded, Fault> {
        loop {
            let turn = self.handle.begin(&self.stop);
            // Heard by coming here.
            self.handle.take_resumed();
            if self.stop.requested() {
                return Ok(ShardEnded::Stopped);
            }
            // What cannot be read now is read when we lead.
            if let Some(hindrance) = self.hindrance().ok().flatten() {
                self.stand_aside(hindrance, &turn)?;
                continue;
            }
            self.await_term();
            let Some(term) = self.guard.wait_for_term(self.handle.name(), &turn) else {
                if turn.requested() {
                    continue;
                }
                return Ok(ShardEnded::Stopped);
            };
            match self.settle(&term) {
                Ok(true) => {}
                settled => {
                    self.guard.give_back(self.handle.name(), term, Release::Ended);
                    settled?;
                    continue;
                }
            }
            if let Some(outcome) = self.turn(&turn, term) {
                return outcome;
            }
            self.returning = true;
        }
    }

    /// A shard that has stopped waits for a person's word. False: none will come.
    pub fn wait_for_resume(&mut self) -> bool {
        while self.until.is_none() {
            let bell = self.handle.begin(&self.stop);
            if self.stop.requested() {
                return false;
            }
            if self.handle.take_resumed() || self.is_lifted() {
                self.returning = true;
                return true;
            }
            bell.wait(STATE_POLL);
        }
        false
    }

    /// Whether somebody elsewhere has lifted the reason that we have kept with the point, or has suspended the shard, which rests
    /// then.
    fn is_lifted(&self) -> bool {
        if self.config.nodes.guard == HaGuard::None {
            return false;
        }
        // What cannot be read is asked again soon.
        let Ok(state) = self.handle.load_state() else { return false };
        if state.suspended.as_ref().is_some_and(|suspended| suspended.holds(now_ms())) {
            return true;
        }
        self.stopped_at.as_ref().is_some_and(|stopped| {
            let stored = peek_stored(&self.config, self.handle.name());
            stored.is_ok_and(|stored| stopped.is_lifted(stored.as_ref(), &state))
        })
    }

    fn hindrance(&self) -> Result<Option<Hindrance>, StoreError> {
        Hindrance::of(self.handle.load_state()?, &self.config, &self.handle.shard)
    }

    /// Tells once why the shard does not run, and waits for a while or until that changes. It holds nothing meanwhile.
    fn stand_aside(&mut self, hindrance: Hindrance, turn: &Stop) -> Result<(), Fault> {
        let fault = hindrance.fault(self.handle.name());
        if self.until.is_some() {
            return Err(fault);
        }
        let (state, until_ms) = match &hindrance {
            Hindrance::Suspended(suspended) => (State::Suspended, suspended.until_ms),
            Hindrance::Stopped(_) => (State::Stopped, None),
        };
        if matches!(hindrance, Hindrance::Suspended(_)) {
            self.tell_rest();
        }
        let status = &self.handle.live.status;
        // It may be moved now.
        status.forget_point();
        status.enter(state, fault.to_string());
        self.refuse_wish();
        if self.told.as_ref() != Some(&hindrance) {
            log::warn!("{fault}");
            self.told = Some(hindrance);
        }
        let left = until_ms.map(|until| Duration::from_millis(until.saturating_sub(now_ms())));
        turn.wait(left.unwrap_or(STATE_POLL).min(STATE_POLL));
        Ok(())
    }

    /// Who leads tells the others, and whoever has suspended it, that nobody works on the shard: who leads later reads the state
    /// before it does.
    fn tell_rest(&self) {
        let leads = matches!(self.guard.standing(self.handle.name()), Standing::Leads { .. });
        if self.config.points.store == PointStore::File || !leads {
            return;
        }
        if let Err(error) = self.handle.change_state(|state| state.rests = state.suspended.is_some()) {
            log::debug!("shard={} {}: {error}; trying again", self.handle.name(), error.code);
        }
    }

    fn await_term(&mut self) {
        let shard = self.handle.name();
        if self.told.take().is_some() {
            log::info!("shard={shard} goes on");
        }
        let state = match self.config.nodes.guard {
            HaGuard::None => State::Connecting,
            HaGuard::ZooKeeper => State::Standby,
        };
        self.handle.live.status.enter(state, "");
    }

    /// Reads the state under the term. True: the shard is to run. What is over is taken out of it.
    fn settle(&mut self, term: &Term) -> Result<bool, Fault> {
        let shard = self.handle.name();
        let mut told = Told::default();
        loop {
            match self.hindrance() {
                Ok(Some(_)) => return Ok(false),
                Ok(None) => {
                    self.tidy();
                    self.handle.live.status.enter(State::Connecting, "");
                    return Ok(true);
                }
                Err(error) if matches!(error.code, Code::ZkUnreachable | Code::ZkTimeout) => {
                    let text = format!("{}: shard={shard} {error}", error.code);
                    if let Some(untold) = told.news(error.code, Instant::now()) {
                        log::error!("{text}; trying again every second{}", so_often(untold));
                    }
                    self.handle.live.status.enter(State::Connecting, text);
                    if term.stop().wait(RETRY_PAUSE) {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(Fault::stop(error.code, format!("shard={shard} {error}"))),
            }
        }
    }

    fn tidy(&self) {
        let shard = self.handle.name();
        let over = self.handle.change_state(|state| {
            if state.suspended.as_ref().is_some_and(|suspended| !suspended.holds(now_ms())) {
                state.end_suspension();
            }
            state.stopped = None;
        });
        let over = match over {
            Ok(over) => over,
            Err(error) => return log::warn!("shard={shard} {}: {error}; going on", error.code),
        };
        if let Some(until) = over.suspended.and_then(|suspended| suspended.until_ms) {
            log::info!("shard={shard} its suspension has ended by itself at {}", time_text(until));
        }
        match (over.stopped, self.config.nodes.guard) {
            // What it was is in this node's log, and is told again if it is met again.
            (Some(StopReason { at_ms, .. }), HaGuard::None) => {
                log::info!("shard={shard} had stopped at {}; trying again", time_text(at_ms));
            }
            (Some(reason), HaGuard::ZooKeeper) => {
                log::warn!("shard={shard} {}; trying again", reasons::had_stopped(&reason));
            }
            (None, _) => {}
        }
    }

    /// One turn under a term. None: there may be another one.
    fn turn(&mut self, turn: &Stop, term: Term) -> Option<Result<ShardEnded, Fault>> {
        self.stopped_at = None;
        let outcome = self.work(&term);
        self.handle.live.status.saves_nothing();
        let (lost, ended_alone, why) = (!term.holds(), term.ended_alone(), term.why());
        // Asked to come to its end in good order: by the guard or by a person.
        let ended = term.stop().requested() && !self.stop.requested();
        let alone = self.config.nodes.guard == HaGuard::None;
        if let (Err(fault), false) = (&outcome, lost) {
            self.keep(fault, &term);
        }
        self.guard.give_back(self.handle.name(), term, release(&outcome, lost));
        self.refuse_wish();
        let outcome = match outcome {
            Ok(ShardEnded::Reached) => return Some(outcome),
            // Nobody gives out leadership here: two would take the point from each other for ever.
            Err(fault) if alone && fault.code == Code::LeadershipLost => return Some(Err(intruder(fault))),
            Ok(ShardEnded::Stopped) if alone && lost && !self.stop.requested() => {
                let text = format!("shard={} leadership is lost: {why}", self.handle.name());
                return Some(Err(intruder(Fault::stop(Code::LeadershipLost, text))));
            }
            Err(fault) if !lost && fault.code == Code::Locked && self.returning => {
                if !std::mem::replace(&mut self.locked, true) {
                    log::warn!("{fault}; trying again every second");
                }
                self.handle.live.status.enter(State::Connecting, fault.to_string());
                turn.wait(RETRY_PAUSE);
                return None;
            }
            outcome => outcome,
        };
        self.locked = false;
        match outcome {
            // Asked to end in good order, and it has not: its last point is not saved, or worse.
            Err(fault) if self.stop.requested() => return Some(Err(fault)),
            // Whatever else went wrong: who leads now meets it too, or does not.
            _ if ended_alone => self.leave_to_intruder(&why, turn),
            _ if lost => self.tell_lost(&why),
            Ok(ShardEnded::Stopped | ShardEnded::PackerGone) if ended => {}
            Err(fault) if self.is_waited_out(&fault) => {
                log::warn!("{fault}; trying again");
                self.handle.live.status.enter(State::Connecting, fault.to_string());
                turn.wait(RETRY_PAUSE);
            }
            outcome => return Some(outcome),
        }
        None
    }

    fn tell_lost(&self, why: &str) {
        if !self.stop.requested() {
            log::warn!(
                "{}: shard={} leadership is lost: {why}; no pack begins, nothing is saved, this node stands by",
                Code::LeadershipLost,
                self.handle.name()
            );
        }
    }

    /// The shard's term was ended by a save that was not ours, and this node leads on: whoever saved stands in no latch of ours.
    fn leave_to_intruder(&mut self, why: &str, turn: &Stop) {
        let (shard, code) = (self.handle.name(), Code::LeadershipLost);
        if self.stop.requested() {
            return;
        }
        let Some(pause) = self.intruders.met(Instant::now()) else {
            return log::warn!(
                "{code}: shard={shard} its turn is over: {why}; no pack begins, nothing is saved; this node leads still, reads the \
                 point again and goes on behind it"
            );
        };
        let text = format!(
            "{code}: shard={shard} another deployment works on the same shard and is not in this one's latch, so that both deliver \
             all rows: {why}; this node leaves the point alone for {} s; give each deployment a zk_save_position_root_path of \
             its own, or the same zk_leader_latch_path to both",
            pause.as_secs()
        );
        log::error!("{text}");
        self.handle.live.status.enter(State::Connecting, text);
        turn.wait(pause);
    }

    /// A run with an end waits for nothing.
    fn is_waited_out(&self, fault: &Fault) -> bool {
        passes_by_itself(fault) && self.until.is_none()
    }

    /// Keeps with the point what no other node passes either.
    fn keep(&mut self, fault: &Fault, term: &Term) {
        if !reasons::lies_in_the_stream(fault.code) {
            return;
        }
        let kept = peek_stored(&self.config, self.handle.name()).and_then(|stored| {
            // Else it may be the next leader's point, which the reason must not bind.
            if !term.holds() {
                return Ok(None);
            }
            let reason = reasons::reason(fault, &self.config, &self.handle.shard, stored.as_ref());
            let state = self.handle.change_state(|state| state.stopped = Some(reason.clone()))?;
            Ok(Some((reason, StoppedAt::of(stored.as_ref(), &state))))
        });
        match kept {
            Ok(None) => {}
            Ok(Some((reason, stopped_at))) => {
                self.told = Some(Hindrance::Stopped(reason));
                self.stopped_at = Some(stopped_at);
            }
            Err(error) => log::warn!(
                "shard={} {}: {error}; why it stops is not kept with the point",
                self.handle.name(),
                error.code
            ),
        }
    }

    fn refuse_wish(&self) {
        if let Some(wish) = self.handle.live.switch.take() {
            let text = format!("shard={} does not run any more", self.handle.name());
            wish.answer(Err(Fault::stop(Code::Stopped, text)));
        }
    }

    /// A panic is a defect of ours and this shard's end; the others go on.
    fn work(&self, term: &Term) -> Result<ShardEnded, Fault> {
        let ShardHandle { shard, live, .. } = &*self.handle;
        let work = || shard::run(&self.config, shard, self.until.clone(), &self.ports, term, live);
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_told_by_the_panic_itself| {
            Err(Fault::stop(Code::Internal, format!("shard={} its thread panicked", shard.name)))
        })
    }
}

fn intruder(fault: Fault) -> Fault {
    let text = format!(
        "{}; with ha_guard=none one process alone may work on a shard: stop the other one, or let all nodes share a \
         zk_leader_latch_path",
        fault.text
    );
    Fault { text, ..fault }
}

fn release(outcome: &Result<ShardEnded, Fault>, lost: bool) -> Release {
    match outcome {
        _ if lost => Release::Lost,
        Ok(_) => Release::Ended,
        // It asks again.
        Err(fault) if passes_by_itself(fault) => Release::Lost,
        Err(fault) if reasons::lies_in_the_stream(fault.code) => Release::Stopped,
        Err(_) => Release::HandOver,
    }
}

/// A store of points that cannot be reached comes back; one that somebody else has written is read again.
fn passes_by_itself(fault: &Fault) -> bool {
    matches!(fault.code, Code::ZkUnreachable | Code::ZkTimeout | Code::LeadershipLost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use crate::guard::NoGuard;
    use crate::sync_point::state::ShardState;

    fn turns(home: &std::path::Path) -> Turns {
        let pairs = [("mysql_username", "u"), ("mysql_shard_0_server", "db1")];
        let mut config = Config::load(&Request::from_pairs(home, &pairs)).unwrap();
        config.nodes.guard = HaGuard::ZooKeeper;
        std::fs::create_dir_all(&config.point_dir).unwrap();
        let config = Arc::new(config);
        Turns {
            handle: Arc::new(ShardHandle::new(&config, &config.shards[0])),
            config,
            ports: Arc::default(),
            guard: Arc::new(NoGuard::new(0)),
            until: None,
            stop: Stop::new(),
            told: None,
            stopped_at: None,
            intruders: Intruders::default(),
            returning: false,
            locked: false,
        }
    }

    /// Nodes of two configurations that stop at one place would else take turns for ever.
    #[test]
    fn what_another_configuration_stopped_at_in_the_same_place_is_no_reason_to_try_again() {
        let temp = tempfile::tempdir().unwrap();
        let mut turns = turns(temp.path());
        let fault = Fault::stop(Code::BadEvent, "shard=producer00 bad");
        turns.keep(&fault, &Term::always(&Stop::new()));
        assert!(!turns.is_lifted());
        let other = |state: &mut ShardState| {
            state.stopped.as_mut().unwrap().digest = "another".into();
        };
        turns.handle.change_state(other).unwrap();
        assert!(!turns.is_lifted());
    }

    /// The point is the next leader's then, which a reason of ours must not bind.
    #[test]
    fn who_leads_no_more_keeps_no_reason() {
        let temp = tempfile::tempdir().unwrap();
        let mut turns = turns(temp.path());
        let term = Term::always(&Stop::new());
        term.end("another node leads");
        turns.keep(&Fault::stop(Code::BadEvent, "shard=producer00 bad"), &term);
        assert!(turns.handle.load_state().unwrap().is_clear() && !turns.is_lifted());
    }
}
