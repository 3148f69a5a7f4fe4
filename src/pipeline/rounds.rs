//! Connecting: rounds over a shard's sources, each tried once in a round.

use crate::code::Code;
use crate::config::FailBack;
use crate::config::ShardConfig;
use crate::guard::trouble::Cause;
use crate::pipeline::catch_up::ASK_AGAIN;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::first_words;
use crate::pipeline::patience::Next;
use crate::pipeline::producer::Producer;
use crate::pipeline::producer::Ready;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_config;
use crate::pipeline::start;
use crate::pipeline::start::Resume;
use crate::pipeline::start::is_same_server;
use crate::pipeline::start::position_failover::Jump;
use crate::pipeline::until::Target;
use crate::status::State;
use crate::sync_point::ServerIdentity;
use std::time::Instant;

/// Why a source is not read.
pub(super) enum Unopened {
    /// It lacks something of ours, and may catch up.
    Lags(Box<Session>, Fault),
    Failed(Fault),
}

impl From<Fault> for Unopened {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl Ready {
    /// Set where it does not simply go on behind the point.
    pub fn jump(&self, shard: &ShardConfig, resume: Option<&Resume>) -> Option<Jump> {
        Jump::of(shard, resume, &self.dump, &self.session)
    }
}

impl Producer {
    /// Connects, repeating whole rounds over the sources as long as that may help. `Ok(None)`: a stop was asked for.
    pub fn connect(&mut self, resume: Option<&Resume>) -> Result<Option<Ready>, Fault> {
        self.connect_rather(resume, None)
    }

    /// The first connect of a run. With `fail_back=manual` it goes on with the server that was read last, if that serves.
    pub fn connect_first(&mut self, resume: Option<&Resume>) -> Result<Option<Ready>, Fault> {
        let Some(resume) = resume else { return self.connect(None) };
        self.switches.point_is_of(&resume.identity);
        let stays = self.shard.fail_back == FailBack::Manual && self.shard.sources.len() > 1;
        self.connect_rather(Some(resume), stays.then_some(&resume.identity))
    }

    fn connect_rather(
        &mut self,
        resume: Option<&Resume>,
        mut wanted: Option<&ServerIdentity>,
    ) -> Result<Option<Ready>, Fault> {
        loop {
            if let Some(ready) = self.go_over_by_wish(resume) {
                self.taken(self.current);
                return Ok(Some(ready));
            }
            let fault = match self.round(resume, wanted.take()) {
                Ok(ready) => return Ok(Some(ready)),
                Err(_) if self.stop.requested() => return Ok(None),
                Err(fault) => fault,
            };
            self.live.status.enter(State::Connecting, fault.to_string());
            if self.catch_up.is_waiting() {
                if let Some(ready) = self.wait_for_lagging(resume) {
                    return Ok(Some(ready));
                }
            } else {
                self.note_trouble(&fault);
                match self.patience.after_round(&fault) {
                    Next::GiveUp => return Err(fault),
                    Next::Again { pause, .. } => self.live.switch.wait(&self.stop, pause),
                };
            }
            if self.stop.requested() {
                return Ok(None);
            }
        }
    }

    /// Another node may reach the servers from where it stands; what they answer is the same for all.
    fn note_trouble(&self, fault: &Fault) {
        match fault.code {
            Code::HostUnknown
            | Code::Unreachable
            | Code::Timeout
            | Code::ConnectionLost
            | Code::Stalled
            | Code::Tls
            | Code::AccessDenied => self.trouble.met(Cause::Source),
            _ => self.trouble.over(Cause::Source),
        }
    }

    /// Tries each source once: the current one, and after a pause the others in turn. `wanted`: that server is looked for
    /// among them, and taken rather than others that could serve too.
    fn round(&mut self, resume: Option<&Resume>, wanted: Option<&ServerIdentity>) -> Result<Ready, Fault> {
        let count = self.shard.sources.len();
        let mut worst: Option<Fault> = None;
        let mut spare: Option<(usize, Ready)> = None;
        for step in 0..count {
            if step == 1 && spare.is_none() && self.stop.wait(self.shard.data_source_try_interval) {
                break;
            }
            let index = (self.current + step) % count;
            let outcome = match self.try_source(index, resume) {
                Ok(ready) if wanted.is_some_and(|wanted| !is_that(&ready, wanted)) => {
                    spare.get_or_insert((index, ready));
                    continue;
                }
                outcome => outcome.and_then(|ready| self.take(ready, index)),
            };
            match outcome {
                Ok(ready) => return Ok(ready),
                Err(fault) if fault.cure == Cure::Stop => return Err(fault),
                Err(fault) => {
                    if step == 0 && fault.cure != Cure::Wait {
                        self.switches.note_trouble(&fault);
                    }
                    worst = Some(worse(worst, fault));
                }
            }
        }
        match spare {
            Some((index, ready)) => self.take(ready, index),
            None => Err(worst.unwrap_or_else(|| {
                Fault::retry(Code::Unreachable, format!("shard={} has no source", self.shard.name))
            })),
        }
    }

    fn try_source(&mut self, index: usize, resume: Option<&Resume>) -> Result<Ready, Fault> {
        let session = self.catch_up.take(index);
        let fault = match self.open(index, session, resume) {
            Ok(ready) => return Ok(ready),
            Err(Unopened::Failed(fault)) => fault,
            Err(Unopened::Lags(session, fault)) => self.catch_up.lags(index, *session, fault),
        };
        self.note_unopened(index, &fault);
        Err(fault)
    }

    fn note_unopened(&mut self, index: usize, fault: &Fault) {
        if !matches!(fault.cure, Cure::Stop | Cure::Wait) {
            self.patience.after_connect(index, fault);
        }
    }

    /// Asks those that are waited for, until one has caught up or it is time to look at the others too.
    fn wait_for_lagging(&mut self, resume: Option<&Resume>) -> Option<Ready> {
        self.catch_up.tell();
        let until = Instant::now() + self.shard.repeat_resource_interval.max(ASK_AGAIN);
        loop {
            let pause = self.catch_up.pause();
            if self.live.switch.wait(&self.stop, pause) || self.live.switch.is_full() {
                return None;
            }
            for index in self.catch_up.waiting() {
                if let Ok(ready) = self.try_source(index, resume)
                    && let Ok(ready) = self.take(ready, index)
                {
                    return Some(ready);
                }
            }
            if !self.catch_up.is_waiting() || Instant::now() >= until {
                return None;
            }
        }
    }

    /// This source is the one that is read. What it decides for the run, one that is not read must not.
    fn take(&mut self, ready: Ready, index: usize) -> Result<Ready, Fault> {
        let ready = self.settle(ready).inspect_err(|fault| self.note_unopened(index, fault))?;
        self.taken(index);
        Ok(ready)
    }

    fn taken(&mut self, index: usize) {
        self.current = index;
        self.catch_up.over(index);
        self.trouble.over(Cause::Source);
    }

    /// Opens a source and proves that it can serve us; on `session`, where it is open already.
    pub(super) fn open(
        &mut self,
        index: usize,
        session: Option<Session>,
        resume: Option<&Resume>,
    ) -> Result<Ready, Unopened> {
        let (Some(source), Some(ids)) = (self.shard.sources.get(index), self.ids.get_mut(index)) else {
            let text = format!("shard={} has no source {index}", self.shard.name);
            return Err(Fault::stop(Code::Internal, text).into());
        };
        let mut session = match session {
            Some(session) => session,
            None => {
                let config = source_config(&self.shard, source, ids.take(), &self.replica_uuid)?;
                Session::open(&self.shard.name, config, &self.stop)?
            }
        };
        match start::plan(&self.shard, &mut session, resume.cloned(), self.old_point.as_ref()) {
            Ok(dump) => Ok(Ready { session, dump }),
            Err(fault) if fault.cure == Cure::Wait => Err(Unopened::Lags(Box::new(session), fault)),
            Err(fault) => Err(fault.into()),
        }
    }

    /// What the first source that is read decides for the run.
    pub(super) fn settle(&mut self, mut ready: Ready) -> Result<Ready, Fault> {
        if let (None, Some(until)) = (&self.target, &self.until) {
            self.target = Some(Target::fix(until, &self.shard.name, &mut ready.session, &ready.dump)?);
        }
        if !std::mem::replace(&mut self.introduced, true) {
            first_words::tell(&self.shard, &mut ready.session);
        }
        Ok(ready)
    }
}

fn is_that(ready: &Ready, wanted: &ServerIdentity) -> bool {
    is_same_server(ready.session.facts.flavor(), &ready.session.identity(), wanted)
}

/// What may pass by itself decides: as long as one source may come back, there is hope.
fn worse(worst: Option<Fault>, fault: Fault) -> Fault {
    match worst {
        Some(worst) if worst.cure == Cure::Retry || fault.cure != Cure::Retry => worst,
        _ => fault,
    }
}
