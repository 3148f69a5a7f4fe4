//! Going over from one source of a shard to another: when one fails, by a person's wish, or back to the main server. Each
//! change is told in one line, with its reason.

use crate::binlog::ExecutedGtids;
use crate::code::Code;
use crate::config::DumpStrategy;
use crate::config::FailBack as FailBackChoice;
use crate::config::ShardConfig;
use crate::mysql::binlog_stream::DumpRequest;
use crate::mysql::preflight::Flavor;
use crate::pipeline::fail_back::FailBack;
use crate::pipeline::fail_back::Pauses;
use crate::pipeline::fault::Cure;
use crate::pipeline::fault::Fault;
use crate::pipeline::producer::Producer;
use crate::pipeline::producer::Ready;
use crate::pipeline::replica::ReplicaIds;
use crate::pipeline::rounds::Unopened;
use crate::pipeline::session::Session;
use crate::pipeline::session::source_config;
use crate::pipeline::start::Dump;
use crate::pipeline::start::Resume;
use crate::pipeline::start::identity_text;
use crate::pipeline::start::is_same_server;
use crate::pipeline::wishes::SwitchWish;
use crate::sync_point::ServerIdentity;
use log::Level;
use std::time::Duration;
use std::time::Instant;

/// A source that was chosen and lags a little is waited for so long before the former one is read on.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What a producer knows of its changes from source to source.
pub struct Switches {
    /// The server that was read last; at first the one that the point is of.
    read: Option<Read>,
    /// What became of it.
    why: Option<String>,
    /// Set when a stream is left that could be read on.
    leaving: Option<Leaving>,
    /// Set until the first event of a source that was chosen has come.
    arriving: Option<Arriving>,
    /// What is to be told then.
    coming: Option<(Level, String, Read)>,
    /// Looks at the main server while a backup is read.
    fail_back: Option<FailBack>,
    pauses: Pauses,
}

#[derive(Debug, Clone)]
struct Read {
    identity: ServerIdentity,
    /// `host:port`; none where only the point tells of it.
    place: Option<String>,
}

enum Leaving {
    Wish(SwitchWish),
    Back,
}

struct Arriving {
    leaving: Leaving,
    /// The index of the source that was read before.
    from: usize,
}

impl Switches {
    pub fn new(shard: &ShardConfig) -> Self {
        Self {
            read: None,
            why: None,
            leaving: None,
            arriving: None,
            coming: None,
            fail_back: None,
            pauses: Pauses::new(shard.repeat_resource_interval),
        }
    }

    /// The point is of this server.
    pub fn point_is_of(&mut self, identity: &ServerIdentity) {
        self.read.get_or_insert_with(|| Read { identity: identity.clone(), place: None });
    }

    /// Why the source that was read last is not read any more.
    pub fn note_trouble(&mut self, fault: &Fault) {
        self.why = Some(fault.to_string());
    }
}

impl Leaving {
    fn index(&self) -> usize {
        match self {
            Self::Wish(wish) => wish.source,
            Self::Back => 0,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Wish(_) => "it was asked for (fountain switch)",
            Self::Back => "the main server serves again and has all that was delivered (fail_back=auto)",
        }
    }
}

impl Producer {
    // ---------------------------------------------------------------------------------------------- while a stream is read

    /// A stream is about to begin.
    pub(super) fn note_coming(&mut self, session: &Session, dump: &Dump) {
        let read = Read { identity: session.identity(), place: Some(session.server.clone()) };
        let switches = &mut self.switches;
        let line = switches.read.as_ref().and_then(|last| line(last, &read, session.facts.flavor()));
        let by_gtid = !matches!(dump.request, DumpRequest::Position { .. });
        let carried_over = by_gtid || self.shard.dump_strategy == DumpStrategy::Ares;
        switches.coming = Some(match (line, carried_over) {
            (Some(line), true) => {
                let why = switches.why.as_deref().unwrap_or("it is the first that serves");
                let name = &self.shard.name;
                let text = format!(
                    "{}: shard={name} {line}, reading on {}; {why}",
                    Code::SourceSwitched,
                    dump.described
                );
                (Level::Warn, text, read)
            }
            // A position is not carried over without a word of its own.
            _ => (Level::Debug, format!("shard={} reading {}", self.shard.name, session.server), read),
        });
        switches.fail_back = None;
        if by_gtid && self.shard.fail_back == FailBackChoice::Auto && self.current != 0 {
            self.watch_main(session);
        }
    }

    fn watch_main(&mut self, session: &Session) {
        let Some(main) = self.shard.sources.first() else { return };
        let config =
            source_config(&self.shard, main, ReplicaIds::new(main.slave_id).take(), &self.replica_uuid);
        match config {
            Ok(main) => {
                let both = (main, session.config.clone());
                let pause = self.switches.pauses.first();
                self.switches.fail_back = FailBack::start(&self.shard, both, pause, &self.stop);
            }
            Err(fault) => log::debug!("{fault}; no fail_back"),
        }
    }

    /// The first event has come. Whether that is a change of the source, which is told here.
    pub(super) fn note_arrival(&mut self, server: &str) -> bool {
        let mut changed = false;
        self.target_stays = true;
        if let Some((level, text, read)) = self.switches.coming.take() {
            changed = level == Level::Warn;
            log::log!(level, "{text}");
            self.switches.read = Some(read);
            self.switches.why = None;
        }
        match self.switches.arriving.take().map(|arriving| arriving.leaving) {
            Some(Leaving::Wish(wish)) => {
                wish.answer(Ok(format!("shard={} source={server} is read now", self.shard.name)));
            }
            Some(Leaving::Back) => self.switches.pauses.returned(),
            None => {}
        }
        changed
    }

    /// Whether to leave a sound stream may have to be decided. Cheap: asked for each event.
    pub(super) fn may_leave(&self) -> bool {
        self.live.switch.is_full() || self.switches.fail_back.as_ref().is_some_and(FailBack::is_fresh)
    }

    /// At a border of transactions: whether the stream is left for another source.
    pub(super) fn leaves(&mut self, server: &str, executed: Option<&ExecutedGtids>) -> bool {
        if let Some(wish) = self.live.switch.take() {
            return match wish.source == self.current {
                true => {
                    wish.answer(Ok(format!("shard={} source={server} is read already", self.shard.name)));
                    false
                }
                false => {
                    self.switches.leaving = Some(Leaving::Wish(wish));
                    true
                }
            };
        }
        let back = match (&self.switches.fail_back, executed) {
            (Some(look), Some(ours)) => look.main_goes_on_behind(ours),
            _ => false,
        };
        if back {
            self.switches.leaving = Some(Leaving::Back);
        }
        back
    }

    /// The stream broke. A source that was chosen and breaks before its first event is not kept.
    pub(super) fn note_break(&mut self, fault: &Fault) {
        self.switches.coming = None;
        self.switches.fail_back = None;
        match self.switches.arriving.take() {
            Some(Arriving { leaving, from }) => {
                self.current = from;
                self.give_up(leaving, fault);
            }
            None => self.switches.note_trouble(fault),
        }
    }

    // --------------------------------------------------------------------------------------------------- between streams

    /// Connects for the next stream: to the source for which the last one was left, or to any.
    pub(super) fn go_on(&mut self, resume: &Resume) -> Result<Option<Ready>, Fault> {
        self.switches.fail_back = None;
        if let Some(leaving) = self.switches.leaving.take()
            && let Some(ready) = self.go_over(leaving, Some(resume))
        {
            return Ok(Some(ready));
        }
        self.connect(Some(resume))
    }

    /// Obeys a wish that came while nothing is read.
    pub(super) fn go_over_by_wish(&mut self, resume: Option<&Resume>) -> Option<Ready> {
        let wish = self.live.switch.take()?;
        self.go_over(Leaving::Wish(wish), resume)
    }

    fn go_over(&mut self, leaving: Leaving, resume: Option<&Resume>) -> Option<Ready> {
        match self.open_chosen(leaving.index(), resume) {
            Ok(ready) => {
                let from = std::mem::replace(&mut self.current, leaving.index());
                self.switches.why = Some(leaving.reason().to_owned());
                self.switches.arriving = Some(Arriving { leaving, from });
                Some(ready)
            }
            Err(fault) => {
                self.give_up(leaving, &fault);
                None
            }
        }
    }

    /// One that lags by little is waited for, for a while in which nothing is read.
    fn open_chosen(&mut self, index: usize, resume: Option<&Resume>) -> Result<Ready, Fault> {
        let begun = Instant::now();
        let patience = self.shard.source_catchup_wait.min(LONGEST_WAIT);
        let mut session = None;
        loop {
            match self.open(index, session, resume) {
                Ok(ready) => return self.settle(ready),
                Err(Unopened::Failed(fault)) => return Err(fault),
                Err(Unopened::Lags(open, fault)) => {
                    if begun.elapsed() >= patience || self.stop.wait(ASK_AGAIN) {
                        return Err(Fault { cure: Cure::Refused, ..fault });
                    }
                    session = Some(*open);
                }
            }
        }
    }

    fn give_up(&mut self, leaving: Leaving, fault: &Fault) {
        match leaving {
            Leaving::Wish(wish) => {
                log::warn!("{fault}; it was asked for (fountain switch) and is not taken");
                wish.answer(Err(fault.clone()));
            }
            Leaving::Back => {
                log::info!("{fault}; the backup is read on");
                self.switches.pauses.failed();
            }
        }
    }
}

/// From where to where; none where it is the same server as before.
fn line(last: &Read, now: &Read, flavor: Flavor) -> Option<String> {
    let same = is_same_server(flavor, &last.identity, &now.identity);
    let (before, after) = (identity_text(&last.identity), identity_text(&now.identity));
    let place = now.place.as_deref().unwrap_or_default();
    match &last.place {
        None if same => None,
        None => Some(format!("from the server of the point ({before}) to {place} ({after})")),
        Some(was) if was == place && same => None,
        Some(was) if was == place => {
            Some(format!("another server answers at {place} now: it was {before}, it is {after}"))
        }
        Some(was) if same => Some(format!("from {was} to {place}, which is the same server ({after})")),
        Some(was) => Some(format!("from {was} ({before}) to {place} ({after})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(place: Option<&str>, uuid: &str) -> Read {
        let identity = ServerIdentity { server_uuid: Some(uuid.into()), server_id: 1 };
        Read { identity, place: place.map(str::to_owned) }
    }

    #[test]
    fn a_change_is_told_by_place_and_identity() {
        let told = |last: &Read, now: &Read| line(last, now, Flavor::MySql);
        let a = read(Some("a:1"), "u-1");
        assert_eq!(told(&a, &a), None);
        assert_eq!(told(&read(None, "u-1"), &a), None);
        let from_point = told(&read(None, "u-2"), &a).unwrap();
        assert!(from_point.contains("server of the point (server_uuid u-2") && from_point.contains("to a:1"));
        let to_b = told(&a, &read(Some("b:1"), "u-2")).unwrap();
        assert!(to_b.starts_with("from a:1 (server_uuid u-1") && to_b.contains("to b:1 (server_uuid u-2"));
        let same_place = told(&a, &read(Some("a:1"), "u-2")).unwrap();
        assert!(same_place.starts_with("another server answers at a:1 now"), "{same_place}");
        let same_server = told(&a, &read(Some("b:1"), "u-1")).unwrap();
        assert!(same_server.ends_with("which is the same server (server_uuid u-1, server_id 1)"));
    }
}
