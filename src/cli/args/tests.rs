//! Command lines, right and wrong.

use super::*;

fn parsed(line: &str) -> Result<Invocation, Failure> {
    let words = line.split_whitespace().map(OsString::from);
    parse(std::iter::once(OsString::from("fountain")).chain(words))
}

fn refused(line: &str) -> String {
    let failure = parsed(line).unwrap_err();
    assert_eq!(failure.exit, 2);
    failure.to_string()
}

#[test]
fn options_stand_before_and_behind_the_command() {
    let conf = || ConfArgs {
        files: vec!["a".into(), "b".into()],
        defines: vec![("k".into(), "v=w".into()), ("x".into(), "".into())],
    };
    for line in ["--conf a conf -D k=v=w --conf=b -Dx=", "conf --conf a --conf b -D k=v=w -D x="] {
        assert_eq!(parsed(line).unwrap(), Invocation::Conf(conf()), "{line}");
    }
    let run = parsed("run --until end").unwrap();
    assert_eq!(run, Invocation::Run(ConfArgs::default(), RunOptions { until: Some(Until::End) }));
    for (line, strictness) in [("check", Strictness::Lenient), ("check --strict", Strictness::Strict)] {
        assert_eq!(parsed(line).unwrap(), Invocation::Check(ConfArgs::default(), strictness));
    }
    let cat = parsed("cat --schema s f -- -g").unwrap();
    let options = CatOptions { schema: Some("s".into()), files: vec!["f".into(), "-g".into()] };
    assert_eq!(cat, Invocation::Cat(ConfArgs::default(), options));
    let table = TableName { database: "shop".into(), table: "a.b".into() };
    assert_eq!(parsed("filter test shop.a.b").unwrap(), Invocation::FilterTest(ConfArgs::default(), table));
}

#[test]
fn help_and_version_win() {
    for line in ["--help", "-h", "help"] {
        assert_eq!(parsed(line).unwrap(), Invocation::Help(None));
    }
    for line in ["run --help", "help run", "--help run", "run -h --until end"] {
        assert_eq!(parsed(line).unwrap(), Invocation::Help(Some("run".into())), "{line}");
    }
    assert_eq!(parsed("help keys").unwrap(), Invocation::Help(Some("keys".into())));
    assert_eq!(parsed("status --json --help").unwrap(), Invocation::Help(Some("status".into())));
    for line in ["--version", "-V", "version", "run --version"] {
        assert_eq!(parsed(line).unwrap(), Invocation::Version);
    }
}

#[test]
fn mistakes_are_named_with_what_is_near() {
    let cases = [
        ("", "USAGE no command given; \"fountain help\" lists them"),
        ("rnu", "USAGE unknown command \"rnu\", did you mean \"run\"?"),
        ("snapshot", "USAGE unknown command \"snapshot\"; \"fountain help\" lists them"),
        ("help rnu", "USAGE unknown command \"rnu\", did you mean \"run\"?"),
        ("run --untl end", "USAGE unknown option \"--untl\", did you mean \"--until\"?"),
        ("run --fast", "USAGE unknown option \"--fast\"; \"fountain help run\" lists them"),
        ("--cnf x run", "USAGE unknown option \"--cnf\", did you mean \"--conf\"?"),
        ("run -x", "USAGE unknown option \"-x\"; \"fountain help run\" lists them"),
        ("run --strict", "USAGE \"fountain run\" has no option --strict"),
        ("check shop", "USAGE \"fountain check\" does not take \"shop\""),
        ("conf --until end", "USAGE \"fountain conf\" has no option --until"),
        ("run --until", "USAGE --until needs a value behind it"),
        ("run --until end --until end", "USAGE --until is given twice"),
        ("run now", "USAGE \"fountain run\" does not take \"now\""),
        ("help run cat", "USAGE \"fountain help\" does not take \"cat\""),
        ("cat", "USAGE \"fountain cat\" needs at least one binlog file"),
        ("filter", "USAGE expected \"fountain filter test DB.TABLE\""),
        ("filter test orders", "USAGE expected \"fountain filter test DB.TABLE\""),
        ("filter try a.b", "USAGE expected \"fountain filter test DB.TABLE\""),
        ("conf -D sink", "USAGE -D \"sink\": expected -D KEY=VALUE"),
        ("conf -D mysql_password:secret", "USAGE -D \"mysql_password…\": expected -D KEY=VALUE"),
        ("status --watch", "UNSUPPORTED \"--watch\" is not in this version; watch(1) does it"),
        ("status a", "USAGE \"fountain status\" does not take \"a\""),
        ("points", "USAGE expected \"fountain points show|history|find|set\""),
        ("points sho", "USAGE \"fountain points\" does not know \"sho\", did you mean \"show\"?"),
        ("points show a b", "USAGE \"fountain points show\" does not take \"b\""),
        ("points show --time 5", "USAGE \"fountain points show\" has no option --time"),
        ("points history --limit x", "USAGE --limit: expected a whole number, got \"x\""),
        ("points find", "USAGE \"fountain points find\" needs --time T"),
        ("points set --reason x", "USAGE \"fountain points set\" needs the shard's name"),
        (
            "points set a --start end",
            "USAGE \"fountain points set\" needs --reason TEXT: it is kept with the gap record",
        ),
        (
            "points set a --reason x",
            "USAGE \"fountain points set\" needs one of --file F --pos P, --gtids SET, --to-history ID, --start beginning|end, --drop-gtids SET, --from-local, --drop-xa",
        ),
        ("points set a --reason x --file b.1", "USAGE --file and --pos belong together"),
        (
            "points set a --reason x --file b.1 --pos 3",
            "USAGE --pos: expected a whole number of 4 or more, got \"3\"",
        ),
        (
            "points set a --reason x --start end --gtids 0-1-2",
            "USAGE --gtids and --start are two places, one is needed",
        ),
        ("points set a --reason x --start now", "USAGE --start: expected beginning or end, got \"now\""),
        (
            "points set a --reason x --drop-gtids 0-1-2",
            "USAGE --drop-gtids: expected a GTID set of MySQL, got \"0-1-2\" (on MariaDB: --gtids with the domains set back)",
        ),
        (
            "points set a --reason x --gtids 3-x",
            "USAGE --gtids: expected a GTID set of MySQL or a position of MariaDB, got \"3-x\"",
        ),
        (
            "points set a --reason x --start end --source ha0",
            "USAGE --source: expected main or haK, got \"ha0\"",
        ),
        (
            "points set a --reason x --start end --no-server",
            "USAGE --start needs a server: only it knows its beginning and its end",
        ),
        ("gaps a b", "USAGE \"fountain gaps\" does not take \"b\""),
        ("--conf x replay", "UNSUPPORTED \"fountain replay\" is not in this version"),
        ("suspend a", "USAGE \"fountain suspend\" needs --reason TEXT: it is kept and shown"),
        ("suspend --reason x", "USAGE expected \"fountain suspend SHARD --reason TEXT\""),
        (
            "suspend a --reason x --for 10ms",
            "USAGE --for: expected a time such as 2h, 90m or 45s, of a second or more, got \"10ms\"",
        ),
        ("suspend a --reason x --json", "USAGE \"fountain suspend\" has no option --json"),
        ("resume a b", "USAGE \"fountain resume\" does not take \"b\""),
        ("switch a", "USAGE expected \"fountain switch SHARD main|haK\""),
        ("switch a ha0", "USAGE expected main or haK, got \"ha0\""),
    ];
    for (line, message) in cases {
        assert_eq!(refused(line), message, "{line}");
    }
}
