//! The producer thread of a shard: connects, streams, and hands changes through the rendezvous.
//!
//! One pass of [`Producer::run`] is one stream: connect to a source, ask for a dump from where the packer stands, read
//! until the stream breaks. Any break ends in the same place: the packer is told, gives up what is unfinished, and says
//! where to read on.

use crate::binlog::Decoder;
use crate::binlog::PositionTracker;
use crate::binlog::position_tracker::Holes;
use crate::change::assembler::Assembler;
use crate::change::assembler::AssemblerOptions;
use crate::code::Code;
use crate::config::ShardConfig;
use crate::guard::trouble::Trouble;
use crate::mysql::binlog_stream::BinlogStream;
use crate::mysql::binlog_stream::DumpRequest;
use crate::pipeline::catch_up::CatchUp;
use crate::pipeline::definitions::KnownDefinitions;
use crate::pipeline::definitions::book::Book;
use crate::pipeline::definitions::book::ledger_server;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::going_over::Switches;
use crate::pipeline::message::Channels;
use crate::pipeline::message::Connected;
use crate::pipeline::message::Message;
use crate::pipeline::message::ReadOn;
use crate::pipeline::patience::Next;
use crate::pipeline::patience::Patience;
use crate::pipeline::patience::Story;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::reread::Reread;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_fault;
use crate::pipeline::start::Dump;
use crate::pipeline::start::Resume;
use crate::pipeline::streaming::Streaming;
use crate::pipeline::unproven::Unproven;
use crate::pipeline::until::Target;
use crate::pipeline::until::Until;
use crate::pipeline::wishes::Live;
use crate::status::State;
use crate::stop::Stop;
use crate::sync_point::ServerIdentity;
use crate::sync_point::old_files::FoundPoint;
use crossbeam_channel::bounded;
use log::Level;
use std::sync::Arc;
use std::time::Instant;

/// What a producer is made of, before it knows where to begin.
pub struct Producer {
    pub shard: ShardConfig,
    pub stop: Stop,
    /// What is to be seen of the shard, and a person's wish that it goes over to another source.
    pub live: Live,
    pub until: Option<Until>,
    pub options: AssemblerOptions,
    /// What is known of tables that the log does not describe.
    pub book: Book,
    pub replica_uuid: String,
    /// One for each source.
    pub ids: Vec<ReplicaIds>,
    /// The source that was connected last.
    pub current: usize,
    /// Changes from source to source.
    pub switches: Switches,
    /// Sources that lack what has been delivered.
    pub catch_up: CatchUp,
    /// Where `--until` ends, once it is known.
    pub target: Option<Target>,
    /// An event has come from the source whose end that is.
    pub target_stays: bool,
    pub patience: Patience,
    /// Since when no source could be reached.
    pub trouble: Arc<Trouble>,
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
    /// It goes on on another server, this source, at a place that only times tell: a jump, and so a new epoch.
    Jumps {
        source: usize,
    },
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
            let broken = match self.stream(ready, channels, &mut story) {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => None,
                Err(fault) => {
                    self.note_break(&fault);
                    self.reconsider_target(&fault);
                    if fault.cure == Cure::Stop {
                        return Err(fault);
                    }
                    Some(fault)
                }
            };
            let Some(resume) = ask_packer(channels, identity) else { return Ok(Ended::PackerGone) };
            if self.stop.requested() {
                return Ok(Ended::Stopped);
            }
            self.book.stands_at(&resume.identity, &resume.frontier);
            story.advanced = resume.is_behind(&began);
            story.idle = !sends_heartbeats && story.between_events;
            if let Some(fault) = broken
                && let Some(ended) = self.pause_after(fault, story)?
            {
                return Ok(ended);
            }
            match self.go_on(&resume)? {
                Some(next) if next.jump(&self.shard, Some(&resume)).is_some() => {
                    self.require_target_on(&next.session)?;
                    self.note_arrival(&next.session.server);
                    return Ok(Ended::Jumps { source: self.current });
                }
                Some(next) => ready = next,
                None => return Ok(Ended::Stopped),
            }
        }
    }

    /// Waits for as long as the failure asks for, and chooses the source to ask next.
    fn pause_after(&mut self, fault: Fault, story: Story) -> Result<Option<Ended>, Fault> {
        if story.idle && fault.code == Code::Stalled {
            self.patience.note_idle();
            log::debug!("{fault}; a server of before heartbeats may just be idle: asking again");
            return Ok(None);
        }
        match self.patience.after_stream(self.current, &fault, story) {
            Next::GiveUp => Err(fault),
            Next::Again { pause, elsewhere } => {
                self.live.status.enter(State::Connecting, fault.to_string());
                self.current = (self.current + usize::from(elsewhere)) % self.shard.sources.len().max(1);
                Ok(self.live.switch.wait(&self.stop, pause).then_some(Ended::Stopped))
            }
        }
    }

    /// A source that refuses before its first event is not the one that is read: where it ends says nothing.
    fn reconsider_target(&mut self, fault: &Fault) {
        if fault.cure == Cure::Refused && !self.target_stays && self.until == Some(Until::End) {
            self.target = None;
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

    /// `None`: it was left for another source.
    fn stream(
        &mut self,
        ready: Ready,
        channels: &Channels,
        story: &mut Story,
    ) -> Result<Option<Ended>, Fault> {
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
            return Ok(Some(Ended::PackerGone));
        }
        self.note_coming(&session, &dump);
        let identity = session.identity();
        let server = session.server.clone();
        self.live.status.running(&server);
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
