//! FORMAT_DESCRIPTION_EVENT (15): the first event of every file, which says how the others are laid out.

use crate::binlog::checksum;
use crate::binlog::checksum::CHECKSUM_LENGTH;
use crate::binlog::checksum::ChecksumAlgorithm;
use crate::binlog::error::BinlogError;
use crate::binlog::event_type::DELETE_ROWS_COMPRESSED_EVENT_V1;
use crate::binlog::event_type::EXECUTE_LOAD_QUERY_EVENT;
use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
use crate::binlog::event_type::QUERY_COMPRESSED_EVENT;
use crate::binlog::event_type::QUERY_EVENT;
use crate::binlog::event_type::ROTATE_EVENT;
use crate::binlog::event_type::TABLE_MAP_EVENT;
use crate::binlog::event_type::WRITE_ROWS_COMPRESSED_EVENT_V1;
use crate::binlog::event_type::WRITE_ROWS_EVENT;
use crate::binlog::header::HEADER_LENGTH;
use crate::codec::Reader;

/// Bytes of the server version field, padded with zeros.
const SERVER_VERSION_LENGTH: usize = 50;
/// MySQL 5.5, the newest without checksums, lists 27 event types, its cluster editions a few more. A format
/// description that lists more and claims to be older than checksums has a broken version.
const MOST_TYPES_WITHOUT_CHECKSUM: usize = 35;

/// Which family of servers wrote a log: the two number some things differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Flavor {
    #[default]
    MySql,
    MariaDb,
}

/// A server version as the servers themselves split it to compare (`do_server_version_split`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(pub u8, pub u8, pub u8);

impl ServerVersion {
    /// `X.Y.Zabc` is (X, Y, Z) and `X.Yabc` is (X, Y, 0). `None` where the server sees no version: a part
    /// above 255, or no dot behind the first.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, rest) = leading_number(text)?;
        let (minor, rest) = leading_number(rest.strip_prefix('.')?)?;
        let (patch, _) = leading_number(rest.strip_prefix('.').unwrap_or(rest))?;
        match (major, minor, patch) {
            (0, 0, 0) => None,
            _ => Some(Self(major, minor, patch)),
        }
    }
}

/// The decimal number that `text` begins with (0 if with none, as strtoul reads it) and what follows it.
fn leading_number(text: &str) -> Option<(u8, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    match digits {
        "" => Some((0, rest)),
        digits => Some((digits.parse().ok()?, rest)),
    }
}

/// In wire order: binlog version 2 · server version 50 · created 4 · header length 1 · one byte for each
/// event type from 1 on, the length of its post-header · where the server knows checksums: algorithm 1 ·
/// checksum 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatDescription<'a> {
    /// 4.
    pub binlog_version: u16,
    /// Such as `9.7.4-2` or `10.11.19-MariaDB-0+deb12u1-log`.
    pub server_version: &'a str,
    /// Seconds since 1970 when the server opened its first binlog after its start, 0 in files begun by a
    /// rotation.
    pub created: u32,
    /// Bytes of the header of every event but this one and ROTATE_EVENT: 19, or more.
    pub header_length: u8,
    /// Length of the post-header of event type i at index i - 1.
    pub post_header_lengths: &'a [u8],
    pub checksum: ChecksumAlgorithm,
    pub flavor: Flavor,
}

impl<'a> FormatDescription<'a> {
    /// Reads the whole event, its header included, and proves its checksum where there is one.
    pub(super) fn parse(event: &'a [u8]) -> Result<Self, BinlogError> {
        let field = BinlogError::field(FORMAT_DESCRIPTION_EVENT);
        let mut bytes = Reader::new(event);
        bytes.skip(HEADER_LENGTH, "header").map_err(&field)?;
        let binlog_version = bytes.u16("binlog version").map_err(&field)?;
        let server_version = bytes.take(SERVER_VERSION_LENGTH, "server version").map_err(&field)?;
        let server_version = padded_text(server_version)?;
        if server_version.contains("-a_drop") {
            // Two trial versions of 5.1 and 5.2 (`Format_description_event` in MySQL's control_events.cpp).
            let problem = "numbers its events in a way of its own";
            return Err(BinlogError::ServerVersion { server_version: server_version.to_owned(), problem });
        }
        let flavor = flavor(server_version);
        let checksum = checksum_of(event, server_version, flavor)?;
        if binlog_version != 4 {
            return Err(BinlogError::BinlogVersion { version: binlog_version });
        }
        let created = bytes.u32("created").map_err(&field)?;
        let header_length = bytes.u8("header length").map_err(&field)?;
        if usize::from(header_length) < HEADER_LENGTH {
            return Err(field(bytes.invalid("header length", header_length.into())));
        }
        let tail = if checksum == ChecksumAlgorithm::Undefined { 0 } else { 1 + CHECKSUM_LENGTH };
        let types = bytes.remaining().saturating_sub(tail);
        if types == 0 {
            return Err(field(bytes.invalid("number of post-header lengths", 0)));
        }
        let post_header_lengths = bytes.take(types, "post-header lengths").map_err(&field)?;
        if checksum == ChecksumAlgorithm::Undefined && types > MOST_TYPES_WITHOUT_CHECKSUM {
            let problem = "is too old for so many event types";
            return Err(BinlogError::ServerVersion { server_version: server_version.to_owned(), problem });
        }
        Ok(Self {
            binlog_version,
            server_version,
            created,
            header_length,
            post_header_lengths,
            checksum,
            flavor,
        })
    }
}

/// The text before the zero bytes that pad it. Server versions are ASCII.
fn padded_text(bytes: &[u8]) -> Result<&str, BinlogError> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or(bytes);
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text),
        Err(_) => {
            let server_version = String::from_utf8_lossy(text).into_owned();
            Err(BinlogError::ServerVersion { server_version, problem: "is not text" })
        }
    }
}

/// As MariaDB tells the two apart (`master_version_split`).
fn flavor(server_version: &str) -> Flavor {
    match server_version.contains("MariaDB") || server_version.contains("-maria-") {
        true => Flavor::MariaDb,
        false => Flavor::MySql,
    }
}

/// The algorithm that the format description names, once its own checksum is proved right.
///
/// There is nothing in the event that says whether it holds the algorithm's byte: both servers go by the
/// version (`get_checksum_alg`). With NONE the four bytes behind it are not compared: a server that changes
/// `created` on the way to a replica corrects them only under CRC32
/// (`Binlog_sender::send_format_description_event`).
fn checksum_of(event: &[u8], version: &str, flavor: Flavor) -> Result<ChecksumAlgorithm, BinlogError> {
    let Some(parsed) = ServerVersion::parse(version) else {
        let server_version = version.to_owned();
        return Err(BinlogError::ServerVersion { server_version, problem: "is no version" });
    };
    let first_with_checksum = match flavor {
        Flavor::MySql => ServerVersion(5, 6, 1),
        Flavor::MariaDb => ServerVersion(5, 3, 0),
    };
    if parsed < first_with_checksum {
        return Ok(ChecksumAlgorithm::Undefined);
    }
    let Some((bytes, stored)) = checksum::split(event) else {
        return Ok(ChecksumAlgorithm::Off);
    };
    let Some((algorithm, others)) = bytes.split_last() else {
        return Ok(ChecksumAlgorithm::Off);
    };
    match ChecksumAlgorithm::from_byte(*algorithm)? {
        ChecksumAlgorithm::Crc32 => {
            checksum::verify(FORMAT_DESCRIPTION_EVENT, event)?;
            Ok(ChecksumAlgorithm::Crc32)
        }
        algorithm => {
            // A NONE that became one by a flipped bit would let every broken event behind it pass.
            if stored == checksum::compute(FORMAT_DESCRIPTION_EVENT, &[others, &[1][..]].concat()) {
                checksum::verify(FORMAT_DESCRIPTION_EVENT, event)?;
            }
            Ok(algorithm)
        }
    }
}

/// What the decoder keeps of a format description for the events behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub server_version: String,
    pub flavor: Flavor,
    pub created: u32,
    pub checksum: ChecksumAlgorithm,
    /// Bytes of the events' headers, 19 or more.
    pub header_length: usize,
    post_header_lengths: Vec<u8>,
}

impl Format {
    pub(super) fn new(description: &FormatDescription<'_>) -> Self {
        Self {
            server_version: description.server_version.to_owned(),
            flavor: description.flavor,
            created: description.created,
            checksum: description.checksum,
            header_length: description.header_length.into(),
            post_header_lengths: description.post_header_lengths.to_vec(),
        }
    }

    /// Length of a type's post-header; where the description says 0 or nothing, what all servers of today
    /// write.
    ///
    /// Ask only for types whose length matters. MySQL 9.7 announces 40 for TRANSACTION_PAYLOAD_EVENT, which
    /// has none (the event's number stands in the table by mistake), and 0 for the row events it no longer
    /// writes.
    pub(super) fn post_header_length(&self, event_type: u8) -> usize {
        let index = usize::from(event_type).checked_sub(1);
        match index.and_then(|index| self.post_header_lengths.get(index)) {
            Some(0) | None => default_post_header_length(event_type),
            Some(length) => usize::from(*length),
        }
    }
}

fn default_post_header_length(event_type: u8) -> usize {
    match event_type {
        QUERY_EVENT | QUERY_COMPRESSED_EVENT => 13,
        EXECUTE_LOAD_QUERY_EVENT => 26,
        TABLE_MAP_EVENT | ROTATE_EVENT => 8,
        WRITE_ROWS_COMPRESSED_EVENT_V1..=DELETE_ROWS_COMPRESSED_EVENT_V1 => 8,
        WRITE_ROWS_EVENT.. => 10,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing;

    fn described(name: &str) -> Vec<u8> {
        testing::fixture(name)[0].1.clone()
    }

    #[test]
    fn every_server_describes_itself() {
        let cases = [
            ("mysql56.bin", "5.6.24-log", Flavor::MySql, ChecksumAlgorithm::Crc32, 35),
            ("mysql56_gtid.bin", "5.6.24-log", Flavor::MySql, ChecksumAlgorithm::Off, 35),
            ("mysql97_full.bin", "9.7.4-2", Flavor::MySql, ChecksumAlgorithm::Crc32, 42),
            ("mysql97_anonymous.bin", "9.7.4-2", Flavor::MySql, ChecksumAlgorithm::Off, 42),
            ("mariadb.bin", "10.11.19-MariaDB-0+deb12u1-log", Flavor::MariaDb, ChecksumAlgorithm::Crc32, 171),
            (
                "mariadb_xa.bin",
                "10.11.19-MariaDB-0+deb12u1-log",
                Flavor::MariaDb,
                ChecksumAlgorithm::Off,
                171,
            ),
        ];
        for (name, version, flavor, checksum, types) in cases {
            let event = described(name);
            let description = FormatDescription::parse(&event).unwrap();
            assert_eq!(description.server_version, version, "{name}");
            assert_eq!(description.flavor, flavor, "{name}");
            assert_eq!(description.checksum, checksum, "{name}");
            assert_eq!(description.post_header_lengths.len(), types, "{name}");
            assert_eq!(description.header_length, 19);
        }
    }

    #[test]
    fn the_flag_of_an_open_file_is_no_part_of_the_checksum() {
        let mut event = described("mysql97_open.bin");
        assert_eq!(event[17] & 1, 1);
        assert!(FormatDescription::parse(&event).is_ok());
        event[17] &= !1;
        assert!(FormatDescription::parse(&event).is_ok());
    }

    /// What MySQL 5.5 and 5.1 write: 27 types, neither algorithm nor checksum.
    fn old_description(version: &str, types: usize) -> Vec<u8> {
        let mut body = vec![4, 0];
        body.extend_from_slice(version.as_bytes());
        body.resize(2 + SERVER_VERSION_LENGTH, 0);
        body.extend_from_slice(&[0, 0, 0, 0, 19]);
        body.resize(body.len() + types, 8);
        testing::event(FORMAT_DESCRIPTION_EVENT, &body)
    }

    #[test]
    fn servers_before_checksums_have_neither_algorithm_nor_checksum() {
        for version in ["5.0.96-log", "5.1.73", "5.5.62-log", "5.6.0-m4", "5.2.14-MariaDB-log"] {
            let event = old_description(version, 27);
            let description = FormatDescription::parse(&event).unwrap();
            assert_eq!(description.checksum, ChecksumAlgorithm::Undefined, "{version}");
            assert_eq!(description.post_header_lengths.len(), 27);
        }
    }

    #[test]
    fn a_version_that_cannot_be_is_refused() {
        for (version, types) in [
            ("5.1.4-a_drop5p3-log", 22),
            ("", 27),
            ("V.6.24", 27),
            ("0.0.0", 27),
            ("300.1.1", 27),
            ("5.5.62", 40),
        ] {
            let error = FormatDescription::parse(&old_description(version, types)).unwrap_err();
            assert!(matches!(error, BinlogError::ServerVersion { .. }), "{version}: {error}");
        }
    }

    #[test]
    fn versions_are_split_as_the_servers_do() {
        assert_eq!(ServerVersion::parse("5.6.24-log"), Some(ServerVersion(5, 6, 24)));
        assert_eq!(ServerVersion::parse("26.7"), Some(ServerVersion(26, 7, 0)));
        assert_eq!(ServerVersion::parse("8.0rc"), Some(ServerVersion(8, 0, 0)));
        assert_eq!(ServerVersion::parse("10"), None);
        assert!(ServerVersion(5, 10, 0) > ServerVersion(5, 6, 1));
    }

    #[test]
    fn older_binlog_versions_and_unknown_algorithms_are_named() {
        let mut event = old_description("5.5.62", 27);
        event[19] = 3;
        let error = FormatDescription::parse(&event).unwrap_err();
        assert_eq!(
            error.to_string(),
            "binlog version 3 cannot be read, expected 4 (MySQL 5.0 and later, MariaDB)"
        );

        let mut event = described("mysql97_anonymous.bin");
        let algorithm = event.len() - 5;
        event[algorithm] = 7;
        let error = FormatDescription::parse(&event).unwrap_err();
        assert!(matches!(error, BinlogError::ChecksumAlgorithm { algorithm: 7 }));
    }

    /// MySQL 5.6.24 under `binlog_checksum=NONE`, in front of a dump that begins inside a file: it changed
    /// `created` and the next position and left the four bytes of the checksum as they were. All servers do.
    #[test]
    fn without_checksums_the_description_s_own_is_not_compared() {
        let event = testing::hex(
            "4e5b046b0f38000000740000000000000000000400352e362e32342d6c6f6700000000000000000000000000000000000000
             0000000000000000000000000000000000000000000000000013380d0008001200040404041200005c00041a080000000808
             08020000000a0a0a191900007b8b5f69",
        );
        assert_ne!(checksum::compute(FORMAT_DESCRIPTION_EVENT, &event[..112]).to_le_bytes(), event[112..]);
        assert_eq!(FormatDescription::parse(&event).unwrap().checksum, ChecksumAlgorithm::Off);
    }

    #[test]
    fn a_flipped_algorithm_does_not_turn_checking_off() {
        let mut event = described("mysql97_full.bin");
        let algorithm = event.len() - 5;
        assert_eq!(event[algorithm], 1);
        event[algorithm] = 0;
        assert!(matches!(FormatDescription::parse(&event), Err(BinlogError::Checksum { .. })));
    }
}
