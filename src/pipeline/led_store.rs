//! The stores of a shard that is led: nothing is saved when the term is over, and a store that knows a newer
//! leader ends the term.

use crate::code::Code;
use crate::guard::term::Term;
use crate::status::ShardStatus;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPointStore;
use crate::sync_point::old_files::FoundPoint;
use crate::sync_point::schema_store::SchemaStore;

pub struct LedStore {
    pub store: Box<dyn SyncPointStore>,
    pub term: Term,
    /// Learns what is saved.
    pub status: ShardStatus,
}

impl SyncPointStore for LedStore {
    fn load(&mut self) -> Result<Option<PointRecord>, StoreError> {
        self.store.load()
    }

    fn load_old(&mut self) -> Result<Option<FoundPoint>, StoreError> {
        self.store.load_old()
    }

    fn save(&mut self, record: &PointRecord) -> Result<(), StoreError> {
        need(&self.term)?;
        let saved = self.store.save(record);
        match saved.as_ref() {
            Ok(()) => self.status.saved(record),
            Err(error) if error.code == Code::LeadershipLost => self.term.end(error.text.clone()),
            Err(error) => self.status.cannot_save(format!("{}: {error}", error.code)),
        }
        saved
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }
}

/// The same for the definitions beside the point.
#[derive(Debug)]
pub struct LedSchemaStore {
    pub store: Box<dyn SchemaStore>,
    pub term: Term,
}

impl SchemaStore for LedSchemaStore {
    fn load(&mut self) -> Result<Option<String>, StoreError> {
        self.store.load()
    }

    fn save(&mut self, object: &str) -> Result<(), StoreError> {
        need(&self.term)?;
        self.store.save(object)
    }
}

fn need(term: &Term) -> Result<(), StoreError> {
    if term.holds() {
        return Ok(());
    }
    Err(StoreError::new(Code::LeadershipLost, format!("leadership is lost: {}", term.why())))
}
