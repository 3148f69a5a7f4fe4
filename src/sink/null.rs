//! Counts packs and forgets them: for measuring everything before the sink.

use crate::pack::header::Pack;
use crate::sink::Sink;
use crate::sink::SinkError;

/// Promises nothing about what it took.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct NullSink {
    pub packs: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Sink for NullSink {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        self.packs += 1;
        self.rows += pack.header.rows;
        self.bytes += pack.rows.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::packs;

    #[test]
    fn it_counts() {
        let mut sink = NullSink::default();
        for (header, rows) in &packs("a", 1, 3) {
            sink.deliver(&Pack { header, rows }).unwrap();
        }
        let rows: Vec<_> =
            packs("a", 1, 3).into_iter().map(|(header, rows)| (header.rows, rows.len())).collect();
        assert_eq!(sink.packs, 3);
        assert_eq!(sink.rows, rows.iter().map(|(rows, _)| rows).sum::<u64>());
        assert_eq!(sink.bytes, rows.iter().map(|(_, bytes)| *bytes as u64).sum::<u64>());
    }
}
