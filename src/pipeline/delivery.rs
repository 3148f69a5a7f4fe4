//! One shard's packs on their way to the sink: headers, retries, and the point that follows each acknowledgement.

use crate::code::Code;
use crate::guard::term::Term;
use crate::guard::trouble::Cause;
use crate::pack::builder::FinishedPack;
use crate::pack::builder::Frontier;
use crate::pack::builder::GapReport;
use crate::pack::builder::PackOutput;
use crate::pack::builder::Reached;
use crate::pack::header::Follows;
use crate::pack::header::Pack;
use crate::pack::header::PackHeader;
use crate::pipeline::fault::Fault;
use crate::pipeline::patience::Told;
use crate::pipeline::patience::so_often;
use crate::pipeline::saver::Saver;
use crate::sink::Hope;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::status::ShardStatus;
use crate::status::State;
use crate::stop::Stop;
use crate::sync_point::Moved;
use crate::sync_point::PointRecord;
use crate::sync_point::ServerIdentity;
use crate::sync_point::SyncPoint;
use crate::sync_point::epochs::LastPack;
use crate::sync_point::epochs::TakenOver;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapLog;
use crate::sync_point::gap::GapRecord;
use std::time::Duration;
use std::time::Instant;

pub use crate::status::now_ms;

/// How many line numbers a saved point reserves beyond what is delivered. After a crash numbering goes on behind the
/// reservation, so no number is ever used twice; 2²⁹ such jumps fit below 2⁵³.
pub const SEQ_RESERVE: u64 = 1 << 24;

/// How long a run with `--until` waits for a point to be saved before it hands out further line numbers.
const RESERVATION_PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries to deliver a pack that the sink could not take.
pub const SINK_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What has been told of a sink that does not take a pack.
#[derive(Default)]
struct Waiting {
    begun: bool,
    failing: bool,
    slow: Told,
    failed: Told,
}

/// Delivers packs of one shard.
pub struct Delivery {
    pub shard: String,
    pub epoch: u64,
    pub sequence: u64,
    pub previous_crc32: u32,
    /// What the epoch's first pack follows.
    pub follows: Option<Follows>,
    /// The last pack that counts, of an earlier epoch.
    pub last_pack: Option<LastPack>,
    pub taken_over: TakenOver,
    pub identity: ServerIdentity,
    pub sink: Box<dyn Sink>,
    pub saver: Saver,
    pub gaps: Box<dyn GapLog>,
    /// Nothing begins when it is over.
    pub term: Term,
    pub stop: Stop,
    pub status: ShardStatus,
    /// With `--until` a sink that cannot take a pack ends the run.
    pub give_up: bool,
    /// How long the end may wait for the last point to be saved.
    pub close_patience: Duration,
    /// The point that was offered to the saver last.
    pub offered: Option<SyncPoint>,
    /// That the point was moved is kept until the epoch's first pack is out.
    pub moved: Option<Moved>,
}

impl Delivery {
    /// Packs delivered in this epoch.
    pub fn packs(&self) -> u64 {
        self.sequence
    }

    pub fn connected_to(&mut self, identity: ServerIdentity) {
        self.identity = identity;
    }

    /// Lets the sink do what is due by the clock.
    pub fn tick(&mut self) -> Result<(), Fault> {
        match self.sink.tick(Instant::now()) {
            Err(error) if !error.is_retryable() => Err(self.sink_fault(&error)),
            // The next pack meets the same trouble and waits it out.
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// No row is waiting and the log has been read up to here.
    pub fn moved_to(&mut self, frontier: &Frontier, next_seq: u64) {
        let point = self.point(&Reached { frontier, inside: None });
        if self.offered.as_ref() != Some(&point) {
            self.offer(point, next_seq);
        }
    }

    /// Saves the last point and closes the sink.
    pub fn close(mut self) -> Result<(), Fault> {
        let closed = self.sink.close();
        let closed = closed.map_err(|error| self.sink_fault(&error));
        let pack = match self.sequence {
            0 => "of".to_owned(),
            sequence => format!("behind pack {sequence} of"),
        };
        let what = format!("shard={} the last point, {pack} epoch {},", self.shard, self.epoch);
        let saved = self.saver.close(self.close_patience).map_err(|error| {
            let text = format!(
                "{what} is not saved: {error}; what is behind the stored one is read again, nothing is lost"
            );
            Fault::stop(error.code, text)
        });
        Fault::weigh(closed, saved)
    }

    fn point(&self, reached: &Reached<'_>) -> SyncPoint {
        reached.frontier.point(self.identity.clone(), reached.inside.clone())
    }

    fn last_counted(&self) -> Option<LastPack> {
        let own = LastPack { epoch: self.epoch, sequence: self.sequence, crc32: self.previous_crc32 };
        if self.sequence > 0 { Some(own) } else { self.last_pack }
    }

    fn offer(&mut self, point: SyncPoint, next_seq: u64) {
        self.offered = Some(point.clone());
        self.saver.offer(PointRecord {
            shard: self.shard.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            next_seq,
            seq_reserved: self.saver.seq_reserved().max(next_seq + SEQ_RESERVE),
            saved_ms: now_ms(),
            point: Some(point),
            moved: self.moved.clone().filter(|_| self.sequence == 0),
            last_pack: self.last_counted(),
            taken_over: self.taken_over.clone(),
        });
    }

    /// Line numbers are handed out ahead of the disk, but never beyond what it has reserved.
    fn wait_for_reservation(&self, next_seq: u64) -> Result<(), Fault> {
        let mut told = Told::default();
        let begun = Instant::now();
        while next_seq > self.saver.seq_reserved() {
            if self.give_up && begun.elapsed() >= RESERVATION_PATIENCE {
                let text =
                    format!("shard={} no point could be saved for {RESERVATION_PATIENCE:?}", self.shard);
                return Err(Fault::stop(Code::PointStore, text));
            }
            // The asynchronous saver may just be in its pause; that is no news.
            if begun.elapsed() >= Duration::from_secs(1)
                && let Some(untold) = told.news(Code::PointStore, Instant::now())
            {
                log::warn!(
                    "{}: shard={} waiting until a point is saved: line numbers have run out{}",
                    Code::PointStore,
                    self.shard,
                    so_often(untold)
                );
            }
            self.saver.hurry();
            if self.stop.wait(Duration::from_millis(100)) {
                return Err(self.stopped());
            }
        }
        Ok(())
    }

    fn deliver(&mut self, header: &PackHeader, rows: &[u8]) -> Result<(), Fault> {
        let mut told = Waiting::default();
        loop {
            self.need_term()?;
            match self.sink.deliver(&Pack { header, rows }) {
                Ok(()) => {
                    if told.begun {
                        log::info!("shard={} the sink takes packs again", self.shard);
                        self.status.sink_goes_on();
                        self.term.trouble().over(Cause::Sink);
                    }
                    return Ok(());
                }
                Err(error) if self.waits_out(error.hope) => {
                    self.tell_waiting(&error, &mut told);
                    // Half a pack cannot be left behind: its rest is tried as long as stop_timeout_ms allows.
                    if self.stop.wait(SINK_RETRY_PAUSE) && !self.sink.owes_rest() {
                        return Err(self.stopped());
                    }
                }
                Err(error) => return Err(self.sink_fault(&error)),
            }
        }
    }

    /// Returns once the gap is recorded: before the pack or the point that passes it. A disk that is full is waited out as
    /// for a pack.
    pub fn append_gap(&mut self, record: &GapRecord) -> Result<(), Fault> {
        let (mut waiting, mut told) = (false, Told::default());
        loop {
            self.need_term()?;
            match self.gaps.append(record) {
                Ok(()) => {
                    if waiting {
                        self.term.trouble().over(Cause::Sink);
                        log::info!("shard={} gaps are recorded again", self.shard);
                    }
                    return Ok(());
                }
                Err(error) if self.give_up => {
                    return Err(Fault::stop(error.code, format!("shard={} {error}", self.shard)));
                }
                Err(error) => {
                    self.term.trouble().met(Cause::Sink);
                    if let Some(untold) = told.news(error.code, Instant::now()) {
                        log::error!(
                            "{}: shard={} {error}; a gap must be recorded before delivery goes on, trying again every second{}",
                            error.code,
                            self.shard,
                            so_often(untold)
                        );
                    }
                    waiting = true;
                    if self.stop.wait(SINK_RETRY_PAUSE) {
                        return Err(self.stopped());
                    }
                }
            }
        }
    }

    /// A pack that was begun before may land; none begins.
    fn need_term(&self) -> Result<(), Fault> {
        if self.term.holds() {
            return Ok(());
        }
        let text = format!(
            "shard={} leadership is lost: {}; no pack begins, nothing is saved, this node stands by",
            self.shard,
            self.term.why()
        );
        Err(Fault::stop(Code::LeadershipLost, text))
    }

    /// With `--until` a sink that fails ends the run; one that is merely slow does not.
    fn waits_out(&self, hope: Hope) -> bool {
        match hope {
            Hope::Slow => true,
            Hope::Later => !self.give_up,
            Hope::None => false,
        }
    }

    /// A sink that has failed fails until it takes the pack: a new consumer is slow at first, too.
    fn tell_waiting(&self, error: &SinkError, told: &mut Waiting) {
        let fault = self.sink_fault(error);
        let now = Instant::now();
        told.begun = true;
        match error.hope {
            Hope::Slow => {
                if !told.failing {
                    self.status.enter(State::WaitingForSink, fault.to_string());
                }
                if let Some(untold) = told.slow.news(error.code, now) {
                    log::warn!("{fault}; waiting_for_sink{}", so_often(untold));
                }
            }
            Hope::Later | Hope::None => {
                told.failing = true;
                self.term.trouble().met(Cause::Sink);
                self.status.enter(State::WaitingForSink, fault.to_string());
                if let Some(untold) = told.failed.news(error.code, now) {
                    let so_often = so_often(untold);
                    log::error!("{fault}; waiting_for_sink, trying again every second{so_often}");
                }
            }
        }
    }

    fn sink_fault(&self, error: &SinkError) -> Fault {
        Fault::stop(error.code, format!("shard={} {}", self.shard, error.text))
    }

    fn stopped(&self) -> Fault {
        let text = format!(
            "shard={} a pack could not be delivered before the stop; its rows are read again at the next start",
            self.shard
        );
        Fault::stop(Code::Stopped, text)
    }
}

impl PackOutput for Delivery {
    type Error = Fault;

    fn send(&mut self, pack: FinishedPack<'_>) -> Result<(), Fault> {
        self.wait_for_reservation(pack.next_seq)?;
        let header = PackHeader {
            shard: self.shard.clone(),
            epoch: self.epoch,
            sequence: self.sequence + 1,
            rows: pack.row_count,
            bytes: pack.rows.len() as u64,
            first: pack.first,
            last: pack.last,
            next_seq: pack.next_seq,
            point: self.point(&pack.reached),
            moved: self.moved.is_some() && self.sequence == 0,
            follows: self.follows.filter(|_| self.sequence == 0),
            crc32: crc32fast::hash(pack.rows),
            previous_crc32: self.previous_crc32,
        };
        self.deliver(&header, pack.rows)?;
        self.sequence = header.sequence;
        self.previous_crc32 = header.crc32;
        self.offer(header.point, header.next_seq);
        Ok(())
    }

    fn record_gap(&mut self, gap: &GapReport) -> Result<(), Fault> {
        // A transaction that is another one now has been told by the packer.
        if gap.kind == GapKind::Discard {
            log::warn!("{}: shard={} {}", Code::TransOversize, self.shard, gap.reason);
        }
        self.append_gap(&gap.record(&self.shard, now_ms()))
    }
}
