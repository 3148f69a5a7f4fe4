//! Connecting: rounds over a shard's sources, each tried once in a round.

use crate::code::Code;
use crate::config::ShardConfig;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::first_words;
use crate::pipeline::patience::Next;
use crate::pipeline::producer::Producer;
use crate::pipeline::producer::Ready;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_config;
use crate::pipeline::start;
use crate::pipeline::start::Resume;
use crate::pipeline::start::position_failover::Jump;
use crate::pipeline::until::Target;

impl Ready {
    /// Set where it does not simply go on behind the point.
    pub fn jump(&self, shard: &ShardConfig, resume: Option<&Resume>) -> Option<Jump> {
        Jump::of(shard, resume, &self.dump, &self.session)
    }
}

impl Producer {
    /// Connects, repeating whole rounds over the sources as long as that may help. `Ok(None)`: a stop was asked for.
    pub fn connect(&mut self, resume: Option<&Resume>) -> Result<Option<Ready>, Fault> {
        loop {
            let pause = match self.round(resume) {
                Ok(ready) => return Ok(Some(ready)),
                Err(_) if self.stop.requested() => return Ok(None),
                Err(fault) => match self.patience.after_round(&fault) {
                    Next::GiveUp => return Err(fault),
                    Next::Again { pause, .. } => pause,
                },
            };
            if self.stop.wait(pause) {
                return Ok(None);
            }
        }
    }

    /// Tries each source once: the current one, and after a pause the others in turn.
    fn round(&mut self, resume: Option<&Resume>) -> Result<Ready, Fault> {
        let count = self.shard.sources.len();
        let mut worst: Option<Fault> = None;
        for step in 0..count {
            if step == 1 && self.stop.wait(self.shard.data_source_try_interval) {
                break;
            }
            let index = (self.current + step) % count;
            match self.open(index, resume) {
                Ok(ready) => {
                    self.current = index;
                    return Ok(ready);
                }
                Err(fault) if fault.cure == Cure::Stop => return Err(fault),
                Err(fault) => {
                    self.patience.after_connect(index, &fault);
                    // What may pass by itself decides: as long as one source may come back, there is hope.
                    if worst
                        .as_ref()
                        .is_none_or(|worst| worst.cure == Cure::Refused && fault.cure == Cure::Retry)
                    {
                        worst = Some(fault);
                    }
                }
            }
        }
        Err(worst.unwrap_or_else(|| {
            Fault::retry(Code::Unreachable, format!("shard={} has no source", self.shard.name))
        }))
    }

    fn open(&mut self, index: usize, resume: Option<&Resume>) -> Result<Ready, Fault> {
        let (Some(source), Some(ids)) = (self.shard.sources.get(index), self.ids.get_mut(index)) else {
            return Err(Fault::stop(
                Code::Internal,
                format!("shard={} has no source {index}", self.shard.name),
            ));
        };
        let config = source_config(&self.shard, source, ids.take(), &self.replica_uuid)?;
        let mut session = Session::open(&self.shard.name, config, &self.stop)?;
        let dump = start::plan(&self.shard, &mut session, resume.cloned(), self.old_point.as_ref())?;
        if let (None, Some(until)) = (&self.target, &self.until) {
            self.target = Some(Target::fix(until, &self.shard.name, &mut session, &dump)?);
        }
        if !std::mem::replace(&mut self.introduced, true) {
            first_words::tell(&self.shard, &mut session);
        }
        Ok(Ready { session, dump })
    }
}
