//! What the producer says to the packer, through a channel that holds nothing.

use crate::change::batch::Batch;
use crate::mysql::preflight::Flavor;
use crate::pack::builder::Frontier;
use crate::pack::builder::StreamKind;
use crate::sync_point::Inside;
use crate::sync_point::ServerIdentity;
use crossbeam_channel::Sender;

/// One message to the packer.
#[derive(Debug)]
pub enum Message {
    /// Changes, in order.
    Batch(Batch),
    /// A dump has begun; what follows comes from this server.
    Connected(Connected),
    /// The stream broke off. What was sent of an unfinished transaction is void; the answer tells where to read on.
    Interrupted { answer: Sender<ReadOn> },
}

/// The server that a dump comes from.
#[derive(Debug)]
pub struct Connected {
    /// `host:port`.
    pub server: String,
    pub identity: ServerIdentity,
    pub flavor: Flavor,
    pub stream: StreamKind,
}

/// Where a broken stream has to be read on.
#[derive(Debug, Clone)]
pub struct ReadOn {
    pub frontier: Frontier,
    /// Rows of the transaction that starts there which must not come out again.
    pub inside: Option<Inside>,
}
