//! A binlog or relay log file, read event by event.
//!
//! The one place in this module that touches files. It knows sizes and positions; what the events say is the
//! decoder's business.

use crate::binlog::error::BinlogError;
use crate::binlog::event_type::FORMAT_DESCRIPTION_EVENT;
use crate::binlog::event_type::START_ENCRYPTION_EVENT;
use crate::binlog::header::EventHeader;
use crate::binlog::header::HEADER_LENGTH;
use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// What a binlog begins with (`BINLOG_MAGIC`).
const MAGIC: [u8; 4] = *b"\xfebin";
/// What a binlog begins with that MySQL encrypts (`binlog_encryption`, 8.0.14 and later).
const MAGIC_ENCRYPTED: [u8; 4] = *b"\xfdbin";
/// How much is read at once, and how far the buffer grows ahead of the bytes that are there.
const STEP: usize = 64 * 1024;

/// Events of more bytes are refused unless told otherwise: MySQL itself writes none (`max_log_event_size`).
pub const DEFAULT_MAX_EVENT_BYTES: u64 = 1 << 30;

pub struct BinlogFile {
    path: PathBuf,
    file: File,
    /// Bytes that were read from the file; what is behind `taken` is not handed out yet.
    buffer: Vec<u8>,
    taken: usize,
    /// Where the next event begins.
    position: u64,
    max_event_bytes: u64,
}

impl BinlogFile {
    /// Opens a file, `-` for standard input, and makes sure that it begins as a binlog does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BinlogError> {
        let path = path.as_ref().to_path_buf();
        // Named as people name it, opened as the system names it.
        let opened = if path == Path::new("-") { Path::new("/dev/stdin") } else { &path };
        let file =
            File::open(opened).map_err(|error| BinlogError::Io { path: path.clone(), position: 0, error })?;
        let (buffer, max_event_bytes) = (Vec::new(), DEFAULT_MAX_EVENT_BYTES);
        let mut binlog = Self { path, file, buffer, taken: 0, position: 0, max_event_bytes };
        binlog.magic()?;
        Ok(binlog)
    }

    /// With another limit for the size of an event.
    pub fn with_max_event_bytes(mut self, max_event_bytes: u64) -> Self {
        self.max_event_bytes = max_event_bytes;
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next event begins: the end of the last one that was handed out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next event, whole, and where it begins. `None` at the end of the file. After an error the file
    /// stays where it is, so asking again gives the same error.
    pub fn next_event(&mut self) -> Result<Option<(u64, &[u8])>, BinlogError> {
        self.skip_magic_of_another()?;
        let have = self.fill(HEADER_LENGTH)?;
        if have == 0 {
            return Ok(None);
        }
        if have < HEADER_LENGTH {
            return Err(self.truncated(HEADER_LENGTH, have));
        }
        let size = self.event_size()?;
        let have = self.fill(size)?;
        if have < size {
            return Err(self.truncated(size, have));
        }
        let start = self.taken;
        let position = self.position;
        self.taken += size;
        self.position += size as u64;
        Ok(self.buffer.get(start..start + size).map(|event| (position, event)))
    }

    fn magic(&mut self) -> Result<(), BinlogError> {
        let have = self.fill(MAGIC.len())?;
        let found = match self.unread().first_chunk() {
            Some(&MAGIC) => {
                self.taken = MAGIC.len();
                self.position = MAGIC.len() as u64;
                return Ok(());
            }
            Some(&MAGIC_ENCRYPTED) => {
                let (path, by) = (self.path.clone(), "the server's binlog_encryption");
                return Err(BinlogError::Encrypted { path, by });
            }
            Some([a, b, c, d]) => format!("found {a:02x} {b:02x} {c:02x} {d:02x}"),
            None if have == 0 => "the file is empty".to_owned(),
            None => format!("the file has {have} bytes"),
        };
        Err(BinlogError::NotABinlog { path: self.path.clone(), found })
    }

    /// Files that were put together (`cat binlog.0* | fountain cat -`): the next one's magic bytes stand where an event
    /// would begin. They could be an event's, of one second in September 2028, but hardly with a format description
    /// behind them.
    fn skip_magic_of_another(&mut self) -> Result<(), BinlogError> {
        const NEED: usize = MAGIC.len() + HEADER_LENGTH + 2;
        const BINLOG_VERSION_4: &[u8] = &[4, 0];
        if self.fill(MAGIC.len())? < MAGIC.len()
            || !self.unread().starts_with(&MAGIC)
            || self.fill(NEED)? < NEED
        {
            return Ok(());
        }
        let behind = self.unread().get(MAGIC.len()..).unwrap_or_default();
        let version = behind.get(HEADER_LENGTH..).unwrap_or_default();
        let event_type = EventHeader::parse(behind)?.event_type;
        if event_type == FORMAT_DESCRIPTION_EVENT && version.starts_with(BINLOG_VERSION_4) {
            self.taken += MAGIC.len();
            self.position += MAGIC.len() as u64;
        }
        Ok(())
    }

    /// The size that the next event's header says, once it is a possible one.
    fn event_size(&self) -> Result<usize, BinlogError> {
        let header = EventHeader::parse(self.unread())?;
        let (event_type, event_size) = (header.event_type, header.event_size);
        if event_type == START_ENCRYPTION_EVENT {
            let (path, by) = (self.path.clone(), "encrypt_binlog (MariaDB, Percona Server 5.7)");
            return Err(BinlogError::Encrypted { path, by });
        }
        if u64::from(event_size) > self.max_event_bytes {
            let (size, limit) = (event_size.into(), self.max_event_bytes);
            return Err(BinlogError::EventTooLarge { event_type, size, limit });
        }
        match usize::try_from(event_size) {
            Ok(size) if size >= HEADER_LENGTH => Ok(size),
            _ => Err(BinlogError::Size { event_type, event_size, have: HEADER_LENGTH }),
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    /// Reads until `wanted` bytes lie unread or the file ends, and says how many there are, `wanted` at most.
    fn fill(&mut self, wanted: usize) -> Result<usize, BinlogError> {
        if self.unread().len() < wanted {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        while self.buffer.len() - self.taken < wanted {
            let have = self.buffer.len();
            // At most twice what has proved to be there: a header's size alone reserves no memory.
            self.buffer.resize(have + STEP.max(have.min(wanted - have)), 0);
            let read = self.buffer.get_mut(have..).map_or(Ok(0), |room| self.file.read(room));
            self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let (path, position) = (self.path.clone(), self.position);
                    return Err(BinlogError::Io { path, position, error });
                }
            }
        }
        Ok(self.unread().len().min(wanted))
    }

    fn truncated(&self, need: usize, have: usize) -> BinlogError {
        let (path, position) = (self.path.clone(), self.position);
        BinlogError::Truncated { path, position, need: need as u64, have: have as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::testing;
    use crate::code::Code;
    use std::io::Write;

    fn open(bytes: &[u8]) -> Result<BinlogFile, BinlogError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        BinlogFile::open(file.path())
    }

    #[test]
    fn events_come_whole_and_in_place() {
        for name in testing::FIXTURES {
            let mut file = BinlogFile::open(testing::fixture_path(name)).unwrap();
            let whole = std::fs::read(testing::fixture_path(name)).unwrap();
            let mut position = 4;
            while position < whole.len() {
                let size =
                    u32::from_le_bytes(whole[position + 9..position + 13].try_into().unwrap()) as usize;
                let (found, event) = file.next_event().unwrap().unwrap();
                assert_eq!((found, event), (position as u64, &whole[position..position + size]), "{name}");
                position += size;
            }
            assert!(file.next_event().unwrap().is_none());
            assert_eq!(file.position(), whole.len() as u64);
        }
    }

    #[test]
    fn events_larger_and_smaller_than_a_read_alternate() {
        let sizes = [0, 10, STEP - 19, STEP, 3 * STEP + 7, 1, 0, 20 * STEP, 5];
        let events: Vec<Vec<u8>> =
            sizes.iter().map(|size| testing::event(30, &vec![*size as u8; *size])).collect();
        let mut file = open(&[&MAGIC[..], &events.concat()].concat()).unwrap();
        for event in &events {
            assert_eq!(file.next_event().unwrap().unwrap().1, event);
        }
        assert!(file.next_event().unwrap().is_none());
    }

    #[test]
    fn files_that_were_put_together_are_read_one_after_another() {
        let names = ["mysql97_tagged.bin", "mariadb_full.bin", "mysql56.bin"];
        let whole: Vec<u8> =
            names.iter().flat_map(|name| std::fs::read(testing::fixture_path(name)).unwrap()).collect();
        let mut file = open(&whole).unwrap();
        for name in names {
            for (_, event) in testing::fixture(name) {
                let (position, found) = file.next_event().unwrap().unwrap();
                assert_eq!(found, event);
                assert_eq!(whole[position as usize..][..event.len()], event);
            }
        }
        assert!(file.next_event().unwrap().is_none());
        // An event of that one second.
        let mut event = testing::event(2, &[1; 30]);
        event[..4].copy_from_slice(&MAGIC);
        let mut file = open(&[&MAGIC[..], &event].concat()).unwrap();
        assert_eq!(file.next_event().unwrap().unwrap().1, event);
    }

    #[test]
    fn what_is_no_binlog_is_told_apart() {
        let cases = [
            (&b""[..], Code::NotABinlog, "the file is empty"),
            (b"\xfebi", Code::NotABinlog, "the file has 3 bytes"),
            (b"-- MySQL dump", Code::NotABinlog, "found 2d 2d 20 4d"),
            (b"\xfdbin\x01", Code::Encrypted, "encrypted by the server's binlog_encryption"),
        ];
        for (bytes, code, text) in cases {
            let error = open(bytes).err().unwrap();
            assert_eq!(error.code(), code);
            assert!(error.to_string().contains(text), "{error}");
        }
        let error = BinlogFile::open("no/such/file").err().unwrap();
        assert_eq!(error.code(), Code::FileError);
        assert!(error.to_string().starts_with("no/such/file:0: "), "{error}");
    }

    #[test]
    fn an_encrypted_file_of_mariadb_is_named_at_its_first_encrypted_event() {
        let mut file = BinlogFile::open(testing::fixture_path("mariadb_encrypted.bin")).unwrap();
        assert_eq!(file.next_event().unwrap().unwrap().0, 4);
        let error = file.next_event().unwrap_err();
        assert_eq!(error.code(), Code::Encrypted);
    }

    #[test]
    fn every_cut_is_seen_and_stays() {
        let whole = std::fs::read(testing::fixture_path("mysql97_open.bin")).unwrap();
        let borders: Vec<usize> = testing::fixture("mysql97_open.bin")
            .iter()
            .map(|(start, event)| *start as usize + event.len())
            .collect();
        for cut in 4..whole.len() {
            let mut file = open(&whole[..cut]).unwrap();
            let end = loop {
                match file.next_event() {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            match end {
                None => assert!(cut == 4 || borders.contains(&cut), "{cut}"),
                Some(error) => {
                    assert_eq!(error.code(), Code::Truncated, "{cut}: {error}");
                    assert_eq!(file.next_event().unwrap_err().to_string(), error.to_string());
                }
            }
        }
        let mut file = open(&whole[..137]).unwrap();
        file.next_event().unwrap();
        let error = file.next_event().unwrap_err().to_string();
        assert!(error.ends_with(":127: the file ends inside an event: need 19 bytes, have 10"), "{error}");
    }

    #[test]
    fn impossible_sizes_are_refused_before_any_memory_is_taken() {
        let mut event = testing::event(30, &[0; 10]);
        event[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        let bytes = [&MAGIC[..], &event].concat();
        assert_eq!(open(&bytes).unwrap().next_event().unwrap_err().code(), Code::EventTooLarge);
        let mut file = open(&bytes).unwrap().with_max_event_bytes(u64::MAX);
        assert_eq!(file.next_event().unwrap_err().code(), Code::Truncated);
        assert!(file.buffer.capacity() < 4 * STEP);
        event[9..13].copy_from_slice(&18u32.to_le_bytes());
        let error = open(&[&MAGIC[..], &event].concat()).unwrap().next_event().unwrap_err();
        assert_eq!(error.to_string(), "WRITE_ROWS_EVENT: the header says 18 bytes, the event has 19");
    }
}
