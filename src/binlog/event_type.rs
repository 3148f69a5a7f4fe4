//! The numbers of the binlog's event types, and their names as MySQL and MariaDB write them.
//!
//! MySQL: `enum Log_event_type` in `libs/mysql/binlog/event/binlog_event.h`. MariaDB: the same enum in
//! `sql/log_event.h`, where everything from 160 on is MariaDB's own.

macro_rules! event_types {
    ($($name:ident $number:literal)*) => {
        $(pub const $name: u8 = $number;)*

        /// The name of an event type, `None` for a number that neither server had given out.
        pub fn event_type_name(event_type: u8) -> Option<&'static str> {
            match event_type {
                $($number => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

event_types! {
    UNKNOWN_EVENT 0
    START_EVENT_V3 1
    QUERY_EVENT 2
    STOP_EVENT 3
    ROTATE_EVENT 4
    INTVAR_EVENT 5
    LOAD_EVENT 6
    SLAVE_EVENT 7
    CREATE_FILE_EVENT 8
    APPEND_BLOCK_EVENT 9
    EXEC_LOAD_EVENT 10
    DELETE_FILE_EVENT 11
    NEW_LOAD_EVENT 12
    RAND_EVENT 13
    USER_VAR_EVENT 14
    FORMAT_DESCRIPTION_EVENT 15
    XID_EVENT 16
    BEGIN_LOAD_QUERY_EVENT 17
    EXECUTE_LOAD_QUERY_EVENT 18
    TABLE_MAP_EVENT 19
    PRE_GA_WRITE_ROWS_EVENT 20
    PRE_GA_UPDATE_ROWS_EVENT 21
    PRE_GA_DELETE_ROWS_EVENT 22
    WRITE_ROWS_EVENT_V1 23
    UPDATE_ROWS_EVENT_V1 24
    DELETE_ROWS_EVENT_V1 25
    INCIDENT_EVENT 26
    HEARTBEAT_LOG_EVENT 27
    IGNORABLE_LOG_EVENT 28
    ROWS_QUERY_LOG_EVENT 29
    WRITE_ROWS_EVENT 30
    UPDATE_ROWS_EVENT 31
    DELETE_ROWS_EVENT 32
    GTID_LOG_EVENT 33
    ANONYMOUS_GTID_LOG_EVENT 34
    PREVIOUS_GTIDS_LOG_EVENT 35
    TRANSACTION_CONTEXT_EVENT 36
    VIEW_CHANGE_EVENT 37
    XA_PREPARE_LOG_EVENT 38
    PARTIAL_UPDATE_ROWS_EVENT 39
    TRANSACTION_PAYLOAD_EVENT 40
    HEARTBEAT_LOG_EVENT_V2 41
    GTID_TAGGED_LOG_EVENT 42
    LARGE_TRANSACTION_HEADER_EVENT 43
    ANNOTATE_ROWS_EVENT 160
    BINLOG_CHECKPOINT_EVENT 161
    GTID_EVENT 162
    GTID_LIST_EVENT 163
    START_ENCRYPTION_EVENT 164
    QUERY_COMPRESSED_EVENT 165
    WRITE_ROWS_COMPRESSED_EVENT_V1 166
    UPDATE_ROWS_COMPRESSED_EVENT_V1 167
    DELETE_ROWS_COMPRESSED_EVENT_V1 168
    WRITE_ROWS_COMPRESSED_EVENT 169
    UPDATE_ROWS_COMPRESSED_EVENT 170
    DELETE_ROWS_COMPRESSED_EVENT 171
    PARTIAL_ROW_DATA_EVENT 172
}

/// Prints an event type: its name, or its number where it has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTypeName(pub u8);

impl std::fmt::Display for EventTypeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match event_type_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "event of type {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_printed_by_name_or_by_number() {
        assert_eq!(EventTypeName(GTID_TAGGED_LOG_EVENT).to_string(), "GTID_TAGGED_LOG_EVENT");
        assert_eq!(EventTypeName(PARTIAL_ROW_DATA_EVENT).to_string(), "PARTIAL_ROW_DATA_EVENT");
        assert_eq!(EventTypeName(99).to_string(), "event of type 99");
    }
}
