//! What stands over a pack: whose it is, its number, its rows' places, the point it reaches, and its checksums.
//!
//! A header is one JSON line with its members in this order:
//!
//! ```text
//! {"shard":"producer00","epoch":3,"sequence":17,"rows":2,"bytes":611,
//!  "first":{"gtid":"3e11fa47-…:23","file":"mysql-bin.000003","pos":1234,"row":0,"seq":4710},
//!  "last":{"gtid":"3e11fa47-…:23","file":"mysql-bin.000003","pos":1234,"row":1,"seq":4711},
//!  "next_seq":4712,"point":{…},"crc32":"0f3a77c1","previous_crc32":"5d01c2e9","header_crc32":"c2b7a5d1"}
//! ```
//!
//! `crc32` is that of the pack's row bytes, line ends included; `previous_crc32` is the `crc32` of the pack before this
//! one of the same shard, across epochs, and 0 for the first of all. Together with the sequence, which rises without
//! holes inside an epoch, they prove that nothing is missing, repeated or changed. `header_crc32` seals the line itself
//! ([`crate::sync_point::sealed`]). `point` has the form of a saved point ([`crate::sync_point::record`]). Behind it stands
//! `"moved":true` in the first pack of an epoch that began elsewhere than where delivery had ended, and nothing otherwise; and
//! in the first pack of every epoch but the shard's first `"follows":{"epoch":2,"sequence":4}`, the pack before it (zeros:
//! none, and the epochs before this one do not count). What lies
//! between those two in the order of (epoch, sequence) was delivered again and does not count. Where the pack before it is
//! another node's, `"here":{"epoch":1,"sequence":9}` in it is the last one that this node's sink held (0 and 0: none).

use crate::sync_point::SyncPoint;
use crate::sync_point::sealed::hex_crc32;
use crate::sync_point::sealed::seal;
use crate::sync_point::sealed::unseal;
use serde::Deserialize;
use serde::Serialize;

const SEAL: &str = "header_crc32";

/// Where a row was logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPlace {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    /// Binlog file.
    pub file: String,
    /// Start of the row's event.
    pub pos: u64,
    /// Ordinal in its transaction, from 0.
    pub row: u64,
    /// The row's `seq`.
    pub seq: u64,
}

/// See the module's page for the text form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackHeader {
    pub shard: String,
    /// The term in which the shard was led.
    pub epoch: u64,
    /// From 1, without holes inside an epoch.
    pub sequence: u64,
    /// Row lines in the pack.
    pub rows: u64,
    /// Bytes of those lines, line ends included.
    pub bytes: u64,
    pub first: RowPlace,
    pub last: RowPlace,
    /// The `seq` of the next pack's first row.
    pub next_seq: u64,
    /// Where reading goes on once this pack is durable.
    pub point: SyncPoint,
    /// The point was moved in front of this pack, or the shard begun anew. Told whether or not a `gap` line tells it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
    /// The pack before this one, in the first pack of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    #[serde(with = "hex_crc32")]
    pub crc32: u32,
    #[serde(with = "hex_crc32")]
    pub previous_crc32: u32,
}

/// Names a pack of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackName {
    pub epoch: u64,
    pub sequence: u64,
}

/// What an epoch goes on behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follows {
    #[serde(flatten)]
    pub pack: PackName,
    /// That pack is another node's: the last one of the sink that this epoch goes to, with zeros where that held none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<PackName>,
}

impl std::fmt::Display for PackName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.epoch, self.sequence)
    }
}

impl PackHeader {
    pub fn name(&self) -> PackName {
        PackName { epoch: self.epoch, sequence: self.sequence }
    }

    /// The header as one sealed line, without the line end.
    pub fn to_line(&self) -> Result<String, String> {
        let object = serde_json::to_string(self);
        object.map(|object| seal(&object, SEAL)).map_err(|e| format!("cannot be put into words: {e}"))
    }

    /// Whether the rows need not follow from those of the pack before: only the first pack of an epoch may say so.
    pub fn begins_elsewhere(&self) -> bool {
        self.moved && self.sequence == 1
    }

    /// Reads a line (without its line end) back. The error says what is wrong with the line, not where it was found.
    pub fn from_line(line: &[u8]) -> Result<PackHeader, String> {
        let text = unseal(line, SEAL).map_err(|e| e.to_string())?;
        serde_json::from_str(text).map_err(|e| format!("it is no header of a pack: {e}"))
    }
}

/// The CRC-32 that a header carries for its rows.
pub fn rows_crc32(rows: &[u8]) -> u32 {
    crc32fast::hash(rows)
}

/// What a sink takes: whole row lines of one shard, and the header over them.
#[derive(Debug, Clone, Copy)]
pub struct Pack<'a> {
    pub header: &'a PackHeader,
    pub rows: &'a [u8],
}

impl Pack<'_> {
    /// Insists that header and rows belong together. A sink that keeps headers checks before it writes: a wrong header
    /// on disk would make good rows look torn. Costs microseconds per pack.
    pub fn check(&self) -> Result<(), String> {
        let Pack { header, rows } = self;
        let place = format!("pack {}/{} of shard {}", header.epoch, header.sequence, header.shard);
        if header.rows == 0 {
            return Err(format!("{place} has no rows"));
        }
        if header.bytes != rows.len() as u64 {
            return Err(format!("{place}: the header says {} bytes, there are {}", header.bytes, rows.len()));
        }
        if rows.last() != Some(&b'\n') {
            return Err(format!("{place} does not end at the end of a line"));
        }
        let computed = rows_crc32(rows);
        if header.crc32 != computed {
            return Err(format!(
                "{place}: the header says CRC-32 {:08x}, it is {computed:08x}",
                header.crc32
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::record::tests::point;

    fn header() -> PackHeader {
        let first = RowPlace {
            gtid: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into()),
            file: "mysql-bin.000003".into(),
            pos: 1234,
            row: 0,
            seq: 4710,
        };
        PackHeader {
            shard: "producer00".into(),
            epoch: 3,
            sequence: 17,
            rows: 2,
            bytes: 6,
            last: RowPlace { gtid: None, row: 1, seq: 4711, ..first.clone() },
            first,
            next_seq: 4712,
            point: point(1500),
            moved: false,
            follows: None,
            crc32: rows_crc32(b"{}\n{}\n"),
            previous_crc32: 0,
        }
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let line = header().to_line().unwrap();
        let (open, seal) = line.split_at(line.len() - 10);
        assert_eq!(
            open,
            concat!(
                r#"{"shard":"producer00","epoch":3,"sequence":17,"rows":2,"bytes":6,"#,
                r#""first":{"gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:23","#,
                r#""file":"mysql-bin.000003","pos":1234,"row":0,"seq":4710},"#,
                r#""last":{"file":"mysql-bin.000003","pos":1234,"row":1,"seq":4711},"#,
                r#""next_seq":4712,"point":{"server":{"server_uuid":"3e11fa47-71ca-11e1-9e33-c80aa9429562","#,
                r#""server_id":56},"file":"mysql-bin.000003","pos":1500,"file_created":1699990000,"#,
                r#""gtid_set":"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23","ts_ms":1700000000100},"#,
                r#""crc32":"9c38f1af","previous_crc32":"00000000","header_crc32":""#
            )
        );
        assert_eq!(seal.len(), 10);
        assert_eq!(PackHeader::from_line(line.as_bytes()), Ok(header()));
    }

    #[test]
    fn a_moved_point_is_told_behind_the_point_and_by_an_epochs_first_pack_alone() {
        let moved = PackHeader { moved: true, ..header() };
        let line = moved.to_line().unwrap();
        assert!(line.contains(r#""ts_ms":1700000000100},"moved":true,"crc32":"9c38f1af","#), "{line}");
        assert_eq!(PackHeader::from_line(line.as_bytes()), Ok(moved.clone()));
        assert!(!moved.begins_elsewhere());
        assert!(PackHeader { sequence: 1, ..moved }.begins_elsewhere());
    }

    #[test]
    fn an_epochs_first_pack_tells_what_it_follows() {
        let pack = PackName { epoch: 2, sequence: 4 };
        let own = PackHeader { follows: Some(Follows { pack, here: None }), ..header() };
        let line = own.to_line().unwrap();
        assert!(line.contains(r#""follows":{"epoch":2,"sequence":4},"crc32":"9c38f1af","#), "{line}");
        assert_eq!(PackHeader::from_line(line.as_bytes()), Ok(own));
        let here = Some(PackName { epoch: 0, sequence: 0 });
        let anothers = PackHeader { follows: Some(Follows { pack, here }), ..header() };
        let line = anothers.to_line().unwrap();
        assert!(
            line.contains(r#""follows":{"epoch":2,"sequence":4,"here":{"epoch":0,"sequence":0}},"crc32""#),
            "{line}"
        );
        assert_eq!(PackHeader::from_line(line.as_bytes()), Ok(anothers));
    }

    #[test]
    fn a_cut_or_changed_line_is_an_error() {
        let line = header().to_line().unwrap().into_bytes();
        for offset in 0..line.len() {
            assert!(PackHeader::from_line(&line[..offset]).is_err());
            let mut changed = line.clone();
            changed[offset] ^= 4;
            assert!(PackHeader::from_line(&changed).is_err());
        }
    }

    #[test]
    fn a_header_that_does_not_fit_its_rows_is_refused() {
        let good = header();
        assert_eq!(Pack { header: &good, rows: b"{}\n{}\n" }.check(), Ok(()));
        for rows in [&b"{}\n"[..], b"{}\n{ \n", b"{}\n{}}", b""] {
            assert!(Pack { header: &good, rows }.check().is_err());
        }
        assert!(Pack { header: &PackHeader { rows: 0, ..good.clone() }, rows: b"{}\n{}\n" }.check().is_err());
    }
}
