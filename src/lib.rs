//! Fountain reads the row binlogs of MySQL and MariaDB servers as a replica does, turns them into lines of JSON, one for
//! each changed row, and hands them to a sink in packs: in commit order, at least once, and from where it stopped.
//!
//! Plain blocking threads; no async, no unsafe code. Everything is in this library; the program `fountain` is its
//! [command line](cli); a program of your own runs it by its [`engine`].
//!
//! # How a change travels
//!
//! ```text
//!  MySQL or MariaDB server of one shard
//!    │ bytes, plain or inside TLS; no read waits long             mysql::{link, stream, tls}
//!    ▼
//!  FrameBuf ─────────────► packet                                 wire::packet               pure
//!    ▼
//!  BinlogStream::poll ───► Event(bytes) | Idle | End              mysql::binlog_stream
//!    ▼
//!  Decoder::decode ──────► (EventHeader, Event)                   binlog::decoder            pure
//!    ▼                      PositionTracker: where it stands      binlog::position_tracker   pure
//!  Assembler::accept ────► items: rows events whole, DDL,         change::assembler          pure
//!    │                      begin, commit, rollback
//!    │                      filtered tables are left out,         schema::filter             pure
//!    │                      the others get a plan how to read     schema::{resolve, plan}    pure
//!    │                      them; a definition is asked for       pipeline::definitions
//!    ▼                      where the log does not say enough
//!  Batch ────────────────► event bytes and items, until it is     change::batch              pure
//!    ║                      full or the socket is drained
//!    ║ rendezvous: a channel that holds nothing                   pipeline::{message, producer, packer}
//!    ▼
//!  PackBuilder::accept ──► lines of finished transactions         pack::builder              pure
//!    │                      LineWriter: a row event's rows        pack::lines, schema::row   pure
//!    │                      ColumnFormat::decode → Value          column::format             pure
//!    │                      Value → JSON text                     pack::json                 pure
//!    ▼
//!  Delivery::send ───────► header, pack; tried until it is taken  pipeline::delivery, pack::header
//!    ▼
//!  Sink::deliver ────────► durable                                sink::{file, exec, stdout, null}
//!    │ only now
//!    ▼
//!  Saver::offer ─────────► the newest point, on its own thread    pipeline::saver
//!    ▼
//!  SyncPointStore::save ─► resume place, on disk                  sync_point::file_store
//! ```
//!
//! A file without a server goes the same way: [`cat`] reads events from [`binlog::BinlogFile`], and the packs' lines go
//! to standard output.
//!
//! What the flow must keep:
//!
//! 1. A point is saved after the sink has made the pack durable, never before; a start point before the first row goes
//!    out. [`sync_point`], [`pipeline::delivery`]
//! 2. What moves the point travels through the rendezvous with the rows, never around it: filtered transactions,
//!    rotations and heartbeats too. [`change::batch`]
//! 3. "No point", "unreadable" and "empty" are three different things. [`sync_point::file_store`]
//! 4. Whatever breaks a stream, there is one way on: the packer gives up what is unfinished and says where to read on.
//!    [`pipeline::producer`]; whom to ask next, and after which pause: [`pipeline::patience`]
//! 5. An event that cannot be read stops the shard by file and position; none is passed over in silence.
//!    [`change::assembler`]
//! 6. Bytes from outside are read with [`codec::Reader`] and never indexed; nothing is allocated for a length before its
//!    bytes are there.
//! 7. Every wait has a deadline, and a requested [`stop`] is seen within a second.
//!
//! # Threads
//!
//! | thread | how many | does | ends |
//! |---|---|---|---|
//! | `main` | 1 | starts the shards, waits for them ([`engine`]) | when no shard is left, or `stop_timeout_ms` after a stop |
//! | `signals` | 1 | SIGTERM and SIGINT become a [`stop`] | with the process |
//! | `producer-<shard>` | one a shard | locks folders, connects, reads, fills batches ([`pipeline::shard`], [`pipeline::producer`]) | at a stop, at `--until`, at a fault that no retry cures |
//! | `guard` | 1 with `ha_guard` `zookeeper` | polls the latches, gives out and ends leases ([`guard::zookeeper`]) | with the process |
//! | `lookout` | 1 with points in ZooKeeper | looks every few seconds whether a shard was suspended elsewhere, or has a point that another node made ([`engine`]) | with the engine |
//! | `packer-<shard>` | one a shard | decodes rows, writes lines, sends packs ([`pipeline::packer`]) | when its producer is gone and all is delivered, or at a fault |
//! | `saver-<shard>` | one a shard | makes points durable ([`pipeline::saver`]) | with its packer, the last point saved |
//! | `consumer-<shard>` | one a consumer process | passes its stderr on to the log ([`sink::exec`]) | with that process |
//! | `fail-back-<shard>` | one a shard that reads a backup, with `fail_back=auto` | looks whether the main server has everything (`pipeline::fail_back`) | when the shard leaves that backup |
//! | `guard` | 1, with `ha_guard=zookeeper` | a session with ZooKeeper: latches, proofs, leases ([`guard::zookeeper`]) | with the engine, or 2 s after a stop |
//! | `zookeeper-open`, `zk-greet` | one a try to begin a session | waits for a server that may not answer ([`coordination::shared`], [`coordination::handshake`]) | by itself, within `zk_connection_timeout` |
//! | `zk-session` | one a session: the guard's, and that of all stores | owns the client of the crate, and what that may wait for ([`coordination`]) | with the session |
//! | `zk-relay`, `zk-relay-up` | two a session | carry bytes between that client and the server that was greeted | with the session |
//! | `control`, `control-client` | 1, and one a command that asks | answer `fountain status`, `suspend`, … ([`control`]) | with the engine; with the answer |
//! | `connect` | one a connection attempt | looks a name up and connects, which nothing can interrupt | by itself |
//!
//! Between producer and packer: the rendezvous, a way back for emptied batches, and one flag ("read that transaction
//! anew"). Between packer and saver: one slot for the newest point. Between the guard and a shard's threads: the
//! [`guard::term::Term`], asked before every pack and every save. Shared by all: [`stop::Stop`]. Between a shard and who asks for
//! it: its [`status`] and wishes. Nothing else.
//!
//! # Modules
//!
//! By what they know, from the bytes up; `scripts/check-layers.sh` keeps the arrows. Pure ones have no socket, file, thread
//! or clock.
//!
//! | module | knows | pure |
//! |---|---|---|
//! | [`code`] | the stable codes of messages | yes |
//! | [`codec`] | checked reading of bytes from outside | yes |
//! | [`fail_point`] | crashes and full disks on order, in debug builds only | |
//! | [`status`] | what a shard is doing, for a person who asks | |
//! | [`secret`], [`stop`] | texts that must not be seen; the wish to stop | |
//! | [`wire`] | MySQL's client/server protocol, both sides of it | yes |
//! | [`mod@column`] | column types: from a column's bytes to a value | yes |
//! | [`binlog`] | binlog events, positions, GTID sets | yes, but for `file` |
//! | [`schema`] | tables: definitions, filters, plans how to read rows | yes |
//! | [`change`] | transactions, DDL and rows in the order of the log | yes |
//! | [`config`] | keys, files, environment, `-D`: in one table | |
//! | [`sync_point`] | where a shard is read on, and how that is kept | |
//! | [`coordination`] | sessions with ZooKeeper: every call has a deadline, a doubt ends the session | |
//! | [`guard`] | who of several nodes leads which shard, and until when | |
//! | [`pack`] | rows as lines, lines as packs, the pack's header | yes |
//! | [`sink`] | where packs go: files, a program, standard output, nowhere | |
//! | [`mysql`] | one connection: login, TLS, questions, the dump | |
//! | [`pipeline`] | a shard at work: retries, failover, threads, the end | |
//! | [`engine`] | all shards together; fountain inside of another program | |
//! | [`control`] | the socket through which a running node is asked | |
//! | [`daemon`], [`cat`], [`doctor`], [`points`], [`verify`] | the commands `run`, `cat`, `check`, `points`, `gaps` and `verify` | |
//! | [`cli`], [`logging`] | the command line and the log | |
//!
//! # Where to read first
//!
//! [`pipeline::shard`] for the shape of a run, then [`pipeline::producer`] and [`pipeline::packer`], the two loops. Who
//! wonders what an event means to us: [`change::assembler`], one match over all events. Who wonders what a row looks
//! like: [`pack::lines`]. What is promised to users stands in the README and in `fountain help`.
pub mod binlog;
pub mod cat;
pub mod change;
pub mod cli;
pub mod code;
pub mod codec;
pub mod column;
pub mod config;
pub mod control;
pub mod coordination;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod fail_point;
pub mod guard;
pub mod logging;
pub mod mysql;
pub mod pack;
pub mod pipeline;
pub mod points;
pub mod schema;
pub mod secret;
pub mod sink;
pub mod status;
pub mod stop;
pub mod sync_point;
pub mod verify;
pub mod wire;

pub use engine::Engine;
