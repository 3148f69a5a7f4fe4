//! One shard's files in one folder, read in their order: whole files, whole packs, and what a crash may leave at the end.

use crate::pack::header::PackHeader;
use crate::pack::header::rows_crc32;
use crate::sink::file::naming::FileName;
use crate::sink::file::naming::Found;
use crate::sink::file::naming::Kind;
use crate::sink::file::sidecar::SidecarLine;
use crate::sink::file::sidecar::SidecarReader;
use crate::verify::inventory::Inventory;
use crate::verify::lines::PackLines;
use crate::verify::lines::check_lines;
use crate::verify::report::At;
use crate::verify::report::Finding;
use crate::verify::report::Report;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

/// Reads packs one by one: [`ShardFiles::next_header`], then [`ShardFiles::check_pack`].
pub struct ShardFiles {
    folder: PathBuf,
    files: VecDeque<(FileName, Found)>,
    /// None of them has been looked at.
    at_beginning: bool,
    /// Packs are not there any more because a run removes old files meanwhile.
    removed: bool,
    /// A run is writing here now.
    written: bool,
    open: Option<OpenPair>,
    /// The pack before, as long as nothing is known to be missing in between.
    previous: Option<PackHeader>,
    rows: Vec<u8>,
    /// Data files that were read.
    pub count: u64,
}

/// A data file and its sidecar.
struct OpenPair {
    name: FileName,
    /// The last one, still called `.part`: its end may be torn.
    may_be_torn: bool,
    /// A run is writing it now.
    written: bool,
    data_path: PathBuf,
    sidecar_path: PathBuf,
    data: File,
    sidecar: SidecarReader,
    /// Where the next pack's rows begin.
    offset: u64,
    /// Lines before them.
    lines: u64,
    headers: u64,
}

/// A pack that is right in itself.
#[derive(Debug, Clone)]
pub struct GoodPack {
    pub header: PackHeader,
    pub lines: PackLines,
    /// Its header.
    pub at: At,
    /// The data file, and the number of its first line there.
    pub data: PathBuf,
    pub first_line: u64,
    pub file: FileName,
}

impl ShardFiles {
    pub fn new(inventory: &Inventory, shard: &str) -> Self {
        Self {
            folder: inventory.folder.clone(),
            files: inventory.files_of(shard).into(),
            at_beginning: true,
            removed: false,
            written: inventory.is_written(shard),
            open: None,
            previous: None,
            rows: Vec::new(),
            count: 0,
        }
    }

    /// The header of the next pack; none behind the last file.
    pub fn next_header(&mut self, report: &mut Report<'_>) -> io::Result<Option<PackHeader>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some((name, found)) = self.files.pop_front() else { return Ok(None) };
                self.open = match self.open_pair(&name, found, report) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && self.written => {
                        let at = At::file(&name.path(&self.folder, Kind::Closed));
                        report.tell(Finding::note(at, REMOVED));
                        (self.previous, self.removed) = (None, true);
                        None
                    }
                    opened => opened?,
                };
                continue;
            };
            match next_line(open, report)? {
                Some(SidecarLine::Header(header)) => match open.is_stranger(&header) {
                    None => return Ok(Some(*header)),
                    Some(finding) => report.tell(finding),
                },
                Some(SidecarLine::Broken(why)) => {
                    let followed = open.sidecar.next_line()?.is_some();
                    open.tell_bad_end(followed || open.written, &why, report);
                }
                Some(SidecarLine::Torn) => open.tell_bad_end(false, "its line has no end", report),
                None => {
                    open.check_end(report)?;
                    self.open = None;
                    continue;
                }
            }
            self.skip_rest();
        }
    }

    /// Reads and checks the rows under the header that came last; none when they are not what it says. `linked`: the pack
    /// before it over all folders.
    pub fn check_pack(
        &mut self,
        header: PackHeader,
        linked: Option<&PackHeader>,
        report: &mut Report<'_>,
    ) -> io::Result<Option<GoodPack>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let at = At::line(&open.sidecar_path, open.sidecar.line_number());
        let (start, first_line) = (open.offset, open.lines + 1);
        open.offset += header.bytes;
        open.lines += header.rows;
        open.headers += 1;
        if let Err(bad) = open.read_rows(&header, start, &mut self.rows)? {
            let followed = matches!(open.sidecar.next_line()?, Some(SidecarLine::Header(_)));
            open.tell_bad_rows(&header, &bad, followed, start, first_line, report);
            self.skip_rest();
            return Ok(None);
        }
        // What does not follow from it is the chain's to tell, once.
        let previous = self.previous.replace(header.clone());
        let follows =
            |previous: &PackHeader| previous.crc32 == header.previous_crc32 && !header.begins_elsewhere();
        let previous = previous.filter(follows);
        let linked = linked.filter(|linked| header.follows.is_some() && follows(linked));
        match check_lines(&header, &self.rows, previous.as_ref().or(linked)) {
            Ok(lines) => {
                let data = open.data_path.clone();
                Ok(Some(GoodPack { header, lines, at, data, first_line, file: open.name.clone() }))
            }
            Err(fault) => {
                let at = At::line(&open.data_path, first_line + fault.line).with_offset(start + fault.offset);
                report.tell(Finding::fault(at, fault.text).but(fault.expected, fault.got));
                Ok(None)
            }
        }
    }

    /// Whether packs in front of the next header have gone since the folder was listed: it follows none that was read.
    pub fn take_removed(&mut self) -> bool {
        std::mem::take(&mut self.removed)
    }

    /// The rows of the pack that was checked last.
    pub fn rows(&self) -> &[u8] {
        &self.rows
    }

    /// Leaves out all packs up to this one, which was in a file of that name, without reading their rows.
    pub fn skip_to(
        &mut self,
        last: &PackHeader,
        file: &FileName,
        report: &mut Report<'_>,
    ) -> io::Result<Option<PackHeader>> {
        self.files.retain(|(name, _)| name >= file);
        while let Some(header) = self.next_header(report)? {
            if (header.epoch, header.sequence) > (last.epoch, last.sequence) {
                return Ok(Some(header));
            }
            if let Some(open) = &mut self.open {
                open.offset += header.bytes;
                open.lines += header.rows;
                open.headers += 1;
            }
            self.previous = Some(header);
        }
        Ok(None)
    }

    fn skip_rest(&mut self) {
        self.open = None;
        self.previous = None;
    }

    /// Opens both halves. None, and it has been told, when they cannot be read as a pair.
    fn open_pair(
        &mut self,
        name: &FileName,
        found: Found,
        report: &mut Report<'_>,
    ) -> io::Result<Option<OpenPair>> {
        let last = self.files.is_empty();
        let first = self.at_beginning;
        // What is found gone beside a run may go on right behind it.
        self.at_beginning = first && self.written;
        let path = |kind| name.path(&self.folder, kind);
        let (closed, part, sidecar_path) = (path(Kind::Closed), path(Kind::Part), path(Kind::Sidecar));
        let found = if self.written { look_again(&self.folder, name, found)? } else { found };
        let finding = match (found.closed, found.part, found.sidecar) {
            (true, true, _) => Some(Finding::fault(At::file(&part), "it is there with and without .part")),
            // What a crash leaves that came while the file was made or removed.
            (false, false, _) if last && length(&sidecar_path)? == 0 => {
                Some(Finding::note(At::file(&sidecar_path), "an empty sidecar, without a data file"))
            }
            (false, false, false) => Some(Finding::note(At::file(&closed), REMOVED)),
            // Old files are removed from the first one on, rows before sidecar.
            (false, false, _) if first && !last => Some(Finding::note(
                At::file(&sidecar_path),
                "its rows are gone: it was about to be removed too",
            )),
            (false, false, _) => Some(Finding::fault(At::file(&sidecar_path), "its data file is missing")),
            (false, true, false) if last && length(&part)? == 0 => {
                Some(Finding::note(At::file(&part), "empty, without a sidecar"))
            }
            (_, _, false) => {
                let data = if part_only(found) { &part } else { &closed };
                Some(Finding::fault(At::file(data), "its sidecar (the same name and .packs) is missing"))
            }
            _ => None,
        };
        if let Some(finding) = finding {
            report.tell(finding);
            (self.previous, self.removed) =
                (None, self.removed || self.written && !found.closed && !found.part);
            return Ok(None);
        }
        let data_path = if part_only(found) { part } else { closed };
        // A run may close the file between the look at the folder and this.
        let (data, data_path) = match File::open(&data_path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && found.part => {
                let closed = name.path(&self.folder, Kind::Closed);
                (File::open(&closed)?, closed)
            }
            opened => (opened?, data_path),
        };
        if found.part && !last {
            report.tell(Finding::note(At::file(&data_path), "not the last file and not closed"));
        }
        let sidecar = SidecarReader::open(&sidecar_path)?;
        self.count += 1;
        self.at_beginning = false;
        Ok(Some(OpenPair {
            may_be_torn: found.part && last,
            written: self.written,
            name: name.clone(),
            data_path,
            sidecar_path,
            data,
            sidecar,
            offset: 0,
            lines: 0,
            headers: 0,
        }))
    }
}

const REMOVED: &str = "removed while the folder was read";

/// A file that gets another name while its folder is listed may be listed under both or under neither (readdir(3)).
fn look_again(folder: &Path, name: &FileName, listed: Found) -> io::Result<Found> {
    if listed.sidecar && listed.closed != listed.part {
        return Ok(listed);
    }
    // It loses its .part: where that is gone the other name is there.
    let part = name.path(folder, Kind::Part);
    let was_part = part.try_exists()?;
    let closed = name.path(folder, Kind::Closed).try_exists()?;
    let sidecar = name.path(folder, Kind::Sidecar).try_exists()?;
    Ok(Found { closed, part: was_part && part.try_exists()?, sidecar })
}

fn part_only(found: Found) -> bool {
    found.part && !found.closed
}

fn length(path: &Path) -> io::Result<u64> {
    Ok(path.metadata()?.len())
}

/// The next line of a sidecar; one that is far too long is a fault and ends it.
fn next_line(open: &mut OpenPair, report: &mut Report<'_>) -> io::Result<Option<SidecarLine>> {
    match open.sidecar.next_line() {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let at = At::line(&open.sidecar_path, open.sidecar.line_number());
            report.tell(Finding::fault(at, error.to_string()));
            Ok(None)
        }
        line => line,
    }
}

/// What is wrong with the rows under a header.
enum BadRows {
    Short { there: u64 },
    Changed { crc32: u32 },
}

impl OpenPair {
    fn is_stranger(&self, header: &PackHeader) -> Option<Finding> {
        if (&header.shard, header.epoch) == (&self.name.shard, self.name.epoch) {
            return None;
        }
        let at = At::line(&self.sidecar_path, self.sidecar.line_number());
        let told = |shard: &str, epoch: u64| format!("shard {shard} epoch {epoch}");
        Some(
            Finding::fault(at, "a pack that does not belong into a file of this name")
                .but(told(&self.name.shard, self.name.epoch), told(&header.shard, header.epoch)),
        )
    }

    fn read_rows(
        &self,
        header: &PackHeader,
        start: u64,
        rows: &mut Vec<u8>,
    ) -> io::Result<Result<(), BadRows>> {
        // Measured first: nothing is allocated for bytes that are not there.
        let there = self.data.metadata()?.len().saturating_sub(start);
        if there < header.bytes {
            return Ok(Err(BadRows::Short { there }));
        }
        rows.resize(usize::try_from(header.bytes).unwrap_or(usize::MAX), 0);
        self.data.read_exact_at(rows, start)?;
        let crc32 = rows_crc32(rows);
        match crc32 == header.crc32 {
            true => Ok(Ok(())),
            false => Ok(Err(BadRows::Changed { crc32 })),
        }
    }

    fn tell_bad_rows(
        &self,
        header: &PackHeader,
        bad: &BadRows,
        followed: bool,
        start: u64,
        first_line: u64,
        report: &mut Report<'_>,
    ) {
        let at = At::line(&self.data_path, first_line).with_offset(start);
        let pack = format!("pack {}/{}", header.epoch, header.sequence);
        let may_be_torn = self.may_be_torn && !followed;
        let rest = if followed { "; the rest of the file is not looked at" } else { "" };
        let finding = match bad {
            // A run that could not flush a pack cuts it off and writes it again.
            BadRows::Short { .. } if may_be_torn && self.written => return,
            _ if may_be_torn && !self.written => {
                Finding::note(at, format!("{pack} is torn, as a crash may leave it: {TORN}"))
            }
            BadRows::Short { there } => Finding::fault(at, format!("the file ends inside of {pack}{rest}"))
                .but(format!("{} bytes", header.bytes), format!("{there} bytes")),
            BadRows::Changed { crc32 } => {
                let (line, end) = (first_line + header.rows.saturating_sub(1), start + header.bytes);
                let text = format!("the bytes of {pack} (to line {line}, offset {end}) were changed{rest}");
                Finding::fault(at, text).but(format!("CRC-32 {:08x}", header.crc32), format!("{crc32:08x}"))
            }
        };
        report.tell(finding);
    }

    /// A line of the sidecar that is no header. `certain`: it cannot be what a crash left.
    fn tell_bad_end(&self, certain: bool, why: &str, report: &mut Report<'_>) {
        let at = At::line(&self.sidecar_path, self.sidecar.line_number());
        if self.may_be_torn && !certain {
            if self.written {
                return;
            }
            report.tell(Finding::note(at, format!("a torn end, as a crash may leave it: {why}: {TORN}")));
            return;
        }
        let text = format!("no header of a pack: {why}; the rest of the file is not looked at");
        report.tell(Finding::fault(at, text));
    }

    /// Behind the last header.
    fn check_end(&self, report: &mut Report<'_>) -> io::Result<()> {
        let length = self.data.metadata()?.len();
        let at = At::file(&self.data_path).with_offset(self.offset);
        let surplus = length.saturating_sub(self.offset);
        if !self.may_be_torn && surplus > 0 {
            let finding = Finding::fault(at, "rows without a header");
            report.tell(finding.but(format!("{} bytes", self.offset), format!("{length} bytes")));
        } else if !self.may_be_torn && self.headers == 0 {
            report.tell(Finding::fault(at, "a closed file without a pack"));
        } else if self.may_be_torn && !self.written {
            if surplus > 0 {
                let text = format!("{surplus} bytes without a header, as a crash may leave them: {TORN}");
                report.tell(Finding::note(at, text));
            }
            report.tell(Finding::note(At::file(&self.data_path), "not closed: the last run was killed"));
        }
        Ok(())
    }
}

const TORN: &str = "the next run cuts it off and delivers it again";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_listing_missed_or_told_twice_is_looked_for_again() {
        let temp = tempfile::tempdir().unwrap();
        let name = FileName { shard: "a".into(), epoch: 1, number: 2 };
        let there = Found { closed: true, part: false, sidecar: true };
        for kind in [Kind::Closed, Kind::Sidecar] {
            std::fs::write(name.path(temp.path(), kind), "").unwrap();
        }
        for listed in [Found { closed: false, ..there }, Found { part: true, ..there }, there] {
            assert_eq!(look_again(temp.path(), &name, listed).unwrap(), there, "{listed:?}");
        }
        let gone = tempfile::tempdir().unwrap();
        let listed = Found { sidecar: false, ..there };
        assert_eq!(look_again(gone.path(), &name, listed).unwrap(), Found::default());
    }
}
