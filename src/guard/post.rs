//! What the guard thread knows of one latch: for as long as the process lives, and within one session.

use crate::code::Code;
use crate::guard::announcement::Announcement;
use crate::guard::election::Seat;
use crate::guard::hand_over::Patience;
use crate::guard::lease::Lease;
use crate::guard::times::is_news;
use std::sync::Arc;
use std::time::Instant;

/// One latch: of all shards, or of one.
#[derive(Debug)]
pub struct Post {
    /// Its place at the desk.
    pub at: usize,
    /// The shard's name; none: the latch is for all.
    pub shard: Option<String>,
    /// The znode under which the nodes queue up.
    pub path: String,
    /// How messages begin: `shard=a latch=/l/a` or `latch=/l`.
    pub label: String,
    pub announcement: Announcement,
    pub patience: Patience,
    pub hold: Hold,
    /// As they were polled last, without nodes of ours that are over.
    pub seats: Vec<Seat>,
    /// For so many polls nobody has stood in it.
    pub vacant_polls: u32,
    /// It was handed over, and is left to others until one of them leads it.
    pub put_off: bool,
    /// It was handed over to spread the load and came back: nobody else wants it.
    pub stays: bool,
    /// It was handed over to spread the load, and nobody leads it yet.
    pub moved_away: bool,
    pub was_wanted: bool,
    /// The node that leads, by the name of its node in the latch, and who that is.
    pub leader: Option<(String, Announcement)>,
    /// The node that led last keeps points elsewhere: what this one would go on from is not what was delivered. Until a leader
    /// comes that agrees this node does not lead.
    pub led_elsewhere: bool,
    /// Of whose configuration what was told last, and when.
    pub told_of: Option<(String, Instant)>,
}

/// What is held of a latch in a session.
#[derive(Debug, Default)]
pub struct Hold {
    /// The name of our node.
    pub node: Option<String>,
    /// Since when it has been the first one.
    pub first_since: Option<Instant>,
    pub lease: Option<Arc<Lease>>,
    /// Our node is to say that we lead.
    pub untold: bool,
}

impl Post {
    pub fn is_led(&self) -> bool {
        self.hold.lease.is_some()
    }

    /// Who stands first in it.
    pub fn first(&self) -> Option<&Seat> {
        self.seats.first()
    }

    /// The full path of a node in it.
    pub fn node_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Another configuration is told once, when it changes, and now and then.
    pub fn tell_difference(&mut self, subject: &str, text: &str) {
        let (now, subject) = (Instant::now(), subject.to_owned());
        if is_news(self.told_of.as_ref(), &subject, now) {
            log::warn!("{}: {} {text}", Code::ConfigDiffers, self.label);
            self.told_of = Some((subject, now));
        }
    }

    /// A session begins: nothing is held.
    pub fn begins_anew(&mut self) {
        self.hold = Hold::default();
        self.seats = Vec::new();
        self.vacant_polls = 0;
    }
}
