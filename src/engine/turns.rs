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
            self.guard.give_back(&self.shard.name, term, release(&outcome, lost));
            match outcome {
                // Nobody gives out leadership here: two would take the point from each other for ever.
                Err(fault) if fault.code == Code::LeadershipLost && alone => return Err(intruder(fault)),
                Err(fault) if fault.code == Code::LeadershipLost => log::warn!("{fault}"),
                Ok(ShardEnded::Stopped) if lost && !self.stop.requested() && alone => {
                    let text = format!("shard={} leadership is lost: {why}", self.shard.name);
                    return Err(intruder(Fault::stop(Code::LeadershipLost, text)));
                }
                Ok(ShardEnded::Stopped) if lost && !self.stop.requested() => {}
                outcome => return outcome,
            }
        }
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
        Err(_) => Release::Stopped,
    }
}
