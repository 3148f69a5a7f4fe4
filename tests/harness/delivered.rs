//! What fountain delivered: runs of the built program against a server, and their lines as JSON.

use super::Fountain;
use super::Output;
use super::Server;
use super::server::REPLICA;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Long enough for every run in the suite on a loaded machine; a run that hangs fails here.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The lines of a finished run.
pub struct Delivered {
    pub lines: Vec<Value>,
    pub stderr: String,
}

impl Delivered {
    /// `fountain run --until end` with the file sink, from a home of its own; panics unless it exits with 0.
    pub fn run_until_end(server: &Server, extra: &[&str]) -> Delivered {
        let home = Fountain::new();
        let output = run_until(&home, server, "end", extra);
        assert_eq!(output.code, 0, "{}", output.stderr);
        Delivered { lines: parse(&data(&home.home().join("data"))), stderr: output.stderr }
    }

    /// `fountain cat` of files; panics unless it exits with 0.
    pub fn cat(files: &[&Path], extra: &[String]) -> Delivered {
        let output = cat(files, extra);
        assert_eq!(output.code, 0, "{}", output.stderr);
        Delivered { lines: parse(&output.stdout), stderr: output.stderr }
    }
}

/// `fountain run --until …` with the file sink in `home`.
pub fn run_until(home: &Fountain, server: &Server, until: &str, extra: &[&str]) -> Output {
    home.run(&run_arguments(home, server, &[&["--until", until], extra].concat()), PATIENCE)
}

/// The arguments of `fountain run` against one server with the file sink, unless `extra`, which stands behind, names another.
pub fn run_arguments(home: &Fountain, server: &Server, extra: &[&str]) -> Vec<String> {
    run_arguments_through(home, server, server.port(), extra)
}

/// As `run_arguments`, through a proxy on that port.
pub fn run_arguments_through(home: &Fountain, server: &Server, port: u16, extra: &[&str]) -> Vec<String> {
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(server.shard_arguments_through(0, home.home(), port));
    if !extra.iter().any(|argument| argument.starts_with("sink=")) {
        arguments.extend(["-D", "sink=file"].map(str::to_owned));
    }
    arguments.extend(extra.iter().map(|argument| (*argument).to_owned()));
    arguments
}

/// Keys as `-D` arguments.
pub fn keys<'a>(pairs: &[&'a str]) -> Vec<&'a str> {
    pairs.iter().flat_map(|pair| ["-D", *pair]).collect()
}

/// Files as `cat` takes them.
pub fn as_paths(files: &[PathBuf]) -> Vec<&Path> {
    files.iter().map(AsRef::as_ref).collect()
}

/// `run --until end` into files against a port of a host, for servers that are none of the harness; `pairs` are its keys.
pub fn run_at(home: &Fountain, host: &str, port: u16, pairs: &[&str]) -> Output {
    let password = home.write("password", REPLICA.1);
    let always = [
        format!("mysql_shard_0_server={host}"),
        format!("mysql_shard_0_port={port}"),
        format!("mysql_password_file={}", password.display()),
        format!("mysql_username={}", REPLICA.0),
        "sink=file".to_owned(),
        "dispatch_ddl=none".to_owned(),
    ];
    let always: Vec<&str> = always.iter().map(String::as_str).collect();
    let arguments = [&["run", "--until", "end"][..], &keys(&[&always, pairs].concat())].concat();
    home.run(&arguments, PATIENCE)
}

/// `fountain cat`, whatever it comes to.
pub fn cat(files: &[&Path], extra: &[String]) -> Output {
    let mut arguments = vec!["cat".to_owned()];
    arguments.extend_from_slice(extra);
    arguments.extend(files.iter().map(|path| path.to_str().expect("a path in UTF-8").to_owned()));
    super::run_fountain(&arguments, PATIENCE)
}

/// All data files of a file sink's folder, concatenated in name order.
pub fn data(folder: &Path) -> String {
    loop {
        // A run that goes on may give a file its final name between the look into the folder and the one into the file.
        match data_files(folder).iter().map(std::fs::read_to_string).collect() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            text => return text.expect("data is UTF-8"),
        }
    }
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.ends_with(".jsonl") || name.ends_with(".part")
    });
    files.sort();
    files
}

/// Lines as JSON; a torn or empty line fails the test.
pub fn parse(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON: {e}: {line:.300}")))
        .collect()
}

/// The row lines of one table.
pub fn row_lines<'a>(lines: &'a [Value], database: &str, table: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["database"] == database && line["table"] == table)
        .filter(|line| matches!(line["op"].as_str(), Some("insert" | "update" | "delete")))
        .collect()
}

/// Inserts, updates and deletes among the lines.
pub fn counts(lines: &[Value]) -> (u64, u64, u64) {
    let of = |op: &str| lines.iter().filter(|line| line["op"] == op).count() as u64;
    (of("insert"), of("update"), of("delete"))
}

/// A line without what `fountain cat` leaves out: the shard, whom we are connected to, and `seq`.
pub fn without_live_fields(line: &Value) -> Value {
    let mut line = line.clone();
    for field in ["shard", "server", "seq"] {
        line.as_object_mut().expect("a line is an object").remove(field);
    }
    line
}
