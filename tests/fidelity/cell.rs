//! One way to set up a server and fountain; the matrix is a list of them for each server.

use crate::harness::Kind;

/// `binlog_row_image`
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Image {
    Full,
    Minimal,
    NoBlob,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Fountain runs beside the statements. Without full metadata it is waited for before each DDL: a definition of now
    /// counts for what was logged before only if no DDL lies between.
    Beside,
    /// Fountain reads when all is done; full metadata only.
    Afterwards,
}

/// What the server gives transactions, and how fountain asks for them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    Gtid,
    /// MySQL 9.7: GTIDs with a tag.
    TaggedGtid,
    /// GTIDs that are logged, and not used.
    Position,
    /// No GTIDs.
    NoGtid,
}

#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// What is special about it.
    pub name: &'static str,
    pub image: Image,
    pub full_metadata: bool,
    pub checksum: bool,
    /// Of transactions on MySQL, of events on MariaDB.
    pub compression: bool,
    pub partial_json: bool,
    pub place: Place,
    /// Of the statements that change rows.
    pub zone: &'static str,
    pub sql_mode: &'static str,
    /// Keys of fountain.
    pub keys: &'static [&'static str],
    pub reading: Reading,
    /// A text in the lines that is replaced: what the comparison must notice.
    pub forged: Option<(&'static str, &'static str)>,
}

const STRICT: &str =
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO";
const MINI: &[&str] = &["transaction_policy=mini"];
const DISCARD: &[&str] = &["transaction_policy=discard_huge_table"];
/// Transactions go out in parts.
const SMALL_PACKS: &[&str] = &["pack_max_bytes=2KB"];
const MINI_STREAM: &[&str] = &["transaction_policy=mini", "trans_max_size=4", "trans_oversize=stream"];

pub const PLAIN: Cell = Cell {
    name: "plain",
    image: Image::Full,
    full_metadata: false,
    checksum: true,
    compression: false,
    partial_json: false,
    place: Place::Gtid,
    zone: "+00:00",
    sql_mode: "",
    keys: &[],
    reading: Reading::Beside,
    forged: None,
};
const FULL: Cell = Cell { full_metadata: true, ..PLAIN };

/// Every option of the server at least once; servers are set from one to the next while they run.
pub fn cells(kind: Kind) -> Vec<Cell> {
    match kind {
        // Its GTIDs are chosen when it starts.
        Kind::Mysql56 => vec![
            Cell { place: Place::NoGtid, ..PLAIN },
            Cell {
                name: "minimal, no checksum",
                image: Image::Minimal,
                checksum: false,
                keys: MINI,
                place: Place::NoGtid,
                ..PLAIN
            },
            Cell {
                name: "noblob, zone",
                image: Image::NoBlob,
                zone: "-07:30",
                keys: DISCARD,
                place: Place::NoGtid,
                ..PLAIN
            },
            Cell {
                name: "strict, parts",
                sql_mode: STRICT,
                keys: SMALL_PACKS,
                place: Place::NoGtid,
                ..PLAIN
            },
            Cell {
                name: "invalid dates",
                sql_mode: "ALLOW_INVALID_DATES",
                keys: MINI_STREAM,
                place: Place::NoGtid,
                ..PLAIN
            },
        ],
        Kind::Mysql97 => vec![
            PLAIN,
            Cell {
                name: "afterwards, compressed, partial",
                compression: true,
                partial_json: true,
                reading: Reading::Afterwards,
                keys: SMALL_PACKS,
                ..FULL
            },
            Cell {
                name: "minimal, no checksum",
                image: Image::Minimal,
                checksum: false,
                keys: MINI,
                ..PLAIN
            },
            Cell {
                name: "minimal, full metadata, tags",
                image: Image::Minimal,
                place: Place::TaggedGtid,
                keys: DISCARD,
                ..FULL
            },
            Cell { name: "noblob, zone", image: Image::NoBlob, zone: "+05:45", ..FULL },
            Cell {
                name: "partial, position, zone",
                partial_json: true,
                place: Place::Position,
                zone: "-11:00",
                keys: MINI_STREAM,
                ..PLAIN
            },
            Cell {
                name: "strict, compressed, tags",
                compression: true,
                checksum: false,
                place: Place::TaggedGtid,
                sql_mode: STRICT,
                keys: MINI,
                ..PLAIN
            },
            Cell {
                name: "afterwards, position, invalid dates",
                place: Place::Position,
                sql_mode: "ALLOW_INVALID_DATES",
                reading: Reading::Afterwards,
                ..FULL
            },
            Cell {
                name: "no GTIDs, compressed, noblob",
                compression: true,
                image: Image::NoBlob,
                place: Place::NoGtid,
                ..PLAIN
            },
        ],
        Kind::Mariadb | Kind::Mariadb118 => vec![
            PLAIN,
            Cell {
                name: "afterwards, compressed",
                compression: true,
                reading: Reading::Afterwards,
                keys: SMALL_PACKS,
                ..FULL
            },
            Cell {
                name: "minimal, no checksum",
                image: Image::Minimal,
                checksum: false,
                keys: MINI,
                ..PLAIN
            },
            Cell {
                name: "minimal, full metadata, compressed",
                image: Image::Minimal,
                compression: true,
                keys: DISCARD,
                ..FULL
            },
            Cell { name: "noblob, zone", image: Image::NoBlob, zone: "+05:45", ..FULL },
            Cell {
                name: "position, strict",
                place: Place::Position,
                sql_mode: STRICT,
                keys: MINI_STREAM,
                ..PLAIN
            },
            Cell {
                name: "afterwards, position, invalid dates",
                place: Place::Position,
                sql_mode: "ALLOW_INVALID_DATES",
                reading: Reading::Afterwards,
                zone: "-11:00",
                ..FULL
            },
        ],
    }
}

impl Cell {
    /// What sets a server that runs to it, for sessions that begin behind that.
    pub fn globals(&self, kind: Kind) -> Vec<String> {
        let image = match self.image {
            Image::Full => "FULL",
            Image::Minimal => "MINIMAL",
            Image::NoBlob => "NOBLOB",
        };
        let checksum = if self.checksum { "CRC32" } else { "NONE" };
        let mut settings = vec![format!("binlog_row_image={image}"), format!("binlog_checksum={checksum}")];
        let on = |on: bool| if on { "ON" } else { "OFF" };
        if kind != Kind::Mysql56 {
            let metadata = if self.full_metadata { "FULL" } else { "MINIMAL" };
            settings.push(format!("binlog_row_metadata={metadata}"));
        }
        match kind {
            Kind::Mysql56 => {}
            Kind::Mysql97 => {
                let partial = if self.partial_json { "PARTIAL_JSON" } else { "" };
                settings.push(format!("binlog_row_value_options='{partial}'"));
                settings.push(format!("binlog_transaction_compression={}", on(self.compression)));
            }
            Kind::Mariadb | Kind::Mariadb118 => {
                settings.push(format!("log_bin_compress={}", on(self.compression)));
                settings.push("log_bin_compress_min_len=10".to_owned());
            }
        }
        settings.into_iter().map(|setting| format!("SET GLOBAL {setting}")).collect()
    }

    /// Whether fountain must have read all rows before a DDL statement. MariaDB's full metadata does not tell UUID and INET
    /// from BINARY (README).
    pub fn waits(&self, kind: Kind) -> bool {
        self.reading == Reading::Beside && (!self.full_metadata || !kind.is_mysql())
    }

    /// What the session that writes is set to, zone and mode aside.
    pub fn session(&self) -> &'static str {
        if self.place == Place::TaggedGtid { "SET gtid_next='AUTOMATIC:some_tag'" } else { "DO 0" }
    }

    pub fn fountain_keys(&self) -> Vec<&'static str> {
        let strategy = match self.place {
            Place::Gtid | Place::TaggedGtid => "binlog_dump_strategy=gtid",
            Place::Position | Place::NoGtid => "binlog_dump_strategy=position",
        };
        [&[strategy], self.keys].concat()
    }
}
