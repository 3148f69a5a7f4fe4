//! Moving a shard's point by a person's word.
//!
//! The new point is proven as the next start would prove it: by the very plan of that start, on a source of the shard. It
//! is stored in a new epoch, so that it wins over the last pack of a sink that keeps packs; line numbers go on rising. The
//! jump is recorded before the point is moved, so a crash in between tells of a jump that was not made and never hides
//! one that was.

mod held;
mod prepared;

use crate::binlog::ExecutedGtids;
use crate::change::batch::Place;
use crate::code::Code;
use crate::config::Config;
use crate::config::PointStore;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::config::SourceOptions;
use crate::config::StartWithoutPoint;
use crate::mysql::event_at;
use crate::pack::builder::Frontier;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::Ports;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::replica::replica_uuid;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_config;
use crate::pipeline::session::source_fault;
use crate::pipeline::sinks::may_keep_packs;
use crate::pipeline::standing::Standing;
use crate::pipeline::start;
use crate::pipeline::start::Resume;
use crate::points::store;
use crate::points::store::MovableStore;
use crate::sink::file::FileSink;
use crate::stop::Stop;
use crate::sync_point::Moved;
use crate::sync_point::PointRecord;
use crate::sync_point::ServerIdentity;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPoint;
use crate::sync_point::epochs::LastPack;
use crate::sync_point::epochs::TakenOver;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapLog;
use crate::sync_point::gap::GapRecord;
use crate::sync_point::gap_log::FileGapLog;
use crate::sync_point::history::FileHistory;
use crate::sync_point::history::Kept;
use crate::sync_point::history::PointHistory;
use held::ask_consumer;
use held::behind_packs;
use held::open_sink;

/// Where a point is to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A place in the files of one server, at the border of a transaction.
    Place { file: String, pos: u64 },
    /// Behind these GTIDs.
    Gtids(ExecutedGtids),
    /// To a former point, by its number.
    History(u64),
    /// To the end or the beginning of what the server's binlog holds.
    Start(StartWithoutPoint),
    /// To where it is, less these: they count as not delivered. MySQL only.
    Without(crate::binlog::GtidSet),
    /// To what this node saved last, or delivered behind that, where ZooKeeper keeps the point, or kept it.
    Local,
    /// Where it is: only what is pending there is to be changed.
    Here,
}

/// What to do about XA transactions that are prepared and not decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreparedXa {
    /// Those that are undecided at the new place go along.
    Keep,
    /// None does.
    Drop,
}

/// Which sources prove the new point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prover {
    /// Each in turn; a place, which belongs to one server, is the main server's.
    Any,
    /// That one: 0 is the main server, K backup haK.
    Source(u32),
    /// None: the next start proves it.
    Nobody,
}

/// A move that has been thought through and not made yet. Holds the shard's locks.
pub struct Move {
    shard: String,
    store: Box<dyn MovableStore>,
    gaps: FileGapLog,
    history: FileHistory,
    /// Keeps the sink's folder to us.
    _sink: Option<FileSink>,
    standing: Standing,
    pub from: Option<SyncPoint>,
    pub to: SyncPoint,
    /// What a person should know before they agree.
    pub notes: Vec<String>,
    /// Prepared XA transactions that do not go along, each with the reason.
    left_xa: Vec<String>,
    /// GTIDs that count as delivered no more.
    dropped: Option<String>,
    /// Where the shared record is gone, this node's own, if the point is moved to where that stands: all that others have
    /// delivered behind it comes again.
    copy: Option<PointRecord>,
}

/// A point as it will be stored.
struct Proven {
    point: SyncPoint,
    notes: Vec<String>,
    left_xa: Vec<String>,
}

fn fault(shard: &str, error: &StoreError) -> Fault {
    Fault::stop(error.code, format!("shard={shard} {error}"))
}

impl Move {
    /// Takes the locks, finds out where the shard stands and where it would stand. Nothing is changed.
    pub fn prepare(
        config: &Config,
        shard: &ShardConfig,
        target: Target,
        prover: Prover,
        prepared: PreparedXa,
    ) -> Result<Self, Fault> {
        let name = &shard.name;
        let mut notes = Vec::new();
        let mut store = store::open(config, name).map_err(|error| match error.code {
            Code::Locked => Fault::stop(
                Code::Locked,
                format!("shard={name} the point is not moved while a process leads the shard: {error}"),
            ),
            _ => fault(name, &error),
        })?;
        let record = match store.load() {
            Ok(None) => {
                notes.extend(original_left(store.as_mut()));
                None
            }
            Ok(record) => record,
            Err(error) if matches!(error.code, Code::PointLost | Code::PointBroken) => {
                notes.push(format!("the stored point cannot be used ({})", error.code));
                None
            }
            Err(error) => return Err(fault(name, &error)),
        };
        let (points, _) = FileHistory::read(&config.point_dir, name).map_err(|error| fault(name, &error))?;
        let local = store::local_copy(config, name).unwrap_or_else(|error| {
            notes.push(format!("this node's own copy of the point cannot be used ({})", error.code));
            None
        });
        let former = points.last().map(|kept| kept.record.clone()).into_iter().chain(local.clone());
        let former = former.filter(|_| record.is_none()).max_by_key(|record| (record.epoch, record.sequence));
        let others_save = store.is_shared() || local.is_some();
        let (sink, mut pack, packs_cut_off) = open_sink(shard)?;
        let keeps_packs = sink.is_some();
        if let (SinkConfig::Exec(exec), None) = (&shard.sink, &record) {
            pack = ask_consumer(config, exec, name)?;
            notes.extend(pack.as_ref().map(|pack| {
                format!("its consumer was asked and holds pack {}/{}", pack.epoch, pack.sequence)
            }));
        }
        let local = local.map(|local| behind_packs(local, pack.as_ref()));
        let shared = store.is_shared() && may_keep_packs(shard, &Ports::default());
        let old_point = None;
        let standing =
            Standing { record, former, old_point, pack, keeps_packs, packs_cut_off, shared, others_save };
        let copy = local.clone().filter(|_| target == Target::Local && standing.lost_what_others_saved());
        let from = standing.last_point().cloned();
        let wanted = Wanted { config, shard, from: from.as_ref(), points: &points, local, prepared };
        let dropped = wanted.dropped(&target);
        let proven = wanted.point(target, prover)?;
        notes.extend(proven.notes);
        Ok(Self {
            shard: name.clone(),
            store,
            gaps: FileGapLog::new(&config.point_dir, name),
            history: FileHistory::new(&config.point_dir, name, config.points.history_days),
            _sink: sink,
            standing,
            from,
            to: proven.point,
            notes,
            left_xa: proven.left_xa,
            dropped,
            copy,
        })
    }

    /// A person's words, and by name what they gave up.
    fn reason(&self, words: &str) -> String {
        let mut reason = words.to_owned();
        if let Some(gtids) = &self.dropped {
            reason.push_str(&format!(" (GTIDs taken out of the point: {gtids})"));
        }
        if !self.left_xa.is_empty() {
            reason.push_str(&format!(" (prepared XA transactions left out: {})", self.left_xa.join("; ")));
        }
        reason
    }

    /// What counts of the past, as the next epoch is to say: of what others have delivered behind this node's copy nothing.
    fn past(&self, epoch: u64) -> (Option<LastPack>, TakenOver) {
        match &self.copy {
            None => (self.standing.last_pack(), self.standing.taken_over()),
            Some(copy) => {
                let ended = copy.taken_over.with(copy.epoch, copy.sequence);
                (copy.last_pack, ended.without(copy.epoch + 1, epoch.saturating_sub(1)))
            }
        }
    }

    /// Delivery ended where it did, however often the point has been moved since.
    fn told_of(&self, moved: Moved) -> Moved {
        match self.standing.untold() {
            None => moved,
            Some(untold) => Moved {
                from: untold.from.clone(),
                reason: format!("{}; {}", untold.reason, moved.reason),
                ..moved
            },
        }
    }

    /// Records the jump and moves the point. Answers with the record as stored.
    pub fn make(mut self, reason: &str) -> Result<PointRecord, Fault> {
        let at_ms = now_ms();
        let reason = self.reason(reason);
        let from = self.from.as_ref().map(GapEdge::of_point);
        let unknown = GapEdge { gtid: None, file: String::new(), pos: 0, row: 0 };
        let gap = GapRecord {
            shard: self.shard.clone(),
            at_ms,
            kind: GapKind::Jump,
            from: from.clone().unwrap_or(unknown),
            to: GapEdge::of_point(&self.to),
            tables: Vec::new(),
            reason: reason.clone(),
        };
        let next_seq = self.standing.next_seq();
        let epoch = self.standing.last_epoch() + 1;
        let (last_pack, taken_over) = self.past(epoch);
        let moved = self.told_of(Moved { at_ms, from, reason });
        let record = PointRecord {
            shard: self.shard.clone(),
            epoch,
            sequence: 0,
            next_seq,
            // Nothing is handed out before the next start, which reserves for itself.
            seq_reserved: self.standing.seq_reserved().max(next_seq),
            saved_ms: at_ms,
            point: Some(self.to),
            moved: Some(moved),
            last_pack,
            taken_over,
        };
        self.gaps.append(&gap).map_err(|error| fault(&self.shard, &error))?;
        self.store.replace(&record).map_err(|error| fault(&self.shard, &error))?;
        if let Err(error) = self.history.note(&record) {
            log::warn!(
                "shard={} {}: {error}; the point is moved, its history does not tell of it",
                self.shard,
                error.code
            );
        }
        Ok(record)
    }
}

/// The next start would have gone on with what the original Fountain left; a new point comes before it.
fn original_left(store: &mut dyn MovableStore) -> Option<String> {
    let left = match store.load_old() {
        Ok(found) => found?.origin,
        Err(error) => format!("point cannot be used ({}) and", error.code),
    };
    Some(format!("the original Fountain's {left} is not gone on with any more"))
}

/// What the new point is made of.
struct Wanted<'a> {
    config: &'a Config,
    shard: &'a ShardConfig,
    from: Option<&'a SyncPoint>,
    points: &'a [Kept],
    /// Where ZooKeeper keeps the point, or kept it: what this node saved last, or delivered behind that.
    local: Option<PointRecord>,
    prepared: PreparedXa,
}

impl Wanted<'_> {
    fn point(&self, target: Target, prover: Prover) -> Result<Proven, Fault> {
        if prover == Prover::Nobody {
            return self.unproven(&target);
        }
        let mut first = None;
        for source in self.provers(&target, prover)? {
            match self.prove(source, &target) {
                Ok(proven) => return Ok(proven),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        Err(first.unwrap_or_else(|| self.refused("it has no source")))
    }

    fn unproven(&self, target: &Target) -> Result<Proven, Fault> {
        let mut resume = self.resume(target, None)?;
        let mut notes = vec!["no server was asked: the next start proves the point".to_owned()];
        let mut left_xa = Vec::new();
        if let Some(moving) = self.xa_before(target, &resume.frontier) {
            let told;
            (told, left_xa) = moving.settle(&mut resume.frontier);
            notes.extend(told);
            if !resume.frontier.pending_xa.is_empty() {
                notes.push(
                    "which of them are decided in what is left out was not looked for: one that is stays pending until it is \
                     dropped (--drop-xa)"
                        .to_owned(),
                );
            }
        }
        Ok(Proven { point: resume.frontier.point(resume.identity, resume.inside), notes, left_xa })
    }

    fn proven_by(&self, point: &SyncPoint, source: &SourceOptions) -> Vec<String> {
        let mut notes = vec![format!("proven by {}", source.address())];
        if self.from.is_some_and(|from| from.server != point.server) {
            notes.push("that is another server than the one to which the point belonged".to_owned());
        }
        notes
    }

    fn refused(&self, text: &str) -> Fault {
        Fault::stop(Code::Usage, format!("shard={} {text}", self.shard.name))
    }

    fn provers(&self, target: &Target, prover: Prover) -> Result<Vec<&SourceOptions>, Fault> {
        let sources = &self.shard.sources;
        let wanted = match (prover, target) {
            (Prover::Source(backup), _) => backup,
            (_, Target::Place { .. } | Target::Start(_)) => 0,
            _ => return Ok(sources.iter().collect()),
        };
        let source = sources.iter().find(|source| source.backup == wanted);
        source.map(|source| vec![source]).ok_or_else(|| self.refused(&format!("it has no backup ha{wanted}")))
    }

    /// Asks one server what the next start would ask it.
    fn prove(&self, source: &SourceOptions, target: &Target) -> Result<Proven, Fault> {
        let name = &self.shard.name;
        let uuid = replica_uuid(self.config, name);
        let config = source_config(self.shard, source, ReplicaIds::new(source.slave_id).take(), &uuid)?;
        let mut session = Session::open(name, config, &Stop::new())?;
        let mut resume = self.plan(&mut session, target)?;
        let (mut told, mut left_xa) = (Vec::new(), Vec::new());
        if let Some(mut moving) = self.xa_before(target, &resume.frontier) {
            told = self.follow_xa(&mut session, target, &resume.frontier, &mut moving)?;
            let (notes, left) = moving.settle(&mut resume.frontier);
            told.extend(notes);
            left_xa = left;
            if !resume.frontier.pending_xa.is_empty() {
                resume = start::plan(self.shard, &mut session, Some(resume), None)?.resume;
            }
        }
        let point = resume.frontier.point(session.identity(), resume.inside);
        let mut notes = self.proven_by(&point, source);
        notes.extend(told);
        Ok(Proven { point, notes, left_xa })
    }

    fn plan(&self, session: &mut Session, target: &Target) -> Result<Resume, Fault> {
        let name = &self.shard.name;
        let planned = match target {
            Target::Start(start) => {
                let shard = ShardConfig { start_without_point: *start, ..self.shard.clone() };
                start::plan(&shard, session, None, None)?
            }
            Target::Place { file, pos } => {
                let resume = self.resume(target, Some(session.identity()))?;
                let planned = start::plan(self.shard, session, Some(resume), None)?;
                let objection = event_at::objection(&mut session.connection, &session.facts, file, *pos);
                if let Some(objection) = objection.map_err(|error| source_fault(name, &error))? {
                    let text = format!("shard={name} source={} {objection}", session.server);
                    return Err(Fault::refused(Code::BadEvent, text));
                }
                planned
            }
            Target::Here => {
                let mut resume = self.resume(target, None)?;
                // That they are purged there may be why they are dropped.
                if let Some(moving) = self.xa_before(target, &resume.frontier) {
                    let pending = resume.frontier.pending_xa.clone();
                    moving.settle(&mut resume.frontier);
                    let mut planned = start::plan(self.shard, session, Some(resume), None)?;
                    planned.resume.frontier.pending_xa = pending;
                    return Ok(planned.resume);
                }
                start::plan(self.shard, session, Some(resume), None)?
            }
            Target::Gtids(_) | Target::History(_) | Target::Without(_) | Target::Local => {
                let resume = self.resume(target, None)?;
                start::plan(self.shard, session, Some(resume), None)?
            }
        };
        Ok(planned.resume)
    }

    /// The place as it is meant, before a server has seen it. `asked`: the server that the place is of.
    fn resume(&self, target: &Target, asked: Option<ServerIdentity>) -> Result<Resume, Fault> {
        let own = || self.from.map(|from| from.server.clone());
        let nobodys = ServerIdentity { server_uuid: None, server_id: 0 };
        let (identity, frontier) = match target {
            Target::Place { file, pos } => {
                let known = |server: &ServerIdentity| *server != nobodys;
                let identity = asked.or_else(own).filter(known).ok_or_else(|| {
                    self.refused(
                        "a place belongs to a server, and no point tells which one: it must be asked (leave --no-server away)",
                    )
                })?;
                (identity, at(file, *pos, None))
            }
            Target::Gtids(gtids) => {
                let known = self.from.and_then(|from| from.executed.as_ref());
                if known.is_some_and(|known| std::mem::discriminant(known) != std::mem::discriminant(gtids)) {
                    return Err(self.refused(
                        "those GTIDs are of the other kind, MySQL's or MariaDB's, than the point's",
                    ));
                }
                (own().unwrap_or(nobodys), at("", 0, Some(gtids.clone())))
            }
            Target::Here => {
                let from = self.from.ok_or_else(|| self.refused("no point is stored"))?;
                if from.pending_xa.is_empty() {
                    return Err(self.refused("no prepared XA transaction is pending at its point"));
                }
                return Ok(Resume::from_point(from));
            }
            Target::Without(set) => (own().unwrap_or(nobodys), at("", 0, Some(self.without(set)?))),
            Target::Local => {
                let point = self.local.as_ref().and_then(|local| local.point.as_ref());
                let point = point.ok_or_else(|| {
                    self.refused(match self.config.points.store {
                        PointStore::File => "its point is kept in files: there is no local copy beside it",
                        PointStore::ZooKeeper => "this node has saved no point of it: there is no local copy",
                    })
                })?;
                return Ok(Resume::from_point(point));
            }
            Target::History(id) => {
                let kept = self.points.iter().find(|kept| kept.id == *id);
                let point = kept.and_then(|kept| kept.record.point.as_ref()).ok_or_else(|| {
                    self.refused(&format!(
                        "its history holds no point {id}; \"fountain points history\" lists them"
                    ))
                })?;
                // What was delivered of the transaction behind it comes again as a whole.
                (point.server.clone(), Frontier::of_point(point))
            }
            Target::Start(_) => {
                return Err(self.refused("only a server knows its beginning and its end: it must be asked"));
            }
        };
        Ok(Resume { identity, frontier, inside: None })
    }

    fn dropped(&self, target: &Target) -> Option<String> {
        let Target::Without(set) = target else { return None };
        let ours = self.from?.executed.as_ref()?.mysql()?;
        Some(ours.intersection(set).to_line())
    }

    fn without(&self, set: &crate::binlog::GtidSet) -> Result<ExecutedGtids, Fault> {
        let Some(ours) = self.from.and_then(|from| from.executed.as_ref()).and_then(ExecutedGtids::mysql)
        else {
            return Err(self.refused("--drop-gtids takes GTIDs out of a point of MySQL's GTIDs, and the point has none; on MariaDB give --gtids with \
                 the domains set back"));
        };
        if !ours.intersects(set) {
            return Err(self.refused("the point holds none of those GTIDs"));
        }
        Ok(ExecutedGtids::Mysql(ours.subtract(set)))
    }
}

/// A place of which nothing else is known; with GTIDs and without a file, behind them, wherever that is.
fn at(file: &str, pos: u64, executed: Option<ExecutedGtids>) -> Frontier {
    let set_ahead = executed.is_some();
    Frontier { executed, set_ahead, ..Frontier::at(Place { file: file.into(), pos }) }
}
