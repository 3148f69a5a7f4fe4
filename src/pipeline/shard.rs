//! One shard from start to end: folders locked, point and sink compared, first connect, threads, orderly end.

use crate::change::assembler::AssemblerOptions;
use crate::code::Code;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::guard::term::Term;
use crate::pack::encoder::RowEncoder;
use crate::pack::header::Follows;
use crate::pipeline::catch_up::CatchUp;
use crate::pipeline::configured::assembler_options;
use crate::pipeline::configured::builder;
use crate::pipeline::configured::save_rhythm;
use crate::pipeline::definitions::book;
use crate::pipeline::definitions::book::Book;
use crate::pipeline::definitions::book::LastStand;
use crate::pipeline::definitions::book::certain_place;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::delivery::SEQ_RESERVE;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::fault::Fault;
use crate::pipeline::first_load;
use crate::pipeline::going_over::Switches;
use crate::pipeline::led_store::LedSchemaStore;
use crate::pipeline::led_store::LedStore;
use crate::pipeline::message::Channels;
use crate::pipeline::packer::PackRhythm;
use crate::pipeline::packer::Packer;
use crate::pipeline::patience::Patience;
use crate::pipeline::patiently::Patiently;
use crate::pipeline::ports::OpenStore;
use crate::pipeline::ports::Ports;
use crate::pipeline::ports::open_schema_store;
use crate::pipeline::ports::open_store;
use crate::pipeline::producer::Ended;
use crate::pipeline::producer::Producer;
use crate::pipeline::producer::Ready;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::replica::replica_uuid;
use crate::pipeline::saver::Saver;
use crate::pipeline::sinks::ask_standing;
use crate::pipeline::sinks::check_standing;
use crate::pipeline::sinks::keeps_packs;
use crate::pipeline::sinks::may_keep_packs;
use crate::pipeline::sinks::open_sink;
use crate::pipeline::standing::Standing;
use crate::pipeline::start::Resume;
use crate::pipeline::until::Until;
use crate::pipeline::wishes::Live;
use crate::schema::file::SchemaFile;
use crate::sink::Sink;
use crate::stop::Stop;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::gap::GapLog;
use crate::sync_point::gap_log::FileGapLog;
use crate::sync_point::history::FileHistory;
use crossbeam_channel::bounded;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// How a run of one shard ended without a fault.
pub use crate::pipeline::producer::Ended as ShardEnded;

/// Runs one shard until a stop, `--until`, a fault, or the end of its term.
pub fn run(
    config: &Config,
    shard: &ShardConfig,
    until: Option<Until>,
    ports: &Ports,
    term: &Term,
    live: &Live,
) -> Result<Ended, Fault> {
    let mut first = None;
    loop {
        match run_epoch(config, shard, until.clone(), ports, term, live, first)? {
            Ended::Jumps { source } => first = Some(source),
            ended => return Ok(ended),
        }
    }
}

/// `first`: the source to ask first, where another run of this process has chosen it.
fn run_epoch(
    config: &Config,
    shard: &ShardConfig,
    until: Option<Until>,
    ports: &Ports,
    term: &Term,
    live: &Live,
    first: Option<usize>,
) -> Result<Ended, Fault> {
    // What ends this shard's packer ends its producer, whatever that waits for; the other shards go on.
    let stop = &term.stop().child();
    let opened = Opened::open(config, shard, ports, until.is_some(), term, live, stop)?;
    let Some(opened) = opened else { return Ok(Ended::Stopped) };
    let resume = opened.standing.resume(&shard.name)?;
    let patiently = Patiently { shard: &shard.name, give_up: until.is_some(), stop };
    let book = open_book(config, shard, &opened.standing, resume.as_ref(), term, &patiently)?;
    let Some(book) = book else { return Ok(Ended::Stopped) };
    let mut producer = producer(config, shard, until, stop, live, book);
    producer.trouble = Arc::clone(term.trouble());
    check_standing(shard, ports, &opened.standing)?;
    if resume.is_none() {
        producer.old_point = opened.standing.old_point.clone();
    }
    let ready = match first {
        Some(source) => {
            producer.current = source;
            producer.connect(resume.as_ref())?
        }
        None => producer.connect_first(resume.as_ref())?,
    };
    let Some(ready) = ready else { return Ok(Ended::Stopped) };
    // Before its point: a ledger that is older than its point's epoch is one that did not see what was read since.
    let epoch = opened.standing.last_epoch() + 1;
    let begin = || producer.book.begin_epoch(epoch).map_err(|error| StoreError::new(error.code, error.text));
    if patiently.ask(begin)?.is_none() {
        return Ok(Ended::Stopped);
    }
    let started = opened.start_epoch(shard, resume.as_ref(), &ready, &patiently)?;
    let Some(started) = started else { return Ok(Ended::Stopped) };
    started.run(config, shard, producer, ready, term, stop)
}

/// The definitions that are known, for a shard that goes on there.
fn open_book(
    config: &Config,
    shard: &ShardConfig,
    standing: &Standing,
    resume: Option<&Resume>,
    term: &Term,
    patiently: &Patiently<'_>,
) -> Result<Option<Book>, Fault> {
    let file = shard.schema_file.as_deref().map(read_schema_file).transpose().map_err(|fault| Fault {
        text: format!(
            "shard={} schema_file={}; correct schema_file, or leave it out",
            shard.name, fault.text
        ),
        ..fault
    })?;
    let stand = resume.map(|Resume { identity, frontier, .. }| LastStand {
        epoch: standing.last_epoch(),
        moved: standing.record.as_ref().is_some_and(|record| record.moved.is_some()),
        server: identity.clone(),
        place: certain_place(&frontier.place.file, frontier.place.pos, frontier.set_ahead),
    });
    let store = open_schema_store(config, &shard.name);
    let store = store.map_err(|error| store_fault(&shard.name, &error))?;
    let mut store = LedSchemaStore { store, term: term.clone() };
    let ledger = patiently.ask(|| book::load(&mut store, &shard.name))?;
    Ok(ledger.map(|ledger| Book::with(&shard.name, Box::new(store), ledger, file, stand.as_ref())))
}

fn producer(
    config: &Config,
    shard: &ShardConfig,
    until: Option<Until>,
    stop: &Stop,
    live: &Live,
    book: Book,
) -> Producer {
    let bounded = until.is_some();
    let patience = Patience::new(shard, bounded, &live.seen_row);
    Producer {
        shard: shard.clone(),
        stop: stop.clone(),
        live: live.clone(),
        until,
        options: AssemblerOptions {
            filter: shard.filter.clone(),
            max_event_bytes: shard.max_event_bytes,
            ..assembler_options(&shard.transactions)
        },
        book,
        replica_uuid: replica_uuid(config, &shard.name),
        ids: shard.sources.iter().map(|source| ReplicaIds::new(source.slave_id)).collect(),
        current: 0,
        switches: Switches::new(shard),
        catch_up: CatchUp::new(shard, bounded),
        target: None,
        target_stays: false,
        patience,
        trouble: Arc::default(),
        old_point: None,
        introduced: false,
    }
}

/// Reads a file of definitions.
pub fn read_schema_file(path: &Path) -> Result<SchemaFile, Fault> {
    let fault = |problem: String| Fault::stop(Code::FileError, format!("{}: {problem}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    SchemaFile::parse(&text).map_err(fault)
}

/// The shard's own things on this machine, opened before any server is asked.
struct Opened {
    store: OpenStore,
    gaps: FileGapLog,
    history: FileHistory,
    sink: Box<dyn Sink>,
    encoder: Option<Box<dyn RowEncoder>>,
    standing: Standing,
}

impl Opened {
    /// None when a stop came first.
    fn open(
        config: &Config,
        shard: &ShardConfig,
        ports: &Ports,
        give_up: bool,
        term: &Term,
        live: &Live,
        stop: &Stop,
    ) -> Result<Option<Self>, Fault> {
        let OpenStore { store, lock } =
            open_store(config, shard, ports).map_err(|e| store_fault(&shard.name, &e))?;
        let store = Box::new(LedStore { store, term: term.clone(), status: live.status.clone() });
        let mut store = OpenStore { store, lock };
        let patiently = Patiently { shard: &shard.name, give_up, stop };
        let load = || first_load::load(&mut *store.store, config, &shard.name, ports);
        let Some(record) = patiently.ask(load)? else { return Ok(None) };
        let (mut old_point, mut former) = (None, None);
        if record.is_none() {
            old_point = store.store.load_old().map_err(|e| store_fault(&shard.name, &e))?;
            let (points, _) = FileHistory::read(&config.point_dir, &shard.name)
                .map_err(|e| store_fault(&shard.name, &e))?;
            former = points.into_iter().next_back().map(|kept| kept.record);
        }
        let mut sink = open_sink(config, shard, ports, stop)?;
        // What the shared store says of ended epochs comes before the question which pack the sink holds.
        let others_save = store.store.is_shared();
        let shared = others_save && may_keep_packs(shard, ports);
        let ended = record.as_ref().filter(|_| shared);
        let asked = ask_standing(&mut *sink, ended, &shard.name, give_up, term)?;
        let Some(pack) = asked else { return Ok(None) };
        let packs_cut_off = sink.packs_cut_off();
        Ok(Some(Self {
            store,
            gaps: FileGapLog::new(&config.point_dir, &shard.name),
            history: FileHistory::new(&config.point_dir, &shard.name, config.points.history_days),
            sink,
            encoder: ports.encoder.as_ref().map(|make| make(&shard.name)),
            standing: Standing {
                record,
                former,
                old_point,
                keeps_packs: keeps_packs(shard, ports, pack.as_ref()),
                pack,
                packs_cut_off,
                shared,
                others_save,
            },
        }))
    }

    /// Begins a new epoch: its number and the start point are saved before anything is delivered in it.
    fn start_epoch(
        mut self,
        shard: &ShardConfig,
        resume: Option<&Resume>,
        ready: &Ready,
        patiently: &Patiently<'_>,
    ) -> Result<Option<Started>, Fault> {
        let epoch = self.standing.last_epoch() + 1;
        let next_seq = self.standing.next_seq();
        let Resume { frontier, inside, .. } = &ready.dump.resume;
        let point = frontier.point(ready.session.identity(), inside.clone());
        if let Some(gap) = self.standing.gap(&shard.name, &point, now_ms()) {
            self.gaps.append(&gap).map_err(|e| store_fault(&shard.name, &e))?;
        }
        // Saved with the start point until the sink has the line: a crash before that tells it again.
        let mut moved = self.standing.jump(&point, now_ms());
        if let Some(jump) = ready.jump(shard, resume) {
            let gap = jump.record(&shard.name, &point);
            log::warn!(
                "{}: shard={} {}; from {}:{} on",
                Code::SourceSwitched,
                shard.name,
                gap.reason,
                point.file,
                point.pos
            );
            self.gaps.append(&gap).map_err(|e| store_fault(&shard.name, &e))?;
            moved = Some(jump.moved(moved));
        }
        let record = PointRecord {
            shard: shard.name.clone(),
            epoch,
            sequence: 0,
            next_seq,
            seq_reserved: self.standing.seq_reserved().max(next_seq + SEQ_RESERVE),
            saved_ms: now_ms(),
            point: Some(point),
            moved,
            last_pack: self.standing.last_pack(),
            taken_over: self.standing.taken_over(),
        };
        if patiently.ask(|| self.store.store.save(&record))?.is_none() {
            return Ok(None);
        }
        let begun = self.sink.begin_epoch(epoch);
        begun.map_err(|error| Fault::stop(error.code, format!("shard={} {}", shard.name, error.text)))?;
        let previous_crc32 = self.standing.previous_crc32();
        let follows = self.standing.follows();
        let Self { store, gaps, history, sink, encoder, .. } = self;
        Ok(Some(Started { store, gaps, history, sink, encoder, record, previous_crc32, follows }))
    }
}

/// An epoch that has begun.
struct Started {
    store: OpenStore,
    gaps: FileGapLog,
    history: FileHistory,
    sink: Box<dyn Sink>,
    encoder: Option<Box<dyn RowEncoder>>,
    record: PointRecord,
    previous_crc32: u32,
    follows: Option<Follows>,
}

impl Started {
    fn run(
        self,
        config: &Config,
        shard: &ShardConfig,
        mut producer: Producer,
        ready: Ready,
        term: &Term,
        stop: &Stop,
    ) -> Result<Ended, Fault> {
        let name = &shard.name;
        let internal =
            |error: std::io::Error| Fault::stop(Code::Internal, format!("shard={name} no thread: {error}"));
        let rhythm = save_rhythm(config);
        // Held until the last point is saved.
        let OpenStore { store, lock: _lock } = self.store;
        let history = Box::new(self.history);
        let saver = Saver::start(name, store, history, rhythm, self.record.clone()).map_err(internal)?;
        let mut builder = builder(shard, &ready, self.record.next_seq, self.encoder);
        if let Some(moved) = self.record.moved.as_ref().filter(|_| shard.transactions.dispatch_gap) {
            builder.tell_jump(moved.from.as_ref(), &moved.reason);
        }
        let behind = builder.has_finished_lines();
        let (messages, inbox) = bounded(0);
        let (spare_sender, spare) = bounded(1);
        let read_anew = Arc::new(AtomicBool::new(false));
        let packer = Packer {
            shard: name.clone(),
            messages: inbox,
            spare: spare_sender,
            builder,
            delivery: Delivery {
                shard: name.clone(),
                epoch: self.record.epoch,
                sequence: 0,
                previous_crc32: self.previous_crc32,
                follows: self.follows,
                last_pack: self.record.last_pack,
                taken_over: self.record.taken_over,
                identity: ready.session.identity(),
                sink: self.sink,
                saver,
                gaps: Box::new(self.gaps),
                term: term.clone(),
                stop: stop.clone(),
                status: producer.live.status.clone(),
                give_up: producer.until.is_some(),
                close_patience: config.stop_timeout / 2,
                offered: self.record.point,
                moved: self.record.moved,
            },
            rhythm: PackRhythm { timeout: shard.packs.timeout, eager: shard.packs.eager },
            last_send: Instant::now(),
            last_tick: Instant::now(),
            behind,
            void: false,
            read_anew: Arc::clone(&read_anew),
        };
        let thread = std::thread::Builder::new().name(format!("packer-{name}"));
        let bell = Bell(stop.clone());
        let packer = thread
            .spawn(move || {
                let _rings_at_the_end = bell;
                packer.run()
            })
            .map_err(internal)?;
        let channels = Channels { messages, spare, read_anew };
        let streamed = producer.run(ready, &channels);
        // Without its producer the packer delivers what it has and ends.
        drop(channels);
        let packed = packer.join().unwrap_or_else(|_panic| {
            Err(Fault::stop(Code::Internal, format!("shard={name} the packer thread panicked")))
        });
        match packed {
            // Nothing is lost by it: no point is ahead of what was delivered.
            Err(fault) if fault.code == Code::Stopped => {
                log::warn!("{fault}");
                Ok(Ended::Stopped)
            }
            other => other.and(streamed),
        }
    }
}

/// Tells the producer that the packer has ended, also by a panic.
struct Bell(Stop);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn store_fault(shard: &str, error: &StoreError) -> Fault {
    Fault::stop(error.code, format!("shard={shard} {error}"))
}
