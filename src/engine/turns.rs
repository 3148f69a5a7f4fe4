//! A shard's thread: waits for its turn to lead, works, gives leadership back, and waits again.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::ShardConfig;
use crate::guard::Guard;
use crate::guard::Release;
use crate::guard::term::Term;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::Ports;
use crate::pipeline::shard;
use crate::pipeline::shard::ShardEnded;
use crate::pipeline::until::Until;
use crate::pipeline::wishes::Live;
use crate::stop::Stop;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

/// Before a store of points that could not be reached is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub struct Turns {
    pub config: Arc<Config>,
    pub ports: Arc<Ports>,
    pub guard: Arc<dyn Guard>,
    pub shard: ShardConfig,
    pub until: Option<Until>,
    pub stop: Stop,
}

impl Turns {
    /// Until a stop, `--until`, or a fault. A term that is lost is not the end.
    pub fn run(self) -> Result<ShardEnded, Fault> {
        let alone = self.config.nodes.guard == HaGuard::None;
        loop {
            let Some(term) = self.guard.wait_for_term(&self.shard.name, &self.stop) else {
                return Ok(ShardEnded::Stopped);
            };
            let outcome = self.work(&term);
            let (lost, why) = (!term.holds(), term.why());
            // Asked to come to its end in good order, by the guard or by its loss.
            let ended = term.stop().requested() && !self.stop.requested();
            self.guard.give_back(&self.shard.name, term, release(&outcome, lost));
            match outcome {
                Ok(ShardEnded::Reached) => return outcome,
                // Nobody gives out leadership here: two would take the point from each other for ever.
                Err(fault) if fault.code == Code::LeadershipLost && alone => return Err(intruder(fault)),
                Ok(ShardEnded::Stopped) if lost && alone && !self.stop.requested() => {
                    let text = format!("shard={} leadership is lost: {why}", self.shard.name);
                    return Err(intruder(Fault::stop(Code::LeadershipLost, text)));
                }
                // Whatever else went wrong: who leads now meets it too, or does not.
                _ if lost => self.tell_lost(&why),
                Ok(ShardEnded::Stopped | ShardEnded::PackerGone) if ended => {}
                Err(fault) if self.is_waited_out(&fault) => {
                    log::warn!("{fault}; trying again");
                    self.stop.wait(STORE_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    fn tell_lost(&self, why: &str) {
        if !self.stop.requested() {
            log::warn!(
                "{}: shard={} leadership is lost: {why}; no pack begins, nothing is saved, this node stands by",
                Code::LeadershipLost,
                self.shard.name
            );
        }
    }

    /// A run with an end waits for nothing.
    fn is_waited_out(&self, fault: &Fault) -> bool {
        passes_by_itself(fault) && self.until.is_none()
    }

    /// A panic is a defect of ours and this shard's end; the others go on.
    fn work(&self, term: &Term) -> Result<ShardEnded, Fault> {
        let live = Live::default();
        let work = || shard::run(&self.config, &self.shard, self.until.clone(), &self.ports, term, &live);
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_told_by_the_panic_itself| {
            Err(Fault::stop(Code::Internal, format!("shard={} its thread panicked", self.shard.name)))
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
        Err(_) => Release::Stopped,
    }
}

/// A store of points that cannot be reached comes back; one that somebody else has written is read again.
fn passes_by_itself(fault: &Fault) -> bool {
    matches!(fault.code, Code::ZkUnreachable | Code::ZkTimeout | Code::LeadershipLost)
}
