//! What a logged statement does to definitions. Asked by the assembler, and by whoever looks ahead in the log for DDL.

use crate::binlog::Flavor;
use crate::binlog::Query;
use crate::change::assembler::readings::Readings;
use crate::change::sql;
use crate::change::sql::Quoting;
use crate::change::sql::Sql;
use crate::change::sql::Touched;

/// Bits of [`crate::binlog::query::QueryStatus::mariadb_gtid_flags`]: with `binlog_alter_two_phase` an ALTER is logged
/// when it starts and again, whole, when it commits or is rolled back (`Gtid_log_event::FL_START_ALTER_E1` and
/// `FL_ROLLBACK_ALTER_E1` in MariaDB's log_event.h).
pub(super) const START_ALTER: u8 = 2;
pub(super) const ROLLBACK_ALTER: u8 = 8;

/// A statement that may have changed definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touching {
    pub touched: Touched,
    /// Its beginning, values left out.
    pub text: String,
}

/// What a statement touches; none where it touches no definition.
pub fn touching(query: &Query<'_>, flavor: Flavor) -> Option<Touching> {
    let status = query.status();
    if status.mariadb_gtid_flags.unwrap_or(0) & (START_ALTER | ROLLBACK_ALTER) != 0 {
        return None;
    }
    let readings = Readings::of(query, flavor);
    let database = String::from_utf8_lossy(query.database);
    let quoting = Quoting::of_sql_mode(status.sql_mode.unwrap_or(0));
    let sql = Sql { text: &readings.likely, database: &database, quoting };
    let other = readings.other.as_deref().map(|text| sql::touched(Sql { text, ..sql }));
    let touched = sql::touched(sql).or(other.unwrap_or(Touched::Nothing));
    (!touched.is_nothing()).then(|| Touching { touched, text: sql::without_values(sql) })
}
