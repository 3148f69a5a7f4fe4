//! An XA COMMIT whose rows are not known, because its XA PREPARE lies before the place where reading once began.

use crate::change::batch::XaUnknown;
use crate::pack::builder::BuildError;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::output::PackOutput;
use crate::pack::builder::required;
use crate::pack::builder::waiting::LinePlace;
use crate::pack::lines::Gap;
use crate::pack::lines::GapPlace;

/// What is told of it, in the log of the program, in the gap line and in the gap record.
pub fn reason(unknown: &XaUnknown) -> String {
    format!(
        "XA COMMIT {}: its XA PREPARE lies before the place where reading began, so its rows are not known and are left out",
        unknown.xid
    )
}

impl PackBuilder {
    /// A `gap` line in the place of the rows, which counts as a step of the transaction.
    pub(super) fn unknown_xa<O: PackOutput>(
        &mut self,
        unknown: &XaUnknown,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "XA COMMIT")?;
        let left_out = open.leaves_out_step() || !self.rules.gap_lines;
        if !left_out {
            let (row, seq) = (open.row(), self.waiting.next_seq());
            let gtid = open.begin.gtid.as_ref().map(|gtid| &*gtid.text);
            let at = GapPlace { gtid, place: &unknown.place, row };
            let gap = Gap { from: at, to: at, reason: &reason(unknown) };
            let line = LinePlace::new(&open.begin, &unknown.place, row, seq);
            self.lines.write_gap(self.waiting.text(), &gap, self.counted.then_some(seq));
            self.line_written(&line, output)?;
        }
        self.step(!left_out);
        Ok(())
    }
}
