//! Why a shard is not to run although this node could: a person's word, or a fault that no other node passes either.

use crate::code::Code;
use crate::config::Config;
use crate::config::HaGuard;
use crate::config::ShardConfig;
use crate::config::keys;
use crate::config::keys::Scope;
use crate::config::keys::Target;
use crate::config::value::Kind;
use crate::pipeline::fault::Fault;
use crate::pipeline::ports::peek_stored;
use crate::status::now_ms;
use crate::status::time_text;
use crate::sync_point::PointRecord;
use crate::sync_point::StoreError;
use crate::sync_point::SyncPoint;
use crate::sync_point::state::ShardState;
use crate::sync_point::state::StopReason;
use crate::sync_point::state::Suspension;
use crate::sync_point::state::node_name;
use sha1::Digest;
use sha1::Sha1;

/// What keeps a shard from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    Suspended(Suspension),
    /// Found, not met here: another node had stopped for it.
    Stopped(StopReason),
}

impl Hindrance {
    /// What of a stored state holds now.
    pub fn of(state: ShardState, config: &Config, shard: &ShardConfig) -> Result<Option<Self>, StoreError> {
        if let Some(suspended) = state.suspended.filter(|suspended| suspended.holds(now_ms())) {
            return Ok(Some(Self::Suspended(suspended)));
        }
        match state.stopped {
            Some(reason) if binds(&reason, config, shard)? => Ok(Some(Self::Stopped(reason))),
            Some(_) | None => Ok(None),
        }
    }

    /// The same in words, with the way out.
    pub fn why(&self, shard: &str) -> String {
        match self {
            Self::Suspended(Suspension { reason, at_ms, until_ms, node }) => {
                let until = until_ms.map(|until| format!(" until {}", time_text(until))).unwrap_or_default();
                format!(
                    "suspended at {} on {node}{until}: {reason}; \"fountain resume {shard}\" lets it go on",
                    time_text(*at_ms)
                )
            }
            Self::Stopped(reason) => format!(
                "{}; it is not tried again before \"fountain resume {shard}\", another point, configuration or version",
                had_stopped(reason)
            ),
        }
    }

    pub fn fault(&self, shard: &str) -> Fault {
        let code = match self {
            Self::Suspended(_) => Code::Suspended,
            Self::Stopped(reason) => {
                let known = Code::ALL.iter().find(|code| code.as_str() == reason.code);
                // A later version may know more codes.
                known.copied().unwrap_or(Code::Stopped)
            }
        };
        Fault::stop(code, format!("shard={shard} {}", self.why(shard)))
    }
}

/// `had stopped at … on db1: BAD_EVENT: …`
pub fn had_stopped(reason: &StopReason) -> String {
    let StopReason { code, text, at_ms, node, .. } = reason;
    format!("had stopped at {} on {node}: {code}: {text}", time_text(*at_ms))
}

/// Whether a reason is to be heeded: a person who starts the only node wants it tried again; another node heeds it as long as
/// nothing has changed that it may come from.
fn binds(reason: &StopReason, config: &Config, shard: &ShardConfig) -> Result<bool, StoreError> {
    if config.nodes.guard == HaGuard::None || reason.digest != digest(config, shard) {
        return Ok(false);
    }
    let stored = peek_stored(config, &shard.name)?;
    Ok(delivered(stored.as_ref()) == (reason.epoch, reason.sequence))
}

/// The reason as it is kept with the point. `stored`: the point of the term in which it was met.
pub fn reason(
    fault: &Fault,
    config: &Config,
    shard: &ShardConfig,
    stored: Option<&PointRecord>,
) -> StopReason {
    let (epoch, sequence) = delivered(stored);
    StopReason {
        code: fault.code.as_str().to_owned(),
        text: fault.text.clone(),
        at_ms: now_ms(),
        node: node_name(),
        epoch,
        sequence,
        digest: digest(config, shard),
    }
}

/// The epoch and the pack that a stored point is of. A point that is lost by one node's word is lost for all of them.
fn delivered(stored: Option<&PointRecord>) -> (u64, u64) {
    stored.map_or((0, 0), |record| (record.epoch, record.sequence))
}

/// Where, and by which words of persons, this process has stopped for what may lie in the stream. It does not try again because
/// another node has tried: two of different configurations would take turns for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedAt {
    point: Option<SyncPoint>,
    moved_ms: Option<u64>,
    resumed_ms: Option<u64>,
}

impl StoppedAt {
    /// `stored`: the point of the term; `state`: as it was when the reason was kept.
    pub fn of(stored: Option<&PointRecord>, state: &ShardState) -> Self {
        Self {
            point: stored.and_then(|record| record.point.clone()),
            moved_ms: moved_ms(stored),
            resumed_ms: state.resumed_ms,
        }
    }

    /// Whether a person has said something since, or the point has come further, by whoever passes what this process does not.
    pub fn is_lifted(&self, stored: Option<&PointRecord>, state: &ShardState) -> bool {
        let moved_ms = moved_ms(stored);
        state.resumed_ms != self.resumed_ms
            || moved_ms.is_some() && moved_ms != self.moved_ms
            || !same_place(self.point.as_ref(), stored.and_then(|record| record.point.as_ref()))
    }
}

fn moved_ms(stored: Option<&PointRecord>) -> Option<u64> {
    stored?.moved.as_ref().map(|moved| moved.at_ms)
}

/// Where GTIDs are known they tell, whichever server the place is of.
fn same_place(one: Option<&SyncPoint>, other: Option<&SyncPoint>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    let same = match (&one.executed, &other.executed) {
        (Some(one), Some(other)) => one == other,
        _ => (&one.file, one.pos) == (&other.file, other.pos),
    };
    same && one.inside == other.inside
}

/// What decides on whether a shard can pass a place in its log: its keys, but for passwords and what names files of this
/// machine; the definitions that it was given; the version.
pub fn digest(config: &Config, shard: &ShardConfig) -> String {
    let mut hasher = Sha1::new();
    let mut take = |part: &[u8]| {
        hasher.update(part);
        hasher.update([0]);
    };
    take(env!("CARGO_PKG_VERSION").as_bytes());
    take(env!("FOUNTAIN_COMMIT").as_bytes());
    let backups = shard.sources.iter().filter(|source| source.backup > 0);
    let targets = std::iter::once(Target::Shard(shard.number))
        .chain(backups.map(|source| Target::Backup(shard.number, source.backup)));
    for target in targets {
        for key in keys::all() {
            let local = matches!(key.kind, Kind::Path | Kind::Secret) || key.scope == Scope::Process;
            if let Some(text) = config.settings.text(key, target).filter(|_| !local) {
                take(key.name.as_bytes());
                take(text.as_bytes());
            }
        }
    }
    if let Some(Ok(definitions)) = shard.schema_file.as_deref().map(std::fs::read) {
        take(&definitions);
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a fault would meet any other node as well: it lies in the log, in the definitions for it, or in the stored point.
/// Everything else may be this machine's: its network, disk, sink, rights, limits.
pub fn lies_in_the_stream(code: Code) -> bool {
    matches!(
        code,
        Code::Purged
            | Code::PointBeyondEnd
            | Code::PointForeign
            | Code::PointBroken
            | Code::PointLost
            | Code::NoPoint
            | Code::BinlogOff
            | Code::BinlogFormat
            | Code::Checksum
            | Code::BadEvent
            | Code::UnknownEvent
            | Code::EventTooLarge
            | Code::Incident
            | Code::RowsLeftOut
            | Code::XaHold
            | Code::Statement
            | Code::TransOversize
            | Code::Decompress
            | Code::Encrypted
            | Code::Unsupported
            | Code::TableMap
            | Code::BadValue
            | Code::SchemaDiff
            | Code::CharsetUnknown
            | Code::RowEncoder
            | Code::RowImage
            | Code::PartialJson
            | Code::GtidMode
            | Code::SourceHistory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;

    fn config(home: &std::path::Path, pairs: &[(&str, &str)]) -> Config {
        let servers =
            [("mysql_username", "u"), ("mysql_shard_0_server", "db1"), ("mysql_shard_1_server", "db2")];
        let pairs = [&servers, pairs].concat();
        Config::load(&Request::from_pairs(home, &pairs)).unwrap()
    }

    fn digest_with(pairs: &[(&str, &str)]) -> String {
        let config = config(std::path::Path::new("/home"), pairs);
        digest(&config, &config.shards[0])
    }

    #[test]
    fn the_digest_tells_what_may_pass_and_not_where_it_runs() {
        let plain = digest_with(&[]);
        assert_eq!(plain, digest_with(&[]));
        assert_eq!(plain, digest_with(&[("producer_position", "elsewhere"), ("file_sink_dir", "other")]));
        assert_eq!(plain, digest_with(&[("mysql_shard_1_trans_max_size", "7")]), "another shard's");
        assert_ne!(plain, digest_with(&[("trans_max_size", "7")]));
        assert_ne!(plain, digest_with(&[("mysql_shard_0_trans_max_size", "7")]));
        assert_ne!(plain, digest_with(&[("mysql_shard_0_ha1_server", "db3")]));
    }

    #[test]
    fn another_schema_file_is_another_configuration() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("definitions");
        std::fs::write(&file, "one").unwrap();
        let config = config(temp.path(), &[("schema_file", "definitions")]);
        let one = digest(&config, &config.shards[0]);
        std::fs::write(&file, "two").unwrap();
        assert_ne!(one, digest(&config, &config.shards[0]));
    }

    #[test]
    fn a_reason_binds_other_nodes_until_the_point_is_another_one_and_never_the_only_one() {
        let temp = tempfile::tempdir().unwrap();
        let mut config = config(temp.path(), &[]);
        let shard = config.shards[0].clone();
        let fault = Fault::stop(Code::BadEvent, "shard=producer00 bad");
        std::fs::create_dir(&config.point_dir).unwrap();
        let kept = reason(&fault, &config, &shard, None);
        let state = |kept: &StopReason| ShardState { stopped: Some(kept.clone()), ..ShardState::default() };
        assert_eq!(Hindrance::of(state(&kept), &config, &shard).unwrap(), None);
        config.nodes.guard = HaGuard::ZooKeeper;
        let found = Hindrance::of(state(&kept), &config, &shard).unwrap().unwrap();
        assert_eq!(found.fault("producer00").code, Code::BadEvent);
        let moved = StopReason { epoch: 9, ..kept.clone() };
        assert_eq!(Hindrance::of(state(&moved), &config, &shard).unwrap(), None);
        let other = StopReason { digest: "0".into(), ..kept };
        assert_eq!(Hindrance::of(state(&other), &config, &shard).unwrap(), None);
    }

    #[test]
    fn a_suspension_ends_by_itself() {
        let temp = tempfile::tempdir().unwrap();
        let config = config(temp.path(), &[]);
        let suspended = |until_ms| ShardState {
            suspended: Some(Suspension { reason: "r".into(), at_ms: 1, until_ms, node: "n".into() }),
            ..ShardState::default()
        };
        let holds = |until| Hindrance::of(suspended(until), &config, &config.shards[0]).unwrap().is_some();
        assert!(holds(None) && holds(Some(now_ms() + 60_000)) && !holds(Some(now_ms())));
    }

    #[test]
    fn a_process_that_has_stopped_tries_again_by_a_persons_word_or_behind_its_place_and_not_because_another_tried()
     {
        let record = crate::sync_point::record::tests::record;
        let at = record(9, 4);
        let resumed = |resumed_ms| ShardState { resumed_ms, ..ShardState::default() };
        let stopped = StoppedAt::of(Some(&at), &resumed(Some(5)));
        let lifted = |stored: &PointRecord, state: &ShardState| stopped.is_lifted(Some(stored), state);
        assert!(!lifted(&at, &resumed(Some(5))));
        // Another node has begun there, and has stopped: a later epoch, the same place, by whichever server.
        let mut other = record(10, 0);
        other.point.as_mut().unwrap().file = "another-bin.1".into();
        assert!(!lifted(&other, &resumed(Some(5))));
        assert!(lifted(&other, &resumed(Some(6))), "a person's word on another node");
        let mut moved = other.clone();
        moved.moved = Some(crate::sync_point::Moved { at_ms: 7, from: None, reason: "r".into() });
        assert!(lifted(&moved, &resumed(Some(5))), "a person's move, if only of what is pending there");
        let again = StoppedAt::of(Some(&moved), &resumed(Some(5)));
        assert!(!again.is_lifted(Some(&moved), &resumed(Some(5))), "it has stopped there as well");
        let mut further = other;
        further.point.as_mut().unwrap().inside = None;
        assert!(lifted(&further, &resumed(Some(5))), "another node has come further");
    }
}
