//! What a MariaDB binlog holds up to some place: the last transaction of each domain *and* server, as in
//! `gtid_binlog_state` and in the GTID_LIST_EVENT at a file's start.

use crate::binlog::gtid::GtidTextError;
use crate::binlog::mariadb_gtid::MariadbGtid;
use crate::binlog::mariadb_gtid::MariadbGtidPosition;
use std::str::FromStr;

/// For each domain and server the last transaction; behind a domain's others stands the one that came last of all
/// (`rpl_binlog_state::append_state` and `Gtid_list_log_event` in MariaDB's sources).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MariadbBinlogState {
    pub gtids: Vec<MariadbGtid>,
}

impl MariadbBinlogState {
    /// The last number that this server gave to a transaction of this domain.
    pub fn last_of(&self, domain: u32, server_id: u32) -> Option<u64> {
        let mut of_both =
            self.gtids.iter().filter(|gtid| gtid.domain == domain && gtid.server_id == server_id);
        of_both.next_back().map(|gtid| gtid.sequence)
    }

    /// The newest transaction of a domain, whichever server it came from.
    pub fn newest(&self, domain: u32) -> Option<MariadbGtid> {
        self.gtids.iter().rfind(|gtid| gtid.domain == domain).copied()
    }

    /// The newest transaction of each domain.
    pub fn position(&self) -> MariadbGtidPosition {
        self.gtids.iter().copied().collect()
    }

    /// Whether this transaction was logged, or one behind it by the same server.
    pub fn holds(&self, gtid: &MariadbGtid) -> bool {
        self.last_of(gtid.domain, gtid.server_id).is_some_and(|last| last >= gtid.sequence)
    }

    /// Newest transactions of the domains in which something behind `position` was logged before this place: what a
    /// reader from there would miss in a binlog that begins here. The server's own rule, `contains_all_slave_gtid` in
    /// `sql/sql_repl.cc`.
    pub fn newer_than<'a>(
        &'a self,
        position: &'a MariadbGtidPosition,
    ) -> impl Iterator<Item = MariadbGtid> + 'a {
        let newest = self.position();
        let missed = move |newest: &MariadbGtid| match position.get(newest.domain) {
            None => true,
            Some(ours) if ours == newest => false,
            Some(ours) => self.holds(ours),
        };
        newest.gtids().to_vec().into_iter().filter(missed)
    }
}

/// `0-7-4,0-1-5,1-1-1`: as a position, but a domain may come more than once.
impl FromStr for MariadbBinlogState {
    type Err = GtidTextError;

    fn from_str(text: &str) -> Result<Self, GtidTextError> {
        let mut gtids = Vec::new();
        let mut offset = 0;
        for part in text.split(',').filter(|_| !text.trim().is_empty()) {
            let at = |error: GtidTextError| GtidTextError { offset: offset + error.offset, ..error };
            gtids.push(part.parse().map_err(at)?);
            offset += part.len() + 1;
        }
        Ok(Self { gtids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MariaDB 10.11 told it: two domains, two servers, each domain's newest behind.
    fn state() -> MariadbBinlogState {
        "0-7-4,0-1-5,1-1-1,1-7-2".parse().unwrap()
    }

    #[test]
    fn a_domain_s_newest_stands_behind_its_others() {
        assert_eq!(state().position().to_string(), "0-1-5,1-7-2");
        assert_eq!(state().newest(1), Some("1-7-2".parse().unwrap()));
        assert_eq!(state().newest(2), None);
        assert_eq!((state().last_of(0, 7), state().last_of(0, 2)), (Some(4), None));
        for (gtid, held) in [("0-7-4", true), ("0-7-5", false), ("0-1-1", true), ("2-1-1", false)] {
            assert_eq!(state().holds(&gtid.parse().unwrap()), held, "{gtid}");
        }
        assert_eq!("".parse(), Ok(MariadbBinlogState::default()));
        assert!("0-1-5,".parse::<MariadbBinlogState>().is_err());
    }

    #[test]
    fn what_a_reader_would_miss() {
        let missed = |position: &str| {
            let position = position.parse().unwrap();
            state().newer_than(&position).map(|gtid| gtid.to_string()).collect::<Vec<_>>()
        };
        assert!(missed("0-1-5,1-7-2").is_empty());
        // Another server's number, and one that is to come yet: they stand behind all that was logged here.
        assert!(missed("0-9-3,1-7-3").is_empty());
        assert_eq!(missed("0-1-4,1-7-2"), ["0-1-5"]);
        // The last one of its server, but not of its domain.
        assert_eq!(missed("0-7-4,1-1-1"), ["0-1-5", "1-7-2"]);
        // Nothing is known of domain 1: all of it is wanted.
        assert_eq!(missed("0-1-5"), ["1-7-2"]);
    }
}
