//! What every sink must do, whatever it is.

use crate::config::ExecOnFailure;
use crate::config::ExecResume;
use crate::config::ExecSinkConfig;
use crate::pack::header::Pack;
use crate::pack::header::PackHeader;
use crate::sink::Sink;
use crate::sink::exec::ExecSink;
use crate::sink::file::FileSink;
use crate::sink::file::FileSinkConfig;
use crate::sink::null::NullSink;
use crate::sink::stdout::SharedOutput;
use crate::sink::stdout::StdoutSink;
use crate::sink::testing::in_packs;
use crate::sink::testing::lines;
use crate::sink::testing::packs;
use crate::stop::Stop;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

const SHARD: &str = "producer00";

/// A kind of sink: how to open one in a folder, and how to read what it put out there.
struct Kind {
    name: &'static str,
    open: fn(&Path) -> Box<dyn Sink>,
    /// None: it keeps nothing.
    rows: Option<fn(&Path) -> Vec<u8>>,
    /// It knows after a restart where it stands.
    stands: bool,
}

const KINDS: [Kind; 5] = [
    Kind { name: "null", open: |_| Box::new(NullSink::default()), rows: None, stands: false },
    Kind {
        name: "stdout",
        open: open_stdout,
        rows: Some(|dir| fs::read(dir.join("out")).unwrap()),
        stands: false,
    },
    Kind { name: "file", open: open_file, rows: Some(file_rows), stands: true },
    Kind {
        name: "exec",
        open: |dir| open_exec(dir, ExecResume::Point),
        rows: Some(|dir| fs::read(dir.join("out")).unwrap_or_default()),
        stands: false,
    },
    Kind {
        name: "exec that keeps packs",
        open: |dir| open_exec(dir, ExecResume::Consumer),
        rows: Some(|dir| fs::read(dir.join("out")).unwrap_or_default()),
        stands: true,
    },
];

fn open_stdout(dir: &Path) -> Box<dyn Sink> {
    let output = File::options().create(true).append(true).open(dir.join("out")).unwrap();
    Box::new(StdoutSink::over(Arc::new(SharedOutput::new(output.into()).unwrap()), SHARD))
}

fn open_file(dir: &Path) -> Box<dyn Sink> {
    let config = FileSinkConfig {
        dir: dir.join("data"),
        rotate_bytes: 2000,
        rotate_seconds: 1,
        keep_bytes: None,
        keep_seconds: None,
        min_free_bytes: 0,
    };
    Box::new(FileSink::open(config, SHARD).unwrap())
}

fn open_exec(dir: &Path, resume: ExecResume) -> Box<dyn Sink> {
    let config = ExecSinkConfig {
        command: r#"while IFS= read -r pack; do
            case $pack in *'"op":"resume"'*) echo "resume $(cat last 2> /dev/null || echo none)"; continue;; esac
            epoch=${pack#*\"epoch\":} sequence=${pack#*\"sequence\":} bytes=${pack#*\"bytes\":}
            head -c "${bytes%%,*}" >> out && echo "$pack" > last && echo "ack ${epoch%%,*} ${sequence%%,*}"
        done"#
            .into(),
        folder: dir.into(),
        ack_timeout: Duration::from_secs(60),
        on_failure: ExecOnFailure::Stop,
        resume,
    };
    Box::new(ExecSink::new(config, SHARD, Stop::new(), Duration::from_secs(10)))
}

/// What a user's script would do: `cat data/producer00-*.jsonl*` without the sidecars, in the order of names.
fn file_rows(dir: &Path) -> Vec<u8> {
    let paths = fs::read_dir(dir.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| [Some("jsonl"), Some("part")].contains(&path.extension().and_then(|e| e.to_str())))
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

fn deliver(sink: &mut dyn Sink, packs: &[(PackHeader, Vec<u8>)]) {
    for (header, rows) in packs {
        sink.deliver(&Pack { header, rows }).unwrap();
        sink.tick(Instant::now()).unwrap();
    }
}

fn concatenated(packs: &[(PackHeader, Vec<u8>)]) -> Vec<u8> {
    packs.iter().flat_map(|(_, rows)| rows.clone()).collect()
}

#[test]
fn packs_come_out_whole_in_order_and_at_once() {
    for kind in KINDS {
        let temp = tempfile::tempdir().unwrap();
        let packs = packs(SHARD, 1, 12);
        let mut sink = (kind.open)(temp.path());
        assert_eq!(sink.standing(), Ok(None), "{}", kind.name);
        sink.begin_epoch(1).unwrap();
        for count in 1..=packs.len() {
            deliver(&mut *sink, &packs[count - 1..count]);
            if let Some(rows) = kind.rows {
                assert_eq!(rows(temp.path()), concatenated(&packs[..count]), "{}", kind.name);
            }
        }
        sink.close().unwrap();
        if let Some(rows) = kind.rows {
            assert_eq!(rows(temp.path()), concatenated(&packs), "{}", kind.name);
        }
        drop(sink);
        let standing = kind.stands.then(|| packs[packs.len() - 1].0.clone());
        assert_eq!((kind.open)(temp.path()).standing(), Ok(standing), "{}", kind.name);
    }
}

#[test]
fn a_restart_goes_on_behind_the_last_pack() {
    for kind in KINDS {
        let temp = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        let mut last: Option<PackHeader> = None;
        for epoch in 1..=3 {
            let mut sink = (kind.open)(temp.path());
            assert_eq!(sink.standing(), Ok(last.clone().filter(|_| kind.stands)), "{}", kind.name);
            sink.begin_epoch(epoch).unwrap();
            let crc32 = last.map_or(0, |header| header.crc32);
            let packs =
                in_packs(SHARD, epoch, crc32, (0..4).map(|index| lines(epoch * 10 + index, 2)).collect());
            deliver(&mut *sink, &packs);
            if epoch < 3 {
                sink.close().unwrap();
            }
            expected.extend(concatenated(&packs));
            last = packs.last().map(|(header, _)| header.clone());
        }
        if let Some(rows) = kind.rows {
            assert_eq!(rows(temp.path()), expected, "{}", kind.name);
        }
    }
}

#[test]
fn a_sink_that_is_not_used_leaves_nothing() {
    for kind in KINDS {
        let temp = tempfile::tempdir().unwrap();
        let mut sink = (kind.open)(temp.path());
        sink.tick(Instant::now()).unwrap();
        assert_eq!(sink.standing(), Ok(None), "{}", kind.name);
        sink.begin_epoch(7).unwrap();
        sink.tick(Instant::now()).unwrap();
        sink.close().unwrap();
        if let Some(rows) = kind.rows {
            assert!(rows(temp.path()).is_empty(), "{}", kind.name);
        }
    }
}
