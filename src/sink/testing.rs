//! Packs for the tests of sinks.

use crate::pack::header::PackHeader;
use crate::pack::header::RowPlace;
use crate::pack::header::rows_crc32;
use crate::sync_point::record::tests::point;

/// Packs of growing size, numbered from 1, each linked to the one before.
pub(crate) fn packs(shard: &str, epoch: u64, count: u64) -> Vec<(PackHeader, Vec<u8>)> {
    let rows = (0..count).map(|index| lines(index, 1 + index % 3)).collect();
    in_packs(shard, epoch, 0, rows)
}

/// Row lines that differ from pack to pack.
pub(crate) fn lines(index: u64, rows: u64) -> Vec<u8> {
    (0..rows)
        .map(|row| format!("{{\"op\":\"insert\",\"pack\":{index},\"row\":{row}}}\n"))
        .collect::<String>()
        .into()
}

/// Puts headers over given rows.
pub(crate) fn in_packs(
    shard: &str,
    epoch: u64,
    previous_crc32: u32,
    rows: Vec<Vec<u8>>,
) -> Vec<(PackHeader, Vec<u8>)> {
    let mut previous_crc32 = previous_crc32;
    let mut packs = Vec::new();
    for (sequence, rows) in (1..).zip(rows) {
        let place =
            RowPlace { gtid: None, file: "binlog.000001".into(), pos: sequence * 100, row: 0, seq: sequence };
        let header = PackHeader {
            shard: shard.into(),
            epoch,
            sequence,
            rows: rows.iter().filter(|byte| **byte == b'\n').count() as u64,
            bytes: rows.len() as u64,
            first: place.clone(),
            last: place,
            next_seq: sequence + 1,
            point: point(sequence * 100 + 50),
            moved: false,
            follows: None,
            crc32: rows_crc32(&rows),
            previous_crc32,
        };
        previous_crc32 = header.crc32;
        packs.push((header, rows));
    }
    packs
}
