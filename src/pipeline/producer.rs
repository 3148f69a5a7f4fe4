//! The producer thread of a shard: connects, streams, and hands changes through the rendezvous.
//!
//! One pass of [`Producer::run`] is one stream: connect to a source, ask for a dump from where the packer stands, read
//! until the stream breaks. Any break ends in the same place: the packer is told, gives up what is unfinished, and says
//! where to read on.

use crate::binlog::AnyGtid;
use crate::binlog::ChecksumAlgorithm;
use crate::binlog::Decoder;
use crate::binlog::Event;
use crate::binlog::ExecutedGtids;
use crate::binlog::PositionTracker;
use crate::binlog::position_tracker::Holes;
use crate::change::assembler::Assembler;
use crate::change::assembler::AssemblerOptions;
use crate::change::assembler::HandOver;
use crate::change::batch::Batch;
use crate::change::error::ChangeError;
use crate::code::Code;
use crate::config::ShardConfig;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::binlog_stream::Poll;
use crate::pipeline::definitions::KnownDefinitions;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::message::Connected;
use crate::pipeline::message::Message;
use crate::pipeline::message::ReadOn;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_config;
use crate::pipeline::session::source_fault;
use crate::pipeline::start;
use crate::pipeline::start::Dump;
use crate::pipeline::start::Resume;
use crate::pipeline::unproven::Unproven;
use crate::pipeline::until::Target;
use crate::pipeline::until::Until;
use crate::schema::file::SchemaFile;
use crate::stop::Stop;
use crate::sync_point::ServerIdentity;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a read waits before stop and the rest are looked at.
const POLL_TICK: Duration = Duration::from_millis(200);

/// Streams that bring nothing are begun anew after at most so many times `data_source_try_interval`.
const LONGEST_BACK_OFF: u32 = 20;

/// How long rows in hand wait for the rest of an event of which a part has come.
const HALF_EVENT_PATIENCE: Duration = Duration::from_millis(5);

/// What a producer is made of, before it knows where to begin.
pub struct Producer {
    pub shard: ShardConfig,
    pub stop: Stop,
    pub until: Option<Until>,
    pub options: AssemblerOptions,
    pub schema_file: Option<SchemaFile>,
    pub replica_uuid: String,
    /// One for each source.
    pub ids: Vec<ReplicaIds>,
    /// The source that was connected last.
    pub current: usize,
    /// Where `--until` ends, once it is known.
    pub target: Option<Target>,
    /// A row of a watched table has been read: from then on a refusal is retried.
    pub seen_row: bool,
}

/// The producer's ends of the channels.
pub struct Channels {
    pub messages: Sender<Message>,
    pub spare: Receiver<Batch>,
    /// Set by the packer: the transaction in which it resumed is another one, read it anew.
    pub read_anew: Arc<AtomicBool>,
}

/// Why streaming ended without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// `--until` is reached.
    Reached,
    /// The packer has gone: it knows why.
    PackerGone,
}

/// A source that is connected, and where it is to be read from.
pub struct Ready {
    pub session: Session,
    pub dump: Dump,
}

impl Producer {
    /// Connects, repeating whole rounds over the sources as long as that may help. `Ok(None)`: a stop was asked for.
    pub fn connect(&mut self, resume: Option<&Resume>) -> Result<Option<Ready>, Fault> {
        let mut told: Option<Code> = None;
        loop {
            match self.round(resume) {
                Ok(ready) => return Ok(Some(ready)),
                Err(_) if self.stop.requested() => return Ok(None),
                Err(fault) => {
                    let hopeless = match fault.cure {
                        Cure::Stop => true,
                        Cure::Refused => self.is_final_refusal(),
                        Cure::Retry => self.until.is_some(),
                    };
                    if hopeless {
                        return Err(fault);
                    }
                    // One line when the trouble begins or changes, not one for every try.
                    if told != Some(fault.code) {
                        log::error!("{fault}; trying again every {:?}", self.shard.repeat_resource_interval);
                        told = Some(fault.code);
                    }
                }
            }
            if self.stop.wait(self.shard.repeat_resource_interval) {
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
                    if count > 1 {
                        log::warn!("{fault}");
                    }
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
        let dump = start::plan(&self.shard, &mut session, resume.cloned())?;
        if let (None, Some(until)) = (&self.target, &self.until) {
            self.target = Some(Target::fix(until, &self.shard.name, &mut session, &dump)?);
        }
        Ok(Ready { session, dump })
    }

    /// Streams until it is over for good.
    pub fn run(&mut self, ready: Ready, channels: &Channels) -> Result<Ended, Fault> {
        let mut ready = ready;
        let mut barren: u32 = 0;
        loop {
            let began = ready.dump.resume.clone();
            let identity = ready.session.identity();
            let fault = match self.stream(ready, channels) {
                Ok(ended) => return Ok(ended),
                Err(fault) => fault,
            };
            if fault.cure == Cure::Stop || fault.cure == Cure::Refused && self.is_final_refusal() {
                return Err(fault);
            }
            let Some(resume) = ask_packer(channels, identity) else { return Ok(Ended::PackerGone) };
            barren = if resume.is_behind(&began) { 0 } else { barren.saturating_add(1) };
            if self.until.is_some() && barren as usize > self.shard.sources.len() {
                return Err(fault);
            }
            if self.stop.wait(self.pause_after(&fault, barren)) {
                return Ok(Ended::Stopped);
            }
            match self.connect(Some(&resume))? {
                Some(next) => ready = next,
                None => return Ok(Ended::Stopped),
            }
        }
    }

    /// Nobody waits for a server to change its mind before the first row, or with an end in sight.
    fn is_final_refusal(&self) -> bool {
        self.until.is_some() || !self.seen_row
    }

    /// Tells why a stream broke. The next one is asked for at once if the last one brought us on; a server that drops
    /// every stream is not stormed, nor one for which we contend with another replica of our id.
    fn pause_after(&self, fault: &Fault, barren: u32) -> Duration {
        if self.stop.requested() {
            return Duration::ZERO;
        }
        match fault.cure {
            Cure::Retry if barren == 0 && fault.code != Code::ReplicaIdClash => {
                log::warn!("{fault}; reconnecting");
                Duration::ZERO
            }
            Cure::Retry => {
                log::warn!("{fault}; reconnecting");
                self.shard.data_source_try_interval * barren.clamp(1, LONGEST_BACK_OFF)
            }
            Cure::Refused | Cure::Stop => {
                log::error!("{fault}; trying again every {:?}", self.shard.repeat_resource_interval);
                self.shard.repeat_resource_interval
            }
        }
    }

    fn stream(&mut self, ready: Ready, channels: &Channels) -> Result<Ended, Fault> {
        let Ready { session, dump } = ready;
        log::info!(
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
            stream: dump.stream.clone(),
        };
        if let Some(target) = &mut self.target {
            target.connected_to(&connected.identity);
        }
        if channels.messages.send(Message::Connected(connected)).is_err() {
            return Ok(Ended::PackerGone);
        }
        let definitions =
            KnownDefinitions::for_stream(self.schema_file.clone(), session.config.clone(), self.stop.clone());
        let server = session.server.clone();
        let holes = match &dump.request {
            DumpRequest::Position { .. } => Holes::Events,
            DumpRequest::Gtid { .. } | DumpRequest::MariadbGtid { .. } => Holes::Transactions,
        };
        let stream = BinlogStream::start(session.connection, &dump.request)
            .map_err(|error| source_fault(&self.shard.name, &error))?;
        let place = &dump.resume.frontier.place;
        let mut streaming = Streaming {
            decoder: Decoder::new(announced(&stream)),
            assembler: Assembler::new(self.options.clone(), definitions, &place.file),
            tracker: PositionTracker::new(place.pos, holes),
            executed: dump.resume.frontier.executed.clone(),
            unproven: Some(Unproven {
                file: Arc::clone(&place.file),
                created: dump.resume.frontier.file_created,
                by_gtid: holes == Holes::Transactions,
            }),
            stream,
            server,
            batch: channels.spare.try_recv().unwrap_or_default(),
            channels,
        };
        let outcome = streaming.follow(self);
        self.seen_row |= streaming.assembler.rows_events() > 0;
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

/// The form of what comes before the first format description follows what we have announced.
fn announced(stream: &BinlogStream) -> ChecksumAlgorithm {
    match stream.announced_checksum() {
        Some(name) if name.eq_ignore_ascii_case("CRC32") => ChecksumAlgorithm::Crc32,
        _ => ChecksumAlgorithm::Off,
    }
}

/// One stream being followed.
struct Streaming<'a> {
    stream: BinlogStream,
    server: String,
    decoder: Decoder,
    assembler: Assembler<KnownDefinitions>,
    tracker: PositionTracker,
    /// How far we are as a set, where the shard is followed by GTID.
    executed: Option<ExecutedGtids>,
    /// The file in which we resume, until a format description has proved that it is the one we mean.
    unproven: Option<Unproven>,
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
            match self.stream.poll(wait).map_err(|error| source_fault(&producer.shard.name, &error))? {
                Poll::Event(bytes) => {
                    let mut link = Link { channels: self.channels };
                    let taken = take_event(
                        bytes,
                        &mut self.decoder,
                        &mut self.tracker,
                        &mut self.assembler,
                        &mut self.batch,
                        &mut link,
                    );
                    if let Err(error) = taken {
                        return self.failed(producer, error);
                    }
                    if let Some(gtid) = self.assembler.take_ended() {
                        self.note_ended(&gtid, producer);
                    }
                }
                Poll::Idle => idle = true,
                Poll::End => {
                    let text = "the server ended the stream; it shuts down, or another replica has our id";
                    return Err(self.fault(
                        producer,
                        ChangeError { code: Code::ConnectionLost, text: text.into(), retry: true },
                    ));
                }
            }
            if let Err(error) = self.check_file_created() {
                return Err(self.fault(producer, error));
            }
            let drained = self.stream.is_drained();
            if (drained || idle || self.batch.is_full()) && !self.hand_over(drained) {
                return Ok(Ended::PackerGone);
            }
            if let Some(ended) = self.over(producer) {
                return Ok(if self.hand_over(true) { ended } else { Ended::PackerGone });
            }
        }
    }

    fn note_ended(&mut self, gtid: &AnyGtid, producer: &mut Producer) {
        if let Some(executed) = &mut self.executed
            && !executed.add(gtid)
        {
            self.executed = None;
        }
        if let Some(target) = &mut producer.target {
            target.passed(gtid);
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

    /// The first format description of a stream tells whether the file is still the one we know. Binlogs that were reset
    /// begin anew with the same names, and MySQL begins anew to count transactions: resumed there, we would take the first
    /// new ones for those that we have had.
    fn check_file_created(&mut self) -> Result<(), ChangeError> {
        let Some((file, created)) = self.assembler.file_created() else { return Ok(()) };
        match self.unproven.take() {
            Some(unproven) if !unproven.agrees(file, created) => Err(ChangeError::new(
                Code::PointForeign,
                format!(
                    "the point lies in {} begun at {} (seconds since 1970), the server sends {file} begun at {created}: its \
                     binlogs were reset or restored since; copy the tables anew and start behind them",
                    unproven.file, unproven.created
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn take_event(
    bytes: &[u8],
    decoder: &mut Decoder,
    tracker: &mut PositionTracker,
    assembler: &mut Assembler<KnownDefinitions>,
    batch: &mut Batch,
    link: &mut Link<'_>,
) -> Result<(), ChangeError> {
    let (header, event) = decoder.decode(bytes)?;
    if let Event::Heartbeat(heartbeat) = &event
        && *heartbeat.file == **assembler.file()
    {
        tracker.heartbeat(heartbeat);
    }
    if let Event::MariadbGtidList(_) = &event {
        tracker.search_came_to(&header);
    }
    let span = tracker.advance(&header)?;
    if let Event::Rotate(rotate) = &event {
        tracker.reset(rotate.position);
    }
    assembler.accept(decoder, (header, event), span, batch, link)
}

/// The way to the packer.
struct Link<'a> {
    channels: &'a Channels,
}

impl HandOver for Link<'_> {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), ChangeError> {
        let mut full = self.channels.spare.try_recv().unwrap_or_default();
        std::mem::swap(batch, &mut full);
        let sent = self.channels.messages.send(Message::Batch(full));
        sent.map_err(|_| ChangeError::again("the packer has gone"))
    }
}
