//! Asking the node that runs here.

use crate::control::address::Address;
use crate::control::address::NAME;
use crate::control::line;
use crate::control::line::NoLine;
use crate::control::protocol::ANSWER_MAX;
use crate::control::protocol::Answer;
use crate::control::protocol::LINE_PATIENCE;
use crate::control::protocol::Request;
use rustix::net::sockopt::socket_peercred;
use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What came of asking.
#[derive(Debug)]
pub enum Asked {
    Answered(Answer),
    /// No process listens there.
    NoNode,
    /// One does, or may, and gave no answer: why.
    NoAnswer(String),
}

/// Asks the node whose `status_dir` that is; its answer is waited for so long.
pub fn ask(folder: &Path, request: &Request, patience: Duration) -> Asked {
    let path = folder.join(NAME);
    let no_answer = |what: String| Asked::NoAnswer(format!("{}: {what}", path.display()));
    let mut stream = match connect(folder) {
        Ok(stream) => stream,
        // A process that is gone leaves its socket behind.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Asked::NoNode;
        }
        Err(error) => return no_answer(error.to_string()),
    };
    if let Err(why) = may_answer(&stream, folder) {
        return no_answer(why);
    }
    let text = match serde_json::to_string(request) {
        Ok(text) => text,
        Err(error) => return no_answer(error.to_string()),
    };
    if let Err(error) = line::write(&mut stream, &text, LINE_PATIENCE) {
        // It may have answered before it listened, and closed.
        log::debug!("{}: {error}", path.display());
    }
    match line::read(&mut stream, ANSWER_MAX, patience) {
        Ok(line) => match serde_json::from_slice(&line) {
            Ok(answer) => Asked::Answered(answer),
            Err(error) => no_answer(format!("the answer makes no sense: {error}")),
        },
        Err(NoLine::Late) => {
            no_answer(format!("the node does not answer within {patience:?}: is it stopped or overloaded?"))
        }
        Err(NoLine::Cut) => {
            no_answer(format!("the node went away before it answered{}", may_be_done(request)))
        }
        Err(NoLine::TooLong) => no_answer("the answer has no end".to_owned()),
        Err(NoLine::Failed(error)) => no_answer(error.to_string()),
    }
}

/// Whoever can write into the folder could listen there: the kernel's word on who does.
fn may_answer(stream: &UnixStream, folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("who listens there cannot be told: {error}");
    let peer = socket_peercred(stream).map_err(|error| failed(error.into()))?.uid.as_raw();
    let ours = rustix::process::geteuid().as_raw();
    let owner = std::fs::metadata(folder).map_err(failed)?.uid();
    match is_trusted(peer, ours, owner) {
        true => Ok(()),
        false => Err(format!("user {peer} listens there, not user {ours} or root: it is not asked")),
    }
}

/// Root asks every user's node: then the folder says whose that is.
fn is_trusted(peer: u32, ours: u32, owner: u32) -> bool {
    peer == ours || peer == 0 || (ours == 0 && peer == owner)
}

/// What is wanted of a shard is kept with its point before it is waited for.
fn may_be_done(request: &Request) -> &'static str {
    match request {
        Request::Suspend { .. } | Request::Resume { .. } => {
            ": it may have been done, and holds then; say it again, or see \"fountain status\""
        }
        Request::Status {} | Request::Switch { .. } | Request::StepDown { .. } => "",
    }
}

/// A node that is frozen lets connections queue up; then connecting waits as well (unix(7), SO_SNDTIMEO).
fn connect(folder: &Path) -> io::Result<UnixStream> {
    let address = Address::new(folder, NAME)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(LINE_PATIENCE))?;
    socket.connect(&SockAddr::unix(&address.path)?)?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_in_place_of_a_node_is_not_believed() {
        assert!(is_trusted(7, 7, 7) && is_trusted(0, 7, 7) && is_trusted(7, 0, 7));
        assert!(!is_trusted(8, 7, 7) && !is_trusted(8, 7, 8) && !is_trusted(8, 0, 7) && !is_trusted(8, 0, 0));
    }
}
