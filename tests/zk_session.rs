//! A session with a real ZooKeeper: what it does, whose nodes it makes, and that it ends for good whatever becomes of the
//! server. ZooKeeper's own counts of sessions and the kernel's of threads and processor time are the judges.

mod harness;

use fountain::config::ZooKeeperConfig;
use fountain::coordination::CoordinationError;
use fountain::coordination::session::LARGEST_DATA;
use fountain::coordination::session::NodeKind;
use fountain::coordination::session::Session;
use fountain::coordination::shared::SharedSession;
use harness::Link;
use harness::Weather;
use harness::ZooKeeperServer;
use harness::wait_until;
use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// How long a session of a test may live on at a server that could not be told.
const EXPIRY: Duration = Duration::from_secs(15);

/// Threads and processor time are counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(servers: &str) -> ZooKeeperConfig {
    ZooKeeperConfig {
        servers: Some(servers.to_owned()),
        auth_file: None,
        connection_timeout: SECOND * 4,
        session_timeout: SECOND * 2,
        save_position_root_path: None,
        leader_latch_path: None,
        leader_latch_timeout: SECOND,
    }
}

fn open(servers: &str) -> Session {
    Session::open(&config(servers)).unwrap_or_else(|error| panic!("{servers}: {error}"))
}

/// Of a session: ours, and the crate's.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("the process's threads").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("zk-") || ["io", "event"].contains(&name.trim())).count()
}

/// Of this process, so far.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("the process's times");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn nodes_are_made_read_written_and_deleted_below_a_folder_that_is_made() {
    let _alone = alone();
    let Some(server) = ZooKeeperServer::start() else { return };
    let session = open(&format!("{}/deep/root", server.address()));
    assert_eq!(session.negotiated(), SECOND * 2);
    assert_eq!(session.get("/a"), Ok(None));
    assert_eq!(session.create("/a/b", b"", NodeKind::Persistent), Err(CoordinationError::NoNode));
    session.make_path("/a/b").unwrap();
    session.make_path("/a/b").unwrap();
    assert_eq!(server.children("/deep/root"), ["a"]);
    assert_eq!(session.children("/"), Ok(vec!["a".to_owned()]));
    assert_eq!(session.create("/a/c", b"one", NodeKind::Persistent), Ok("/a/c".to_owned()));
    assert_eq!(session.create("/a/c", b"", NodeKind::Persistent), Err(CoordinationError::NodeExists));
    assert_eq!(session.set("/a/c", b"two", 0), Ok(1));
    assert_eq!(session.set("/a/c", b"three", 0), Err(CoordinationError::BadVersion));
    let node = session.get("/a/c").unwrap().unwrap();
    assert_eq!((node.data.as_slice(), node.version), (&b"two"[..], 1));
    assert_eq!(session.delete("/a"), Err(CoordinationError::NotEmpty));
    session.delete("/a/c").unwrap();
    session.delete("/a/c").unwrap();
    let names: Vec<String> =
        (0..2).map(|_| session.create("/a/b/x-é-", b"", NodeKind::EphemeralSequential).unwrap()).collect();
    assert!(names[0].starts_with("/a/b/x-é-0") && names[0] < names[1], "{names:?}");
    // Near the limit, and beyond it: refused before it is sent, the session goes on.
    let most = vec![b'x'; LARGEST_DATA];
    session.create("/a/most", &most, NodeKind::Persistent).unwrap();
    assert_eq!(session.get("/a/most").unwrap().unwrap().data, most);
    let more = vec![b'x'; LARGEST_DATA + 1];
    let refused = session.set("/a/most", &more, 0);
    assert_eq!(refused, Err(CoordinationError::TooLarge(LARGEST_DATA + 1)));
    assert!(!session.is_over());
    assert!(session.close());
    assert!(server.children("/deep/root/a/b").is_empty(), "they go with the session, at once");
}

#[test]
fn a_session_timeout_that_is_cut_is_known() {
    let _alone = alone();
    let Some(server) = ZooKeeperServer::start() else { return };
    for (asked, given) in [(SECOND * 50, SECOND * 10), (SECOND / 10, SECOND)] {
        let config = ZooKeeperConfig { session_timeout: asked, ..config(&server.address()) };
        assert_eq!(Session::open(&config).unwrap().negotiated(), given);
    }
}

#[test]
fn with_a_user_nodes_are_that_users_alone() {
    let _alone = alone();
    let Some(server) = ZooKeeperServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth");
    let with = |text: &str, mode: u32| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Session::open(&ZooKeeperConfig { auth_file: Some(path.clone()), ..config(&server.address()) })
    };
    let error = with("fountain:secret", 0o644).err().unwrap();
    assert_eq!(error.code().as_str(), "FILE_MODE");
    assert!(error.to_string().contains("chmod 600") && !error.to_string().contains("secret"), "{error}");

    let owner = with("fountain:secret\n", 0o600).unwrap();
    owner.make_path("/own/points").unwrap();
    owner.create("/own/points/a", b"1", NodeKind::Persistent).unwrap();
    // Each session says it anew, in either form.
    let again = with("digest:fountain:secret\n", 0o600).unwrap();
    assert_eq!(again.set("/own/points/a", b"2", 0), Ok(1));
    for stranger in [open(&server.address()), with("fountain:guess", 0o600).unwrap()] {
        assert_eq!(stranger.get("/own/points/a"), Err(CoordinationError::NoAuth));
        assert_eq!(stranger.set("/own/points/a", b"3", 1), Err(CoordinationError::NoAuth));
        assert_eq!(stranger.create("/own/b", b"", NodeKind::Persistent), Err(CoordinationError::NoAuth));
        assert!(!stranger.is_over());
        // Others' folders on the way are no hindrance.
        stranger.make_path("/own/points").unwrap();
    }
}

#[test]
fn of_several_servers_one_that_serves_is_found_and_nodes_spread() {
    let _alone = alone();
    let Some(server) = ZooKeeperServer::start() else { return };
    let links: Vec<Link> = (0..2).map(|_| Link::to(server.port())).collect();
    let both = format!("{},{}", links[0].address(), links[1].address());
    for _ in 0..20 {
        assert!(open(&both).close());
    }
    assert!(links.iter().all(|link| link.taken() > 0), "missed once in 2¹⁹ runs");
    // Refused, unknown, frozen, and something else: wherever they stand in the list.
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = babbler(b"SSH-2.0-OpenSSH_9.2\r\n");
    let frozen = frozen.local_addr().unwrap();
    let many = format!("127.0.0.1:1,nowhere.invalid:2181,{frozen},{other},{}/x", server.address());
    for _ in 0..2 {
        let began = Instant::now();
        open(&many).make_path("/y").unwrap();
        assert!(began.elapsed() < SECOND * 20, "{:?}", began.elapsed());
    }
    let none = Session::open(&config(&format!("127.0.0.1:1,{frozen},{other}"))).err().unwrap();
    let CoordinationError::Unreachable(what) = &none else { panic!("{none}") };
    assert!(what.contains("127.0.0.1:1: ") && what.contains("no answer within"), "{what}");
    assert!(what.contains("does not answer as ZooKeeper does"), "{what}");
}

/// Says the same to everybody.
fn babbler(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // Whoever has gone needs no answer.
                let mut request = [0; 64];
                if stream.read(&mut request).is_ok() && stream.write_all(words).is_ok() {
                    drop(stream.read_to_end(&mut Vec::new()));
                }
            });
        }
    });
    address
}

/// What happens to the server of sessions, or to the way there; together where that can be.
const TROUBLES: [&[&str]; 3] = [&["held", "swallowed", "cut", "down"], &["frozen"], &["killed"]];

#[test]
fn whatever_happens_calls_end_in_time_and_the_session_ends_for_good() {
    let _alone = alone();
    let Some(mut server) = ZooKeeperServer::start() else { return };
    open(&server.address()).make_path("/z").unwrap();
    for troubles in TROUBLES {
        let links: Vec<Link> = troubles.iter().map(|_| Link::to(server.port())).collect();
        let sessions: Vec<Session> = links.iter().map(|link| open(&link.address())).collect();
        for (session, trouble) in sessions.iter().zip(troubles) {
            session.create(&format!("/z/{trouble}"), b"", NodeKind::Ephemeral).unwrap();
        }
        for (link, trouble) in links.iter().zip(troubles) {
            match *trouble {
                "frozen" => server.stall(),
                "held" => link.set(Weather::Held),
                "swallowed" => link.set(Weather::Swallowed),
                "cut" => link.cut(),
                "down" => link.set(Weather::Down),
                _ => server.kill9(),
            }
        }
        for (session, trouble) in sessions.iter().zip(troubles) {
            is_used_up(session, trouble);
        }
        // They are not even dropped yet.
        wait_until("their threads end", SECOND * 3, || threads() == 0);
        let before = cpu();
        std::thread::sleep(SECOND / 2);
        let spent = cpu() - before;
        assert!(spent < SECOND / 5, "{troubles:?}: {spent:?} of half a second");
        drop(sessions);
        match troubles {
            ["frozen"] => server.resume(),
            ["killed"] => server.restart(),
            _ => links.iter().for_each(Link::heal),
        }
        wait_until("the server has forgotten them", EXPIRY, || server.sessions() == 0);
        assert_eq!(server.children("/z"), [""; 0], "{troubles:?}");
    }
}

fn is_used_up(session: &Session, trouble: &str) {
    let began = Instant::now();
    let error = loop {
        match session.get("/z") {
            // The end of a connection takes a moment to get about.
            Ok(_) => assert!(began.elapsed() < SECOND * 5, "{trouble}"),
            Err(error) => break error,
        }
    };
    assert!(error.is_doubt() && began.elapsed() < SECOND * 2, "{trouble}: {error} {:?}", began.elapsed());
    let again = Instant::now();
    let after = session.create("/z/late", b"", NodeKind::Persistent).unwrap_err();
    assert!(after.is_doubt() && again.elapsed() < SECOND / 5, "{trouble}: {after}");
    assert!(session.is_over());
}

#[test]
fn dropped_while_the_server_is_away_it_blocks_nobody_and_comes_back_never() {
    let _alone = alone();
    let Some(mut server) = ZooKeeperServer::start() else { return };
    for trouble in ["frozen", "killed", "none"] {
        let link = Link::to(server.port());
        let session = open(&link.address());
        session.create("/n", b"", NodeKind::Ephemeral).unwrap();
        match trouble {
            "frozen" => server.stall(),
            "killed" => server.kill9(),
            _ => {}
        }
        let began = Instant::now();
        drop(session);
        assert!(began.elapsed() < SECOND / 5, "{trouble}: {:?}", began.elapsed());
        wait_until("its threads end", SECOND * 3, || threads() == 0);
        match trouble {
            "frozen" => server.resume(),
            "killed" => server.restart(),
            _ => {}
        }
        let taken = link.taken();
        wait_until("the server has forgotten it", EXPIRY, || server.sessions() == 0);
        assert_eq!((server.children("/"), link.taken()), (vec!["zookeeper".to_owned()], taken), "{trouble}");
    }
}

#[test]
fn a_server_that_talks_nonsense_ends_the_session_and_nothing_else() {
    let _alone = alone();
    // A ConnectResponse that gives four seconds, and then: nothing; no frame; a frame that answers nobody; half an answer.
    const HELLO: &[u8] = b"\0\0\0\x25\0\0\0\0\0\0\x0f\xa0\0\0\0\0\0\0\0\x01\0\0\0\x10pppppppppppppppp\0";
    let nonsense: [&'static [u8]; 5] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x10\0\0\0\x63\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x7f\xff\xff\xff\0",
    ];
    for words in nonsense {
        let address = babbler(Box::leak([HELLO, words].concat().into_boxed_slice()));
        let began = Instant::now();
        match Session::open(&config(&address)) {
            Ok(session) => assert!(session.get("/a").is_err(), "{words:?}"),
            Err(error) => assert!(error.is_doubt(), "{words:?}: {error}"),
        }
        assert!(began.elapsed() < SECOND * 10, "{words:?}");
        wait_until("its threads end", SECOND * 20, || threads() == 0);
    }
}

#[test]
fn stores_share_one_session_and_another_one_follows_a_doubt() {
    let _alone = alone();
    let Some(mut server) = ZooKeeperServer::start() else { return };
    let shared = SharedSession::of(&config(&server.address()));
    let other = SharedSession::of(&config(&server.address()));
    shared.with(|session| session.make_path("/p")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let other = other.clone();
            scope.spawn(move || other.with(|session| session.get("/p")).unwrap());
        }
    });
    assert_eq!(server.sessions(), 1);
    server.kill9();
    let get = || other.with(|session| session.get("/p"));
    wait_until("it is noticed", SECOND * 5, || get().is_err());
    // Asked as fast as can be, it tries once a second.
    let (before, began) = (cpu(), Instant::now());
    let mut asked = 0;
    while began.elapsed() < SECOND * 2 {
        assert!(get().is_err());
        asked += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(asked > 100 && cpu() - before < SECOND, "{asked} {:?}", cpu() - before);
    server.restart();
    wait_until("another session", SECOND * 5, || get().is_ok());
    drop((shared, other));
    wait_until("it is closed with the last one", EXPIRY, || server.sessions() == 0 && threads() == 0);
}

/// Opening takes as long as `zk_connection_timeout` there; a stop is seen within a second by who only looks.
#[test]
fn nobody_who_looks_and_is_to_stop_waits_for_a_server_that_does_not_answer() {
    let _alone = alone();
    let black_hole = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let config = config(&format!("127.0.0.1:{}", black_hole.local_addr().expect("an address").port()));
    let (shared, stop) = (SharedSession::of(&config), fountain::stop::Stop::new());
    shared.ends_with(&stop);
    let ask = || shared.with(|session| session.exists("/"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| shared.look(|session| session.exists("/")));
        let _silent = black_hole.accept().expect("it tries");
        assert!(!waiting.is_finished());
        stop.request();
        let begun = Instant::now();
        assert_eq!(waiting.join().expect("no panic"), Err(CoordinationError::TimedOut));
        assert!(begun.elapsed() < SECOND * 2, "{:?}", begun.elapsed());
    });
    // It ends within its own time, and is no session.
    wait_until("the try is given up", EXPIRY, || matches!(ask(), Err(CoordinationError::Unreachable(_))));
}
