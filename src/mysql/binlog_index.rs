//! Which binlog files a server holds, where its binlog ends, and which transactions it has and has lost.

use super::connection::Connection;
use super::connection::quote;
use super::error::SourceError;
use super::preflight::ServerFacts;
use super::refusal::ITSELF_ADVICE;
use super::refusal::LOG_BIN_ADVICE;
use super::refusal::grant_replication;
use crate::binlog::ExecutedGtids;
use crate::binlog::MariadbBinlogState;
use crate::binlog::MariadbGtidPosition;
use crate::binlog::gtid::GtidTextError;
use crate::code::Code;
use crate::wire::response::ResultSet;
use std::str::FromStr;

/// ER_UNKNOWN_SYSTEM_VARIABLE.
pub(super) const UNKNOWN_VARIABLE: u16 = 1193;

const END: &str = "end of the binlog";

/// Where a server's binlog ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogEnd {
    pub file: String,
    /// Where the next event will start, in bytes.
    pub pos: u64,
    /// MySQL: all transactions executed so far, without white space; empty for a server that has none. None where the
    /// server keeps no such set.
    pub gtid_executed: Option<String>,
    /// MariaDB: the last GTID of each domain in the binlog. Not newer than `file` and `pos`.
    pub gtid_binlog_pos: Option<String>,
    /// Baidu's MySQL 5.1: the last group's id, where the server tells it.
    pub group_id: Option<u64>,
}

/// One file of a server's binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFileEntry {
    pub name: String,
    /// In bytes; none where the server does not tell.
    pub size: Option<u64>,
}

/// MySQL's sets of transactions, as text without white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GtidSets {
    /// All that the server ever executed, purged ones included.
    pub executed: String,
    /// Those that its binlog no longer holds.
    pub purged: String,
}

/// What a MariaDB server has, in GTIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariadbGtids {
    /// Of each domain and server the last transaction that was ever logged here.
    pub binlog_state: MariadbBinlogState,
    /// Of each domain the last transaction that this server applied as a replica, logged or not.
    pub slave_pos: MariadbGtidPosition,
    /// What was logged before the oldest file that is left. None where the server does not tell.
    pub purged: Option<MariadbBinlogState>,
}

impl BinlogEnd {
    /// Asks the server where its binlog ends now.
    pub fn ask(connection: &mut Connection, facts: &ServerFacts) -> Result<Self, SourceError> {
        // The set first: started from it, a stream repeats rather than skips what was committed in between.
        let gtid_binlog_pos = match facts.has_mariadb_gtids() {
            true => {
                let answer = connection.query("SELECT @@global.gtid_binlog_pos")?;
                Some(compact(told(connection, &answer, 0, "gtid_binlog_pos")?))
            }
            false => None,
        };
        // MASTER went away with MySQL 8.4; BINARY LOG came with 8.2; BINLOG is MariaDB's word since 10.5.
        let status =
            first_known(connection, &["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS", "SHOW BINLOG STATUS"])?;
        if status.rows.is_empty() {
            return Err(SourceError::refused(
                Code::BinlogOff,
                connection.place(),
                "the server writes no binlog",
            )
            .advise(LOG_BIN_ADVICE));
        }
        let file = told(connection, &status, 0, END)?;
        if file.is_empty() {
            return Err(SourceError::protocol(connection.place(), END, &"the file's name is empty"));
        }
        let pos = told(connection, &status, 1, END)?;
        let pos = pos.parse().map_err(|_| {
            SourceError::protocol(connection.place(), END, &format!("the position {pos:?} is no number"))
        })?;
        let gtid_executed =
            status.column("Executed_Gtid_Set").and_then(|column| status.text(0, column)).map(compact);
        let group_id = status.column("Group_ID").and_then(|column| status.text(0, column)?.parse().ok());
        Ok(Self { file, pos, gtid_executed, gtid_binlog_pos, group_id })
    }

    /// MySQL's set; none where the server keeps none.
    pub fn mysql_gtids(&self) -> Option<Result<ExecutedGtids, GtidTextError>> {
        self.gtid_executed.as_ref().map(|text| text.parse().map(ExecutedGtids::Mysql))
    }

    /// MariaDB's position; none on other servers.
    pub fn mariadb_gtids(&self) -> Option<Result<ExecutedGtids, GtidTextError>> {
        self.gtid_binlog_pos.as_ref().map(|text| text.parse().map(ExecutedGtids::Mariadb))
    }
}

/// The files of a server's binlog, oldest first. Before 5.5.25 it takes SUPER to ask.
pub fn binlog_files(connection: &mut Connection) -> Result<Vec<BinlogFileEntry>, SourceError> {
    let answer = first_known(connection, &["SHOW BINARY LOGS", "SHOW MASTER LOGS"])?;
    let entry = |row| {
        let name = answer.text(row, 0)?;
        Some(BinlogFileEntry { name, size: answer.text(row, 1).and_then(|text| text.parse().ok()) })
    };
    Ok((0..answer.rows.len()).filter_map(entry).collect())
}

/// The first file of a server's binlog; none where it has no binlog.
pub fn first_binlog_file(connection: &mut Connection) -> Result<Option<String>, SourceError> {
    match binlog_files(connection) {
        Ok(files) => Ok(files.into_iter().next().map(|entry| entry.name)),
        // It takes REPLICATION SLAVE, and begins with the first file where none is named.
        Err(error) if error.code() == Code::RightMissing => {
            match connection.query("SHOW BINLOG EVENTS LIMIT 1") {
                Err(second) if second.code() == Code::RightMissing => Err(error),
                other => Ok(other?.text(0, 0)),
            }
        }
        Err(error) => Err(error),
    }
}

/// MySQL's sets; none on servers that keep none.
pub fn gtid_sets(connection: &mut Connection) -> Result<Option<GtidSets>, SourceError> {
    match connection.query("SELECT @@global.gtid_executed, @@global.gtid_purged") {
        Ok(answer) => {
            let set = |column, what| told(connection, &answer, column, what).map(compact);
            Ok(Some(GtidSets { executed: set(0, "gtid_executed")?, purged: set(1, "gtid_purged")? }))
        }
        Err(error) if error.server_errno() == Some(UNKNOWN_VARIABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// MariaDB's GTIDs.
pub fn mariadb_gtids(connection: &mut Connection) -> Result<MariadbGtids, SourceError> {
    let answer = connection.query("SELECT @@global.gtid_binlog_state, @@global.gtid_slave_pos")?;
    let binlog_state = parsed(connection, &told(connection, &answer, 0, "gtid_binlog_state")?)?;
    let slave_pos = parsed(connection, &told(connection, &answer, 1, "gtid_slave_pos")?)?;
    let purged = match binlog_files(connection)?.first() {
        Some(oldest) => state_before(connection, &oldest.name)?,
        None => None,
    };
    Ok(MariadbGtids { binlog_state, slave_pos, purged })
}

/// The GTID_LIST at a file's start; none where the file has none, has just been purged, or the server will not show it.
fn state_before(connection: &mut Connection, file: &str) -> Result<Option<MariadbBinlogState>, SourceError> {
    // Behind the format description, and START_ENCRYPTION where there is one.
    let events = match connection.query(&format!("SHOW BINLOG EVENTS IN {} LIMIT 3", quote_plain(file))) {
        Ok(events) => events,
        Err(error) if error.server_errno().is_some() => {
            log::debug!("{error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (Some(kind), Some(info)) = (events.column("Event_type"), events.column("Info")) else {
        return Ok(None);
    };
    let list = (0..events.rows.len())
        .filter(|row| events.text(*row, kind).is_some_and(|kind| kind == "Gtid_list"))
        .find_map(|row| events.text(row, info));
    match list.as_deref().and_then(|list| list.strip_prefix('[')?.strip_suffix(']')) {
        Some(list) => Ok(Some(parsed(connection, list)?)),
        None => Ok(None),
    }
}

/// MariaDB: the last transaction of each domain before a place of its binlog. None where the server cannot tell: no such
/// file, no event starts there, or the place lies past 4 GiB. The server reads the file up to there.
pub fn mariadb_gtids_at(
    connection: &mut Connection,
    file: &str,
    pos: u64,
) -> Result<Option<MariadbGtidPosition>, SourceError> {
    let answer = connection.query(&format!("SELECT BINLOG_GTID_POS({}, {pos})", quote(file)))?;
    answer.text(0, 0).map(|text| parsed(connection, &text)).transpose()
}

fn parsed<T: FromStr<Err = GtidTextError>>(connection: &Connection, text: &str) -> Result<T, SourceError> {
    text.parse().map_err(|error| SourceError::protocol(connection.place(), "server's GTIDs", &error))
}

/// A file name as a literal where a hexadecimal one is not allowed.
fn quote_plain(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Baidu's MySQL 5.1: the file and position behind the last event of a group; none where the server does not find it.
pub fn group_end(connection: &mut Connection, id: u64) -> Result<Option<(String, u64)>, SourceError> {
    let what = "SHOW BINLOG INFO FOR";
    let answer = match connection.query(&format!("{what} {id}")) {
        // 1064 and its kin.
        Err(error) if error.code() == Code::Unsupported => {
            let text = format!("the server does not know {what}, which finds a group id: {}", error.text());
            return Err(SourceError::refused(Code::Unsupported, connection.place(), text)
                .advise("binlog_dump_strategy=ares is for Baidu's MySQL 5.1; set auto or position"));
        }
        answer => answer?,
    };
    if answer.rows.is_empty() {
        return Ok(None);
    }
    // Log_name, Pos, Server_ID.
    let (file, pos) = match answer.columns.len() {
        3 => (answer.text(0, 0).filter(|file| !file.is_empty()), answer.text(0, 1)),
        _ => (None, None),
    };
    match (file, pos.and_then(|pos| pos.parse().ok())) {
        (Some(file), Some(pos)) => Ok(Some((file, pos))),
        _ => Err(SourceError::protocol(
            connection.place(),
            what,
            &"the answer has not the three columns file, position and server id",
        )),
    }
}

/// The answer to the first of these statements that the server knows.
pub fn first_known(connection: &mut Connection, statements: &[&str]) -> Result<ResultSet, SourceError> {
    let mut unknown = None;
    for sql in statements {
        match connection.query(sql) {
            // 1064 and its kin: the server does not know the statement.
            Err(error) if error.code() == Code::Unsupported => unknown = Some(error),
            Err(error) if error.code() == Code::RightMissing => {
                let account = connection.account()?;
                return Err(error.advise(grant_replication(&account)));
            }
            other => return other,
        }
    }
    let words = unknown.map(|error| format!(": {}", error.text())).unwrap_or_default();
    let text = format!("the server does not tell about its binlog{words}");
    Err(SourceError::refused(Code::Unsupported, connection.place(), text).advise(ITSELF_ADVICE))
}

/// A value of an answer's only row. NULL, or no row, is not an empty value: taken for one, it would start a stream at
/// the server's first event.
fn told(
    connection: &Connection,
    answer: &ResultSet,
    column: usize,
    what: &str,
) -> Result<String, SourceError> {
    let nothing = || SourceError::protocol(connection.place(), what, &"the server does not tell");
    answer.text(0, column).ok_or_else(nothing)
}

/// Servers break long sets into lines.
fn compact(text: String) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}
