//! Tells the program which commit and target it is built from. Works without git and outside of a checkout:
//! the commit is "unknown" then, unless FOUNTAIN_COMMIT names it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=scripts/build.rs");
    println!("cargo:rerun-if-env-changed=FOUNTAIN_COMMIT");
    let named = std::env::var("FOUNTAIN_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = named.or_else(checked_out).unwrap_or_else(|| "unknown".to_string());
    println!("cargo:rustc-env=FOUNTAIN_COMMIT={commit}");
    println!("cargo:rustc-env=FOUNTAIN_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// The commit of the checkout that this folder is the top of. Unpacked inside somebody else's checkout, that
/// repository's commit says nothing about us.
fn checked_out() -> Option<String> {
    let folder = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&folder).canonicalize().ok()? {
        return None;
    }
    // Every commit and checkout writes to these; a file that does not exist would have cargo build anew each
    // time.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_string()).filter(|text| !text.is_empty())
}
