//! Whether a server could go on where another one is read from: a look at its GTIDs, without a dump.

use super::Planning;
use super::mariadb::Comparison;
use super::mariadb::compare;
use super::mysql::MysqlGtids;
use crate::binlog::ExecutedGtids;
use crate::code::Code;
use crate::config::ShardConfig;
use crate::mysql::binlog_index::MariadbGtids;
use crate::pipeline::fault::Fault;
use crate::pipeline::session::Session;

/// What a server has and has lost, as it said when it was asked.
pub struct Has(Kind);

enum Kind {
    Mysql(MysqlGtids),
    Mariadb(MariadbGtids),
}

impl Has {
    /// Asks a server that can be followed by GTID; others are refused.
    pub fn ask(shard: &ShardConfig, session: &mut Session) -> Result<Self, Fault> {
        let mut planning = Planning { shard, session };
        planning.require_logged_updates()?;
        if planning.session.facts.has_mysql_gtids() {
            return planning.mysql_gtids().map(|gtids| Self(Kind::Mysql(gtids)));
        }
        if planning.session.facts.has_mariadb_gtids() {
            return planning.mariadb_gtids().map(|gtids| Self(Kind::Mariadb(gtids)));
        }
        Err(planning.refused(Code::GtidMode, "the server is not followed by GTID"))
    }

    /// Whether a dump from it, asked for behind these, would be whole.
    pub fn goes_on_behind(&self, ours: &ExecutedGtids) -> bool {
        match (&self.0, ours) {
            (Kind::Mysql(theirs), ExecutedGtids::Mysql(ours)) => {
                theirs.executed.contains_set(ours) && ours.contains_set(&theirs.purged)
            }
            (Kind::Mariadb(theirs), ExecutedGtids::Mariadb(ours)) => {
                matches!(compare(ours, theirs), Comparison::Fits { unknown } if unknown.is_empty())
            }
            _ => false,
        }
    }

    /// Whether it has logged all that the other one has.
    pub fn has_all_of(&self, other: &Has) -> bool {
        match (&self.0, &other.0) {
            (Kind::Mysql(this), Kind::Mysql(other)) => this.executed.contains_set(&other.executed),
            (Kind::Mariadb(this), Kind::Mariadb(other)) => {
                let newest = other.binlog_state.position();
                newest.gtids().iter().all(|gtid| this.binlog_state.holds(gtid))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn mysql(executed: &str, purged: &str) -> Has {
        let set = |text: &str| text.replace('A', A).parse().unwrap();
        Has(Kind::Mysql(MysqlGtids { executed: set(executed), purged: set(purged) }))
    }

    fn mariadb(state: &str, purged: &str) -> Has {
        Has(Kind::Mariadb(MariadbGtids {
            binlog_state: state.parse().unwrap(),
            slave_pos: "".parse().unwrap(),
            purged: Some(purged.parse().unwrap()),
        }))
    }

    #[test]
    fn a_server_goes_on_that_has_ours_and_has_not_lost_the_rest() {
        let ours = ExecutedGtids::Mysql(format!("{A}:1-9").parse().unwrap());
        for (executed, purged, fits) in
            [("A:1-12", "A:1-9", true), ("A:1-8", "", false), ("A:1-12", "A:1-10", false)]
        {
            assert_eq!(mysql(executed, purged).goes_on_behind(&ours), fits, "{executed} {purged}");
        }
        let ours = ExecutedGtids::Mariadb("0-1-9".parse().unwrap());
        for (state, purged, fits) in [
            ("0-1-12", "0-1-9", true),
            ("0-1-9,0-2-10", "", true),
            ("0-1-8", "", false),
            ("0-1-12", "0-1-11", false),
            ("1-1-5", "", false),
        ] {
            assert_eq!(mariadb(state, purged).goes_on_behind(&ours), fits, "{state} {purged}");
        }
        assert!(!mysql("A:1-12", "").goes_on_behind(&ours), "GTIDs of the other kind");
    }

    #[test]
    fn one_that_lags_behind_another_is_told() {
        assert!(mysql("A:1-9", "").has_all_of(&mysql("A:1-9", "A:1-3")));
        assert!(!mysql("A:1-9", "").has_all_of(&mysql("A:1-10", "")));
        assert!(mariadb("0-1-9,0-2-12", "").has_all_of(&mariadb("0-1-7,0-2-12", "")));
        assert!(!mariadb("0-1-9,0-2-11", "").has_all_of(&mariadb("0-2-12", "")));
        assert!(!mariadb("0-1-9", "").has_all_of(&mysql("", "")));
    }
}
