//! From pack to pack: sequences without holes, epochs that rise, checksums that link, numbers that go on, a point that
//! never goes back.

use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::pack::header::PackHeader;
use crate::sync_point::SyncPoint;
use crate::verify::files::GoodPack;
use crate::verify::report::At;
use crate::verify::report::Finding;
use crate::verify::report::Report;
use crate::verify::report::ShardSummary;

/// The chain of one shard, over all folders.
#[derive(Debug, Default)]
pub struct Chain {
    last: Option<GoodPack>,
    /// The last pack of each folder: what its sink followed, when another node went on in between.
    last_in_folder: Vec<Option<PackHeader>>,
    /// A fault has been told since the last good pack.
    broken: bool,
    pub summary: ShardSummary,
}

impl Chain {
    pub fn new(shard: &str, folders: usize) -> Self {
        let summary = ShardSummary { shard: shard.to_owned(), ..ShardSummary::default() };
        Self { last_in_folder: vec![None; folders], summary, ..Self::default() }
    }

    /// A pack that should be here is not good: what comes behind it cannot be linked to what is before it.
    pub fn interrupted(&mut self) {
        self.broken = true;
    }

    pub fn last(&self) -> Option<&GoodPack> {
        self.last.as_ref()
    }

    /// Takes the next pack by (epoch, sequence). False when it is the one before once more, from another folder.
    pub fn accept(&mut self, pack: GoodPack, folder: usize, report: &mut Report<'_>) -> bool {
        let header = &pack.header;
        if let Some(last) = self.last.as_ref().map(|last| &last.header)
            && (last.epoch, last.sequence) == (header.epoch, header.sequence)
        {
            if last != header {
                let text = format!("pack {} has another content in another folder", name(header));
                report.tell(Finding::fault(pack.at.clone(), text).but(sum(last), sum(header)));
            }
            self.remember(folder, header.clone());
            return false;
        }
        match &self.last {
            None => self.tell_beginning(&pack, report),
            // What is between has been told as missing or bad.
            Some(_) if std::mem::take(&mut self.broken) => {}
            Some(last) => self.check_link(last, &pack, folder, report),
        }
        for (line, reason) in &pack.lines.gaps {
            let at = At::line(&pack.data, pack.first_line + line);
            report.tell(Finding::gap(at, format!("a gap line: {reason}")));
        }
        if header.begins_elsewhere() && !pack.lines.begins_with_gap {
            let text = format!(
                "the point was moved in front of pack {}: its header says so, no gap line does",
                name(header)
            );
            report.tell(Finding::gap(pack.at.clone(), text));
        }
        self.count(header);
        self.remember(folder, header.clone());
        self.last = Some(pack);
        true
    }

    fn remember(&mut self, folder: usize, header: PackHeader) {
        if let Some(last) = self.last_in_folder.get_mut(folder) {
            *last = Some(header);
        }
    }

    fn count(&mut self, header: &PackHeader) {
        let summary = &mut self.summary;
        if summary.packs == 0 {
            (summary.first_seq, summary.first_epoch) = (header.first.seq, header.epoch);
        }
        summary.packs += 1;
        summary.rows += header.rows;
        summary.bytes += header.bytes;
        summary.last_seq = header.next_seq.saturating_sub(1);
        (summary.last_epoch, summary.last_sequence) = (header.epoch, header.sequence);
    }

    fn tell_beginning(&mut self, pack: &GoodPack, report: &mut Report<'_>) {
        let header = &pack.header;
        if std::mem::take(&mut self.broken) || header.sequence == 1 && header.previous_crc32 == 0 {
            return;
        }
        let text = format!(
            "the chain begins with pack {}, seq {}: older files were removed",
            name(header),
            header.first.seq
        );
        report.tell(Finding::note(pack.at.clone(), text));
    }

    fn check_link(&self, last: &GoodPack, pack: &GoodPack, folder: usize, report: &mut Report<'_>) {
        let (before, header) = (&last.header, &pack.header);
        let fault = |text: String| Finding::fault(pack.at.clone(), text);
        let expected = match before.epoch == header.epoch {
            true => before.sequence.saturating_add(1),
            false => 1,
        };
        if header.epoch < before.epoch || header.sequence != expected {
            let finding = fault(format!("packs are missing or out of order behind pack {}", name(before)));
            let epoch = header.epoch.max(before.epoch);
            report.tell(finding.but(format!("pack {epoch}/{expected}"), format!("pack {}", name(header))));
            return;
        }
        if !self.links(before, header, folder) {
            let text = format!(
                "pack {} does not follow pack {}: packs between them are missing, or one of them is another",
                name(header),
                name(before)
            );
            let finding = fault(text);
            report.tell(finding.but(
                format!("previous_crc32 {:08x}", before.crc32),
                format!("{:08x}", header.previous_crc32),
            ));
            return;
        }
        let told = pack.lines.begins_with_gap || header.begins_elsewhere();
        let jumped = header.epoch != before.epoch && told;
        if let Some(finding) = check_numbers(before, pack, jumped) {
            report.tell(finding);
        }
        if !jumped && let Some((expected, got)) = point_falls(&before.point, &header.point) {
            let text = format!("the point of pack {} lies before that of the pack before it", name(header));
            report.tell(fault(text).but(expected, got));
        }
    }

    fn links(&self, before: &PackHeader, header: &PackHeader, folder: usize) -> bool {
        if header.previous_crc32 == before.crc32 {
            return true;
        }
        // A node that takes over follows its own last pack; one that never led before follows none.
        let own = self.last_in_folder.get(folder).and_then(Option::as_ref);
        let takes_over = self.last_in_folder.len() > 1 && header.epoch != before.epoch;
        takes_over && header.previous_crc32 == own.map_or(0, |own| own.crc32)
    }
}

/// `seq` goes on where the pack before ended, unless a `gap` line or the header accounts for the jump.
fn check_numbers(before: &PackHeader, pack: &GoodPack, jumped: bool) -> Option<Finding> {
    let header = &pack.header;
    let (expected, got) = (before.next_seq, header.first.seq);
    if got == expected {
        return None;
    }
    let at = pack.at.clone();
    if got > expected && jumped {
        let teller = if pack.lines.begins_with_gap { "a gap line" } else { "the pack's header" };
        let text = format!("seq {expected} to {} were never used: {teller} accounts for the jump", got - 1);
        return Some(Finding::gap(at, text));
    }
    let text = match got > expected && header.epoch != before.epoch {
        true => format!(
            "seq jumps in front of pack {}: files of the end of epoch {} were lost before the next start, or the point was moved",
            name(header),
            before.epoch
        ),
        false => format!("seq does not go on in pack {}", name(header)),
    };
    Some(Finding::fault(at, text).but(expected, got))
}

/// Expected and got, when a point lies before an earlier one.
fn point_falls(before: &SyncPoint, after: &SyncPoint) -> Option<(String, String)> {
    if let (Some(ExecutedGtids::Mysql(before)), Some(ExecutedGtids::Mysql(after))) =
        (&before.executed, &after.executed)
    {
        let lost = before.subtract(after);
        return (!lost.is_empty()).then(|| (format!("all of {before}"), format!("{lost} missing")));
    }
    let comparable = before.server == after.server && !before.set_ahead && !after.set_ahead;
    if !comparable || before.file.is_empty() || after.file.is_empty() {
        return None;
    }
    let place = |point: &SyncPoint| BinlogPosition::new(point.file.as_str(), point.pos);
    let (from, to) = (place(before), place(after));
    (to < from).then(|| (format!("{from} or later"), to.to_string()))
}

fn name(header: &PackHeader) -> String {
    format!("{}/{}", header.epoch, header.sequence)
}

fn sum(header: &PackHeader) -> String {
    format!("{} rows with CRC-32 {:08x}", header.rows, header.crc32)
}
