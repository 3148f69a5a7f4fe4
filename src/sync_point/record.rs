//! The text form of a [`PointRecord`]: one sealed JSON line that a person can read.
//!
//! ```text
//! {"format":1,"shard":"producer00","epoch":3,"sequence":17,"next_seq":4712,"seq_reserved":100001,
//!  "saved_ms":1700000000123,"point":{"server":{"server_uuid":"3e11fa47-…","server_id":56},
//!  "file":"mysql-bin.000003","pos":1234,"file_created":1699990000,"gtid_set":"3e11fa47-…:1-23",
//!  "inside":{"gtid":"3e11fa47-…:24","rows":7,"crc32":"0f3a77c1"},"ts_ms":1700000000100},"crc32":"c2b7a5d1"}
//! ```
//!
//! on one line. A point on MariaDB has `"gtid_position":"0-1-42,1-2-7"` instead of `gtid_set`. `server_uuid`, `gtid_set`,
//! `gtid_position`, `inside` and its `gtid` are absent when there is none, and `steps` of `inside` when it is 0; `point` is `null` when there is none. The last member seals the line ([`crate::sync_point::sealed`]). A
//! later format keeps `format` first and the seal last, so that this version can say that it does not know it. Members that
//! this version does not know are ignored.

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
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl PointRecord {
    /// The record as one sealed line, without the line end.
    pub fn to_line(&self) -> Result<String, String> {
        let object = serde_json::to_string(&Written { format: FORMAT, record: self });
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::binlog::ExecutedGtids;
    use crate::sync_point::Inside;
    use crate::sync_point::ServerIdentity;
    use crate::sync_point::SyncPoint;

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
            inside: None,
            ts_ms: 1_700_000_000_100,
        }
    }

    fn inside() -> Inside {
        let gtid = Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:24".into());
        Inside { gtid, rows: 7, steps: 0, crc32: 0x0f3a_77c1 }
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
        let mut plain = record(u64::MAX, u64::MAX);
        plain.point = Some(SyncPoint {
            server: ServerIdentity { server_uuid: None, server_id: u32::MAX },
            file: "a\"\n\u{1}é".into(),
            pos: u64::MAX,
            file_created: 0,
            executed: None,
            set_ahead: false,
            inside: None,
            ts_ms: 0,
        });
        for record in [record(3, 4), bare, plain] {
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
