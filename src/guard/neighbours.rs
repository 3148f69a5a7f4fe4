//! What the nodes of a deployment say of themselves in ZooKeeper, for whoever is not the guard's own thread: who stands in a
//! shard's latch, and who knows that a shard has a point.

use crate::config::Config;
use crate::config::HaGuard;
use crate::config::HaScope;
use crate::coordination::CoordinationError;
use crate::coordination::shared::SharedSession;
use crate::guard::announcement::Announcement;
use crate::guard::election;
use crate::guard::sharing::Sharing;

/// Who stands in the latch of a shard, who leads first. Without a latch nobody.
pub fn seats(config: &Config, shard: &str) -> Result<Vec<Announcement>, CoordinationError> {
    let Some(path) = config.zookeeper.leader_latch_path.as_deref().filter(|_| has_latch(config)) else {
        return Ok(Vec::new());
    };
    let latch = match config.nodes.scope {
        HaScope::Process => path.to_owned(),
        HaScope::Shard => format!("{path}/{shard}"),
    };
    let session = SharedSession::of(&config.zookeeper);
    let seats = election::seats(&children(&session, &latch)?);
    let paths = seats.into_iter().map(|seat| format!("{latch}/{}", seat.name));
    announced(&session, paths)
}

/// A node, also one that has no seat, that says that the shard has a point.
pub fn who_knows_a_point(config: &Config, shard: &str) -> Result<Option<Announcement>, CoordinationError> {
    let mut nodes = seats(config, shard)?;
    if let (Some(path), HaScope::Shard) = (config.zookeeper.leader_latch_path.as_deref(), config.nodes.scope)
    {
        let session = SharedSession::of(&config.zookeeper);
        let names = children(&session, &Sharing::folder(path))?;
        nodes.extend(announced(&session, names.iter().map(|name| Sharing::own_path(path, name)))?);
    }
    Ok(nodes.into_iter().find(|node| node.points.iter().any(|known| known == shard)))
}

/// The node that leads the shard, if it keeps points in another place than this configuration says.
pub fn leader_elsewhere(config: &Config, shard: &str) -> Result<Option<Announcement>, CoordinationError> {
    let ours = Announcement::new(config, &[]);
    Ok(seats(config, shard)?.into_iter().next().filter(|leader| ours.keeps_points_elsewhere(leader)))
}

fn has_latch(config: &Config) -> bool {
    config.nodes.guard == HaGuard::ZooKeeper
}

fn children(session: &SharedSession, path: &str) -> Result<Vec<String>, CoordinationError> {
    match session.with(|session| session.children(path)) {
        Err(CoordinationError::NoNode) => Ok(Vec::new()),
        names => names,
    }
}

/// Those that are still there.
fn announced(
    session: &SharedSession,
    paths: impl Iterator<Item = String>,
) -> Result<Vec<Announcement>, CoordinationError> {
    let mut nodes = Vec::new();
    for path in paths {
        let node = session.with(|session| session.get(&path))?;
        nodes.extend(node.map(|node| Announcement::parse(&node.data)));
    }
    Ok(nodes)
}
