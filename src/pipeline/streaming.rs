//! One stream being followed, until it breaks, ends, or is left.

use crate::binlog::AnyGtid;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::ExecutedGtids;
use crate::binlog::PositionTracker;
use crate::change::assembler::Assembler;
use crate::change::assembler::HandOver;
use crate::change::batch::Batch;
use crate::change::batch::Place;
use crate::change::error::ChangeError;
use crate::change::tables::LogPlace;
use crate::code::Code;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::Poll;
use crate::pipeline::definitions::KnownDefinitions;
use crate::pipeline::definitions::book::Book;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::message::Channels;
use crate::pipeline::message::Link;
use crate::pipeline::producer::Ended;
use crate::pipeline::producer::Producer;
use crate::pipeline::reread::Passage;
use crate::pipeline::reread::Reread;
use crate::pipeline::session::source_fault;
use crate::pipeline::unproven::Unproven;
use crate::pipeline::until::Target;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a read waits before stop and the rest are looked at.
const POLL_TICK: Duration = Duration::from_millis(200);

/// How long rows in hand wait for the rest of an event of which a part has come.
const HALF_EVENT_PATIENCE: Duration = Duration::from_millis(5);

/// One stream being followed.
pub(super) struct Streaming<'a> {
    pub(super) stream: BinlogStream,
    pub(super) server: String,
    pub(super) decoder: Decoder,
    pub(super) assembler: Assembler<KnownDefinitions>,
    pub(super) tracker: PositionTracker,
    /// The end of the last event that was taken: one that is refused does not count as read.
    pub(super) read_to: u64,
    /// Set until a place past 4 GiB is reached.
    pub(super) reread: Option<Reread>,
    /// How far we are as a set, where the shard is followed by GTID.
    pub(super) executed: Option<ExecutedGtids>,
    /// XA transactions that were prepared before the point: their PREPAREs may come once more, out of their order.
    pub(super) read_again: Vec<String>,
    /// The file in which we resume, until a format description has proved that it is the one we mean.
    pub(super) unproven: Option<Unproven>,
    /// The server has ended the stream without a reason.
    pub(super) dismissed: bool,
    /// That the first event has come is known to the shard's patience.
    pub(super) served: bool,
    pub(super) batch: Batch,
    pub(super) channels: &'a Channels,
}

impl Streaming<'_> {
    /// `None`: it is left for another source.
    pub(super) fn follow(&mut self, producer: &mut Producer) -> Result<Option<Ended>, Fault> {
        loop {
            if self.channels.read_anew.swap(false, Ordering::AcqRel) {
                return Err(self.fault(producer, ChangeError::again("the transaction is read anew")));
            }
            let wait = match self.batch.is_empty() {
                _ if producer.stop.requested() => Duration::ZERO,
                true => POLL_TICK,
                // The rest of an event is on its way; rows in hand do not wait long for it.
                false => HALF_EVENT_PATIENCE,
            };
            let mut idle = false;
            let polled = match self.stream.poll(wait) {
                Ok(polled) => polled,
                Err(error) => {
                    let fault = source_fault(&producer.shard.name, &error);
                    // What came before it is delivered.
                    return if self.hand_over(true) { Err(fault) } else { Ok(Some(Ended::PackerGone)) };
                }
            };
            match polled {
                Poll::Event(bytes) => {
                    let mut link = Link { channels: self.channels };
                    let taken = take_event(
                        bytes,
                        &mut self.decoder,
                        &mut self.tracker,
                        &mut self.reread,
                        &mut self.assembler,
                        &mut self.batch,
                        &mut link,
                    );
                    if let Err(error) = taken {
                        return self.failed(producer, error).map(Some);
                    }
                    self.read_to = self.tracker.position();
                    if let Some(gtid) = self.assembler.take_ended() {
                        self.note_ended(&gtid, producer);
                    }
                }
                Poll::Idle => idle = true,
                Poll::End => {
                    self.dismissed = true;
                    let text = "the server ended the stream; it shuts down, or another replica has our id";
                    return Err(self.fault(
                        producer,
                        ChangeError { code: Code::ConnectionLost, text: text.into(), retry: true },
                    ));
                }
            }
            self.note_served(producer);
            if let Err(refusal) = self.check_file_created() {
                return Err(self.refused(producer, refusal));
            }
            let drained = self.stream.is_drained();
            if (drained || idle || self.batch.is_full()) && !self.hand_over(drained) {
                return Ok(Some(Ended::PackerGone));
            }
            if (drained || idle)
                && let Err(error) = self.rest()
            {
                return Err(self.fault(producer, error));
            }
            if producer.may_leave() && self.leaves(producer) {
                return Ok(if self.hand_over(true) { None } else { Some(Ended::PackerGone) });
            }
            if let Some(ended) = self.over(producer) {
                return Ok(Some(if self.hand_over(true) { ended } else { Ended::PackerGone }));
            }
        }
    }

    /// Nothing more is waiting: time for what need not be done at once.
    fn rest(&mut self) -> Result<(), ChangeError> {
        // Only behind the format description is it certain that places mean what they did.
        let Some(Place { file, pos }) = self.assembler.rest().filter(|_| self.unproven.is_none()).cloned()
        else {
            return Ok(());
        };
        match self.assembler.definitions().stream() {
            Some(definitions) => definitions.at_rest(LogPlace { file: &file, pos }),
            None => Ok(()),
        }
    }

    /// What is known of definitions, for the next stream.
    pub(super) fn leave_definitions(&mut self) -> Book {
        let (file, pos) = (Arc::clone(self.assembler.file()), self.read_to);
        let proven = self.unproven.is_none();
        let Some(definitions) = self.assembler.definitions().stream() else { return Book::default() };
        if proven {
            definitions.leave(LogPlace { file: &file, pos });
        }
        definitions.take_book()
    }

    fn note_ended(&mut self, gtid: &AnyGtid, producer: &mut Producer) {
        // MariaDB's position has one place for a domain, and must not fall back to an old one.
        if matches!(gtid, AnyGtid::Mariadb(_))
            && !self.read_again.is_empty()
            && self.read_again.contains(&gtid.to_string())
        {
            return;
        }
        if let Some(executed) = &mut self.executed
            && !executed.add(gtid)
        {
            self.executed = None;
        }
        if let Some(target) = &mut producer.target {
            target.passed(gtid);
        }
    }

    fn note_served(&mut self, producer: &mut Producer) {
        if !self.served && self.stream.has_served() {
            self.served = true;
            let changed = producer.note_arrival(&self.server);
            if producer.patience.served() && !changed {
                log::info!("shard={} source={} is read again", producer.shard.name, self.server);
            }
        }
    }

    /// Whether this is the end: `--until` is reached, or a stop was asked for.
    fn over(&self, producer: &Producer) -> Option<Ended> {
        let reached = |target: &Target| {
            // Only behind the format description is it certain that this is the file we mean.
            let rest = self.assembler.rest().filter(|_| self.unproven.is_none());
            rest.is_some_and(|rest| target.reached(rest, self.executed.as_ref()))
        };
        if producer.target.as_ref().is_some_and(reached) {
            return Some(Ended::Reached);
        }
        producer.stop.requested().then_some(Ended::Stopped)
    }

    /// Between transactions: whether another source is read from here on.
    fn leaves(&self, producer: &mut Producer) -> bool {
        let at_border = self.assembler.rest().is_some() && self.unproven.is_none() && self.served;
        at_border && producer.leaves(&self.server, self.executed.as_ref())
    }

    fn hand_over(&mut self, drained: bool) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        self.batch.drained = drained;
        Link { channels: self.channels }.hand_over(&mut self.batch).is_ok()
    }

    /// What was read before an error is delivered before the shard stops or reads on.
    fn failed(&mut self, producer: &Producer, error: ChangeError) -> Result<Ended, Fault> {
        match self.hand_over(true) {
            true => Err(self.fault(producer, error)),
            false => Ok(Ended::PackerGone),
        }
    }

    fn fault(&self, producer: &Producer, error: ChangeError) -> Fault {
        let ChangeError { code, text, retry } = error;
        let cure = match code {
            _ if retry => Cure::Retry,
            // The definition's server says no; the stream itself is sound.
            Code::RightMissing | Code::AccessDenied => Cure::Refused,
            _ => Cure::Stop,
        };
        let (file, pos) = (self.assembler.file(), self.tracker.position());
        Fault {
            code,
            text: format!("shard={} source={} {file}:{pos}: {text}", producer.shard.name, self.server),
            cure,
        }
    }

    /// The server's log is not the one that we mean. By GTID another source may go on; a place lies nowhere else.
    fn refused(&self, producer: &Producer, (error, by_gtid): (ChangeError, bool)) -> Fault {
        let fault = self.fault(producer, error);
        match by_gtid {
            true => Fault { cure: Cure::Refused, ..fault },
            false => fault,
        }
    }

    /// The first format description of a stream tells whether the file is still the one we know.
    fn check_file_created(&mut self) -> Result<(), (ChangeError, bool)> {
        let Some((file, created)) = self.assembler.file_created() else { return Ok(()) };
        match self.unproven.take() {
            Some(unproven) => unproven.prove(file, created).map_err(|error| (error, unproven.by_gtid)),
            None => Ok(()),
        }
    }
}

fn take_event(
    bytes: &[u8],
    decoder: &mut Decoder,
    tracker: &mut PositionTracker,
    reread: &mut Option<Reread>,
    assembler: &mut Assembler<KnownDefinitions>,
    batch: &mut Batch,
    link: &mut Link<'_>,
) -> Result<(), ChangeError> {
    let (mut header, mut event) = decoder.decode(bytes)?;
    if let Event::Heartbeat(heartbeat) = &event
        && *heartbeat.file == **assembler.file()
    {
        tracker.heartbeat(heartbeat);
    }
    let span = tracker.advance(&header)?;
    if let Event::Rotate(rotate) = &event {
        tracker.reset(rotate.position);
    }
    if let Some(place) = reread {
        match place.take(&mut header, &mut event, span)? {
            Passage::On => {}
            Passage::Over => return Ok(()),
            Passage::Arrived => {
                *reread = None;
                return Ok(());
            }
        }
    }
    // One that is refused is told with its start, and nothing is read behind it.
    assembler.accept(decoder, (header, event), span, batch, link).inspect_err(|_| tracker.reset(span.start))
}
