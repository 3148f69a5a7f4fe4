//! Whether a place in a server's binlog is one where reading may begin.

use super::connection::Connection;
use super::connection::quote;
use super::error::SourceError;
use super::preflight::ServerFacts;
use crate::code::Code;

/// ER_ERROR_WHEN_EXECUTING_COMMAND: the server read there and found no event, or has no such file.
const ERROR_WHEN_EXECUTING: u16 = 1220;

/// What only stands inside of a transaction. With GTID events that holds for statements too: the GTID comes first.
const INSIDE: [&str; 9] = [
    "Table_map",
    "Write_rows",
    "Update_rows",
    "Delete_rows",
    "Partial_update",
    "Rows_query",
    "Annotate_rows",
    "Xid",
    "XA_prepare",
];

/// Says what is wrong with a place, if something is: no event starts there, or one from the middle of a transaction. A
/// server that does not let us look (SHOW BINLOG EVENTS needs REPLICATION SLAVE) finds nothing wrong.
pub fn objection(
    connection: &mut Connection,
    facts: &ServerFacts,
    file: &str,
    pos: u64,
) -> Result<Option<String>, SourceError> {
    let question = format!("SHOW BINLOG EVENTS IN {} FROM {pos} LIMIT 1", quote(file));
    let answer = match connection.query(&question) {
        Ok(answer) => answer,
        Err(error) if error.code() == Code::RightMissing => return Ok(None),
        Err(error) if error.server_errno() == Some(ERROR_WHEN_EXECUTING) => {
            return Ok(Some(format!("no event starts at {file}:{pos}: {}", error.text())));
        }
        Err(error) => return Err(error),
    };
    let column = answer.column("Event_type").unwrap_or(2);
    let Some(event_type) = answer.text(0, column) else { return Ok(None) };
    let by_gtid = facts.has_mysql_gtids() || facts.has_mariadb_gtids();
    let inside = INSIDE.iter().any(|inside| event_type.starts_with(inside))
        || by_gtid && matches!(event_type.as_str(), "Query" | "Intvar" | "RAND" | "User var");
    Ok(inside
        .then(|| format!("at {file}:{pos} stands an event from the middle of a transaction ({event_type})")))
}
