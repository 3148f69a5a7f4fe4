//! Findings as lines, told as they are found: `LEVEL CODE PLACE TEXT; cure: CURE`.

use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::logging::one_line;
use std::fmt;
use std::io;
use std::io::Write;

/// What a finding is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// None: the process as a whole.
    pub shard: Option<&'a str>,
    /// `host:port`.
    pub source: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(shard) = self.shard {
            write!(f, "shard={shard} ")?;
        }
        if let Some(source) = self.source {
            write!(f, "source={source} ")?;
        }
        Ok(())
    }
}

/// Writes findings and counts them.
pub struct Report<W> {
    out: W,
    /// By level: fine, warnings, errors.
    counts: [usize; 3],
    /// A reader that has gone away ends the writing, not the counting.
    broken: Option<io::Error>,
}

impl<W: Write> Report<W> {
    pub fn new(out: W) -> Self {
        Self { out, counts: [0; 3], broken: None }
    }

    pub fn tell(&mut self, place: Place<'_>, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.counts[finding.level as usize] += 1;
            let cure = finding.cure.map(|cure| format!("; cure: {cure}")).unwrap_or_default();
            let line = format!("{:<5} {} {place}{}{cure}", finding.level.word(), finding.code, finding.text);
            self.write(line);
        }
    }

    pub fn warnings(&self) -> usize {
        self.counts[Level::Warn as usize]
    }

    pub fn errors(&self) -> usize {
        self.counts[Level::Error as usize]
    }

    /// The last line. Says what became of the writing.
    pub fn finish(mut self) -> io::Result<()> {
        let worst = match (self.errors(), self.warnings()) {
            (0, 0) => Level::Ok,
            (0, _) => Level::Warn,
            _ => Level::Error,
        };
        let [fine, warnings, errors] = self.counts;
        self.write(format!("{:<5} SUMMARY {errors} errors, {warnings} warnings, {fine} fine", worst.word()));
        self.broken.map_or(Ok(()), Err)
    }

    fn write(&mut self, line: String) {
        if self.broken.is_none() {
            let written = writeln!(self.out, "{}", one_line(line)).and_then(|()| self.out.flush());
            self.broken = written.err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::doctor::finding::Topic;

    #[test]
    fn a_line_is_level_code_place_text_and_cure() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        report.tell(Place::default(), [Finding::fine(Topic::Clock, "in step")]);
        let place = Place { shard: Some("producer00"), source: Some("db1:3306") };
        report.tell(place, [Finding::warn(Code::RowImage, "a\nb", "run on the server: SET x")]);
        assert_eq!((report.errors(), report.warnings()), (0, 1));
        report.finish().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok    CLOCK in step\n\
             warn  ROW_IMAGE shard=producer00 source=db1:3306 a\\nb; cure: run on the server: SET x\n\
             warn  SUMMARY 0 errors, 1 warnings, 1 fine\n"
        );
    }
}
