//! What can be wrong with a binlog's bytes. The place (file and position, shard) is added by whoever knows
//! it; only the errors of a file that we read ourselves name it here.

use crate::binlog::event_type::EventTypeName;
use crate::code::Code;
use crate::codec::CodecError;
use std::fmt;
use std::io;
use std::path::PathBuf;

#[derive(Debug)]
pub enum BinlogError {
    /// The 19 bytes before every event are not all there.
    Header(CodecError),
    /// The header's event size is impossible, or is not the size of the event at hand.
    Size { event_type: u8, event_size: u32, have: usize },
    /// A field of an event is cut short or has an impossible value. Offsets count from the event's first
    /// byte.
    Field { event_type: u8, error: CodecError },
    /// A list in an event has another length than it must have.
    Count { event_type: u8, what: &'static str, expected: usize, got: usize },
    /// A column of a type whose metadata cannot be told apart from the next column's.
    ColumnType { event_type: u8, column: usize, type_code: u8 },
    /// The CRC-32 behind the event is not that of its bytes.
    Checksum { event_type: u8, stored: u32, computed: u32 },
    /// The format description names a checksum algorithm that is not CRC32.
    ChecksumAlgorithm { algorithm: u8 },
    /// The log is older than MySQL 5.0 (binlog version 1 or 3) or newer than all we know.
    BinlogVersion { version: u16 },
    /// Row events of a MySQL 5.1 from before its general availability: their table maps say too little to read them.
    PreGaRows { event_type: u8 },
    /// The format description's server version is no version, or contradicts the rest of it.
    ServerVersion { server_version: String, problem: &'static str },
    /// An event before the format description that says how to read it.
    NoFormatDescription { event_type: u8 },
    /// The header's next position can be neither the end of this event nor one behind skipped events.
    NextPos { event_type: u8, expected: u64, next_pos: u32 },
    /// A TRANSACTION_PAYLOAD_EVENT says that it is compressed in a way we do not know.
    Compression { algorithm: u64 },
    /// A compressed event cannot be unpacked.
    Decompress { event_type: u8, reason: String },
    /// An event larger than `max_event_bytes`.
    EventTooLarge { event_type: u8, size: u64, limit: u64 },
    /// The file does not begin as a binlog does.
    NotABinlog { path: PathBuf, found: String },
    /// The file is encrypted by the server.
    Encrypted { path: PathBuf, by: &'static str },
    /// The file ends inside an event.
    Truncated { path: PathBuf, position: u64, need: u64, have: u64 },
    /// The file cannot be opened or read.
    Io { path: PathBuf, position: u64, error: io::Error },
}

impl BinlogError {
    pub fn code(&self) -> Code {
        match self {
            Self::Header(_)
            | Self::Size { .. }
            | Self::Field { .. }
            | Self::Count { .. }
            | Self::ColumnType { .. }
            | Self::ServerVersion { .. }
            | Self::NoFormatDescription { .. }
            | Self::NextPos { .. } => Code::BadEvent,
            Self::Checksum { .. } => Code::Checksum,
            Self::ChecksumAlgorithm { .. }
            | Self::BinlogVersion { .. }
            | Self::PreGaRows { .. }
            | Self::Compression { .. } => Code::Unsupported,
            Self::Decompress { .. } => Code::Decompress,
            Self::EventTooLarge { .. } => Code::EventTooLarge,
            Self::NotABinlog { .. } => Code::NotABinlog,
            Self::Encrypted { .. } => Code::Encrypted,
            Self::Truncated { .. } => Code::Truncated,
            Self::Io { .. } => Code::FileError,
        }
    }

    pub(super) fn field(event_type: u8) -> impl Fn(CodecError) -> Self {
        move |error| Self::Field { event_type, error }
    }
}

impl fmt::Display for BinlogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "event header: {error}"),
            Self::Size { event_type, event_size, have } => {
                let name = EventTypeName(*event_type);
                write!(f, "{name}: the header says {event_size} bytes, the event has {have}")
            }
            Self::Field { event_type, error } => write!(f, "{}: {error}", EventTypeName(*event_type)),
            Self::Count { event_type, what, expected, got } => {
                write!(f, "{}: {what}: expected {expected}, got {got}", EventTypeName(*event_type))
            }
            Self::ColumnType { event_type, column, type_code } => {
                let name = EventTypeName(*event_type);
                write!(f, "{name}: column @{} has the unknown type {type_code}", column + 1)
            }
            Self::Checksum { event_type, stored, computed } => {
                let name = EventTypeName(*event_type);
                write!(f, "{name}: the stored CRC-32 is {stored:08x}, its bytes give {computed:08x}")
            }
            Self::ChecksumAlgorithm { algorithm } => {
                write!(
                    f,
                    "FORMAT_DESCRIPTION_EVENT: unknown checksum algorithm {algorithm}, expected 0 (NONE) or 1 (CRC32)"
                )
            }
            Self::BinlogVersion { version } => {
                write!(
                    f,
                    "binlog version {version} cannot be read, expected 4 (MySQL 5.0 and later, MariaDB)"
                )
            }
            Self::PreGaRows { event_type } => {
                let name = EventTypeName(*event_type);
                write!(
                    f,
                    "{name} in the form of MySQL 5.1.0 to 5.1.17, which does not say what its rows hold; rows of these \
                     servers cannot be read"
                )
            }
            Self::ServerVersion { server_version, problem } => {
                write!(f, "FORMAT_DESCRIPTION_EVENT: server version \"{server_version}\" {problem}")
            }
            Self::NoFormatDescription { event_type } => {
                write!(f, "{} before any FORMAT_DESCRIPTION_EVENT", EventTypeName(*event_type))
            }
            Self::NextPos { event_type, expected, next_pos } => {
                let name = EventTypeName(*event_type);
                write!(f, "{name}: it ends at {expected}, its header says {next_pos} (modulo 2^32)")
            }
            Self::Compression { algorithm } => {
                write!(
                    f,
                    "TRANSACTION_PAYLOAD_EVENT: unknown compression {algorithm}, expected 0 (ZSTD) or 255 (NONE)"
                )
            }
            Self::Decompress { event_type, reason } => write!(f, "{}: {reason}", EventTypeName(*event_type)),
            Self::EventTooLarge { event_type, size, limit } => {
                let name = EventTypeName(*event_type);
                write!(f, "{name}: {size} bytes are more than max_event_bytes={limit}")
            }
            Self::NotABinlog { path, found } => {
                write!(f, "{}: not a binlog: expected it to begin with fe 62 69 6e, {found}", path.display())
            }
            Self::Encrypted { path, by } => {
                write!(f, "{}: encrypted by {by}; read it from the server instead", path.display())
            }
            Self::Truncated { path, position, need, have } => {
                let path = path.display();
                write!(f, "{path}:{position}: the file ends inside an event: need {need} bytes, have {have}")
            }
            Self::Io { path, position, error } => write!(f, "{}:{position}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BinlogError {}
