//! `zk_string`: ZooKeeper's servers, and the node under which all of ours are.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// `host:port,host:port/root` taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers<'a> {
    pub servers: Vec<&'a str>,
    /// Empty, or a path that begins with a slash.
    pub root: &'a str,
}

impl<'a> Servers<'a> {
    pub fn of(text: &'a str) -> Self {
        let (servers, root) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let servers = servers.split(',').map(str::trim).filter(|server| !server.is_empty());
        Self { servers: servers.collect(), root: root.trim_end_matches('/') }
    }

    /// In another order each time, so that nodes spread over the servers.
    pub fn shuffled(mut self) -> Self {
        let order = RandomState::new();
        self.servers.sort_by_cached_key(|server| order.hash_one(server));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn servers_and_root_are_told_apart_and_the_order_is_drawn() {
        let whole = Servers::of("a:1, b:2,c/x/y");
        assert_eq!(whole, Servers { servers: vec!["a:1", "b:2", "c"], root: "/x/y" });
        assert_eq!(Servers::of("a:1/").root, "");
        let orders: HashSet<Vec<&str>> = (0..200).map(|_| whole.clone().shuffled().servers).collect();
        assert_eq!(orders.len(), 6, "each of six has a chance of 10⁻¹⁶ to be missed");
    }
}
