//! The consumer of the exec sink, looked at and not started: can the shell read its command line, and is there such a
//! program.

use crate::code::Code;
use crate::config::ExecSinkConfig;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use rustix::fs::Access;
use rustix::fs::access;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// What the shell does with words that have one of these is not for us to guess.
const SPECIAL: &[char] =
    &['$', '`', '\'', '"', '\\', ';', '&', '|', '<', '>', '(', ')', '{', '}', '*', '?', '[', '!', '~', '#'];

/// See the module's page.
pub fn exec_sink(exec: &ExecSinkConfig) -> Finding {
    match judge(exec) {
        Ok(text) => Finding::fine(Topic::Sink, text),
        Err(text) => {
            let cure = "set exec_command to a command line that works when /bin/sh runs it in $FOUNTAIN_HOME";
            Finding::error(Code::SinkFailed, text, cure)
        }
    }
}

/// The command line itself is not shown: it may hold a password.
fn judge(exec: &ExecSinkConfig) -> Result<String, String> {
    shell(exec, &["-n", "-c", &exec.command])
        .map_err(|why| format!("exec_command: the shell cannot read it: {why}"))?;
    let Some(program) = program(&exec.command) else {
        return Ok("exec_command is a shell's command line".to_owned());
    };
    if program.contains('/') {
        let path = exec.folder.join(program);
        let unusable = |why: &str| format!("exec_command: {}: {why}", path.display());
        if !path.is_file() {
            return Err(unusable("there is no such file"));
        }
        access(&path, Access::EXEC_OK).map_err(|e| unusable(&format!("cannot be run: {e}")))?;
        return Ok(format!("exec_command runs {}", path.display()));
    }
    match shell(exec, &["-c", "command -v \"$0\"", program]) {
        Ok(found) if Path::new(&found).is_absolute() => Ok(format!("exec_command runs {found}")),
        Ok(_) => Ok("exec_command is a shell's command line".to_owned()),
        Err(_) => Err(format!("exec_command: there is no program {program} in PATH")),
    }
}

/// The first word that names a program; none where only the shell can tell.
fn program(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace().skip_while(|word| *word == "exec" || is_assignment(word));
    words.next().filter(|word| !word.contains(SPECIAL))
}

fn is_assignment(word: &str) -> bool {
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !word.contains(SPECIAL) && word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && plain(name))
}

fn shell(exec: &ExecSinkConfig, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("/bin/sh");
    command.args(arguments).stdin(Stdio::null());
    if !exec.folder.as_os_str().is_empty() {
        command.current_dir(&exec.folder);
    }
    let output = command.output().map_err(|e| format!("/bin/sh cannot be run: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ExecOnFailure;
    use crate::config::ExecResume;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn a_command_that_cannot_work_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let judged = |command: &str| {
            judge(&ExecSinkConfig {
                command: command.into(),
                folder: temp.path().into(),
                ack_timeout: Duration::ZERO,
                on_failure: ExecOnFailure::Stop,
                resume: ExecResume::Point,
            })
        };
        std::fs::write(temp.path().join("consumer"), "#!/bin/sh\ntouch started\n").unwrap();
        let refused = |command: &str, what: &str| {
            let error = judged(command).unwrap_err();
            assert!(error.contains(what), "{command}: {error}");
        };
        refused("./consumer a", "cannot be run");
        std::fs::set_permissions(temp.path().join("consumer"), Permissions::from_mode(0o755)).unwrap();
        for command in ["./consumer a", "exec ./consumer", "A=1 B=2 ./consumer"] {
            assert!(judged(command).unwrap().ends_with("/./consumer"), "{command}");
        }
        refused("./other", "there is no such file");
        refused("no-such-program x", "no program no-such-program in PATH");
        refused("while true; do", "the shell cannot read it");
        assert!(judged("cat").unwrap().ends_with("/cat"));
        for command in ["while read -r x; do echo $x; done", "\"$HOME/consumer\" a", "cd /; cat"] {
            assert!(judged(command).unwrap().contains("command line"), "{command}");
        }
        assert!(!temp.path().join("started").exists(), "looked at and not started");
    }
}
