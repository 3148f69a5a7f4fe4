//! From an event's bytes to what it says: checksum, format description, dispatch by type.

use crate::binlog::checksum;
use crate::binlog::checksum::ChecksumAlgorithm;
use crate::binlog::control::Incident;
use crate::binlog::control::TransactionContext;
use crate::binlog::control::ViewChange;
use crate::binlog::error::BinlogError;
use crate::binlog::event_type::*;
use crate::binlog::format_description::Format;
use crate::binlog::format_description::FormatDescription;
use crate::binlog::gtid_event::GtidEvent;
use crate::binlog::gtid_set::GtidSet;
use crate::binlog::header::EventHeader;
use crate::binlog::header::HEADER_LENGTH;
use crate::binlog::mariadb;
use crate::binlog::mariadb::MariadbGtidEvent;
use crate::binlog::mariadb::MariadbGtidList;
use crate::binlog::mariadb::PartialRowData;
use crate::binlog::mariadb::StartEncryption;
use crate::binlog::mariadb_compressed::CompressedEvent;
use crate::binlog::payload::PayloadEvent;
use crate::binlog::query::Query;
use crate::binlog::rotate::Heartbeat;
use crate::binlog::rotate::Rotate;
use crate::binlog::rows::RowsEvent;
use crate::binlog::statement::StatementContext;
use crate::binlog::statement::StatementLoad;
use crate::binlog::table_map::TableMapEvent;
use crate::binlog::xa::XaPrepare;
use crate::codec::CodecError;
use crate::codec::Reader;

/// What an event says. Borrows the event's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    FormatDescription(FormatDescription<'a>),
    Rotate(Rotate<'a>),
    Query(Query<'a>),
    /// COMMIT of a transaction in a transactional engine, with the engine's number.
    Xid(u64),
    Gtid(GtidEvent),
    PreviousGtids(GtidSet),
    TableMap(TableMapEvent<'a>),
    Rows(RowsEvent<'a>),
    /// The statement that the rows behind it come from (`binlog_rows_query_log_events`).
    RowsQuery(&'a [u8]),
    /// A compressed transaction: see `PayloadReader` and `Decoder::decode_inner`.
    Payload(PayloadEvent<'a>),
    XaPrepare(XaPrepare<'a>),
    Heartbeat(Heartbeat<'a>),
    Incident(Incident<'a>),
    Stop,
    StatementContext(StatementContext<'a>),
    StatementLoad(StatementLoad<'a>),
    TransactionContext(TransactionContext<'a>),
    ViewChange(ViewChange<'a>),
    /// Of no known type, or of type 28, and marked by the server as one that may be passed over.
    Ignorable {
        event_type: u8,
    },
    MariadbGtid(MariadbGtidEvent<'a>),
    MariadbGtidList(MariadbGtidList),
    /// The statement that the rows behind it come from.
    MariadbAnnotateRows(&'a [u8]),
    /// Name of the oldest file that crash recovery needs.
    MariadbBinlogCheckpoint(&'a [u8]),
    MariadbStartEncryption(StartEncryption),
    /// `log_bin_compress`: a statement or rows, to be unpacked first.
    MariadbCompressed(CompressedEvent<'a>),
    /// A piece of a row event: recognised, not yet put together.
    MariadbPartialRows(PartialRowData<'a>),
    /// Of no known type and not marked as ignorable: to pass it over would lose what it says.
    Unknown {
        event_type: u8,
        flags: u16,
    },
}

/// Decodes the events of one connection or file, in order. Remembers the last format description and nothing
/// else.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    initial: ChecksumAlgorithm,
    format: Option<Format>,
    group_id: Option<u64>,
}

/// Headers of Baidu's MySQL 5.1 have eight bytes more.
const ARES_HEADER_LENGTH: usize = HEADER_LENGTH + 8;

impl Decoder {
    /// `initial`: what the replica declared as its checksum algorithm, which decides whether the artificial
    /// rotate in front of the first format description carries one. Of no importance for files.
    pub fn new(initial: ChecksumAlgorithm) -> Self {
        Self { initial, format: None, group_id: None }
    }

    /// The algorithm of the events to come.
    pub fn checksum(&self) -> ChecksumAlgorithm {
        self.format.as_ref().map_or(self.initial, |format| format.checksum)
    }

    /// What the last format description said.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// The bytes of the header behind the usual 19 (none, save for servers that were changed to write more).
    pub fn extra_header<'a>(&self, event: &'a [u8]) -> &'a [u8] {
        event.get(HEADER_LENGTH..self.header_length()).unwrap_or_default()
    }

    /// The group id of the event decoded last: the eight bytes, little-endian, behind the usual header in logs of Baidu's
    /// MySQL 5.1 ("Ares"; the format of Google's MySQL patches). None elsewhere, and where they say 0: a server that was
    /// not told to count.
    pub fn group_id(&self) -> Option<u64> {
        self.group_id
    }

    /// These three never have more than the usual header: it must be readable before a format description, or is fixed.
    fn read_group_id(&self, event_type: u8, event: &[u8]) -> Option<u64> {
        let short = matches!(event_type, ROTATE_EVENT | FORMAT_DESCRIPTION_EVENT | START_EVENT_V3);
        if short || self.header_length() != ARES_HEADER_LENGTH {
            return None;
        }
        let id = <[u8; 8]>::try_from(self.extra_header(event)).ok().map(u64::from_le_bytes);
        id.filter(|id| *id != 0)
    }

    /// Decodes one whole event, its checksum proved where it has one.
    pub fn decode<'a>(&mut self, event: &'a [u8]) -> Result<(EventHeader, Event<'a>), BinlogError> {
        let header = EventHeader::parse(event)?;
        header.check_size(event)?;
        let event_type = header.event_type;
        let decoded = match (event_type, &self.format) {
            (FORMAT_DESCRIPTION_EVENT, _) => {
                let description = FormatDescription::parse(event)?;
                self.format = Some(Format::new(&description));
                Event::FormatDescription(description)
            }
            // Servers before 5.0 and nobody since.
            (START_EVENT_V3, _) => return Err(old_binlog_version(event)),
            (ROTATE_EVENT, _) if header.is_artificial() => {
                let bytes = self.artificial_rotate(event)?;
                self.read(&header, bytes)?
            }
            (ROTATE_EVENT | HEARTBEAT_LOG_EVENT | HEARTBEAT_LOG_EVENT_V2, _) | (_, Some(_)) => {
                let bytes = self.without_checksum(event_type, event)?;
                self.read(&header, bytes)?
            }
            (_, None) => return Err(BinlogError::NoFormatDescription { event_type }),
        };
        self.group_id = self.read_group_id(event_type, event);
        Ok((header, decoded))
    }

    /// Decodes an event out of a compressed transaction. Those have no checksum of their own: the payload
    /// event's covers them.
    pub fn decode_inner<'a>(&self, event: &'a [u8]) -> Result<(EventHeader, Event<'a>), BinlogError> {
        let header = EventHeader::parse(event)?;
        header.check_size(event)?;
        let event_type = header.event_type;
        match (event_type, &self.format) {
            // Neither can stand there, and both would turn the stream's state over.
            (FORMAT_DESCRIPTION_EVENT | TRANSACTION_PAYLOAD_EVENT | ROTATE_EVENT, _) => {
                let reason = format!("holds a {}", EventTypeName(event_type));
                Err(BinlogError::Decompress { event_type: TRANSACTION_PAYLOAD_EVENT, reason })
            }
            (_, Some(_)) => Ok((header, self.read(&header, event)?)),
            (_, None) => Err(BinlogError::NoFormatDescription { event_type }),
        }
    }

    fn header_length(&self) -> usize {
        self.format.as_ref().map_or(HEADER_LENGTH, |format| format.header_length)
    }

    fn without_checksum<'a>(&self, event_type: u8, event: &'a [u8]) -> Result<&'a [u8], BinlogError> {
        match self.checksum() {
            ChecksumAlgorithm::Crc32 => checksum::verify(event_type, event),
            ChecksumAlgorithm::Off | ChecksumAlgorithm::Undefined => Ok(event),
        }
    }

    /// An artificial rotate behind a format description is like the events behind it (measured on all
    /// servers). Whether the first one carries a checksum goes by what the replica declared; but servers
    /// before checksums know no declaration, so it has one where the last four bytes are one, and has none
    /// where the file's name ends as binlogs' names do, in a dot and digits, with those four bytes taken
    /// along.
    fn artificial_rotate<'a>(&self, event: &'a [u8]) -> Result<&'a [u8], BinlogError> {
        if self.format.is_some() {
            return self.without_checksum(ROTATE_EVENT, event);
        }
        let digits = event.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let ends_as_a_name = digits > 0 && event.iter().rev().nth(digits) == Some(&b'.');
        match (checksum::verify(ROTATE_EVENT, event), self.initial) {
            (Ok(bytes), _) => Ok(bytes),
            (Err(error), ChecksumAlgorithm::Crc32) if !ends_as_a_name => Err(error),
            (Err(_), _) => Ok(event),
        }
    }

    /// Reads what stands behind the header; `bytes` is the event without checksum.
    fn read<'a>(&self, header: &EventHeader, bytes: &'a [u8]) -> Result<Event<'a>, BinlogError> {
        let field = BinlogError::field(header.event_type);
        let mut reader = Reader::new(bytes);
        // The header of a rotate never grows, so that one can be read before any format description.
        let header_length =
            if header.event_type == ROTATE_EVENT { HEADER_LENGTH } else { self.header_length() };
        reader.skip(header_length, "header").map_err(&field)?;
        match header.event_type {
            TRANSACTION_PAYLOAD_EVENT => PayloadEvent::read(&mut reader).map(Event::Payload),
            TABLE_MAP_EVENT if self.is_pre_ga_map(reader.clone()) => {
                Err(BinlogError::PreGaRows { event_type: header.event_type })
            }
            // NULL bits as the engine has them, not as the rows of today.
            PRE_GA_WRITE_ROWS_EVENT..=PRE_GA_DELETE_ROWS_EVENT => {
                Err(BinlogError::PreGaRows { event_type: header.event_type })
            }
            _ => self.read_body(header, &mut reader).map_err(field),
        }
    }

    fn is_pre_ga_map(&self, body: Reader<'_>) -> bool {
        self.checksum() == ChecksumAlgorithm::Undefined
            && TableMapEvent::is_pre_ga(body, self.post_header_length(TABLE_MAP_EVENT)).unwrap_or(false)
    }

    fn post_header_length(&self, event_type: u8) -> usize {
        self.format.as_ref().map_or(0, |format| format.post_header_length(event_type))
    }

    /// The flat list of what is read how, in the order of the numbers.
    fn read_body<'a>(&self, header: &EventHeader, bytes: &mut Reader<'a>) -> Result<Event<'a>, CodecError> {
        let event_type = header.event_type;
        let post_header_length = self.post_header_length(event_type);
        Ok(match event_type {
            QUERY_EVENT => Event::Query(Query::read(bytes, post_header_length)?),
            STOP_EVENT => Event::Stop,
            ROTATE_EVENT => Event::Rotate(Rotate::read(header, bytes)?),
            INTVAR_EVENT => Event::StatementContext(StatementContext::read_intvar(bytes)?),
            RAND_EVENT => Event::StatementContext(StatementContext::read_rand(bytes)?),
            USER_VAR_EVENT => Event::StatementContext(StatementContext::read_user_var(bytes)?),
            XID_EVENT => Event::Xid(read_xid(bytes)?),
            BEGIN_LOAD_QUERY_EVENT => Event::StatementLoad(StatementLoad::read_begin(bytes)?),
            APPEND_BLOCK_EVENT => Event::StatementLoad(StatementLoad::read_append(bytes)?),
            EXECUTE_LOAD_QUERY_EVENT => {
                Event::StatementLoad(StatementLoad::read_execute(bytes, post_header_length)?)
            }
            DELETE_FILE_EVENT => Event::StatementLoad(StatementLoad::read_delete(bytes)?),
            LOAD_EVENT | CREATE_FILE_EVENT | EXEC_LOAD_EVENT | NEW_LOAD_EVENT => {
                Event::StatementLoad(StatementLoad::Obsolete { event_type })
            }
            TABLE_MAP_EVENT => {
                let flavor = self.format.as_ref().map(|format| format.flavor).unwrap_or_default();
                Event::TableMap(TableMapEvent::read(bytes, post_header_length, flavor)?)
            }
            WRITE_ROWS_EVENT_V1..=DELETE_ROWS_EVENT_V1
            | WRITE_ROWS_EVENT..=DELETE_ROWS_EVENT
            | PARTIAL_UPDATE_ROWS_EVENT => {
                Event::Rows(RowsEvent::read(bytes, event_type, post_header_length)?)
            }
            INCIDENT_EVENT => Event::Incident(Incident::read(bytes)?),
            HEARTBEAT_LOG_EVENT => Event::Heartbeat(Heartbeat::read_v1(header, bytes)?),
            HEARTBEAT_LOG_EVENT_V2 => Event::Heartbeat(Heartbeat::read_v2(bytes)?),
            IGNORABLE_LOG_EVENT => Event::Ignorable { event_type },
            ROWS_QUERY_LOG_EVENT => Event::RowsQuery(read_rows_query(bytes)?),
            GTID_LOG_EVENT => Event::Gtid(GtidEvent::read(bytes, false)?),
            ANONYMOUS_GTID_LOG_EVENT => Event::Gtid(GtidEvent::read(bytes, true)?),
            GTID_TAGGED_LOG_EVENT => Event::Gtid(GtidEvent::read_tagged(bytes)?),
            PREVIOUS_GTIDS_LOG_EVENT => Event::PreviousGtids(read_previous_gtids(bytes)?),
            TRANSACTION_CONTEXT_EVENT => Event::TransactionContext(TransactionContext::read(bytes)?),
            VIEW_CHANGE_EVENT => Event::ViewChange(ViewChange::read(bytes)?),
            XA_PREPARE_LOG_EVENT => Event::XaPrepare(XaPrepare::read(bytes)?),
            ANNOTATE_ROWS_EVENT => Event::MariadbAnnotateRows(bytes.rest()),
            BINLOG_CHECKPOINT_EVENT => Event::MariadbBinlogCheckpoint(mariadb::read_checkpoint(bytes)?),
            GTID_EVENT => Event::MariadbGtid(MariadbGtidEvent::read(header, bytes)?),
            GTID_LIST_EVENT => Event::MariadbGtidList(MariadbGtidList::read(bytes)?),
            START_ENCRYPTION_EVENT => Event::MariadbStartEncryption(StartEncryption::read(bytes)?),
            QUERY_COMPRESSED_EVENT..=DELETE_ROWS_COMPRESSED_EVENT => {
                Event::MariadbCompressed(CompressedEvent::read(bytes, event_type, post_header_length)?)
            }
            PARTIAL_ROW_DATA_EVENT => Event::MariadbPartialRows(PartialRowData::read(bytes)?),
            _ if header.is_ignorable() => Event::Ignorable { event_type },
            _ => Event::Unknown { event_type, flags: header.flags },
        })
    }
}

/// The version that a START_EVENT_V3 names (2 bytes behind the header), 3 if it is cut short.
fn old_binlog_version(event: &[u8]) -> BinlogError {
    let mut bytes = Reader::new(event);
    let version = bytes.skip(HEADER_LENGTH, "header").and_then(|()| bytes.u16("binlog version"));
    BinlogError::BinlogVersion { version: version.unwrap_or(3) }
}

/// XID_EVENT: 8 bytes and nothing behind them. Whoever takes a checksum for part of an event stops here.
fn read_xid(bytes: &mut Reader<'_>) -> Result<u64, CodecError> {
    let xid = bytes.u64("xid")?;
    bytes.finish("xid")?;
    Ok(xid)
}

/// ROWS_QUERY_LOG_EVENT: a length of one byte, too small for most statements and therefore ignored, and the
/// statement.
fn read_rows_query<'a>(bytes: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    bytes.skip(1, "length of the statement")?;
    Ok(bytes.rest())
}

fn read_previous_gtids(bytes: &mut Reader<'_>) -> Result<GtidSet, CodecError> {
    let set = GtidSet::read(bytes)?;
    bytes.finish("GTID set")?;
    Ok(set)
}
