//! Names, labels and statements in every character set: what the server shows in UTF-8 is what fountain delivers.

mod harness;

use fountain::column::Charset;
use harness::Kind;
use harness::Row;
use harness::Server;
use harness::Session;
use harness::delivered::Delivered;
use harness::delivered::cat;
use harness::delivered::keys;
use harness::delivered::row_lines;
use serde_json::json;

const SERVERS: &[(Kind, &[&str])] = &[
    (Kind::Mysql56, &[]),
    (Kind::Mysql97, &["--binlog-row-metadata=FULL"]),
    (Kind::Mysql97, &["--binlog-row-metadata=MINIMAL"]),
    (Kind::Mariadb, &["--binlog-row-metadata=FULL"]),
    (Kind::Mariadb118, &["--binlog-row-metadata=NO_LOG"]),
];

/// A set, two labels and a name in it.
const LABELS: &[(&str, [&str; 2], &str)] = &[
    ("armscii8", ["աբ", "գ"], "դ"),
    ("ascii", ["a", "b c"], "name"),
    ("big5", ["功", "許蓋"], "中"),
    ("cp1250", ["łódź", "č"], "ž"),
    ("cp1251", ["Привет", "ї"], "ж"),
    ("cp850", ["é", "ß½"], "ü"),
    ("cp932", ["表", "①ソ"], "能"),
    ("eucjpms", ["表", "①ソ"], "能"),
    ("euckr", ["한국", "갂"], "글"),
    ("gb18030", ["一", "㐀é"], "誠"),
    ("gb2312", ["一", "中文"], "语"),
    ("gbk", ["一", "誠乣"], "語"),
    ("greek", ["Ελλ", "ά"], "ω"),
    ("hebrew", ["שלום", "א"], "ב"),
    ("koi8r", ["Привет", "ё"], "ж"),
    ("latin1", ["é€", "ß"], "ñ"),
    ("latin2", ["łódź", "č"], "ž"),
    ("latin5", ["ğ", "ış"], "İ"),
    ("sjis", ["表", "ソｱ"], "能"),
    ("swe7", ["åäö", "Åland"], "Ö"),
    ("tis620", ["ไทย", "ก"], "ข"),
    ("ucs2", ["日本", "é"], "語"),
    ("ujis", ["表", "ソ丂"], "能"),
    ("utf16", ["日本😀", "é"], "語"),
    ("utf16le", ["日本😀", "é"], "語"),
    ("utf32", ["日本😀", "é"], "語"),
    ("utf8", ["日本", "é"], "語"),
    ("utf8mb4", ["日本😀", "é"], "語"),
];

fn has_gb18030(kind: Kind) -> bool {
    kind == Kind::Mysql97
}

/// Only full metadata holds labels with characters beyond U+FFFF: the catalog shows `?`.
fn hides_labels(options: &[&str]) -> bool {
    !options.iter().any(|option| option.ends_with("FULL"))
}

/// MySQL 5.6 itself no longer knows labels of these sets: its `SELECT` prints garbage or nothing.
fn loses_labels(kind: Kind, set: &str) -> bool {
    kind == Kind::Mysql56 && ["ucs2", "utf16", "utf16le", "utf32"].contains(&set)
}

fn labels_and_names(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    let sets: Vec<_> = LABELS
        .iter()
        .filter(|(set, _, _)| (*set != "gb18030" || has_gb18030(kind)) && !loses_labels(kind, set))
        .collect();
    let definitions: Vec<String> = sets
        .iter()
        .map(|(set, [one, two], name)| {
            format!(
                "`e_{set}_{name}` ENUM('{one}','{two}') CHARACTER SET {set} COMMENT '{name}', `s_{set}_{name}` \
                 SET('{one}','{two}') CHARACTER SET {set}, `c_{set}_{name}` CHAR(9) CHARACTER SET {set}, \
                 `t_{set}_{name}` TEXT CHARACTER SET {set}"
            )
        })
        .collect();
    let columns: Vec<String> = sets
        .iter()
        .flat_map(|(set, _, name)| ["e", "s", "c", "t"].map(|kind| format!("{kind}_{set}_{name}")))
        .collect();
    let names: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    let mut session = server.session();
    session.sql(&format!(
        "SET sql_mode='STRICT_ALL_TABLES'; CREATE DATABASE `库ж` CHARACTER SET utf8; \
         CREATE TABLE `库ж`.`表é` (id INT PRIMARY KEY, {}) ENGINE=InnoDB",
        definitions.join(",")
    ));
    // By index and bits: 5.6 does not find a label of ucs2 by its text.
    let values = |form: &dyn Fn(&[&str; 2], &str) -> String| -> String {
        sets.iter().map(|(_, labels, name)| form(labels, name)).collect()
    };
    let first = values(&|[one, _], name| format!(",1,1,'{name} ','{one} '"));
    let second = values(&|[one, two], name| format!(",2,3,'{one}{name}','{}'", two.repeat(100)));
    session.sql(&format!("INSERT INTO `库ж`.`表é` VALUES (1{first}),(2{second})"));
    let told = session.select(&format!("SELECT {} FROM `库ж`.`表é` ORDER BY id", names.join(",")));

    let delivered =
        Delivered::run_until_end(&server, &keys(&["start_without_point=beginning", "dispatch_ddl=none"]));
    let lines = row_lines(&delivered.lines, "库ж", "表é");
    assert_eq!(lines.len(), 2, "{kind}");
    let hidden = hides_labels(options);
    for (row, line) in lines.iter().enumerate() {
        for (column, told) in columns.iter().zip(&told[row]) {
            let told = told.as_deref().expect("no value is NULL");
            let is_hidden = hidden && told.contains('😀') && !column.starts_with(['c', 't']);
            // Of ENUM the index, of SET the bits: the first label, or both.
            let expected =
                if is_hidden { json!(if told.contains(',') { 3 } else { 1 }) } else { json!(told) };
            assert_eq!(line["after"][column], expected, "{kind} {options:?} {column}");
        }
    }
    assert_eq!(
        delivered.stderr.contains("shows characters that utf8mb3 lacks"),
        hidden,
        "{}",
        delivered.stderr
    );
}

#[test]
fn labels_and_names_mysql56() {
    labels_and_names(SERVERS[0].0, SERVERS[0].1);
}

#[test]
fn labels_and_names_mysql97_full_metadata() {
    labels_and_names(SERVERS[1].0, SERVERS[1].1);
}

#[test]
fn labels_and_names_mysql97() {
    labels_and_names(SERVERS[2].0, SERVERS[2].1);
}

#[test]
fn labels_and_names_mariadb_full_metadata() {
    labels_and_names(SERVERS[3].0, SERVERS[3].1);
}

#[test]
fn labels_and_names_mariadb118() {
    labels_and_names(SERVERS[4].0, SERVERS[4].1);
}

/// A client's set, a name in it, and another one. Some of the characters end in a backslash, or would be UTF-8 of other
/// letters. None ends in a backtick: of such names MariaDB takes a part only, and MySQL 9.7 logs a DROP that it does not
/// understand itself.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("gbk", "一誠", "語"),
    ("gb18030", "一誠", "㐀"),
    ("sjis", "表ソ能", "ｱ"),
    ("cp932", "表ソ能", "①"),
    ("big5", "功許蓋", "中"),
    ("ujis", "表ソ", "丂"),
    ("eucjpms", "表ソ", "①"),
    ("euckr", "한국", "갂"),
    ("gb2312", "一中", "语"),
    ("latin1", "é", "Ã©"),
    ("cp1251", "Ж", "ї"),
    ("utf8mb4", "一é", "語"),
];

/// Runs a statement in the bytes of a client that has said `SET NAMES <set>`; the server itself makes those bytes.
fn run_in(server: &Server, client: &mut Session, set: &str, sql: &str) {
    let literal = sql.replace('\\', "\\\\").replace('\'', "''");
    let ask = format!("SELECT CAST(CONVERT('{literal}' USING {set}) AS BINARY)");
    let mut rows = server.session().try_select(&ask).unwrap_or_else(|error| panic!("{error}"));
    let bytes = rows.remove(0).remove(0).expect("bytes");
    client.send_bytes(&bytes);
    client.finish().unwrap_or_else(|error| panic!("{set} {sql}: {error}"));
}

/// DDL of watched tables, as the client typed it, and of others, which must not come.
fn statements(kind: Kind) {
    let Some(server) = Server::start_private(kind, &[]) else { return };
    server.sql("CREATE DATABASE d CHARACTER SET utf8");
    let mut expected = Vec::new();
    for (set, name, other) in CLIENTS.iter().filter(|(set, _, _)| *set != "gb18030" || has_gb18030(kind)) {
        let mut client = server.session();
        client.sql(&format!("SET NAMES {set}; USE d"));
        let mut run = |sql: &str| run_in(&server, &mut client, set, sql);
        let typed = [
            format!("CREATE TABLE `{name}w` (a int COMMENT '{other}') ENGINE=InnoDB"),
            format!("ALTER TABLE `{name}w` ADD COLUMN `{other}` int"),
            format!("TRUNCATE `{name}w`"),
            format!("RENAME TABLE `{name}w` TO `{other}w`"),
            format!("TRUNCATE `{other}w`"),
        ];
        for sql in &typed {
            run(sql);
            expected.push(vec![sql.clone()]);
        }
        run(&format!("CREATE TABLE `{name}x` LIKE `{other}w`"));
        run(&format!("TRUNCATE `{name}x`"));
        run(&format!("CREATE TABLE `{name}w` AS SELECT a AS `{name}`, `{other}` FROM `{other}w`"));
        expected.push(vec![
            format!("CREATE TABLE `{name}w` "),
            format!("`{name}` int"),
            format!("`{other}` int"),
        ]);
        run(&format!("DROP TABLE `{name}x`"));
        run(&format!("DROP TABLE `{name}w`, `{other}w`"));
        expected.push(vec![format!("DROP TABLE `{name}w`"), format!("`{other}w`")]);
    }
    let white = "filter_shard_table_white=d\\..*w";
    let delivered = Delivered::run_until_end(&server, &keys(&["start_without_point=beginning", white]));
    let texts: Vec<&str> = delivered
        .lines
        .iter()
        .filter(|line| line["op"] == "ddl")
        .map(|line| line["sql"].as_str().expect("a text"))
        .filter(|sql| !sql.starts_with("CREATE DATABASE"))
        .collect();
    for (text, parts) in texts.iter().zip(&expected) {
        assert!(parts.iter().all(|part| text.contains(part)), "{kind}: {text:?} / {parts:?}");
        assert!(parts.len() > 1 || *text == parts[0], "{kind}: {text:?} / {parts:?}");
    }
    assert_eq!(texts.len(), expected.len(), "{kind}: {texts:#?}");
}

#[test]
fn statements_in_the_clients_set() {
    for kind in [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb, Kind::Mariadb118] {
        statements(kind);
    }
}

/// Every collation that the servers list, by id, means the set that they say.
#[test]
fn collations_of_all_servers() {
    for kind in [Kind::Mysql56, Kind::Mysql97, Kind::Mariadb, Kind::Mariadb118] {
        let Some(server) = Server::start(kind, &[]) else { continue };
        let table = if kind.is_mysql() { "COLLATIONS" } else { "COLLATION_CHARACTER_SET_APPLICABILITY" };
        let rows = server.select(&format!("SELECT ID, CHARACTER_SET_NAME FROM information_schema.{table}"));
        assert!(rows.len() > 210, "{kind}: {}", rows.len());
        for row in rows {
            let [Some(id), Some(name)] = &row[..] else { panic!("{kind}: {row:?}") };
            let id = id.parse().expect("a number");
            let found = match kind.is_mysql() {
                true => Charset::from_mysql_collation_id(id),
                false => Charset::from_collation_id(id),
            };
            assert_eq!(
                found.map(Charset::name),
                Charset::from_name(name).map(Charset::name),
                "{kind} {id} {name}"
            );
            assert!(found.is_some(), "{kind} {id} {name}");
        }
        let sets = server.select("SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS");
        let known = |row: &Row| Charset::from_name(row[0].as_deref()?).map(|set| set.max_bytes().to_string());
        for row in sets {
            assert_eq!(known(&row), row[1], "{kind} {row:?}");
        }
    }
}

/// An installation's own collation has an id that says nothing: the definition's set counts, and without one it is an error.
#[test]
fn a_collation_of_the_installation() {
    let Some(plain) = Server::start(Kind::Mysql97, &[]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let from = plain.value("SELECT @@character_sets_dir");
    for entry in std::fs::read_dir(&from).expect("the character sets").map(|entry| entry.expect("an entry")) {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
    }
    let index = folder.path().join("Index.xml");
    let own = "<charset name=\"ucs2\"><collation name=\"ucs2_own_ci\" id=\"1025\"><rules><reset>a</reset><s>b</s></rules>\
               </collation></charset></charsets>";
    let text = std::fs::read_to_string(&index).expect("Index.xml").replace("</charsets>", own);
    std::fs::write(&index, text).expect("Index.xml");
    drop(plain);

    let option = format!("--character-sets-dir={}", folder.path().display());
    let Some(server) = Server::start_private(Kind::Mysql97, &["--binlog-row-metadata=FULL", &option]) else {
        return;
    };
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, c VARCHAR(9) CHARACTER SET ucs2 COLLATE ucs2_own_ci, \
         e ENUM('日','é') CHARACTER SET ucs2 COLLATE ucs2_own_ci); INSERT INTO d.t VALUES (1,'日本é','é')",
    );
    let delivered =
        Delivered::run_until_end(&server, &keys(&["start_without_point=beginning", "dispatch_ddl=none"]));
    let lines = row_lines(&delivered.lines, "d", "t");
    assert_eq!(lines[0]["after"], json!({"id": 1, "c": "日本é", "e": "é"}));

    let files = server.binlogs();
    let output = cat(&[&files[0]], &[]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    for part in ["CHARSET_UNKNOWN", "d.t.c", "1025", "--schema"] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
}
