//! What the tests of several modules share: real events, and hand-made ones where no server makes them.

use crate::binlog::file::BinlogFile;
pub use crate::column::fixtures::Random;
pub use crate::column::fixtures::hex;

/// An event without checksum around `body`.
pub fn event(event_type: u8, body: &[u8]) -> Vec<u8> {
    event_with(event_type, 0, 0, body)
}

/// An event without checksum, with a next position and flags.
pub fn event_with(event_type: u8, next_pos: u32, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut event = 1_700_000_000u32.to_le_bytes().to_vec();
    event.push(event_type);
    event.extend_from_slice(&1u32.to_le_bytes());
    event.extend_from_slice(&(19 + body.len() as u32).to_le_bytes());
    event.extend_from_slice(&next_pos.to_le_bytes());
    event.extend_from_slice(&flags.to_le_bytes());
    event.extend_from_slice(body);
    event
}

/// Sets the header's size to what the event has.
pub fn fix_size(event: &mut [u8]) {
    let size = event.len() as u32;
    event[9..13].copy_from_slice(&size.to_le_bytes());
}

pub fn fixture_path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/binlog").join(name)
}

/// The events of a fixture, each with its position in the file.
pub fn fixture(name: &str) -> Vec<(u64, Vec<u8>)> {
    let mut file = BinlogFile::open(fixture_path(name)).unwrap();
    let mut events = Vec::new();
    while let Some((position, event)) = file.next_event().unwrap() {
        events.push((position, event.to_vec()));
    }
    events
}

/// Every fixture that is a whole, readable binlog.
pub const FIXTURES: &[&str] = &[
    "mysql56.bin",
    "mysql56_gtid.bin",
    "mysql97_full.bin",
    "mysql97_minimal.bin",
    "mysql97_compressed.bin",
    "mysql97_tagged.bin",
    "mysql97_tagged_2.bin",
    "mysql97_xa.bin",
    "mysql97_anonymous.bin",
    "mysql97_open.bin",
    "mysql97_relay.bin",
    "mariadb.bin",
    "mariadb_full.bin",
    "mariadb_compressed.bin",
    "mariadb_xa.bin",
];
