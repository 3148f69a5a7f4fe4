//! One process per shard and folder.

use crate::code::Code;
use crate::sync_point::folder::FolderError;
use crate::sync_point::folder::check_shard_name;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// A child that is being spawned shares every lock of its parent until it has become another program, so a lock that was
/// just given back can look held for a moment.
const PATIENCE: Duration = Duration::from_millis(300);

/// Holds `<shard>.lock` in a folder. The lock goes with this value, and with the process however that ends; the file
/// stays (removing it would let two processes lock two files of one name).
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock or says who has it. The folder must exist.
    pub fn acquire(folder: &Path, shard: &str) -> Result<Self, FolderError> {
        Self::acquire_for(folder, shard, &format!("works on shard {shard}"))
    }

    /// Takes the lock `<name>.lock`; `work` says what whoever has it does here.
    pub fn acquire_for(folder: &Path, name: &str, work: &str) -> Result<Self, FolderError> {
        check_shard_name(name)?;
        let path = folder.join(format!("{name}.lock"));
        let failed = |what: &str, e: io::Error| {
            FolderError::new(Code::FileError, format!("{}: {what}: {e}", path.display()))
        };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|e| failed("the folder cannot be written to", e))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(held(folder, work, &path, &file)),
                Err(TryLockError::Error(e)) => return Err(failed("cannot be locked", e)),
            }
        }
        // Written over before it is cut, so that a reader never finds it empty.
        let pid = format!("{}\n", std::process::id());
        file.write_all_at(pid.as_bytes(), 0).map_err(|e| failed("cannot be written", e))?;
        file.set_len(pid.len() as u64).map_err(|e| failed("cannot be written", e))?;
        Ok(Self { _file: file })
    }
}

fn held(folder: &Path, work: &str, path: &Path, file: &File) -> FolderError {
    let mut bytes = [0; 20];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    let written = bytes.get(..length).map(String::from_utf8_lossy).unwrap_or_default();
    let text = match written.trim().parse::<u32>() {
        Ok(pid) if pid == std::process::id() => format!(
            "{}: this process (pid {pid}) {work} here already: two shards have one name, or two settings name this folder",
            folder.display()
        ),
        Ok(pid) => {
            format!("{}: process {pid} {work} here: stop it, or choose another folder", folder.display())
        }
        Err(_) => format!(
            "{}: another process {work} here ({} does not tell its pid): stop it, or choose another folder",
            folder.display(),
            path.display()
        ),
    };
    FolderError::new(Code::Locked, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::BufRead;
    use std::io::BufReader;
    use std::process::Command;
    use std::process::Stdio;

    #[test]
    fn the_second_one_is_refused_until_the_first_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let first = FolderLock::acquire(temp.path(), "a").unwrap();
        let second = FolderLock::acquire(temp.path(), "a").unwrap_err();
        assert_eq!(second.code, Code::Locked);
        assert!(second.text.contains("this process"), "{second}");
        FolderLock::acquire(temp.path(), "b").unwrap();
        drop(first);
        assert!(temp.path().join("a.lock").exists());
        FolderLock::acquire(temp.path(), "a").unwrap();
    }

    #[test]
    fn a_pid_of_an_earlier_holder_is_written_over() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("a.lock"), "99999999999999\nrubbish\n").unwrap();
        let _lock = FolderLock::acquire(temp.path(), "a").unwrap();
        let written = fs::read_to_string(temp.path().join("a.lock")).unwrap();
        assert_eq!(written, format!("{}\n", std::process::id()));
    }

    #[test]
    fn another_process_is_named_by_its_pid() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.lock");
        // flock(1) is part of util-linux; it stands for another fountain.
        let child = Command::new("flock")
            .arg(&path)
            .args(["sh", "-c", "echo $$ > \"$0\"; echo $$; read x"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(e) => {
                eprintln!("skipped: flock(1) cannot be run: {e}");
                return;
            }
        };
        let mut pid = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let error = FolderLock::acquire(temp.path(), "a").unwrap_err();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(error.code, Code::Locked);
        assert!(error.text.contains(&format!("process {} works on shard a", pid.trim())), "{error}");
        FolderLock::acquire(temp.path(), "a").unwrap();
    }

    #[test]
    fn a_lock_given_back_while_children_are_spawned_is_free() {
        let temp = tempfile::tempdir().unwrap();
        let spawning = thread::spawn(|| {
            for _ in 0..200 {
                Command::new("true").status().unwrap();
            }
        });
        while !spawning.is_finished() {
            FolderLock::acquire(temp.path(), "a").unwrap();
        }
        spawning.join().unwrap();
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let error = FolderLock::acquire(&temp.path().join("none"), "a").unwrap_err();
        assert_eq!(error.code, Code::FileError);
    }
}
