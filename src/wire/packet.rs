//! Packets and the frames that carry them: 3 bytes of length, 1 of sequence, then at most 2²⁴−1 bytes of payload
//! (manual: "MySQL Packets"). A payload of exactly 2²⁴−1 bytes goes on in the next frame.
//!
//! [`FrameBuf`] is fed by whoever owns the socket and hands out packets where they lie. Small packets are never
//! copied, except the unfinished one at the end of a read when room is needed; memory grows only as bytes arrive.

use super::response::ERR;
use byteorder::ByteOrder;
use byteorder::LittleEndian;
use std::fmt;
use std::ops::Range;

/// The largest payload of one frame.
pub const MAX_FRAME: usize = 0xff_ffff;
const HEADER: usize = 4;
/// What one read may bring. Larger reads are slower: they leave the processor's cache.
pub const READ_SIZE: usize = 64 * 1024;
/// Room for a read behind the unfinished packet that the read before left.
const USUAL: usize = 2 * READ_SIZE;
/// A buffer grown beyond this by a large packet is given back when small ones follow.
const KEEP: usize = 4 * 1024 * 1024;

/// Frames that do not make a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A frame is missing, repeated, or these are no frames.
    OutOfOrder { expected: u8, got: u8 },
    /// The packet has at least so many bytes, more than allowed.
    TooLarge { at_least: usize, limit: usize },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder { expected, got } => {
                write!(f, "packet sequence: expected {expected}, got {got}")
            }
            Self::TooLarge { at_least, limit } => {
                write!(f, "packet of {at_least} bytes or more, at most {limit} are allowed")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// How far the packet at `begin` has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its first header comes at `begin`.
    Between,
    /// Inside a frame that ends at `packet.end`.
    Frame { last: bool },
    /// A full frame has ended at `packet.end`; the header of the next comes there.
    Joint,
    /// All of it is there.
    Whole,
}

/// Bytes from a socket, cut into packets in place.
#[derive(Debug)]
pub struct FrameBuf {
    /// Initialised throughout; `begin..end` holds what has arrived and is not consumed.
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
    /// The payload of the packet at `begin`, as far as its frames are known. Meaningless between packets.
    packet: Range<usize>,
    stage: Stage,
    /// The sequence number that the next frame must carry.
    sequence: u8,
    limit: usize,
}

impl FrameBuf {
    /// A buffer that refuses packets with more than `limit` bytes of payload.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), begin: 0, end: 0, packet: 0..0, stage: Stage::Between, sequence: 0, limit }
    }

    /// From now on refuses packets with more than `limit` bytes of payload.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The sequence number of the next frame, whoever sends it.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// Says which sequence number comes next: 1 after a command was sent, else one more than what was sent.
    pub fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Room for the next read, [`READ_SIZE`] bytes of it. Ends the life of the current packet.
    pub fn spare(&mut self) -> &mut [u8] {
        self.release();
        if self.begin == self.end {
            self.begin = 0;
            self.end = 0;
        }
        self.give_back();
        if self.bytes.len() - self.end < READ_SIZE {
            self.compact();
        }
        if self.bytes.len() - self.end < READ_SIZE {
            // Doubling, but never much beyond what a legal packet can need.
            let bound = self.limit.saturating_add(2 * HEADER + READ_SIZE);
            let size = (2 * self.bytes.len()).min(bound).max(self.end + READ_SIZE).max(USUAL);
            self.bytes.resize(size, 0);
        }
        self.bytes.get_mut(self.end..self.end + READ_SIZE).unwrap_or_default()
    }

    /// Says that a read put `count` bytes at the start of what [`Self::spare`] gave.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Goes on to the next packet; false when it is not all there yet.
    pub fn advance(&mut self) -> Result<bool, FrameError> {
        self.release();
        loop {
            match self.stage {
                Stage::Between => {
                    let Some(header) = self.header_at(self.begin) else { return Ok(false) };
                    let start = self.begin + HEADER;
                    if header.sequence != self.sequence && header.length > 0 && self.end <= start {
                        return Ok(false);
                    }
                    self.check(&header, header.length, self.bytes.get(start).copied())?;
                    self.packet = start..start + header.length;
                    self.stage = Stage::Frame { last: header.length < MAX_FRAME };
                }
                Stage::Joint => {
                    let joint = self.packet.end;
                    let Some(header) = self.header_at(joint) else { return Ok(false) };
                    self.check(&header, self.packet.len() + header.length, None)?;
                    // The header between two parts goes; at most one read's worth of bytes moves up.
                    self.bytes.copy_within(joint + HEADER..self.end, joint);
                    self.end -= HEADER;
                    self.packet.end += header.length;
                    self.stage = Stage::Frame { last: header.length < MAX_FRAME };
                }
                Stage::Frame { .. } if self.end < self.packet.end => return Ok(false),
                Stage::Frame { last: true } => self.stage = Stage::Whole,
                Stage::Frame { last: false } => self.stage = Stage::Joint,
                Stage::Whole => return Ok(true),
            }
        }
    }

    /// The payload of the packet that [`Self::advance`] completed; empty when there is none.
    #[inline]
    pub fn packet(&self) -> &[u8] {
        match self.stage {
            Stage::Whole => self.bytes.get(self.packet.clone()).unwrap_or_default(),
            _ => &[],
        }
    }

    /// [`Self::advance`] and [`Self::packet`] in one.
    pub fn next_packet(&mut self) -> Result<Option<&[u8]>, FrameError> {
        Ok(if self.advance()? { Some(self.packet()) } else { None })
    }

    /// What has arrived of the payload of an unfinished packet.
    pub fn partial(&self) -> &[u8] {
        match self.stage {
            Stage::Frame { .. } | Stage::Joint => {
                let known = self.packet.start..self.packet.end.min(self.end);
                self.bytes.get(known).unwrap_or_default()
            }
            Stage::Between | Stage::Whole => &[],
        }
    }

    /// How long the payload of an unfinished packet will be; none while further frames may follow.
    pub fn announced(&self) -> Option<usize> {
        matches!(self.stage, Stage::Frame { last: true }).then_some(self.packet.len())
    }

    /// Whether bytes lie here that belong to no packet handed out so far.
    pub fn has_bytes(&self) -> bool {
        match self.stage {
            Stage::Whole => self.packet.end < self.end,
            _ => self.begin < self.end,
        }
    }

    /// Whether another packet, after the current one, is all there.
    pub fn has_packet(&self) -> bool {
        let mut at = match self.stage {
            Stage::Between => self.begin,
            Stage::Frame { last: true } => return self.packet.end <= self.end,
            Stage::Frame { last: false } | Stage::Joint | Stage::Whole => self.packet.end,
        };
        while let Some(header) = self.header_at(at) {
            at += HEADER + header.length;
            if at > self.end {
                return false;
            }
            if header.length < MAX_FRAME {
                return true;
            }
        }
        false
    }

    /// Lets go of the current packet.
    fn release(&mut self) {
        if self.stage == Stage::Whole {
            self.begin = self.packet.end;
            self.stage = Stage::Between;
        }
    }

    fn header_at(&self, at: usize) -> Option<FrameHeader> {
        let bytes = self.bytes.get(at..self.end)?.first_chunk::<HEADER>()?;
        let [.., sequence] = *bytes;
        Some(FrameHeader { length: LittleEndian::read_u24(bytes) as usize, sequence })
    }

    /// Checks a header of a packet that has `length` bytes so far, and counts it.
    fn check(&mut self, header: &FrameHeader, length: usize, first: Option<u8>) -> Result<(), FrameError> {
        // A server that gives up (idle session killed, shutting down) sends an ERR that nobody asked for; its number
        // then follows the server's own count. The message in it is worth more than the number.
        if header.sequence != self.sequence && first != Some(ERR) {
            return Err(FrameError::OutOfOrder { expected: self.sequence, got: header.sequence });
        }
        if length > self.limit {
            return Err(FrameError::TooLarge { at_least: length, limit: self.limit });
        }
        self.sequence = header.sequence.wrapping_add(1);
        Ok(())
    }

    /// Moves the unfinished packet to the front.
    fn compact(&mut self) {
        if self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            // Between packets the range means nothing, and need not stay in step.
            self.packet.start = self.packet.start.saturating_sub(self.begin);
            self.packet.end = self.packet.end.saturating_sub(self.begin);
            self.begin = 0;
        }
    }

    /// Frees what a large packet made the buffer grow to, when no large one is on its way.
    fn give_back(&mut self) {
        let large_comes = self.stage != Stage::Between && self.packet.len() > READ_SIZE;
        if self.bytes.len() > KEEP && self.end - self.begin <= READ_SIZE && !large_comes {
            self.compact();
            self.bytes.truncate(USUAL);
            self.bytes.shrink_to(USUAL);
        }
    }
}

struct FrameHeader {
    length: usize,
    sequence: u8,
}

/// Appends `payload` as one packet whose first frame is number `sequence`; returns the number that comes next.
pub fn put_packet(out: &mut Vec<u8>, mut sequence: u8, payload: &[u8]) -> u8 {
    let mut rest = payload;
    loop {
        let (frame, after) = rest.split_at(rest.len().min(MAX_FRAME));
        let mut header = [0, 0, 0, sequence];
        LittleEndian::write_u24(&mut header, frame.len() as u32);
        out.extend_from_slice(&header);
        out.extend_from_slice(frame);
        sequence = sequence.wrapping_add(1);
        rest = after;
        // A last frame that is full needs an empty one behind it.
        if frame.len() < MAX_FRAME {
            return sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(frames: &mut FrameBuf, bytes: &[u8]) {
        for part in bytes.chunks(READ_SIZE) {
            let spare = frames.spare();
            spare[..part.len()].copy_from_slice(part);
            frames.filled(part.len());
        }
    }

    fn stream(payloads: &[Vec<u8>]) -> Vec<u8> {
        let (mut out, mut sequence) = (Vec::new(), 0);
        for payload in payloads {
            sequence = put_packet(&mut out, sequence, payload);
        }
        out
    }

    #[test]
    fn packets_come_out_as_they_went_in_wherever_the_reads_are_cut() {
        let payloads: Vec<Vec<u8>> = (0..300usize).map(|i| vec![i as u8; (i * 7) % 90]).collect();
        let bytes = stream(&payloads);
        for cut in [1, 2, 3, 4, 5, 7, 64, 1000, READ_SIZE] {
            let mut frames = FrameBuf::new(1 << 20);
            let mut got = Vec::new();
            for part in bytes.chunks(cut) {
                feed(&mut frames, part);
                while let Some(packet) = frames.next_packet().unwrap() {
                    got.push(packet.to_vec());
                }
            }
            assert_eq!(got, payloads, "cut every {cut} bytes");
            assert!(!frames.has_bytes() && !frames.has_packet() && frames.packet().is_empty());
        }
    }

    #[test]
    fn packets_of_16_mib_and_more_are_joined() {
        for size in [MAX_FRAME - 1, MAX_FRAME, MAX_FRAME + 1, 2 * MAX_FRAME, 2 * MAX_FRAME + 5] {
            let large: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let bytes = stream(&[vec![1, 2], large.clone(), vec![3]]);
            let mut frames = FrameBuf::new(1 << 26);
            let mut got = Vec::new();
            for part in bytes.chunks(READ_SIZE - 3) {
                let spare = frames.spare();
                spare[..part.len()].copy_from_slice(part);
                frames.filled(part.len());
                while let Some(packet) = frames.next_packet().unwrap() {
                    got.push(packet.to_vec());
                }
            }
            assert_eq!(got.len(), 3);
            assert!(got[0] == [1, 2] && got[1] == large && got[2] == [3], "size {size}");
            feed(&mut frames, &[]);
            frames.spare();
            assert!(frames.bytes.len() <= USUAL, "the memory of a large packet is given back");
        }
    }

    #[test]
    fn memory_follows_bytes_and_not_announced_lengths() {
        let mut frames = FrameBuf::new(1 << 30);
        feed(&mut frames, &[0xff, 0xff, 0xff, 0, 1, 2, 3]);
        assert!(!frames.advance().unwrap());
        frames.spare();
        assert!(frames.bytes.len() <= USUAL);
        assert_eq!(frames.partial(), [1, 2, 3]);
    }

    #[test]
    fn a_packet_above_the_limit_is_refused_before_it_is_here() {
        let mut frames = FrameBuf::new(9);
        feed(&mut frames, &[10, 0, 0, 0, 1]);
        assert_eq!(frames.advance(), Err(FrameError::TooLarge { at_least: 10, limit: 9 }));
        let mut frames = FrameBuf::new(MAX_FRAME + 4);
        let bytes = stream(&[vec![0; MAX_FRAME + 5]]);
        feed(&mut frames, &bytes[..MAX_FRAME + 8]);
        assert_eq!(
            frames.advance(),
            Err(FrameError::TooLarge { at_least: MAX_FRAME + 5, limit: MAX_FRAME + 4 })
        );
    }

    #[test]
    fn a_wrong_sequence_is_told_unless_the_server_says_goodbye() {
        let mut frames = FrameBuf::new(100);
        feed(&mut frames, &[1, 0, 0, 1, 0]);
        assert_eq!(frames.advance(), Err(FrameError::OutOfOrder { expected: 0, got: 1 }));
        let mut frames = FrameBuf::new(100);
        frames.set_sequence(7);
        feed(&mut frames, &[2, 0, 0, 0]);
        assert_eq!(frames.advance(), Ok(false), "it may be an ERR: wait for its first byte");
        feed(&mut frames, &[0xff, 1]);
        assert_eq!(frames.next_packet(), Ok(Some(&[0xff, 1][..])));
        assert_eq!(frames.sequence(), 1);
    }

    #[test]
    fn a_further_whole_packet_is_seen_without_taking_it() {
        let bytes = stream(&[vec![1; 10], vec![2; 10], vec![]]);
        for cut in 0..=bytes.len() {
            let mut frames = FrameBuf::new(100);
            feed(&mut frames, &bytes[..cut]);
            assert_eq!(frames.has_packet(), cut >= 14);
            if frames.advance().unwrap() {
                assert_eq!(frames.has_packet(), cut >= 28, "cut {cut}");
                assert_eq!(frames.has_bytes(), cut > 14);
                if frames.advance().unwrap() {
                    assert_eq!(frames.has_packet(), cut >= 32);
                }
            } else {
                assert!(!frames.has_packet());
            }
        }
    }
}
