//! A file of sealed lines ([`crate::sync_point::sealed`]) that is only ever appended to.
//!
//! A crash can tear its last line. Whoever appends next completes that line where all of it is there and cuts it off where
//! it is not; whoever reads meanwhile leaves it out. A line that is broken elsewhere (a bad disk, an editor) is counted and
//! stays where it is: what such files tell is for people, and one line must not hide the others.
//!
//! One process appends at a time: the owner sees to that ([`crate::sync_point::lock`]).

use crate::fail_point;
use crate::sync_point::folder::sync_folder;
use crate::sync_point::sealed::unseal;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The member that seals each line.
pub const SEAL: &str = "crc32";

/// As much of the end of a file as is looked at before a line is appended. Longer lines are legal.
const TAIL: u64 = 64 << 10;

/// Longer lines are told as broken: a bound on what is read into memory whatever the file.
const LONGEST_LINE: u64 = 64 << 20;

/// A file that is open for appending, its last line whole.
#[derive(Debug)]
pub struct LineLog {
    file: File,
    /// Behind its last whole line, in bytes.
    length: u64,
    /// The lines at its end, the oldest first, each whole and unsealed.
    tail: Vec<String>,
}

impl LineLog {
    /// Opens the file, makes it when it is missing (durably, by its folder), and mends its end.
    pub fn open(path: &Path) -> io::Result<Self> {
        let new = !path.try_exists()?;
        fail_point::reach("log.open")?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if new {
            sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        }
        let length = file.metadata()?.len();
        let mut log = Self { file, length, tail: Vec::new() };
        log.mend()?;
        Ok(log)
    }

    /// Lines at the end of the file as it was opened, at most 64 KiB of them.
    pub fn tail(&self) -> &[String] {
        &self.tail
    }

    /// Appends a line (without its line end). What a failure left behind is taken back, so that a second try is whole.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        let bytes = format!("{line}\n");
        let (file, length) = (&self.file, self.length);
        let written =
            fail_point::write("log.append", bytes.as_bytes(), |bytes| file.write_all_at(bytes, length));
        if let Err(error) = written {
            // When this fails too, the next one who opens the file cuts it.
            return self.file.set_len(self.length).and(Err(error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Returns once all lines are durable.
    pub fn sync(&self) -> io::Result<()> {
        fail_point::reach("log.flush")?;
        self.file.sync_data()
    }

    /// Whether the file still has a name: one that was taken away swallows what is written.
    pub fn is_linked(&self) -> io::Result<bool> {
        self.file.metadata().map(|metadata| metadata.nlink() > 0)
    }

    /// In bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes back what lies behind `length`.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    fn mend(&mut self) -> io::Result<()> {
        let start = self.length.saturating_sub(TAIL);
        let mut bytes = vec![0; usize::try_from(self.length - start).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, start)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (lines, torn) = bytes.split_at(whole);
        // The first one may begin in front of what was read; then it has no seal that fits.
        self.tail = lines.split(|byte| *byte == b'\n').filter_map(readable).collect();
        if torn.is_empty() {
            return Ok(());
        }
        match readable(torn) {
            Some(line) => {
                self.file.write_all_at(b"\n", self.length)?;
                self.length += 1;
                self.tail.push(line);
                Ok(())
            }
            // The line may be longer than what was read: its beginning is looked for in the whole file.
            None if whole == 0 && start > 0 => {
                let border = last_line_end(&self.file, start)?;
                self.cut(border)
            }
            None => self.cut(start + whole as u64),
        }
    }
}

fn readable(line: &[u8]) -> Option<String> {
    unseal(line, SEAL).ok().map(str::to_owned)
}

/// Behind the last line end before `end`.
fn last_line_end(file: &File, end: u64) -> io::Result<u64> {
    let mut block = vec![0; 64 << 10];
    let mut end = end;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = block.split_at_mut(usize::try_from(end - start).unwrap_or(0)).0;
        file.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// What a file of sealed lines holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LinesRead {
    /// Lines that could not be used: broken, or refused by the one who read.
    pub broken: u64,
    /// A line without end was left out: torn by a crash, or being written just now.
    pub torn: bool,
}

/// Reads a file from its beginning, without lock; `each` gets every whole line and says whether it makes sense.
/// A file that is not there has no lines.
pub fn read_lines(path: &Path, mut each: impl FnMut(&str) -> bool) -> io::Result<LinesRead> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LinesRead::default()),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut read = LinesRead::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(read);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        match unseal(text, SEAL) {
            Ok(text) if each(text) => {}
            Err(_) if !line.ends_with(b"\n") && (line.len() as u64) < LONGEST_LINE => read.torn = true,
            Ok(_) | Err(_) => read.broken += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_point::sealed::seal;
    use std::fs;

    fn line(number: usize) -> String {
        seal(&format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(number % 70)), SEAL)
    }

    fn read(path: &Path) -> (Vec<String>, LinesRead) {
        let mut lines = Vec::new();
        let read = read_lines(path, |line| {
            lines.push(line.to_owned());
            true
        });
        (lines, read.unwrap())
    }

    fn whole(path: &Path) -> Vec<String> {
        let (lines, rest) = read(path);
        assert_eq!(rest, LinesRead::default());
        lines
    }

    #[test]
    fn a_cut_at_any_byte_loses_the_last_line_at_most() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let lines: Vec<String> = (0..4).map(line).collect();
        let bytes = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes.as_bytes()[..cut]).unwrap();
            let complete = lines.iter().scan(0, |end, line| {
                *end += line.len() + 1;
                Some(*end)
            });
            // A line without its line end is whole.
            let kept = complete.filter(|end| *end <= cut + 1).count();
            assert_eq!(read(&path).0, lines[..kept], "cut at {cut}");
            let mut log = LineLog::open(&path).unwrap();
            assert_eq!(log.tail(), &lines[..kept]);
            log.append(&line(9)).unwrap();
            log.sync().unwrap();
            assert_eq!(whole(&path), [&lines[..kept], &[line(9)]].concat(), "cut at {cut}");
        }
    }

    #[test]
    fn zeros_and_rubbish_at_the_end_are_cut_and_a_broken_line_inside_is_counted() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        for rubbish in [vec![0; 5000], vec![b'{'; 200_000]] {
            fs::write(&path, [line(1).as_bytes(), b"\n", &rubbish].concat()).unwrap();
            assert!(read(&path).1.torn);
            LineLog::open(&path).unwrap().append(&line(2)).unwrap();
            assert_eq!(whole(&path), [line(1), line(2)]);
        }
        fs::write(&path, format!("{}\n{}\n{}\n", line(1), line(2).replace("2", "3"), line(4))).unwrap();
        LineLog::open(&path).unwrap().append(&line(5)).unwrap();
        assert_eq!(read(&path), (vec![line(1), line(4), line(5)], LinesRead { broken: 1, torn: false }));
        fs::write(&path, vec![b'x'; 300_000]).unwrap();
        LineLog::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_missing_file_has_no_lines_and_an_unreadable_one_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        assert!(whole(&temp.path().join("none")).is_empty());
        assert!(read_lines(temp.path(), |_| true).is_err());
        assert!(LineLog::open(&temp.path().join("gone/log")).is_err());
    }

    #[test]
    fn the_tail_is_bounded() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let mut log = LineLog::open(&path).unwrap();
        for number in 0..5000 {
            log.append(&line(number)).unwrap();
        }
        let log = LineLog::open(&path).unwrap();
        assert_eq!(log.tail().last(), Some(&line(4999)));
        assert!(log.tail().len() > 100 && log.tail().len() < 5000);
        assert_eq!(whole(&path).len(), 5000);
    }
}
