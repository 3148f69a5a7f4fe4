//! This machine: folders, the sink's disk, and what the system allows a process. Nothing is made but a file that is
//! removed at once.

use crate::code::Code;
use crate::config::Config;
use crate::config::FileSinkConfig;
use crate::config::ShardConfig;
use crate::config::SinkConfig;
use crate::config::TransactionPolicy;
use crate::doctor::command;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use crate::doctor::rules::size;
use crate::sync_point::lock::FolderLock;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A run's own: standard streams, log, signals, and some to spare.
const FILES_OF_A_RUN: u64 = 24;
/// Sockets, locks, point, sink with sidecar, and folders that are opened to be made durable.
const FILES_OF_A_SHARD: u64 = 12;
const THREADS_OF_A_RUN: u64 = 4;
/// Producer, packer, saver, and connection attempts.
const THREADS_OF_A_SHARD: u64 = 5;
/// What a shard holds besides its packs: read buffer, two batches, the plans of its tables.
const MEMORY_OF_A_SHARD: u64 = 4 << 20;
const MEMORY_OF_A_RUN: u64 = 8 << 20;

/// What a folder is for.
struct Folder<'a> {
    key: &'static str,
    path: &'a Path,
    /// Whoever may write here can make a run lose or repeat rows.
    guarded: bool,
}

/// The folders of the process.
pub fn folders(config: &Config) -> Vec<Finding> {
    let folders = [
        Folder { key: "producer_position", path: &config.point_dir, guarded: true },
        Folder { key: "status_dir", path: &config.status_dir, guarded: false },
        Folder { key: "log_dir", path: &config.log_dir, guarded: false },
    ];
    let mut findings = Vec::new();
    let mut fine = Vec::new();
    for folder in &folders {
        match state(folder.path) {
            Ok(State::There) => fine.push(format!("{} is there", folder.key)),
            Ok(State::CanBeMade) => fine.push(format!("{} will be made", folder.key)),
            Err(why) => findings.push(unusable(folder, &why)),
        }
        findings.extend(writable_by_others(folder));
    }
    let running = config.enabled_shards().filter_map(|shard| running(&config.point_dir, &shard.name));
    fine.extend(running);
    if !fine.is_empty() {
        findings.insert(0, Finding::fine(Topic::Folders, fine.join(", ")));
    }
    findings
}

enum State {
    There,
    /// A folder above it is there, and we may write in it.
    CanBeMade,
}

fn state(path: &Path) -> Result<State, String> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Err("a folder is needed here, this is a file".to_owned()),
        Ok(_) => write_something(path)
            .map(|()| State::There)
            .map_err(|error| format!("cannot be written to: {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above =
                path.ancestors().skip(1).find(|above| !above.as_os_str().is_empty() && above.exists());
            let Some(above) = above else {
                return Err("is missing, and so is everything above it".to_owned());
            };
            let missing = |error| format!("is missing, and cannot be made in {}: {error}", above.display());
            if !above.is_dir() {
                return Err(missing("that is a file".to_owned()));
            }
            write_something(above).map(|()| State::CanBeMade).map_err(|error| missing(error.to_string()))
        }
        Err(error) => Err(format!("cannot be reached: {error}")),
    }
}

/// The only way to know: rights, read-only mounts and full disks all show.
fn write_something(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".fountain-check-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)
}

fn unusable(folder: &Folder<'_>, why: &str) -> Finding {
    let path = folder.path.display();
    let user =
        fs::metadata("/proc/self").map_or_else(|_| "its user".to_owned(), |me| format!("user {}", me.uid()));
    Finding::error(
        Code::FileError,
        format!("{}={path}: {why}", folder.key),
        format!("let {user}, as whom fountain runs, write there, or set {} to another folder", folder.key),
    )
}

fn writable_by_others(folder: &Folder<'_>) -> Option<Finding> {
    let mode = fs::metadata(folder.path).ok()?.mode() & 0o7777;
    (folder.guarded && mode & 0o022 != 0).then(|| {
        Finding::warn(
            Code::FileMode,
            format!("{}={}: others may write there (mode {mode:04o})", folder.key, folder.path.display()),
            format!("run: chmod go-w {}", folder.path.display()),
        )
    })
}

/// Whether a run works on the shard in this folder. A lock file is looked at, never made.
fn running(folder: &Path, shard: &str) -> Option<String> {
    if !folder.join(format!("{shard}.lock")).exists() {
        return None;
    }
    let error = FolderLock::acquire(folder, shard).err().filter(|error| error.code == Code::Locked)?;
    let pid = error.text.split_once(": process ").and_then(|(_, rest)| rest.split_once(' '));
    let process = pid.map_or("another process".to_owned(), |(pid, _)| format!("process {pid}"));
    Some(format!("{process} runs {shard}"))
}

/// The sink of one shard.
pub fn sink(shard: &ShardConfig) -> Vec<Finding> {
    match &shard.sink {
        SinkConfig::Stdout => vec![Finding::fine(Topic::Sink, "stdout")],
        SinkConfig::Null => vec![Finding::fine(Topic::Sink, "null: rows are counted and thrown away")],
        SinkConfig::File(file) => file_sink(file, &shard.name),
        SinkConfig::Exec(exec) => vec![command::exec_sink(exec)],
    }
}

fn file_sink(file: &FileSinkConfig, shard: &str) -> Vec<Finding> {
    let folder = Folder { key: "file_sink_dir", path: &file.dir, guarded: true };
    let state = match state(&file.dir) {
        Ok(State::There) => "is there",
        Ok(State::CanBeMade) => "will be made",
        Err(why) => return vec![unusable(&folder, &why)],
    };
    let running = running(&file.dir, shard).map(|text| format!(", {text}")).unwrap_or_default();
    let mut findings: Vec<Finding> = writable_by_others(&folder).into_iter().collect();
    match free_bytes(&file.dir) {
        Err(error) => {
            let text =
                format!("file_sink_dir={}: its free space cannot be told: {error}", file.dir.display());
            findings.push(Finding::error(Code::FileError, text, "set file_sink_dir to a folder on a disk"));
        }
        Ok(free) => {
            let text =
                format!("file_sink_dir={} {state}, {} are free{running}", file.dir.display(), size(free));
            findings.insert(0, Finding::fine(Topic::Sink, text));
            findings.extend(space(file, free));
        }
    }
    findings
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let there = folder.ancestors().find(|above| above.exists()).unwrap_or(folder);
    let found = rustix::fs::statvfs(there)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn space(file: &FileSinkConfig, free: u64) -> Option<Finding> {
    let least = file.min_free_bytes;
    let told =
        |what: &str| format!("{} are free, file_min_free_bytes is {}: {what}", size(free), size(least));
    let cure =
        "free some space, or set file_keep_bytes or file_keep_seconds so that old files go by themselves";
    if free < least {
        let text = told("the sink waits until there is more");
        return Some(Finding::error(Code::DiskSpace, text, format!("{cure}, or lower file_min_free_bytes")));
    }
    let soon = free < least.saturating_add(file.rotate_bytes);
    soon.then(|| {
        Finding::warn(Code::DiskSpace, told("not even one more file fits (file_rotate_bytes)"), cure)
    })
}

/// Open files, threads and memory, against what the shards will need.
pub fn limits(config: &Config) -> Vec<Finding> {
    let shards: Vec<&ShardConfig> = config.enabled_shards().collect();
    let count = shards.len() as u64;
    let sum = |bytes: fn(&ShardConfig) -> u64| {
        shards.iter().fold(0_u64, |sum, shard| sum.saturating_add(bytes(shard)))
    };
    let packs = sum(|shard| shard.packs.max_bytes.saturating_mul(2));
    let held = sum(held);
    let needs = Needs {
        files: FILES_OF_A_RUN + count * FILES_OF_A_SHARD,
        threads: THREADS_OF_A_RUN + count * THREADS_OF_A_SHARD,
        memory: (MEMORY_OF_A_RUN + count * MEMORY_OF_A_SHARD).saturating_add(packs).saturating_add(held),
        held,
    };
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    compare(&needs, &limits, &memory)
}

/// Most bytes of transactions that a shard holds: prepared XA ones, and under a policy the one that is read, whose rows
/// take about a third more than their lines where each event has one.
fn held(shard: &ShardConfig) -> u64 {
    let transactions = &shard.transactions;
    let whole = match transactions.policy {
        TransactionPolicy::None => 0,
        TransactionPolicy::Mini | TransactionPolicy::DiscardHugeTable => {
            transactions.max_bytes.saturating_add(transactions.max_bytes / 3)
        }
    };
    whole.saturating_add(transactions.xa_hold_max_bytes)
}

struct Needs {
    files: u64,
    threads: u64,
    /// In bytes, without the largest event, which is held whole.
    memory: u64,
    /// What of `memory` is for transactions that are held: so much at most.
    held: u64,
}

/// The texts are those of /proc/self/limits and /proc/meminfo; what they do not tell is not judged.
fn compare(needs: &Needs, limits: &str, memory: &str) -> Vec<Finding> {
    let soft = |name: &str| -> Option<u64> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let mut findings = Vec::new();
    let mut need = |name, needed: u64, what: &str, cure: &str| {
        if let Some(allowed) = soft(name).filter(|allowed| *allowed < needed) {
            let text = format!("{allowed} {what} are allowed, about {needed} are needed");
            findings.push(Finding::error(
                Code::Limits,
                text,
                cure.replace('N', &needed.next_power_of_two().to_string()),
            ));
        }
    };
    need(
        "Max open files",
        needs.files,
        "open files",
        "run before fountain: ulimit -n N (systemd: LimitNOFILE=N)",
    );
    need("Max processes", needs.threads, "threads", "run before fountain: ulimit -u N (systemd: TasksMax=N)");
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    if let Some(available) = available.map(|kib| kib << 10).filter(|available| *available < needs.memory) {
        findings.push(Finding::warn(
            Code::Limits,
            format!(
                "{} of memory are available, up to about {} are needed ({} of it for transactions that are held)",
                size(available),
                size(needs.memory),
                size(needs.held)
            ),
            "run fewer shards on this machine, or lower xa_hold_max_bytes, pack_max_bytes or, with a transaction_policy, \
             trans_max_bytes",
        ));
    }
    if findings.is_empty() {
        let text = format!(
            "{} open files, {} threads and {} of memory (plus the largest event) are there",
            needs.files,
            needs.threads,
            size(needs.memory)
        );
        findings.push(Finding::fine(Topic::Limits, text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;
    use crate::doctor::finding::Level;
    use std::time::Duration;

    #[test]
    fn folders_are_there_can_be_made_or_cannot() {
        let temp = tempfile::tempdir().unwrap();
        assert!(matches!(state(temp.path()), Ok(State::There)));
        assert!(matches!(state(&temp.path().join("a/b")), Ok(State::CanBeMade)));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "nothing is left behind");
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(state(&file).err().unwrap().contains("this is a file"));
        assert!(state(&file.join("below")).is_err());
    }

    #[test]
    fn a_lock_file_is_looked_at_and_never_made() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(running(temp.path(), "a"), None);
        assert!(!temp.path().join("a.lock").exists());
        let held = FolderLock::acquire(temp.path(), "a").unwrap();
        assert!(running(temp.path(), "a").is_some_and(|text| text.ends_with("runs a")));
        drop(held);
        assert_eq!(running(temp.path(), "a"), None);
    }

    #[test]
    fn limits_are_compared_as_far_as_they_are_told() {
        let needs = || Needs { files: 36, threads: 9, memory: 16 << 20, held: 4 << 20 };
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max processes             8          unlimited            processes\n\
                      Max open files            20                20000                files\n";
        let found = compare(&needs(), limits, "MemAvailable:    1024 kB\n");
        let texts: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "20 open files are allowed, about 36 are needed",
                "8 threads are allowed, about 9 are needed",
                "1024 KiB of memory are available, up to about 16 MiB are needed (4096 KiB of it for transactions that are held)"
            ]
        );
        assert!(found[0].cure.as_ref().unwrap().contains("ulimit -n 64"));
        let fine = compare(&needs(), "Max open files unlimited unlimited files\n", "");
        assert_eq!((fine.len(), fine[0].level), (1, Level::Ok));
    }

    #[test]
    fn what_is_held_follows_the_policy() {
        let held = |policy: &str| {
            let pairs = [
                ("mysql_shard_0_server", "db1"),
                ("mysql_username", "u"),
                ("transaction_policy", policy),
                ("trans_max_bytes", "300m"),
                ("xa_hold_max_bytes", "7m"),
            ];
            held(&Config::load(&Request::from_pairs("/h", &pairs)).unwrap().shards[0]) >> 20
        };
        assert_eq!((held("none"), held("mini"), held("discard_huge_table")), (7, 407, 407));
    }

    #[test]
    fn free_space_is_compared_with_the_keys() {
        let file = FileSinkConfig {
            dir: "/".into(),
            rotate_bytes: 100,
            rotate_after: Duration::ZERO,
            keep_bytes: None,
            keep_for: None,
            min_free_bytes: 1000,
        };
        assert_eq!(space(&file, 999).unwrap().level, Level::Error);
        assert_eq!(space(&file, 1099).unwrap().level, Level::Warn);
        assert_eq!(space(&file, 1100), None);
    }
}
