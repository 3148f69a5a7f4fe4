//! Shards and their servers, by `mysql_shard_*` or by lists, and where they start.

use super::*;

#[test]
fn shards_with_holes_backups_in_order() {
    let config = Case::with(
        "mysql_shard_7_server=[::1]\nmysql_shard_7_port=3307\nmysql_shard_7_name=orders\nmysql_shard_7_enabled=false\n\
         mysql_shard_7_ha10_server=x\nmysql_shard_7_ha2_server=y\nmysql_shard_7_slaveId=12\nmysql_shard_7_ha2_slaveId=13\n\
         mysql_shard_120_server=z\n",
    )
    .config();
    let names: Vec<_> =
        config.shards.iter().map(|shard| (shard.number, shard.name.as_str(), shard.enabled)).collect();
    assert_eq!(names, [(0, "producer00", true), (7, "orders", false), (120, "producer120", true)]);
    let sources = &config.shards[1].sources;
    let shown: Vec<_> =
        sources.iter().map(|source| (source.backup, source.address(), source.slave_id)).collect();
    let expected = [
        (0, "[::1]:3307".to_string(), SlaveId::Fixed(12)),
        (2, "y:3306".to_string(), SlaveId::Fixed(13)),
        (10, "x:3306".to_string(), SlaveId::Fixed(12)),
    ];
    assert_eq!(shown, expected);
    assert_eq!(config.enabled_shards().count(), 2);
    assert_eq!(config.shard("orders").unwrap().number, 7);
}

#[test]
fn server_ids() {
    let id = |lines: &str| shard(lines).sources[0].slave_id;
    let range = "mysql_random_slaveId_start=10\nmysql_random_slaveId_end=5000\n";
    assert_eq!(id(range), SlaveId::Random(10, 5000), "as in the guide: a range and no id");
    assert_eq!(id(&format!("{range}mysql_shard_0_slaveId=7\n")), SlaveId::Fixed(7));
    let strategy =
        |word: &str| id(&format!("{range}mysql_shard_0_slaveId=7\nmysql_slaveId_strategy={word}\n"));
    assert_eq!(strategy("random"), SlaveId::Random(10, 5000));
    assert_eq!(strategy("random_then_increment"), SlaveId::RandomThenIncrement(10, 5000));
    assert_eq!(
        problems("mysql_random_slaveId_start=10\nmysql_random_slaveId_end=9\n"),
        ["CONFIG a.properties:4: mysql_random_slaveId_end=9 is less than mysql_random_slaveId_start=10"]
    );
    assert_eq!(problems("mysql_random_slaveId_start=10\n").len(), 1);
}

#[test]
fn start_points() {
    let point = |lines: &str| shard(lines).start_point;
    let named = point("mysql_binlogdump_filename=mysql-bin.000003\nmysql_binlogdump_position=1234\n");
    assert_eq!(named.position, Some(("mysql-bin.000003".to_string(), 1234)));
    let gtids = point(&format!("mysql_binlogdump_gtidset={UUID}:1-5;{UUID}:7\nmysql_binlogdump_gtid=-1\n"));
    assert_eq!(
        gtids,
        StartPoint { gtid_set: Some(with_commas(&format!("{UUID}:1-5;{UUID}:7"))), ..StartPoint::default() }
    );
    assert_eq!(point("mysql_binlogdump_filename=\nmysql_binlogdump_position=-1\n"), StartPoint::default());
    assert_eq!(
        problems("mysql_binlogdump_filename=x\nmysql_binlogdump_position=0\n"),
        ["CONFIG a.properties:3: mysql_binlogdump_filename is set and mysql_binlogdump_position is not"]
    );
    assert_eq!(
        problems("mysql_shard_0_binlogdump_position=7\n"),
        ["CONFIG a.properties:3: mysql_binlogdump_position is set and mysql_binlogdump_filename is not"]
    );
    assert_eq!(problems("mysql_binlogdump_filename=x\nmysql_binlogdump_position=3\n").len(), 1);
    assert_eq!(
        problems("mysql_binlogdump_gtidset=mysql-bin.000003\n"),
        [
            "CONFIG a.properties:3: mysql_binlogdump_gtidset: expected a GTID set such as UUID:1-23, or 0-1-42 for MariaDB, \
          got \"mysql-bin.000003\""
        ]
    );
}

#[test]
fn lists_of_servers() {
    let lines = format!(
        "mysql_username=u\ndbArray=10.0.0.1:3306, [::1]:3307,c,d\nbakDbArray=b1:1,b2:2,b3:3,b4:4\n\
         syncPointArray=-1,{UUID}:1-5;{UUID}:9,c:3306#bin.000007#120;b3:3#bin.1#4,bin.000001:4\nslaveIdArray=10,11,12,13\n"
    );
    let config = Case::new().file("l.properties", lines).config();
    let names: Vec<_> = config.shards.iter().map(|shard| shard.name.as_str()).collect();
    assert_eq!(names, ["producer00", "producer01", "producer02", "producer03"]);
    let second = &config.shards[1];
    let sources: Vec<_> =
        second.sources.iter().map(|source| (source.backup, source.address(), source.slave_id)).collect();
    assert_eq!(
        sources,
        [(0, "[::1]:3307".to_string(), SlaveId::Fixed(11)), (1, "b2:2".to_string(), SlaveId::Fixed(11))]
    );
    assert_eq!(config.shards[0].start_point, StartPoint::default());
    assert_eq!(second.start_point.gtid_set, Some(format!("{UUID}:1-5,{UUID}:9")));
    assert_eq!(config.shards[2].start_point.position, Some(("bin.000007".to_string(), 120)));
    assert_eq!(config.shards[3].start_point.position, Some(("bin.000001".to_string(), 4)));
}

#[test]
fn lists_that_do_not_fit() {
    let lists =
        |lines: &str| Case::new().file("l.properties", format!("mysql_username=u\n{lines}")).problems();
    assert_eq!(
        lists("dbArray=a,b\nbakDbArray=c\nslaveIdArray=1,2,3\n"),
        [
            "CONFIG l.properties:3: bakDbArray has 1 entries, dbArray has 2; they must be as many",
            "CONFIG l.properties:4: slaveIdArray has 3 entries, dbArray has 2; they must be as many",
        ]
    );
    assert_eq!(
        lists("dbArray=a\nmysql_shard_1_server=b\n"),
        [
            "CONFIG l.properties:3: \"mysql_shard_1_server\" contradicts dbArray (l.properties:2): give shards as lists or by \
          mysql_shard_N_ keys"
        ]
    );
    assert_eq!(lists("slaveIdArray=1\n"), ["CONFIG l.properties:2: slaveIdArray needs dbArray"]);
    assert_eq!(
        lists("dbArray=a\nsyncPointArray=b:3306#bin.1#4\n"),
        ["CONFIG l.properties:3: syncPointArray: \"b:3306#bin.1#4\" is no start point for producer00 at a"]
    );
    assert_eq!(
        lists("dbArray=::1:3306\nbakDbArray=a\n"),
        ["CONFIG l.properties:2: dbArray: expected host:port,host:port (IPv6 in brackets), got \"::1:3306\""]
    );
}
