//! The producer thread of a shard: connects, streams, and hands changes through the rendezvous.
//!
//! One pass of [`Producer::run`] is one stream: connect to a source, ask for a dump from where the packer stands, read
//! until the stream breaks. Any break ends in the same place: the packer is told, gives up what is unfinished, and says
//! where to read on.

use crate::binlog::AnyGtid;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::ExecutedGtids;
use crate::binlog::PositionTracker;
use crate::binlog::position_tracker::Holes;
use crate::change::assembler::Assembler;
use crate::change::assembler::AssemblerOptions;
use crate::change::assembler::HandOver;
use crate::change::batch::Batch;
use crate::change::batch::Place;
use crate::change::error::ChangeError;
use crate::change::tables::LogPlace;
use crate::code::Code;
use crate::config::ShardConfig;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::binlog_stream::Poll;
use crate::pipeline::definitions::KnownDefinitions;
use crate::pipeline::definitions::book::Book;
use crate::pipeline::definitions::book::ledger_server;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::message::Channels;
use crate::pipeline::message::Connected;
use crate::pipeline::message::Link;
use crate::pipeline::message::Message;
use crate::pipeline::message::ReadOn;
use crate::pipeline::patience::Next;
use crate::pipeline::patience::Patience;
use crate::pipeline::patience::Story;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::reread::Passage;
use crate::pipeline::reread::Reread;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_fault;
use crate::pipeline::start::Dump;
use crate::pipeline::start::Resume;
use crate::pipeline::unproven::Unproven;
use crate::pipeline::until::Target;
use crate::pipeline::until::Until;
use crate::stop::Stop;
use crate::sync_point::ServerIdentity;
use crate::sync_point::old_files::FoundPoint;
use crossbeam_channel::bounded;
use log::Level;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// How long a read waits before stop and the rest are looked at.
const POLL_TICK: Duration = Duration::from_millis(200);

/// How long rows in hand wait for the rest of an event of which a part has come.
const HALF_EVENT_PATIENCE: Duration = Duration::from_millis(5);

/// What a producer is made of, before it knows where to begin.
pub struct Producer {
    pub shard: ShardConfig,
    pub stop: Stop,
    pub until: Option<Until>,
    pub options: AssemblerOptions,
    /// What is known of tables that the log does not describe.
    pub book: Book,
    pub replica_uuid: String,
    /// One for each source.
    pub ids: Vec<ReplicaIds>,
    /// The source that was connected last.
    pub current: usize,
    /// Where `--until` ends, once it is known.
    pub target: Option<Target>,
    pub patience: Patience,
    /// What the original Fountain left, as long as there is no point of ours.
    pub old_point: Option<FoundPoint>,
    /// What is to be said at the first connect has been said.
    pub introduced: bool,
}

/// Why streaming ended without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// `--until` is reached.
    Reached,
    /// The packer has gone: it knows why.
    PackerGone,
    /// It goes on on another server at a place that only times tell: a jump, and so a new epoch.
    Jumps,
}

/// A source that is connected, and where it is to be read from.
pub struct Ready {
    pub session: Session,
    pub dump: Dump,
}

impl Producer {
    /// Streams until it is over for good.
    pub fn run(&mut self, ready: Ready, channels: &Channels) -> Result<Ended, Fault> {
        let mut ready = ready;
        loop {
            let began = ready.dump.resume.clone();
            let identity = ready.session.identity();
            let sends_heartbeats = ready.session.facts.sends_heartbeats();
            let mut story = Story::default();
            let fault = match self.stream(ready, channels, &mut story) {
                Ok(ended) => return Ok(ended),
                Err(fault) if fault.cure == Cure::Stop => return Err(fault),
                Err(fault) => fault,
            };
            let Some(resume) = ask_packer(channels, identity) else { return Ok(Ended::PackerGone) };
            if self.stop.requested() {
                return Ok(Ended::Stopped);
            }
            self.book.stands_at(&resume.identity, &resume.frontier);
            story.advanced = resume.is_behind(&began);
            if !sends_heartbeats && fault.code == Code::Stalled && story.between_events {
                self.patience.note_idle();
                log::debug!("{fault}; a server of before heartbeats may just be idle: asking again");
            } else if let Some(ended) = self.pause_after(fault, story)? {
                return Ok(ended);
            }
            match self.connect(Some(&resume))? {
                Some(next) if next.jump(&self.shard, Some(&resume)).is_some() => {
                    self.require_target_on(&next.session)?;
                    return Ok(Ended::Jumps);
                }
                Some(next) => ready = next,
                None => return Ok(Ended::Stopped),
            }
        }
    }

    /// Waits for as long as the failure asks for, and chooses the source to ask next.
    fn pause_after(&mut self, fault: Fault, story: Story) -> Result<Option<Ended>, Fault> {
        match self.patience.after_stream(&fault, story) {
            Next::GiveUp => Err(fault),
            Next::Again { pause, elsewhere } => {
                self.current = (self.current + usize::from(elsewhere)) % self.shard.sources.len().max(1);
                Ok(self.stop.wait(pause).then_some(Ended::Stopped))
            }
        }
    }

    fn require_target_on(&mut self, session: &Session) -> Result<(), Fault> {
        if self.target.as_mut().is_none_or(|target| target.connected_to(&session.identity())) {
            return Ok(());
        }
        let text = format!(
            "shard={} source={} the end of --until is a place on another server, and means nothing on this one; give GTIDs, or \
             start again for this server's own end",
            self.shard.name, session.server
        );
        Err(Fault::stop(Code::PointForeign, text))
    }

    fn stream(&mut self, ready: Ready, channels: &Channels, story: &mut Story) -> Result<Ended, Fault> {
        let Ready { session, dump } = ready;
        let level = if self.patience.connected(self.current) { Level::Info } else { Level::Debug };
        log::log!(
            level,
            "shard={} source={} connected: {} {}, server_id {}, {}, reading {}",
            self.shard.name,
            session.server,
            session.facts.flavor(),
            session.facts.version(),
            session.facts.server_id(),
            session.connection.tls_version().unwrap_or_else(|| "not encrypted".to_owned()),
            dump.described
        );
        let connected = Connected {
            server: session.server.clone(),
            identity: session.identity(),
            flavor: session.facts.flavor(),
            stream: dump.stream.clone(),
        };
        self.require_target_on(&session)?;
        if channels.messages.send(Message::Connected(connected)).is_err() {
            return Ok(Ended::PackerGone);
        }
        let identity = session.identity();
        let server = session.server.clone();
        let holes = match &dump.request {
            DumpRequest::Position { .. } => Holes::Events,
            DumpRequest::Gtid { .. } | DumpRequest::MariadbGtid { .. } => Holes::Transactions,
        };
        let stream = BinlogStream::start(session.connection, &dump.request)
            .map_err(|error| source_fault(&self.shard.name, &error))?;
        // From here on until the stream is over nothing fails: the book comes back.
        self.book.connected(&identity);
        let definitions = KnownDefinitions::for_stream(
            std::mem::take(&mut self.book),
            session.config.clone(),
            ledger_server(&identity),
            self.stop.clone(),
        );
        let (place, created) = dump.resume.begins();
        let reread = match &dump.request {
            DumpRequest::Position { file, pos } => Reread::up_to(file, *pos),
            DumpRequest::Gtid { .. } | DumpRequest::MariadbGtid { .. } => None,
        };
        if reread.is_some() {
            log::info!(
                "shard={} source={server} no dump can begin past 4 GiB: {} is read from its beginning up to {}",
                self.shard.name,
                place.file,
                place.pos
            );
        }
        let mut assembler = Assembler::new(self.options.clone(), definitions, &place.file);
        if let Some(known) = dump.known()? {
            assembler.know(known);
        }
        let mut streaming = Streaming {
            decoder: Decoder::new(stream.announced_algorithm()),
            assembler,
            tracker: PositionTracker::new(place.pos, holes),
            read_to: place.pos,
            reread,
            executed: dump.resume.frontier.executed.clone(),
            read_again: dump.resume.frontier.pending_xa.iter().filter_map(|xa| xa.gtid.clone()).collect(),
            unproven: Some(Unproven {
                file: Arc::clone(&place.file),
                created,
                by_gtid: holes == Holes::Transactions,
            }),
            stream,
            server,
            dismissed: false,
            served: false,
            batch: channels.spare.try_recv().unwrap_or_default(),
            channels,
        };
        let began = Instant::now();
        let outcome = streaming.follow(self);
        self.book = streaming.leave_definitions();
        story.lived = began.elapsed();
        story.served = streaming.stream.has_served();
        story.between_events = streaming.stream.is_between_events();
        story.dismissed = streaming.dismissed;
        self.patience.note_rows(streaming.assembler.rows_events() > 0);
        outcome
    }
}

/// Tells the packer that the stream broke, and learns where to read on.
fn ask_packer(channels: &Channels, identity: ServerIdentity) -> Option<Resume> {
    let (answer, reply) = bounded(1);
    channels.messages.send(Message::Interrupted { answer }).ok()?;
    let ReadOn { frontier, inside } = reply.recv().ok()?;
    Some(Resume { identity, frontier, inside })
}

/// One stream being followed.
struct Streaming<'a> {
    stream: BinlogStream,
    server: String,
    decoder: Decoder,
    assembler: Assembler<KnownDefinitions>,
    tracker: PositionTracker,
    /// The end of the last event that was taken: one that is refused does not count as read.
    read_to: u64,
    /// Set until a place past 4 GiB is reached.
    reread: Option<Reread>,
    /// How far we are as a set, where the shard is followed by GTID.
    executed: Option<ExecutedGtids>,
    /// XA transactions that were prepared before the point: their PREPAREs may come once more, out of their order.
    read_again: Vec<String>,
    /// The file in which we resume, until a format description has proved that it is the one we mean.
    unproven: Option<Unproven>,
    /// The server has ended the stream without a reason.
    dismissed: bool,
    /// That the first event has come is known to the shard's patience.
    served: bool,
    batch: Batch,
    channels: &'a Channels,
}

impl Streaming<'_> {
    fn follow(&mut self, producer: &mut Producer) -> Result<Ended, Fault> {
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
                    return if self.hand_over(true) { Err(fault) } else { Ok(Ended::PackerGone) };
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
                        return self.failed(producer, error);
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
            if let Err(error) = self.check_file_created() {
                return Err(self.fault(producer, error));
            }
            let drained = self.stream.is_drained();
            if (drained || idle || self.batch.is_full()) && !self.hand_over(drained) {
                return Ok(Ended::PackerGone);
            }
            if (drained || idle)
                && let Err(error) = self.rest()
            {
                return Err(self.fault(producer, error));
            }
            if let Some(ended) = self.over(producer) {
                return Ok(if self.hand_over(true) { ended } else { Ended::PackerGone });
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
    fn leave_definitions(&mut self) -> Book {
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
            if producer.patience.served() {
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

    /// The first format description of a stream tells whether the file is still the one we know.
    fn check_file_created(&mut self) -> Result<(), ChangeError> {
        let Some((file, created)) = self.assembler.file_created() else { return Ok(()) };
        match self.unproven.take() {
            Some(unproven) => unproven.prove(file, created),
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
