//! The bytes of a GTID set: the body of PREVIOUS_GTIDS_LOG_EVENT and what COM_BINLOG_DUMP_GTID sends
//! (`Gtid_set::encode` and `add_gtid_encoding` in MySQL's `sql/rpl_gtid_set.cc`).
//!
//! Plain: number of UUIDs 8 · for each: UUID 16 · number of intervals 8 · for each: start 8 · end 8,
//! exclusive. Tagged (MySQL 8.3 and later, only when there is a tag): the first eight bytes are 1 · number of
//! (UUID, tag) pairs 6 · 1, and each UUID is followed by its tag: length (a variable-length integer, so twice
//! the length in one byte) and letters, 0 for none. A plain set has a zero as its eighth byte, which is how
//! readers tell them apart.

use crate::binlog::gtid::SourceUuid;
use crate::binlog::gtid::Tag;
use crate::binlog::gtid_set::Group;
use crate::binlog::gtid_set::GtidSet;
use crate::binlog::gtid_set::Interval;
use crate::binlog::serialization;
use crate::codec::CodecError;
use crate::codec::Reader;

const PLAIN: u8 = 0;
const TAGGED: u8 = 1;

impl GtidSet {
    /// The set's bytes, in the tagged form only where a tag makes it necessary.
    pub fn encode(&self) -> Vec<u8> {
        let tagged = self.has_tags();
        let count = self.groups.len() as u64;
        let head = if tagged { u64::from(TAGGED) << 56 | count << 8 | u64::from(TAGGED) } else { count };
        let mut out = head.to_le_bytes().to_vec();
        for group in &self.groups {
            encode_group(&mut out, group, tagged);
        }
        out
    }

    /// Reads a set; nothing may follow it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let set = Self::read(&mut reader)?;
        reader.finish("GTID set")?;
        Ok(set)
    }

    /// Reads a set to its end.
    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<Self, CodecError> {
        let head = bytes.u64("number of GTID sources")?;
        let [.., format] = head.to_le_bytes();
        let (tagged, count) = match format {
            PLAIN => (false, head),
            TAGGED => (true, (head & 0x00ff_ffff_ffff_ffff) >> 8),
            format => return Err(bytes.invalid("GTID set format", format.into())),
        };
        let mut set = Self::new();
        for _ in 0..count {
            read_group(&mut set, bytes, tagged)?;
        }
        Ok(set)
    }
}

fn encode_group(out: &mut Vec<u8>, group: &Group, tagged: bool) {
    out.extend_from_slice(&group.source);
    if tagged {
        let tag = group.tag.as_ref().map_or("", Tag::as_str);
        serialization::put_varint(out, tag.len() as u64);
        out.extend_from_slice(tag.as_bytes());
    }
    out.extend_from_slice(&(group.intervals.len() as u64).to_le_bytes());
    for interval in &group.intervals {
        out.extend_from_slice(&interval.start.to_le_bytes());
        out.extend_from_slice(&interval.end.to_le_bytes());
    }
}

fn read_group(set: &mut GtidSet, bytes: &mut Reader<'_>, tagged: bool) -> Result<(), CodecError> {
    let source: SourceUuid = bytes.array("GTID source")?;
    let tag = if tagged { serialization::read_tag(bytes)? } else { None };
    let count = bytes.u64("number of GTID intervals")?;
    let mut end_before = 0;
    for _ in 0..count {
        let start = bytes.u64("GTID interval start")?;
        let end = bytes.u64("GTID interval end")?;
        // Intervals that touch are malformed to the server, too: it never writes them.
        match Interval::new(start, end) {
            Some(interval) if start > end_before => set.add_interval(&source, tag.as_ref(), interval),
            _ => return Err(bytes.invalid("GTID interval", start)),
        }
        end_before = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing;

    /// The body of a PREVIOUS_GTIDS_LOG_EVENT of MySQL 9.7.4.
    const TAGGED_BODY: &str = "0105000000000001
        f1e2d3c4b5a69788ffff00807f018001 00 0100000000000000 0900000000000000 0a00000000000000
        f1e2d3c4b5a69788ffff00807f018001 06726564 0100000000000000 0010a5d4e8000000 0110a5d4e8000000
        fda0638be75111f1b78102fc00000001 00 0100000000000000 0100000000000000 3000000000000000
        fda0638be75111f1b78102fc00000001 08626c7565 0100000000000000 0100000000000000 0700000000000000
        fda0638be75111f1b78102fc00000001 407461675f776974685f65786163746c795f33325f636861726163746572735f78
        0100000000000000 0100000000000000 0200000000000000";

    #[test]
    fn a_tagged_set_of_the_server_reads_and_writes_back() {
        let bytes = testing::hex(TAGGED_BODY);
        let set = GtidSet::decode(&bytes).unwrap();
        assert_eq!(
            set.to_string(),
            "f1e2d3c4-b5a6-9788-ffff-00807f018001:9:red:1000000000000,\n\
             fda0638b-e751-11f1-b781-02fc00000001:1-47:blue:1-6:tag_with_exactly_32_characters_x:1"
        );
        assert_eq!(set.encode(), bytes);
    }

    #[test]
    fn a_plain_set_stays_plain() {
        let set: GtidSet = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7".parse().unwrap();
        let expected = "0100000000000000 3e11fa4771ca11e19e33c80aa9429562 0200000000000000
            0100000000000000 0600000000000000 0700000000000000 0800000000000000";
        assert_eq!(set.encode(), testing::hex(expected));
        assert_eq!(GtidSet::new().encode(), [0; 8]);
        assert_eq!(GtidSet::decode(&[0; 8]).unwrap(), GtidSet::new());
    }

    #[test]
    fn every_truncation_and_anything_behind_is_an_error() {
        let bytes = testing::hex(TAGGED_BODY);
        for cut in 0..bytes.len() {
            assert!(GtidSet::decode(&bytes[..cut]).is_err(), "{cut}");
        }
        assert!(GtidSet::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn malformed_intervals_tags_and_formats_are_errors() {
        let one = |intervals: &[[u64; 2]]| {
            let mut bytes = 1u64.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[7; 16]);
            bytes.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            intervals.iter().flatten().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
            bytes
        };
        assert!(GtidSet::decode(&one(&[[1, 2], [3, 4]])).is_ok());
        for bad in
            [&[[0, 1]][..], &[[2, 2]], &[[3, 2]], &[[1, 2], [2, 3]], &[[5, 6], [1, 2]], &[[1, u64::MAX]]]
        {
            assert!(GtidSet::decode(&one(bad)).is_err(), "{bad:?}");
        }
        // A count that the bytes do not hold costs no memory.
        assert!(GtidSet::decode(&[&(u64::MAX >> 8).to_le_bytes()[..], &[0; 32]].concat()).is_err());
        let format = [&[0, 0, 0, 0, 0, 0, 0, 2], &one(&[[1, 2]])[8..]].concat();
        assert!(GtidSet::decode(&format).is_err());
        let mut tag = testing::hex(TAGGED_BODY);
        tag[8 + 41 + 16 + 1] = b'1';
        assert!(GtidSet::decode(&tag).is_err());
    }
}
