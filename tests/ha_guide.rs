//! The guide's own two files (hosts, ports and account replaced) on two nodes: one works, one stands by; the first is killed,
//! the second goes on.

mod harness;

use harness::Fountain;
use harness::GTID;
use harness::Kind;
use harness::Link;
use harness::Running;
use harness::Server;
use harness::ZooKeeperServer;
use harness::delivered::PATIENCE;
use harness::delivered::parse;
use harness::numbered::create;
use harness::numbered::ids;
use harness::numbered::insert;

const LATCH: &str = "/fountain/beidou/leader/testha";
const POINT: &str = "/fountain/beidou/eventposition/testha/producer00";

const JDBC_MYSQL: &str = "\
# mysql用户名密码
mysql_username=beidou
mysql_password=u7i8o9p0

# 当同步点存储文件不存在时候，使用该配置来进行binlog dump，如果置空，则从MySQL Server最后的点开始
mysql_binlogdump_gtidset=

# 主mysql地址，端口，slaveId（与其他slave不能重复，由于主备不会同一时间连，则配置中可以相同）
mysql_shard_0_server=10.94.37.23
mysql_shard_0_port=8769

# 备mysql
mysql_shard_0_ha1_server=10.94.37.23
mysql_shard_0_ha1_port=8769

# 随机slaveId起始和结束区间
mysql_random_slaveId_start=10
mysql_random_slaveId_end=5000

# 下面是mysql的一些高级设置，一般情况下不建议修改
# replication或者query socket的一些初始化参数
mysql_wait_timeout=999999
mysql_net_write_timeout=240
mysql_net_read_timeout=240
mysql_charset=binary

# 当主mysql长时间接收不到任何event时，切换到另外一个备mysql的超时时间，单位为毫秒
mysql_replication_socket_so_timeout=120000

# mysql复制线程的一些基础socket参数，timeout单位为毫秒
#mysql_replication_socket_in_buf=16384
#mysql_replication_socket_out_buf=16384
#mysql_replication_socket_connect_timeout=3000
";

const FOUNTAIN_CONFIG: &str = "\
# zookeeper配置
zk_string=127.0.0.1:2181
zk_connection_timeout=4000
zk_session_timeout=50000
# 存储同步点的根路径，叶子节点是instanceName，相当于同步线程的名称，例如producer00，data是同步点
zk_save_position_root_path=/fountain/beidou/eventposition/testha
# 后台异步同步点线程的配置，默认6s延迟启动，20s做一次持久化
async_event_position_thread_initdelay=6000
async_event_position_thread_period=20000
# 多个fountain实力做高可用方案，需要依赖一个leader选举机制，这个超时时间是尝试获取leader latch的毫秒数
# 如果没有获得latch则会阻塞同步线程，然后再次尝试，周而复始，知道leader权转移（一般是down了），其他standby
# 的实例可以竞争获取leader latch，path就是分布式锁的全路径。
zk_leader_latch_timeout=10000
zk_leader_latch_path=/fountain/beidou/leader/testha

# fountain-producer和consumer直接的缓冲队列长度
memq_limit=60000

### 按照表名进行过滤时，表名格式为database.table（可以为正则），以逗号分隔
### 当白名单和黑名单同时存在时,只有不在黑名单中同时在白名单中存在的才起作用
filter_shard_table_white=
filter_shard_table_black=

";

/// A home with the two files, its way to the server through a link of its own.
struct Guided {
    home: Fountain,
    to_mysql: Link,
}

impl Guided {
    fn new(zookeeper: &ZooKeeperServer, server: &Server) -> Guided {
        let (home, to_mysql) = (Fountain::new(), Link::to(server.port()));
        let (user, password) = server.replica_account();
        let jdbc = JDBC_MYSQL
            .replace("beidou", user)
            .replace("u7i8o9p0", password)
            .replace("10.94.37.23", "127.0.0.1")
            .replace("8769", &to_mysql.port().to_string());
        let path = home.write("conf/jdbc-mysql.properties", &jdbc);
        // It holds a password.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).expect("a mode");
        let config = FOUNTAIN_CONFIG.replace("127.0.0.1:2181", &zookeeper.address());
        home.write("conf/fountain-config.properties", &config);
        Guided { home, to_mysql }
    }

    fn start(&self) -> Running {
        self.home.spawn(&["run"])
    }
}

fn rows(run: &Running) -> Vec<u64> {
    let text = run.stdout();
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    ids(&parse(whole))
}

fn wait_for_row(run: &mut Running, id: u64) {
    run.wait_for(&format!("row {id}"), PATIENCE, |run| rows(run).last() == Some(&id));
}

/// Connections of fountain's account that the server lists.
fn connections(server: &Server) -> usize {
    let list = server.select("SHOW PROCESSLIST");
    list.iter().filter(|row| row[1].as_deref() == Some(server.replica_account().0)).count()
}

#[test]
fn one_works_one_stands_by_and_goes_on() {
    let Some(zookeeper) = ZooKeeperServer::start() else { return };
    let Some(server) = Server::start_private(Kind::Mysql56, GTID) else { return };
    create(&server);
    let (first, second) = (Guided::new(&zookeeper, &server), Guided::new(&zookeeper, &server));
    let mut working = first.start();
    working.wait_for("its start is stored", PATIENCE, |_| zookeeper.node(POINT).is_some());
    let mut standing_by = second.start();
    standing_by.wait_for("it waits", PATIENCE, |_| zookeeper.children(LATCH).len() == 2);
    for id in 1..=3 {
        insert(&server, id);
        wait_for_row(&mut working, id);
    }
    assert_eq!(second.to_mysql.taken(), 0, "who stands by needs no server:\n{}", standing_by.stderr());
    assert!(connections(&server) > 0);
    assert_eq!(rows(&working), [1, 2, 3], "{}", working.stderr());

    let killed = working.kill9();
    insert(&server, 4);
    wait_for_row(&mut standing_by, 4);
    insert(&server, 5);
    wait_for_row(&mut standing_by, 5);

    // The first one comes back and stands by; the second one hands over in good order and within seconds.
    let mut returned = first.start();
    returned.wait_for("it waits", PATIENCE, |_| zookeeper.children(LATCH).len() == 2);
    insert(&server, 6);
    wait_for_row(&mut standing_by, 6);
    let ended = standing_by.terminate(PATIENCE);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    insert(&server, 7);
    wait_for_row(&mut returned, 7);
    let output = returned.terminate(PATIENCE);
    assert_eq!(output.code, 0, "{}", output.stderr);

    let delivered = |output: &str| ids(&parse(output));
    assert_eq!(delivered(&killed.stdout), [1, 2, 3]);
    // The point was not saved since the start: what lies behind it comes again, in order, and nothing is missing.
    assert!(delivered(&ended.stdout).ends_with(&[4, 5, 6]), "{:?}", delivered(&ended.stdout));
    assert!([1, 2, 3, 4, 5, 6].ends_with(&delivered(&ended.stdout)), "{:?}", delivered(&ended.stdout));
    // An orderly end has saved it: nothing comes again.
    assert_eq!(delivered(&output.stdout), [7], "{}", output.stderr);
}
