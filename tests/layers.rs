//! scripts/check-layers.sh finds what it is there to find, and lets the rest be.

use std::path::Path;
use std::process::Command;

/// What the script says about a source folder with these files.
fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("cannot make folders");
        std::fs::write(path, text).expect("cannot write a file");
    }
    run(folder.path())
}

fn run(folder: &Path) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check-layers.sh");
    let output = Command::new(script).arg(folder).output().expect("cannot start check-layers.sh");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.success(), text.is_empty(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn our_own_source_keeps_the_rules() {
    assert_eq!(run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")), Vec::<String>::new());
}

#[test]
fn a_module_may_use_what_its_line_says_and_itself() {
    let fine = "use crate::code::Code;\nuse crate::config::keys::Key;\n/// See [crate::mysql].\n// crate::cli\nfn f() {}\n";
    assert_eq!(complaints(&[("config/mod.rs", fine)]), Vec::<String>::new());
    assert_eq!(
        complaints(&[("config/mod.rs", "use crate::code::Code;\nuse crate::mysql::Connection;\n")]),
        ["src/config/mod.rs:2: `config` may not use `crate::mysql::Connection`"]
    );
    assert_eq!(
        complaints(&[("schema/a/b.rs", "fn f() {\n    let x = crate::sink::Sink::new();\n}\n")]),
        ["src/schema/a/b.rs:2: `schema` may not use `crate::sink::Sink`"]
    );
}

#[test]
fn a_line_may_allow_a_part_of_a_module() {
    let text = "use crate::binlog::gtid_set::GtidSet;\nuse crate::binlog::Decoder;\n";
    assert_eq!(
        complaints(&[("sync_point/mod.rs", text)]),
        ["src/sync_point/mod.rs:2: `sync_point` may not use `crate::binlog::Decoder`"]
    );
}

#[test]
fn ways_around_are_seen() {
    assert_eq!(
        complaints(&[
            ("schema/mod.rs", "use super::mysql::Connection;\n"),
            ("schema/a.rs", "use super::B;\n")
        ]),
        ["src/schema/mod.rs:1: `super::` leaves the module here: write `crate::…`"]
    );
    assert_eq!(
        complaints(&[("schema/a.rs", "use super::super::mysql::Connection;\n")]),
        ["src/schema/a.rs:1: `super::` leaves the module here: write `crate::…`"]
    );
    assert_eq!(
        complaints(&[("schema/a.rs", "use crate::{code, mysql};\n")]),
        ["src/schema/a.rs:1: one `use crate::…;` per line, please"]
    );
    assert_eq!(
        complaints(&[("helpers.rs", "")]),
        ["src/helpers.rs:0: the module `helpers` has no line in check-layers.sh"]
    );
}

#[test]
fn pure_modules_touch_nothing() {
    assert_eq!(
        complaints(&[("change/a.rs", "use std::fs::File;\nfn f() { std::time::Instant::now(); }\n")]),
        [
            "src/change/a.rs:1: `change` is pure: no std::fs here",
            "src/change/a.rs:2: `change` is pure: no Instant::now here"
        ]
    );
    let elsewhere =
        [("mysql/a.rs", "use std::net::TcpStream;\n"), ("binlog/file.rs", "use std::fs::File;\n")];
    assert_eq!(complaints(&elsewhere), Vec::<String>::new());
    assert_eq!(complaints(&[("column/a.rs", "use std::net::Ipv6Addr;\n")]), Vec::<String>::new());
}

#[test]
fn modules_that_read_bytes_from_outside_carry_the_lints() {
    let complaint = "src/wire/mod.rs:1: the lints against panics are missing: \
                     #![cfg_attr(not(test), deny(clippy::indexing_slicing, …))]";
    assert_eq!(complaints(&[("wire/mod.rs", "//! Wire.\nmod a;\n")]), [complaint]);
    let guarded = "#![cfg_attr(not(test), deny(clippy::indexing_slicing))]\nmod a;\n";
    assert_eq!(complaints(&[("wire/mod.rs", guarded)]), Vec::<String>::new());
}

#[test]
fn test_code_is_exempt() {
    let inline = "#[cfg(test)]\nuse std::fs::File;\n#[cfg(test)]\nfn f() {\n    std::fs::read(\"{\");\n}\nfn g() {}\n\
                  #[cfg(test)]\nmod tests {\n    use crate::mysql::Connection;\n    use std::net::TcpStream;\n}\n";
    assert_eq!(complaints(&[("change/a.rs", inline)]), Vec::<String>::new());
    let after = "#[cfg(test)]\nfn f() {\n    std::fs::read(\"{\");\n}\nuse std::fs::File;\n";
    assert_eq!(
        complaints(&[("change/a.rs", after)]),
        ["src/change/a.rs:5: `change` is pure: no std::fs here"]
    );
    let file = [
        ("change/mod.rs", "#![deny(clippy::indexing_slicing)]\n#[cfg(test)]\nmod cases;\n"),
        ("change/cases.rs", "use std::fs::File;\n"),
    ];
    assert_eq!(complaints(&file), Vec::<String>::new());
}

#[test]
fn files_stay_small_without_their_tests() {
    let body = "fn f() {}\n".repeat(500);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{body}}}\n");
    assert_eq!(complaints(&[("mysql/a.rs", &format!("{body}{tests}"))]), Vec::<String>::new());
    assert_eq!(
        complaints(&[("mysql/a.rs", &format!("{body}\n{tests}"))]),
        ["src/mysql/a.rs:501: more than 500 lines before its tests: cut it by what it knows"]
    );
}
