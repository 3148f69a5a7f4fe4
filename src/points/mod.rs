//! The commands `points` and `gaps`, without their words: reading what is kept of a shard's points, finding one by time,
//! and moving the point.
//!
//! Reading takes no lock and makes nothing: it may be done while a run goes on. Moving takes the shard's lock, so it is
//! refused while a process leads the shard.

pub mod find;
pub mod set;
pub mod store;
pub mod time;
mod xa;
mod xa_scan;

use crate::binlog::ExecutedGtids;
use crate::config::Config;
use crate::config::PointStore;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPoint;
use crate::sync_point::file_store;
use crate::sync_point::gap::GapEdge;
use std::path::Path;

/// Insists that there is a folder of points to look into: nothing found elsewhere would say nothing.
pub fn need_folder(folder: &Path) -> Result<(), StoreError> {
    file_store::need_folder(folder).map_err(|mut error| {
        if matches!(folder.try_exists(), Ok(false)) {
            error.text += "; no run has been here yet, or producer_position names another folder";
        }
        error
    })
}

/// The same, where the folder has the word on points: beside ZooKeeper it may be missing.
pub fn need_points(config: &Config) -> Result<(), StoreError> {
    match config.points.store {
        PointStore::File => need_folder(&config.point_dir),
        PointStore::ZooKeeper => Ok(()),
    }
}

/// A point in one line: place, GTIDs, and how far into the next transaction.
pub fn in_words(point: &SyncPoint) -> String {
    let gtids = point.executed.as_ref().map(|gtids| match gtids {
        ExecutedGtids::Group(id) => format!("group {id}"),
        gtids => format!("GTIDs {}", short(&gtids.to_string())),
    });
    let place = place_in_words(&point.file, point.pos, gtids);
    let inside =
        point.inside.as_ref().map(|inside| format!(", {} rows into the next transaction", inside.rows));
    let prepared = match point.pending_xa.len() {
        0 => String::new(),
        count => format!(", {count} prepared XA transactions"),
    };
    format!("{place}{}{prepared}", inside.unwrap_or_default())
}

/// The same of an edge of a gap.
pub fn edge_in_words(edge: &GapEdge) -> String {
    let gtid = edge.gtid.as_ref().map(|gtid| format!("GTID {}", short(gtid)));
    let row = if edge.row > 0 { format!(", row {}", edge.row) } else { String::new() };
    format!("{}{row}", place_in_words(&edge.file, edge.pos, gtid))
}

fn place_in_words(file: &str, pos: u64, gtids: Option<String>) -> String {
    match (file.is_empty(), gtids) {
        (false, Some(gtids)) => format!("{file}:{pos}, {gtids}"),
        (false, None) => format!("{file}:{pos}"),
        // A GTID set says nothing about files until the server has.
        (true, Some(gtids)) => gtids,
        (true, None) => "an unknown place".to_owned(),
    }
}

/// Long texts lose their middle: the newest GTIDs stand at the end.
fn short(text: &str) -> String {
    const END: usize = 100;
    if text.is_empty() {
        return "(none)".to_owned();
    }
    let count = text.chars().count();
    if count <= 2 * END {
        return text.to_owned();
    }
    let head: String = text.chars().take(END).collect();
    let tail: String = text.chars().skip(count - END).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::record::tests::record;

    #[test]
    fn points_and_edges_are_told_in_a_line() {
        let point = record(1, 2).point.unwrap();
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23";
        assert_eq!(
            in_words(&point),
            format!("mysql-bin.000003:1234, GTIDs {set}, 7 rows into the next transaction")
        );
        assert_eq!(
            edge_in_words(&GapEdge::of_point(&point)),
            format!("mysql-bin.000003:1234, GTID {set}, row 7")
        );
        let gtids = SyncPoint { file: String::new(), pos: 0, inside: None, ..point };
        assert_eq!(in_words(&gtids), format!("GTIDs {set}"));
        assert_eq!(edge_in_words(&GapEdge::of_point(&gtids)), format!("GTID {set}"));
        let bare = SyncPoint { executed: None, ..gtids };
        assert_eq!(in_words(&bare), "an unknown place");
        assert_eq!(edge_in_words(&GapEdge::of_point(&bare)), "an unknown place");
        let long = short(&"é".repeat(5000));
        assert_eq!(long.chars().count(), 201);
    }
}
