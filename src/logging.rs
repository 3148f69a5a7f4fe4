//! The log: one line a message on stderr, time first, then level, then text. `RUST_LOG` chooses other levels.

use env_logger::Builder;
use env_logger::Env;
use log::LevelFilter;
use std::io::Write;

/// Starts logging. Called once; a second call (tests in one process) changes nothing.
pub fn start(level: LevelFilter) {
    let mut builder = Builder::new();
    builder.filter_level(level).parse_env(Env::default());
    builder.format(|line, record| {
        let time = line.timestamp_millis();
        writeln!(line, "{time} {:<5} {}", record.level(), record.args())
    });
    if let Err(already_started) = builder.try_init() {
        log::debug!("{already_started}");
    }
}
