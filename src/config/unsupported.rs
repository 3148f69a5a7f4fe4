//! What belongs to the contract and is not in this version. A run must not pass it over in silence.

use crate::config::Config;
use crate::config::keys;
use crate::config::keys::Key;
use crate::config::keys::Scope;
use crate::config::keys::Target;
use crate::config::problem;
use crate::config::problem::Problem;

/// What `cat` looks at, besides keys that are whole in this version.
static CAT_KEYS: [&Key; 1] = [&keys::OUTPUT_FORMAT];

/// One problem for each place that asks `cat` for something of a later version.
pub fn for_cat(config: &Config) -> Vec<Problem> {
    CAT_KEYS.iter().filter_map(|key| refused(config, key, Target::Process)).collect()
}

/// One problem for each place that asks a run for something of a later version.
pub fn for_run(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    for target in targets(config) {
        let keys = keys::all().filter(|key| belongs(key, target));
        found.extend(keys.filter_map(|key| refused(config, key, target)));
    }
    problem::without_repeats(found)
}

/// The process and everything that a run would read.
fn targets(config: &Config) -> Vec<Target> {
    let mut targets = vec![Target::Process];
    for shard in config.enabled_shards() {
        targets.push(Target::Shard(shard.number));
        let backups = shard.sources.iter().filter(|source| source.backup > 0);
        targets.extend(backups.map(|source| Target::Backup(shard.number, source.backup)));
    }
    targets
}

/// Shared values are looked at where they are used: a shard may have set another one.
fn belongs(key: &Key, target: Target) -> bool {
    match target {
        Target::Process => key.scope == Scope::Process,
        Target::Shard(_) => matches!(key.scope, Scope::Shard | Scope::Source | Scope::EachShard),
        Target::Backup(..) => matches!(key.scope, Scope::Source | Scope::EachBackup),
    }
}

fn refused(config: &Config, key: &'static Key, target: Target) -> Option<Problem> {
    let reason = refusal(key, config.settings.text(key, target)?)?;
    Some(Problem::unsupported(Some(&config.settings.origin(key, target)), reason))
}

fn refusal(key: &Key, text: &str) -> Option<String> {
    if !key.words().iter().any(|word| word.later && word.word == text) {
        return None;
    }
    let present: Vec<_> = key.words().iter().filter(|word| !word.later).map(|word| word.word).collect();
    Some(format!("{}={text} is not in this version; possible: {}", key.name, present.join(", ")))
}
