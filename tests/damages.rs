//! What a binlog suffers, and places that a server refuses to dump from: told by one line with code, place and cure, every
//! time, and no row is passed over.

mod harness;
mod server_errors {
    pub mod runs;
}

use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::assert_refused_for;
use server_errors::runs::BIG;
use server_errors::runs::FOREIGN;
use server_errors::runs::create;
use server_errors::runs::ids;
use server_errors::runs::insert;
use server_errors::runs::until_end;
use std::fs::OpenOptions;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;

/// Changes a file under the server's hands.
fn damage(path: &Path, at: u64, change: impl Fn(u8) -> u8) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).expect("a binlog");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).expect("that byte");
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&[change(byte[0])])).expect("writable");
}

/// Where the first event of that kind stands in the server's n-th binlog, and where it ends.
fn event(server: &Server, file: &Path, kind: &str, nth: usize) -> (u64, u64) {
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    let events = server.binlog_events(name, 4);
    let found: Vec<_> = events.iter().filter(|event| event.kind.starts_with(kind)).collect();
    (found[nth].pos, found[nth].end)
}

/// Two binlogs: the first holds rows 1 to 3 and ends, the second row 4.
fn two_files(server: &Server) -> std::path::PathBuf {
    create(server);
    server.flush_logs();
    (1..=3).for_each(|id| insert(server, id));
    server.flush_logs();
    insert(server, 4);
    let files = server.binlogs();
    files[files.len() - 2].clone()
}

/// What is done to the file with rows 1 to 3, and what comes of it.
struct Damage {
    what: &'static str,
    options: &'static [&'static str],
    inflict: fn(&Server, &Path),
    code: &'static str,
    parts: &'static [&'static str],
    /// Rows that come before it is told.
    before: &'static [u64],
}

fn flip_in_second_row(server: &Server, file: &Path) {
    let (_, end) = event(server, file, "Write_rows", 1);
    damage(file, end - 5, |byte| byte ^ 0x10);
}

fn lie_about_length(server: &Server, file: &Path) {
    let (pos, _) = event(server, file, "Write_rows", 1);
    damage(file, pos + 9, |_| 5);
    damage(file, pos + 10, |_| 0);
}

fn cut_in_second_row(server: &Server, file: &Path) {
    let (_, end) = event(server, file, "Write_rows", 1);
    OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(end - 7)).expect("a shorter file");
}

fn remove(_: &Server, file: &Path) {
    std::fs::remove_file(file).expect("removable");
}

fn spoil_magic(_: &Server, file: &Path) {
    damage(file, 1, |_| b'x');
}

const DAMAGES: &[Damage] = &[
    Damage {
        what: "a byte of a row",
        options: &[],
        inflict: flip_in_second_row,
        code: "CHECKSUM",
        parts: &["binlog."],
        before: &[1],
    },
    Damage {
        what: "a byte of a row, seen by the server",
        options: &["--loose-master-verify-checksum=ON", "--loose-source-verify-checksum=ON"],
        inflict: flip_in_second_row,
        code: "CHECKSUM",
        parts: &["1236", "mysqlbinlog --verify-binlog-checksum"],
        before: &[1],
    },
    Damage {
        what: "an event that says it is 5 bytes long",
        options: &[],
        inflict: lie_about_length,
        code: "BAD_EVENT",
        parts: &["1236", "mysqlbinlog"],
        before: &[1],
    },
    Damage {
        what: "a file that ends within a row",
        options: &[],
        inflict: cut_in_second_row,
        code: "BAD_EVENT",
        parts: &["1236", "mysqlbinlog"],
        before: &[1],
    },
    Damage {
        what: "a file that is gone",
        options: &[],
        inflict: remove,
        code: "PURGED",
        // Error 1236, or MariaDB's 29.
        parts: &["(error ", "the server's error log"],
        before: &[],
    },
    Damage {
        what: "a file that is no binlog",
        options: &[],
        inflict: spoil_magic,
        code: "BAD_EVENT",
        parts: &["1236"],
        before: &[],
    },
];

/// What [`create`] makes.
const DEFINITION: &str = r#"{"database":"d","table":"t","columns":[{"name":"id","type":"int"},{"name":"v","type":"varchar(9000)"}],"key":["id"]}"#;

fn damages(kind: Kind) {
    for damage in DAMAGES {
        let options = [FOREIGN, &["--binlog-checksum=CRC32"], damage.options].concat();
        let Some(server) = Server::start_private(kind, &options) else { return };
        let what = format!("{kind}: {}", damage.what);
        let file = two_files(&server);
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let start = format!("mysql_binlogdump_filename={name}");
        (damage.inflict)(&server, &file);
        let home = Fountain::new();
        // Nothing behind the damage can be read ahead as a proof of what the server says of the table.
        let definitions = home.home().join("definitions");
        std::fs::write(&definitions, DEFINITION).expect("the file of definitions");
        let schema_file = format!("schema_file={}", definitions.display());
        let pairs = [&start[..], "mysql_binlogdump_position=4", &schema_file];
        // MariaDB is asked for the GTID at a place, and tells then that there is none.
        let (code, parts) = match (kind, damage.code, damage.before.is_empty()) {
            (Kind::Mariadb, "BAD_EVENT", true) => ("POINT_FOREIGN", &["starts at 4"][..]),
            _ => (damage.code, damage.parts),
        };
        let output = until_end(&home, &server, &pairs);
        assert_refused_for(&what, &output, 1, code, parts);
        assert_eq!(ids(&output.stdout), damage.before, "{what}: {}", output.stderr);
        // Told again, and no row passed over, however often it is tried.
        let output = until_end(&home, &server, &pairs);
        assert_refused_for(&what, &output, 1, code, parts);
        assert_eq!(ids(&output.stdout), [0u64; 0], "{what}: {}", output.stderr);
    }
}

#[test]
fn damages_of_mysql_97() {
    damages(Kind::Mysql97);
}

#[test]
fn damages_of_mysql_56() {
    damages(Kind::Mysql56);
}

#[test]
fn damages_of_mariadb() {
    damages(Kind::Mariadb);
}

/// Without a definition from elsewhere the first row needs a proof, and what lies behind damage cannot be known: told with the
/// place of the damage, not as if the first row were bad.
#[test]
fn damage_met_while_reading_ahead() {
    for kind in [Kind::Mysql97, Kind::Mysql56, Kind::Mariadb] {
        let options = [FOREIGN, &["--binlog-checksum=CRC32"]].concat();
        let Some(server) = Server::start_private(kind, &options) else { continue };
        let file = two_files(&server);
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let (bad, _) = event(&server, &file, "Write_rows", 1);
        lie_about_length(&server, &file);
        let start = format!("mysql_binlogdump_filename={name}");
        let home = Fountain::new();
        let output = until_end(&home, &server, &[&start, "mysql_binlogdump_position=4"]);
        let ahead = format!("while reading ahead for DDL, at {name}:{bad}: ");
        let parts = ["d.t: ", &ahead, "1236", "schema_file"];
        assert_refused_for(&format!("{kind}"), &output, 1, "BAD_EVENT", &parts);
        assert_eq!(ids(&output.stdout), [0u64; 0], "{kind}: {}", output.stderr);
        // Their cure: what lies in front of the damage comes.
        let definitions = home.write("definitions", DEFINITION);
        let schema_file = format!("schema_file={}", definitions.display());
        let output = until_end(&home, &server, &[&start, "mysql_binlogdump_position=4", &schema_file]);
        assert_refused_for(&format!("{kind}"), &output, 1, "BAD_EVENT", &["1236"]);
        assert_eq!(ids(&output.stdout), [1], "{kind}: {}", output.stderr);
        assert!(!output.stderr.contains("reading ahead"), "{kind}: {}", output.stderr);
    }
}

/// Places and settings that a server refuses to dump from.
#[test]
fn places_and_settings_without_a_dump() {
    for kind in Kind::ALL {
        let Some(mut server) = Server::start_private(kind, FOREIGN) else { continue };
        let file = two_files(&server);
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let (pos, _) = event(&server, &file, "Write_rows", 1);
        let start = |pos: u64| {
            let file = format!("mysql_binlogdump_filename={name}");
            let pos = format!("mysql_binlogdump_position={pos}");
            until_end(&Fountain::new(), &server, &[&file, &pos])
        };
        let output = start(pos + 3);
        let (code, parts) = match kind {
            Kind::Mariadb => ("POINT_FOREIGN", ["no event", "starts at"]),
            _ => ("BAD_EVENT", ["1236", "start of an event"]),
        };
        assert_refused_for(&format!("{kind}: in mid-event"), &output, 1, code, &parts);
        let output = start(999_999);
        assert_refused_for(&format!("{kind}: beyond the end"), &output, 1, "POINT_BEYOND_END", &[name]);
        // Rows larger than max_allowed_packet are sent all the same, or refused with the cure.
        server.sql(&format!("INSERT INTO d.t VALUES (5,{BIG})"));
        server.sql("SET GLOBAL max_allowed_packet=1024");
        let output = until_end(&Fountain::new(), &server, &[]);
        assert_eq!((output.code, ids(&output.stdout)), (0, vec![1, 2, 3, 4, 5]), "{kind}: {}", output.stderr);
        // Others do not take that, or look at the configuration file alone.
        if kind == Kind::Mysql97 {
            server.sql("SET GLOBAL server_id=0");
            let output = until_end(&Fountain::new(), &server, &[]);
            assert_refused_for(
                &format!("{kind}: server_id=0"),
                &output,
                1,
                "CONFIG",
                &["1236", "set server_id in"],
            );
        }
        server.restart_with(&[FOREIGN, &["--skip-log-bin"]].concat());
        let output = until_end(&Fountain::new(), &server, &[]);
        assert_refused_for(&format!("{kind}: no binlog"), &output, 1, "BINLOG_OFF", &["log_bin"]);
    }
}
