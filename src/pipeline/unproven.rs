//! The file in which reading goes on, by its age: the first format description of a stream proves that it is that one.

use crate::binlog::BinlogPosition;
use std::sync::Arc;

/// The file in which a point lies.
pub struct Unproven {
    pub file: Arc<str>,
    /// When it was begun (seconds since 1970); 0: not known, so there is nothing to prove.
    pub created: u32,
    pub by_gtid: bool,
}

impl Unproven {
    /// Whether the file that the stream begins with can be the point's, or by GTID a later one.
    pub fn agrees(&self, file: &str, created: u32) -> bool {
        if self.created == 0 {
            return true;
        }
        if *self.file == *file {
            return self.created == created;
        }
        // Files of another base name (`log_bin` was changed) do not compare.
        let order = BinlogPosition::new(file, 0).partial_cmp(&BinlogPosition::new(&*self.file, 0));
        self.by_gtid && order != Some(std::cmp::Ordering::Less)
    }
}
