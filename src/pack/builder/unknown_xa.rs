//! An XA COMMIT whose rows are not known, because its XA PREPARE lies before the place where reading once began.

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
}
