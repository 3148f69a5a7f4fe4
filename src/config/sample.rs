//! The two sample files, written from the key table: every key once, explained, commented out with its
//! default or set to a sample value.

use crate::config::keys;
use crate::config::keys::Group;
use crate::config::keys::Key;
use crate::config::keys::Scope;
use crate::config::keys::Target;
use crate::config::value::Kind;

/// Widest comment line.
const WIDTH: usize = 110;

/// `conf/jdbc-mysql.properties`.
pub fn jdbc_mysql() -> String {
    let purpose = "Which MySQL and MariaDB servers are read, and how. Everything else is in \
                   fountain-config.properties.";
    file(purpose, keys::SOURCE_GROUPS)
}

/// `conf/fountain-config.properties`.
pub fn fountain_config() -> String {
    let purpose =
        "What is watched, where it goes, and how this node works. The servers are in jdbc-mysql.properties.";
    file(purpose, keys::ENGINE_GROUPS)
}

const FORMAT: &str = "Format: key=value, one a line. # and ! begin a comment where a line begins, nowhere \
    else. A backslash is a backslash, nothing is quoted, blanks around key and value fall off, an empty \
    value means the default. Save the file as UTF-8. A -D option wins over an environment variable of the \
    key's name, that over the files, those over the defaults; \"fountain conf\" shows what holds and where \
    it comes from.";

const SCOPE: &str = "Scope: a key of scope shard may also be given for shard N alone as \
    mysql_shard_N_<key>, one of scope source also for its backup K alone as mysql_shard_N_haK_<key>; <key> \
    is written without mysql_ then, as in mysql_shard_3_transaction_policy or mysql_shard_0_ha1_username. \
    The narrower one wins.";

const UNITS: &str = "Times: a bare number is in the key's unit; or 500ms, 5s, 1m, 2h, 7d. Sizes: a bare \
    number is in bytes; or 16k 64m 1g (KiB, MiB, GiB: steps of 1024), 64KB 64MB 1GB (steps of 1000).";

fn file(purpose: &str, groups: &[&Group]) -> String {
    let mut text = String::new();
    for paragraph in [purpose, FORMAT, SCOPE, UNITS] {
        comment(&mut text, paragraph);
        text.push_str("#\n");
    }
    for group in groups {
        text.push_str("\n# ----------------------------------------------------------------------\n");
        comment(&mut text, group.title);
        text.push_str("# ----------------------------------------------------------------------\n");
        for key in group.keys {
            text.push('\n');
            comment(&mut text, key.help);
            comment(&mut text, &facts(key));
            text.push_str(&line(key));
        }
    }
    text
}

fn line(key: &Key) -> String {
    let name = key.name_at(match key.scope {
        Scope::EachShard => Target::Shard(0),
        Scope::EachBackup => Target::Backup(0, 1),
        Scope::Process | Scope::Shard | Scope::Source => Target::Process,
    });
    match key.sample {
        Some(value) => format!("{name}={value}\n"),
        None => format!("#{name}={}\n", key.default),
    }
}

/// `Default: … Scope: …`
fn facts(key: &Key) -> String {
    let default = match (key.default, key.derived) {
        ("", "") => "none",
        ("", words) => words,
        (default, _) => default,
    };
    let mut facts = format!("Default: {default}. Scope: {}.", key.scope.word());
    if let Kind::OneOf(_) = key.kind {
        let words: Vec<_> = key.words().iter().map(|word| word.word).collect();
        facts.push_str(&format!(" Values: {}.", words.join(", ")));
    }
    let later: Vec<_> = key.words().iter().filter(|word| word.later).map(|word| word.word).collect();
    if !later.is_empty() {
        facts.push_str(&format!(" Not in this version: {}.", later.join(", ")));
    }
    facts
}

fn comment(text: &mut String, paragraph: &str) {
    let mut line = String::from("#");
    for word in paragraph.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::properties;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    fn committed(name: &str) -> (PathBuf, String) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conf").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (path, text)
    }

    /// After a change of the key table: `FOUNTAIN_WRITE_SAMPLES=1 cargo test --lib sample` writes the files
    /// anew.
    #[test]
    fn the_committed_files_are_what_the_table_says() {
        for (name, expected) in
            [("jdbc-mysql.properties", jdbc_mysql()), ("fountain-config.properties", fountain_config())]
        {
            let (path, text) = committed(name);
            if std::env::var_os("FOUNTAIN_WRITE_SAMPLES").is_some() {
                std::fs::write(path, expected).unwrap();
            } else {
                assert!(text == expected, "conf/{name} differs from the key table");
            }
        }
    }

    #[test]
    fn each_key_stands_once_in_one_of_the_files_with_its_default() {
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for text in [jdbc_mysql(), fountain_config()] {
            for line in text.lines() {
                let Some((name, value)) = line.trim_start_matches('#').split_once('=') else { continue };
                let Some(slot) = keys::recognise(name) else {
                    assert!(line.starts_with("# "), "{line}");
                    continue;
                };
                *seen.entry(slot.key.name).or_default() += 1;
                let shown = if line.starts_with('#') { slot.key.default } else { slot.key.sample.unwrap() };
                assert_eq!(value, shown, "{name}");
            }
        }
        let all: BTreeMap<&str, u32> = keys::all().map(|key| (key.name, 1)).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn the_files_parse_and_stay_so_with_every_comment_sign_taken_off() {
        for text in [jdbc_mysql(), fountain_config()] {
            assert!(text.lines().all(|line| line.len() <= WIDTH));
            assert_eq!(properties::parse(text.as_bytes()).1, []);
            let uncommented: String = text
                .lines()
                .filter(|line| !line.starts_with("# ") && *line != "#")
                .map(|line| format!("{}\n", line.trim_start_matches('#')))
                .collect();
            let (entries, bad) = properties::parse(uncommented.as_bytes());
            assert_eq!(bad, []);
            for entry in entries {
                let slot = keys::recognise(&entry.key).unwrap();
                assert!(entry.value.is_empty() || slot.key.kind.check(&entry.value).is_ok(), "{}", entry.key);
            }
        }
    }
}
