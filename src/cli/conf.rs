//! `fountain conf`: the value of every key, and where it comes from.

use crate::config::Choice;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::Origin;
use crate::config::PointStore;
use crate::config::ShardConfig;
use crate::config::SlaveId;
use crate::config::SourceOptions;
use crate::config::keys;
use crate::config::keys::Key;
use crate::config::keys::Scope;
use crate::config::keys::Target;
use crate::config::value;
use crate::config::value::Kind;

const UNSET: &str = "(unset)";

/// One line of the table.
struct Row {
    name: String,
    value: String,
    origin: String,
}

/// The whole table, with a heading for each part.
pub fn table(config: &Config) -> String {
    let mut parts =
        vec![("for all shards, where a shard has nothing of its own".to_string(), shared(config))];
    for shard in &config.shards {
        let state = if shard.enabled { "" } else { ", not enabled" };
        parts.push((format!("shard {}{state}; other keys as above", shard.name), own(config, shard)));
    }
    let rows = parts.iter().flat_map(|(_, rows)| rows);
    let (name_width, value_width) = rows.fold((0, 0), |(name, value), row| {
        let length = row.value.chars().count();
        // One long list must not push the origins of all others out of sight.
        (name.max(row.name.len()), if length <= 48 { value.max(length) } else { value })
    });
    let mut text = format!("# FOUNTAIN_HOME {}\n", config.settings.home.display());
    for file in &config.settings.files {
        text.push_str(&format!("# read {}\n", file.display()));
    }
    for file in &config.settings.absent_files {
        text.push_str(&format!("# absent {}\n", file.display()));
    }
    for (heading, rows) in &parts {
        text.push_str(&format!("\n# {heading}\n"));
        for Row { name, value, origin } in rows {
            text.push_str(&format!("{name:<name_width$}  {value:<value_width$}  {origin}\n"));
        }
    }
    let refused = config.unsupported();
    if !refused.is_empty() {
        text.push_str("\n# a run refuses\n");
        refused.iter().for_each(|problem| text.push_str(&format!("# {problem}\n")));
    }
    text
}

fn shared(config: &Config) -> Vec<Row> {
    let everywhere = keys::all().filter(|key| !matches!(key.scope, Scope::EachShard | Scope::EachBackup));
    everywhere.map(|key| row(config, key, Target::Process)).collect()
}

/// A shard's servers, and the keys that it has of its own.
fn own(config: &Config, shard: &ShardConfig) -> Vec<Row> {
    let mut rows = Vec::new();
    for source in &shard.sources {
        let (target, keys) = if source.backup == 0 {
            (Target::Shard(shard.number), [&keys::SHARD_SERVER, &keys::SHARD_PORT, &keys::SHARD_SLAVE_ID])
        } else {
            (
                Target::Backup(shard.number, source.backup),
                [&keys::HA_SERVER, &keys::HA_PORT, &keys::HA_SLAVE_ID],
            )
        };
        rows.extend(server(config, source, target, keys));
        if source.backup == 0 {
            rows.push(Row { value: shard.name.clone(), ..row(config, &keys::SHARD_NAME, target) });
            rows.push(row(config, &keys::SHARD_ENABLED, target));
        }
        let given = keys::all().filter(|key| matches!(key.scope, Scope::Shard | Scope::Source));
        let given = given.filter(|key| config.settings.is_given(key, target));
        rows.extend(given.map(|key| row(config, key, target)));
    }
    rows
}

/// Host, port and server id, whether they come from numbered keys or from the lists.
fn server(config: &Config, source: &SourceOptions, target: Target, keys: [&'static Key; 3]) -> Vec<Row> {
    let from_lists = config.settings.is_given(&keys::DB_ARRAY, Target::Process);
    let origin = |key: &'static Key, list: &'static Key| match from_lists {
        true => config.settings.origin(list, Target::Process),
        false => config.settings.origin(key, target),
    };
    let [server, port, slave_id] = keys;
    let list = if source.backup == 0 { &keys::DB_ARRAY } else { &keys::BAK_DB_ARRAY };
    let id = match source.slave_id {
        SlaveId::Fixed(id) => id.to_string(),
        SlaveId::Random(from, to) => format!("random, {from} to {to}"),
        SlaveId::RandomThenIncrement(from, to) => format!("random, {from} to {to}, then increment"),
    };
    let row = |key: &'static Key, value: String, origin: Origin| Row {
        name: key.name_at(target),
        value,
        origin: origin.to_string(),
    };
    vec![
        row(server, source.host.clone(), origin(server, list)),
        row(port, source.port.to_string(), origin(port, list)),
        row(slave_id, id, origin(slave_id, &keys::SLAVE_ID_ARRAY)),
    ]
}

fn row(config: &Config, key: &'static Key, target: Target) -> Row {
    let settings = &config.settings;
    let value = match settings.text(key, target) {
        Some(_) if key.is_secret() => "******".to_string(),
        Some(path) if matches!(key.kind, Kind::Path) => settings.home.join(path).display().to_string(),
        Some(text) => decided(config, key, text),
        None => derived(config, key, target),
    };
    Row { name: key.name_at(target), value, origin: settings.origin(key, target).to_string() }
}

/// What `auto` comes to.
fn decided(config: &Config, key: &Key, text: &str) -> String {
    let outcome = match (key.name, text) {
        ("ha_guard", "auto") if config.nodes.guard == HaGuard::ZooKeeper => "zookeeper",
        ("ha_guard", "auto") => "none",
        ("sync_point_store", "auto") if config.points.store == PointStore::ZooKeeper => "zookeeper",
        ("sync_point_store", "auto") => "file",
        _ => return text.to_string(),
    };
    format!("{text} ({outcome})")
}

/// The value that follows from other keys.
fn derived(config: &Config, key: &Key, target: Target) -> String {
    match key.name {
        "sync_point_saver" => config.points.saver.word().to_string(),
        "mysql_heartbeat_period" => {
            let so_timeout = config.settings.text(&keys::SO_TIMEOUT, target);
            let so_timeout = so_timeout.and_then(|text| value::time(text, value::Unit::Milliseconds));
            so_timeout.map_or(UNSET.to_string(), |time| (time / 4).as_millis().to_string())
        }
        _ if key.derived.is_empty() => UNSET.to_string(),
        _ => format!("({})", key.derived),
    }
}
