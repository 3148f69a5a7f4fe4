//! When packs go out, and that the point moves with them and without them.

use super::*;
use crate::change::batch::Begin;
use crate::change::batch::End;
use crate::change::batch::Item;
use crate::change::batch::Outcome;
use crate::change::batch::Place;
use crate::change::batch::Sql;
use crate::change::batch::SqlOp;
use crate::guard::term::Term;
use crate::pack::builder::Frontier;
use crate::pack::builder::PackRules;
use crate::pack::header::Pack;
use crate::pack::header::PackHeader;
use crate::pack::json::JsonOptions;
use crate::pack::lines::LineWriter;
use crate::pipeline::saver::SaveRhythm;
use crate::pipeline::saver::Saver;
use crate::sink::Sink;
use crate::sink::SinkError;
use crate::stop::Stop;
use crate::sync_point::PointRecord;
use crate::sync_point::ServerIdentity;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::gap::GapEdge;
use crate::sync_point::gap::GapKind;
use crate::sync_point::gap::GapLog;
use crate::sync_point::gap::GapRecord;
use crate::sync_point::history::PointHistory;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::record::tests::record;
use crossbeam_channel::bounded;
use std::sync::Mutex;

/// What came out: packs by their number of lines, and the positions of saved points.
#[derive(Debug, Default, Clone)]
struct Out {
    packs: Arc<Mutex<Vec<u64>>>,
    points: Arc<Mutex<Vec<u64>>>,
    /// One more than gap records that cannot be written.
    gap_failures: Arc<Mutex<u64>>,
}

impl Sink for Out {
    fn deliver(&mut self, pack: &Pack<'_>) -> Result<(), SinkError> {
        self.packs.lock().unwrap().push(pack.header.rows);
        Ok(())
    }

    fn standing(&mut self) -> Result<Option<PackHeader>, SinkError> {
        Ok(None)
    }

    fn begin_epoch(&mut self, _epoch: u64) -> Result<(), SinkError> {
        Ok(())
    }

    fn tick(&mut self, _now: Instant) -> Result<(), SinkError> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

impl SyncPointStore for Out {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        Ok(None)
    }

    fn load_old(&mut self) -> Result<Option<FoundPoint>, StoreError> {
        Ok(None)
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        self.points.lock().unwrap().push(record.point.as_ref().unwrap().pos);
        Ok(())
    }
}

impl PointHistory for Out {
    fn note(&mut self, _record: &PointRecord) -> Result<(), StoreError> {
        Ok(())
    }
}

impl GapLog for Out {
    fn append(&mut self, _record: &GapRecord) -> Result<(), StoreError> {
        let mut failures = self.gap_failures.lock().unwrap();
        *failures = failures.saturating_sub(1);
        match *failures {
            0 => Ok(()),
            _ => Err(StoreError::new(Code::PointStore, "the disk is full")),
        }
    }
}

fn packer(out: &Out, rhythm: PackRhythm) -> (Packer, Sender<Message>) {
    let (messages, inbox) = bounded(100);
    let (spare, _) = bounded(1);
    let place = Place { file: "b.1".into(), pos: 4 };
    let frontier = Frontier {
        place,
        file_created: 0,
        executed: None,
        set_ahead: false,
        pending_xa: Vec::new(),
        ts_ms: 0,
    };
    let limits = PackRules {
        max_bytes: 1 << 20,
        max_lines: 1000,
        transaction_lines: false,
        gap_lines: true,
        hold: None,
    };
    let saved = PointRecord { seq_reserved: 1 << 40, ..record(1, 0) };
    let packer = Packer {
        shard: "s".into(),
        messages: inbox,
        spare,
        builder: PackBuilder::new(
            LineWriter::new(JsonOptions::default(), None),
            limits,
            frontier,
            None,
            Some(1),
        ),
        delivery: Delivery {
            shard: "s".into(),
            epoch: 1,
            sequence: 0,
            previous_crc32: 0,
            follows: None,
            last_pack: None,
            taken_over: crate::sync_point::epochs::TakenOver::default(),
            identity: ServerIdentity { server_uuid: None, server_id: 1 },
            sink: Box::new(out.clone()),
            saver: Saver::start("s", Box::new(out.clone()), Box::new(out.clone()), SaveRhythm::Sync, saved)
                .unwrap(),
            gaps: Box::new(out.clone()),
            term: Term::always(&Stop::new()),
            stop: Stop::new(),
            status: Default::default(),
            close_patience: Duration::ZERO,
            give_up: false,
            offered: None,
            moved: None,
        },
        rhythm,
        last_send: Instant::now(),
        behind: false,
        last_tick: Instant::now(),
        void: false,
        read_anew: Arc::default(),
    };
    (packer, messages)
}

/// One transaction that ends at `pos`, with one line or none.
fn transaction(pos: u64, line: bool, drained: bool) -> Message {
    let place = Place { file: "b.1".into(), pos };
    let (server_id, timestamp) = (1, 0);
    let mut items = vec![Item::Begin(Begin {
        place: place.clone(),
        gtid: None,
        ts_ms: 0,
        server_id,
        timestamp,
        ts_from_gtid: false,
        committed_at: None,
    })];
    if line {
        let (place, database) = (place.clone(), String::new());
        items.push(Item::Sql(Sql {
            op: SqlOp::Ddl,
            place,
            server_id,
            timestamp,
            database,
            sql: 0..0,
            set: None,
        }));
    }
    let (outcome, next) = (Outcome::Commit, place.clone());
    items.push(Item::End(End { outcome, place, next, gtid: None, server_id, timestamp, decided: None }));
    Message::Batch(Batch { bytes: Vec::new(), items, drained })
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_busy_shard_fills_its_packs_and_a_drained_one_sends_at_once() {
    let out = Out::default();
    let (mut packer, messages) = packer(&out, PackRhythm { timeout: HOUR, eager: true });
    for pos in 1..=9 {
        messages.send(transaction(pos, true, false)).unwrap();
        assert_eq!(packer.step(), Ok(Step::Went));
    }
    assert!(out.packs.lock().unwrap().is_empty());
    messages.send(transaction(10, true, true)).unwrap();
    packer.step().unwrap();
    assert_eq!(*out.packs.lock().unwrap(), [10]);
    drop(messages);
    assert_eq!(packer.run(), Ok(()));
    assert_eq!(out.points.lock().unwrap().last(), Some(&10));
}

/// Nothing more to say is no reason to hold lines back, and neither is a drained socket where nobody is eager.
#[test]
fn time_sends_what_is_in_hand() {
    let out = Out::default();
    let (mut packer, messages) =
        packer(&out, PackRhythm { timeout: Duration::from_millis(30), eager: false });
    let begun = Instant::now();
    messages.send(transaction(1, true, true)).unwrap();
    while out.packs.lock().unwrap().is_empty() {
        assert_eq!(packer.step(), Ok(Step::Went));
        assert!(begun.elapsed() < HOUR);
    }
    assert!(begun.elapsed() >= Duration::from_millis(30));
}

/// A long way through transactions of tables that are not watched: the socket is never drained and no line comes out.
#[test]
fn the_point_moves_without_lines() {
    for eager in [true, false] {
        let out = Out::default();
        let (mut packer, messages) = packer(&out, PackRhythm { timeout: Duration::from_millis(10), eager });
        let begun = Instant::now();
        let mut pos = 0;
        while out.points.lock().unwrap().len() < 3 {
            pos += 1;
            messages.send(transaction(pos, false, false)).unwrap();
            packer.step().unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "eager={eager}");
        }
        assert!(out.packs.lock().unwrap().is_empty());
    }
}

#[test]
fn a_gap_is_recorded_before_anything_goes_on_however_long_the_disk_is_full() {
    let edge = GapEdge { gtid: None, file: "b.1".into(), pos: 4, row: 0 };
    let (from, to, tables) = (edge.clone(), edge, Vec::new());
    let gap =
        GapRecord { shard: "s".into(), at_ms: 1, kind: GapKind::Skip, from, to, tables, reason: "r".into() };
    let out = Out::default();
    let (mut packer, _messages) = packer(&out, PackRhythm { timeout: HOUR, eager: true });
    *out.gap_failures.lock().unwrap() = 3;
    assert_eq!(packer.delivery.append_gap(&gap), Ok(()));
    assert_eq!(*out.gap_failures.lock().unwrap(), 0);
    // With an end in sight nobody waits, and neither does who is asked to stop.
    *out.gap_failures.lock().unwrap() = u64::MAX;
    packer.delivery.stop.request();
    assert_eq!(packer.delivery.append_gap(&gap).unwrap_err().code, Code::Stopped);
    packer.delivery.give_up = true;
    assert_eq!(packer.delivery.append_gap(&gap).unwrap_err().code, Code::PointStore);
}
