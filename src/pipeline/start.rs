//! Where a dump begins: decided at every connect from what is known, and refused where it would lose or repeat rows.
//!
//! What a server must have for a dump by GTID is decided beside this file, for each kind of GTID by itself.

mod ares;
mod beside;
pub mod fit;
mod lag;
mod mariadb;
mod mysql;
mod old;
mod own_log;
mod pending;
mod position_by_time;
pub mod position_failover;

use crate::binlog::ExecutedGtids;
use crate::change::batch::Place;
use crate::code::Code;
use crate::config::DumpStrategy;
use crate::config::ShardConfig;
use crate::config::StartWithoutPoint;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_index::first_binlog_file;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::Flavor;
use crate::pack::builder::Frontier;
use crate::pack::builder::StreamKind;
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
        let stand = |resume: &Resume| {
            let Frontier { place, executed, pending_xa, .. } = &resume.frontier;
            (place.clone(), executed.clone(), pending_xa.clone(), resume.inside.clone())
        };
        stand(self) != stand(began)
    }
}

/// A dump that may be asked for.
#[derive(Debug)]
pub struct Dump {
    pub request: DumpRequest,
    pub resume: Resume,
    pub stream: StreamKind,
    /// How the beginning is told to people.
    pub described: String,
}

/// How a server is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Position,
    MysqlGtid,
    MariadbGtid,
    /// Baidu's group ids.
    Group,
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
        Some(resume) => match planning.way_on(&resume)? {
            Way::Position => planning.resume_by_position(resume),
            Way::MysqlGtid => planning.resume_by_mysql_gtid(resume),
            Way::MariadbGtid => planning.resume_by_mariadb_gtid(resume),
            Way::Group => planning.resume_by_group(resume),
        },
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

    /// How configuration and server want it.
    fn way(&self) -> Result<Way, Fault> {
        let facts = &self.session.facts;
        match self.shard.dump_strategy {
            DumpStrategy::Position => Ok(Way::Position),
            DumpStrategy::Ares => self.require_ares().map(|()| Way::Group),
            _ if facts.has_mysql_gtids() => Ok(Way::MysqlGtid),
            _ if facts.has_mariadb_gtids() => Ok(Way::MariadbGtid),
            DumpStrategy::Gtid => Err(self.refused(
                Code::Unsupported,
                "binlog_dump_strategy=gtid, but the server has not gtid_mode=ON (and MariaDB before 10.0 knows no GTIDs); \
                 switch it on, or set auto or position",
            )),
            DumpStrategy::Auto => Ok(Way::Position),
        }
    }

    /// The same, as far as the point allows it.
    fn way_on(&self, resume: &Resume) -> Result<Way, Fault> {
        let way = self.way()?;
        match (way, &resume.frontier.executed) {
            (Way::Position | Way::Group, _)
            | (Way::MysqlGtid, Some(ExecutedGtids::Mysql(_)))
            | (Way::MariadbGtid, Some(ExecutedGtids::Mariadb(_))) => Ok(way),
            (_, Some(gtids)) => Err(self.refused(
                Code::PointForeign,
                &format!(
                    "the point holds GTIDs of the other kind, {}, than {} has: it belongs to another server; copy the tables \
                     anew and start behind them",
                    shown(gtids),
                    self.session.facts.flavor()
                ),
            )),
            (_, None) if self.shard.dump_strategy == DumpStrategy::Gtid => Err(self.refused(
                Code::PointForeign,
                "binlog_dump_strategy=gtid, but the stored point is a file and position and knows no GTID set; go on with \
                 binlog_dump_strategy=auto, which changes to GTIDs as soon as it knows them",
            )),
            (_, None) => Ok(Way::Position),
        }
    }

    fn is_same_server(&self, resume: &Resume) -> bool {
        is_same_server(self.session.facts.flavor(), &resume.identity, &self.session.identity())
    }

    fn resume_by_position(&mut self, mut resume: Resume) -> Result<Dump, Fault> {
        if !self.is_same_server(&resume) {
            resume = self.by_time(resume)?;
        }
        let Place { file, pos } = resume.frontier.place.clone();
        if file.is_empty() || resume.frontier.set_ahead {
            return Err(self.refused(
                Code::PointForeign,
                "the stored point is a GTID set, and it is not certain where all of it lies before one place of this server's \
                 files: a position would lose or repeat rows; go on by GTID (binlog_dump_strategy=auto, and on MySQL \
                 gtid_mode=ON)",
            ));
        }
        self.check_position(&resume.frontier.place)?;
        let (begins, _) = resume.begins();
        if begins != resume.frontier.place {
            self.check_position(&begins).map_err(|fault| self.for_pending_xa(fault, &resume))?;
        }
        if self.session.facts.has_mariadb_gtids() {
            self.compare_mariadb_gtids(&mut resume)?;
        }
        let purged = match self.session.facts.has_mysql_gtids() {
            true => Some(self.mysql_gtids()?.purged),
            false => None,
        };
        let stream = StreamKind { by_gtid: false, in_order: false, purged };
        let described = match begins == resume.frontier.place {
            true => format!("at {file}:{pos}"),
            false => format!(
                "at {file}:{pos}, and from {}:{} on the prepared XA transactions before it",
                begins.file, begins.pos
            ),
        };
        let request = DumpRequest::Position { file: begins.file.to_string(), pos: begins.pos };
        Ok(Dump { request, resume, stream, described })
    }

    /// No point is stored and never was.
    fn first(&mut self) -> Result<Dump, Fault> {
        let way = self.way()?;
        match self.shard.start_without_point {
            StartWithoutPoint::Stop => Err(Fault::stop(
                Code::NoPoint,
                format!("shard={} no point is stored, and start_without_point=stop", self.shard.name),
            )),
            StartWithoutPoint::Auto => self.configured(way),
            StartWithoutPoint::End => self.at_end(way),
            StartWithoutPoint::Beginning => self.at_beginning(way),
        }
    }

    fn configured(&mut self, way: Way) -> Result<Dump, Fault> {
        let start = self.shard.start_point.clone();
        if let Some(id) = start.ares_group {
            return self.configured_group(id);
        }
        match (start.gtid_set, start.position, way) {
            (Some(text), _, Way::MysqlGtid) => {
                let set = text.parse().map_err(|error| self.bad_set(&text, "MySQL", &error))?;
                self.begin_by_gtid(ExecutedGtids::Mysql(set), InOrder::No)
            }
            (Some(text), _, Way::MariadbGtid) => {
                let position = text.parse().map_err(|error| self.bad_set(&text, "MariaDB", &error))?;
                self.begin_by_gtid(ExecutedGtids::Mariadb(position), InOrder::No)
            }
            (_, Some((file, pos)), _) => self.begin_by_position(&file, pos),
            (Some(_), None, Way::Position | Way::Group) => Err(self.refused(
                Code::Config,
                "mysql_binlogdump_gtidset is set, but this server is not followed by GTID; set mysql_binlogdump_filename and \
                 mysql_binlogdump_position",
            )),
            (None, None, _) => self.at_end(way),
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

    fn bad_set(&self, text: &str, flavor: &str, error: &dyn std::fmt::Display) -> Fault {
        self.refused(Code::Config, &format!("mysql_binlogdump_gtidset={text}: this is {flavor}: {error}"))
    }

    fn at_end(&mut self, way: Way) -> Result<Dump, Fault> {
        let end =
            BinlogEnd::ask(&mut self.session.connection, &self.session.facts).map_err(self.source_fault())?;
        self.warn_of_prepared_xa();
        let gtids = match way {
            Way::Position | Way::Group => {
                let mut dump = self.begin_by_position(&end.file, end.pos)?;
                if let Some(id) = end.group_id.filter(|id| *id > 0) {
                    dump.resume.frontier.executed = Some(ExecutedGtids::Group(id));
                }
                return Ok(dump);
            }
            Way::MysqlGtid => end.mysql_gtids(),
            Way::MariadbGtid => end.mariadb_gtids(),
        };
        match gtids {
            Some(Ok(gtids)) => self.begin_by_gtid(gtids, InOrder::Yes),
            Some(Err(error)) => {
                Err(self.refused(Code::Protocol, &format!("the server's GTIDs make no sense: {error}")))
            }
            None => Err(self.refused(Code::Protocol, "the server does not tell its GTIDs")),
        }
    }

    fn at_beginning(&mut self, way: Way) -> Result<Dump, Fault> {
        match way {
            Way::MysqlGtid => {
                let purged = self.mysql_gtids()?.purged;
                self.begin_by_gtid(ExecutedGtids::Mysql(purged), InOrder::Yes)
            }
            Way::MariadbGtid => {
                // For the sake of its refusal: a dump that begins elsewhere can do without an answer.
                first_binlog_file(&mut self.session.connection).map_err(self.source_fault())?;
                let purged = self.mariadb_gtids()?.purged.ok_or_else(|| {
                    self.refused(
                        Code::Protocol,
                        "the server does not tell with which GTIDs its oldest binlog begins",
                    )
                })?;
                self.begin_by_gtid(ExecutedGtids::Mariadb(purged.position()), InOrder::Yes)
            }
            Way::Position | Way::Group => {
                const FIRST_EVENT: u64 = 4;
                match first_binlog_file(&mut self.session.connection).map_err(self.source_fault())? {
                    Some(file) => self.begin_by_position(&file, FIRST_EVENT),
                    None => Err(self.refused(Code::BinlogOff, "the server has no binlog files")),
                }
            }
        }
    }

    fn begin_by_gtid(&mut self, gtids: ExecutedGtids, in_order: InOrder) -> Result<Dump, Fault> {
        let is_mysql = gtids.mysql().is_some();
        let frontier = Frontier { executed: Some(gtids), set_ahead: true, ..Frontier::at(no_place_yet()) };
        let resume = Resume { identity: self.session.identity(), frontier, inside: None };
        let mut dump = match is_mysql {
            true => self.resume_by_mysql_gtid(resume)?,
            false => self.resume_by_mariadb_gtid(resume)?,
        };
        dump.stream.in_order = in_order == InOrder::Yes;
        Ok(dump)
    }

    fn begin_by_position(&mut self, file: &str, pos: u64) -> Result<Dump, Fault> {
        let place = Place { file: file.into(), pos };
        let frontier = Frontier::at(place);
        self.resume_by_position(Resume { identity: self.session.identity(), frontier, inside: None })
    }
}

/// Whether a set was read out of the server's own log, so that all of it lies before what the server sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InOrder {
    Yes,
    No,
}

/// A GTID set says nothing about files: the first event tells where its transactions lie on this server.
fn no_place_yet() -> Place {
    Place { file: "".into(), pos: 0 }
}

/// MariaDB makes its `server_uid` of port and network card (`calculate_server_uid` in `plugin/feedback`): containers on
/// different machines may have the same. Servers of one topology never have the same `server_id`.
pub fn is_same_server(flavor: Flavor, one: &ServerIdentity, other: &ServerIdentity) -> bool {
    let same_id = one.server_id == other.server_id;
    match (&one.server_uuid, &other.server_uuid) {
        (Some(one), Some(other)) => one == other && (same_id || flavor == Flavor::MySql),
        _ => same_id,
    }
}

pub fn identity_text(identity: &ServerIdentity) -> String {
    match &identity.server_uuid {
        Some(uuid) => format!("server_uuid {uuid}, server_id {}", identity.server_id),
        None => format!("server_id {}", identity.server_id),
    }
}

/// GTIDs as people want to see them: whole when they are short.
fn shown(gtids: &dyn std::fmt::Display) -> String {
    const LONGEST: usize = 400;
    let text = gtids.to_string();
    match text.char_indices().nth(LONGEST) {
        _ if text.is_empty() => "(empty)".to_owned(),
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text,
    }
}
