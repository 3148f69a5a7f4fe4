//! What the integration tests share: private servers ([`Server`]), a client that sees values exactly ([`Session`]),
//! and the built program in a home of its own ([`Fountain`]). Use it by `mod harness;`.
//!
//! It leaves to the tests what they prove. Nothing in here uses fountain's own code: a test that reads a table
//! through the harness compares two independent ways.
#![allow(dead_code, reason = "each test uses its own part")]
#![allow(unused_imports, reason = "each test uses its own part")]

pub mod delivered;
mod kind;
pub mod logged_rows;
pub mod node;
pub mod numbered;
pub mod pair;
pub mod process;
mod program;
pub mod proxy;
mod refused;
mod replay;
pub mod scripts;
mod server;
mod session;
pub mod shapes;
mod slots;
pub mod stored;
pub mod union;
mod zk_client;
mod zk_proxy;
mod zookeeper;

pub use kind::Kind;
pub use node::Node;
pub use pair::By;
pub use pair::Pair;
pub use program::Fountain;
pub use program::Output;
pub use program::Running;
pub use program::consumer_pid;
pub use program::fountain;
pub use program::run_fountain;
pub use proxy::Fault;
pub use proxy::Proxy;
pub use refused::assert_refused;
pub use refused::assert_refused_for;
pub use refused::refusal;
pub use replay::Replay;
pub use server::GTID;
pub use server::LoggedEvent;
pub use server::Server;
pub use session::Row;
pub use session::Session;
pub use session::SqlError;
pub use zk_client::ZkClient;
pub use zk_client::ZkNode;
pub use zk_proxy::Link;
pub use zk_proxy::Weather;
pub use zookeeper::ZooKeeperEnsemble;
pub use zookeeper::ZooKeeperServer;

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

/// Waits until `condition` holds, looking every 20 ms; panics with `what` after `timeout`.
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {timeout:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reports that a test cannot run here: a failure under `CI`, elsewhere one line past the test runner's capture, with
/// the number of such lines since the counter file was last removed.
pub fn skip(why: &str) {
    let in_ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false" && value != "0");
    assert!(!in_ci, "{why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let counter = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped-tests");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&counter);
    file.and_then(|mut file| writeln!(file, "{test}: {}", why.lines().next().unwrap_or_default()))
        .expect("cannot write the list of skipped tests");
    let so_far =
        std::fs::read_to_string(&counter).expect("cannot read the list of skipped tests").lines().count();
    writeln!(std::io::stderr(), "SKIPPED {test} (skipped so far: {so_far}): {why}").expect("stderr is gone");
}
