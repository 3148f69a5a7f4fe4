//! A script that fails, made small: parts of it are left out as long as the rest fails in the same way.

use super::Kind;
use super::cell::Cell;
use super::round::Failure;
use super::round::Servers;
use super::round::Statements;
use super::round::Step;
use std::time::Duration;
use std::time::Instant;

/// A script is run again as it is; what is refused now is left out again.
struct Replay<'a> {
    steps: std::slice::Iter<'a, Step>,
}

impl Statements for Replay<'_> {
    fn next(&mut self, _accepted: bool) -> Option<Step> {
        self.steps.next().cloned()
    }
}

/// How a script fails, if it does.
pub fn failure(servers: &Servers, cell: &Cell, steps: &[Step]) -> Option<Failure> {
    servers.run(cell, &mut Replay { steps: steps.iter() }).err()
}

/// The smallest script found within the time, and how it fails.
pub fn shrink(
    servers: &Servers,
    cell: &Cell,
    script: &[Step],
    first: Failure,
    time: Duration,
) -> (Vec<Step>, Failure) {
    let deadline = Instant::now() + time;
    let (mut kept, mut told) = (script.to_vec(), first);
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 && Instant::now() < deadline {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() && Instant::now() < deadline {
            let mut rest = kept.clone();
            rest.drain(at..(at + piece).min(kept.len()));
            match failure(servers, cell, &rest) {
                Some(failure) if failure.fault == told.fault => (kept, told) = (rest, failure),
                _ => at += piece,
            }
        }
        // What is kept may depend on less by now: single statements are tried until none goes.
        piece = if piece == 1 && kept.len() < before { 1 } else { piece / 2 };
    }
    (kept, told)
}

pub fn as_sql(kind: Kind, cell: &Cell, steps: &[Step]) -> String {
    let mode =
        format!("SET time_zone='+00:00', sql_mode='{}'; -- rows: time_zone='{}'\n", cell.sql_mode, cell.zone);
    let globals = cell.globals(kind).into_iter().map(|sql| format!("{sql};\n"));
    let steps = steps.iter().map(|step| format!("{};\n", step.sql));
    globals.chain([mode, format!("{};\n", cell.session())]).chain(steps).collect()
}
