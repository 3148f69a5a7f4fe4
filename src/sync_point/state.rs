//! What a person or a fault has decided about a shard, kept with its point: it survives restarts and is found by whoever
//! takes over.

use crate::sync_point::StoreError;
use crate::sync_point::is_false;
use serde::Deserialize;
use serde::Serialize;

/// Neither a suspension nor a reason in it: the shard is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StopReason>,
    /// Whoever led the shard has heard that it is suspended: no node works on it, nor begins to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rests: bool,
    /// When a person last said that it is to be tried again, in milliseconds since 1970: a process that has stopped by itself
    /// tells by a change of this that it is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_ms: Option<u64>,
}

impl ShardState {
    /// Neither a person nor a fault keeps it from running.
    pub fn is_clear(&self) -> bool {
        self.suspended.is_none() && self.stopped.is_none()
    }

    /// A person's word: nobody has heard it yet.
    pub fn suspend(&mut self, suspension: Suspension) {
        (self.suspended, self.rests) = (Some(suspension), false);
    }

    /// A person's word: it is to run, and to be tried again where it has stopped. `now_ms`: milliseconds since 1970.
    pub fn resume(&mut self, now_ms: u64) {
        *self = Self { resumed_ms: Some(now_ms), ..Self::default() };
    }

    /// A suspension has ended by itself.
    pub fn end_suspension(&mut self) {
        (self.suspended, self.rests) = (None, false);
    }
}

/// A person's word that a shard is not to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The person's words.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// It ends by itself then, in milliseconds since 1970; none: it is for a person to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Where it was said: host name.
    pub node: String,
}

/// Why a shard has stopped and is not to be tried again by whoever comes next: what lies in the stream does not get better on another
/// node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReason {
    /// The message's code.
    pub code: String,
    /// The message.
    pub text: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Where it happened: host name.
    pub node: String,
    /// The epoch and the pack that had been delivered when it happened. A point that has moved since makes the reason void.
    pub epoch: u64,
    pub sequence: u64,
    /// The configuration of the shard, as a digest, and the version of fountain: others may well pass.
    pub digest: String,
}

impl Suspension {
    /// Whether it has not ended by itself at that time, in milliseconds since 1970.
    pub fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }
}

/// How this machine is called: the host's name.
pub fn node_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "-".to_owned(),
        name => name.to_owned(),
    }
}

/// Keeps one shard's [`ShardState`].
pub trait StateStore: Send {
    /// None and the default mean the same. What cannot be read is an error.
    fn load(&mut self) -> Result<Option<ShardState>, StoreError>;
    /// Returns once it is durable; a crash leaves the old state or the new one.
    fn save(&mut self, state: &ShardState) -> Result<(), StoreError>;
}
