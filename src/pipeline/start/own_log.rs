//! Whether a point's place can lie in the log of the server that it is of. A server that was restored, that lost its log's tail
//! with its power, or whose binlogs were reset, writes other things under the same names of files, and on MySQL under the
//! same GTIDs: what it has made itself it counts by itself.

use super::Planning;
use crate::binlog::BinlogPosition;
use crate::change::batch::Place;
use crate::code::Code;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_index::BinlogFileEntry;
use crate::mysql::binlog_index::binlog_files;
use crate::pack::builder::Frontier;
use crate::pipeline::fault::Fault;
use crate::pipeline::unproven::Unproven;
use std::sync::Arc;

/// What a server says of its log.
struct Log {
    /// None where the account may not ask: old servers tell them to SUPER alone.
    files: Option<Vec<BinlogFileEntry>>,
    end: BinlogPosition,
}

impl Log {
    fn file(&self, name: &str) -> Option<&BinlogFileEntry> {
        self.files.as_ref()?.iter().find(|entry| entry.name == name)
    }

    /// Why there is nothing at a place, if that is so.
    fn ends_before(&self, place: &BinlogPosition) -> Option<String> {
        if *place > self.end {
            return Some(format!(
                "the point {place} lies behind the end of the server's binlog, which is {}; the server was restored, or its \
                 binlogs were reset",
                self.end
            ));
        }
        // 0: a file that the server cannot look at. The dump's error says more.
        let size = self.file(&place.file)?.size.filter(|size| *size > 0)?;
        (place.pos > size && place.file != self.end.file).then(|| {
            format!(
                "the point {place} lies behind the end of that file, which has {size} bytes; the server was restored, lost \
                 the end of its log, or its binlogs were reset"
            )
        })
    }
}

impl Planning<'_> {
    fn log(&mut self) -> Result<Log, Fault> {
        let fault = self.source_fault();
        let files = match binlog_files(&mut self.session.connection) {
            // The dump's own error 1236 tells then what is missing.
            Err(error) if error.code() == Code::RightMissing => None,
            other => Some(other.map_err(&fault)?),
        };
        let end = BinlogEnd::ask(&mut self.session.connection, &self.session.facts).map_err(&fault)?;
        Ok(Log { files, end: BinlogPosition { file: end.file, pos: end.pos } })
    }

    /// By position reading begins just there.
    pub(super) fn check_position(&mut self, place: &Place) -> Result<(), Fault> {
        let wanted = position(place);
        let log = self.log()?;
        if let Some(why) = log.ends_before(&wanted) {
            return Err(self.refused(Code::PointBeyondEnd, &why));
        }
        match &log.files {
            Some(files) if log.file(&wanted.file).is_none() => {
                let oldest = files.first().map_or("none", |entry| entry.name.as_str());
                Err(self.refused(
                    Code::Purged,
                    &format!(
                        "the server no longer has the binlog of the point {wanted}, its oldest one is {oldest}; copy the \
                         tables anew and start behind them"
                    ),
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// By MySQL's GTIDs on the same server: its sets look whole once it has counted past ours. Its files tell, as long as they
    /// are there: the point's must reach to the place, and have been begun when ours was. Where the stream begins in that very
    /// file its first event says so ([`Unproven`]); behind it nobody would.
    pub(super) fn check_own_log(&mut self, frontier: &Frontier) -> Result<(), Fault> {
        let Frontier { place, file_created: created, set_ahead, executed, .. } = frontier;
        if *set_ahead || place.file.is_empty() {
            return Ok(());
        }
        let wanted = position(place);
        let log = match self.log() {
            // The dump itself needs no such right, so rows come without it; what cannot be proven is told.
            Err(fault) if fault.code == Code::RightMissing => {
                log::warn!(
                    "{fault}; going on by GTID: should this server lose the end of its log and count anew, it will not be noticed"
                );
                return Ok(());
            }
            log => log?,
        };
        if let Some(why) = log.ends_before(&wanted) {
            let set = executed.as_ref().map(ToString::to_string).unwrap_or_default();
            let name = &self.shard.name;
            return Err(self.refused(
                Code::PointBeyondEnd,
                &format!(
                    "{why}, and what it counts since has the names of what it lost; copy the tables anew and start behind \
                     them; if it has got all that back as a replica of another server: fountain points set {name} --gtids \
                     '{set}' --reason TEXT"
                ),
            ));
        }
        if *created == 0 || wanted.file == log.end.file || log.file(&wanted.file).is_none() {
            return Ok(());
        }
        let unproven = Unproven { file: Arc::clone(&place.file), created: *created, by_gtid: true };
        let begun = self.beside().begun(&wanted.file)?;
        unproven.prove(&wanted.file, begun).map_err(|error| self.refused(error.code, &error.text))
    }
}

fn position(place: &Place) -> BinlogPosition {
    BinlogPosition { file: place.file.to_string(), pos: place.pos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_lies_within_its_file_and_the_log() {
        let entry = |name: &str, size| BinlogFileEntry { name: name.to_owned(), size };
        let log = Log {
            files: Some(vec![entry("b.1", Some(500)), entry("b.2", Some(0)), entry("b.3", Some(100))]),
            end: BinlogPosition::new("b.3", 300),
        };
        let is_there = |file: &str, pos| log.ends_before(&BinlogPosition::new(file, pos)).is_none();
        // The last file grows; its size may be told before its end is.
        assert!(is_there("b.1", 500) && is_there("b.2", 900) && is_there("b.3", 300) && is_there("b.0", 900));
        assert!(!is_there("b.1", 501) && !is_there("b.3", 301) && !is_there("b.4", 4));
        assert!(is_there("other.9", 4), "files of another base name do not compare");
        let log = Log { files: None, ..log };
        assert!(log.ends_before(&BinlogPosition::new("b.1", 501)).is_none());
    }
}
