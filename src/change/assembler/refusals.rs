//! Events that stop the shard, each with what can be done about it.

use crate::binlog::control::Incident;
use crate::binlog::event_type::event_type_name;
use crate::change::error::ChangeError;
use crate::code::Code;

pub fn incident(incident: &Incident<'_>) -> ChangeError {
    ChangeError::new(
        Code::Incident,
        format!(
            "the server logged that events were lost here (incident {}: {}); copy the tables anew and start behind this \
             event",
            incident.number,
            String::from_utf8_lossy(incident.message)
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
