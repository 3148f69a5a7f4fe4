//! What a node tells about its shards: the object that `fountain status --json` prints, and how bad it is.

use crate::status::State;
use crate::status::Unsaved;
use crate::sync_point::PointRecord;
use serde::Deserialize;
use serde::Serialize;
use std::time::Duration;

/// So many times `zk_session_timeout` nobody may be known to lead: a take-over takes one and a little more.
const VACANT_SESSIONS: u32 = 2;

/// The convention of monitoring plugins: the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Health {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// One node and its shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The host's name.
    pub node: String,
    pub version: String,
    /// Of the process; none when no process runs here.
    pub pid: Option<u32>,
    /// When the process began, in milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// `ha_guard`: `none` or `zookeeper`.
    pub guard: String,
    pub health: Health,
    /// Why nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub shards: Vec<ShardReport>,
}

/// One shard. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReport {
    pub shard: String,
    pub state: State,
    pub health: Health,
    /// Since when it is in that state.
    pub since_ms: Option<u64>,
    /// Why, where it is not running.
    pub why: Option<String>,
    /// The server that is read, or was read last.
    pub source: Option<String>,
    /// The stored point, or why it is not known.
    pub point: Option<PointReport>,
    pub point_unknown: Option<String>,
    /// Since when points cannot be saved, and why.
    pub unsaved: Option<Unsaved>,
    /// Only among several nodes.
    pub leadership: Option<Leadership>,
}

/// A stored point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointReport {
    pub epoch: u64,
    /// Packs delivered in that epoch.
    pub sequence: u64,
    pub saved_ms: u64,
    /// The commit of the last transaction delivered, as its server's clock had it; none: not known.
    pub commit_ms: Option<u64>,
    pub file: String,
    pub pos: u64,
    /// What has been read as GTIDs, where it is known so.
    pub gtids: Option<String>,
}

/// Who leads a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// This node does.
    pub here: bool,
    /// The host of the node that leads, or is about to; none when nobody does, or it cannot be told.
    pub leader: Option<String>,
    pub leader_pid: Option<u32>,
    /// Since when it leads; none: it is about to, or does not say so.
    pub leader_since_ms: Option<u64>,
    /// Since when nobody is known to lead.
    pub nobody_since_ms: Option<u64>,
    /// Keys that decide which rows are delivered, and are others there than here.
    pub differs: Vec<String>,
    /// Why this node does not.
    pub why: Option<String>,
}

impl PointReport {
    pub fn of(record: PointRecord) -> Self {
        let point = record.point.as_ref();
        Self {
            epoch: record.epoch,
            sequence: record.sequence,
            saved_ms: record.saved_ms,
            commit_ms: point.map(|point| point.ts_ms).filter(|ms| *ms > 0),
            file: point.map(|point| point.file.clone()).unwrap_or_default(),
            pos: point.map_or(0, |point| point.pos),
            gtids: point.and_then(|point| point.executed.as_ref()).map(ToString::to_string),
        }
    }
}

impl ShardReport {
    /// How bad it is, from what it tells. `session`: `zk_session_timeout`.
    pub fn judge(&self, now_ms: u64, session: Duration) -> Health {
        let health = match self.state {
            State::Running | State::Done => Health::Ok,
            // One that is only beginning has no reason yet.
            State::Connecting if self.why.is_none() => Health::Warning,
            State::Connecting | State::WaitingForSink | State::Stopped | State::Down => Health::Critical,
            State::Suspended => Health::Warning,
            State::Standby => match &self.leadership {
                Some(Leadership { leader: Some(_), differs, .. }) if differs.is_empty() => Health::Ok,
                Some(Leadership { leader: None, nobody_since_ms: Some(since_ms), .. })
                    if Duration::from_millis(now_ms.saturating_sub(*since_ms))
                        > session * VACANT_SESSIONS =>
                {
                    Health::Critical
                }
                Some(_) | None => Health::Warning,
            },
        };
        match (&self.point_unknown, &self.unsaved) {
            (Some(_), _) if health == Health::Ok => Health::Unknown,
            (None, Some(_)) if health == Health::Ok => Health::Warning,
            _ => health,
        }
    }
}

impl NodeReport {
    /// As bad as its worst shard. What is not known is worse than what works, and not worse than what does not.
    pub fn judge(shards: &[ShardReport]) -> Health {
        let rank = |health: &Health| match health {
            Health::Ok => 0,
            Health::Warning => 1,
            Health::Unknown => 2,
            Health::Critical => 3,
        };
        shards.iter().map(|shard| shard.health).max_by_key(rank).unwrap_or(Health::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const SESSION: Duration = Duration::from_secs(50);

    fn judge(shard: &ShardReport) -> Health {
        shard.judge(NOW_MS, SESSION)
    }

    fn shard(state: State, why: Option<&str>) -> ShardReport {
        ShardReport {
            shard: "a".into(),
            state,
            health: Health::Ok,
            since_ms: None,
            why: why.map(Into::into),
            source: None,
            point: None,
            point_unknown: None,
            unsaved: None,
            leadership: None,
        }
    }

    #[test]
    fn a_shard_that_nobody_works_on_against_its_will_is_critical() {
        let judged = [
            (shard(State::Running, None), Health::Ok),
            (shard(State::Connecting, None), Health::Warning),
            (shard(State::Connecting, Some("UNREACHABLE")), Health::Critical),
            (shard(State::WaitingForSink, Some("full")), Health::Critical),
            (shard(State::Suspended, Some("r")), Health::Warning),
            (shard(State::Down, None), Health::Critical),
            (shard(State::Standby, None), Health::Warning),
        ];
        for (shard, health) in judged {
            assert_eq!(judge(&shard), health, "{shard:?}");
        }
        let unknown = ShardReport { point_unknown: Some("?".into()), ..shard(State::Running, None) };
        assert_eq!(judge(&unknown), Health::Unknown);
        let unsaved = Unsaved { since_ms: NOW_MS, why: "ZK_ACCESS".into() };
        let unsaved = ShardReport { unsaved: Some(unsaved), ..shard(State::Running, None) };
        assert_eq!(judge(&unsaved), Health::Warning);
    }

    #[test]
    fn a_standby_is_well_beside_a_leader_and_critical_when_nobody_takes_over() {
        let standby = |leader: Option<&str>, nobody_since_ms, differs: &[&str]| {
            let leadership = Leadership {
                here: false,
                leader: leader.map(Into::into),
                leader_pid: None,
                leader_since_ms: None,
                nobody_since_ms,
                differs: differs.iter().map(|key| (*key).to_owned()).collect(),
                why: None,
            };
            judge(&ShardReport { leadership: Some(leadership), ..shard(State::Standby, None) })
        };
        assert_eq!(
            (standby(Some("db2"), None, &[]), standby(None, None, &[])),
            (Health::Ok, Health::Warning)
        );
        let differs = standby(Some("db2"), None, &["sink"]);
        assert_eq!(differs, Health::Warning, "it would deliver something else");
        let long = u64::try_from((SESSION * VACANT_SESSIONS).as_millis()).unwrap();
        assert_eq!(standby(None, Some(NOW_MS - long), &[]), Health::Warning);
        assert_eq!(standby(None, Some(NOW_MS - long - 1), &[]), Health::Critical);
        assert_eq!(standby(None, Some(NOW_MS + 1), &[]), Health::Warning, "the clock was set back");
    }

    #[test]
    fn a_node_is_as_bad_as_its_worst_shard() {
        let with = |healths: &[Health]| {
            let shards: Vec<ShardReport> = healths
                .iter()
                .map(|health| ShardReport { health: *health, ..shard(State::Running, None) })
                .collect();
            NodeReport::judge(&shards)
        };
        assert_eq!(with(&[Health::Ok, Health::Unknown, Health::Warning]), Health::Unknown);
        assert_eq!(with(&[Health::Critical, Health::Unknown]), Health::Critical);
        assert_eq!(with(&[Health::Ok]), Health::Ok);
        assert_eq!(with(&[]), Health::Unknown);
    }
}
