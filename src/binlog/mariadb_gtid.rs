//! MariaDB's global transaction identifiers: domain, server id, sequence number.

use crate::binlog::gtid::GtidTextError;
use std::fmt;
use std::str::FromStr;

/// One transaction. Prints as `0-1-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MariadbGtid {
    /// `gtid_domain_id`: transactions of one domain are ordered, those of different domains are not.
    pub domain: u32,
    /// `server_id` of the server that committed it first.
    pub server_id: u32,
    pub sequence: u64,
}

impl fmt::Display for MariadbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

impl FromStr for MariadbGtid {
    type Err = GtidTextError;

    fn from_str(text: &str) -> Result<Self, GtidTextError> {
        let error = || GtidTextError::at(text, 0, "a MariaDB GTID (domain-server_id-sequence)");
        let mut parts = text.trim().split('-');
        let (domain, server_id, sequence) =
            (number(parts.next()), number(parts.next()), number(parts.next()));
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self {
            domain: domain.ok_or_else(error)?,
            server_id: server_id.ok_or_else(error)?,
            sequence: sequence.ok_or_else(error)?,
        })
    }
}

/// Digits only: `parse` alone would take a sign.
fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok())
}

/// Where a replica of MariaDB stands: the last transaction of each domain, as in `gtid_slave_pos`.
///
/// Prints and sorts by domain: `0-1-42,1-2-7`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MariadbGtidPosition {
    gtids: Vec<MariadbGtid>,
}

impl MariadbGtidPosition {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.gtids.is_empty()
    }

    /// By domain, rising.
    pub fn gtids(&self) -> &[MariadbGtid] {
        &self.gtids
    }

    /// The last transaction of a domain.
    pub fn get(&self, domain: u32) -> Option<&MariadbGtid> {
        self.find(domain).ok().and_then(|index| self.gtids.get(index))
    }

    /// Makes this the last transaction of its domain, whatever stood there.
    pub fn set(&mut self, gtid: MariadbGtid) {
        match self.find(gtid.domain) {
            Ok(index) => {
                if let Some(last) = self.gtids.get_mut(index) {
                    *last = gtid;
                }
            }
            Err(index) => self.gtids.insert(index, gtid),
        }
    }

    /// Whether this position lies at or behind `other` in every domain of `other`. Sequence numbers rise
    /// within a domain, whichever server gives them out.
    pub fn reaches(&self, other: &MariadbGtidPosition) -> bool {
        other
            .gtids
            .iter()
            .all(|wanted| self.get(wanted.domain).is_some_and(|have| have.sequence >= wanted.sequence))
    }

    /// Whether this position stands at exactly that transaction in every domain of `other`.
    pub fn stands_at(&self, other: &MariadbGtidPosition) -> bool {
        other.gtids.iter().all(|wanted| self.get(wanted.domain) == Some(wanted))
    }

    fn find(&self, domain: u32) -> Result<usize, usize> {
        self.gtids.binary_search_by_key(&domain, |gtid| gtid.domain)
    }
}

/// The last one of each domain counts: the order in which a GTID_LIST_EVENT and `gtid_binlog_state` list
/// them.
impl FromIterator<MariadbGtid> for MariadbGtidPosition {
    fn from_iter<I: IntoIterator<Item = MariadbGtid>>(gtids: I) -> Self {
        let mut position = Self::new();
        gtids.into_iter().for_each(|gtid| position.set(gtid));
        position
    }
}

impl fmt::Display for MariadbGtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.gtids.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{gtid}")?;
        }
        Ok(())
    }
}

/// Comma-separated, empty for none. A domain that comes twice is an error, as it is to the server.
impl FromStr for MariadbGtidPosition {
    type Err = GtidTextError;

    fn from_str(text: &str) -> Result<Self, GtidTextError> {
        let mut position = Self::new();
        let mut offset = 0;
        for part in text.split(',').filter(|_| !text.trim().is_empty()) {
            let at = |error: GtidTextError| GtidTextError { offset: offset + error.offset, ..error };
            let gtid: MariadbGtid = part.parse().map_err(at)?;
            if position.get(gtid.domain).is_some() {
                return Err(GtidTextError::at(text, offset, "each domain once"));
            }
            position.set(gtid);
            offset += part.len() + 1;
        }
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_what_they_print() {
        for text in ["", "0-1-42", "0-1-42,1-2-7", "0-1-18446744073709551615,4294967295-4294967295-1"] {
            assert_eq!(text.parse::<MariadbGtidPosition>().unwrap().to_string(), text);
        }
        assert_eq!(" 7-2-1 , 0-1-5 ".parse::<MariadbGtidPosition>().unwrap().to_string(), "0-1-5,7-2-1");
        assert!(" \n".parse::<MariadbGtidPosition>().unwrap().is_empty());
    }

    #[test]
    fn malformed_positions_are_refused() {
        for text in
            ["0", "0-1", "0-1-", "0-1-x", "0-1-2-3", "-1-1-1", "+0-1-1", "0-1-1,", ",0-1-1", "4294967296-1-1"]
        {
            assert!(text.parse::<MariadbGtidPosition>().is_err(), "{text}");
        }
        let error = "0-1-5,0-2-6".parse::<MariadbGtidPosition>().unwrap_err();
        assert_eq!(error.to_string(), "expected each domain once at character 6, found \"0-2-6\"");
    }

    #[test]
    fn positions_are_compared_by_domain() {
        let mut position: MariadbGtidPosition = "0-1-42,1-2-7".parse().unwrap();
        assert!(position.reaches(&"0-9-42".parse().unwrap()));
        assert!(!position.reaches(&"0-1-43".parse().unwrap()));
        assert!(!position.reaches(&"2-1-1".parse().unwrap()));
        assert!(position.stands_at(&"0-1-42".parse().unwrap()));
        assert!(!position.stands_at(&"0-9-42".parse().unwrap()));
        assert!(!position.stands_at(&"0-1-42,2-1-1".parse().unwrap()));
        position.set("1-3-8".parse().unwrap());
        assert_eq!(position.to_string(), "0-1-42,1-3-8");
    }
}
