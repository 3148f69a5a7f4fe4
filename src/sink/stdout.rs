//! Packs on standard output: whole ones, one at a time, whatever the number of shards.
//!
//! A pack counts as delivered when its last byte is in the pipe (or file). Rust ignores SIGPIPE, so a reader that went
//! away shows as an error here. A reader that does not read is waited for a few seconds at a time: the rest of a pack
//! that was written in part is kept in mind, and the next delivery of the same pack goes on with its first unwritten byte.

use crate::code::Code;
use crate::pack::header::Pack;
use crate::sink::Sink;
use crate::sink::SinkError;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// How long nothing may move before a delivery gives up for now.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long one delivery may take altogether, however slowly its bytes move.
const LONGEST: Duration = Duration::from_secs(5);

/// A pipe that polls as writable takes this much without blocking (PIPE_BUF on Linux, and one of its buffers). Writing
/// in pieces of this size costs six times the processor time of large writes.
const PIPE_PIECE: usize = 4096;

/// One output that several shards write to, each when its turn has come.
#[derive(Debug)]
pub struct SharedOutput {
    queue: Mutex<Queue>,
    freed: Condvar,
    /// Locked by the first shard in the queue only, so never waited for.
    writer: Mutex<Writer>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    /// Shards with a pack to write, in order of arrival. The first one owns the output until its pack is out.
    shards: VecDeque<String>,
    /// Why nothing can be written any more.
    dead: Option<SinkError>,
}

#[derive(Debug)]
struct Writer {
    output: File,
    /// The most that is written at once, so that no write blocks.
    piece: usize,
    /// The pack that is out in part.
    begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    pack: PackName,
    written: usize,
}

/// What tells a pack from another one of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackName {
    epoch: u64,
    sequence: u64,
    crc32: u32,
}

impl SharedOutput {
    /// Writes to any file, pipe or terminal.
    pub fn new(output: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            freed: Condvar::new(),
            writer: Mutex::new(Writer::new(File::from(output))?),
            patience: PATIENCE,
        })
    }

    /// The process's standard output, the same one for all shards.
    fn stdout() -> io::Result<Arc<Self>> {
        static STDOUT: OnceLock<Arc<SharedOutput>> = OnceLock::new();
        if let Some(shared) = STDOUT.get() {
            return Ok(Arc::clone(shared));
        }
        // A handle of our own: std's Stdout buffers by line and would hold bytes back after an error.
        let shared = Arc::new(Self::new(io::stdout().as_fd().try_clone_to_owned()?)?);
        Ok(Arc::clone(STDOUT.get_or_init(|| shared)))
    }

    fn deliver(&self, pack: &Pack<'_>) -> Result<(), SinkError> {
        let shard = &pack.header.shard;
        self.wait_for_turn(shard)?;
        // A thread that died here left `begun` telling the truth up to its last pack.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let delivered = writer.deliver(pack, self.patience);
        let begun = writer.begun.is_some();
        drop(writer);

        let mut queue = self.queue();
        if let Err(error) = &delivered
            && !error.is_retryable()
        {
            queue.dead = Some(error.clone());
        }
        // Who has written a part stays first; who has written nothing lets the others try.
        if !begun {
            queue.shards.pop_front();
        }
        self.freed.notify_all();
        delivered
    }

    fn wait_for_turn(&self, shard: &str) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.patience;
        let mut queue = self.queue();
        if !queue.shards.iter().any(|waiting| waiting == shard) {
            queue.shards.push_back(shard.to_owned());
        }
        loop {
            if let Some(dead) = &queue.dead {
                return Err(dead.clone());
            }
            let first = queue.shards.front().cloned().unwrap_or_default();
            if first == shard {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                queue.shards.retain(|waiting| waiting != shard);
                let text =
                    format!("stdout: shard {first} is still writing a pack: the reader is slow or stopped");
                return Err(SinkError::slow(Code::SinkFailed, text));
            }
            queue = self.freed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether this shard has a pack out in part.
    fn owes_rest(&self, shard: &str) -> bool {
        let queue = self.queue();
        let first = queue.dead.is_none() && queue.shards.front().is_some_and(|first| first == shard);
        first && self.writer.lock().unwrap_or_else(PoisonError::into_inner).begun.is_some()
    }

    /// A shard ends. If it leaves half a pack behind, the output ends there for all.
    fn leave(&self, shard: &str) -> Result<(), SinkError> {
        let mut queue = self.queue();
        if queue.dead.is_some() || queue.shards.front().is_none_or(|first| first != shard) {
            return Ok(());
        }
        let begun = self.writer.lock().unwrap_or_else(PoisonError::into_inner).begun;
        let Some(Begun { pack, written }) = begun else { return Ok(()) };
        let text = format!(
            "stdout: shard {shard} ended after {written} bytes of pack {}/{}: the output stops in the middle of it",
            pack.epoch, pack.sequence
        );
        let error = SinkError::fatal(Code::SinkFailed, text);
        queue.dead = Some(error.clone());
        self.freed.notify_all();
        Err(error)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn new(output: File) -> io::Result<Self> {
        let kind = output.metadata()?.file_type();
        if kind.is_fifo()
            && let Ok(output) = reopen_without_waiting(&output)
        {
            return Ok(Self { output, piece: usize::MAX, begun: None });
        }
        let piece = if kind.is_file() { usize::MAX } else { PIPE_PIECE };
        Ok(Self { output, piece, begun: None })
    }

    fn deliver(&mut self, pack: &Pack<'_>, patience: Duration) -> Result<(), SinkError> {
        let header = pack.header;
        let name = PackName { epoch: header.epoch, sequence: header.sequence, crc32: header.crc32 };
        let mut written = match self.begun {
            None => 0,
            Some(begun) if begun.pack == name => begun.written,
            Some(Begun { pack: other, written }) => {
                let text = format!(
                    "stdout: pack {}/{} of shard {} came after the first {written} bytes of pack {}/{}, whose rest was never written",
                    name.epoch, name.sequence, header.shard, other.epoch, other.sequence
                );
                return Err(SinkError::fatal(Code::Internal, text));
            }
        };
        let result = self.write_from(&mut written, pack.rows, patience);
        self.begun = (result.is_err() && written > 0).then_some(Begun { pack: name, written });
        result
    }

    fn write_from(&mut self, written: &mut usize, rows: &[u8], patience: Duration) -> Result<(), SinkError> {
        let longest = Instant::now() + LONGEST;
        let mut deadline = longest.min(Instant::now() + patience);
        while let Some(rest) = rows.get(*written..).filter(|rest| !rest.is_empty()) {
            if !wait_writable(&self.output, deadline)? {
                let text = format!(
                    "stdout: its reader is slow or stopped: it has taken {written} of the {} bytes of a pack",
                    rows.len()
                );
                return Err(SinkError::slow(Code::SinkFailed, text));
            }
            match self.output.write(rest.get(..self.piece).unwrap_or(rest)) {
                Ok(count) => {
                    *written += count;
                    deadline = longest.min(Instant::now() + patience);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(SinkError::fatal(Code::SinkFailed, "stdout: its reader went away"));
                }
                Err(e) => {
                    return Err(SinkError::retryable(
                        Code::SinkFailed,
                        format!("stdout: cannot be written: {e}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A second handle to a pipe, whose writes take what fits and never block. The flag cannot be set on the handle that we
/// were given: it is shared with whoever gave it. Fails where /proc is missing or the pipe is another user's.
fn reopen_without_waiting(pipe: &File) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    File::options().write(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)
}

/// False when the deadline has passed. A reader that went away counts as writable: the write tells.
fn wait_writable(output: &File, deadline: Instant) -> Result<bool, SinkError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(output, PollFlags::OUT)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => {
                let text = format!("stdout: cannot be waited for: {e}");
                return Err(SinkError::retryable(Code::SinkFailed, text));
            }
        }
    }
}

/// One shard's way to the shared output.
#[derive(Debug)]
pub struct StdoutSink {
    shared: Arc<SharedOutput>,
    shard: String,
}

impl StdoutSink {
    /// The process's standard output.
    pub fn new(shard: &str) -> Result<Self, SinkError> {
        let shared = SharedOutput::stdout()
            .map_err(|e| SinkError::fatal(Code::SinkFailed, format!("stdout: cannot be used: {e}")))?;
        Ok(Self::over(shared, shard))
    }

    pub fn over(shared: Arc<SharedOutput>, shard: &str) -> Self {
        Self { shared, shard: shard.to_owned() }
    }
}

impl Sink for StdoutSink {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        self.shared.deliver(pack)
    }

    fn owes_rest(&self) -> bool {
        self.shared.owes_rest(&self.shard)
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.shared.leave(&self.shard)
    }
}

impl Drop for StdoutSink {
    fn drop(&mut self) {
        if let Err(error) = self.shared.leave(&self.shard) {
            log::error!("shard={} {error}", self.shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::header::PackHeader;
    use crate::sink::testing::in_packs;
    use crate::sink::testing::lines;
    use crate::sink::testing::packs;
    use std::io::Read;
    use std::thread;

    fn pipe(patience: Duration) -> (io::PipeReader, Arc<SharedOutput>) {
        let (reader, writer) = io::pipe().unwrap();
        let mut shared = SharedOutput::new(OwnedFd::from(writer)).unwrap();
        shared.patience = patience;
        (reader, Arc::new(shared))
    }

    /// As where /proc cannot be used.
    fn pipe_in_pieces(patience: Duration) -> (io::PipeReader, Arc<SharedOutput>) {
        let (reader, writer) = io::pipe().unwrap();
        let writer = Writer { output: File::from(OwnedFd::from(writer)), piece: PIPE_PIECE, begun: None };
        let writer = Mutex::new(writer);
        let shared = SharedOutput { queue: Mutex::default(), freed: Condvar::new(), writer, patience };
        (reader, Arc::new(shared))
    }

    fn large_pack(shard: &str) -> (PackHeader, Vec<u8>) {
        let rows = (0..4).map(|index| lines(index, 4000)).collect::<Vec<_>>().concat();
        in_packs(shard, 1, 0, vec![rows]).remove(0)
    }

    #[test]
    fn shards_do_not_cut_into_each_others_packs() {
        let (mut reader, shared) = pipe(Duration::from_secs(30));
        let writers: Vec<_> = ["a", "b", "c"]
            .map(|shard| {
                let mut sink = StdoutSink::over(Arc::clone(&shared), shard);
                thread::spawn(move || {
                    let rows: Vec<u8> = format!("{shard}\n").repeat(50_000).into();
                    for (header, rows) in &in_packs(shard, 1, 0, vec![rows; 8]) {
                        sink.deliver(&Pack { header, rows }).unwrap();
                    }
                    sink.close().unwrap();
                })
            })
            .into();
        drop(shared);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        let packs: Vec<_> = text.chunks(100_000).collect();
        assert_eq!(packs.len(), 24);
        for pack in packs {
            assert!(pack.chunks(2).all(|line| line == &pack[..2]));
        }
    }

    #[test]
    fn a_stopped_reader_is_not_waited_for_for_ever_and_nothing_is_torn() {
        stopped_reader(pipe(Duration::from_millis(20)));
        stopped_reader(pipe_in_pieces(Duration::from_millis(20)));
    }

    fn stopped_reader((mut reader, shared): (io::PipeReader, Arc<SharedOutput>)) {
        let (header, rows) = large_pack("a");
        let pack = Pack { header: &header, rows: &rows };
        let mut sink = StdoutSink::over(Arc::clone(&shared), "a");
        let mut other = StdoutSink::over(Arc::clone(&shared), "b");
        let error = sink.deliver(&pack).unwrap_err();
        assert!(error.is_retryable() && error.text.contains("slow or stopped"), "{error}");
        let (other_header, other_rows) = &packs("b", 1, 1)[0];
        let other_pack = Pack { header: other_header, rows: other_rows };
        let error = other.deliver(&other_pack).unwrap_err();
        assert!(error.is_retryable() && error.text.contains("shard a"), "{error}");

        let expected = [&rows[..], other_rows].concat();
        let length = expected.len();
        let reading = thread::spawn(move || {
            let mut text = vec![0; length];
            reader.read_exact(&mut text).map(|()| text)
        });
        while let Err(error) = sink.deliver(&pack) {
            assert!(error.is_retryable(), "{error}");
        }
        other.deliver(&other_pack).unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), expected);
        sink.close().unwrap();
    }

    #[test]
    fn another_pack_after_half_a_pack_is_refused() {
        let (_reader, shared) = pipe(Duration::from_millis(5));
        let (header, rows) = large_pack("a");
        let mut sink = StdoutSink::over(Arc::clone(&shared), "a");
        assert!(sink.deliver(&Pack { header: &header, rows: &rows }).unwrap_err().is_retryable());
        let next = PackHeader { sequence: 2, ..header };
        let error = sink.deliver(&Pack { header: &next, rows: &rows }).unwrap_err();
        assert_eq!((error.code, error.is_retryable()), (Code::Internal, false));
    }

    #[test]
    fn a_shard_that_leaves_half_a_pack_ends_the_output_for_all() {
        let (_reader, shared) = pipe(Duration::from_millis(5));
        let (header, rows) = large_pack("a");
        let mut sink = StdoutSink::over(Arc::clone(&shared), "a");
        assert!(sink.deliver(&Pack { header: &header, rows: &rows }).is_err());
        assert!(!sink.close().unwrap_err().is_retryable());
        let mut other = StdoutSink::over(shared, "b");
        let (header, rows) = &packs("b", 1, 1)[0];
        let error = other.deliver(&Pack { header, rows }).unwrap_err();
        assert!(!error.is_retryable() && error.text.contains("in the middle"), "{error}");
    }

    #[test]
    fn a_reader_that_went_away_is_final() {
        let (reader, shared) = pipe(Duration::from_secs(30));
        drop(reader);
        let mut sink = StdoutSink::over(shared, "a");
        let (header, rows) = &packs("a", 1, 1)[0];
        for _ in 0..2 {
            let error = sink.deliver(&Pack { header, rows }).unwrap_err();
            assert_eq!(error, SinkError::fatal(Code::SinkFailed, "stdout: its reader went away"));
        }
    }

    #[test]
    fn a_full_disk_behind_stdout_may_pass() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = StdoutSink::over(Arc::new(SharedOutput::new(full.into()).unwrap()), "a");
        let (header, rows) = &packs("a", 1, 1)[0];
        let error = sink.deliver(&Pack { header, rows }).unwrap_err();
        assert!(error.is_retryable() && error.text.contains("No space left"), "{error}");
    }
}
