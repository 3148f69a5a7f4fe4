//! ZooKeeper, as far as the keys name it: each server reachable, the session time-out that it gives, and whether we may
//! make, read and delete nodes where points and latches will be. Only a node of our own is made, and removed again.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::coordination::CoordinationError;
use crate::coordination::credentials;
use crate::coordination::handshake::probe;
use crate::coordination::servers::Servers;
use crate::coordination::session::NodeKind;
use crate::coordination::session::Session;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Level;
use crate::doctor::finding::Topic;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Nothing when no server is named.
pub fn examine(config: &ZooKeeperConfig) -> Vec<Finding> {
    let Some(text) = &config.servers else { return Vec::new() };
    let Servers { servers, root } = Servers::of(text);
    let mut findings = Vec::new();
    let mut reached = Vec::new();
    for server in servers {
        match probe(server, config.session_timeout, config.connection_timeout) {
            Ok(given) => {
                findings.push(session(server, config.session_timeout, given));
                reached.push(server);
            }
            Err(why) => findings.push(unreachable(server, &why)),
        }
    }
    if let Some(Err(error)) = config.auth_file.as_deref().map(credentials::read) {
        findings.push(told(&error));
        return findings;
    }
    let paths = [
        ("zk_save_position_root_path", &config.save_position_root_path),
        ("zk_leader_latch_path", &config.leader_latch_path),
    ];
    let paths = paths.into_iter().filter_map(|(key, path)| Some((key, format!("{root}{}", path.as_ref()?))));
    let paths: Vec<(&str, String)> = paths.collect();
    if reached.is_empty() || paths.is_empty() {
        return findings;
    }
    // From the top, so that a folder of ours that is missing can be told.
    let whole = ZooKeeperConfig { servers: Some(reached.join(",")), ..config.clone() };
    match Session::open(&whole) {
        Ok(session) => {
            findings.extend(paths.iter().map(|(key, path)| access(&session, key, path)));
            session.close();
        }
        Err(error) => findings.push(told(&error)),
    }
    findings
}

fn told(error: &CoordinationError) -> Finding {
    Finding { level: Level::Error, code: error.code().as_str(), text: error.to_string(), cure: None }
}

fn unreachable(server: &str, why: &str) -> Finding {
    let cure = "start ZooKeeper there, or correct zk_string";
    Finding::error(Code::ZkUnreachable, format!("{server}: {why}"), cure)
}

/// ZooKeeper cuts what is asked for to 2 to 20 times its tickTime, or to what its own settings say.
fn session(server: &str, asked: Duration, given: Duration) -> Finding {
    let (asked, given) = (asked.as_millis(), given.as_millis());
    if asked == given {
        return Finding::fine(Topic::ZooKeeper, format!("{server}: sessions of {given} ms"));
    }
    Finding::warn(
        Code::ZkTimeout,
        format!("{server}: gives sessions of {given} ms, zk_session_timeout asks for {asked}"),
        format!(
            "set zk_session_timeout={given}, or minSessionTimeout and maxSessionTimeout in ZooKeeper's zoo.cfg"
        ),
    )
}

fn access(session: &Session, key: &str, path: &str) -> Finding {
    match try_access(session, path) {
        Ok(found) if found == path => Finding::fine(
            Topic::ZooKeeper,
            format!("{key}={path} exists, and nodes can be made, read and deleted there"),
        ),
        Ok(found) => {
            Finding::fine(Topic::ZooKeeper, format!("{key}={path} will be made: nodes can be, under {found}"))
        }
        Err((at, error)) if error.is_doubt() => Finding::error(
            Code::ZkTimeout,
            format!("{key}={path}: {error}, about {at}"),
            "see what keeps ZooKeeper busy, or raise zk_connection_timeout",
        ),
        Err((at, CoordinationError::NoAuth)) => Finding::error(
            Code::ZkAccess,
            format!("{key}={path}: its ACL does not let us make, read and delete nodes under {at}"),
            format!(
                "run in zkCli.sh: setAcl {at} world:anyone:cdrwa (or for this machine: ip:ADDRESS:cdrwa), or name its \
                 user in zk_auth_file"
            ),
        ),
        Err((at, error)) => Finding::error(
            Code::ZkAccess,
            format!("{key}={path}: a node cannot be made, read and deleted under {at}: {error}"),
            format!("make {at} a lasting node in zkCli.sh, or set {key} to another path"),
        ),
    }
}

/// Makes, reads and deletes a node of our own under the path, or under what exists of it: tells which that is. An error
/// names where it was met.
fn try_access(session: &Session, path: &str) -> Result<String, (String, CoordinationError)> {
    let mut parent = path.trim_end_matches('/').to_owned();
    while !parent.is_empty() && !session.exists(&parent).map_err(|error| (parent.clone(), error))? {
        parent.truncate(parent.rfind('/').unwrap_or(0));
    }
    let shown = if parent.is_empty() { "/".to_owned() } else { parent.clone() };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let own = format!("{parent}/fountain-check-{}-{nanos}", std::process::id());
    let tried = session
        .create(&own, b"", NodeKind::Ephemeral)
        .and_then(|_| session.get(&own))
        .and_then(|_| session.delete(&own));
    tried.map(|()| shown.clone()).map_err(|error| (shown, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;
    use std::io::Read;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn a_session_that_is_cut_is_told_with_the_key() {
        let second = Duration::from_secs(1);
        assert_eq!(session("zk:2181", second, second).level, Level::Ok);
        let cut = session("zk:2181", second * 50, second * 40);
        assert!(cut.cure.unwrap().starts_with("set zk_session_timeout=40000"));
    }

    #[test]
    fn servers_that_are_none_are_told_in_time() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let short = Duration::from_millis(200);
        let why = probe(&silent.local_addr().unwrap().to_string(), short, short).unwrap_err();
        assert!(why.contains("no answer within") || why.contains("os error 11"), "{why}");
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        let talk = std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
            // Read to the end, so that the answer is not lost in a reset.
            drop(stream.read_to_end(&mut Vec::new()));
        });
        let why = probe(&address, short, Duration::from_secs(20)).unwrap_err();
        assert_eq!(why, "it does not answer as ZooKeeper does");
        talk.join().unwrap();
        assert!(probe("nowhere.invalid:2181", short, Duration::from_secs(20)).is_err());
    }
}
