//! Events that stop the shard, each with what can be done about it.

use crate::binlog::Flavor;
use crate::binlog::control::Incident;
use crate::binlog::event_type::event_type_name;
use crate::change::batch::Place;
use crate::change::error::ChangeError;
use crate::code::Code;

/// `behind`: where the next event starts.
pub fn incident(incident: &Incident<'_>, flavor: Flavor, behind: &Place) -> ChangeError {
    // An incident of MariaDB has no GTID: a dump by GTID that begins in its file sends it, wherever the GTIDs stand.
    let way = match flavor {
        Flavor::MySql => "",
        Flavor::MariaDb => {
            ", with binlog_dump_strategy=position for this command and for the run until it has read a transaction in a later \
             binlog file (FLUSH BINARY LOGS begins one)"
        }
    };
    ChangeError::new(
        Code::Incident,
        format!(
            "the server logged that events were lost here (incident {}: {}); copy the tables anew and start behind this \
             event: fountain points set SHARD --file {} --pos {} --reason TEXT{way}",
            incident.number,
            String::from_utf8_lossy(incident.message),
            behind.file,
            behind.pos
        ),
    )
}

pub fn payload_in_payload() -> ChangeError {
    ChangeError::new(Code::BadEvent, "a compressed event inside another one")
}

pub fn mariadb_partial_rows() -> ChangeError {
    ChangeError::new(
        Code::Unsupported,
        "PARTIAL_ROW_DATA_EVENT, a row event in pieces (MariaDB 12.3): not in this version; raise binlog_row_event_fragment_threshold \
         (to 1 GiB at most) or change fewer rows in a statement, copy the table anew and start behind this event",
    )
}

pub fn unknown(event_type: u8) -> ChangeError {
    ChangeError::new(
        Code::UnknownEvent,
        format!(
            "{} (event type {event_type}) is not known to this version and not marked as one that may be passed over",
            event_type_name(event_type).unwrap_or("an event")
        ),
    )
}
