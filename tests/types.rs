//! Every column type with its edge values, on every server: what fountain delivers is what `SELECT` prints.

mod harness;

use base64::Engine as _;
use harness::Fountain;
use harness::Kind;
use harness::Server;
use harness::delivered::Delivered;
use harness::delivered::counts;
use harness::delivered::row_lines;
use harness::logged_rows::assert_same_values;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// How a column is asked for, and how the answer compares with the delivered value.
#[derive(Clone, Copy, PartialEq)]
enum As {
    /// The text itself.
    Text,
    /// A number, exactly.
    Number,
    /// FLOAT: the shortest text that reads back to the same 32 bits.
    Float,
    /// DOUBLE: the shortest text that reads back to the same 64 bits.
    Double,
    /// Bytes, asked for as HEX and delivered as base64.
    Bytes,
    /// A JSON document, compared by value.
    Json,
    /// VECTOR: an array of 32-bit floats.
    Vector,
}

struct Column {
    name: &'static str,
    ddl: &'static str,
    how: As,
    values: &'static [&'static str],
}

const fn column(name: &'static str, ddl: &'static str, how: As, values: &'static [&'static str]) -> Column {
    Column { name, ddl, how, values }
}

/// Types that all servers have.
const COMMON: &[Column] = &[
    column("i8", "tinyint", As::Number, &["-128", "127", "0", "-1"]),
    column("u8", "tinyint unsigned", As::Number, &["0", "255", "128"]),
    column("b1", "tinyint(1)", As::Number, &["0", "1", "-1"]),
    column("i16", "smallint", As::Number, &["-32768", "32767", "-1"]),
    column("u16", "smallint unsigned", As::Number, &["0", "65535", "32768"]),
    column("i24", "mediumint", As::Number, &["-8388608", "8388607", "-1", "-7597992"]),
    column("u24", "mediumint unsigned", As::Number, &["0", "16777215", "8388608"]),
    column("i32", "int", As::Number, &["-2147483648", "2147483647", "-1"]),
    column("u32", "int unsigned", As::Number, &["0", "4294967295", "2147483648"]),
    column("z32", "int(8) zerofill", As::Number, &["0", "42", "4294967295"]),
    column("i64", "bigint", As::Number, &["-9223372036854775808", "9223372036854775807", "-1"]),
    column("u64", "bigint unsigned", As::Number, &["0", "18446744073709551615", "9223372036854775808"]),
    column(
        "f32",
        "float",
        As::Float,
        &["0", "-3.402823466e38", "1.17549435e-38", "0.1", "16777216", "-2.5", "1e-45"],
    ),
    column(
        "f64",
        "double",
        As::Double,
        &["0", "-1.7976931348623157e308", "2.2250738585072014e-308", "0.1", "1e15", "123456789.125"],
    ),
    column("d10", "decimal(10,0)", As::Text, &["0", "-9999999999", "9999999999", "1"]),
    column("d5_5", "decimal(5,5)", As::Text, &["0", "-0.99999", "0.00001"]),
    column(
        "d20_6",
        "decimal(20,6)",
        As::Text,
        &["0", "-12345678901234.567890", "0.000001", "-0.000001", "100.5"],
    ),
    column(
        "d65_30",
        "decimal(65,30)",
        As::Text,
        &[
            "0",
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "1.000000000000000000000000000001",
            "1000000000",
        ],
    ),
    column("d18_9", "decimal(18,9)", As::Text, &["999999999.999999999", "-0.000000001", "1000000.1"]),
    column("bit1", "bit(1)", As::Number, &["b'0'", "b'1'"]),
    column("bit12", "bit(12)", As::Number, &["b'0'", "b'101010101010'", "b'1'"]),
    column("bit64", "bit(64)", As::Number, &["0", "18446744073709551615", "1"]),
    column("y", "year", As::Number, &["0000", "1901", "2155", "2024"]),
    column(
        "da",
        "date",
        As::Text,
        &["'0000-00-00'", "'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'2024-00-00'", "'2024-05-00'"],
    ),
    column(
        "t0",
        "time",
        As::Text,
        &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'", "'177:54:40'"],
    ),
    column("t1", "time(1)", As::Text, &["'-838:59:58.9'", "'00:00:00.1'", "'-00:00:00.1'", "'-00:00:01.9'"]),
    column(
        "t3",
        "time(3)",
        As::Text,
        &["'-00:00:00.001'", "'12:34:56.789'", "'-12:34:56.001'", "'-00:00:01.000'"],
    ),
    column(
        "t6",
        "time(6)",
        As::Text,
        &["'-838:59:58.999999'", "'-00:00:00.000001'", "'00:00:00.000001'", "'-00:00:01.000000'"],
    ),
    column(
        "dt0",
        "datetime",
        As::Text,
        &["'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'2024-00-00 00:00:00'"],
    ),
    column(
        "dt2",
        "datetime(2)",
        As::Text,
        &["'0000-00-00 00:00:00'", "'2024-02-29 12:34:56.78'", "'9999-12-31 23:59:59.99'"],
    ),
    column("dt3", "datetime(3)", As::Text, &["'2024-02-29 12:34:56.789'", "'1000-01-01 00:00:00.001'"]),
    column("dt6", "datetime(6)", As::Text, &["'2024-02-29 12:34:56.000001'", "'9999-12-31 23:59:59.999999'"]),
    column(
        "ts0",
        "timestamp null",
        As::Text,
        &["'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2024-02-29 12:34:56'"],
    ),
    column("ts1", "timestamp(1) null", As::Text, &["'1970-01-01 00:00:01.0'", "'2024-02-29 12:34:56.7'"]),
    column("ts4", "timestamp(4) null", As::Text, &["'0000-00-00 00:00:00'", "'2024-02-29 12:34:56.7891'"]),
    column(
        "ts6",
        "timestamp(6) null",
        As::Text,
        &["'2038-01-19 03:14:07.999999'", "'1999-12-31 23:59:59.000001'"],
    ),
    column("c", "char(10)", As::Text, &["''", "'ab'", "'0123456789'", "'üñ€😀'", "'  x'"]),
    column("c255", "char(255)", As::Text, &["''", "REPEAT('😀',255)", "'tail'"]),
    column(
        "vc",
        "varchar(50)",
        As::Text,
        &["''", "'a\"b\\\\c\\n\\t\\r'", "'日本語 Привет'", "'trailing  '", "X'0001021f7f'"],
    ),
    column("vc300", "varchar(300)", As::Text, &["''", "REPEAT('ж',300)", "'short'"]),
    column("tt", "tinytext", As::Text, &["''", "REPEAT('x',255)"]),
    column("tx", "text", As::Text, &["''", "REPEAT('0123456789abcdef',4095)", "'😀😀'"]),
    column("mt", "mediumtext", As::Text, &["''", "REPEAT('y',70000)"]),
    column("lt", "longtext", As::Text, &["''", "'long'"]),
    column("l1", "varchar(40) character set latin1", As::Text, &["'é€ß'", "''", "'plain'"]),
    column("asc_", "varchar(40) character set ascii", As::Text, &["'plain'", "''"]),
    column("uc2", "varchar(40) character set ucs2", As::Text, &["'日本é'", "''"]),
    column("u16s", "varchar(40) character set utf16", As::Text, &["'日本😀'", "''"]),
    column("u32s", "varchar(40) character set utf32", As::Text, &["'日本😀'", "''"]),
    column("u8s", "varchar(40) character set utf8", As::Text, &["'日本é'", "''"]),
    column("cp1251s", "char(10) character set cp1251", As::Text, &["'Привет'", "''"]),
    column("koi8rs", "varchar(40) character set koi8r", As::Text, &["'Привет'", "''"]),
    column("l2s", "text character set latin2", As::Text, &["'łódź'", "''"]),
    column("bi", "binary(8)", As::Bytes, &["X'0001ff0000000000'", "''", "X'ffffffffffffffff'", "X'41'"]),
    column("bi255", "binary(255)", As::Bytes, &["X'00'", "REPEAT(X'ab',255)"]),
    column("vb", "varbinary(300)", As::Bytes, &["X'00ff00'", "''", "X'6100'", "REPEAT(X'00',300)"]),
    column("tb", "tinyblob", As::Bytes, &["''", "X'000102'"]),
    column("bl", "blob", As::Bytes, &["''", "REPEAT(X'00ff10',20000)"]),
    column("mb", "mediumblob", As::Bytes, &["''", "REPEAT(X'fe',70000)"]),
    column("lb", "longblob", As::Bytes, &["''", "X'deadbeef'"]),
    column("en", "enum('a','b,c','it''s','ü','')", As::Text, &["'a'", "'b,c'", "'it''s'", "'ü'", "''"]),
    column("se", "set('x','y z','q''r','ö')", As::Text, &["''", "'x'", "'x,y z,q''r,ö'", "'ö'"]),
    column(
        "ge",
        "geometry",
        As::Bytes,
        &["GeomFromTextHere('POINT(1 2)')", "GeomFromTextHere('LINESTRING(0 0,1 1)')"],
    ),
];

const MYSQL_97: &[Column] = &[
    column(
        "js",
        "json",
        As::Json,
        &[
            "'{}'",
            "'[]'",
            "'null'",
            "'true'",
            "'\"text \\\\\"quoted\\\\\" 😀\"'",
            "'{\"a\":1,\"b\":[1,-1,65536,4294967296,18446744073709551615,-9223372036854775808,1.5,1e100],\"c\":{\"d\":null,\"e\":false}}'",
            "JSON_OBJECT('dec',CAST('123.4500' AS DECIMAL(10,4)),'d',CAST('2024-02-29' AS DATE),'t',CAST('-12:34:56.5' AS TIME(1)),'dt',CAST('2024-02-29 01:02:03.000004' AS DATETIME(6)))",
            "JSON_OBJECT('big',REPEAT('x',70000),'arr',JSON_ARRAY(1,2,3))",
            "JSON_OBJECT('bin',CAST(X'00ff' AS BINARY),'bit',b'101')",
            "'-1'",
            "'0.1'",
        ],
    ),
    column("ve", "vector(3)", As::Vector, &["TO_VECTOR('[1,2.5,-3e10]')", "TO_VECTOR('[0,0,0]')"]),
];

const MARIADB: &[Column] = &[
    column("mjs", "json", As::Text, &["'{}'", "'{\"a\": [1, 2,  3]}'"]),
    column(
        "uu",
        "uuid",
        As::Text,
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-7fff-bfff-ffffffffff00'",
        ],
    ),
    column("i4", "inet4", As::Text, &["'0.0.0.0'", "'255.255.255.255'", "'10.0.0.0'"]),
    column(
        "vcc",
        "varchar(600) /*M!100301 COMPRESSED*/",
        As::Text,
        &["''", "'short'", "REPEAT('😀 long ',75)", "REPEAT('ü',600)"],
    ),
    column(
        "vcl",
        "varchar(300) /*M!100301 COMPRESSED*/ character set latin1",
        As::Text,
        &["''", "'é€ß'", "REPEAT('é€ß',100)"],
    ),
    column(
        "vbc",
        "varbinary(300) /*M!100301 COMPRESSED*/",
        As::Bytes,
        &["''", "X'00'", "REPEAT(X'00ff',150)"],
    ),
    column("ttc", "tinytext /*M!100301 COMPRESSED*/", As::Text, &["''", "REPEAT('x',254)"]),
    column("txc", "text /*M!100301 COMPRESSED*/", As::Text, &["REPEAT('0123456789',6500)", "''", "'😀'"]),
    column("mtc", "mediumtext /*M!100301 COMPRESSED*/", As::Text, &["REPEAT('y',3000000)", "'x'"]),
    column("blc", "blob /*M!100301 COMPRESSED*/", As::Bytes, &["REPEAT(X'00ff10',20000)", "''"]),
    column("lbc", "longblob /*M!100301 COMPRESSED*/", As::Bytes, &["X'deadbeef'", "REPEAT(X'deadbeef',300)"]),
    column("i6", "inet6", As::Text, &["'::'", "'2001:db8::ff00:42:8329'", "'::ffff:1.2.3.4'", "'1::'"]),
];

fn columns(kind: Kind) -> Vec<&'static Column> {
    let own: &[Column] = match kind {
        Kind::Mysql56 => &[],
        Kind::Mysql97 => MYSQL_97,
        Kind::Mariadb | Kind::Mariadb118 => MARIADB,
    };
    COMMON.iter().chain(own).collect()
}

/// `ST_GeomFromText` is `GeomFromText` on old servers.
fn geometry_function(kind: Kind, sql: &str) -> String {
    sql.replace("GeomFromTextHere", if kind == Kind::Mysql97 { "ST_GeomFromText" } else { "GeomFromText" })
}

const SESSION: &str = "SET NAMES utf8mb4; SET time_zone='+00:00'; SET sql_mode='NO_AUTO_VALUE_ON_ZERO'; ";

fn create_and_fill(server: &Server, kind: Kind, columns: &[&Column]) {
    let definitions: Vec<String> = columns.iter().map(|c| format!("`{}` {} ", c.name, c.ddl)).collect();
    server.sql(&format!(
        "{SESSION} CREATE DATABASE types CHARACTER SET utf8mb4; USE types; CREATE TABLE t (id int NOT NULL PRIMARY KEY, {}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
        definitions.join(",")
    ));
    let rows = columns.iter().map(|c| c.values.len()).max().unwrap_or(0);
    let names: Vec<String> = columns.iter().map(|c| format!("`{}`", c.name)).collect();
    for row in 0..rows {
        let values: Vec<&str> = columns.iter().map(|c| c.values[row % c.values.len()]).collect();
        let insert = format!(
            "{SESSION} USE types; INSERT INTO t (id,{}) VALUES ({row},{})",
            names.join(","),
            values.join(",")
        );
        server.sql(&geometry_function(kind, &insert));
    }
    server.sql("INSERT INTO types.t (id) VALUES (1000)");
}

/// What the server itself says about every row.
fn ask(server: &Server, columns: &[&Column]) -> BTreeMap<i64, BTreeMap<String, Option<String>>> {
    let asked: Vec<String> = columns
        .iter()
        .map(|c| match c.how {
            As::Bytes | As::Vector => format!("HEX(`{}`)", c.name),
            As::Number if c.ddl.starts_with("bit") || c.ddl.contains("zerofill") => format!("`{}`+0", c.name),
            As::Float => format!("`{}`+0e0", c.name),
            _ => format!("`{}`", c.name),
        })
        .collect();
    let mut session = server.session();
    session.sql(SESSION);
    let rows = session.select(&format!("SELECT id,{} FROM types.t ORDER BY id", asked.join(",")));
    rows.into_iter()
        .map(|row| {
            let mut cells = row.into_iter();
            let id = cells.next().flatten().expect("an id").parse().expect("a number");
            (id, columns.iter().map(|c| c.name.to_owned()).zip(cells).collect())
        })
        .collect()
}

fn same(how: As, told: &Option<String>, delivered: &Value) -> bool {
    let Some(told) = told else { return delivered.is_null() };
    match how {
        As::Text => delivered.as_str() == Some(told),
        // YEAR prints 0000, numbers print as they are: both are compared as whole numbers.
        As::Number => {
            delivered.is_number() && delivered.to_string().parse::<i128>().ok() == told.parse::<i128>().ok()
        }
        As::Float => delivered.to_string().parse::<f32>().ok() == told.parse::<f64>().ok().map(|d| d as f32),
        As::Double => delivered.to_string().parse::<f64>().ok() == told.parse::<f64>().ok(),
        As::Bytes => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(delivered.as_str().unwrap_or("?"));
            bytes.ok().map(|bytes| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>()).as_ref()
                == Some(told)
        }
        As::Json => serde_json::from_str::<Value>(told).ok().as_ref() == Some(delivered),
        As::Vector => {
            let floats: Vec<f32> = delivered
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_f64)
                .map(|d| d as f32)
                .collect();
            floats.iter().flat_map(|f| f.to_le_bytes()).map(|b| format!("{b:02X}")).collect::<String>()
                == *told
        }
    }
}

fn check_image(
    what: &str,
    image: &Value,
    told: &BTreeMap<i64, BTreeMap<String, Option<String>>>,
    columns: &[&Column],
    wrong: &mut Vec<String>,
) {
    let id = image["id"].as_i64().expect("id") % 10_000;
    let row = &told[&id];
    for column in columns {
        let delivered = image.get(column.name).unwrap_or(&Value::Bool(false));
        let told = &row[column.name];
        if !same(column.how, told, delivered) {
            let (told, delivered) = (format!("{told:?}"), delivered.to_string());
            let cut = |text: &str| text.chars().take(120).collect::<String>();
            wrong.push(format!(
                "{what} id={id} {}: SELECT {} / delivered {}",
                column.name,
                cut(&told),
                cut(&delivered)
            ));
        }
    }
}

fn every_type(kind: Kind, options: &[&str]) {
    let Some(server) = Server::start_private(kind, options) else { return };
    let columns = columns(kind);
    create_and_fill(&server, kind, &columns);
    let told = ask(&server, &columns);
    server.sql(&format!("{SESSION} UPDATE types.t SET id=id+10000"));
    server.sql(&format!("{SESSION} DELETE FROM types.t"));

    let delivered = Delivered::run_until_end(&server, &["-D", "start_without_point=beginning"]);
    let lines = row_lines(&delivered.lines, "types", "t");
    let mut wrong = Vec::new();
    let mut seen = [0; 3];
    for line in &lines {
        match line["op"].as_str() {
            Some("insert") => {
                seen[0] += 1;
                check_image("insert", &line["after"], &told, &columns, &mut wrong);
            }
            Some("update") => {
                seen[1] += 1;
                check_image("update before", &line["before"], &told, &columns, &mut wrong);
                check_image("update after", &line["after"], &told, &columns, &mut wrong);
            }
            Some("delete") => {
                seen[2] += 1;
                check_image("delete", &line["before"], &told, &columns, &mut wrong);
            }
            other => panic!("unexpected op {other:?}"),
        }
        assert_eq!(line["key"], serde_json::json!(["id"]));
    }
    assert!(wrong.is_empty(), "{} of the values differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(seen, [told.len(); 3], "each row inserted, updated, deleted once");

    let files = server.binlogs();
    let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let cat = Delivered::cat(&paths, &server.shard_arguments(0, Fountain::new().home()));
    assert_eq!(counts(&cat.lines), server.mysqlbinlog_counts(&files), "cat and mysqlbinlog");
    // Where the log itself tells signs and labels, the reader does not heed them.
    if !options.contains(&"--binlog-row-metadata=FULL") {
        let compared = assert_same_values(kind, &paths);
        assert!(compared.values > 4 * told.len() * columns.len() / 2, "{compared:?}");
    }
}

#[test]
fn every_type_mysql56() {
    every_type(Kind::Mysql56, &[]);
}

#[test]
fn every_type_mysql97_minimal_metadata() {
    every_type(Kind::Mysql97, &["--binlog-row-metadata=MINIMAL"]);
}

#[test]
fn every_type_mysql97_full_metadata() {
    every_type(Kind::Mysql97, &["--binlog-row-metadata=FULL", "--binlog-checksum=NONE"]);
}

#[test]
fn every_type_mysql97_compressed_partial_json() {
    every_type(
        Kind::Mysql97,
        &[
            "--binlog-transaction-compression=ON",
            "--binlog-row-value-options=PARTIAL_JSON",
            "--binlog-row-metadata=FULL",
        ],
    );
}

#[test]
fn every_type_mariadb() {
    every_type(Kind::Mariadb, &[]);
}

#[test]
fn every_type_mariadb_compressed_events() {
    every_type(Kind::Mariadb, &["--log-bin-compress=ON", "--log-bin-compress-min-len=10"]);
}

#[test]
fn every_type_mariadb_full_metadata() {
    every_type(Kind::Mariadb, &["--binlog-row-metadata=FULL", "--binlog-checksum=CRC32"]);
}

#[test]
fn every_type_mariadb_118() {
    every_type(Kind::Mariadb118, &["--binlog-checksum=CRC32"]);
}
