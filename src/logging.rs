//! The log: one line a message on stderr, time first, then level, then text. `RUST_LOG` chooses other levels.

use env_logger::Builder;
use env_logger::Env;
use log::LevelFilter;
use std::io::Write;

/// Starts logging. Called once; a second call (tests in one process) changes nothing.
pub fn start(level: LevelFilter) {
    let mut builder = Builder::new();
    // The crate of this name tells each of thousands of connection attempts a second.
    builder.filter_level(level).filter_module("zookeeper", LevelFilter::Off).parse_env(Env::default());
    builder.format(|line, record| {
        let time = line.timestamp_millis();
        writeln!(line, "{time} {:<5} {}", record.level(), one_line(record.args().to_string()))
    });
    if let Err(already_started) = builder.try_init() {
        log::debug!("{already_started}");
    }
}

/// Names and servers' words come from outside: a line end in them must not begin a line that looks like one of ours,
/// nor a control character play with a terminal.
pub fn one_line(text: String) -> String {
    match text.chars().any(char::is_control) {
        false => text,
        true => text.chars().flat_map(escaped).collect(),
    }
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (as_it_is, escape) = match c.is_control() {
        true => (None, Some(c.escape_default())),
        false => (Some(c), None),
    };
    as_it_is.into_iter().chain(escape.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(one_line("a\nb\r\u{1b}[31m\tü".into()), "a\\nb\\r\\u{1b}[31m\\tü");
        assert_eq!(one_line("as it is, ü\\n".into()), "as it is, ü\\n");
    }
}
