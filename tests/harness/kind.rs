//! The kinds of servers that tests run on.

use std::fmt;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 5.6.24: native passwords, no metadata in TABLE_MAP, GTIDs when asked for.
    Mysql56,
    /// 9.7 or later: caching_sha2_password, TLS.
    Mysql97,
    /// What the machine's Debian has: 10.11 on Debian 12.
    Mariadb,
    /// 11.8 or later: parsec logins, UCA 14 collations, events of a transaction without positions.
    Mariadb118,
}

impl Kind {
    /// The kinds that tests of everything run on; what only newer MariaDB servers do names [`Kind::Mariadb118`] itself.
    pub const ALL: [Kind; 3] = [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb];

    /// The name that scripts/servers.sh uses.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Mysql56 => "mysql56",
            Kind::Mysql97 => "mysql97",
            Kind::Mariadb => "mariadb",
            Kind::Mariadb118 => "mariadb118",
        }
    }

    pub(super) fn client(self) -> &'static str {
        match self {
            Kind::Mysql56 => "mysql-5.6",
            Kind::Mysql97 => "mysql-9.7",
            Kind::Mariadb => "mariadb",
            Kind::Mariadb118 => "mariadb-11.8",
        }
    }

    /// The kind whose package holds the mysqlbinlog for this kind's files, and that program's name. MySQL 9.7's leaves
    /// out the last row of a 5.6 event when that row is NULL in (almost) all columns; MariaDB's prints it.
    pub(super) fn mysqlbinlog(self) -> (Kind, &'static str) {
        match self {
            Kind::Mysql97 => (Kind::Mysql97, "mysqlbinlog-9.7"),
            Kind::Mysql56 | Kind::Mariadb => (Kind::Mariadb, "mariadb-binlog"),
            Kind::Mariadb118 => (Kind::Mariadb118, "mariadb-binlog-11.8"),
        }
    }

    /// Whether this is a MySQL server and not MariaDB.
    pub fn is_mysql(self) -> bool {
        matches!(self, Kind::Mysql56 | Kind::Mysql97)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
