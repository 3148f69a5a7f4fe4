//! Baidu's MySQL 5.1 ("Ares"): the point is a group id, which every server of a topology can find in its own binlog.
//!
//! All events of a transaction carry the same id, ids rise, and a server that takes over goes on counting. `SHOW BINLOG INFO
//! FOR id` tells where the group ends, so a dump from there brings the group behind it: nothing lost, nothing repeated, on
//! whatever server. (Google's MySQL patches, from which it comes: "Global transaction IDs", `rpl_hierarchical`.)

use super::Dump;
use super::Planning;
use super::Resume;
use crate::binlog::ExecutedGtids;
use crate::change::batch::Place;
use crate::code::Code;
use crate::mysql::binlog_index::BinlogEnd;
use crate::mysql::binlog_index::group_end;
use crate::mysql::binlog_stream::DumpRequest;
use crate::pack::builder::Frontier;
use crate::pack::builder::StreamKind;
use crate::pipeline::fault::Fault;

impl Planning<'_> {
    /// What a point says, on whichever server of the topology this is.
    pub(super) fn resume_by_group(&mut self, resume: Resume) -> Result<Dump, Fault> {
        self.require_ares()?;
        let same = self.is_same_server(&resume);
        match &resume.frontier.executed {
            // In the middle of a transaction the place is exact, and proved by the file's creation time.
            _ if same && resume.inside.is_some() && resume.frontier.file_created != 0 => self.resume_by_position(resume),
            Some(ExecutedGtids::Group(id)) => {
                let id = *id;
                self.behind_group(id, resume)
            }
            None => self.resume_by_position(resume),
            Some(ExecutedGtids::Mysql(_) | ExecutedGtids::Mariadb(_)) => Err(self.refused(
                Code::PointForeign,
                "binlog_dump_strategy=ares, but the stored point is a GTID set; go on with binlog_dump_strategy=auto, on a \
                 server with GTIDs",
            )),
        }
    }

    /// Nothing is stored: behind a configured group.
    pub(super) fn first_by_group(&mut self, id: u64) -> Result<Dump, Fault> {
        self.require_ares()?;
        let frontier =
            Frontier { executed: Some(ExecutedGtids::Group(id)), ..Frontier::at(super::no_place_yet()) };
        let resume = Resume { identity: self.session.identity(), frontier, inside: None };
        self.behind_group(id, resume)
    }

    pub(super) fn require_ares(&self) -> Result<(), Fault> {
        let version = self.session.facts.version();
        if version.starts_with("5.1.") {
            return Ok(());
        }
        let text = format!(
            "binlog_dump_strategy=ares is for Baidu's MySQL 5.1, the server's version is {version}; set \
             binlog_dump_strategy=auto or position"
        );
        Err(self.refused(Code::Unsupported, &text))
    }

    fn behind_group(&mut self, id: u64, mut resume: Resume) -> Result<Dump, Fault> {
        let told = group_end(&mut self.session.connection, id).map_err(self.source_fault())?;
        let Some((file, pos)) = told else { return Err(self.unknown_group(id)?) };
        let old = &resume.frontier.place;
        if *old.file != *file || !self.is_same_server(&resume) {
            resume.frontier.file_created = 0;
        }
        resume.frontier.place = Place { file: file.as_str().into(), pos };
        let described = format!("behind group {id}, at {file}:{pos}");
        let stream = StreamKind::default();
        Ok(Dump { request: DumpRequest::Position { file, pos }, resume, stream, described })
    }

    /// A group that the server does not find: it lies ahead of it, or is gone.
    fn unknown_group(&mut self, id: u64) -> Result<Fault, Fault> {
        let end = BinlogEnd::ask(&mut self.session.connection, &self.session.facts);
        let last = end.map_err(self.source_fault())?.group_id;
        Ok(match last.filter(|last| *last < id) {
            Some(last) => self.refused(
                Code::PointBeyondEnd,
                &format!(
                    "the point is group id {id}, the server's last one is {last}: it lags behind, was restored, or its binlogs \
                     were reset"
                ),
            ),
            None => self.refused(
                Code::Purged,
                &format!(
                    "the server's binlogs do not hold group id {id} of the point: they were purged, or the server never had it; \
                     copy the tables anew and start behind them, or connect to a server that has it"
                ),
            ),
        })
    }
}
