//! QUERY_EVENT (2): a statement as text. In a row binlog: BEGIN, COMMIT, DDL, XA commands, savepoints.

use crate::codec::CodecError;
use crate::codec::Reader;

/// Post-header, in wire order: thread id 4 · execution time 4 · length of the database name 1 · error code 2
/// · length of the status variables 2 · (more, by the format description). Body: status variables · database
/// · 0 · statement. (`Query_event` in MySQL's `statement_events.h`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    pub thread_id: u32,
    /// Seconds that the statement took.
    pub execution_time: u32,
    /// The error that the statement ended with on the source, 0 for none.
    pub error_code: u16,
    /// The session's default database, empty when it had none.
    pub database: &'a [u8],
    /// The statement, in the character set that `status().charset` names as the client's.
    pub sql: &'a [u8],
    pub(super) status_variables: &'a [u8],
}

impl<'a> Query<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>, post_header_length: usize) -> Result<Self, CodecError> {
        let start = bytes.offset();
        let (thread_id, execution_time, database_length, error_code, status_length) = (
            bytes.u32("thread id")?,
            bytes.u32("execution time")?,
            bytes.u8("database length")?,
            bytes.u16("error code")?,
            bytes.u16("status variables length")?,
        );
        skip_post_header(bytes, start, post_header_length)?;
        let status_variables = bytes.take(status_length.into(), "status variables")?;
        let database = bytes.take(database_length.into(), "database")?;
        match bytes.u8("zero behind the database")? {
            0 => {}
            byte => return Err(bytes.invalid("zero behind the database", byte.into())),
        }
        let sql = bytes.rest();
        Ok(Self { thread_id, execution_time, error_code, database, sql, status_variables })
    }

    /// The session variables that were logged with the statement.
    pub fn status(&self) -> QueryStatus<'a> {
        QueryStatus::read(self.status_variables)
    }
}

/// Goes to the end of a post-header that may be longer than what we know of it.
pub(super) fn skip_post_header(
    bytes: &mut Reader<'_>,
    start: usize,
    post_header_length: usize,
) -> Result<(), CodecError> {
    let known = bytes.offset() - start;
    match post_header_length.checked_sub(known) {
        Some(more) => bytes.skip(more, "post-header"),
        None => Err(bytes.invalid("post-header length", post_header_length as u64)),
    }
}

/// `Q_CHARSET_CODE`: ids of collations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryCharset {
    pub client: u16,
    pub connection: u16,
    pub server: u16,
}

/// The status variables, each `None` where it was not logged. Sizes in bytes behind a one-byte code.
///
/// A code that we do not know, or whose value is cut short, ends the reading (codes carry no length of their
/// own; servers write them in an order that puts the oldest first) and stands in `unread`. Database and
/// statement are found by the length of the whole block and do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryStatus<'a> {
    /// Code 0, 4: bits of the session's options (autocommit, foreign key checks …).
    pub flags2: Option<u32>,
    /// Code 1, 8.
    pub sql_mode: Option<u64>,
    /// Code 2 or 6, length and text.
    pub catalog: Option<&'a [u8]>,
    /// Code 3, 2 + 2: auto_increment_increment and auto_increment_offset.
    pub auto_increment: Option<(u16, u16)>,
    /// Code 4, 2 + 2 + 2.
    pub charset: Option<QueryCharset>,
    /// Code 5, length and text.
    pub time_zone: Option<&'a [u8]>,
    /// Code 7, 2.
    pub lc_time_names: Option<u16>,
    /// Code 8, 2: collation of the default database.
    pub charset_database: Option<u16>,
    /// Code 9, 8: which tables a multi-table UPDATE changes.
    pub table_map_for_update: Option<u64>,
    /// Code 10, 4: size of the event in a source of before 5.0.
    pub master_data_written: Option<u32>,
    /// Code 11, two of length and text: user and host of the definer.
    pub invoker: Option<(&'a [u8], &'a [u8])>,
    /// Code 12: the databases that the statement touches.
    pub updated_databases: Option<UpdatedDatabases<'a>>,
    /// Code 13 (MySQL), 128 (MariaDB), 3: microseconds of the header's timestamp.
    pub microseconds: Option<u32>,
    /// Code 16, 1.
    pub explicit_defaults_for_timestamp: Option<bool>,
    /// Code 17 (MySQL), 129 (MariaDB), 8: the engine's transaction number of a crash-safe DDL.
    pub ddl_xid: Option<u64>,
    /// Code 18, 2: collation id.
    pub default_collation_for_utf8mb4: Option<u16>,
    /// Code 19, 1.
    pub sql_require_primary_key: Option<u8>,
    /// Code 20, 1.
    pub default_table_encryption: Option<u8>,
    /// Code 21, 1; MySQL 9.7.
    pub enable_cascade_triggers: Option<u8>,
    /// Code 130 (MariaDB), 1: flags of a two-phase ALTER.
    pub mariadb_gtid_flags: Option<u8>,
    /// Code 130, 8 more with some flags: sequence number of the START ALTER that this ends.
    pub mariadb_start_alter: Option<u64>,
    /// The code at which reading ended early.
    pub unread: Option<u8>,
}

/// The databases of `Q_UPDATED_DB_NAMES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdatedDatabases<'a> {
    /// More than sixteen: the server does not list them.
    TooMany,
    /// Names, each ended by a zero byte.
    Names(&'a [u8]),
}

impl<'a> UpdatedDatabases<'a> {
    /// The names; none where there were too many.
    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        let names = match self {
            Self::TooMany => &[][..],
            Self::Names(names) => names.strip_suffix(&[0]).unwrap_or(names),
        };
        names.split(|byte| *byte == 0).filter(|name| !name.is_empty())
    }
}

/// `MAX_DBS_IN_EVENT_MTS`.
const MOST_DATABASES: u8 = 16;
/// `FL_COMMIT_ALTER_E1` and `FL_ROLLBACK_ALTER_E1` of MariaDB's `Gtid_log_event`.
const MARIADB_END_OF_ALTER: u8 = 4 | 8;

impl<'a> QueryStatus<'a> {
    fn read(status_variables: &'a [u8]) -> Self {
        let mut status = Self::default();
        let mut bytes = Reader::new(status_variables);
        while let Ok(code) = bytes.u8("status variable") {
            if !matches!(status.read_one(code, &mut bytes), Ok(true)) {
                status.unread = Some(code);
                break;
            }
        }
        status
    }

    /// Reads the value of one code; false for a code that we do not know.
    fn read_one(&mut self, code: u8, bytes: &mut Reader<'a>) -> Result<bool, CodecError> {
        match code {
            0 => self.flags2 = Some(bytes.u32("flags2")?),
            1 => self.sql_mode = Some(bytes.u64("sql_mode")?),
            2 => {
                self.catalog = Some(short_text(bytes, "catalog")?);
                bytes.skip(1, "zero behind the catalog")?;
            }
            3 => self.auto_increment = Some((bytes.u16("increment")?, bytes.u16("offset")?)),
            4 => self.charset = Some(query_charset(bytes)?),
            5 => self.time_zone = Some(short_text(bytes, "time zone")?),
            6 => self.catalog = Some(short_text(bytes, "catalog")?),
            7 => self.lc_time_names = Some(bytes.u16("lc_time_names")?),
            8 => self.charset_database = Some(bytes.u16("charset_database")?),
            9 => self.table_map_for_update = Some(bytes.u64("table_map_for_update")?),
            10 => self.master_data_written = Some(bytes.u32("master_data_written")?),
            11 => self.invoker = Some((short_text(bytes, "user")?, short_text(bytes, "host")?)),
            12 => self.updated_databases = Some(updated_databases(bytes)?),
            13 | 128 => self.microseconds = Some(bytes.u24("microseconds")?),
            16 => self.explicit_defaults_for_timestamp = Some(bytes.u8("explicit defaults")? != 0),
            17 | 129 => self.ddl_xid = Some(bytes.u64("ddl xid")?),
            18 => self.default_collation_for_utf8mb4 = Some(bytes.u16("default collation")?),
            19 => self.sql_require_primary_key = Some(bytes.u8("require primary key")?),
            20 => self.default_table_encryption = Some(bytes.u8("default table encryption")?),
            21 => self.enable_cascade_triggers = Some(bytes.u8("enable cascade triggers")?),
            130 => self.read_mariadb_gtid_flags(bytes)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_mariadb_gtid_flags(&mut self, bytes: &mut Reader<'a>) -> Result<(), CodecError> {
        let flags = bytes.u8("gtid flags")?;
        self.mariadb_gtid_flags = Some(flags);
        if flags & MARIADB_END_OF_ALTER != 0 {
            self.mariadb_start_alter = Some(bytes.u64("sequence number of START ALTER")?);
        }
        Ok(())
    }
}

fn short_text<'a>(bytes: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], CodecError> {
    let length = bytes.u8(what)?;
    bytes.take(length.into(), what)
}

fn query_charset(bytes: &mut Reader<'_>) -> Result<QueryCharset, CodecError> {
    Ok(QueryCharset {
        client: bytes.u16("character_set_client")?,
        connection: bytes.u16("collation_connection")?,
        server: bytes.u16("collation_server")?,
    })
}

fn updated_databases<'a>(bytes: &mut Reader<'a>) -> Result<UpdatedDatabases<'a>, CodecError> {
    let count = bytes.u8("number of databases")?;
    if count > MOST_DATABASES {
        return Ok(UpdatedDatabases::TooMany);
    }
    let mut after = bytes.clone();
    for _ in 0..count {
        after.nul_terminated("database")?;
    }
    let length = after.offset() - bytes.offset();
    Ok(UpdatedDatabases::Names(bytes.take(length, "databases")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    /// The statements of a fixture, with what was logged around them.
    fn queries(name: &str, check: impl Fn(&Query<'_>)) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut statements = Vec::new();
        for (_, bytes) in testing::fixture(name) {
            if let Event::Query(query) = decoder.decode(&bytes).unwrap().1 {
                check(&query);
                statements.push(String::from_utf8_lossy(query.sql).into_owned());
            }
        }
        statements
    }

    #[test]
    fn every_status_variable_of_real_servers_is_known() {
        for name in testing::FIXTURES {
            queries(name, |query| {
                let status = query.status();
                assert_eq!(status.unread, None, "{name}: {status:?}");
                assert!(
                    status.sql_mode.is_some() || query.sql == b"BEGIN" || query.sql == b"COMMIT",
                    "{name}"
                );
            });
        }
    }

    #[test]
    fn statements_and_their_database_are_told_apart() {
        let statements = queries("mysql56.bin", |query| {
            if query.sql.starts_with(b"ALTER") {
                assert_eq!(query.database, b"shop");
                assert_eq!(query.status().updated_databases.unwrap().names().collect::<Vec<_>>(), [b"shop"]);
                assert_eq!(query.status().catalog, Some(&b"std"[..]));
            }
        });
        assert_eq!(statements[0], "CREATE DATABASE shop");
        assert!(statements.iter().any(|sql| sql == "ALTER TABLE m ADD COLUMN extra DATETIME NULL"));
        assert!(statements.iter().any(|sql| sql == "SAVEPOINT `sp`"));
    }

    #[test]
    fn session_variables_are_read() {
        queries("mysql56_gtid.bin", |query| {
            if query.sql.ends_with(b"NOW(6))") {
                let status = query.status();
                assert_eq!(status.time_zone, Some(&b"+03:00"[..]));
                assert!(status.microseconds.is_some());
                assert_eq!(status.charset.unwrap().client, 45);
                // ANSI: REAL_AS_FLOAT, PIPES_AS_CONCAT, ANSI_QUOTES, IGNORE_SPACE, ANSI.
                assert_eq!(status.sql_mode, Some(1 | 2 | 4 | 8 | 0x40000));
            }
        });
    }

    fn query_event(status_variables: &[u8], database: &[u8], sql: &[u8]) -> Vec<u8> {
        let mut body = vec![1, 0, 0, 0, 2, 0, 0, 0, database.len() as u8, 0, 0];
        body.extend_from_slice(&(status_variables.len() as u16).to_le_bytes());
        body.extend_from_slice(status_variables);
        body.extend_from_slice(database);
        body.push(0);
        body.extend_from_slice(sql);
        body
    }

    #[test]
    fn an_unknown_status_variable_does_not_move_database_or_statement() {
        for unknown in [&[77, 1, 2, 3][..], &[12, 2, b'a', 0, b'b'], &[5, 200, 1], &[130, 4, 1]] {
            let mut status = vec![13, 0x40, 0x42, 0x0f];
            status.extend_from_slice(unknown);
            let body = query_event(&status, b"shop", b"DROP TABLE t");
            let query = Query::read(&mut Reader::new(&body), 13).unwrap();
            assert_eq!((query.database, query.sql), (&b"shop"[..], &b"DROP TABLE t"[..]));
            assert_eq!(query.status().microseconds, Some(1_000_000));
            assert_eq!(query.status().unread, Some(unknown[0]));
        }
    }

    #[test]
    fn databases_beyond_sixteen_are_not_listed() {
        let body = query_event(&[12, 254, 13, 1, 0, 0], b"", b"");
        let status = Query::read(&mut Reader::new(&body), 13).unwrap().status();
        assert_eq!(status.updated_databases, Some(UpdatedDatabases::TooMany));
        assert_eq!(status.microseconds, Some(1));
    }

    #[test]
    fn lengths_that_run_past_the_event_are_errors() {
        let body = query_event(&[13, 0, 0, 0], b"shop", b"");
        for cut in 0..body.len() {
            assert!(Query::read(&mut Reader::new(&body[..cut]), 13).is_err(), "{cut}");
        }
        assert!(Query::read(&mut Reader::new(&body), 12).is_err());
        assert!(Query::read(&mut Reader::new(&body), 60).is_err());
    }
}
