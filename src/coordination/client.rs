//! A ZooKeeper session behind deadlines.
//!
//! The crate has none of its own: a request to a frozen server waits for ever, a connect may panic, and a session that is
//! dropped while it reconnects lives on. So a thread owns the session, every call is waited for with a deadline, a panic
//! ends the thread alone, and the end closes the session until that is certain.

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;
use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use zookeeper::ZkError;
use zookeeper::ZkResult;
use zookeeper::ZooKeeper;

const RETRY: Duration = Duration::from_millis(50);

type Job = Box<dyn FnOnce(&ZooKeeper) + Send>;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CallError {
    /// Not within the deadline, or the session's thread has ended.
    TimedOut,
    /// ZooKeeper's own word.
    Refused(ZkError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Refused(error) => write!(f, "{error:?}"),
        }
    }
}

/// One session.
pub struct Client {
    jobs: Sender<Job>,
    /// For each call.
    patience: Duration,
}

impl Client {
    /// Begins a session with any of these servers (`host:port,host:port`). Whether it comes about shows at the first call.
    pub fn open(servers: &str, session_timeout: Duration, patience: Duration) -> io::Result<Self> {
        let (jobs, work) = bounded::<Job>(0);
        let servers = servers.to_owned();
        let thread = thread::Builder::new().name("zk-session".into());
        thread.spawn(move || {
            let session = catch_unwind(|| ZooKeeper::connect(&servers, session_timeout, |_event| {}));
            if let Ok(Ok(session)) = session {
                serve(&session, &work);
                close(&session, session_timeout);
            }
        })?;
        Ok(Self { jobs, patience })
    }

    /// Runs one request. While the session comes about, the crate answers ConnectionLoss: then it is asked again.
    pub fn call<T, F>(&self, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Fn(&ZooKeeper) -> ZkResult<T> + Clone + Send + 'static,
    {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.once(request.clone(), deadline) {
                Err(CallError::Refused(ZkError::ConnectionLoss)) if Instant::now() + RETRY < deadline => {
                    thread::sleep(RETRY);
                }
                answer => return answer,
            }
        }
    }

    fn once<T, F>(&self, request: F, deadline: Instant) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(&ZooKeeper) -> ZkResult<T> + Send + 'static,
    {
        let (answers, answer) = bounded(1);
        let job: Job = Box::new(move |session| {
            // Nobody listens any more when the deadline has passed.
            drop(answers.send(request(session)));
        });
        self.jobs.send_deadline(job, deadline).map_err(|_| CallError::TimedOut)?;
        match answer.recv_deadline(deadline) {
            Ok(answer) => answer.map_err(CallError::Refused),
            Err(_) => Err(CallError::TimedOut),
        }
    }
}

fn serve(session: &ZooKeeper, work: &Receiver<Job>) {
    while let Ok(job) = work.recv() {
        if catch_unwind(AssertUnwindSafe(|| job(session))).is_err() {
            return;
        }
    }
}

/// `close` fails while the crate reconnects, and what is dropped then goes on by itself.
fn close(session: &ZooKeeper, session_timeout: Duration) {
    let deadline = Instant::now() + session_timeout;
    while session.close().is_err() && Instant::now() < deadline {
        thread::sleep(RETRY);
    }
}
