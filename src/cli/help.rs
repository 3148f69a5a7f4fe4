//! The help texts, from the tables of commands and keys.

use crate::cli::commands;
use crate::cli::commands::COMMANDS;
use crate::cli::commands::Command;
use crate::code::Code;
use crate::config::keys;
use crate::config::keys::Key;

const COMMON: &str =
    "  --conf FILE    a properties file, may be repeated; without it conf/fountain-config.properties and
                 conf/jdbc-mysql.properties under $FOUNTAIN_HOME (default: the parent of the program's folder)
  -D KEY=VALUE   one configuration key, may be repeated; wins over the environment, which wins over the files
  --help         explain a command
  --version      print version, commit and target
";

/// How wide the column of commands is in the overview.
const CALL: usize = 38;

/// `fountain help`
pub fn overview() -> String {
    let mut text = String::from(
        "fountain watches MySQL and MariaDB servers as a replica does and delivers every row change.\n\n\
         Usage: fountain [--conf FILE]… [-D KEY=VALUE]… COMMAND\n\nCommands:\n",
    );
    for command in COMMANDS.iter().filter(|command| command.action.is_some()) {
        let call = format!("{} {}", command.name, command.usage);
        // A longer one has a line of its own, so that the columns stay.
        let gap = if call.chars().count() > CALL { format!("\n  {:CALL$}", "") } else { String::new() };
        text.push_str(&format!("  {call:<CALL$}{gap} {}\n", command.summary));
    }
    let later = COMMANDS.iter().filter(|command| command.action.is_none()).map(|command| command.name);
    let later: Vec<_> = later.collect();
    let later = format!("Not in this version: {}", later.join(", "));
    text.push_str(&format!("\n{}\n", wrap(&later, 100)));
    text.push_str("\nOptions of every command:\n");
    text.push_str(COMMON);
    text.push_str("\nExit codes: 0 done, 1 failed, 2 bad usage or configuration.\n");
    text
}

/// `fountain help COMMAND`; `None` for what is no topic.
pub fn topic(name: &str) -> Option<String> {
    match name {
        "keys" => Some(all_keys()),
        "codes" => Some(all_codes()),
        name => commands::find(name).map(command),
    }
}

fn command(command: &Command) -> String {
    let usage = format!("fountain [--conf FILE]… [-D KEY=VALUE]… {} {}", command.name, command.usage);
    let mut text = format!("fountain {}: {}\n\nUsage: {}\n", command.name, command.summary, usage.trim_end());
    if command.action.is_none() {
        text.push_str("\nThis command is not in this version.\n");
        return text;
    }
    text.push_str(&format!("\n{}\n\nOptions of every command:\n{COMMON}", wrap(command.help, 100)));
    text
}

/// Wraps the paragraphs that are not indented.
fn wrap(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with(' ') || line.chars().count() <= width {
            lines.push(line.to_string());
            continue;
        }
        let mut current = String::new();
        for word in line.split_whitespace() {
            if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// `fountain help keys`
fn all_keys() -> String {
    let mut text = String::new();
    for group in keys::SOURCE_GROUPS.iter().chain(keys::ENGINE_GROUPS) {
        text.push_str(&format!("{}\n\n", wrap(group.title, 100)));
        for key in group.keys {
            text.push_str(&one_key(key));
        }
        text.push('\n');
    }
    text
}

/// `fountain help codes`
fn all_codes() -> String {
    let mut text = wrap(
        "Every message that reports a trouble begins with one of these words, then says where, what was expected, what the \
         server said with its number, and what helps.\n\n\
         What fountain does: what may pass by itself is tried again for ever, first on the same source, then on the others. \
         A server that refuses (wrong password, missing right, binlog off, purged) is passed over for the next source; when \
         all refuse, the run ends with exit code 1 before the shard's first row, and is tried again every \
         repeat_resource_interval later. What cannot be read exactly stops the shard. With --until every run ends after one \
         round over the sources. A trouble that goes on is told once, when it changes, and every ten minutes.",
        100,
    );
    text.push_str("\n\n");
    for code in Code::ALL {
        let cure = code.cure().map(|cure| format!(" {cure}")).unwrap_or_default();
        let words = wrap(&format!("{}{cure}", code.meaning()), 94).replace('\n', "\n      ");
        text.push_str(&format!("  {code}\n      {words}\n"));
    }
    text
}

fn one_key(key: &Key) -> String {
    let default = match (key.default, key.derived) {
        ("", "") => "no default".to_string(),
        ("", words) => format!("default: {words}"),
        (default, _) => format!("default {default}"),
    };
    let help = wrap(key.help, 94).replace('\n', "\n      ");
    let expected = wrap(&key.kind.expected(), 94).replace('\n', "\n      ");
    format!("  {} ({}, {default})\n      {help}\n      Value: {expected}\n", key.name, key.scope.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_key_is_explained() {
        let overview = overview();
        let summaries =
            COMMANDS.iter().filter(|command| command.action.is_some()).map(|command| command.summary);
        for summary in summaries {
            let line = overview.lines().find(|line| line.ends_with(summary)).unwrap();
            assert_eq!(line.chars().count(), CALL + 3 + summary.chars().count(), "{line}");
        }
        for command in &COMMANDS {
            assert!(overview.contains(command.name), "{}", command.name);
            let help = topic(command.name).unwrap();
            assert!(help.starts_with(&format!("fountain {}: {}\n", command.name, command.summary)), "{help}");
            assert_eq!(help.contains("This command is not in this version"), command.action.is_none());
            assert!(command.own_options().all(|option| help.contains(option)));
        }
        let all = topic("keys").unwrap();
        assert!(keys::all().all(|key| all.contains(&format!("  {} (", key.name))));
        assert_eq!(topic("nothing"), None);
        let codes = topic("codes").unwrap();
        assert!(
            Code::ALL.iter().all(|code| codes.contains(&format!("  {code}\n      {:.20}", code.meaning())))
        );
        assert!(
            overview.lines().chain(all.lines()).chain(codes.lines()).all(|line| line.chars().count() <= 120),
            "{all}"
        );
    }
}
