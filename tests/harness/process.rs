//! One server process that never outlives the test, not even when the test is killed.
//!
//! Between the test and the server stands a shell that reads from a pipe which the test holds open: when the test is
//! gone, for whatever reason, the pipe ends, and the shell kills the server and removes its data directory. It is the
//! server's parent, so the pid stays the server's own until the shell has been told.

use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

const WATCHDOG: &str = r#"
trap : INT HUP TERM QUIT
folder=$1
shift
"$@" </dev/null >>"$folder/error.log" 2>&1 &
server=$!
echo $server
word=
read -r word
[ "$word" = gone ] || kill -KILL $server 2>/dev/null
wait $server 2>/dev/null
[ -n "$word" ] || rm -rf "$folder"
"#;

pub struct Process {
    watchdog: Child,
    pid: u32,
}

impl Process {
    /// Starts `command` beside a watchdog that removes `folder` if this process dies; the output goes to its error.log.
    pub fn start(folder: &Path, command: &[&str]) -> Process {
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(folder)
            .args(command)
            // Out of reach of a Ctrl-C or kill that is meant for the tests as a group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start sh");
        let mut line = String::new();
        let stdout = watchdog.stdout.take().expect("the pipe asked for above");
        BufReader::new(stdout).read_line(&mut line).expect("cannot read the server's pid");
        let pid = line.trim().parse().expect("the watchdog's first line is the server's pid");
        Process { watchdog, pid }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by name: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// False when the process has ended, also while the watchdog has not waited for it yet.
    pub fn alive(&self) -> bool {
        alive(self.pid)
    }

    /// Asks for an orderly end and waits; kills what has not ended after `patience` and says so.
    pub fn terminate(mut self, patience: Duration) -> Result<(), String> {
        self.signal("TERM");
        self.signal("CONT");
        let deadline = Instant::now() + patience;
        while self.alive() {
            if Instant::now() >= deadline {
                self.dismiss("kill");
                return Err(format!("the server did not end within {patience:?} of SIGTERM and was killed"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.dismiss("gone");
        Ok(())
    }

    /// SIGKILL, without a word of warning to the server.
    pub fn kill(mut self) {
        self.dismiss("kill");
    }

    /// Ends the watchdog: `kill` the server first, or it is `gone` by itself.
    fn dismiss(&mut self, word: &str) {
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            // A watchdog that was killed from outside reads nothing; then there is nobody to tell.
            if writeln!(pipe, "{word}").is_err() {
                signal(self.pid, "KILL");
            }
        }
        self.watchdog.wait().expect("cannot wait for the watchdog");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.dismiss("kill");
    }
}

/// Sends a signal to a process; one that has just ended is no error.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: a small system may lack the program.
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid} 2>/dev/null")).status();
    let delivered = status.expect("cannot start sh").success();
    assert!(delivered || !alive(pid), "cannot send SIG{name} to process {pid}");
}

/// Whether a process runs: neither gone nor a zombie.
pub fn alive(pid: u32) -> bool {
    let Ok(file) = File::open(format!("/proc/{pid}/status")) else { return false };
    let state = BufReader::new(file).lines().map_while(Result::ok).find(|line| line.starts_with("State:"));
    state.is_some_and(|line| !line.contains('Z') && !line.contains('X'))
}

/// The most memory that a process has held so far, in KiB. None when it is gone.
pub fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How long a process has kept processors busy so far. None when it is gone.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold spaces: state, ppid, …; utime and stime are the 12th and 13th from there, in 1/100 s.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<Option<u64>>().map(|ticks| Duration::from_millis(ticks * 10))
}
