//! The proof that a server's file is still the one in which the point lies.
//!
//! Binlogs that were reset begin anew with the same names, and MySQL begins anew to count transactions: resumed there, we
//! would take the first new ones for those that we have had. When the file was begun tells one from the other.

use crate::binlog::BinlogPosition;
use crate::change::error::ChangeError;
use crate::code::Code;
use std::sync::Arc;

/// The file in which a point lies, before the server has said when its own of that name was begun.
pub struct Unproven {
    pub file: Arc<str>,
    /// When it was begun (seconds since 1970); 0: not known, so there is nothing to prove.
    pub created: u32,
    pub by_gtid: bool,
}

impl Unproven {
    /// Refuses a stream whose first file, begun at `created`, cannot be the point's.
    pub fn prove(&self, file: &str, created: u32) -> Result<(), ChangeError> {
        if self.agrees(file, created) {
            return Ok(());
        }
        Err(ChangeError::new(
            Code::PointForeign,
            format!(
                "the point lies in {} begun at {} (seconds since 1970), the server sends {file} begun at {created}: its \
                 binlogs were reset or restored since; copy the tables anew and start behind them",
                self.file, self.created
            ),
        ))
    }

    /// Whether the file that the stream begins with can be the point's, or by GTID a later one.
    fn agrees(&self, file: &str, created: u32) -> bool {
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
