//! `zk_auth_file`: who we are to ZooKeeper.

use crate::code::Code;
use crate::coordination::CoordinationError;
use crate::secret::Secret;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// More than any user and password.
const LENGTH_MAX: u64 = 64 * 1024;
/// May stand in front, as in zkCli's addauth.
const SCHEME: &str = "digest:";

/// Reads `user:password` or `digest:user:password`. A file that others may read is refused.
pub fn read(path: &Path) -> Result<Secret, CoordinationError> {
    let refused = |code, what: String| CoordinationError::Unusable {
        code,
        text: format!("zk_auth_file {}: {what}", path.display()),
    };
    let unread = |error: std::io::Error| refused(Code::FileError, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unread)?;
    let mode = file.metadata().map_err(unread)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!(
            "holds a password, and others may use it (mode {mode:04o}); run: chmod 600 {}",
            path.display()
        );
        return Err(refused(Code::FileMode, what));
    }
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX).read_to_end(&mut bytes).map_err(unread)?;
    let text = String::from_utf8(bytes).map_err(|_| refused(Code::Config, "is not UTF-8 text".to_owned()))?;
    let line = text.trim_end_matches(['\n', '\r']);
    let pair = line.strip_prefix(SCHEME).filter(|rest| rest.contains(':')).unwrap_or(line);
    match pair.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !pair.contains('\n') => {
            Ok(Secret::new(pair.to_owned()))
        }
        _ => Err(refused(Code::Config, "expected one line, user:password".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn user_and_password_are_read_from_a_file_of_our_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth");
        let with = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path).map(|secret| secret.reveal().to_owned()).map_err(|error| error.code())
        };
        for (text, pair) in
            [("u:p\n", "u:p"), ("digest:u:p:q\r\n", "u:p:q"), ("digest:p", "digest:p"), ("u: p ", "u: p ")]
        {
            assert_eq!(with(text, 0o600), Ok(pair.to_owned()));
        }
        for text in ["", "u", "u:", ":p", "u:p\nv:q\n"] {
            assert_eq!(with(text, 0o400), Err(Code::Config), "{text:?}");
        }
        assert_eq!(with("u:p", 0o640), Err(Code::FileMode));
        assert!(!read(&path).unwrap_err().to_string().contains("u:p"));
        assert_eq!(read(&folder.path().join("none")).unwrap_err().code(), Code::FileError);
    }
}
