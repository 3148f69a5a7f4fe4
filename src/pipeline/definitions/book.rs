//! The ledger of a shard at work: asked for definitions, told of DDL, and kept durable where that matters.
//!
//! A version that ends is saved before anything behind its DDL is handed on, so that no stored point lies behind a DDL that
//! the stored ledger does not know. A version that begins is saved when there is time: losing it costs a proof.

use crate::binlog::BinlogPosition;
use crate::change::error::ChangeError;
use crate::change::sql::Touched;
use crate::code::Code;
use crate::pack::builder::Frontier;
use crate::pipeline::delivery::now_ms;
use crate::schema::definition::TableDefinition;
use crate::schema::file::SchemaFile;
use crate::schema::ledger::Ledger;
use crate::schema::ledger::LedgerServer;
use crate::schema::ledger::Proof;
use crate::schema::ledger::Version;
use crate::sync_point::ServerIdentity;
use crate::sync_point::StoreError;
use crate::sync_point::schema_store::SchemaStore;
use crate::sync_point::zk_node::is_passing;
use std::time::Duration;
use std::time::Instant;

/// How long a new version may wait for being saved.
const LAZY: Duration = Duration::from_secs(2);
/// How much longer where ZooKeeper did not answer: whoever asks it waits, and rows with it.
const PUT_OFF: Duration = Duration::from_secs(30);

/// Where the shard stood when it stopped, according to its point.
#[derive(Debug, Clone)]
pub struct LastStand {
    /// The epoch in which the point was saved.
    pub epoch: u64,
    /// The point was moved, and nothing has been delivered since.
    pub moved: bool,
    pub server: ServerIdentity,
    pub place: Option<BinlogPosition>,
}

/// The place up to which everything has been read, and nothing behind it. None where that is known in GTIDs alone: some of
/// them may lie behind the place, DDL among them.
pub fn certain_place(file: &str, pos: u64, set_ahead: bool) -> Option<BinlogPosition> {
    (!file.is_empty() && !set_ahead).then(|| BinlogPosition::new(file, pos))
}

/// The definitions of one shard.
#[derive(Debug, Default)]
pub struct Book {
    shard: String,
    ledger: Ledger,
    file: Option<SchemaFile>,
    /// Where the shard stands, on the server to which that place belongs.
    stand: Option<(LedgerServer, Option<BinlogPosition>)>,
    store: Option<Box<dyn SchemaStore>>,
    /// Since when something waits for being saved.
    unsaved: Option<Instant>,
    /// A version has ended or was forgotten, and that is not saved.
    must_save: bool,
    /// ZooKeeper is away: what may wait is not tried again before.
    put_off: Option<Instant>,
}

/// A server's name in the ledger.
pub fn ledger_server(identity: &ServerIdentity) -> LedgerServer {
    LedgerServer { server_uuid: identity.server_uuid.clone(), server_id: identity.server_id }
}

/// Reads a shard's ledger; an empty one when there is none.
pub fn load(store: &mut dyn SchemaStore, shard: &str) -> Result<Ledger, StoreError> {
    let Some(object) = store.load()? else { return Ok(Ledger::default()) };
    Ledger::from_object(&object, shard).map_err(|problem| {
        let text = format!(
            "the definitions of shard {shard} cannot be read: {problem}; delete the file: they are asked anew"
        );
        StoreError::new(Code::PointBroken, text)
    })
}

/// Writes a shard's ledger.
pub fn save(store: &mut dyn SchemaStore, shard: &str, ledger: &Ledger) -> Result<(), StoreError> {
    let object = ledger.to_object(shard);
    let object = object.map_err(|error| StoreError::new(Code::Internal, format!("the ledger: {error}")))?;
    store.save(&object)
}

/// What of a ledger holds for whoever resumes at that stand. A point that was moved has an epoch of its own: forward, it may
/// lie behind DDL that nobody read; back, what was read is known.
fn resume(ledger: &mut Ledger, stand: Option<&LastStand>) {
    let Some(stand) = stand.filter(|stand| ledger_server(&stand.server) == ledger.server) else {
        return ledger.forget_all();
    };
    let read_through = match ledger.begun_from {
        // A kill may have come between this ledger and its epoch's point; then a move may have used the same number.
        Some(before) => before == stand.epoch || ledger.epoch == stand.epoch && !stand.moved,
        None => ledger.epoch == stand.epoch,
    };
    let not_behind = ledger.followed.as_ref().zip(stand.place.as_ref());
    let not_behind = not_behind.is_some_and(|(followed, place)| place <= followed);
    match (read_through, not_behind) {
        (true, _) => {}
        (false, true) => ledger.forget_unplaced(),
        (false, false) => ledger.forget_open(),
    }
}

/// Puts definitions in that a person vouches for. They hold from `from` on, where reading begins for whoever stands there;
/// behind that only from the last DDL on that was read. Answers with the first of these places.
pub fn set_by_hand(
    ledger: &mut Ledger,
    definitions: &SchemaFile,
    stand: &LastStand,
    from: Option<BinlogPosition>,
    reason: &str,
) -> Option<BinlogPosition> {
    resume(ledger, Some(stand));
    (ledger.epoch, ledger.begun_from, ledger.server) = (stand.epoch, None, ledger_server(&stand.server));
    let mut first = stand.place.clone();
    for (definition, _) in definitions.entries() {
        let ended = last_ddl(ledger, definition, stand.place.as_ref());
        // A point that is GTIDs alone has no place: then it is from the next stream's beginning on.
        let from = match (&from, ended) {
            (Some(from), Some(ended)) if *from < ended => Some(ended),
            _ => from.clone(),
        };
        if from < first {
            first.clone_from(&from);
        }
        ledger.add_instead(Version {
            definition: definition.clone(),
            from,
            to: None,
            proof: Proof::ByHand,
            entry: None,
            reason: Some(reason.to_owned()),
            at_ms: now_ms(),
        });
    }
    first
}

/// Where a known version of a table ended last, up to a place.
fn last_ddl(
    ledger: &Ledger,
    table: &TableDefinition,
    up_to: Option<&BinlogPosition>,
) -> Option<BinlogPosition> {
    let of_table = |version: &&Version| {
        let definition = &version.definition;
        (&definition.database, &definition.table) == (&table.database, &table.table)
    };
    let ends = ledger.versions().filter(of_table).filter_map(|version| version.to.as_ref());
    let ends = ends.filter(|end| up_to.is_some_and(|place| *end <= place));
    ends.reduce(|last, end| if end > last { end } else { last }).cloned()
}

impl Book {
    /// Opens what is kept of a shard that resumes at that stand; none: it begins anew.
    pub fn open(
        shard: &str,
        mut store: Box<dyn SchemaStore>,
        file: Option<SchemaFile>,
        stand: Option<&LastStand>,
    ) -> Result<Self, StoreError> {
        let ledger = load(store.as_mut(), shard)?;
        Ok(Self::with(shard, store, ledger, file, stand))
    }

    /// The same, of a ledger that was loaded from that store.
    pub fn with(
        shard: &str,
        store: Box<dyn SchemaStore>,
        mut ledger: Ledger,
        file: Option<SchemaFile>,
        stand: Option<&LastStand>,
    ) -> Self {
        let stored = !ledger.is_empty();
        resume(&mut ledger, stand);
        Self {
            shard: shard.to_owned(),
            ledger,
            file,
            stand: stand.map(|stand| (ledger_server(&stand.server), stand.place.clone())),
            store: Some(store),
            unsaved: stored.then(Instant::now),
            must_save: stored,
            put_off: None,
        }
    }

    /// A new epoch is about to begin: its points, the first one too, follow this ledger.
    pub fn begin_epoch(&mut self, epoch: u64) -> Result<(), ChangeError> {
        (self.ledger.epoch, self.ledger.begun_from) = (epoch, epoch.checked_sub(1));
        if self.must_save {
            self.save()?;
        }
        // What is saved next has been read in this epoch.
        self.ledger.begun_from = None;
        Ok(())
    }

    /// The shard stands there, and goes on from there at whatever server.
    pub fn stands_at(&mut self, server: &ServerIdentity, frontier: &Frontier) {
        let Frontier { place, set_ahead, .. } = frontier;
        self.stand = Some((ledger_server(server), certain_place(&place.file, place.pos, *set_ahead)));
    }

    /// A stream from that server begins.
    pub fn connected(&mut self, server: &ServerIdentity) {
        let server = ledger_server(server);
        if self.ledger.server == server {
            return;
        }
        match &self.stand {
            Some((of, Some(place))) if *of == self.ledger.server => {
                self.ledger.moved_to_another_server(place, server);
            }
            _ => {
                self.ledger.forget_all();
                self.ledger.server = server;
            }
        }
        self.note_loss();
    }

    /// The definition of a table for rows at a place.
    pub fn known(&mut self, at: &BinlogPosition, database: &str, table: &str) -> Option<TableDefinition> {
        let covering = self.ledger.covering(at, database, table);
        let entry = self.file.as_ref().and_then(|file| file.marked(database, table));
        let entry = entry.filter(|(_, mark)| !self.ledger.is_spent(database, table, *mark));
        match (covering, entry) {
            (Some(version), Some((_, mark)))
                if version.proof == Proof::ByHand || version.entry == Some(mark) =>
            {
                Some(version.definition.clone())
            }
            (_, Some((definition, mark))) => {
                let definition = definition.clone();
                self.add(at, definition.clone(), Proof::SchemaFile, Some(mark));
                Some(definition)
            }
            (Some(version), None) => Some(version.definition.clone()),
            (None, None) => None,
        }
    }

    /// A definition was read from the server, and holds for rows from a place on.
    pub fn proven(&mut self, from: &BinlogPosition, definition: TableDefinition) {
        self.add(from, definition, Proof::Server, None);
    }

    fn add(&mut self, from: &BinlogPosition, definition: TableDefinition, proof: Proof, entry: Option<u32>) {
        self.ledger.add(Version {
            definition,
            from: Some(from.clone()),
            to: None,
            proof,
            entry,
            reason: None,
            at_ms: now_ms(),
        });
        self.note_change();
    }

    /// What the file says of a table does not fit its rows: it is of another time. True where there was such a thing.
    pub fn reject_entry(&mut self, at: &BinlogPosition, database: &str, table: &str) -> bool {
        let covering = self.ledger.covering(at, database, table);
        let Some(entry) = covering.and_then(|version| version.entry) else { return false };
        self.ledger.reject(at, database, table);
        self.ledger.spend(database, table, entry);
        self.note_loss();
        true
    }

    /// A DDL at a place has been read. What it ended is durable when this returns; the tables are named.
    pub fn touched(
        &mut self,
        touched: &Touched,
        at: &BinlogPosition,
    ) -> Result<Vec<(String, String)>, ChangeError> {
        let closed = self.ledger.close(at, |database, table| touched.touches(database, table));
        let spent = self.spend_entries(touched, &closed);
        if !closed.is_empty() || spent {
            self.must_save = true;
        }
        if self.must_save {
            self.ledger.followed = Some(at.clone());
            self.save()?;
        }
        Ok(closed)
    }

    /// Entries of the file hold until the first DDL of their table. One that was not needed yet may be meant for the table
    /// that is made here.
    fn spend_entries(&mut self, touched: &Touched, closed: &[(String, String)]) -> bool {
        let Some(file) = &self.file else { return false };
        let mut any = false;
        for (definition, mark) in file.entries() {
            let (database, table) = (&definition.database, &definition.table);
            let used = closed.iter().any(|(d, t)| (d, t) == (database, table));
            let created = matches!(touched, Touched::Created(_));
            if touched.touches(database, table)
                && (used || !created)
                && !self.ledger.is_spent(database, table, mark)
            {
                self.ledger.spend(database, table, mark);
                any = true;
            }
        }
        any
    }

    /// All DDL before this place has been read. Saves what waits for it; while ZooKeeper is away it waits on, and rows go on.
    pub fn followed(&mut self, at: &BinlogPosition) -> Result<(), ChangeError> {
        self.ledger.followed = Some(at.clone());
        if self.ledger.is_empty() && self.unsaved.is_none() || self.is_put_off() {
            return Ok(());
        }
        match self.save() {
            Err(error) if matches!(error.code, Code::ZkUnreachable | Code::ZkTimeout) => {
                self.put_off = Some(Instant::now() + PUT_OFF);
                self.note_change();
                Ok(())
            }
            saved => saved,
        }
    }

    /// Whether something has waited for long enough to be saved.
    pub fn is_due(&self) -> bool {
        self.unsaved.is_some_and(|since| since.elapsed() >= LAZY) && !self.is_put_off()
    }

    fn is_put_off(&self) -> bool {
        self.put_off.is_some_and(|until| Instant::now() < until)
    }

    fn note_change(&mut self) {
        self.unsaved.get_or_insert_with(Instant::now);
    }

    /// What is forgotten may be closed by a DDL that finds nothing to close: it must not stay open in the store.
    fn note_loss(&mut self) {
        self.note_change();
        self.must_save = true;
    }

    fn save(&mut self) -> Result<(), ChangeError> {
        if let Some(store) = &mut self.store {
            save(store.as_mut(), &self.shard, &self.ledger).map_err(|error| ChangeError {
                retry: error.code == Code::PointStore || is_passing(&error),
                code: error.code,
                text: error.text,
            })?;
        }
        (self.unsaved, self.must_save, self.put_off) = (None, false, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::batch::Place;
    use std::sync::Arc;
    use std::sync::Mutex;

    fn stand(epoch: u64, pos: u64) -> LastStand {
        let server = ServerIdentity { server_uuid: None, server_id: 1 };
        LastStand { epoch, moved: false, server, place: Some(BinlogPosition::new("b.1", pos)) }
    }

    /// A ledger of epoch 3, followed to 1000, in which d.t is known from 100 on.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.epoch = 3;
        ledger.server.server_id = 1;
        let line = r#"{"database":"d","table":"t","columns":[{"name":"a","type":"int"}]}"#;
        set_by_hand(&mut ledger, &SchemaFile::parse(line).unwrap(), &stand(3, 100), place(100), "test");
        ledger.followed = Some(BinlogPosition::new("b.1", 1000));
        ledger
    }

    fn knows(ledger: &Ledger) -> bool {
        ledger.covering(&BinlogPosition::new("b.1", 500), "d", "t").is_some()
    }

    #[test]
    fn a_point_that_was_moved_forward_leaves_nothing_open() {
        let other = LastStand { server: ServerIdentity { server_uuid: None, server_id: 2 }, ..stand(3, 500) };
        for (stand, expected) in [
            // Saved by the run that kept the ledger, wherever it is.
            (Some(stand(3, 2000)), true),
            // Moved, or a run without the ledger: back is known, forward is not.
            (Some(stand(4, 400)), true),
            (Some(stand(4, 1000)), true),
            (Some(stand(4, 1001)), false),
            // By GTIDs that may lie anywhere.
            (Some(LastStand { place: None, ..stand(4, 0) }), false),
            // Another server's place, or begun anew.
            (Some(other), false),
            (None, false),
        ] {
            let mut ledger = ledger();
            resume(&mut ledger, stand.as_ref());
            assert_eq!(knows(&ledger), expected, "{stand:?}");
        }
    }

    /// Nobody has read anything since epoch 2, wherever the point of it stands.
    #[test]
    fn a_kill_between_the_ledger_of_an_epoch_and_its_point_costs_nothing() {
        let moved = LastStand { moved: true, ..stand(3, 2000) };
        for (stand, begun_from, expected) in [
            (stand(2, 2000), Some(2), true),
            (stand(2, 2000), None, false),
            (stand(1, 2000), Some(2), false),
            (stand(3, 2000), Some(2), true),
            // By hand, to a number that the epoch which never was has used too.
            (moved.clone(), Some(2), false),
            (moved, None, true),
        ] {
            let mut ledger = ledger();
            ledger.begun_from = begun_from;
            resume(&mut ledger, Some(&stand));
            assert_eq!(knows(&ledger), expected, "{stand:?} {begun_from:?}");
        }
        let mut store = SharedStore::default();
        save(&mut store, "s", &ledger()).unwrap();
        let mut book = Book::open("s", Box::new(store.clone()), None, Some(&stand(3, 500))).unwrap();
        book.begin_epoch(4).unwrap();
        assert_eq!(load(&mut store, "s").unwrap().begun_from, Some(3));
        book.followed(&BinlogPosition::new("b.1", 600)).unwrap();
        assert_eq!(load(&mut store, "s").unwrap().begun_from, None, "it has been read on");
    }

    /// What a file holds, also for whoever looks behind the book's back.
    #[derive(Debug, Default, Clone)]
    struct SharedStore(Arc<Mutex<Option<String>>>);

    impl SchemaStore for SharedStore {
        fn load(&mut self) -> Result<Option<String>, StoreError> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn save(&mut self, object: &str) -> Result<(), StoreError> {
            *self.0.lock().unwrap() = Some(object.to_owned());
            Ok(())
        }
    }

    /// Another server answered for a moment, and the first one goes on with a DDL: nothing is left to be closed by it, and
    /// what is stored must not stay open all the same.
    #[test]
    fn what_was_forgotten_is_not_open_in_the_store_behind_a_ddl() {
        let mut store = SharedStore::default();
        save(&mut store, "s", &ledger()).unwrap();
        let mut book = Book::open("s", Box::new(store.clone()), None, Some(&stand(3, 500))).unwrap();
        book.begin_epoch(3).unwrap();
        let server = |id| ServerIdentity { server_uuid: None, server_id: id };
        book.stands_at(&server(2), &Frontier { set_ahead: true, ..frontier(500) });
        book.connected(&server(2));
        book.connected(&server(1));
        let touched = Touched::Database("d".into());
        assert_eq!(book.touched(&touched, &BinlogPosition::new("b.1", 700)), Ok(vec![]));
        let mut stored = load(&mut store, "s").unwrap();
        resume(&mut stored, Some(&stand(3, 800)));
        assert!(!knows(&stored), "the definition of before the DDL");
    }

    fn frontier(pos: u64) -> Frontier {
        let place = Place { file: "b.1".into(), pos };
        Frontier {
            place,
            file_created: 0,
            executed: None,
            set_ahead: false,
            pending_xa: Vec::new(),
            ts_ms: 0,
        }
    }

    #[test]
    fn what_is_set_holds_from_the_point_on() {
        let ledger = ledger();
        assert!(ledger.covering(&BinlogPosition::new("b.1", 99), "d", "t").is_none());
        assert!(ledger.versions().all(|version| version.reason.as_deref() == Some("test")));
    }

    #[test]
    fn what_is_set_again_from_the_same_place_comes_instead() {
        let mut ledger = ledger();
        let line = r#"{"database":"d","table":"t","columns":[{"name":"b","type":"int"}]}"#;
        let file = SchemaFile::parse(line).unwrap();
        set_by_hand(&mut ledger, &file, &stand(3, 100), place(100), "right");
        let reasons = |ledger: &Ledger| -> Vec<_> { ledger.versions().map(|v| v.reason.clone()).collect() };
        assert_eq!(reasons(&ledger), [Some("right".to_owned())]);
        set_by_hand(&mut ledger, &file, &stand(3, 200), place(200), "later");
        assert_eq!(reasons(&ledger).len(), 2, "the one from before holds for rows before");
    }
    /// The rows of a prepared XA transaction lie before the point. What was read of DDL before them holds no more.
    #[test]
    fn it_holds_for_what_is_read_again() {
        let line = r#"{"database":"d","table":"t","columns":[{"name":"b","type":"int"}]}"#;
        let file = SchemaFile::parse(line).unwrap();
        let empty = || {
            let mut empty = ledger();
            empty.forget_all();
            (empty.epoch, empty.server.server_id) = (3, 1);
            empty
        };
        let mut plain = empty();
        assert_eq!(set_by_hand(&mut plain, &file, &stand(3, 900), place(40), "why"), place(40));
        let mut altered = empty();
        let old = plain.versions().next().unwrap().clone();
        altered.add(Version { to: place(60), ..old.clone() });
        altered.add(Version { from: place(60), to: place(2000), ..old });
        assert_eq!(set_by_hand(&mut altered, &file, &stand(3, 900), place(40), "why"), place(60));
        assert_eq!(altered.versions().last().unwrap().from, place(60));
    }

    fn place(pos: u64) -> Option<BinlogPosition> {
        Some(BinlogPosition::new("b.1", pos))
    }
}
