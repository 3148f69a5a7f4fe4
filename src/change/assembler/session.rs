//! What the session had set when it ran a statement that was logged as such: without it the text does not say what the
//! statement did. Kept until the statement comes, then told beside it as the assignments of one SQL `SET`.

use crate::binlog::EventHeader;
use crate::binlog::Flavor;
use crate::binlog::query::QueryStatus;
use crate::binlog::statement::StatementContext;
use crate::binlog::statement::UserVar;
use crate::binlog::statement::UserVarValue;
use crate::change::error::ChangeError;
use crate::code::Code;
use crate::codec::Reader;
use crate::column::Charset;
use crate::column::ColumnError;
use crate::column::decimal::Decimal;

/// Assignments in front of one statement at most: more than a statement can have variables.
const MOST_ASSIGNMENTS: usize = 1 << 16;
/// Their bytes at most: one variable of the largest `max_allowed_packet`, in hexadecimal digits, and some more.
const MOST_BYTES: usize = (2 << 30) + (64 << 20);

/// Assignments for the next statement.
#[derive(Debug, Default)]
pub struct SessionSettings {
    assignments: Vec<String>,
    bytes: usize,
}

impl SessionSettings {
    /// An event in front of a statement.
    pub fn add(&mut self, context: &StatementContext<'_>, flavor: Flavor) -> Result<(), ChangeError> {
        match context {
            StatementContext::Intvar { kind: 1, value } => self.push(format!("LAST_INSERT_ID={value}")),
            StatementContext::Intvar { kind: 2, value } => self.push(format!("INSERT_ID={value}")),
            StatementContext::Intvar { kind, .. } => {
                let text = format!("INTVAR_EVENT: unknown kind {kind}, expected 1 or 2");
                return Err(ChangeError::new(Code::BadEvent, text));
            }
            StatementContext::Rand { seed1, seed2 } => {
                self.push(format!("RAND_SEED1={seed1},RAND_SEED2={seed2}"))
            }
            StatementContext::UserVar(variable) => {
                let name = String::from_utf8_lossy(variable.name).replace('`', "``");
                let value = literal(variable, flavor).map_err(|why| {
                    ChangeError::new(Code::BadEvent, format!("USER_VAR_EVENT: @`{name}`: {why}"))
                })?;
                self.push(format!("@`{name}`={value}"))
            }
        }
    }

    fn push(&mut self, assignment: String) -> Result<(), ChangeError> {
        self.bytes += assignment.len();
        self.assignments.push(assignment);
        if self.assignments.len() <= MOST_ASSIGNMENTS && self.bytes <= MOST_BYTES {
            return Ok(());
        }
        let text = format!(
            "{} settings of {} bytes stand in front of one statement, expected {MOST_ASSIGNMENTS} and {MOST_BYTES} at most",
            self.assignments.len(),
            self.bytes
        );
        Err(ChangeError::new(Code::BadEvent, text))
    }

    /// The statement has come: what was set for it, and nothing of that for the next one.
    pub fn take(&mut self, header: &EventHeader, status: &QueryStatus<'_>) -> String {
        let mut set = format!("TIMESTAMP={}", header.timestamp);
        if let Some(micros) = status.microseconds {
            set.push_str(&format!(".{micros:06}"));
        }
        let mut add = |assignment: &str| {
            set.push(',');
            set.push_str(assignment);
        };
        if let Some(mode) = status.sql_mode {
            add(&format!("SQL_MODE={mode}"));
        }
        if let Some(zone) = status.time_zone {
            add(&format!("TIME_ZONE='{}'", String::from_utf8_lossy(zone).replace('\'', "''")));
        }
        if let Some((increment, offset)) = status.auto_increment {
            add(&format!("AUTO_INCREMENT_INCREMENT={increment},AUTO_INCREMENT_OFFSET={offset}"));
        }
        self.bytes = 0;
        for assignment in self.assignments.drain(..) {
            add(&assignment);
        }
        set
    }

    /// Another statement than one of interest has come.
    pub fn forget(&mut self) {
        self.assignments.clear();
        self.bytes = 0;
    }
}

/// `Item_result`, as USER_VAR_EVENT writes it.
const STRING: u8 = 0;
const REAL: u8 = 1;
const INT: u8 = 2;
const DECIMAL: u8 = 4;

/// The value as SQL text that gives it back whole.
fn literal(variable: &UserVar<'_>, flavor: Flavor) -> Result<String, String> {
    let Some(value) = &variable.value else { return Ok("NULL".to_owned()) };
    let number = || <[u8; 8]>::try_from(value.bytes).map_err(|_| "a number is not of 8 bytes".to_owned());
    match value.result_type {
        STRING => Ok(string(value, flavor)),
        REAL => Ok(format!("{:e}", f64::from_le_bytes(number()?))),
        INT if value.unsigned => Ok(u64::from_le_bytes(number()?).to_string()),
        INT => Ok(i64::from_le_bytes(number()?).to_string()),
        DECIMAL => decimal(value.bytes).map_err(|error| error.to_string()),
        other => Err(format!("unknown type {other}")),
    }
}

fn string(value: &UserVarValue<'_>, flavor: Flavor) -> String {
    let charset = match flavor {
        Flavor::MySql => Charset::from_mysql_collation_id(value.collation),
        Flavor::MariaDb => Charset::from_collation_id(value.collation),
    };
    let mut text = charset.map_or_else(String::new, |charset| format!("_{} ", charset.name()));
    text.push_str("X'");
    for byte in value.bytes {
        text.push_str(&format!("{byte:02X}"));
    }
    text.push('\'');
    text
}

fn decimal(bytes: &[u8]) -> Result<String, ColumnError> {
    let mut text = Vec::new();
    Decimal::read_self_described(&mut Reader::new(bytes))?.write(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Decoder;
    use crate::binlog::Event;
    use crate::binlog::testing;

    /// What each statement of a fixture is told with.
    fn told(name: &str) -> Vec<String> {
        let (mut decoder, mut settings) = (Decoder::default(), SessionSettings::default());
        let mut told = Vec::new();
        for (_, bytes) in testing::fixture(name) {
            let (header, event) = decoder.decode(&bytes).unwrap();
            match event {
                Event::StatementContext(context) => settings.add(&context, Flavor::MySql).unwrap(),
                Event::Query(query) => {
                    let set = settings.take(&header, &query.status());
                    let (timestamp, rest) = set.split_once(",SQL_MODE=").unwrap();
                    assert!(timestamp.starts_with(&format!("TIMESTAMP={}", header.timestamp)), "{set}");
                    told.extend(rest.split_once(',').map(|(_, own)| own.to_owned()));
                }
                _ => {}
            }
        }
        told
    }

    #[test]
    fn each_kind_of_value_is_told_as_sql() {
        let told = told("mysql56_gtid.bin");
        let all = told.join(",");
        for part in [
            "INSERT_ID=",
            "RAND_SEED1=",
            "@`x`=_utf8mb4 X'66C3BC72'",
            "@`n`=42",
            "@`neg`=-7",
            "@`real`=1e3",
            "@`nul`=NULL",
        ] {
            assert!(all.contains(part), "{part} expected in {told:?}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let mut settings = SessionSettings::default();
        let intvar = StatementContext::Intvar { kind: 9, value: 1 };
        assert_eq!(settings.add(&intvar, Flavor::MySql).unwrap_err().code, Code::BadEvent);
        for (result_type, bytes) in [(3, &[0; 8][..]), (1, &[0; 7]), (4, &[0; 1]), (2, &[])] {
            let value = UserVarValue { result_type, collation: 63, bytes, unsigned: false };
            let variable = StatementContext::UserVar(UserVar { name: b"v", value: Some(value) });
            let error = settings.add(&variable, Flavor::MySql).unwrap_err();
            assert!(error.text.contains("@`v`"), "{}", error.text);
        }
    }
}
