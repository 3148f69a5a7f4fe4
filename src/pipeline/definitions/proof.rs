//! Whether the definition that a server has now was that of rows it logged earlier: it was, if no DDL of the table lies
//! between the rows and the log's end at the time when the definition was read.
//!
//! **Order matters.** First the catalog is read, then SHOW CREATE TABLE waits for DDL that is just being finished, then the
//! log's end is asked; up to there the log is read for DDL. MySQL 8.0 and later log DDL before their catalog shows it (both
//! are one commit, the binlog goes first), and the catalog is read without locks; older servers and MariaDB write the log
//! last. Either way:
//!
//! - DDL that the catalog showed is in the log before that end: it holds the table's exclusive lock until both have it, and
//!   SHOW CREATE TABLE has waited for that lock.
//! - DDL in front of the rows is in the catalog: the rows could be written only behind its lock. Those of CREATE TABLE …
//!   SELECT are one commit with it on MySQL 8.0.21 and later, and may come before the catalog shows the table: one that is
//!   not there is looked for again behind the lock.
//! - DDL in the log before that end that the catalog may not have shown yet counts as a difference, if it did or not.
//!
//! DDL that was not logged (`sql_log_bin=0`) nobody sees.
//!
//! When a table was made (`CREATE_TIME`) proves nothing here though some servers move it at every ALTER: clocks are set
//! back. The log's end is near most of the time, and a backlog is read once.

use crate::binlog::BinlogPosition;
use crate::change::error::ChangeError;
use crate::code::Code;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::catalog::await_ddl;
use crate::mysql::catalog::table_definition;
use crate::mysql::config::SourceConfig;
use crate::mysql::connection::Connection;
use crate::mysql::error::ErrorKind;
use crate::mysql::error::SourceError;
use crate::mysql::preflight::ServerFacts;
use crate::pipeline::definitions::change_error;
use crate::pipeline::definitions::scout::FoundDdl;
use crate::pipeline::definitions::scout::Scouted;
use crate::pipeline::replica::other_replica;
use crate::schema::definition::TableDefinition;
use crate::schema::ledger::LedgerServer;
use crate::stop::Stop;
use std::cmp::Ordering;
use std::time::Duration;
use std::time::Instant;

/// How long a transaction may be on its way into the log.
const COMMITTING: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

/// What a question to the server came to.
#[derive(Debug)]
pub enum Proven {
    /// It was the rows' definition, too.
    Yes(TableDefinition),
    /// This DDL lies between.
    No(TableDefinition, FoundDdl),
    /// There is no such table now.
    Absent,
}

/// Asks one server.
#[derive(Debug)]
pub struct Prover {
    source: SourceConfig,
    stop: Stop,
    /// Whose log is followed. A name or a proxy may lead elsewhere the next time.
    server: LedgerServer,
    asking: Option<Asking>,
    scouted: Scouted,
}

#[derive(Debug)]
struct Asking {
    connection: Connection,
    facts: ServerFacts,
}

/// A definition, and where the log ended at the latest when it was read.
struct Read {
    definition: Option<TableDefinition>,
    /// None where the account may not ask for it.
    end: Option<BinlogPosition>,
}

impl Prover {
    pub fn new(source: SourceConfig, server: LedgerServer, stop: Stop) -> Self {
        Self { source, stop, server, asking: None, scouted: Scouted::default() }
    }

    pub fn place(&self) -> String {
        self.source.place()
    }

    /// The definition for rows at a place, or why there is none. `at` never moves back on one stream.
    pub fn prove(&mut self, at: &BinlogPosition, database: &str, table: &str) -> Result<Proven, ChangeError> {
        let read = self.read(database, table)?;
        let Some(definition) = read.definition else { return Ok(Proven::Absent) };
        self.scouted.passed(at);
        let end = match read.end {
            Some(end) => {
                self.know_up_to(at, &end)?;
                end
            }
            None => {
                // A server that shuts down ends the stream as one that has sent all. A second look needs a server that lives.
                self.look_ahead(at)?;
                self.look_ahead(at)?
            }
        };
        Ok(match self.scouted.first_touching((at, &end), database, table) {
            None => Proven::Yes(definition),
            Some(ddl) => Proven::No(definition, ddl.clone()),
        })
    }

    /// Asks over the kept connection; one that has gone stale is made anew once.
    fn read(&mut self, database: &str, table: &str) -> Result<Read, ChangeError> {
        if let Some(mut kept) = self.asking.take() {
            match kept.read(database, table) {
                Err(error) if error.kind() == ErrorKind::Retry => log::debug!("{error}; connecting anew"),
                outcome => {
                    self.asking = Some(kept);
                    return outcome.map_err(change_error);
                }
            }
        }
        let (connection, facts) = self.connect(&self.source)?;
        let fresh = self.asking.insert(Asking { connection, facts });
        fresh.read(database, table).map_err(change_error)
    }

    fn connect(&self, source: &SourceConfig) -> Result<(Connection, ServerFacts), ChangeError> {
        let mut connection = Connection::open(source, &self.stop).map_err(change_error)?;
        let facts = ServerFacts::probe(&mut connection).map_err(change_error)?;
        let server = LedgerServer {
            server_uuid: facts.server_uuid().map(str::to_owned),
            server_id: facts.server_id(),
        };
        match server == self.server {
            true => Ok((connection, facts)),
            false => Err(ChangeError::again(format!(
                "{}: another server answers than the one whose binlog is read (server_id {}, expected {}): its definitions \
                 mean nothing here",
                source.place(),
                server.server_id,
                self.server.server_id
            ))),
        }
    }

    /// Reads the log up to that place, as far as it is not known. What is being committed just now is told as the log's end
    /// before the server sends it.
    fn know_up_to(&mut self, at: &BinlogPosition, end: &BinlogPosition) -> Result<(), ChangeError> {
        let began = Instant::now();
        // All that lies before the rows was read. (Logs of different names do not compare: there the look ahead gives up.)
        let is_read = matches!(end.partial_cmp(at), Some(Ordering::Less | Ordering::Equal));
        while !is_read && !self.scouted.covers(at, end) {
            if began.elapsed() > COMMITTING {
                return Err(ChangeError::again(format!(
                    "reading ahead for DDL from {at} did not come to {end}"
                )));
            }
            let came_to = self.look_ahead(at)?;
            let arrived = *end <= came_to;
            if !arrived && self.stop.wait(SHORT) {
                return Err(ChangeError::again("asked to stop while reading ahead for DDL"));
            }
        }
        Ok(())
    }

    /// Reads the log to its end, as far as that is not known, and tells where that was.
    fn look_ahead(&mut self, at: &BinlogPosition) -> Result<BinlogPosition, ChangeError> {
        let from = self.scouted.read_on_from(at);
        let source = other_replica(&self.source, self.server.server_id);
        let (connection, _) = self.connect(&source)?;
        let max_event_bytes = u64::try_from(self.source.max_event_bytes).unwrap_or(u64::MAX);
        self.scouted.read_to_end(connection, from, max_event_bytes, &self.stop)?;
        match self.scouted.end() {
            Some(end) => Ok(end.clone()),
            None => Err(ChangeError::new(Code::Internal, "nothing is known of the log that was read ahead")),
        }
    }
}

impl Asking {
    fn read(&mut self, database: &str, table: &str) -> Result<Read, SourceError> {
        let connection = &mut self.connection;
        let mut definition = table_definition(connection, database, table)?;
        if definition.is_none() && await_ddl(connection, database, table)? {
            definition = table_definition(connection, database, table)?;
        }
        if definition.is_none() || !await_ddl(connection, database, table)? {
            return Ok(Read { definition: None, end: None });
        }
        let end = match BinlogEnd::ask(connection, &self.facts) {
            Ok(end) => Some(BinlogPosition::new(end.file, end.pos)),
            Err(error) if error.code() == Code::RightMissing => None,
            Err(error) => return Err(error),
        };
        Ok(Read { definition, end })
    }
}
