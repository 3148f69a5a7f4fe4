//! What the producer says to the packer, through a channel that holds nothing.

use crate::change::assembler::HandOver;
use crate::change::batch::Batch;
use crate::change::error::ChangeError;
use crate::mysql::preflight::Flavor;
use crate::pack::builder::Frontier;
use crate::pack::builder::StreamKind;
use crate::sync_point::Inside;
use crate::sync_point::ServerIdentity;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The producer's ends of the channels.
pub struct Channels {
    pub messages: Sender<Message>,
    pub spare: Receiver<Batch>,
    /// Set by the packer: the transaction in which it resumed is another one, read it anew.
    pub read_anew: Arc<AtomicBool>,
}

/// The way to the packer.
pub struct Link<'a> {
    pub channels: &'a Channels,
}

impl HandOver for Link<'_> {
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), ChangeError> {
        let mut full = self.channels.spare.try_recv().unwrap_or_default();
        std::mem::swap(batch, &mut full);
        let sent = self.channels.messages.send(Message::Batch(full));
        sent.map_err(|_| ChangeError::again("the packer has gone"))
    }
}

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
