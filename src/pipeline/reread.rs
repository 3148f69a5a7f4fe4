//! Points past 4 GiB in a file.
//!
//! COM_BINLOG_DUMP carries 32 bits of position. The GTID dump has 64, but MySQL serves it under `gtid_mode=ON` only
//! (`Binlog_sender::init` in `sql/rpl_binlog_sender.cc`) and MariaDB does not know it. So the file is asked for from its
//! first event, and what lies before the point is passed over here: its bytes cross the network once more, its checksums are
//! proved, its rows do not come out. That is rare: a file grows so large only by a transaction that begins in it below
//! `max_binlog_size` (1 GiB at most), and the server begins the next file when it ends.

use crate::binlog::Event;
use crate::binlog::EventHeader;
use crate::binlog::Rotate;
use crate::binlog::header::flags;
use crate::binlog::position_tracker::EventSpan;
use crate::change::error::ChangeError;
use crate::code::Code;

/// Passes over events up to a place.
#[derive(Debug)]
pub struct Reread {
    file: String,
    pos: u64,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    /// It lies before the place.
    Over,
    /// It stands in no file: whoever follows the stream needs it, as if the dump had begun at the place.
    On,
    /// It lies before the place and the next one does not.
    Arrived,
}

impl Reread {
    /// Needed where the dump command cannot carry the position.
    pub fn up_to(file: &str, pos: u64) -> Option<Self> {
        u32::try_from(pos).is_err().then(|| Self { file: file.to_owned(), pos })
    }

    /// Judges the next event. What says where the stream begins is made to say the place.
    pub fn take(
        &self,
        header: &mut EventHeader,
        event: &mut Event<'_>,
        span: EventSpan,
    ) -> Result<Passage, ChangeError> {
        match event {
            Event::Rotate(rotate) if rotate.artificial && rotate.file == self.file => {
                *rotate = Rotate { position: self.pos, ..*rotate };
                Ok(Passage::On)
            }
            Event::Rotate(_) => Err(self.missed("that file ends before it")),
            Event::FormatDescription(_) => {
                header.flags |= flags::ARTIFICIAL;
                Ok(Passage::On)
            }
            _ if header.is_artificial() || span.end < self.pos => Ok(Passage::Over),
            _ if span.end == self.pos => Ok(Passage::Arrived),
            _ => Err(self.missed(&format!("an event lies there from {} to {}", span.start, span.end))),
        }
    }

    fn missed(&self, found: &str) -> ChangeError {
        let text = format!(
            "no event begins at the point {}:{}: {found}; the server's binlogs were reset or restored since",
            self.file, self.pos
        );
        ChangeError::new(Code::PointForeign, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
    use crate::binlog::event_type::ROTATE_EVENT;
    use crate::binlog::event_type::XID_EVENT;

    const POS: u64 = (1 << 32) + 500;

    fn header(event_type: u8) -> EventHeader {
        EventHeader { timestamp: 1, event_type, server_id: 1, event_size: 100, next_pos: 7, flags: 0 }
    }

    fn take(event_type: u8, event: &mut Event<'_>, start: u64, end: u64) -> Result<Passage, ChangeError> {
        let reread = Reread::up_to("b.1", POS).unwrap();
        reread.take(&mut header(event_type), event, EventSpan { start, end })
    }

    #[test]
    fn only_what_the_command_cannot_carry_is_read_again() {
        assert!(Reread::up_to("b.1", u32::MAX.into()).is_none());
        assert!(Reread::up_to("b.1", 1 << 32).is_some());
    }

    #[test]
    fn events_up_to_the_place_are_passed_over() {
        let mut xid = Event::Xid(1);
        assert_eq!(take(XID_EVENT, &mut xid, 4, 104), Ok(Passage::Over));
        assert_eq!(take(XID_EVENT, &mut xid, POS - 100, POS), Ok(Passage::Arrived));
        let error = take(XID_EVENT, &mut xid, POS - 50, POS + 50).unwrap_err();
        assert_eq!(error.code, Code::PointForeign);
        assert!(error.text.contains("from 4294967746 to 4294967846"), "{}", error.text);
    }

    #[test]
    fn the_stream_seems_to_begin_at_the_place() {
        let rotate = |file, artificial| Event::Rotate(Rotate { position: 4, file, artificial });
        let mut first = rotate("b.1", true);
        assert_eq!(take(ROTATE_EVENT, &mut first, 4, 4), Ok(Passage::On));
        assert!(matches!(first, Event::Rotate(rotate) if rotate.position == POS));
        assert!(take(ROTATE_EVENT, &mut rotate("b.2", true), 4, 4).is_err(), "the file has ended");
        assert!(take(ROTATE_EVENT, &mut rotate("b.2", false), 4, 104).is_err());
        let reread = Reread::up_to("b.1", POS).unwrap();
        let mut header = header(FORMAT_DESCRIPTION_EVENT);
        let description = crate::binlog::testing::fixture("mysql97_full.bin")[0].1.clone();
        let (_, mut event) = crate::binlog::Decoder::default().decode(&description).unwrap();
        let span = EventSpan { start: 4, end: 126 };
        assert_eq!(reread.take(&mut header, &mut event, span), Ok(Passage::On));
        assert!(header.is_artificial(), "so that it moves no point");
    }
}
