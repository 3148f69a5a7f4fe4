//! Looks at the stored points all the time: none ever goes back, and none disappears.

use crate::harness::ZkClient;
use crate::harness::node::POINTS;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that polls; `end` tells what it saw.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Records that differ from the one before.
    pub records: usize,
    pub highest_epoch: u64,
    /// Each is a fault.
    pub faults: Vec<String>,
}

impl Watch {
    pub fn start(zookeeper: &str, shards: &[String]) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (mut client, shards) = (ZkClient::new(zookeeper), shards.to_vec());
        let thread = std::thread::spawn(move || {
            let mut last = vec![None; shards.len()];
            let mut seen = Seen::default();
            while !told.load(Ordering::Relaxed) {
                for (shard, last) in shards.iter().zip(&mut last) {
                    look(&mut client, shard, last, &mut seen);
                }
                std::thread::sleep(Duration::from_millis(25));
            }
            seen
        });
        Watch { stop, thread: Some(thread) }
    }

    pub fn end(&mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("the watch")
    }
}

fn look(client: &mut ZkClient, shard: &str, last: &mut Option<Value>, seen: &mut Seen) {
    // Trouble of ZooKeeper's is what the script makes.
    let Ok(node) = client.get(&format!("{POINTS}/{shard}")) else { return };
    let now = match (node, &last) {
        (Some(node), _) => node,
        (None, None) => return,
        (None, Some(last)) => return seen.faults.push(format!("{shard}: {last} is gone")),
    };
    let now: Value = match serde_json::from_slice(&now.data) {
        Ok(now) => now,
        Err(error) => return seen.faults.push(format!("{shard}: {error}: {}", now.text())),
    };
    if last.as_ref() == Some(&now) {
        return;
    }
    if let Some(last) = last {
        let back = order(&now) < order(last) || place(&now) < place(last) || next(&now) < next(last);
        if back {
            seen.faults.push(format!("{shard}: {now} was stored over {last}"));
        }
    }
    seen.records += 1;
    seen.highest_epoch = seen.highest_epoch.max(order(&now).0);
    *last = Some(now);
}

fn order(record: &Value) -> (u64, u64) {
    let number = |name: &str| record[name].as_u64().expect("a number");
    (number("epoch"), number("sequence"))
}

/// File, position, and rows into the transaction there. None stands before all.
pub fn place(record: &Value) -> Option<(String, u64, u64)> {
    let point = &record["point"];
    let rows = point["inside"]["rows"].as_u64().unwrap_or(0);
    Some((point["file"].as_str()?.to_owned(), point["pos"].as_u64()?, rows))
}

fn next(record: &Value) -> u64 {
    record["next_seq"].as_u64().expect("a number")
}
