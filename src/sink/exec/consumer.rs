//! One consumer process: started in a process group of its own, read and written without ever blocking, ended whole.
//!
//! What is said to it and what its answers mean is the sink's business.

use crate::config::keys;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::OFlags;
use rustix::fs::fcntl_getfl;
use rustix::fs::fcntl_setfl;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::WaitId;
use rustix::process::WaitIdOptions;
use rustix::process::kill_process_group;
use rustix::process::waitid;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::ChildStderr;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

/// A longer line on the consumer's stderr becomes several lines of the log.
const WORDS_MAX: usize = 2000;

/// How often the end of a process is looked for.
const EXIT_TICK: Duration = Duration::from_millis(10);

/// How long a killed process may take to be gone; after that it hangs in the kernel, and nobody can wait for it.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// See the module's page.
#[derive(Debug)]
pub struct Consumer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// What it has said and nobody has looked at.
    heard: Vec<u8>,
    stdout_closed: bool,
    /// The last line on its stderr.
    last_words: Arc<Mutex<String>>,
    echo: JoinHandle<()>,
    reaped: bool,
}

impl Consumer {
    /// Runs a command line of the shell in a folder (an empty path: ours). Of our environment it gets everything but
    /// passwords.
    pub fn start(line: &str, folder: &Path, shard: &str) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line).env("FOUNTAIN_SHARD", shard).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !folder.as_os_str().is_empty() {
            command.current_dir(folder);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_str().and_then(keys::recognise).is_some_and(|slot| slot.key.is_secret()) {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("the pipes that were asked for are missing"));
        };
        let last_words = Arc::new(Mutex::new(String::new()));
        let consumer = Self {
            echo: echo(stderr, shard, Arc::clone(&last_words))?,
            child,
            stdin: Some(stdin),
            stdout,
            heard: Vec::new(),
            stdout_closed: false,
            last_words,
            reaped: false,
        };
        consumer.stdin.as_ref().map_or(Ok(()), never_block)?;
        never_block(&consumer.stdout)?;
        Ok(consumer)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes as much as its pipe takes now. `BrokenPipe`: it has closed its standard input.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stdin) = &mut self.stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match stdin.write(bytes) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            other => other,
        }
    }

    /// Takes up what it has said until now, up to `limit` bytes.
    pub fn listen(&mut self, limit: usize) -> io::Result<()> {
        let mut piece = [0; 8192];
        while !self.stdout_closed && self.heard.len() < limit {
            match self.stdout.read(&mut piece) {
                Ok(0) => self.stdout_closed = true,
                Ok(count) => self.heard.extend_from_slice(piece.get(..count).unwrap_or(&piece)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The next whole line of what was heard, without its end.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr::memchr(b'\n', &self.heard)?;
        let rest = self.heard.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.heard, rest);
        line.pop();
        Some(line)
    }

    /// What was heard and not taken as a line.
    pub fn unread(&self) -> &[u8] {
        &self.heard
    }

    pub fn has_closed_stdout(&self) -> bool {
        self.stdout_closed
    }

    /// Waits until it says something, or, with `to_write`, can be written to.
    pub fn wait(&self, to_write: bool, time: Duration) {
        let mut fds = Vec::with_capacity(2);
        if !self.stdout_closed {
            fds.push(PollFd::new(&self.stdout, PollFlags::IN));
        }
        if let Some(stdin) = self.stdin.as_ref().filter(|_| to_write) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            // Nothing to wait on: the next look at the pipes says what is wrong with them.
            Err(_) => std::thread::sleep(EXIT_TICK),
        }
    }

    /// How it has ended, if it has. It stays a zombie until [`Self::end`]: its process group cannot become another's.
    pub fn has_ended(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = loop {
            match waitid(WaitId::Pid(self.group()), options) {
                Err(Errno::INTR) => {}
                Err(e) => return Some(format!("cannot be waited for: {e}")),
                Ok(status) => break status?,
            }
        };
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        })
    }

    /// The last line on its stderr, once it has ended.
    pub fn last_words(&self) -> String {
        let deadline = Instant::now() + Duration::from_millis(200);
        while !self.echo.is_finished() && Instant::now() < deadline {
            std::thread::sleep(EXIT_TICK);
        }
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it and all of its process group: end of input, then after `patience` SIGTERM, after half as much more
    /// SIGKILL. Says how it went.
    pub fn end(&mut self, patience: Duration) -> String {
        self.stdin = None;
        let mut how = self.ended_within(patience);
        for (signal, patience) in [(Signal::TERM, patience / 2), (Signal::KILL, KILL_PATIENCE)] {
            if how.is_none() {
                self.signal(signal);
                how = self.ended_within(patience);
            }
        }
        // What it has left behind in its group goes with it.
        self.signal(Signal::KILL);
        let Some(how) = how else { return "does not end even by SIGKILL".to_owned() };
        self.reaped = true;
        match self.child.wait() {
            Ok(_) => how,
            Err(e) => format!("{how}, and cannot be waited for: {e}"),
        }
    }

    /// Waits for its end. None: it goes on.
    pub fn ended_within(&self, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.has_ended();
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            std::thread::sleep(EXIT_TICK);
        }
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        // A group of zombies cannot be signalled any more, and need not.
        if let Err(e) = kill_process_group(self.group(), signal)
            && e != Errno::SRCH
        {
            log::warn!("the consumer, process {}, cannot be signalled: {e}", self.pid());
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.reaped {
            self.end(Duration::ZERO);
        }
    }
}

/// Pipes have a file description for each end: the consumer's end blocks as it always did.
fn never_block(pipe: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

/// Passes stderr on to the log, line by line, until all who hold it are gone.
fn echo(stderr: ChildStderr, shard: &str, last_words: Arc<Mutex<String>>) -> io::Result<JoinHandle<()>> {
    let shard = shard.to_owned();
    let thread = std::thread::Builder::new().name(format!("consumer-{shard}"));
    thread.spawn(move || {
        let mut lines = Lines { stderr, bytes: Vec::new() };
        while let Some(line) = lines.next() {
            log::info!("shard={shard} consumer: {line}");
            *last_words.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    })
}

struct Lines {
    stderr: ChildStderr,
    bytes: Vec<u8>,
}

impl Lines {
    /// The next line, or a piece of one that is too long, or what stands before the end.
    fn next(&mut self) -> Option<String> {
        let mut piece = [0; 1024];
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.bytes) {
                let line = self.take(end + 1);
                return Some(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            }
            let read = match self.bytes.len() < WORDS_MAX {
                true => self.stderr.read(&mut piece),
                false => Ok(0),
            };
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(count @ 1..) => self.bytes.extend_from_slice(piece.get(..count).unwrap_or(&piece)),
                Ok(0) | Err(_) if self.bytes.is_empty() => return None,
                Ok(0) | Err(_) => {
                    let all = self.take(self.bytes.len());
                    return Some(String::from_utf8_lossy(&all).into_owned());
                }
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(count);
        std::mem::replace(&mut self.bytes, rest)
    }
}
