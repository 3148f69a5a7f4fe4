//! The text form of a [`PointRecord`]: one sealed JSON line that a person can read. It stands in
//! `<producer_position>/<shard>.point`, and, as `point`, in each pack's header.
//!
//! ```text
//! {"format":1,"shard":"producer00","epoch":3,"sequence":17,"next_seq":4712,"seq_reserved":100001,
//!  "saved_ms":1700000000123,"point":{"server":{"server_uuid":"3e11fa47-…","server_id":56},
//!  "file":"mysql-bin.000003","pos":1234,"file_created":1699990000,"gtid_set":"3e11fa47-…:1-23",
//!  "inside":{"gtid":"3e11fa47-…:24","rows":7,"crc32":"0f3a77c1"},"ts_ms":1700000000100},"crc32":"c2b7a5d1"}
//! ```
//!
//! on one line. What each member says:
//!
//! | member | meaning |
//! |---|---|
//! | `format` | the form of this line; this version writes and reads 1 |
//! | `shard` | whose point it is |
//! | `epoch`, `sequence` | the last pack that the sink had made durable when this was saved: the `sequence`th of the term `epoch` |
//! | `next_seq`, `seq_reserved` | the `seq` of the next row; no row has one from `seq_reserved` on |
//! | `saved_ms` | when this was saved, in milliseconds since 1970 |
//! | `point` | where reading goes on, `null` when nothing is known: |
//! | `server` | the server to which file and position belong: `server_uuid` (MySQL's, or MariaDB's `server_uid`) and `server_id` |
//! | `file`, `pos` | the next event to read, 64 bits of position; always between transactions |
//! | `file_created` | when that file was begun (seconds since 1970): tells it from another of its name. 0: not known |
//! | `gtid_set` | MySQL: all that is delivered, ends included |
//! | `gtid_position` | MariaDB: the last GTID delivered of each domain |
//! | `group_id` | Baidu's MySQL 5.1: the last group delivered |
//! | `set_ahead` | true when the GTIDs may hold transactions that lie behind `file` and `pos`: read on by GTID only |
//! | `pending_xa` | XA transactions prepared before this place and not decided on yet: reading begins at the first of them, and of what lies before this place only they are taken. Each with `xid` (its name), `file`, `pos` (where the transaction of its XA PREPARE starts), `file_created`, `gtid` (which `gtid_set` leaves out), and on MariaDB `gtids_before` (the position from which it is sent again) |
//! | `inside` | of the transaction that starts here, a part is delivered already: `rows` of its rows, watched or not, and `steps` statements or savepoints behind them; `crc32` over (op, table) of those rows proves that it is the same one; `gtid` is its name; `judged`: it was held up to its row `rows` and `steps` before its first line went out, and the tables `left_out` are left out of it |
//! | `ts_ms` | commit time of the last delivered transaction, in milliseconds since 1970 |
//! | `moved` | the point was moved by `points set` `at_ms`, `from` that place, for that `reason`; gone once the sink has been told |
//! | `saved_by` | in ZooKeeper: the host and process that saved this |
//! | `copy_of` | in a file: it is the copy that a node keeps of what it saved in ZooKeeper, there, and no point to go on from |
//! | `last_pack` | the last pack that counts, of this epoch or of an earlier one, and its rows' CRC-32 (zeros before the first): the next epoch follows it |
//! | `taken_over` | where several nodes share the point: how much counts of epochs that another node went on from, e.g. `5-9:0,12:17` ([`crate::sync_point::epochs`]) |
//! | `crc32` | seals the line ([`crate::sync_point::sealed`]) |
//!
//! At most one of `gtid_set`, `gtid_position` and `group_id` is there: the kind of the point. With one of them it can be
//! taken to another server, without any it is bound to its own. Absent members: none, or 0 for `steps`. A later format
//! keeps `format` first and the seal last, so that this version can say that it does not know it; members that this version
//! does not know are ignored. Points that the original Fountain wrote have no such form: [`crate::sync_point::text`].

use crate::sync_point::PointRecord;
use crate::sync_point::sealed::seal;
use crate::sync_point::sealed::unseal;
use serde::Deserialize;
use serde::Serialize;

/// The form that this version writes and the only one that it reads.
pub const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    record: &'a PointRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<&'a str>,
}

#[derive(Deserialize)]
struct SavedBy {
    saved_by: String,
}

#[derive(Deserialize)]
struct CopyOf {
    copy_of: String,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl PointRecord {
    /// The record as one sealed line, without the line end.
    pub fn to_line(&self) -> Result<String, String> {
        self.written(None, None)
    }

    /// The same, with the word of who saves it: another process's line is never the same as ours.
    pub fn to_line_of(&self, saved_by: &str) -> Result<String, String> {
        self.written(Some(saved_by), None)
    }

    /// The same, as the copy that a node keeps of what it saved in that place.
    pub fn to_copy_of(&self, place: &str) -> Result<String, String> {
        self.written(None, Some(place))
    }

    fn written(&self, saved_by: Option<&str>, copy_of: Option<&str>) -> Result<String, String> {
        let object = serde_json::to_string(&Written { format: FORMAT, record: self, saved_by, copy_of });
        object.map(|object| seal(&object, "crc32")).map_err(|e| format!("cannot be put into words: {e}"))
    }

    /// Reads a line (without its line end) back. The error says what is wrong with the line, not where it was found.
    pub fn from_line(line: &[u8]) -> Result<PointRecord, String> {
        let text = unseal(line, "crc32").map_err(|e| e.to_string())?;
        let Format { format } =
            serde_json::from_str(text).map_err(|e| format!("it is no record of a point: {e}"))?;
        if format != u64::from(FORMAT) {
            return Err(format!("it has format {format}, this version of fountain reads format {FORMAT}"));
        }
        serde_json::from_str(text).map_err(|e| format!("it is no record of a point: {e}"))
    }
}

/// Who saved a line, where it says so.
pub fn saved_by(line: &[u8]) -> Option<String> {
    serde_json::from_slice::<SavedBy>(line).ok().map(|SavedBy { saved_by }| saved_by)
}

/// Of which place a line is a copy, where it says so.
pub fn copy_of(line: &[u8]) -> Option<String> {
    serde_json::from_slice::<CopyOf>(line).ok().map(|CopyOf { copy_of }| copy_of)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::binlog::ExecutedGtids;
    use crate::sync_point::Inside;
    use crate::sync_point::Judged;
    use crate::sync_point::Moved;
    use crate::sync_point::ServerIdentity;
    use crate::sync_point::SyncPoint;
    use crate::sync_point::epochs::LastPack;
    use crate::sync_point::epochs::TakenOver;
    use crate::sync_point::gap::GapEdge;

    pub(crate) fn point(pos: u64) -> SyncPoint {
        SyncPoint {
            server: ServerIdentity {
                server_uuid: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562".into()),
                server_id: 56,
            },
            file: "mysql-bin.000003".into(),
            pos,
            file_created: 1_699_990_000,
            executed: Some(ExecutedGtids::Mysql(
                "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23".parse().unwrap(),
            )),
            set_ahead: false,
            pending_xa: Vec::new(),
            inside: None,
            ts_ms: 1_700_000_000_100,
        }
    }

    fn inside() -> Inside {
        let gtid = Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:24".into());
        Inside {
            gtid,
            rows: 7,
            steps: 0,
            crc32: 0x0f3a_77c1,
            unordered: false,
            elsewhere: false,
            judged: None,
        }
    }

    pub(crate) fn record(epoch: u64, sequence: u64) -> PointRecord {
        PointRecord {
            shard: "producer00".into(),
            epoch,
            sequence,
            next_seq: 4712,
            seq_reserved: 100_001,
            saved_ms: 1_700_000_000_123,
            point: Some(SyncPoint { inside: Some(inside()), ..point(1234) }),
            moved: None,
            last_pack: None,
            taken_over: TakenOver::default(),
        }
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let line = record(3, 234).to_line().unwrap();
        assert_eq!(
            &line[..line.len() - 10],
            concat!(
                r#"{"format":1,"shard":"producer00","epoch":3,"sequence":234,"next_seq":4712,"#,
                r#""seq_reserved":100001,"saved_ms":1700000000123,"point":{"server":{"server_uuid":"#,
                r#""3e11fa47-71ca-11e1-9e33-c80aa9429562","server_id":56},"file":"mysql-bin.000003","#,
                r#""pos":1234,"file_created":1699990000,"gtid_set":"#,
                r#""3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23","inside":{"#,
                r#""gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:24","rows":7,"crc32":"0f3a77c1"},"#,
                r#""ts_ms":1700000000100},"crc32":""#
            )
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut bare = record(1, 0);
        bare.point = None;
        let from = GapEdge { gtid: None, file: "b.1".into(), pos: 4, row: 3 };
        let moved = Moved { at_ms: 5, from: Some(from), reason: "\"why\"\n".into() };
        let mut plain = PointRecord { moved: Some(moved), ..record(u64::MAX, u64::MAX) };
        plain.point = Some(SyncPoint {
            server: ServerIdentity { server_uuid: None, server_id: u32::MAX },
            file: "a\"\n\u{1}é".into(),
            pos: u64::MAX,
            file_created: 0,
            executed: None,
            set_ahead: false,
            pending_xa: Vec::new(),
            inside: None,
            ts_ms: 0,
        });
        let mut judged = record(5, 6);
        if let Some(inside) = judged.point.as_mut().and_then(|point| point.inside.as_mut()) {
            let left_out = vec![("shop".to_owned(), "a.b".to_owned())];
            (inside.unordered, inside.elsewhere) = (true, true);
            inside.judged = Some(Judged { rows: 9, steps: 1, left_out });
        }
        let last_pack = Some(LastPack { epoch: 6, sequence: 2, crc32: 0xab });
        let taken_over = TakenOver::default().with(4, 3).with(5, 0);
        let shared = PointRecord { last_pack, taken_over, ..record(7, 0) };
        let text =
            r#","last_pack":{"epoch":6,"sequence":2,"crc32":"000000ab"},"taken_over":"4:3,5:0","crc32":""#;
        assert!(shared.to_line().unwrap().contains(text));
        for record in [record(3, 4), bare, plain, judged, shared] {
            let line = record.to_line().unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(PointRecord::from_line(line.as_bytes()), Ok(record));
        }
    }

    #[test]
    fn another_format_and_a_foreign_object_are_refused_by_name() {
        let later = seal(r#"{"format":2,"all":"different"}"#, "crc32");
        let error = PointRecord::from_line(later.as_bytes()).unwrap_err();
        assert_eq!(error, "it has format 2, this version of fountain reads format 1");
        for object in [r#"{"format":1}"#, r#"{"shard":"a"}"#, r#"{"format":-1}"#, r#"["format"]"#] {
            assert!(PointRecord::from_line(seal(object, "crc32").as_bytes()).is_err(), "{object}");
        }
    }
}
