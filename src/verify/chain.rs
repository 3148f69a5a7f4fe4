//! From pack to pack: sequences without holes, epochs that rise, checksums that link, numbers that go on, a point that
//! never goes back.

use crate::binlog::BinlogPosition;
use crate::binlog::ExecutedGtids;
use crate::pack::header::Follows;
use crate::pack::header::PackHeader;
use crate::pack::header::PackName;
use crate::sync_point::SyncPoint;
use crate::verify::counted::Counted;
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
    counted: Counted,
    /// The packs that do not count and came last.
    passed_over: Option<PassedOver>,
    pub summary: ShardSummary,
}

/// Packs that do not count, one behind the other.
#[derive(Debug)]
struct PassedOver {
    first: PackName,
    last: PackName,
    at: At,
    /// The epoch that has delivered their rows again, and the pack that it follows.
    by: (u64, PackName),
}

impl Chain {
    pub fn new(shard: &str, folders: usize, counted: Counted) -> Self {
        let summary = ShardSummary { shard: shard.to_owned(), ..ShardSummary::default() };
        Self { last_in_folder: vec![None; folders], counted, summary, ..Self::default() }
    }

    /// A pack that should be here is not good: what comes behind it cannot be linked to what is before it.
    pub fn interrupted(&mut self) {
        self.broken = true;
    }

    pub fn last(&self) -> Option<&GoodPack> {
        self.last.as_ref()
    }

    /// The pack that the next one may follow, if nothing is wrong in between.
    pub fn linked(&self) -> Option<&PackHeader> {
        self.last.as_ref().filter(|_| !self.broken).map(|last| &last.header)
    }

    /// Takes the next pack by (epoch, sequence). False when it is the one before once more, from another folder, or does not
    /// count.
    pub fn accept(&mut self, pack: GoodPack, folder: usize, report: &mut Report<'_>) -> bool {
        let header = &pack.header;
        if let Some(by) = self.counted.passed_over(header.name()) {
            self.pass_over(&pack, by, report);
            self.remember(folder, pack.header);
            return false;
        }
        self.tell_passed_over(report);
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

    fn pass_over(&mut self, pack: &GoodPack, by: (u64, PackName), report: &mut Report<'_>) {
        let name = pack.header.name();
        match &mut self.passed_over {
            Some(passed) if passed.by == by => passed.last = name,
            _ => {
                self.tell_passed_over(report);
                let at = pack.at.clone();
                self.passed_over = Some(PassedOver { first: name, last: name, at, by });
            }
        }
    }

    /// Tells of packs that do not count, once for all that lie together.
    pub fn tell_passed_over(&mut self, report: &mut Report<'_>) {
        let Some(PassedOver { first, last, at, by: (epoch, follows) }) = self.passed_over.take() else {
            return;
        };
        let behind = match follows.epoch {
            0 => "begins with the shard's first point".to_owned(),
            _ => format!("goes on behind pack {follows}"),
        };
        let text = format!(
            "packs {first} to {last} do not count: epoch {epoch} {behind} and has delivered their rows again; \
             their node puts them into superseded/ when it leads again"
        );
        report.tell(Finding::note(at, text));
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
        if let Some(Follows { pack: before, here: Some(here) }) = header.follows
            && here.epoch == 0
        {
            let text =
                format!("the chain begins with pack {}, behind pack {before} of another node", name(header));
            report.tell(Finding::note(pack.at.clone(), text));
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
        if let Some(follows) = header.follows.filter(|_| header.sequence == 1 && header.epoch > before.epoch)
            && !self.check_follows(before, pack, &follows, report)
        {
            return;
        }
        let expected = match before.epoch == header.epoch {
            true => before.sequence.saturating_add(1),
            false => 1,
        };
        if header.epoch > before.epoch && header.sequence > 1 && self.is_shortened(folder) {
            let text = format!("packs in front of pack {} were removed as old from its folder", name(header));
            report.tell(Finding::note(pack.at.clone(), text));
            return;
        }
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

    /// Whether the folder's oldest packs are gone, and this is its first one.
    fn is_shortened(&self, folder: usize) -> bool {
        self.last_in_folder.get(folder).is_some_and(Option::is_none)
    }

    /// Whether an epoch's first pack follows the one before it, or what lies between need not be here.
    fn check_follows(
        &self,
        before: &PackHeader,
        pack: &GoodPack,
        follows: &Follows,
        report: &mut Report<'_>,
    ) -> bool {
        let (reached, expected) = (before.name(), follows.pack);
        if reached == expected {
            return true;
        }
        let between = format!("the packs behind pack {reached}, up to {expected},");
        let alone = self.last_in_folder.len() == 1;
        if alone && follows.here == Some(reached) && reached < expected {
            let text = format!(
                "{between} are another node's: verify the folders of all nodes together for a whole proof"
            );
            report.tell(Finding::note(pack.at.clone(), text));
            return true;
        }
        if !alone && reached.epoch < expected.epoch && self.counted.may_be_removed(expected) {
            let text = format!("{between} are not here: older files were removed from a node's folder");
            report.tell(Finding::note(pack.at.clone(), text));
            return true;
        }
        // What this very folder held, where the others are not here.
        let expected = follows.here.filter(|here| alone && *here > reached).unwrap_or(expected);
        let text = format!("packs are missing in front of pack {}", name(&pack.header));
        let finding = Finding::fault(pack.at.clone(), text);
        report.tell(finding.but(format!("pack {expected}"), format!("pack {reached}")));
        false
    }

    fn links(&self, before: &PackHeader, header: &PackHeader, folder: usize) -> bool {
        if header.previous_crc32 == before.crc32 {
            return true;
        }
        // A node that takes over follows its own last pack; one that never led before follows none.
        if header.follows.is_some_and(|follows| follows.pack != before.name()) {
            // What is between has been told.
            return true;
        }
        let own = self.last_in_folder.get(folder).and_then(Option::as_ref);
        let takes_over =
            self.last_in_folder.len() > 1 && header.epoch != before.epoch && header.follows.is_none();
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
    if got > expected && !jumped && header.epoch != before.epoch && header.follows.is_some() {
        // The header names the pack before it; a node that takes over numbers its lines behind all that were reserved.
        return None;
    }
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
