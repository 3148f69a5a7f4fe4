//! Packs to a program of the user's: one child process for the shard, which answers for each pack.
//!
//! A pack counts as delivered when the consumer has acknowledged it by its epoch and sequence ([`protocol`] has the
//! lines). Anything else is a failure: a wrong answer, no answer for `exec_ack_timeout_ms`, the consumer's end. Then the
//! consumer is ended whole, and after a pause a new one gets the same pack from its beginning, or the shard stops
//! (`exec_on_failure`). So a pack may come twice; it has the same epoch and sequence then. After our own restart its rows
//! come in packs of a new epoch, unless the consumer says itself which pack it holds (`exec_resume=consumer`).
//!
//! No read or write here blocks: the pipes do not, and a wait for them ends after a tenth of a second.

mod consumer;
mod failure;
mod offered;
pub mod protocol;
#[cfg(test)]
mod tests;

use crate::code::Code;
use crate::config::ExecOnFailure;
use crate::config::ExecResume;
use crate::config::ExecSinkConfig;
use crate::pack::header::Pack;
use crate::pack::header::PackHeader;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::sink::exec::consumer::Consumer;
use crate::sink::exec::failure::Failure;
use crate::sink::exec::failure::shown;
use crate::sink::exec::offered::Offered;
use crate::sink::exec::protocol::Answer;
use crate::sink::exec::protocol::resume_line;
use crate::sink::file::sidecar::MAX_LINE;
use crate::stop::Stop;
use std::io;
use std::time::Duration;
use std::time::Instant;

/// The longest sleep between two looks at the consumer and at the stop.
const TICK: Duration = Duration::from_millis(100);

/// How long one delivery may take before the caller is told that it goes slowly.
const LONGEST: Duration = Duration::from_secs(5);

/// The longest answer to a pack.
const ANSWER_MAX: usize = 64 << 10;

/// How long a consumer that failed may take to end at the end of its input.
const FAILED_PATIENCE: Duration = Duration::from_millis(500);

/// How long a consumer that is ending may take until it shows how it ended.
const LAST_PATIENCE: Duration = Duration::from_millis(200);

/// The pause after a failure; each further one in a row doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The exec sink of one shard.
#[derive(Debug)]
pub struct ExecSink {
    config: ExecSinkConfig,
    shard: String,
    stop: Stop,
    /// What an orderly stop may take; a pack in flight may use half of it.
    stop_timeout: Duration,
    /// When a delivery first saw the stop.
    stop_seen: Option<Instant>,
    consumer: Option<Consumer>,
    /// Since when the consumer owes us the answer which pack it holds.
    asked: Option<Instant>,
    offered: Option<Offered>,
    /// The last pack that the consumer holds, where it says so itself.
    held: Option<PackHeader>,
    /// Failures in a row.
    failures: u32,
    /// The last failure, and until when nothing is tried.
    pause: Option<(SinkError, Instant)>,
}

/// What one look at the consumer came to.
enum Step {
    Going,
    /// A new consumer has said where it stands: the pack may begin.
    Introduced,
    Delivered,
}

impl ExecSink {
    /// Starts nothing yet. `stop_timeout` is how long an orderly stop may take altogether.
    pub fn new(config: ExecSinkConfig, shard: &str, stop: Stop, stop_timeout: Duration) -> Self {
        Self {
            config,
            shard: shard.to_owned(),
            stop,
            stop_timeout,
            stop_seen: None,
            consumer: None,
            asked: None,
            offered: None,
            held: None,
            failures: 0,
            pause: None,
        }
    }

    /// One short round with the consumer about a pack.
    fn step(&mut self, pack: &Pack<'_>) -> Result<Step, Failure> {
        self.start()?;
        if self.asked.is_some() {
            return match self.resume_answer()? {
                Some(held) => self.compare(held, pack.header),
                None => Ok(Step::Going),
            };
        }
        if self.offered.is_none() {
            self.expect_silence()?;
            let offered = Offered::new(pack.header).map_err(Failure::Fatal)?;
            self.offered = Some(offered);
        }
        self.write(pack.rows)?;
        let whole = self.offered.as_ref().is_some_and(|offered| offered.is_whole(pack.rows));
        match self.answer(ANSWER_MAX)? {
            Some(answer) => return self.take_answer(answer, pack),
            None => self.check_patience(pack.rows)?,
        }
        self.wait(!whole);
        Ok(Step::Going)
    }

    fn start(&mut self) -> Result<(), Failure> {
        if self.consumer.is_some() {
            return Ok(());
        }
        let started = Consumer::start(&self.config.command, &self.config.folder, &self.shard);
        let mut consumer = started.map_err(|e| Failure::Consumer(format!("cannot be started: {e}")))?;
        log::info!("shard={} started its consumer, process {}", self.shard, consumer.pid());
        self.asked = None;
        if self.config.resume == ExecResume::Consumer {
            let question = resume_line(&self.shard);
            // The pipe is empty and takes that much at once.
            match consumer.write(&question) {
                Ok(count) if count == question.len() => {}
                Ok(_) => return Err(Failure::Consumer("has no room in its standard input".to_owned())),
                Err(e) => return Err(Failure::Consumer(format!("cannot be written to: {e}"))),
            }
            self.asked = Some(Instant::now());
        }
        self.consumer = Some(consumer);
        Ok(())
    }

    /// Which pack the consumer holds, once it has said so.
    fn resume_answer(&mut self) -> Result<Option<Option<PackHeader>>, Failure> {
        match self.answer(MAX_LINE)? {
            Some(Answer::Resume(held)) => {
                self.asked = None;
                if let Some(held) = held.as_ref().filter(|held| held.shard != self.shard) {
                    return Err(Failure::broken(format!("it holds packs of shard {}", held.shard)));
                }
                Ok(Some(held.map(|held| *held)))
            }
            Some(_) => Err(Failure::Consumer("answered for a pack when asked which one it holds".to_owned())),
            None if self.asked.is_some_and(|since| since.elapsed() > self.config.ack_timeout) => {
                Err(Failure::Consumer(format!("did not say which pack it holds within {}", self.timeout())))
            }
            None => {
                self.wait(false);
                Ok(None)
            }
        }
    }

    /// A new consumer goes on where the last one was: behind the last pack, or behind the one in hand, whose
    /// acknowledgement did not reach us.
    fn compare(&mut self, held: Option<PackHeader>, in_hand: &PackHeader) -> Result<Step, Failure> {
        if held.as_ref() == Some(in_hand) {
            return Ok(Step::Delivered);
        }
        if held == self.held {
            return Ok(Step::Introduced);
        }
        let name = |pack: &Option<PackHeader>| match pack {
            Some(pack) => format!("pack {}/{}", pack.epoch, pack.sequence),
            None => "none".to_owned(),
        };
        let text = format!("it says that it holds {}, and held {}", name(&held), name(&self.held));
        Err(Failure::broken(text))
    }

    /// Between packs a consumer has nothing to say.
    fn expect_silence(&mut self) -> Result<(), Failure> {
        match self.answer(ANSWER_MAX)? {
            Some(answer) => Err(Failure::Consumer(format!("answered {answer} without a pack"))),
            None => match self.consumer.as_ref().map(Consumer::unread) {
                Some([]) | None => Ok(()),
                Some(bytes) => Err(Failure::Consumer(format!(
                    "answered without a pack, and only in part: {}",
                    shown(bytes)
                ))),
            },
        }
    }

    fn write(&mut self, rows: &[u8]) -> Result<(), Failure> {
        let (Some(consumer), Some(offered)) = (&mut self.consumer, &mut self.offered) else { return Ok(()) };
        while !offered.deaf && !offered.is_whole(rows) {
            match consumer.write(offered.rest(rows)) {
                Ok(0) => break,
                Ok(count) => {
                    offered.written += count;
                    offered.moved = Instant::now();
                }
                // It may have said why.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => offered.deaf = true,
                Err(e) => return Err(Failure::Consumer(format!("cannot be written to: {e}"))),
            }
        }
        Ok(())
    }

    /// The next answer, if it is there.
    fn answer(&mut self, limit: usize) -> Result<Option<Answer>, Failure> {
        let failure = |why: String| Err(Failure::Consumer(why));
        let Some(consumer) = &mut self.consumer else { return Ok(None) };
        // Its last word may come between a look at the pipe and one at the process.
        let ended = consumer.has_ended();
        if let Err(e) = consumer.listen(limit) {
            return failure(format!("cannot be read from: {e}"));
        }
        if let Some(line) = consumer.next_line() {
            return match Answer::from_line(&line) {
                Ok(Some(answer)) => Ok(Some(answer)),
                Ok(None) => failure(format!("answered {}, which is neither ack nor reject", shown(&line))),
                Err(why) => failure(format!("answered with a line that is no pack's: {why}")),
            };
        }
        if consumer.unread().len() >= limit {
            return failure(format!(
                "answered {limit} bytes without a line end: {}",
                shown(consumer.unread())
            ));
        }
        match ended {
            Some(how) => failure(how),
            None if consumer.has_closed_stdout() => {
                let how = consumer.ended_within(LAST_PATIENCE);
                failure(how.unwrap_or_else(|| "closed its standard output".to_owned()))
            }
            None => Ok(None),
        }
    }

    fn take_answer(&mut self, answer: Answer, pack: &Pack<'_>) -> Result<Step, Failure> {
        let Some(offered) = &mut self.offered else { return Ok(Step::Going) };
        let (epoch, sequence) = (pack.header.epoch, pack.header.sequence);
        match answer {
            Answer::Ack { epoch: e, sequence: s } if (e, s) == (epoch, sequence) => {
                if offered.is_whole(pack.rows) && offered.rejected.is_none() {
                    return Ok(Step::Delivered);
                }
                let already = if offered.rejected.is_some() { "rejected and " } else { "" };
                Err(Failure::Consumer(format!("{already}acknowledged {}", offered.progress(pack.rows))))
            }
            Answer::Reject { epoch: e, sequence: s, reason } if (e, s) == (epoch, sequence) => {
                offered.rejected = Some(reason);
                self.check_patience(pack.rows)?;
                Ok(Step::Going)
            }
            other => Err(Failure::Consumer(format!("answered {other} to pack {epoch}/{sequence}"))),
        }
    }

    /// A consumer that says no must still read the pack to its end; one that says nothing has its time.
    fn check_patience(&mut self, rows: &[u8]) -> Result<(), Failure> {
        let timeout = self.timeout();
        let (Some(consumer), Some(offered)) = (&self.consumer, &mut self.offered) else { return Ok(()) };
        if offered.is_whole(rows)
            && let Some(reason) = offered.rejected.take()
        {
            return Err(Failure::Rejected(reason));
        }
        let progress = offered.progress(rows);
        if offered.deaf {
            let how = consumer.ended_within(LAST_PATIENCE);
            let how = how.unwrap_or_else(|| format!("closed its standard input after {progress}"));
            return Err(Failure::Consumer(how));
        }
        if offered.moved.elapsed() > self.config.ack_timeout {
            return Err(Failure::Consumer(format!(
                "did not answer within {timeout}; it has taken {progress}"
            )));
        }
        Ok(())
    }

    fn timeout(&self) -> String {
        format!("exec_ack_timeout_ms={}", self.config.ack_timeout.as_millis())
    }

    fn wait(&self, to_write: bool) {
        if let Some(consumer) = &self.consumer {
            consumer.wait(to_write, TICK.min(self.config.ack_timeout));
        }
    }

    /// The pack is off; what failed is told, and there is a pause before the next try.
    fn failed(&mut self, failure: Failure) -> SinkError {
        let text = match failure {
            Failure::Fatal(error) => return error,
            Failure::Rejected(reason) => {
                let name = self.offered.as_ref().map(Offered::name).unwrap_or_default();
                format!("exec: the consumer rejected {name}: {reason}")
            }
            Failure::Consumer(why) => {
                let rejected = self.offered.as_mut().and_then(|offered| offered.rejected.take());
                let rejected = rejected.map(|reason| format!(" after it rejected the pack: {reason}"));
                let last_words = self.dismiss(FAILED_PATIENCE);
                format!("exec: the consumer {why}{}{last_words}", rejected.unwrap_or_default())
            }
        };
        self.offered = None;
        if self.config.on_failure == ExecOnFailure::Stop {
            return SinkError::fatal(Code::SinkFailed, text);
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        if self.failures > 1 {
            // The caller tells the first one.
            log::warn!(
                "{}: shard={} {text}; {} failures in a row",
                Code::SinkFailed,
                self.shard,
                self.failures
            );
        }
        let error = SinkError::retryable(Code::SinkFailed, text);
        self.pause = Some((error.clone(), Instant::now() + pause));
        error
    }

    /// Ends the consumer and says what it said last.
    fn dismiss(&mut self, patience: Duration) -> String {
        let Some(mut consumer) = self.consumer.take() else { return String::new() };
        self.asked = None;
        consumer.end(patience);
        match consumer.last_words() {
            words if words.is_empty() => words,
            words => format!("; its last words: {}", shown(words.as_bytes())),
        }
    }

    fn paused(&mut self) -> Result<(), SinkError> {
        match self.pause.take() {
            Some((error, until)) if Instant::now() < until => {
                self.pause = Some((error.clone(), until));
                Err(error)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a stop has been asked for so long ago that the consumer's time is over.
    fn time_is_over(&mut self) -> bool {
        if !self.stop.requested() {
            return false;
        }
        self.stop_seen.get_or_insert_with(Instant::now).elapsed() >= self.stop_timeout / 2
    }

    fn check_next(&self, header: &PackHeader) -> Result<(), SinkError> {
        match &self.offered {
            Some(offered) if offered.header != *header => {
                let text = format!(
                    "exec: pack {}/{} came while {} was not acknowledged",
                    header.epoch,
                    header.sequence,
                    offered.name()
                );
                Err(SinkError::fatal(Code::Internal, text))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn delivered(&mut self, header: &PackHeader) {
        self.offered = None;
        self.failures = 0;
        if self.config.resume == ExecResume::Consumer {
            self.held = Some(header.clone());
        }
    }
}

impl Sink for ExecSink {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        self.check_next(pack.header)?;
        self.paused()?;
        let longest = Instant::now() + LONGEST;
        loop {
            match self.step(pack) {
                Ok(Step::Going) => {}
                // Its answer may have taken long: whoever calls looks again whether a pack may begin.
                Ok(Step::Introduced) => {
                    let text = "exec: a new consumer has said which pack it holds, and gets the next one";
                    return Err(SinkError::slow(Code::SinkFailed, text));
                }
                Ok(Step::Delivered) => {
                    self.delivered(pack.header);
                    return Ok(());
                }
                Err(failure) => return Err(self.failed(failure)),
            }
            let progress = self.offered.as_ref().map(|offered| offered.progress(pack.rows));
            let progress = progress.unwrap_or_else(|| "nothing".to_owned());
            if self.time_is_over() {
                self.offered = None;
                let words = self.dismiss(self.stop_timeout / 8);
                let text =
                    format!("exec: the stop left the consumer no more time: it had taken {progress}{words}");
                return Err(SinkError::retryable(Code::SinkFailed, text));
            }
            let not_begun = self.stop.requested() && self.offered.is_none();
            if Instant::now() >= longest || not_begun {
                let text = format!("exec: the consumer has taken {progress} and has not answered yet");
                return Err(SinkError::slow(Code::SinkFailed, text));
            }
        }
    }

    /// A consumer that is at work on a pack is given its time at a stop.
    fn owes_rest(&self) -> bool {
        self.offered.is_some()
    }

    fn standing(&mut self) -> Result<Option<PackHeader>, SinkError> {
        if self.config.resume == ExecResume::Point {
            return Ok(None);
        }
        self.paused()?;
        loop {
            match self.start().and_then(|()| self.resume_answer()) {
                Ok(None) => {}
                Ok(Some(held)) => {
                    self.held.clone_from(&held);
                    return Ok(held);
                }
                Err(failure) => return Err(self.failed(failure)),
            }
            if self.stop.requested() {
                let text = "exec: stopped before the consumer said which pack it holds";
                return Err(SinkError::retryable(Code::Stopped, text));
            }
        }
    }

    fn tick(&mut self, _now: Instant) -> Result<(), SinkError> {
        if self.offered.is_some() || self.asked.is_some() || self.paused().is_err() {
            return Ok(());
        }
        // One that is asked which pack it holds is started when there is a pack to compare.
        let looked = match (&self.consumer, self.config.resume) {
            (Some(_), _) => self.expect_silence(),
            (None, ExecResume::Point) if !self.stop.requested() => self.start(),
            (None, _) => Ok(()),
        };
        looked.map_err(|failure| {
            let first = self.failures == 0;
            let error = self.failed(failure);
            if first && error.is_retryable() {
                log::warn!("{}: shard={} {error}", error.code, self.shard);
            }
            error
        })
    }

    fn close(&mut self) -> Result<(), SinkError> {
        let Some(mut consumer) = self.consumer.take() else { return Ok(()) };
        let how = consumer.end(self.stop_timeout / 4);
        match how == "ended with exit code 0" {
            true => log::info!("shard={} its consumer, process {}, {how}", self.shard, consumer.pid()),
            // All that it acknowledged is its own.
            false => log::warn!("shard={} its consumer, process {}, {how}", self.shard, consumer.pid()),
        }
        Ok(())
    }
}
