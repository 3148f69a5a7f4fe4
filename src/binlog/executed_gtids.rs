//! How far a log has been read, told in GTIDs: MySQL's as a set, MariaDB's as one position for each domain, and the group
//! ids of Baidu's MySQL 5.1 ("Ares"), of which the last one says it all.

use crate::binlog::gtid::Gtid;
use crate::binlog::gtid::GtidTextError;
use crate::binlog::gtid_set::GtidSet;
use crate::binlog::mariadb_gtid::MariadbGtid;
use crate::binlog::mariadb_gtid::MariadbGtidPosition;
use std::fmt;
use std::str::FromStr;

/// The GTID of one transaction, of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyGtid {
    Mysql(Gtid),
    Mariadb(MariadbGtid),
    /// A number from 1 on that all events of a transaction carry. It rises from one transaction to the next, and a server
    /// that takes over goes on counting where the old one ended.
    Group(u64),
}

impl fmt::Display for AnyGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(gtid) => gtid.fmt(f),
            Self::Mariadb(gtid) => gtid.fmt(f),
            Self::Group(id) => id.fmt(f),
        }
    }
}

/// All transactions that have been read, of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutedGtids {
    /// Every transaction by itself, in any order.
    Mysql(GtidSet),
    /// The last one of each domain; those before it in its domain are read too.
    Mariadb(MariadbGtidPosition),
    /// The last one; those before it are read too.
    Group(u64),
}

impl ExecutedGtids {
    /// Adds the transaction that has been read now. False when it is of the other kind: then nothing is changed, and
    /// this tells no longer how far the log has been read.
    #[must_use]
    pub fn add(&mut self, gtid: &AnyGtid) -> bool {
        match (self, gtid) {
            (Self::Mysql(set), AnyGtid::Mysql(gtid)) => set.add(gtid),
            (Self::Mariadb(position), AnyGtid::Mariadb(gtid)) => position.set(*gtid),
            (Self::Group(last), AnyGtid::Group(id)) => *last = *id,
            (Self::Mysql(_) | Self::Mariadb(_) | Self::Group(_), _) => return false,
        }
        true
    }

    pub fn mysql(&self) -> Option<&GtidSet> {
        match self {
            Self::Mysql(set) => Some(set),
            Self::Mariadb(_) | Self::Group(_) => None,
        }
    }

    pub fn mariadb(&self) -> Option<&MariadbGtidPosition> {
        match self {
            Self::Mariadb(position) => Some(position),
            Self::Mysql(_) | Self::Group(_) => None,
        }
    }

    pub fn group(&self) -> Option<u64> {
        match self {
            Self::Group(id) => Some(*id),
            Self::Mysql(_) | Self::Mariadb(_) => None,
        }
    }
}

/// The text of the server whose kind it is.
impl fmt::Display for ExecutedGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mysql(set) => set.fmt(f),
            Self::Mariadb(position) => position.fmt(f),
            Self::Group(id) => id.fmt(f),
        }
    }
}

/// A text from a person: which kind it is shows, for a MySQL GTID has a colon and a MariaDB GTID has none.
impl FromStr for ExecutedGtids {
    type Err = GtidTextError;

    fn from_str(text: &str) -> Result<Self, GtidTextError> {
        match text.contains(':') {
            true => text.parse().map(Self::Mysql),
            false => text.parse().map(Self::Mariadb),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_shows_its_kind() {
        let kind = |text: &str| text.parse::<ExecutedGtids>().map(|gtids| gtids.mysql().is_some());
        assert_eq!(kind("3e11fa47-71ca-11e1-9e33-c80aa9429562:24"), Ok(true));
        assert_eq!(kind("0-1-42,1-2-7"), Ok(false));
        assert!(kind("0-1-42,3e11fa47-71ca-11e1-9e33-c80aa9429562:24").is_err());
        assert!(kind("0-1").is_err());
    }

    #[test]
    fn a_transaction_of_the_other_kind_is_not_taken() {
        let mysql = AnyGtid::Mysql("3e11fa47-71ca-11e1-9e33-c80aa9429562:24".parse().unwrap());
        let mariadb = AnyGtid::Mariadb("0-2-43".parse().unwrap());
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23";
        let mut executed = ExecutedGtids::Mysql(set.parse().unwrap());
        assert!(!executed.add(&mariadb) && executed.to_string() == set);
        assert!(executed.add(&mysql));
        assert_eq!(executed.to_string(), set.replace("23", "24"));
        let mut executed = ExecutedGtids::Mariadb("0-1-42,1-1-7".parse().unwrap());
        assert!(!executed.add(&mysql) && executed.add(&mariadb));
        assert_eq!(executed.to_string(), "0-2-43,1-1-7");
        let mut executed = ExecutedGtids::Group(7);
        assert!(!executed.add(&mariadb) && executed.add(&AnyGtid::Group(9)));
        assert_eq!(executed.group(), Some(9));
    }
}
