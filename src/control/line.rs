//! One line over a socket whose other end may be slow, silent or mad: bounded in bytes and in time.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::time::Instant;

/// Why no line came.
#[derive(Debug)]
pub enum NoLine {
    TooLong,
    /// It had not ended in time.
    Late,
    /// The other side went away before its end.
    Cut,
    Failed(io::Error),
}

/// Reads up to a line end, or to the end of what the other side sends, which must not be in the middle of nothing.
pub fn read(stream: &mut UnixStream, most: usize, patience: Duration) -> Result<Vec<u8>, NoLine> {
    let deadline = Instant::now() + patience;
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoLine::Late);
        }
        stream.set_read_timeout(Some(left)).map_err(NoLine::Failed)?;
        let count = match stream.read(&mut piece) {
            Ok(0) => return Err(NoLine::Cut),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(NoLine::Late);
            }
            Err(error) => return Err(NoLine::Failed(error)),
        };
        let got = piece.get(..count).unwrap_or_default();
        match memchr::memchr(b'\n', got) {
            // What stands behind the line is nobody's.
            Some(end) => {
                line.extend_from_slice(got.get(..end).unwrap_or_default());
                return if line.len() < most { Ok(line) } else { Err(NoLine::TooLong) };
            }
            None => line.extend_from_slice(got),
        }
        if line.len() >= most {
            return Err(NoLine::TooLong);
        }
    }
}

/// Writes a line whole, or fails when the other side does not take it in time.
pub fn write(stream: &mut UnixStream, line: &str, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let text = format!("{line}\n");
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            for piece in [&b"ab"[..], b"c", b"d\nrest"] {
                theirs.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            theirs
        });
        assert_eq!(read(&mut ours, 10, LONG).unwrap(), b"abcd");
        drop(writer.join().unwrap());
    }

    #[test]
    fn what_is_late_cut_or_too_long_is_told_apart() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"no end").unwrap();
        assert!(matches!(read(&mut ours, 100, SOON), Err(NoLine::Late)));
        theirs.write_all(&[b'x'; 200]).unwrap();
        assert!(matches!(read(&mut ours, 100, LONG), Err(NoLine::TooLong)));
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"0123456789\n").unwrap();
        assert!(matches!(read(&mut ours, 10, LONG), Err(NoLine::TooLong)));
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"{").unwrap();
        drop(theirs);
        assert!(matches!(read(&mut ours, 10, LONG), Err(NoLine::Cut)));
    }

    #[test]
    fn a_drip_does_not_put_the_deadline_off() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let dripping = std::thread::spawn(move || {
            // Ends when nobody reads any more.
            while theirs.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        assert!(matches!(read(&mut ours, 1 << 20, Duration::from_millis(200)), Err(NoLine::Late)));
        drop(ours);
        dripping.join().unwrap();
    }

    #[test]
    fn who_does_not_read_is_given_up() {
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        assert!(write(&mut ours, &"x".repeat(8 << 20), SOON).is_err());
    }
}
