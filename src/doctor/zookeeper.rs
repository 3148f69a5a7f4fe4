//! ZooKeeper, as far as the keys name it: each server reachable, the session time-out that it gives, and whether we may
//! make, read and delete nodes where points and latches will be. Only a node of our own is made, and removed again.

use crate::code::Code;
use crate::config::ZooKeeperConfig;
use crate::coordination::client::CallError;
use crate::coordination::client::Client;
use crate::coordination::handshake::probe;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Topic;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;
use zookeeper::Acl;
use zookeeper::CreateMode;
use zookeeper::ZkError;

/// Nothing when no server is named.
pub fn examine(config: &ZooKeeperConfig) -> Vec<Finding> {
    let Some(text) = &config.servers else { return Vec::new() };
    // A folder for all nodes may stand behind the servers, as in `a:2181,b:2181/root`.
    let (servers, root) = match text.find('/') {
        Some(at) => text.split_at(at),
        None => (text.as_str(), ""),
    };
    let mut findings = Vec::new();
    let mut reached = Vec::new();
    for server in servers.split(',').map(str::trim) {
        match probe(server, config.session_timeout, config.connection_timeout) {
            Ok(given) => {
                findings.push(session(server, config.session_timeout, given));
                reached.push(server);
            }
            Err(why) => findings.push(unreachable(server, &why)),
        }
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
    match Client::open(&reached.join(","), config.session_timeout, config.connection_timeout) {
        Ok(client) => findings.extend(paths.iter().map(|(key, path)| access(&client, key, path))),
        Err(error) => {
            let text = format!("no session thread: {error}");
            findings.push(Finding::error(Code::Limits, text, "allow this process more threads (ulimit -u)"));
        }
    }
    findings
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

fn access(client: &Client, key: &str, path: &str) -> Finding {
    match try_access(client, path) {
        Ok(found) if found == path => Finding::fine(
            Topic::ZooKeeper,
            format!("{key}={path} exists, and nodes can be made, read and deleted there"),
        ),
        Ok(found) => {
            Finding::fine(Topic::ZooKeeper, format!("{key}={path} will be made: nodes can be, under {found}"))
        }
        Err((at, CallError::TimedOut)) => Finding::error(
            Code::ZkTimeout,
            format!("{key}={path}: no answer in time about {at}"),
            "see what keeps ZooKeeper busy, or raise zk_connection_timeout",
        ),
        Err((at, CallError::Refused(ZkError::NoAuth))) => Finding::error(
            Code::ZkAccess,
            format!("{key}={path}: its ACL does not let us make, read and delete nodes under {at}"),
            format!(
                "run in zkCli.sh: setAcl {at} world:anyone:cdrwa (or for this machine: ip:ADDRESS:cdrwa)"
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
fn try_access(client: &Client, path: &str) -> Result<String, (String, CallError)> {
    let mut parent = path.trim_end_matches('/').to_owned();
    while !parent.is_empty() {
        let asked = parent.clone();
        let exists = client.call(move |session| session.exists(&asked, false));
        if exists.map_err(|error| (parent.clone(), error))?.is_some() {
            break;
        }
        parent.truncate(parent.rfind('/').unwrap_or(0));
    }
    let shown = if parent.is_empty() { "/".to_owned() } else { parent.clone() };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let own = format!("{parent}/fountain-check-{}-{nanos}", std::process::id());
    let failed = |error| (shown.clone(), error);
    let node = own.clone();
    let made = client.call(move |session| {
        session.create(&node, Vec::new(), Acl::open_unsafe().clone(), CreateMode::Ephemeral)
    });
    match made {
        // The answer to an earlier try was lost, the node was made.
        Ok(_) | Err(CallError::Refused(ZkError::NodeExists)) => {}
        Err(error) => return Err(failed(error)),
    }
    let node = own.clone();
    client.call(move |session| session.get_data(&node, false)).map_err(failed)?;
    match client.call(move |session| session.delete(&own, None)) {
        Ok(()) | Err(CallError::Refused(ZkError::NoNode)) => Ok(shown),
        Err(error) => Err(failed(error)),
    }
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
