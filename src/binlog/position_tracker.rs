//! Positions of 64 bits out of headers that carry 32.

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::ANONYMOUS_GTID_LOG_EVENT;
use crate::binlog::event_type::GTID_EVENT;
use crate::binlog::event_type::GTID_LIST_EVENT;
use crate::binlog::event_type::GTID_LOG_EVENT;
use crate::binlog::event_type::GTID_TAGGED_LOG_EVENT;
use crate::binlog::event_type::ROTATE_EVENT;
use crate::binlog::event_type::START_ENCRYPTION_EVENT;
use crate::binlog::header::EventHeader;
use crate::binlog::rotate::Heartbeat;

/// Where an event begins and ends in its file. Both are the same for an event that stands in no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSpan {
    pub start: u64,
    pub end: u64,
}

/// Whether the server sends every transaction of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// A dump by position. Only single events may be missing (MariaDB keeps some to itself).
    Events,
    /// A dump by GTID set: transactions that the set holds are left out.
    Transactions,
    /// A relay log: what the replica did not keep is left out. MySQL before 5.6 sent positions inside of
    /// transactions that count from the transaction's start, so that one which lies behind says nothing.
    Relayed,
}

/// Less than this is a hole of events; MariaDB leaves out none as large.
const LARGEST_EVENT_HOLE: u32 = 1 << 31;

/// Follows the events of one file, in the order in which a server sends them, and knows each one's place.
///
/// The header's `next_pos` counts modulo 2^32, is 0 in MariaDB 11.4 and later inside a transaction, and jumps
/// forward where the server left something out. So positions come from adding up sizes, `next_pos` proves
/// them, and at a jump they are taken from it.
#[derive(Debug, Clone)]
pub struct PositionTracker {
    position: u64,
    holes: Holes,
}

impl PositionTracker {
    /// `position`: where the next event begins; what an artificial rotate says.
    pub fn new(position: u64, holes: Holes) -> Self {
        Self { position, holes }
    }

    /// The end of the last event that stands in the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at another place: what an artificial rotate says.
    pub fn reset(&mut self, position: u64) {
        self.position = position;
    }

    /// Takes the place of a heartbeat of this file. MySQL sends one behind each row of transactions that it
    /// left out, so that even more than 4 GiB of them are counted if the heartbeat is of the exact kind.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat<'_>) {
        let ahead = match heartbeat.exact {
            true => heartbeat.position.saturating_sub(self.position),
            false => (heartbeat.position as u32).wrapping_sub(self.position as u32).into(),
        };
        // One that seems to lie far ahead lies behind us: not of the exact kind, and sent before events we
        // have seen.
        if heartbeat.exact || ahead < LARGEST_EVENT_HOLE.into() {
            self.position = self.position.saturating_add(ahead);
        }
    }

    /// Takes the place of an artificial GTID_LIST_EVENT: in a dump by GTID MariaDB sends one where it has found a start,
    /// behind all that it has left out (`send_fake_gtid_list_event` in `sql/sql_repl.cc`).
    fn search_came_to(&mut self, list: &EventHeader) {
        let ahead = list.next_pos.wrapping_sub(self.position as u32);
        if list.next_pos != 0 && ahead < LARGEST_EVENT_HOLE {
            self.position = self.position.saturating_add(ahead.into());
        }
    }

    /// The place of the next event.
    pub fn advance(&mut self, header: &EventHeader) -> Result<EventSpan, BinlogError> {
        if header.is_artificial() {
            if header.event_type == GTID_LIST_EVENT {
                self.search_came_to(header);
            }
            return Ok(EventSpan { start: self.position, end: self.position });
        }
        // In a dump that begins in the middle of an encrypted file MariaDB sends it without its place
        // (`send_format_descriptor_event` in `sql/sql_repl.cc`).
        if header.event_type == START_ENCRYPTION_EVENT && header.next_pos == 0 {
            return Ok(EventSpan { start: self.position, end: self.position });
        }
        let size = u64::from(header.event_size);
        let expected = self.position.saturating_add(size);
        let hole = match header.next_pos {
            0 => 0,
            next_pos => next_pos.wrapping_sub(expected as u32),
        };
        let hole = if self.holes == Holes::Relayed && hole >= LARGEST_EVENT_HOLE { 0 } else { hole };
        if hole >= LARGEST_EVENT_HOLE && !self.may_skip_transactions(header) {
            let (event_type, next_pos) = (header.event_type, header.next_pos);
            return Err(BinlogError::NextPos { event_type, expected, next_pos });
        }
        let end = expected.saturating_add(hole.into());
        self.position = end;
        Ok(EventSpan { start: end - size, end })
    }

    /// Whole transactions are left out, so only what begins the next one, or ends the file, can follow.
    fn may_skip_transactions(&self, header: &EventHeader) -> bool {
        let begins = matches!(
            header.event_type,
            GTID_LOG_EVENT | ANONYMOUS_GTID_LOG_EVENT | GTID_TAGGED_LOG_EVENT | GTID_EVENT | ROTATE_EVENT
        );
        begins && self.holes == Holes::Transactions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
    use crate::binlog::event_type::HEARTBEAT_LOG_EVENT;
    use crate::binlog::event_type::QUERY_EVENT;
    use crate::binlog::event_type::TABLE_MAP_EVENT;
    use crate::binlog::header::flags;
    use crate::binlog::testing;

    const GIB: u64 = 1 << 30;

    fn header(event_type: u8, event_size: u32, next_pos: u64) -> EventHeader {
        EventHeader {
            timestamp: 1,
            event_type,
            server_id: 1,
            event_size,
            next_pos: next_pos as u32,
            flags: 0,
        }
    }

    fn span(start: u64, end: u64) -> EventSpan {
        EventSpan { start, end }
    }

    #[test]
    fn positions_of_real_files_add_up() {
        for name in testing::FIXTURES.iter().filter(|name| !name.contains("relay")) {
            let mut tracker = PositionTracker::new(4, Holes::Events);
            for (position, bytes) in testing::fixture(name) {
                let found = tracker.advance(&EventHeader::parse(&bytes).unwrap()).unwrap();
                assert_eq!(found, span(position, position + bytes.len() as u64), "{name}");
            }
        }
    }

    #[test]
    fn positions_go_on_past_4_gib() {
        let mut tracker = PositionTracker::new(4 * GIB - 50, Holes::Events);
        let table_map = header(TABLE_MAP_EVENT, 100, 4 * GIB + 50);
        assert_eq!(tracker.advance(&table_map).unwrap(), span(4 * GIB - 50, 4 * GIB + 50));
        let query = header(QUERY_EVENT, 100, 4 * GIB + 150);
        assert_eq!(tracker.advance(&query).unwrap(), span(4 * GIB + 50, 4 * GIB + 150));
        // An end at exactly 4 GiB reads as "not said" and is the same.
        let mut tracker = PositionTracker::new(4 * GIB - 100, Holes::Events);
        assert_eq!(tracker.advance(&header(QUERY_EVENT, 100, 4 * GIB)).unwrap().end, 4 * GIB);
    }

    #[test]
    fn what_is_not_said_or_made_up_is_no_contradiction() {
        let mut tracker = PositionTracker::new(1000, Holes::Events);
        assert_eq!(tracker.advance(&header(TABLE_MAP_EVENT, 50, 0)).unwrap(), span(1000, 1050));
        let made_up = EventHeader { timestamp: 0, ..header(ROTATE_EVENT, 44, 0) };
        assert_eq!(tracker.advance(&made_up).unwrap(), span(1050, 1050));
        // The format description in front of a dump from inside a file, and heartbeats.
        assert_eq!(tracker.advance(&header(FORMAT_DESCRIPTION_EVENT, 123, 0)).unwrap(), span(1050, 1050));
        assert_eq!(tracker.advance(&header(HEARTBEAT_LOG_EVENT, 36, 1050)).unwrap(), span(1050, 1050));
        let artificial = EventHeader { flags: flags::ARTIFICIAL, ..header(163, 44, 77) };
        assert_eq!(tracker.advance(&artificial).unwrap(), span(1050, 1050));
        assert_eq!(tracker.advance(&header(QUERY_EVENT, 50, 1100)).unwrap(), span(1050, 1100));
    }

    #[test]
    fn skipped_events_and_transactions_move_the_position() {
        let mut tracker = PositionTracker::new(1000, Holes::Events);
        assert_eq!(tracker.advance(&header(TABLE_MAP_EVENT, 50, 1080)).unwrap(), span(1030, 1080));
        // A transaction of more than 2 GiB was left out: legal in a dump by GTID, in front of a GTID.
        let gtid = header(GTID_LOG_EVENT, 80, 3 * GIB);
        assert!(tracker.clone().advance(&gtid).is_err());
        let mut by_gtid = PositionTracker::new(1080, Holes::Transactions);
        assert!(by_gtid.clone().advance(&header(TABLE_MAP_EVENT, 80, 3 * GIB)).is_err());
        assert_eq!(by_gtid.advance(&gtid).unwrap(), span(3 * GIB - 80, 3 * GIB));
        // Over the border of 4 GiB the carry is ours to make.
        assert_eq!(by_gtid.advance(&header(GTID_LOG_EVENT, 80, 4 * GIB + 200)).unwrap().end, 4 * GIB + 200);
    }

    #[test]
    fn a_list_that_was_made_up_stands_where_the_search_came_to() {
        let flags = flags::ARTIFICIAL;
        let list = |next_pos| EventHeader { flags, ..header(GTID_LIST_EVENT, 44, next_pos) };
        let mut tracker = PositionTracker::new(1000, Holes::Transactions);
        assert_eq!(tracker.advance(&list(0)).unwrap(), span(1000, 1000));
        assert_eq!(tracker.advance(&list(900)).unwrap(), span(1000, 1000));
        assert_eq!(tracker.advance(&list(5000)).unwrap(), span(5000, 5000));
    }

    #[test]
    fn heartbeats_carry_over_what_was_left_out() {
        let heartbeat = |position, exact| Heartbeat { file: "b.1", position, exact };
        let mut tracker = PositionTracker::new(GIB, Holes::Transactions);
        tracker.heartbeat(&heartbeat(GIB + 5, false));
        assert_eq!(tracker.position(), GIB + 5);
        tracker.heartbeat(&heartbeat(GIB, false));
        tracker.heartbeat(&heartbeat(GIB, true));
        assert_eq!(tracker.position(), GIB + 5);
        tracker.heartbeat(&heartbeat(9 * GIB, true));
        assert_eq!(
            tracker.advance(&header(GTID_LOG_EVENT, 80, 9 * GIB + 80)).unwrap(),
            span(9 * GIB, 9 * GIB + 80)
        );
        // 32 bits of 10 GiB.
        tracker.heartbeat(&heartbeat(2 * GIB, false));
        assert_eq!(tracker.position(), 10 * GIB);
    }

    #[test]
    fn an_encrypted_file_that_is_read_from_its_middle() {
        let encryption = |next_pos| EventHeader {
            timestamp: 1,
            event_type: START_ENCRYPTION_EVENT,
            server_id: 1,
            event_size: 40,
            next_pos,
            flags: 0,
        };
        let mut tracker = PositionTracker::new(792, Holes::Events);
        assert_eq!(tracker.advance(&encryption(0)).unwrap(), EventSpan { start: 792, end: 792 });
        let mut tracker = PositionTracker::new(256, Holes::Events);
        assert_eq!(tracker.advance(&encryption(296)).unwrap(), EventSpan { start: 256, end: 296 });
    }

    #[test]
    fn a_position_behind_the_event_is_a_contradiction() {
        let mut tracker = PositionTracker::new(1000, Holes::Events);
        let error = tracker.advance(&header(QUERY_EVENT, 50, 1049)).unwrap_err();
        assert_eq!(error.to_string(), "QUERY_EVENT: it ends at 1050, its header says 1049 (modulo 2^32)");
        assert_eq!(tracker.position(), 1000);
    }
}
