//! Where the socket is. Its address may be 107 bytes long (unix(7)), a path may be longer.

use rustix::fs::Mode;
use rustix::fs::OFlags;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;

/// The socket's name in `status_dir`.
pub const NAME: &str = "fountain.sock";

/// `sun_path` less the zero byte behind it.
const LONGEST: usize = 107;

/// A path that fits into a socket's address, and what keeps it good.
#[derive(Debug)]
pub struct Address {
    pub path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl Address {
    /// `name` in `folder`; a folder whose path is too long is reached by its open descriptor.
    pub fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path, _folder: None });
        }
        let open =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd()));
        Ok(Self { path, _folder: Some(open) })
    }
}
