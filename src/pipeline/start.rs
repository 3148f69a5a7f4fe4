//! Where a dump begins: decided at every connect from what is known, and refused where it would lose or repeat rows.

mod ares;
mod old;

use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::binlog::GtidSet;
use crate::change::batch::Place;
use crate::code::Code;
use crate::config::DumpStrategy;
use crate::config::ShardConfig;
use crate::config::StartWithoutPoint;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_index::GtidSets;
use crate::mysql::binlog_index::binlog_files;
use crate::mysql::binlog_index::first_binlog_file;
use crate::mysql::binlog_index::gtid_sets;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::Flavor;
use crate::pack::builder::Frontier;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_fault;
use crate::sync_point::Inside;
use crate::sync_point::ServerIdentity;
use crate::sync_point::SyncPoint;
use crate::sync_point::old_files::FoundPoint;

/// Where reading goes on, and the server to which the place belongs.
#[derive(Debug, Clone)]
pub struct Resume {
    pub identity: ServerIdentity,
    pub frontier: Frontier,
    pub inside: Option<Inside>,
}

impl Resume {
    /// What a stored point says.
    pub fn from_point(point: &SyncPoint) -> Self {
        let (identity, inside) = (point.server.clone(), point.inside.clone());
        Self { identity, frontier: Frontier::of_point(point), inside }
    }

    /// Whether it is another place than that one, from which reading began.
    pub fn is_behind(&self, began: &Resume) -> bool {
        self.frontier.place != began.frontier.place || self.inside != began.inside
    }
}

/// A dump that may be asked for.
#[derive(Debug)]
pub struct Dump {
    pub request: DumpRequest,
    pub resume: Resume,
    /// How the beginning is told to people.
    pub described: String,
}

/// Decides where a dump begins. `resume` is none when nothing was ever delivered and no point is stored; then `old` counts,
/// a point that the original Fountain left.
pub fn plan(
    shard: &ShardConfig,
    session: &mut Session,
    resume: Option<Resume>,
    old: Option<&FoundPoint>,
) -> Result<Dump, Fault> {
    let mut planning = Planning { shard, session };
    match resume {
        Some(resume) if shard.dump_strategy == DumpStrategy::Ares => planning.resume_by_group(resume),
        Some(resume) if planning.goes_by_gtid(&resume)? => planning.resume_by_gtid(resume),
        Some(resume) => planning.resume_by_position(resume),
        None => match old {
            Some(old) => planning.first_by_old(old),
            None => planning.first(),
        },
    }
}

struct Planning<'a> {
    shard: &'a ShardConfig,
    session: &'a mut Session,
}

impl Planning<'_> {
    fn refused(&self, code: Code, text: &str) -> Fault {
        Fault::refused(code, format!("shard={} source={} {text}", self.shard.name, self.session.server))
    }

    fn source_fault(&self) -> impl Fn(SourceError) -> Fault + use<> {
        let shard = self.shard.name.clone();
        move |error| source_fault(&shard, &error)
    }

    fn server_has_gtids(&self) -> Result<bool, Fault> {
        let has = self.session.facts.has_mysql_gtids();
        match self.shard.dump_strategy {
            DumpStrategy::Auto => return Ok(has),
            DumpStrategy::Gtid if has => return Ok(true),
            DumpStrategy::Gtid => {}
            DumpStrategy::Position | DumpStrategy::Ares => return Ok(false),
        }
        Err(match self.session.facts.flavor() {
            Flavor::MariaDb => self.refused(
                Code::Unsupported,
                "binlog_dump_strategy=gtid: MariaDB is followed by position in this version; set auto or position",
            ),
            Flavor::MySql => self.refused(
                Code::Unsupported,
                "binlog_dump_strategy=gtid, but the server has not gtid_mode=ON; switch it on, or set auto or position",
            ),
        })
    }

    fn goes_by_gtid(&self, resume: &Resume) -> Result<bool, Fault> {
        if !self.server_has_gtids()? {
            return Ok(false);
        }
        match (&resume.frontier.executed, self.shard.dump_strategy) {
            (Some(_), _) => Ok(true),
            (None, DumpStrategy::Gtid) => Err(self.refused(
                Code::PointForeign,
                "binlog_dump_strategy=gtid, but the stored point is a file and position and knows no GTID set; go on with \
                 binlog_dump_strategy=auto",
            )),
            (None, _) => Ok(false),
        }
    }

    fn resume_by_gtid(&mut self, resume: Resume) -> Result<Dump, Fault> {
        let ours =
            resume.frontier.executed.as_ref().and_then(ExecutedGtids::mysql).cloned().unwrap_or_default();
        self.check_sets(&ours)?;
        let mut resume = resume;
        if !is_same_server(&resume.identity, &self.session.identity()) {
            // Another server's files say nothing about ours.
            resume.frontier.place = no_place_yet();
            resume.frontier.file_created = 0;
        }
        let described = format!("behind the GTID set {}", shown(&ours));
        Ok(Dump { request: DumpRequest::Gtid { set: ours.encode() }, resume, described })
    }

    fn gtid_sets(&mut self) -> Result<GtidSets, Fault> {
        let sets = gtid_sets(&mut self.session.connection).map_err(self.source_fault())?;
        sets.ok_or_else(|| self.refused(Code::Unsupported, "the server keeps no GTID sets"))
    }

    /// What the server has lost of what we need, and what it lacks of what we have, are refused by name: asked for the
    /// rest, it would send a stream with a hole.
    fn check_sets(&mut self, ours: &GtidSet) -> Result<(), Fault> {
        let sets = self.gtid_sets()?;
        let [executed, purged] = [&sets.executed, &sets.purged].map(|text| text.parse::<GtidSet>());
        let (Ok(executed), Ok(purged)) = (executed, purged) else {
            return Err(
                self.refused(Code::Protocol, "the server's gtid_executed or gtid_purged makes no sense")
            );
        };
        let lacking = ours.subtract(&executed);
        if !lacking.is_empty() {
            return Err(self.refused(
                Code::PointBeyondEnd,
                &format!(
                    "the point holds transactions that this server has never executed: {}; it lags behind, was restored, \
                     or its binlogs were reset",
                    shown(&lacking)
                ),
            ));
        }
        let lost = purged.subtract(ours);
        if !lost.is_empty() {
            return Err(self.refused(
                Code::Purged,
                &format!(
                    "the server has purged transactions that were not read yet: {}; copy the tables anew and start behind \
                     them, or connect to a server that still has them",
                    shown(&lost)
                ),
            ));
        }
        Ok(())
    }

    fn resume_by_position(&mut self, resume: Resume) -> Result<Dump, Fault> {
        let here = self.session.identity();
        let same = is_same_server(&resume.identity, &here);
        if !same {
            return Err(self.refused(
                Code::PointForeign,
                &format!(
                    "the point {}:{} belongs to another server: expected {}, got {}; a position means nothing there",
                    resume.frontier.place.file,
                    resume.frontier.place.pos,
                    identity_text(&resume.identity),
                    identity_text(&here)
                ),
            ));
        }
        let Place { file, pos } = &resume.frontier.place;
        if file.is_empty() {
            return Err(self.refused(
                Code::PointForeign,
                "the stored point is a GTID set without a file and position: nothing was read behind it yet; go on by GTID \
                 (binlog_dump_strategy=auto and gtid_mode=ON on the server)",
            ));
        }
        self.check_position(&resume.frontier.place)?;
        let described = format!("at {file}:{pos}");
        Ok(Dump { request: DumpRequest::Position { file: file.to_string(), pos: *pos }, resume, described })
    }

    fn check_position(&mut self, place: &Place) -> Result<(), Fault> {
        let wanted = BinlogPosition { file: place.file.to_string(), pos: place.pos };
        let fault = self.source_fault();
        let files = match binlog_files(&mut self.session.connection) {
            // Old servers tell them to SUPER alone. The dump's own error 1236 tells then what is missing.
            Err(error) if error.code() == Code::RightMissing => None,
            other => Some(other.map_err(&fault)?),
        };
        let end = BinlogEnd::ask(&mut self.session.connection, &self.session.facts).map_err(&fault)?;
        let last = BinlogPosition { file: end.file, pos: end.pos };
        if wanted > last {
            return Err(self.refused(
                Code::PointBeyondEnd,
                &format!(
                    "the point {wanted} lies behind the end of the server's binlog, which is {last}; the server was restored, \
                     or its binlogs were reset"
                ),
            ));
        }
        let Some(files) = files else { return Ok(()) };
        match files.iter().find(|entry| entry.name == wanted.file) {
            // 0: a file that the server cannot look at. The dump's error says more.
            Some(entry)
                if entry.size.is_some_and(|size| size > 0 && wanted.pos > size)
                    && entry.name != last.file =>
            {
                Err(self.refused(
                    Code::PointBeyondEnd,
                    &format!(
                        "the point {wanted} lies behind the end of that file; the server's binlogs were reset"
                    ),
                ))
            }
            Some(_) => Ok(()),
            None => {
                let oldest = files.first().map_or("none", |entry| entry.name.as_str());
                Err(self.refused(
                    Code::Purged,
                    &format!(
                        "the server no longer has the binlog of the point {wanted}, its oldest one is {oldest}; copy the \
                         tables anew and start behind them"
                    ),
                ))
            }
        }
    }

    /// No point is stored and never was.
    fn first(&mut self) -> Result<Dump, Fault> {
        if self.shard.dump_strategy == DumpStrategy::Ares {
            self.require_ares()?;
        }
        let by_gtid = self.server_has_gtids()?;
        match self.shard.start_without_point {
            StartWithoutPoint::Stop => Err(Fault::stop(
                Code::NoPoint,
                format!("shard={} no point is stored, and start_without_point=stop", self.shard.name),
            )),
            StartWithoutPoint::Auto => self.configured(by_gtid),
            StartWithoutPoint::End => self.at_end(by_gtid),
            StartWithoutPoint::Beginning => self.at_beginning(by_gtid),
        }
    }

    fn configured(&mut self, by_gtid: bool) -> Result<Dump, Fault> {
        let start = self.shard.start_point.clone();
        if let Some(id) = start.ares_group {
            return self.configured_group(id);
        }
        match (start.gtid_set, start.position) {
            (Some(text), _) if by_gtid => {
                let set = text.parse::<GtidSet>().map_err(|error| {
                    self.refused(Code::Config, &format!("mysql_binlogdump_gtidset={text}: {error}"))
                })?;
                self.check_sets(&set)?;
                self.by_gtid(set)
            }
            (_, Some((file, pos))) => self.by_position(&file, pos),
            (Some(_), None) => Err(self.refused(
                Code::Config,
                "mysql_binlogdump_gtidset is set, but this server is not followed by GTID; set mysql_binlogdump_filename and \
                 mysql_binlogdump_position",
            )),
            (None, None) => self.at_end(by_gtid),
        }
    }

    fn configured_group(&mut self, id: u64) -> Result<Dump, Fault> {
        match self.shard.dump_strategy {
            DumpStrategy::Ares => self.first_by_group(id),
            _ => Err(self.refused(
                Code::Config,
                &format!(
                    "the start point is group id {id} (mysql_binlogdump_gtid or syncPointArray), which only Baidu's MySQL has; \
                     set binlog_dump_strategy=ares, or take it out"
                ),
            )),
        }
    }

    fn at_end(&mut self, by_gtid: bool) -> Result<Dump, Fault> {
        let end =
            BinlogEnd::ask(&mut self.session.connection, &self.session.facts).map_err(self.source_fault())?;
        match by_gtid {
            true => match end.gtid_executed {
                Some(executed) => self.by_gtid_text(&executed),
                None => Err(self.refused(Code::Protocol, "the server does not tell its gtid_executed")),
            },
            false => {
                let mut dump = self.by_position(&end.file, end.pos)?;
                dump.resume.frontier.executed = end.group_id.filter(|id| *id > 0).map(ExecutedGtids::Group);
                Ok(dump)
            }
        }
    }

    fn at_beginning(&mut self, by_gtid: bool) -> Result<Dump, Fault> {
        if by_gtid {
            let purged = self.gtid_sets()?.purged;
            return self.by_gtid_text(&purged);
        }
        let fault = self.source_fault();
        const FIRST_EVENT: u64 = 4;
        match first_binlog_file(&mut self.session.connection).map_err(fault)? {
            Some(file) => self.by_position(&file, FIRST_EVENT),
            None => Err(self.refused(Code::BinlogOff, "the server has no binlog files")),
        }
    }

    fn by_gtid_text(&mut self, text: &str) -> Result<Dump, Fault> {
        match text.parse() {
            Ok(set) => self.by_gtid(set),
            Err(error) => {
                Err(self.refused(Code::Protocol, &format!("the server's GTID set makes no sense: {error}")))
            }
        }
    }

    fn by_gtid(&mut self, set: GtidSet) -> Result<Dump, Fault> {
        let frontier = Frontier {
            place: no_place_yet(),
            file_created: 0,
            executed: Some(ExecutedGtids::Mysql(set)),
            ts_ms: 0,
        };
        self.resume_by_gtid(Resume { identity: self.session.identity(), frontier, inside: None })
    }

    fn by_position(&mut self, file: &str, pos: u64) -> Result<Dump, Fault> {
        let frontier =
            Frontier { place: Place { file: file.into(), pos }, file_created: 0, executed: None, ts_ms: 0 };
        self.resume_by_position(Resume { identity: self.session.identity(), frontier, inside: None })
    }
}

/// A GTID set says nothing about files: the first event tells where its transactions lie on this server.
fn no_place_yet() -> Place {
    Place { file: "".into(), pos: 0 }
}

fn is_same_server(one: &ServerIdentity, other: &ServerIdentity) -> bool {
    match (&one.server_uuid, &other.server_uuid) {
        (Some(one), Some(other)) => one == other,
        _ => one.server_id == other.server_id,
    }
}

fn identity_text(identity: &ServerIdentity) -> String {
    match &identity.server_uuid {
        Some(uuid) => format!("server_uuid {uuid}"),
        None => format!("server_id {}", identity.server_id),
    }
}

/// A set as people want to see it: whole when it is short.
fn shown(set: &GtidSet) -> String {
    const LONGEST: usize = 400;
    let text = set.to_string();
    match text.char_indices().nth(LONGEST) {
        _ if text.is_empty() => "(empty)".to_owned(),
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text,
    }
}
