//! The built program, run as a user would: in a home of its own, with no trace of the caller's settings.

use super::process;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; 128 + the signal's number when one ended it, as shells say.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The lines of stdout, which the tests of rows are about.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// A home folder for the program, empty at first and removed in the end. Runs in it see each other's points.
pub struct Fountain {
    home: TempDir,
}

impl Fountain {
    pub fn new() -> Fountain {
        Fountain {
            home: tempfile::Builder::new().prefix("fountain-home-").tempdir().expect("a temporary folder"),
        }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file under the home folder, making its folders.
    pub fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a name under the home folder"))
            .expect("cannot make folders");
        std::fs::write(&path, text).expect("cannot write a file");
        path
    }

    /// The program with this home and nothing else of the caller's environment that it might read.
    pub fn command(&self) -> Command {
        let mut command = fountain();
        command.env("FOUNTAIN_HOME", self.home()).env("HOME", self.home()).current_dir(self.home());
        command
    }

    /// Runs the program to its end. Panics, with what it has said, when that takes longer than `timeout`.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S], timeout: Duration) -> Output {
        self.spawn(arguments).wait(timeout)
    }

    /// As `spawn`, with stdout left to the caller.
    pub fn spawn_unread<S: AsRef<str>>(&self, arguments: &[S]) -> (Running, ChildStdout) {
        let mut command = self.command();
        command.args(arguments.iter().map(AsRef::as_ref));
        Running::start_unread(command)
    }

    /// Starts the program; it is killed when the result is dropped.
    pub fn spawn<S: AsRef<str>>(&self, arguments: &[S]) -> Running {
        let mut command = self.command();
        command.args(arguments.iter().map(AsRef::as_ref));
        Running::start(command)
    }
}

/// The built program in a cleared environment: no keys of fountain, no FOUNTAIN_HOME. See `Fountain` for one with a home.
pub fn fountain() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fountain"));
    command.env_clear();
    let harmless = ["PATH", "TMPDIR", "LANG", "LC_ALL", "TZ", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];
    command.envs(std::env::vars_os().filter(|(name, _)| harmless.iter().any(|kept| name == kept)));
    command
}

/// One run in a home of its own.
pub fn run_fountain<S: AsRef<str>>(arguments: &[S], timeout: Duration) -> Output {
    Fountain::new().run(arguments, timeout)
}

/// The process of the consumer that was started last, as fountain tells it.
pub fn consumer_pid(stderr: &str) -> Option<u32> {
    let (_, rest) = stderr.rsplit_once("started its consumer, process ")?;
    rest.lines().next().and_then(|pid| pid.trim().parse().ok())
}

/// The program while it runs; killed on drop.
pub struct Running {
    child: Child,
    what: String,
    stdout: Collected,
    stderr: Collected,
}

impl Running {
    /// Starts any command with its output collected.
    pub fn start(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {what}: {e}"));
        let stdout = Collected::new(child.stdout.take().expect("the pipe asked for above"));
        let stderr = Collected::new(child.stderr.take().expect("the pipe asked for above"));
        Running { child, what, stdout, stderr }
    }

    /// Starts any command whose stdout is left to the caller, to be read or not.
    pub fn start_unread(mut command: Command) -> (Running, ChildStdout) {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {what}: {e}"));
        let unread = child.stdout.take().expect("the pipe asked for above");
        let stderr = Collected::new(child.stderr.take().expect("the pipe asked for above"));
        (Running { child, what, stdout: Collected::new(std::io::empty()), stderr }, unread)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whole lines on stdout so far: the cheap way to wait for a number of rows.
    pub fn stdout_lines(&self) -> usize {
        self.stdout.lines()
    }

    /// Sends a signal by name: `TERM`, `INT`, `STOP`, `CONT`, `KILL`.
    pub fn signal(&self, name: &str) {
        process::signal(self.pid(), name);
    }

    /// The exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("cannot wait for the program").map(code)
    }

    /// Waits until `condition` holds of this run; panics with all output after `timeout` or when the program ends.
    pub fn wait_for(&mut self, what: &str, timeout: Duration, mut condition: impl FnMut(&Running) -> bool) {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = self.ended();
            if condition(self) {
                return;
            }
            if let Some(code) = ended {
                // The last lines may have come between the look at them and the look at the process.
                self.drain();
                assert!(condition(self), "{what}: it ended with {code} instead{}", self.account());
                return;
            }
            assert!(Instant::now() < deadline, "{what}: not within {timeout:?}{}", self.account());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end. Panics, with what it has said, when that takes longer than `timeout`.
    pub fn wait(mut self, timeout: Duration) -> Output {
        let deadline = Instant::now() + timeout;
        let code = loop {
            if let Some(code) = self.ended() {
                break code;
            }
            if Instant::now() >= deadline {
                self.child.kill().expect("cannot kill the program");
                panic!("it did not end within {timeout:?}{}", self.account());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.drain();
        Output { code, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    /// SIGTERM and then `wait`.
    pub fn terminate(self, timeout: Duration) -> Output {
        self.signal("TERM");
        self.wait(timeout)
    }

    /// SIGKILL and what had been written until then.
    pub fn kill9(mut self) -> Output {
        self.child.kill().expect("cannot kill the program");
        self.wait(Duration::from_secs(30))
    }

    fn drain(&mut self) {
        self.stdout.join();
        self.stderr.join();
    }

    fn account(&self) -> String {
        format!("\n{}\n--- stdout\n{}\n--- stderr\n{}", self.what, tail(&self.stdout()), tail(&self.stderr()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let killed = self.child.kill().and_then(|()| self.child.wait());
            assert!(killed.is_ok() || std::thread::panicking(), "{} cannot be killed", self.what);
        }
    }
}

/// A pipe that a thread empties, so that the program never waits for its reader.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn new(mut pipe: impl Read + Send + 'static) -> Collected {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                target.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Collected { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn lines(&self) -> usize {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.iter().filter(|byte| **byte == b'\n').count()
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the thread that reads a pipe");
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The end of a long text, for messages.
fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(8_000);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(start);
    &text[start..]
}
