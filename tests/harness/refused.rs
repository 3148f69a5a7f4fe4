//! How a refusal looks from outside.

use super::Output;

/// Exactly one line of stderr names the code and holds all the parts, nothing panics, and the exit code is the expected one.
#[track_caller]
pub fn assert_refused(output: &Output, exit: i32, code: &str, parts: &[&str]) {
    assert_refused_for("a refusal", output, exit, code, parts);
}

/// The same of one of several cases, which `what` names.
#[track_caller]
pub fn assert_refused_for(what: &str, output: &Output, exit: i32, code: &str, parts: &[&str]) {
    let stderr = &output.stderr;
    assert_eq!(output.code, exit, "{what}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{what}: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains(code)).collect();
    assert_eq!(lines.len(), 1, "{what}: one line with {code} expected:\n{stderr}");
    for part in parts {
        assert!(lines[0].contains(part), "{what}: {part:?} expected in: {}", lines[0]);
    }
}

/// The one line of stderr with that code, of a run that ended with exit 1.
#[track_caller]
pub fn refusal(output: &Output, code: &str) -> String {
    assert_eq!(output.code, 1, "{}", output.stderr);
    let lines: Vec<&str> = output.stderr.lines().filter(|line| line.contains(code)).collect();
    assert_eq!(lines.len(), 1, "{}", output.stderr);
    lines[0].to_owned()
}
