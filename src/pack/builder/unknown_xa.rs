//! XA transactions whose rows are left out: an XA COMMIT whose XA PREPARE lies before the place where reading once began,
//! and an XA PREPARE on which the log never decided.

use crate::change::batch::XaReplaced;
use crate::pack::builder::BuildError;
use crate::pack::builder::GapReport;
use crate::pack::builder::PackBuilder;
use crate::pack::builder::PackOutput;
use crate::pack::builder::gaps::edge;
use crate::pack::builder::required;
use crate::sync_point::gap::GapKind;

impl PackBuilder {
    /// A gap in the place of the rows.
    pub(super) fn unknown_xa<O: PackOutput>(
        &mut self,
        xid: &str,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let open = required(&mut self.open, "XA COMMIT")?;
        let gtid = open.begin.gtid.as_ref().map(|gtid| &*gtid.text);
        let at = edge(gtid, &open.begin.place, open.row());
        let gap = GapReport {
            kind: GapKind::Skip,
            from: at.clone(),
            to: at,
            tables: Vec::new(),
            reason: format!(
                "XA COMMIT {xid}: its XA PREPARE lies before the place where reading began, so its rows are not known and are left \
                 out"
            ),
        };
        output.record_gap(&gap).map_err(BuildError::Output)?;
        self.gap_step(&gap, output)
    }

    /// A gap where the one begins that took the name.
    pub(super) fn replaced_xa<O: PackOutput>(
        &mut self,
        old: &XaReplaced,
        output: &mut O,
    ) -> Result<(), BuildError<O::Error>> {
        let at = edge(old.gtid.as_deref(), &old.place, 0);
        let gap = GapReport {
            kind: GapKind::Skip,
            from: at.clone(),
            to: at,
            tables: Vec::new(),
            reason: format!(
                "the prepared XA transaction {} was neither committed nor rolled back in the log, and the one at {}:{} has its \
                 name: its rows are left out",
                old.xid, old.by.file, old.by.pos
            ),
        };
        output.record_gap(&gap).map_err(BuildError::Output)?;
        if self.rules.gap_lines {
            self.lone_gap_line(&gap, &old.by);
        }
        Ok(())
    }
}
