//! The packer thread of a shard: takes batches, turns rows into lines, and sends packs.
//!
//! A pack goes out when it is full, when the producer's socket is drained (`pack_eager`), or when the last one went out
//! `pack_timeout_ms` ago. The packer owns the shard's outcome: an error in decoding or delivery stops the shard.

#[cfg(test)]
mod tests;

use crate::change::batch::Batch;
use crate::code::Code;
use crate::pack::builder::BuildError;
use crate::pack::builder::Changed;
use crate::pack::builder::PackBuilder;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::fault::Fault;
use crate::pipeline::message::Message;
use crate::pipeline::message::ReadOn;
use crate::pipeline::start::is_same_server;
use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// How long the packer sleeps at most when it holds nothing.
const IDLE_TICK: Duration = Duration::from_millis(200);

/// How often the sink may look at the clock, busy or not.
const SINK_TICK: Duration = Duration::from_secs(1);

/// When packs go out.
#[derive(Debug, Clone, Copy)]
pub struct PackRhythm {
    pub timeout: Duration,
    /// Send as soon as nothing more is waiting at the source.
    pub eager: bool,
}

/// The packer of one shard.
pub struct Packer {
    pub shard: String,
    pub messages: Receiver<Message>,
    /// Emptied batches go back to the producer.
    pub spare: Sender<Batch>,
    pub builder: PackBuilder,
    pub delivery: Delivery,
    pub rhythm: PackRhythm,
    /// When a pack went out last, or the point moved without one.
    pub last_send: Instant,
    pub last_tick: Instant,
    /// Something has come since then.
    pub behind: bool,
    /// What comes is void until the stream begins anew.
    pub void: bool,
    /// Tells the producer to read the transaction anew in which it resumed.
    pub read_anew: Arc<AtomicBool>,
}

/// What a step of the packer came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Went,
    /// The producer has gone: everything is delivered that can be.
    Finished,
}

impl Packer {
    /// Steps until the producer goes away or something fails, then closes sink and saver.
    pub fn run(mut self) -> Result<(), Fault> {
        let outcome = loop {
            match self.step() {
                Ok(Step::Went) => {}
                Ok(Step::Finished) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        // What was delivered before a failure is saved all the same.
        let closed = self.delivery.close();
        match outcome {
            // At a stop a pack may be left to the next run, but not a point.
            Err(fault) if fault.code == Code::Stopped => Fault::weigh(Err(fault), closed),
            outcome => Fault::weigh(closed, outcome),
        }
    }

    fn step(&mut self) -> Result<Step, Fault> {
        match self.messages.recv_timeout(self.patience()) {
            Ok(Message::Batch(_)) if self.void => {}
            Ok(Message::Batch(batch)) => self.take(batch)?,
            Ok(Message::Connected(connected)) => {
                let same = is_same_server(connected.flavor, &connected.identity, &self.delivery.identity);
                self.builder.connected_to(&connected.server, same, connected.stream);
                self.delivery.connected_to(connected.identity);
            }
            Ok(Message::Interrupted { answer }) => {
                self.void = false;
                let (frontier, inside) = self.builder.interrupted();
                // The producer waits for this; if it is gone, the next receive says so.
                if answer.send(ReadOn { frontier, inside }).is_err() {
                    log::debug!("shard={} the producer left before it was told where to read on", self.shard);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) if self.void => {
                let text =
                    "ended before a transaction could be read anew; nothing is lost, the next run reads it";
                return Err(Fault::stop(Code::PointForeign, format!("shard={} {text}", self.shard)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.flush()?;
                return Ok(Step::Finished);
            }
        }
        if self.last_tick.elapsed() >= SINK_TICK {
            self.last_tick = Instant::now();
            self.delivery.tick()?;
        }
        if self.behind && self.last_send.elapsed() >= self.rhythm.timeout {
            self.flush()?;
        }
        Ok(Step::Went)
    }

    fn patience(&self) -> Duration {
        match self.behind {
            true => self.rhythm.timeout.saturating_sub(self.last_send.elapsed()),
            false => IDLE_TICK,
        }
    }

    fn take(&mut self, mut batch: Batch) -> Result<(), Fault> {
        self.behind = true;
        let sent_before = self.delivery.packs();
        let outcome = self.builder.accept(&batch, &mut self.delivery);
        match outcome {
            Ok(()) => {}
            Err(BuildError::Changed(changed)) => self.read_anew(&changed)?,
            Err(error) => return Err(self.fault(error)),
        }
        if self.delivery.packs() != sent_before {
            self.last_send = Instant::now();
        }
        if batch.drained && self.rhythm.eager {
            self.flush()?;
        }
        batch.clear();
        // The producer keeps at most one spare; a further one is dropped with its memory.
        if let Err(error) = self.spare.try_send(batch) {
            drop(error);
        }
        Ok(())
    }

    /// Sends what is finished; without any line the point moves all the same.
    fn flush(&mut self) -> Result<(), Fault> {
        if self.builder.has_finished_lines()
            && let Err(error) = self.builder.flush(&mut self.delivery)
        {
            return Err(self.fault(error));
        }
        self.last_send = Instant::now();
        self.behind = false;
        if !self.builder.is_streaming() {
            self.delivery.moved_to(self.builder.frontier(), self.builder.next_seq());
        }
        Ok(())
    }

    /// The transaction in which we resumed is another one than the point speaks of: all of it is delivered, once more
    /// where it was delivered in part. The rest of the broken reading is void until the producer has begun anew.
    fn read_anew(&mut self, changed: &Changed) -> Result<(), Fault> {
        log::warn!("shard={} {changed}; all from there on is delivered", self.shard);
        let recorded = self.builder.deliver_anew(changed, &mut self.delivery);
        recorded.map_err(|error| self.fault(error))?;
        self.void = true;
        self.read_anew.store(true, Ordering::Release);
        Ok(())
    }

    /// What was read before something that cannot be delivered goes out before the shard stops.
    fn fault(&mut self, error: BuildError<Fault>) -> Fault {
        let shard = &self.shard;
        match error {
            BuildError::Output(fault) => fault,
            BuildError::Changed(changed) => {
                Fault::stop(Code::PointForeign, format!("shard={shard} {changed}"))
            }
            BuildError::Refused(refusal) => {
                let fault = Fault::stop(refusal.code, format!("shard={shard} {refusal}"));
                self.flush_before_stop();
                fault
            }
            BuildError::Row(bad) => {
                let fault = Fault::stop(
                    bad.code(),
                    format!("shard={shard} {bad}; the shard stops before this transaction"),
                );
                self.flush_before_stop();
                fault
            }
        }
    }

    fn flush_before_stop(&mut self) {
        if let Err(BuildError::Output(undelivered)) = self.builder.flush(&mut self.delivery) {
            log::error!("{undelivered}");
        }
    }
}
