//! Where a password comes from.

use crate::secret::Secret;
use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::PathBuf;

/// More than any server takes for a password.
const LENGTH_MAX: u64 = 64 * 1024;

/// A password, or the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// `mysql_password`; empty for an account without one.
    Inline(Secret),
    /// `mysql_password_file`, read anew at each connect.
    File(PathBuf),
}

/// The password's file cannot be used.
#[derive(Debug)]
pub struct PasswordError {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mysql_password_file {}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for PasswordError {}

impl Password {
    /// The password as it is now. One line end behind it falls off, as editors leave one.
    pub fn read(&self) -> Result<Secret, PasswordError> {
        let path = match self {
            Password::Inline(password) => return Ok(password.clone()),
            Password::File(path) => path,
        };
        let refuse = |reason: String| PasswordError { path: path.clone(), reason };
        let mut bytes = Vec::new();
        let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
            File::open(path)?.take(LENGTH_MAX + 1).read_to_end(bytes)
        };
        let length = read(&mut bytes).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        if length as u64 > LENGTH_MAX {
            return Err(refuse(format!("larger than {LENGTH_MAX} bytes, which no password is")));
        }
        let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".to_string()))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Secret::new(
            line.strip_suffix('\r').filter(|_| line.len() < text.len()).unwrap_or(line).to_string(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let password = Password::File(path.clone());
        let missing = password.read().unwrap_err().to_string();
        assert!(missing.contains("password: cannot be read: No such file"), "{missing}");
        let cases = [
            ("one", "one"),
            (" two \n", " two "),
            ("three\r\n", "three"),
            ("four\r", "four\r"),
            ("\n\n", "\n"),
            ("", ""),
        ];
        for (content, expected) in cases {
            std::fs::write(&path, content).unwrap();
            assert_eq!(password.read().unwrap().reveal(), expected);
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert!(password.read().unwrap_err().to_string().ends_with("is not UTF-8 text"));
    }

    #[test]
    fn an_inline_password_is_itself_and_not_shown() {
        let password = Password::Inline(Secret::new("u7".to_string()));
        assert_eq!(password.read().unwrap().reveal(), "u7");
        assert!(!format!("{password:?}").contains("u7"));
    }
}
