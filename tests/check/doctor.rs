//! `fountain check` as its tests call it, servers that it finds nothing wrong with, and how its lines are read.
#![allow(dead_code, reason = "each test uses its own part")]

use crate::harness::Fountain;
use crate::harness::Kind;
use crate::harness::Server;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a check has said.
pub struct Checked {
    pub exit: i32,
    pub lines: Vec<String>,
}

impl Checked {
    /// The first line of that level and code.
    pub fn line(&self, level: &str, code: &str) -> &str {
        let head = format!("{level:<5} {code} ");
        let found = self.lines.iter().find(|line| line.starts_with(&head));
        found.unwrap_or_else(|| panic!("no {head}in\n{}", self.lines.join("\n")))
    }

    pub fn has(&self, code: &str) -> bool {
        let word = format!(" {code} ");
        self.lines.iter().any(|line| line.get(5..).is_some_and(|rest| rest.starts_with(&word)))
    }

    pub fn is_healthy(&self) {
        let bad = |line: &&String| !line.starts_with("ok ");
        let bad: Vec<&String> = self.lines.iter().filter(bad).collect();
        assert!(bad.is_empty() && self.exit == 0, "exit {}: {bad:#?}", self.exit);
    }
}

/// A home with a folder for keys that others may not read.
pub struct Doctor {
    pub fountain: Fountain,
    pub arguments: Vec<String>,
}

impl Doctor {
    pub fn of(server: &Server) -> Doctor {
        let fountain = Fountain::new();
        let arguments = server.shard_arguments(0, fountain.home());
        let doctor = Doctor { fountain, arguments };
        doctor.protect("password");
        doctor
    }

    pub fn protect(&self, name: &str) {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.fountain.home().join(name), mode).expect("cannot change a mode");
    }

    pub fn check(&self, more: &[&str]) -> Checked {
        self.check_with(self.arguments.clone(), more)
    }

    pub fn check_with(&self, mut arguments: Vec<String>, more: &[&str]) -> Checked {
        arguments.insert(0, "check".to_owned());
        arguments.extend(more.iter().map(|word| word.to_string()));
        let output = self.fountain.run(&arguments, PATIENCE);
        assert!(
            !output.stdout.contains("replpw") && !output.stderr.contains("replpw"),
            "a password is shown"
        );
        let lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
        let last = lines.last().unwrap_or_else(|| panic!("nothing is said; stderr: {}", output.stderr));
        assert!(last.contains(" SUMMARY "), "the summary is last: {last}");
        assert_eq!(output.stderr, "", "everything is on stdout");
        Checked { exit: output.code, lines }
    }

    pub fn check_keys(&self, keys: &[&str]) -> Checked {
        let name = |pair: &str| pair.split_once('=').map(|(name, _)| name.to_owned());
        let replaced = |pair: &String| keys.iter().any(|key| name(key) == name(pair));
        let kept = self.arguments.chunks(2).filter(|words| !replaced(&words[1])).flatten().cloned().collect();
        let words: Vec<&str> = keys.iter().flat_map(|key| ["-D", *key]).collect();
        self.check_with(kept, &words)
    }
}

pub fn cure(line: &str) -> &str {
    line.split_once("; cure: ").unwrap_or_else(|| panic!("no cure: {line}")).1
}

/// The statements of a cure, without the words around them; `…` stands for what only the owner knows.
pub fn statements(line: &str, filled_in: &str) -> String {
    let cure = cure(line);
    let sql = cure.split_once("run on the server: ").unwrap_or_else(|| panic!("no statement: {line}")).1;
    let ends = [" (and ", " (each ", " (a number", " (or ", ", or ", "; sessions", " (without"];
    let end = ends.iter().filter_map(|end| sql.find(end)).min().unwrap_or(sql.len());
    sql[..end].replace('…', filled_in)
}

pub fn healthy_options(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Mysql56 => &[
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-slave-updates=ON",
            "--binlog-error-action=ABORT_SERVER",
        ],
        Kind::Mysql97 => &["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--binlog-row-metadata=FULL"],
        _ => &["--binlog-row-metadata=FULL"],
    }
}

pub fn healthy(kind: Kind) -> Option<Server> {
    let server = Server::start_private(kind, healthy_options(kind))?;
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.good (id INT PRIMARY KEY, name TEXT) ENGINE=InnoDB");
    if !kind.is_mysql() {
        server.sql("CREATE TABLE shop.versioned (id INT PRIMARY KEY, t TEXT UNIQUE) WITH SYSTEM VERSIONING ENGINE=InnoDB");
    }
    Some(server)
}
