//! A server that lacks what we have: whether it may catch up, and what a person can do if it never will.

use super::Planning;
use crate::code::Code;
use crate::mysql::upstream::Replication;
use crate::mysql::upstream::Upstream;
use crate::mysql::upstream::replication;
use crate::mysql::upstream::updates_off;
use crate::pipeline::fault::Fault;

/// What a server lacks, for people.
pub(super) struct Lacking {
    /// Which transactions, by name.
    pub what: String,
    /// The command that gives them up.
    pub way_out: String,
}

impl Planning<'_> {
    pub(super) fn replication(&mut self) -> Result<Replication, Fault> {
        let fault = self.source_fault();
        replication(&mut self.session.connection, &self.session.facts).map_err(fault)
    }

    /// A replica that does not log what it applies says that it has executed it, and sends none of it: followed by GTID, it
    /// would leave out all that is not made on itself. (By position only its own log is meant.)
    pub(super) fn require_logged_updates(&mut self) -> Result<(), Fault> {
        let Some(variable) = updates_off(&self.session.facts) else { return Ok(()) };
        let from = match self.replication()? {
            Replication::None | Replication::Hidden => return Ok(()),
            Replication::Cluster => "its cluster".to_owned(),
            Replication::From(channels) => listed(&channels),
        };
        Err(self.refused(
            Code::ReplicaUpdates,
            &format!(
                "the server replicates from {from} and does not log what comes from there ({variable}=OFF): it would leave out \
                 those rows; set {variable}=ON in its configuration file and restart it, or read {from} itself (for the \
                 server's own changes alone: binlog_dump_strategy=position)"
            ),
        ))
    }

    /// One that replicates may have it soon; one that does not was restored or reset, or took over without it, unless a
    /// person is just making it a replica.
    pub(super) fn lags(&self, lacking: &Lacking, replication: &Replication) -> Fault {
        let Lacking { what, way_out } = lacking;
        let (code, why) = match replication {
            Replication::None => (
                Code::PointBeyondEnd,
                "it replicates from nobody: it was restored, its binlogs were reset, or it took over without them".to_owned(),
            ),
            Replication::From(channels) => (Code::SourceLags, state_of(channels)),
            Replication::Cluster => (Code::SourceLags, "it is a member of a cluster and lags behind".to_owned()),
            Replication::Hidden => (
                Code::SourceLags,
                "it lags behind, or was restored or reset (whether it replicates is not told: GRANT REPLICA MONITOR)".to_owned(),
            ),
        };
        let (shard, server) = (&self.shard.name, &self.session.server);
        let text = format!(
            "shard={shard} source={server} the server lacks {what}; {why}; if no server has them any more: {way_out}"
        );
        Fault::wait(code, text)
    }
}

fn state_of(channels: &[Upstream]) -> String {
    match channels.iter().find(|upstream| !upstream.running) {
        Some(stopped) => format!(
            "its replication from {} stands still (SHOW REPLICA STATUS tells why; older servers: SHOW SLAVE STATUS)",
            stopped.source
        ),
        None => format!("it replicates from {} and lags behind", listed(channels)),
    }
}

fn listed(channels: &[Upstream]) -> String {
    channels.iter().map(|upstream| upstream.source.as_str()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_stands_still_is_named() {
        let channel = |source: &str, running| Upstream { source: source.into(), running };
        let both = [channel("a:1", true), channel("b:2", false)];
        assert!(state_of(&both).starts_with("its replication from b:2 stands still"));
        assert_eq!(state_of(&[channel("a:1", true)]), "it replicates from a:1 and lags behind");
        assert_eq!(listed(&both), "a:1 and b:2");
    }
}
