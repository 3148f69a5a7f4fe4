//! `fountain check`: looks over the configuration, this machine, every source of every shard and ZooKeeper, and tells
//! what it finds, one line each, with its cure.
//!
//! Facts are asked for first (`ask`, `ask_tables`) and judged by pure rules (`rules`); what a run itself refuses is
//! judged by the run's own code ([`crate::mysql::preflight`], [`crate::pipeline::start`]). Nothing is changed anywhere,
//! every question has a deadline, and what fails ends its own part only.

mod ask;
mod ask_tables;
mod command;
mod facts;
mod finding;
mod kept;
mod machine;
mod report;
mod rules;
mod settings;
mod shard;
mod zookeeper;

pub use finding::Finding;
pub use finding::Level;
pub use report::Place;
pub use report::Report;

use crate::config::Config;
use crate::stop::Stop;
use std::io::Write;

/// Looks everything over: the process as a whole, then shard after shard, source after source.
pub fn examine<W: Write>(config: &Config, report: &mut Report<W>) {
    let whole = Place::default();
    report.tell(whole, settings::process(config));
    report.tell(whole, machine::folders(config));
    report.tell(whole, machine::limits(config));
    report.tell(whole, zookeeper::examine(&config.zookeeper));
    let stop = Stop::new();
    for shard in config.enabled_shards() {
        shard::examine(config, shard, report, &stop);
    }
}
