//! The crate's session, with everything about it that waits or panics kept on threads of their own.
//!
//! The crate has no deadlines: a request to a frozen server waits for ever, a connect may panic, and a session that is
//! dropped while it reconnects lives on. So a thread owns it, every call is waited for with a deadline, a panic ends that
//! thread alone, and the [`crate::coordination::relay`] between crate and server makes the end certain.

use crate::coordination::handshake::Greeted;
use crate::coordination::relay;
use crate::coordination::relay::Line;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use crossbeam_channel::select;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use zookeeper::ZkError;
use zookeeper::ZkResult;
use zookeeper::ZkState;
use zookeeper::ZooKeeper;

/// Between two looks at the crate while it connects or closes.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the crate's threads may take to end, beyond two session time-outs.
const LAST: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&ZooKeeper) + Send>;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// Not within the deadline.
    TimedOut,
    /// The session is over: why.
    Over(String),
    /// ZooKeeper's own word.
    Refused(ZkError),
}

/// One session. Its first call without an answer is its last one. Dropping it ends the session in the background.
pub struct Client {
    jobs: Sender<Job>,
    line: Line,
    /// Disconnected when the crate's threads have ended.
    ended: Receiver<()>,
    /// For each call.
    patience: Duration,
}

impl Client {
    /// Goes on with a session that a server has given. The crate has understood that when this returns.
    pub fn start(greeted: Greeted, patience: Duration) -> Result<Self, CallError> {
        let given = greeted.given;
        let bound = given * 2 + LAST;
        let no_thread = |error: io::Error| CallError::Over(error.to_string());
        let (address, line) = relay::start(greeted, bound).map_err(no_thread)?;
        let (jobs, work) = bounded::<Job>(0);
        let (ending, ended) = bounded(0);
        let owner = Owner { address, given, patience, bound, work, line: line.clone(), _ending: ending };
        let thread = thread::Builder::new().name("zk-session".into());
        if let Err(error) = thread.spawn(move || owner.run()) {
            line.finish();
            return Err(no_thread(error));
        }
        Ok(Self { jobs, line, ended, patience })
    }

    /// Runs one request, once. Where no answer came it may have happened, or may happen yet.
    pub fn call<T, F>(&self, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(&ZooKeeper) -> ZkResult<T> + Send + 'static,
    {
        let deadline = Instant::now() + self.patience;
        let (answers, answer) = bounded(1);
        let job: Job = Box::new(move |session| {
            // Nobody listens any more when the deadline has passed.
            drop(answers.send(request(session)));
        });
        if self.line.is_cut() || self.jobs.send_deadline(job, deadline).is_err() {
            return Err(self.over(deadline));
        }
        match answer.recv_deadline(deadline) {
            Ok(Err(ZkError::ConnectionLoss)) | Err(_) => Err(self.over(deadline)),
            Ok(answer) => answer.map_err(CallError::Refused),
        }
    }

    /// Nothing more is asked of a session that has not answered.
    fn over(&self, deadline: Instant) -> CallError {
        let error = match Instant::now() >= deadline && !self.line.is_cut() {
            true => CallError::TimedOut,
            false => CallError::Over(self.line.why()),
        };
        self.line.cut("a call had no answer in time");
        error
    }

    pub fn is_over(&self) -> bool {
        self.line.is_cut()
    }

    /// Ends the session, and its ephemeral nodes with it. False: that was not confirmed within the time of a call.
    pub fn close(self) -> bool {
        let Self { jobs, ended, patience, .. } = self;
        drop(jobs);
        // Disconnected, not timed out.
        matches!(ended.recv_timeout(patience), Err(crossbeam_channel::RecvTimeoutError::Disconnected))
    }
}

/// The thread that owns the crate's session.
struct Owner {
    address: SocketAddr,
    given: Duration,
    patience: Duration,
    bound: Duration,
    work: Receiver<Job>,
    line: Line,
    _ending: Sender<()>,
}

impl Owner {
    fn run(self) {
        let address = self.address.to_string();
        // Out of sockets, it panics.
        let session = catch_unwind(|| ZooKeeper::connect(&address, self.given, |_event| {}));
        if let Ok(Ok(session)) = session {
            let closed = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&closed);
            session.add_listener(move |state| {
                if state == ZkState::Closed {
                    seen.store(true, Ordering::Release);
                }
            });
            self.serve(&session);
            self.close(&session, &closed);
        }
        self.line.finish();
    }

    fn serve(&self, session: &ZooKeeper) {
        loop {
            let job = select! {
                recv(self.work) -> job => job,
                recv(self.line.over) -> _ => return,
            };
            let Ok(job) = job else { return };
            if catch_unwind(AssertUnwindSafe(|| job(session))).is_err() {
                self.line.cut("an answer could not be understood");
                return;
            }
        }
    }

    /// With the server as long as it answers, behind that with the relay. The crate's threads end in either case.
    fn close(&self, session: &ZooKeeper, closed: &AtomicBool) {
        self.line.cut_at(Instant::now() + self.patience);
        let deadline = Instant::now() + self.bound;
        while !closed.load(Ordering::Acquire) && session.close().is_err() && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
    }
}
