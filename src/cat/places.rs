//! Where the events of a file stand: in the file itself, or, in a relay log, in the file of the source that they were
//! copied from.

use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::PositionTracker;
use crate::binlog::position_tracker::EventSpan;
use crate::binlog::position_tracker::Holes;

/// Follows the events of one file.
///
/// A relay log begins with the replica's format description; then the replica copies what the source sends: a made-up
/// rotate that names the source's file, the source's format description, and events whose headers hold positions in
/// that file. Newer servers mark what the replica writes itself; what older ones write is known by what no binlog has,
/// a made-up rotate. A relay log behind another one may begin without such a rotate: as long as none has come, events
/// stand where they stand, in the relay log.
#[derive(Debug, Default)]
pub struct Places {
    /// The place in the source's file, once a rotate has named it.
    source: Option<PositionTracker>,
    relay_log: bool,
}

impl Places {
    /// Where an event stands that begins at `start` of the file. To be asked once for each event, in their order.
    pub fn place(&mut self, header: &EventHeader, event: &Event<'_>, start: u64) -> EventSpan {
        let own = EventSpan { start, end: start + u64::from(header.event_size) };
        self.relay_log |= header.is_of_relay_log();
        let span = match &mut self.source {
            // No place is refused here: `Holes::Relayed`.
            Some(source) if !header.is_of_relay_log() => source.advance(header).unwrap_or(own),
            _ => own,
        };
        if let Event::Rotate(rotate) = event
            && !header.is_of_relay_log()
            && (header.is_artificial() || self.source.is_some())
        {
            self.source = Some(PositionTracker::new(rotate.position, Holes::Relayed));
            self.relay_log = true;
        }
        span
    }

    /// Whether the events so far are those of a relay log.
    pub fn is_relay_log(&self) -> bool {
        self.relay_log
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Decoder;
    use crate::binlog::testing;

    /// Place and type of each event.
    fn places(name: &str) -> Vec<(u64, u64, u8)> {
        let (mut decoder, mut places) = (Decoder::default(), Places::default());
        let events = testing::fixture(name);
        let place = |(start, bytes): &(u64, Vec<u8>)| {
            let (header, event) = decoder.decode(bytes).unwrap();
            let span = places.place(&header, &event, *start);
            (span.start, span.end, header.event_type)
        };
        events.iter().map(place).collect()
    }

    #[test]
    fn events_of_a_binlog_stand_where_they_stand() {
        for name in testing::FIXTURES.iter().filter(|name| !name.contains("relay")) {
            let own: Vec<u64> = testing::fixture(name).iter().map(|(start, _)| *start).collect();
            assert_eq!(places(name).iter().map(|place| place.0).collect::<Vec<_>>(), own, "{name}");
        }
    }

    #[test]
    fn events_of_a_relay_log_stand_in_the_source_s_file() {
        let events = testing::fixture("mysql97_relay.bin");
        let places = places("mysql97_relay.bin");
        // Two of the replica's own, a made-up rotate, the source's description as it was, another made-up rotate.
        assert_eq!(places[..2], [(4, 127, 15), (127, 158, 35)]);
        for ((_, bytes), (start, end, _)) in events.iter().zip(&places).skip(5) {
            let header = EventHeader::parse(bytes).unwrap();
            assert_eq!(*end, u64::from(header.next_pos));
            assert_eq!(*start, end - bytes.len() as u64);
        }
    }
}
