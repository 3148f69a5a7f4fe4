//! One shard: its sink, and each of its sources in turn, whatever becomes of the others.

use crate::code::Code;
use crate::config::Config;
use crate::config::PointStore;
use crate::config::ShardConfig;
use crate::config::SlaveId;
use crate::config::SourceOptions;
use crate::doctor::ask;
use crate::doctor::ask_tables;
use crate::doctor::facts::SourceFacts;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;
use crate::doctor::kept;
use crate::doctor::machine;
use crate::doctor::report::Place;
use crate::doctor::report::Report;
use crate::doctor::rules;
use crate::doctor::rules::duration;
use crate::doctor::rules::replicas::OurSelf;
use crate::doctor::rules::tables::Sight;
use crate::doctor::settings;
use crate::mysql::config::SourceConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::ServerFacts;
use crate::pipeline::delivery::now_ms;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::peek_old;
use crate::pipeline::ports::peek_point;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::replica::replica_uuid;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_config;
use crate::pipeline::start;
use crate::pipeline::start::Resume;
use crate::stop::Stop;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPoint;
use crate::sync_point::old_files::FoundPoint;
use std::io::Write;
use std::time::Duration;

/// For each question: a server that needs longer than this for its catalog is in trouble, or its catalog is huge.
const QUESTION: Duration = Duration::from_secs(20);
const MS_PER_DAY: u64 = 86_400_000;

pub fn examine<W: Write>(config: &Config, shard: &ShardConfig, report: &mut Report<W>, stop: &Stop) {
    let place = Place { shard: Some(&shard.name), source: None };
    report.tell(place, settings::shard(shard));
    report.tell(place, machine::sink(shard));
    let stored = match Stored::read(config, shard) {
        Ok(stored) => Some(stored),
        Err(error) => {
            let code = error.code.as_str();
            report.tell(place, [Finding { level: Level::Error, code, text: error.text, cure: None }]);
            None
        }
    };
    report.tell(place, kept::examine(config, &shard.name));
    let examination = Examination { shard, uuid: replica_uuid(config, &shard.name), stored, stop };
    let mut main = None;
    for source in &shard.sources {
        let address = source.address();
        let place = Place { shard: Some(&shard.name), source: Some(&address) };
        let mut tell = |finding: Finding| report.tell(place, [finding]);
        let examined = examination.source(source, main.as_mut(), &mut tell);
        if let Some(examined) = examined.filter(|_| source.backup == 0) {
            main = Some(examined);
        }
    }
}

/// Where the shard stands, according to this node.
#[derive(Default)]
struct Stored {
    point: Option<SyncPoint>,
    /// What the original Fountain left; looked for when there is no point.
    old: Option<FoundPoint>,
}

impl Stored {
    /// Read without a lock, so that a run may go on meanwhile.
    fn read(config: &Config, shard: &ShardConfig) -> Result<Self, StoreError> {
        let in_files = config.points.store == PointStore::File;
        // A folder that will be made holds no point.
        if in_files && config.point_dir.try_exists().is_ok_and(|exists| !exists) {
            return Ok(Self::default());
        }
        match peek_point(config, &shard.name)? {
            Some(record) => Ok(Self { point: record.point, old: None }),
            None => Ok(Self { point: None, old: peek_old(config, &shard.name)? }),
        }
    }

    fn beginning(&self, described: &str) -> String {
        match &self.point {
            None if self.old.is_some() => {
                format!("the original Fountain's: a run would begin {described}")
            }
            None => format!("none is stored: a run would begin {described}"),
            Some(point) if point.ts_ms == 0 => format!("a run would go on {described}"),
            Some(point) => {
                let age = duration(now_ms().saturating_sub(point.ts_ms) / 1000);
                format!("a run would go on {described}; the last transaction before it is {age} old")
            }
        }
    }
}

/// A source that has answered, with the connection that it did so on.
struct Examined {
    facts: SourceFacts,
    connection: Connection,
}

struct Examination<'a> {
    shard: &'a ShardConfig,
    uuid: String,
    /// None where it cannot be told, which has been said.
    stored: Option<Stored>,
    stop: &'a Stop,
}

impl Examination<'_> {
    /// Tells everything about one source. None: it could not be asked to the end.
    fn source(
        &self,
        source: &SourceOptions,
        main: Option<&mut Examined>,
        tell: &mut dyn FnMut(Finding),
    ) -> Option<Examined> {
        let id = ReplicaIds::new(source.slave_id).take();
        let config = match source_config(self.shard, source, id, &self.uuid) {
            Ok(config) => SourceConfig { query_timeout: QUESTION, ..config },
            Err(fault) => {
                tell(self.fault(fault, Level::Error));
                return None;
            }
        };
        match self.ask(source, config, main, tell) {
            Ok(examined) => Some(examined),
            Err(error) => {
                tell(Finding::source(Level::Error, &error));
                None
            }
        }
    }

    fn ask(
        &self,
        source: &SourceOptions,
        config: SourceConfig,
        main: Option<&mut Examined>,
        tell: &mut dyn FnMut(Finding),
    ) -> Result<Examined, SourceError> {
        let mut connection = Connection::open(&config, self.stop)?;
        let server = ServerFacts::probe(&mut connection)?;
        tell(Finding::fine(Topic::Connection, introduction(&server, source)));
        let facts = ask::source(&mut connection, server)?;
        self.judge(source, &facts).into_iter().for_each(&mut *tell);
        let mut connection = self.point(source, config, connection, &facts, tell);
        if let Some(main) = main {
            history(main, &facts).into_iter().for_each(&mut *tell);
        }
        self.tables(&mut connection, &facts)?.into_iter().for_each(tell);
        Ok(Examined { facts, connection })
    }

    fn judge(&self, source: &SourceOptions, facts: &SourceFacts) -> Vec<Finding> {
        let today = i64::try_from(now_ms() / MS_PER_DAY).unwrap_or(0);
        let us = OurSelf {
            server_id: match source.slave_id {
                SlaveId::Fixed(id) => Some(id),
                SlaveId::Random(..) | SlaveId::RandomThenIncrement(..) => None,
            },
            uuid: &self.uuid,
            host: &self.shard.name,
        };
        let mut findings = rules::link::encryption(&facts.link, source, today);
        findings.extend(rules::rights::rights(&facts.rights, &facts.binlog.end));
        findings.extend(rules::binlog::binlog(&facts.server, facts.binlog.end.as_ref().ok(), self.shard));
        findings.push(rules::gtid::gtid(&facts.server, self.shard));
        findings.extend(rules::replicas::replicas(facts, us, source.backup > 0));
        findings.push(rules::link::clock(&facts.clock));
        findings.extend(rules::expiry::expiry(&facts.server, &facts.binlog.files));
        findings
    }

    /// Where a run would begin, decided by the run's own code. Hands the connection back.
    fn point(
        &self,
        source: &SourceOptions,
        config: SourceConfig,
        connection: Connection,
        facts: &SourceFacts,
        tell: &mut dyn FnMut(Finding),
    ) -> Connection {
        // Without a binlog or the right to see it there is nothing to plan, and it has been said.
        let planned = facts.server.require_row_binlog().is_ok() && facts.binlog.end.is_ok();
        let Some(stored) = self.stored.as_ref().filter(|_| planned) else { return connection };
        let mut session = Session { connection, facts: facts.server.clone(), server: config.place(), config };
        let resume = stored.point.as_ref().map(Resume::from_point);
        match start::plan(self.shard, &mut session, resume, stored.old.as_ref()) {
            Ok(dump) => tell(Finding::fine(Topic::Point, stored.beginning(&dump.described))),
            // The shard does not need its backups before the main server fails.
            Err(fault) if source.backup > 0 => tell(self.fault(fault, Level::Warn)),
            Err(fault) => tell(self.fault(fault, Level::Error)),
        }
        let newest = facts.binlog.end.as_ref().map_or("", |end| end.file.as_str());
        let expires = stored
            .point
            .as_ref()
            .and_then(|point| rules::expiry::point_expires(&facts.server, point, newest, now_ms()));
        expires.into_iter().for_each(tell);
        session.connection
    }

    fn tables(&self, connection: &mut Connection, facts: &SourceFacts) -> Result<Vec<Finding>, SourceError> {
        let tables = match ask_tables::tables(connection, facts.server.flavor(), &self.shard.filter)? {
            Ok(tables) => tables,
            Err(error) => return Ok(vec![Finding::source(Level::Warn, &error)]),
        };
        let sight = Sight {
            server: &facts.server,
            account: &facts.rights.account,
            sees_all: rules::rights::sees_all_tables(&facts.rights.grants),
        };
        Ok(rules::tables::tables(&tables, sight))
    }

    /// A fault of the run's own code, without the names that the line has anyway.
    fn fault(&self, fault: Fault, level: Level) -> Finding {
        let shard = format!("shard={} ", self.shard.name);
        let text = fault.text.strip_prefix(shard.as_str()).unwrap_or(&fault.text);
        let text = match text.strip_prefix("source=").and_then(|text| text.split_once(' ')) {
            Some((_, text)) => text,
            None => text,
        };
        let cure = match fault.code {
            Code::FileError => {
                Some("correct mysql_password_file, or make the file readable for fountain".to_owned())
            }
            // Their texts end with the ways out.
            _ => None,
        };
        Finding { level, code: fault.code.as_str(), text: text.to_owned(), cure }
    }
}

/// A backup against the main server, which is asked once more: what it has done meanwhile must not look as if it were
/// the backup's own.
fn history(main: &mut Examined, backup: &SourceFacts) -> Vec<Finding> {
    match ask::binlog(&mut main.connection, &main.facts.server) {
        Ok(binlog) => main.facts.binlog = binlog,
        Err(error) => {
            let text = format!("the main server cannot be compared with this backup: {error}");
            return vec![Finding::warn(error.code(), text, "run fountain check again")];
        }
    }
    rules::history::compare(&main.facts, backup)
}

fn introduction(server: &ServerFacts, source: &SourceOptions) -> String {
    let comment = server.variable("version_comment").map(|text| format!(" ({text})")).unwrap_or_default();
    let role = match source.backup {
        0 => "main server".to_owned(),
        number => format!("backup ha{number}"),
    };
    let id = match source.slave_id {
        SlaveId::Fixed(id) => format!("ours is {id}"),
        SlaveId::Random(from, to) | SlaveId::RandomThenIncrement(from, to) => {
            format!("ours is drawn from {from} to {to}")
        }
    };
    format!(
        "{role}: {} {}{comment}, server_id {}, {id}",
        server.flavor(),
        server.version(),
        server.server_id()
    )
}
