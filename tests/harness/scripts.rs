//! scripts/servers.sh and the programs that it gets, called from Rust.

use super::Kind;
use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::PoisonError;

pub fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers.sh")
}

/// Runs scripts/servers.sh: what it printed, or what it complained of.
pub fn script(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(script_path()).args(arguments).output().expect("cannot start scripts/servers.sh");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Gets the programs of a kind: once per process, so that a machine which cannot have them says so without delay.
pub fn get(kind: Kind) -> Result<(), String> {
    static GOT: Mutex<Option<HashMap<Kind, Result<(), String>>>> = Mutex::new(None);
    let mut got = GOT.lock().unwrap_or_else(PoisonError::into_inner);
    let result = got.get_or_insert_default().entry(kind).or_insert_with(|| {
        // The last line is the reason, what stands above it is how it was tried.
        let reason = |told: String| told.lines().last().unwrap_or("scripts/servers.sh failed").to_owned();
        script(&["get", kind.word()]).map(drop).map_err(reason)
    });
    result.clone()
}

/// Gets what is no SQL server, by its word.
pub fn get_word(word: &str) -> Result<(), String> {
    let reason = |told: String| told.lines().last().unwrap_or("scripts/servers.sh failed").to_owned();
    script(&["get", word]).map(drop).map_err(reason)
}

/// A program in the servers' cache.
pub fn program(name: &str) -> PathBuf {
    let folder = script(&["path"]).unwrap_or_else(|why| panic!("{why}"));
    Path::new(&folder).join(name)
}

pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
