//! The CRC-32 behind each event: which servers write it, and whether it is right.

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
use crate::binlog::header::flags;

/// Bytes of the checksum at the end of an event.
pub const CHECKSUM_LENGTH: usize = 4;

/// Where the header's flags stand in an event.
const FLAGS_OFFSET: usize = 17;

/// What a format description says about the events behind it (`enum_binlog_checksum_alg`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumAlgorithm {
    /// 255 in the server, never logged: the server is older than checksums (MySQL 5.6.1, MariaDB 5.3.0).
    Undefined,
    /// 0: the server knows checksums and writes none (`binlog_checksum=NONE`). The format description itself
    /// still ends in four bytes kept for one.
    #[default]
    Off,
    /// 1: every event ends in the CRC-32 (zlib's polynomial) of all its bytes before it.
    Crc32,
}

impl ChecksumAlgorithm {
    /// From the byte in a format description.
    pub(super) fn from_byte(algorithm: u8) -> Result<Self, BinlogError> {
        match algorithm {
            0 => Ok(Self::Off),
            1 => Ok(Self::Crc32),
            algorithm => Err(BinlogError::ChecksumAlgorithm { algorithm }),
        }
    }

    /// From the words of `@@binlog_checksum`, as a replica declares it with `SET @source_binlog_checksum`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "NONE" => Some(Self::Off),
            "CRC32" => Some(Self::Crc32),
            _ => None,
        }
    }
}

/// Splits an event into its bytes and the checksum behind them. `None`: too short to have one.
pub(super) fn split(event: &[u8]) -> Option<(&[u8], u32)> {
    let (bytes, stored) = event.split_last_chunk::<CHECKSUM_LENGTH>()?;
    Some((bytes, u32::from_le_bytes(*stored)))
}

/// The event without its checksum, once that is proved right.
pub(super) fn verify(event_type: u8, event: &[u8]) -> Result<&[u8], BinlogError> {
    let Some((bytes, stored)) = split(event) else {
        return Err(BinlogError::Checksum { event_type, stored: 0, computed: 0 });
    };
    let computed = compute(event_type, bytes);
    if computed == stored { Ok(bytes) } else { Err(BinlogError::Checksum { event_type, stored, computed }) }
}

/// The CRC-32 that the server writes behind these bytes.
///
/// mysqld sums a format description with the IN_USE flag cleared, because it clears the flag in the file when
/// it closes it and leaves the sum alone (`Log_event_footer::event_checksum_test`).
pub(super) fn compute(event_type: u8, bytes: &[u8]) -> u32 {
    if event_type != FORMAT_DESCRIPTION_EVENT {
        return crc32fast::hash(bytes);
    }
    let Some((before, [low_flags, after @ ..])) = bytes.split_at_checked(FLAGS_OFFSET) else {
        return crc32fast::hash(bytes);
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before);
    hasher.update(&[low_flags & !(flags::BINLOG_IN_USE as u8)]);
    hasher.update(after);
    hasher.finalize()
}
