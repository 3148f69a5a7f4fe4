//! A round: a workload on the source, fountain's lines applied to the target, and at each mark what both hold compared.
//!
//! A mark is a row that is written when the tables it names stand still. What they hold then is noted at once; when the
//! mark comes out of fountain, the target must hold the same.

use super::applier::Applier;
use super::applier::MARKS;
use super::cell::Cell;
use super::cell::Place;
use super::cell::Reading;
use super::literal::name;
use super::table::Dump;
use super::table::TableName;
use crate::harness::Fountain;
use crate::harness::Kind;
use crate::harness::Running;
use crate::harness::Server;
use crate::harness::Session;
use crate::harness::delivered::PATIENCE;
use crate::harness::delivered::keys;
use crate::harness::delivered::run_arguments;
use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Where a script writes a file and reads it again.
pub const FILE: &str = "@@FILE@@";

/// One or more statements that are run as one; skipped when the server refuses them.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub sql: String,
    /// Changes definitions, or ends tables.
    pub ddl: bool,
    /// Tables that are compared before it, because it changes what is not logged by rows.
    pub tables: Vec<TableName>,
}

/// What a round came to, or many.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub accepted: usize,
    pub refused: usize,
    pub tables: usize,
    pub rows: usize,
    pub values: usize,
    pub rows_delivered: usize,
    /// The statements that were refused, by what the server said.
    pub refusals: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.tables += other.tables;
        self.rows += other.rows;
        self.values += other.values;
        self.rows_delivered += other.rows_delivered;
        self.refusals.extend(other.refusals);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { accepted, refused, tables, rows, values, rows_delivered, .. } = self;
        write!(
            f,
            "{accepted} statements, {refused} more refused; {rows_delivered} rows delivered; \
             compared {tables} tables, {rows} rows, {values} values"
        )
    }
}

/// Why a round failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Fountain has stopped, or does not deliver.
    Stopped,
    /// A line cannot be applied.
    Misfit,
    /// The target holds something else than the source.
    Difference,
}

#[derive(Debug)]
pub struct Failure {
    pub fault: Fault,
    pub told: String,
}

impl Failure {
    fn new(fault: Fault, told: impl Into<String>) -> Failure {
        Failure { fault, told: told.into() }
    }
}

/// Where the statements of a round come from; told whether the one before was accepted.
pub trait Statements {
    fn next(&mut self, accepted: bool) -> Option<Step>;
}

/// A source and a target of one kind.
pub struct Servers {
    pub source: Server,
    pub target: Server,
    files: std::cell::Cell<u32>,
}

impl Servers {
    /// None where such a server cannot be had.
    pub fn start(kind: Kind, options: &[&str]) -> Option<Servers> {
        let source = Server::start_private(
            kind,
            &[options, &["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"]].concat(),
        )?;
        let target = Server::start_private(kind, &["--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"])?;
        Some(Servers { source, target, files: std::cell::Cell::new(0) })
    }

    pub fn kind(&self) -> Kind {
        self.source.kind()
    }

    /// Both empty, the source's binlog too.
    fn clean(&self) {
        for server in [&self.source, &self.target] {
            let mut session = server.session();
            session.sql("SET foreign_key_checks=0");
            for row in session.select("XA RECOVER") {
                session.sql(&format!("XA ROLLBACK '{}'", row[3].clone().unwrap_or_default()));
            }
            for database in databases(&mut session) {
                session.sql(&format!("DROP DATABASE {}", name(&database)));
            }
        }
        let reset = if self.kind() == Kind::Mysql97 { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" };
        self.source.session().sql(reset);
    }

    fn next_file(&self) -> PathBuf {
        self.files.set(self.files.get() + 1);
        self.source.datadir().join(format!("fidelity-{}.txt", self.files.get()))
    }

    pub fn run(&self, cell: &Cell, statements: &mut dyn Statements) -> Result<Tally, Failure> {
        self.set_up(cell);
        self.clean();
        self.source.sql(&format!(
            "CREATE DATABASE {MARKS}; CREATE TABLE {MARKS}.m (n INT PRIMARY KEY) ENGINE=InnoDB"
        ));
        let mut round = Round::start(self, cell);
        round.write(statements)?;
        round.end()
    }

    fn set_up(&self, cell: &Cell) {
        let mut session = self.source.session();
        cell.globals(self.kind()).iter().for_each(|sql| session.sql(sql));
        if self.kind() != Kind::Mysql97 {
            return;
        }
        // One step at a time, in either direction.
        let modes = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
        let place = |mode: &str| modes.iter().position(|known| *known == mode).expect("a mode");
        let now = place(&self.source.value("SELECT @@GLOBAL.gtid_mode"));
        let wanted = place(if cell.place == Place::NoGtid { "OFF" } else { "ON" });
        let steps: Vec<usize> =
            if now < wanted { (now + 1..=wanted).collect() } else { (wanted..now).rev().collect() };
        steps.iter().for_each(|step| session.sql(&format!("SET GLOBAL gtid_mode={}", modes[*step])));
    }
}

fn databases(session: &mut Session) -> Vec<String> {
    let own = ["mysql", "information_schema", "performance_schema", "sys"];
    let rows =
        session.select("SHOW DATABASES").into_iter().filter_map(|row| row.into_iter().next().flatten());
    rows.filter(|database| !own.contains(&database.as_str())).collect()
}

/// Fountain's standard output, a line at a time.
struct Lines {
    running: Running,
    lines: Receiver<String>,
}

impl Lines {
    fn start(home: &Fountain, server: &Server, cell: &Cell, until: &[&str]) -> Lines {
        let fixed =
            ["start_without_point=beginning", "dispatch_ddl=all", "dispatch_transaction=true", "sink=stdout"];
        let pairs = keys(&[&fixed[..], &cell.fountain_keys()].concat());
        let (running, stdout) = home.spawn_unread(&run_arguments(home, server, &[until, &pairs].concat()));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Lines { running, lines }
    }

    /// None when fountain has ended.
    fn next(&self, deadline: Instant) -> Result<Option<String>, Failure> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Failure::new(
                Fault::Stopped,
                format!("fountain delivers nothing: {}", self.running.stderr()),
            )),
        }
    }

    fn end(self) -> Result<(), Failure> {
        let output = self.running.wait(PATIENCE);
        match output.code {
            0 => Ok(()),
            code => {
                Err(Failure::new(Fault::Stopped, format!("fountain ended with {code}: {}", output.stderr)))
            }
        }
    }
}

struct Round<'a> {
    servers: &'a Servers,
    cell: &'a Cell,
    writer: Session,
    /// The writer's time zone.
    zone: &'static str,
    observer: Session,
    target: Session,
    applier: Applier<'a>,
    home: Fountain,
    beside: Option<Lines>,
    /// The tables at each mark that has not come out yet.
    marks: BTreeMap<u64, Vec<Dump>>,
    last_mark: u64,
    tally: Tally,
}

impl<'a> Round<'a> {
    fn start(servers: &'a Servers, cell: &'a Cell) -> Round<'a> {
        let utc = |server: &Server| {
            let mut session = server.session();
            session.sql("SET time_zone='+00:00'");
            session
        };
        let home = Fountain::new();
        let beside =
            (cell.reading == Reading::Beside).then(|| Lines::start(&home, &servers.source, cell, &[]));
        let mut round = Round {
            servers,
            cell,
            writer: servers.source.session(),
            zone: "",
            observer: utc(&servers.source),
            target: utc(&servers.target),
            applier: Applier::new(&servers.target, cell.sql_mode),
            home,
            beside,
            marks: BTreeMap::new(),
            last_mark: 0,
            tally: Tally::default(),
        };
        round.open_writer();
        round
    }

    fn open_writer(&mut self) {
        self.writer = self.servers.source.session();
        self.writer.sql(&format!("SET time_zone='+00:00', sql_mode='{}'", self.cell.sql_mode));
        self.writer.sql(self.cell.session());
        self.zone = "+00:00";
    }

    fn write(&mut self, statements: &mut dyn Statements) -> Result<(), Failure> {
        let mut accepted = true;
        while let Some(step) = statements.next(accepted) {
            if step.ddl {
                // In a script that was made smaller a transaction may be without its end, which the DDL would be.
                drop(self.writer.try_select("COMMIT"));
                self.mark(&step.tables)?;
            }
            accepted = self.execute(&step);
        }
        Ok(())
    }

    fn execute(&mut self, step: &Step) -> bool {
        // A line does not tell the zone that a DDL statement ran in.
        let zone = if step.ddl { "+00:00" } else { self.cell.zone };
        if zone != self.zone {
            self.writer.sql(&format!("SET time_zone='{zone}'"));
            self.zone = zone;
        }
        let mut sql = step.sql.clone();
        if sql.contains(FILE) {
            sql = sql.replace(FILE, self.servers.next_file().to_str().expect("a path in UTF-8"));
        }
        match self.writer.try_select(&sql) {
            Ok(_) => self.tally.accepted += 1,
            Err(error) => {
                self.tally.refused += 1;
                self.tally.refusals.push(format!("{error}: {:.400}", step.sql));
                if sql.starts_with("XA ") {
                    self.open_writer();
                }
                return false;
            }
        }
        true
    }

    /// Notes what the tables hold, and waits for fountain where what follows might else confuse it.
    fn mark(&mut self, tables: &[TableName]) -> Result<(), Failure> {
        let dumps = tables.iter().map(|table| Dump::of(&mut self.observer, table)).collect();
        self.last_mark += 1;
        self.observer.sql(&format!("INSERT INTO {MARKS}.m VALUES ({})", self.last_mark));
        self.marks.insert(self.last_mark, dumps);
        if self.cell.waits(self.servers.kind()) { self.follow() } else { Ok(()) }
    }

    /// Applies what comes from the fountain that runs beside, up to the last mark.
    fn follow(&mut self) -> Result<(), Failure> {
        let Some(lines) = self.beside.take() else { return Ok(()) };
        let done = self.apply_until(&lines, self.last_mark);
        if done? {
            self.beside = Some(lines);
            return Ok(());
        }
        lines.end()?;
        Err(Failure::new(Fault::Stopped, "fountain ended by itself"))
    }

    /// Whether the mark has come; else fountain has ended.
    fn apply_until(&mut self, lines: &Lines, mark: u64) -> Result<bool, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(line) = lines.next(deadline)? {
            let line = match self.cell.forged {
                Some((from, to)) => line.replace(from, to),
                None => line,
            };
            let reached = self.applier.apply(&line).map_err(|why| Failure::new(Fault::Misfit, why))?;
            if let Some(number) = reached {
                self.compare(number)?;
                if number == mark {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn compare(&mut self, mark: u64) -> Result<(), Failure> {
        let Some(dumps) = self.marks.remove(&mark) else {
            return Err(Failure::new(
                Fault::Misfit,
                format!("mark {mark} comes again, or was never written"),
            ));
        };
        for source in dumps {
            let delivered = Dump::of(&mut self.target, &source.table);
            if let Some(difference) = source.difference(&delivered) {
                return Err(Failure::new(Fault::Difference, difference));
            }
            self.tally.tables += 1;
            self.tally.rows += source.rows();
            self.tally.values += source.values();
        }
        Ok(())
    }

    /// Compares all that there is.
    fn end(mut self) -> Result<Tally, Failure> {
        let all = self.all_tables(true);
        let last = self.last_mark + 1;
        self.mark(&all)?;
        if self.cell.reading == Reading::Afterwards {
            let lines = Lines::start(&self.home, &self.servers.source, self.cell, &["--until", "end"]);
            self.apply_until(&lines, u64::MAX)?;
            lines.end()?;
        } else if self.marks.contains_key(&last) {
            self.follow()?;
        }
        if let Some(lines) = self.beside.take() {
            lines.running.signal("TERM");
            lines.end()?;
        }
        if !self.marks.is_empty() {
            return Err(Failure::new(Fault::Stopped, format!("{} marks did not come", self.marks.len())));
        }
        let (source, target) = (all, self.all_tables(false));
        if source != target {
            return Err(Failure::new(
                Fault::Difference,
                format!("tables: source {source:?}, delivered {target:?}"),
            ));
        }
        self.tally.rows_delivered = self.applier.rows;
        Ok(self.tally)
    }

    fn all_tables(&mut self, of_source: bool) -> Vec<TableName> {
        let session = if of_source { &mut self.observer } else { &mut self.target };
        let rows = session.select(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE='BASE TABLE' ORDER BY 1,2",
        );
        let own = ["mysql", "information_schema", "performance_schema", "sys", MARKS];
        let names = rows.into_iter().map(|row| {
            let [database, table] =
                <[_; 2]>::try_from(row).expect("two were asked for").map(Option::unwrap_or_default);
            (database, table)
        });
        names.filter(|(database, _)| !own.contains(&database.as_str())).collect()
    }
}
