//! The table of all keys. One row per key feeds parsing, messages, `fountain conf` and the sample files.
//!
//! A key of scope shard or source may also be given for one shard as `mysql_shard_N_<rest>`, one of scope
//! source also for one backup as `mysql_shard_N_haK_<rest>`. `<rest>` is the key's name, without its `mysql_`
//! where it has one.

mod delivery;
mod nodes;
mod sources;

pub use delivery::*;
pub use nodes::*;
pub use sources::*;

use crate::config::choice::Word;
use crate::config::near;
use crate::config::value::Kind;
use std::fmt;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name; keys that exist for numbered shards and backups only are named as a pattern with `N` and
    /// `K`.
    pub name: &'static str,
    /// Where it may be given.
    pub scope: Scope,
    /// What its value may be.
    pub kind: Kind,
    /// The value when it is not given; empty when there is none or when it follows from other keys.
    pub default: &'static str,
    /// How a missing value is found when it follows from other keys, in words.
    pub derived: &'static str,
    /// What it does, in a sentence or two.
    pub help: &'static str,
    /// The value that the sample file sets it to, when it does.
    pub sample: Option<&'static str>,
}

/// Where a key may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Once for the process.
    Process,
    /// For all shards or for one.
    Shard,
    /// For all sources, for those of a shard, or for one backup.
    Source,
    /// For one shard only: `mysql_shard_N_<rest>`.
    EachShard,
    /// For one backup only: `mysql_shard_N_haK_<rest>`.
    EachBackup,
}

impl Scope {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Process => "process",
            Scope::Shard | Scope::EachShard => "shard",
            Scope::Source | Scope::EachBackup => "source",
        }
    }
}

/// Some keys that belong together.
#[derive(Debug)]
pub struct Group {
    /// Its title.
    pub title: &'static str,
    /// Its keys.
    pub keys: &'static [&'static Key],
}

/// The groups of `jdbc-mysql.properties`: which servers are read, and how.
pub static SOURCE_GROUPS: &[&Group] =
    &[&SERVERS, &ACCOUNT, &START, &SERVER_ID, &SESSION, &SOCKET, &SSL, &LISTS];

/// The groups of `fountain-config.properties`: everything else.
pub static ENGINE_GROUPS: &[&Group] =
    &[&TABLES, &SINK, &PACKS, &TRANSACTIONS, &READING, &FOLDERS, &POINTS, &NODES, &ZOOKEEPER];

/// Every key.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SOURCE_GROUPS.iter().chain(ENGINE_GROUPS).flat_map(|group| group.keys.iter().copied())
}

impl Key {
    const fn new(name: &'static str, scope: Scope, kind: Kind, help: &'static str) -> Self {
        Key { name, scope, kind, default: "", derived: "", help, sample: None }
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    const fn derived(mut self, words: &'static str) -> Self {
        self.derived = words;
        self
    }

    const fn sample(mut self, value: &'static str) -> Self {
        self.sample = Some(value);
        self
    }

    /// True for a password.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }

    /// The words of a key that has some.
    pub fn words(&self) -> &'static [Word] {
        match self.kind {
            Kind::OneOf(words) => words,
            _ => &[],
        }
    }

    /// The key's name at a place: `mysql_shard_3_ssl_mode`.
    pub fn name_at(&self, target: Target) -> String {
        match target {
            Target::Process => self.name.to_string(),
            Target::Shard(shard) => format!("mysql_shard_{shard}_{}", self.rest()),
            Target::Backup(shard, backup) => format!("mysql_shard_{shard}_ha{backup}_{}", self.rest()),
        }
    }

    /// What stands behind `mysql_shard_N_`.
    fn rest(&self) -> &'static str {
        let prefixes = ["mysql_shard_N_haK_", "mysql_shard_N_", "mysql_"];
        prefixes.iter().find_map(|prefix| self.name.strip_prefix(prefix)).unwrap_or(self.name)
    }

    fn may_stand_at(&self, target: Target) -> bool {
        match self.scope {
            Scope::Process => target == Target::Process,
            Scope::Shard => matches!(target, Target::Process | Target::Shard(_)),
            Scope::Source => true,
            Scope::EachShard => matches!(target, Target::Shard(_)),
            Scope::EachBackup => matches!(target, Target::Backup(..)),
        }
    }
}

/// For whom a value is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Everyone.
    Process,
    /// The shard of that number, its main server and its backups.
    Shard(u32),
    /// That backup of that shard.
    Backup(u32, u32),
}

impl Target {
    /// This place and those whose values hold here too, the nearest first.
    pub fn outwards(self) -> impl Iterator<Item = Target> {
        let shard = match self {
            Target::Backup(shard, _) => Some(Target::Shard(shard)),
            _ => None,
        };
        let process = (self != Target::Process).then_some(Target::Process);
        [Some(self), shard, process].into_iter().flatten()
    }
}

/// A key at a place.
#[derive(Clone, Copy)]
pub struct Slot {
    /// The key.
    pub key: &'static Key,
    /// For whom.
    pub target: Target,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.name_at(self.target))
    }
}

/// The key that a name stands for.
pub fn recognise(name: &str) -> Option<Slot> {
    let (target, rest) = numbered(name).unwrap_or((Target::Process, name));
    let fits = |key: &Key| match target {
        Target::Process => key.name == rest,
        _ => key.rest() == rest || key.name == rest,
    };
    all().find(|key| key.may_stand_at(target) && fits(key)).map(|key| Slot { key, target })
}

/// Takes `mysql_shard_3_` or `mysql_shard_3_ha1_` off a name.
fn numbered(name: &str) -> Option<(Target, &str)> {
    let (shard, rest) = leading_number(name.strip_prefix("mysql_shard_")?)?;
    match rest.strip_prefix("ha").and_then(leading_number) {
        Some((backup, rest)) if backup > 0 => Some((Target::Backup(shard, backup), rest)),
        _ => Some((Target::Shard(shard), rest)),
    }
}

/// `12_rest`. One spelling per number, so that two keys cannot mean the same shard.
fn leading_number(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_once('_')?;
    let number = digits.parse::<u32>().ok().filter(|number| *number <= 9999)?;
    (number.to_string() == digits).then_some((number, rest))
}

/// `, did you mean "…"?` for a name that is no key.
pub fn hint(name: &str) -> String {
    let mut numbers =
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u32>().ok());
    let shard = numbers.next().unwrap_or(0).min(9999);
    let backup = numbers.next().unwrap_or(1).clamp(1, 9999);
    let targets = [Target::Process, Target::Shard(shard), Target::Backup(shard, backup)];
    let at = |target| all().filter(move |key| key.may_stand_at(target)).map(move |key| key.name_at(target));
    let names: Vec<String> = targets.into_iter().flat_map(at).collect();
    near::hint(name, names.iter().map(String::as_str))
}

/// Declares keys and their group, so that no key can be left out of the table.
macro_rules! group {
    ($group:ident $title:literal $($ident:ident = $key:expr;)*) => {
        $(#[doc = "See the row's help text."] pub static $ident: Key = $key;)*
        #[doc = $title]
        pub static $group: Group = Group { title: $title, keys: &[$(&$ident),*] };
    };
}
use group;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_at_every_place() {
        for target in [Target::Process, Target::Shard(3), Target::Backup(3, 1)] {
            let keys: Vec<_> = all().filter(|key| key.may_stand_at(target)).collect();
            let names: HashSet<_> = keys.iter().map(|key| key.name_at(target)).collect();
            assert_eq!(names.len(), keys.len());
            for key in keys {
                let slot = recognise(&key.name_at(target)).unwrap();
                assert!(std::ptr::eq(slot.key, key) && slot.target == target, "{}", key.name);
                assert_eq!(slot.to_string(), key.name_at(target));
            }
        }
    }

    #[test]
    fn defaults_and_samples_are_legal_values() {
        for key in all() {
            let values = [Some(key.default), key.sample];
            for value in values.into_iter().flatten().filter(|value| !value.is_empty()) {
                assert_eq!(key.kind.check(value), Ok(()), "{}", key.name);
            }
            assert!(
                key.default.is_empty() || key.derived.is_empty(),
                "{}: both a default and a derived one",
                key.name
            );
            let known = |value: &str| {
                key.words().is_empty() || key.words().iter().any(|w| w.word == value && !w.later)
            };
            assert!(known(key.default) || key.default.is_empty(), "{}: default is for later", key.name);
        }
    }

    #[test]
    fn help_texts_are_sentences() {
        for key in all() {
            assert!(
                key.help.ends_with('.') && key.help.len() > 20 && !key.help.contains('\n'),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn both_spellings_of_a_shards_key_are_known() {
        let cases = [
            ("mysql_shard_3_transaction_policy", "transaction_policy", Target::Shard(3)),
            ("mysql_shard_0_binlogdump_filename", "mysql_binlogdump_filename", Target::Shard(0)),
            ("mysql_shard_0_mysql_binlogdump_filename", "mysql_binlogdump_filename", Target::Shard(0)),
            ("mysql_shard_0_ha1_password_file", "mysql_password_file", Target::Backup(0, 1)),
            ("mysql_shard_12_server", "mysql_shard_N_server", Target::Shard(12)),
            ("mysql_shard_12_ha2_port", "mysql_shard_N_haK_port", Target::Backup(12, 2)),
            ("memq_limit", "memq_limit", Target::Process),
        ];
        for (name, key, target) in cases {
            let slot = recognise(name).unwrap();
            assert_eq!((slot.key.name, slot.target), (key, target));
        }
        for name in [
            "mysql_shard_00_server",
            "mysql_shard_-1_server",
            "mysql_shard_10000_server",
            "mysql_shard_N_server",
            "mysql_shard_0_ha0_server",
            "mysql_shard_0_ha1_transaction_policy",
            "mysql_shard_0_zk_string",
            "mysql_shard__server",
            "server",
            "name",
            "MEMQ_LIMIT",
            "mysql_shard_0_ha1_name",
        ] {
            assert!(recognise(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_nearest_key_is_named_with_its_numbers() {
        let cases = [
            ("mysql_shard_0_sever", "mysql_shard_0_server"),
            ("mysql_shard_3_ha2_sever", "mysql_shard_3_ha2_server"),
            ("mysql_shrad_7_server", "mysql_shard_7_server"),
            ("mysql_shard_00_server", "mysql_shard_0_server"),
            ("mysql_shard_2_transaction_polcy", "mysql_shard_2_transaction_policy"),
            ("MEMQ_LIMIT", "memq_limit"),
            ("separate_packsize", "sparate_packsize"),
            ("mysql_user", "mysql_username"),
        ];
        for (name, near) in cases {
            assert_eq!(hint(name), format!(", did you mean \"{near}\"?"), "{name}");
        }
        assert_eq!(hint("jdbc.driverClassName"), "");
    }

    #[test]
    fn values_hold_inwards() {
        let outwards: Vec<_> = Target::Backup(1, 2).outwards().collect();
        assert_eq!(outwards, [Target::Backup(1, 2), Target::Shard(1), Target::Process]);
        assert_eq!(Target::Shard(1).outwards().count(), 2);
        assert_eq!(Target::Process.outwards().count(), 1);
    }
}
