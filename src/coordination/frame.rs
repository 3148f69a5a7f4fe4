//! ZooKeeper's frames: four bytes of length, then so many bytes. Read within a deadline, and checked on their way.

use std::io;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

/// Far above any answer: a node holds a megabyte, a list of children may be larger.
const LARGEST: usize = 64 << 20;
/// Every answer begins with xid, zxid and error.
const SMALLEST: usize = 16;

/// One frame, without its length.
pub fn read(stream: &TcpStream, most: usize, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    fill(stream, &mut length, deadline)?;
    match usize::try_from(i32::from_be_bytes(length)) {
        Ok(length) if length <= most => {
            let mut frame = vec![0; length];
            fill(stream, &mut frame, deadline)?;
            Ok(frame)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not answer as ZooKeeper does")),
    }
}

/// A frame with its length.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

fn fill(mut stream: &TcpStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // The socket's clock knows no less than a millisecond.
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(count) => buffer = buffer.get_mut(count..).unwrap_or_default(),
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A read that has timed out is told in either way.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Follows a stream of answers: bytes that cannot be answers end the session before the crate stumbles over them.
#[derive(Debug, Default)]
pub struct Follower {
    length: Vec<u8>,
    /// Of the current frame.
    left: usize,
}

impl Follower {
    /// False: this is not ZooKeeper that talks.
    pub fn accepts(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
                continue;
            }
            let (head, rest) = bytes.split_at((4 - self.length.len()).min(bytes.len()));
            self.length.extend(head);
            bytes = rest;
            if let Ok(length) = <[u8; 4]>::try_from(self.length.as_slice()) {
                self.length.clear();
                match usize::try_from(i32::from_be_bytes(length)) {
                    Ok(length) if (SMALLEST..=LARGEST).contains(&length) => self.left = length,
                    _ => return false,
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_followed_however_they_are_cut() {
        let mut stream = Vec::new();
        for length in [16, 17, 1000] {
            stream.extend(framed(&vec![255; length]));
        }
        for cut in 0..=stream.len() {
            let mut follower = Follower::default();
            let (one, other) = stream.split_at(cut);
            assert!(follower.accepts(one) && follower.accepts(other), "{cut}");
            assert!(!follower.accepts(b"HTTP/1.1"), "{cut}");
        }
        assert!(!Follower::default().accepts(&framed(&[0; 15])));
    }
}
