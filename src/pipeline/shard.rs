//! One shard from start to end: folders locked, point and sink compared, first connect, threads, orderly end.

use crate::change::assembler::AssemblerOptions;
use crate::code::Code;
use crate::config;
use crate::config::Config;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::config::TransactionConfig;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackRules;
use crate::pack::header::PackHeader;
use crate::pack::json::JsonOptions;
use crate::pack::lines::LineWriter;
use crate::pack::lines::LiveFields;
use crate::pipeline::delivery::Delivery;
use crate::pipeline::delivery::SEQ_RESERVE;
use crate::pipeline::delivery::SINK_RETRY_PAUSE;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::fault::Fault;
use crate::pipeline::packer::PackRhythm;
use crate::pipeline::packer::Packer;
use crate::pipeline::patience::Patience;
use crate::pipeline::producer::Channels;
use crate::pipeline::producer::Ended;
use crate::pipeline::producer::Producer;
use crate::pipeline::producer::Ready;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::replica::replica_uuid;
use crate::pipeline::saver::SaveRhythm;
use crate::pipeline::saver::Saver;
use crate::pipeline::start::Resume;
use crate::pipeline::until::Until;
use crate::schema::file::SchemaFile;
use crate::schema::filter::Filter;
use crate::sink::Sink;
use crate::sink::exec::ExecSink;
use crate::sink::file::FileSink;
use crate::sink::file::FileSinkConfig;
use crate::sink::null::NullSink;
use crate::sink::stdout::StdoutSink;
use crate::stop::Stop;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::file_store::FileStore;
use crate::sync_point::old_files::FoundPoint;
use crossbeam_channel::bounded;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// How a run of one shard ended without a fault.
pub use crate::pipeline::producer::Ended as ShardEnded;

/// Runs one shard until a stop, `--until`, or a fault.
pub fn run(config: &Config, shard: &ShardConfig, until: Option<Until>, stop: &Stop) -> Result<Ended, Fault> {
    // What ends this shard's packer ends its producer, whatever that waits for; the other shards go on.
    let stop = &stop.child();
    let Some(opened) = Opened::open(config, shard, until.is_some(), stop)? else { return Ok(Ended::Stopped) };
    let mut producer = producer(config, shard, until, stop)?;
    let resume = opened.standing.resume(&shard.name)?;
    if keeps_packs(&shard.sink) {
        opened.standing.tell_of_missing_packs(&shard.name);
    }
    if resume.is_none() {
        producer.old_point = opened.standing.old_point.clone();
    }
    let Some(ready) = producer.connect(resume.as_ref())? else { return Ok(Ended::Stopped) };
    let started = opened.start_epoch(shard, &ready)?;
    started.run(config, shard, producer, ready, stop)
}

fn producer(
    config: &Config,
    shard: &ShardConfig,
    until: Option<Until>,
    stop: &Stop,
) -> Result<Producer, Fault> {
    let schema_file = match &shard.schema_file {
        Some(path) => Some(read_schema_file(path)?),
        None => None,
    };
    let patience = Patience::new(shard, until.is_some());
    Ok(Producer {
        shard: shard.clone(),
        stop: stop.clone(),
        until,
        options: AssemblerOptions {
            filter: shard.filter.clone(),
            max_event_bytes: shard.max_event_bytes,
            ..assembler_options(&shard.transactions)
        },
        schema_file,
        replica_uuid: replica_uuid(&config.point_dir, &shard.name),
        ids: shard.sources.iter().map(|source| ReplicaIds::new(source.slave_id)).collect(),
        current: 0,
        target: None,
        patience,
        old_point: None,
        introduced: false,
    })
}

/// How statements are taken, as configured; the filter and the size of events are the caller's.
pub fn assembler_options(transactions: &TransactionConfig) -> AssemblerOptions {
    use crate::change::assembler::DispatchDdl;
    use crate::change::assembler::StatementDml;
    AssemblerOptions {
        filter: Filter::default(),
        dispatch_ddl: match transactions.dispatch_ddl {
            config::DispatchDdl::Table => DispatchDdl::Table,
            config::DispatchDdl::None => DispatchDdl::None,
            config::DispatchDdl::All => DispatchDdl::All,
        },
        statement_dml: match transactions.statement_dml {
            config::StatementDml::Stop => StatementDml::Stop,
            config::StatementDml::Deliver => StatementDml::Deliver,
        },
        max_event_bytes: 0,
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
    store: FileStore,
    sink: Box<dyn Sink>,
    standing: Standing,
}

/// What store and sink say about where the shard stands.
struct Standing {
    record: Option<PointRecord>,
    /// What the original Fountain left; looked for when there is no record.
    old_point: Option<FoundPoint>,
    pack: Option<PackHeader>,
    /// Whole packs that the sink had to cut off.
    packs_cut_off: u64,
}

impl Opened {
    /// None when a stop came first.
    fn open(config: &Config, shard: &ShardConfig, give_up: bool, stop: &Stop) -> Result<Option<Self>, Fault> {
        let mut store =
            FileStore::open(&config.point_dir, &shard.name).map_err(|e| store_fault(&shard.name, &e))?;
        let record = store.load().map_err(|e| store_fault(&shard.name, &e))?;
        let old_point = match &record {
            Some(_) => None,
            None => store.load_old().map_err(|e| store_fault(&shard.name, &e))?,
        };
        let mut sink = open_sink(config, shard, stop)?;
        let Some(pack) = standing(&mut *sink, &shard.name, give_up, stop)? else { return Ok(None) };
        let packs_cut_off = sink.packs_cut_off();
        Ok(Some(Self { store, sink, standing: Standing { record, old_point, pack, packs_cut_off } }))
    }

    /// Begins a new epoch: its number and the start point are saved before anything is delivered in it.
    fn start_epoch(mut self, shard: &ShardConfig, ready: &Ready) -> Result<Started, Fault> {
        let epoch = self.standing.last_epoch() + 1;
        let next_seq = self.standing.next_seq();
        let Resume { frontier, inside, .. } = &ready.dump.resume;
        let point = frontier.point(ready.session.identity(), inside.clone());
        let record = PointRecord {
            shard: shard.name.clone(),
            epoch,
            sequence: 0,
            next_seq,
            seq_reserved: self.standing.seq_reserved().max(next_seq + SEQ_RESERVE),
            saved_ms: now_ms(),
            point: Some(point),
        };
        self.store.save(&record).map_err(|e| store_fault(&shard.name, &e))?;
        let begun = self.sink.begin_epoch(epoch);
        begun.map_err(|error| Fault::stop(error.code, format!("shard={} {}", shard.name, error.text)))?;
        let previous_crc32 = self.standing.pack.as_ref().map_or(0, |pack| pack.crc32);
        Ok(Started { store: self.store, sink: self.sink, record, previous_crc32 })
    }
}

/// What the sink says about where it stands; one that cannot tell now is asked again. None when a stop came first.
fn standing(
    sink: &mut dyn Sink,
    shard: &str,
    give_up: bool,
    stop: &Stop,
) -> Result<Option<Option<PackHeader>>, Fault> {
    let mut waiting = false;
    loop {
        let error = match sink.standing() {
            Ok(pack) => return Ok(Some(pack)),
            Err(_) if stop.requested() => return Ok(None),
            Err(error) => error,
        };
        let fault = Fault::stop(error.code, format!("shard={shard} {}", error.text));
        if give_up || !error.is_retryable() {
            return Err(fault);
        }
        if !waiting {
            log::error!("{fault}; waiting_for_sink, trying again every second");
        }
        waiting = true;
        if stop.wait(SINK_RETRY_PAUSE) {
            return Ok(None);
        }
    }
}

/// Sinks that can say which pack they hold.
fn keeps_packs(sink: &SinkConfig) -> bool {
    match sink {
        SinkConfig::File(_) => true,
        SinkConfig::Exec(exec) => exec.resume == config::ExecResume::Consumer,
        SinkConfig::Stdout | SinkConfig::Null => false,
    }
}

impl Standing {
    /// The place to read on from: the sink's last whole pack wins over an older stored point.
    fn resume(&self, shard: &str) -> Result<Option<Resume>, Fault> {
        let stored = self.record.as_ref().and_then(|record| record.point.as_ref());
        let point = match &self.pack {
            Some(pack) if self.pack_is_newer(pack) => Some(&pack.point),
            None if self.packs_cut_off > 0
                && self.record.as_ref().is_some_and(|record| record.sequence > 0) =>
            {
                return Err(Fault::stop(
                    Code::SinkBroken,
                    format!(
                        "shard={shard} the disk lost all packs of this epoch, which it had acknowledged, and nothing tells where \
                         they began; restore the sink's folder, or remove its files and the stored point to start anew"
                    ),
                ));
            }
            _ => stored,
        };
        Ok(point.map(Resume::from_point))
    }

    /// Acknowledged packs that the sink then had to cut off count as never delivered: the pack before them decides.
    fn pack_is_newer(&self, pack: &PackHeader) -> bool {
        self.record.as_ref().is_none_or(|record| {
            let lost = self.packs_cut_off > 0 && pack.epoch == record.epoch;
            lost || (pack.epoch, pack.sequence) > (record.epoch, record.sequence)
        })
    }

    /// Line numbers up to here may have been handed out.
    fn seq_reserved(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.seq_reserved)
    }

    /// A sink that keeps packs should hold the one that the stored point followed.
    fn tell_of_missing_packs(&self, shard: &str) {
        let held = self.pack.as_ref().map_or((0, 0), |pack| (pack.epoch, pack.sequence));
        let Some(record) = self.record.as_ref().filter(|r| r.sequence > 0 && held < (r.epoch, r.sequence))
        else {
            return;
        };
        let missing =
            format!("pack {}/{}, behind which the stored point stands", record.epoch, record.sequence);
        match self.packs_cut_off {
            0 => log::warn!(
                "shard={shard} the sink's folder holds nothing of {missing}: files were taken away, or it is another folder; \
                 going on at the stored point"
            ),
            lost => log::error!(
                "{} shard={shard} {lost} packs were lost that the disk had acknowledged, {missing}, among them; going on behind \
                 the last whole pack, so their rows are delivered again",
                Code::SinkBroken
            ),
        }
    }

    fn last_epoch(&self) -> u64 {
        let stored = self.record.as_ref().map_or(0, |record| record.epoch);
        stored.max(self.pack.as_ref().map_or(0, |pack| pack.epoch))
    }

    /// A sink whose exact place is known goes on without a jump; else numbering goes on behind what was reserved.
    fn next_seq(&self) -> u64 {
        const FIRST: u64 = 1;
        match (&self.record, &self.pack) {
            (_, Some(pack)) if self.pack_is_newer(pack) => pack.next_seq,
            (Some(record), Some(pack)) if pack.next_seq == record.next_seq => pack.next_seq,
            (Some(record), None) if record.next_seq == FIRST => FIRST,
            (Some(record), _) => record.seq_reserved,
            (None, _) => FIRST,
        }
    }
}

/// An epoch that has begun.
struct Started {
    store: FileStore,
    sink: Box<dyn Sink>,
    record: PointRecord,
    previous_crc32: u32,
}

impl Started {
    fn run(
        self,
        config: &Config,
        shard: &ShardConfig,
        mut producer: Producer,
        ready: Ready,
        stop: &Stop,
    ) -> Result<Ended, Fault> {
        let name = &shard.name;
        let internal =
            |error: std::io::Error| Fault::stop(Code::Internal, format!("shard={name} no thread: {error}"));
        let rhythm = save_rhythm(config);
        let saver =
            Saver::start(name, Box::new(self.store), rhythm, self.record.seq_reserved).map_err(internal)?;
        let (messages, inbox) = bounded(0);
        let (spare_sender, spare) = bounded(1);
        let read_anew = Arc::new(AtomicBool::new(false));
        let packer = Packer {
            shard: name.clone(),
            messages: inbox,
            spare: spare_sender,
            builder: builder(shard, &ready, self.record.next_seq),
            delivery: Delivery {
                shard: name.clone(),
                epoch: self.record.epoch,
                sequence: 0,
                previous_crc32: self.previous_crc32,
                identity: ready.session.identity(),
                sink: self.sink,
                saver,
                stop: stop.clone(),
                give_up: producer.until.is_some(),
                offered: self.record.point,
            },
            rhythm: PackRhythm { timeout: shard.packs.timeout, eager: shard.packs.eager },
            last_send: Instant::now(),
            last_tick: Instant::now(),
            behind: false,
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

fn builder(shard: &ShardConfig, ready: &Ready, next_seq: u64) -> PackBuilder {
    let live = LiveFields { shard: shard.name.clone(), server: ready.session.server.clone() };
    let rules = PackRules {
        max_bytes: usize::try_from(shard.packs.max_bytes).unwrap_or(usize::MAX),
        max_lines: shard.packs.max_rows.unwrap_or(u64::MAX).min(shard.memq_limit),
        transaction_lines: shard.transactions.dispatch_transaction,
        gap_lines: shard.transactions.dispatch_gap,
    };
    let resume = &ready.dump.resume;
    let json = JsonOptions { bigint_as_string: shard.json_bigint == config::JsonBigint::String };
    let lines = LineWriter::new(json, Some(live));
    PackBuilder::new(lines, rules, resume.frontier.clone(), resume.inside.clone(), Some(next_seq))
}

fn save_rhythm(config: &Config) -> SaveRhythm {
    match config.points.saver {
        config::PointSaver::Sync => SaveRhythm::Sync,
        config::PointSaver::Async => SaveRhythm::Async {
            initial_delay: config.points.async_initial_delay,
            period: config.points.async_period,
        },
    }
}

fn open_sink(config: &Config, shard: &ShardConfig, stop: &Stop) -> Result<Box<dyn Sink>, Fault> {
    match &shard.sink {
        SinkConfig::Stdout => {
            let sink = StdoutSink::new(&shard.name);
            Ok(Box::new(sink.map_err(|e| Fault::stop(e.code, format!("shard={} {}", shard.name, e.text)))?))
        }
        SinkConfig::Null => Ok(Box::new(NullSink::default())),
        SinkConfig::File(file) => {
            let sink = FileSink::open(file_sink_config(file), &shard.name);
            let sink = sink.map_err(|e| Fault::stop(e.code, format!("shard={} {}", shard.name, e.text)))?;
            Ok(Box::new(sink))
        }
        SinkConfig::Exec(exec) => {
            let stop_timeout = config.stop_timeout;
            Ok(Box::new(ExecSink::new(exec.clone(), &shard.name, stop.clone(), stop_timeout)))
        }
    }
}

fn file_sink_config(file: &config::FileSinkConfig) -> FileSinkConfig {
    FileSinkConfig {
        dir: file.dir.clone(),
        rotate_bytes: file.rotate_bytes,
        rotate_seconds: file.rotate_after.as_secs(),
        keep_bytes: file.keep_bytes,
        keep_seconds: file.keep_for.map(|time| time.as_secs()),
        min_free_bytes: file.min_free_bytes,
    }
}

fn store_fault(shard: &str, error: &StoreError) -> Fault {
    Fault::stop(error.code, format!("shard={shard} {error}"))
}
