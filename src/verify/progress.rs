//! How far the reading is, on a terminal, for work that takes longer than a second.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

const PERIOD: Duration = Duration::from_millis(500);

/// Counts the bytes read and shows them on standard error when that is a terminal.
#[derive(Debug)]
pub struct ProgressBar {
    total: u64,
    done: u64,
    begun: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl ProgressBar {
    /// `total`: bytes that are going to be read, more or less.
    pub fn new(total: u64) -> Self {
        Self { total, done: 0, begun: Instant::now(), shown: None, terminal: io::stderr().is_terminal() }
    }

    pub fn done(&self) -> u64 {
        self.done
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub fn read(&mut self, bytes: u64) {
        self.done += bytes;
        if !self.terminal || self.shown.unwrap_or(self.begun).elapsed() < PERIOD {
            return;
        }
        self.shown = Some(Instant::now());
        let done = self.done as f64 / 1e6;
        let line = format!(
            "\r{:3.0} %  {done:.0} MB of {:.0} MB, {:.0} MB/s ",
            100.0 * self.done as f64 / self.total.max(1) as f64,
            self.total as f64 / 1e6,
            done / self.begun.elapsed().as_secs_f64(),
        );
        self.show(&line);
    }

    /// Clears the line, so that what is told next stands alone.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            self.show("\r\u{1b}[K");
        }
    }

    fn show(&mut self, text: &str) {
        // A terminal that is gone ends the showing, nothing else.
        self.terminal = io::stderr().write_all(text.as_bytes()).is_ok();
    }
}
