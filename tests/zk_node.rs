//! Writes of a node in ZooKeeper whose answers are lost: what is there decides, and what somebody else has put there is never
//! taken for ours.

mod harness;

use fountain::config::ZooKeeperConfig;
use fountain::sync_point::zk_node::OwnNode;
use fountain::sync_point::zk_node::Write;
use fountain::sync_point::zk_node::is_passing;
use harness::Link;
use harness::Weather;
use harness::ZooKeeperServer;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

struct Setting {
    zookeeper: ZooKeeperServer,
    link: Link,
    config: ZooKeeperConfig,
}

impl Setting {
    fn new() -> Option<Setting> {
        let zookeeper = ZooKeeperServer::start()?;
        let link = Link::to(zookeeper.port());
        let config = ZooKeeperConfig {
            servers: Some(link.address()),
            auth_file: None,
            connection_timeout: SECOND * 4,
            session_timeout: SECOND * 4,
            save_position_root_path: Some("/p".to_owned()),
            leader_latch_path: None,
            leader_latch_timeout: SECOND,
        };
        Some(Setting { zookeeper, link, config })
    }

    /// Written so often that its version is two.
    fn node(&self, shard: &str) -> OwnNode {
        let mut node = OwnNode::new(&self.config, shard, None).unwrap();
        for text in ["one", "two", "three"] {
            assert_eq!(self.write(&mut node, text), Write::Done);
        }
        assert_eq!(self.text(shard), "three");
        node
    }

    /// Over a session that serves again, however often that takes.
    fn write(&self, node: &mut OwnNode, text: &str) -> Write {
        for _ in 0..20 {
            match node.write(text.as_bytes()) {
                Err(error) if is_passing(&error) => std::thread::sleep(SECOND / 4),
                written => return written.unwrap(),
            }
        }
        panic!("ZooKeeper does not serve")
    }

    fn write_unanswered(&self, node: &mut OwnNode, text: &str) {
        let error = node.write(text.as_bytes()).unwrap_err();
        assert!(is_passing(&error), "{error}");
    }

    /// Node "a", whose last write has landed without an answer.
    fn landed_unanswered(&self) -> OwnNode {
        let mut node = self.node("a");
        self.link.delay(Duration::ZERO, SECOND * 5);
        self.write_unanswered(&mut node, "landed");
        self.link.cut();
        self.link.heal();
        harness::wait_until("it has landed", SECOND * 20, || self.text("a") == "landed");
        node
    }

    fn text(&self, shard: &str) -> String {
        self.zookeeper.node(&format!("/p/{shard}")).expect("a node").text()
    }
}

#[test]
fn a_write_that_landed_without_an_answer_is_ours() {
    let Some(setting) = Setting::new() else { return };
    let mut node = setting.landed_unanswered();
    assert_eq!(setting.write(&mut node, "next"), Write::Done);
    assert_eq!(setting.text("a"), "next");
}

#[test]
fn a_write_that_landed_and_was_written_over_is_foreign() {
    let Some(setting) = Setting::new() else { return };
    let mut node = setting.landed_unanswered();
    setting.zookeeper.client().put("/p/a", b"somebody else's").unwrap();
    assert_eq!(setting.write(&mut node, "next"), Write::Foreign(Some(b"somebody else's".to_vec())));
    assert_eq!(setting.text("a"), "somebody else's");
}

/// Deleted and made anew with the same count of writes, while a write of ours was lost.
#[test]
fn a_node_that_was_made_anew_is_foreign() {
    let Some(setting) = Setting::new() else { return };
    let mut node = setting.node("a");
    setting.link.set(Weather::Swallowed);
    setting.write_unanswered(&mut node, "lost");
    setting.link.heal();
    setting.zookeeper.delete("/p/a");
    for text in ["x", "y", "z"] {
        setting.zookeeper.client().put("/p/a", text.as_bytes()).unwrap();
    }
    assert_eq!(setting.zookeeper.node("/p/a").expect("a node").version, 2);
    assert_eq!(setting.write(&mut node, "next"), Write::Foreign(Some(b"z".to_vec())));
    assert_eq!(setting.text("a"), "z");
}
