//! The table of commands: what each is for, how it is used, and whether this version has it.

use crate::cli::points_args::SET_FLAGS;
use crate::cli::points_args::SET_VALUES;

/// One command.
#[derive(Debug)]
pub struct Command {
    /// The word that calls it.
    pub name: &'static str,
    /// What stands behind the word.
    pub usage: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// More about it, for `fountain help COMMAND`.
    pub help: &'static str,
    /// Its own options in lists, besides those that every command has.
    pub options: &'static [&'static [&'static str]],
    /// Which one, when this version has it.
    pub action: Option<Action>,
}

impl Command {
    /// Its own options, besides those that every command has.
    pub fn own_options(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().copied().flatten().copied()
    }
}

/// The commands of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `fountain run`
    Run,
    /// `fountain cat`
    Cat,
    /// `fountain check`
    Check,
    /// `fountain verify`
    Verify,
    /// `fountain schema`
    Schema,
    /// `fountain conf`
    Conf,
    /// `fountain filter`
    Filter,
    /// `fountain status`
    Status,
    /// `fountain suspend`
    Suspend,
    /// `fountain resume`
    Resume,
    /// `fountain switch`
    Switch,
    /// `fountain step-down`
    StepDown,
    /// `fountain points`
    Points,
    /// `fountain gaps`
    Gaps,
    /// `fountain version`
    Version,
    /// `fountain help`
    Help,
}

/// The options of every command.
pub const COMMON_OPTIONS: [&str; 4] = ["--conf", "-D", "--help", "--version"];

/// Every command, in the order of the help text.
pub static COMMANDS: [Command; 19] = [
    Command {
        name: "run",
        usage: "[--until end|FILE:POS|GTIDSET]",
        summary: "stream every configured shard to its sink",
        help: "Reads the binlogs of all shards and delivers their row changes until SIGTERM or SIGINT; then \
               the pack in work is finished, the points are saved, and the exit code is 0.

  --until end       stop at the end that each server has now; nothing to do is success
  --until FILE:POS  stop before that position; transactions begun before it are delivered whole
  --until GTIDSET   stop when that set is delivered: UUID:1-23, or 0-1-42 for MariaDB
                    With several shards write SHARD=FILE:POS or SHARD=GTIDSET; only that shard runs then.

Exit code: 0 stopped in order or done, 1 failed, 2 bad usage or configuration.",
        options: &[&["--until"]],
        action: Some(Action::Run),
    },
    Command {
        name: "cat",
        usage: "[--schema FILE] FILE…",
        summary: "decode binlog and relay log files to standard output, without a server",
        help: "Writes the rows of binlog and relay log files (-: standard input) as JSON lines. Column names and types come from the file \
               itself where it was written with binlog_row_metadata=FULL, else from --schema, else from the \
               server that --conf or -D name, else columns are called @1, @2, …

  --schema FILE  table definitions

Exit code: 0 done, 1 at the first bad or unfinished event (all rows before it are printed), 2 bad usage.",
        options: &[&["--schema"]],
        action: Some(Action::Cat),
    },
    Command {
        name: "check",
        usage: "[--strict]",
        summary: "look over configuration, servers, tables, sink, folders and ZooKeeper",
        help: "Asks every server of every enabled shard once, looks at folders, sink, limits and stored points, and \
               prints a line for each finding: level (ok, warn, error), code, place, what was found, and its \
               cure in the words of the server's SQL or of a key. Nothing is changed anywhere; a run may go on \
               meanwhile.

  --strict  a warning fails the check, as an error does

Exit code: 0 fine (warnings are allowed without --strict), 1 an error, 2 bad usage or configuration.",
        options: &[&["--strict"]],
        action: Some(Action::Check),
    },
    Command {
        name: "status",
        usage: "[--json]",
        summary: "say how every shard is doing",
        help: "Asks the node that runs here, through its control socket (fountain.sock in status_dir); where none runs, tells what is \
               stored. For each shard: what it is doing and since when (connecting, running, waiting_for_sink, standby, \
               suspended, stopped, done, down), why it is not running, the server that is read, the stored point with epoch \
               and pack, since when points cannot be saved and why, and among several nodes who leads and why this one does not.

  --json     one JSON object; times are milliseconds since 1970
  --watch    not in this version

Exit code, as monitoring plugins have it: 0 ok (all shards run, or stand by while another node leads), 1 warning (a shard is \
suspended or only beginning; its points cannot be saved; nobody leads), 2 critical (a shard cannot reach its server, waits for \
its sink, has stopped; nobody is known to lead for more than two zk_session_timeout; no node runs), 3 unknown (the node does not answer, a store cannot be read, bad configuration).",
        options: &[&["--json", "--watch"]],
        action: Some(Action::Status),
    },
    Command {
        name: "points",
        usage: "show|history|find|set …",
        summary: "look at sync points, look back, find one by time, move one",
        help: "The point of a shard is the place behind everything that was delivered. Former points are kept: the last 1000, and \
               one a minute for points_history_days. Looking takes no lock; a run may go on meanwhile.

  points show [SHARD] [--json]
      what is stored now. A file sink's last whole pack wins over it where that is newer
  points history [SHARD] [--json] [--limit N]
      former points, the oldest first, each with the number by which \"set\" knows it; --limit: the last N
  points find --time T [SHARD] [--json]
      the newest kept point behind which every row committed after T comes again (rows committed before T may come too).
      T: 2026-01-31T12:00:00+01:00, \"2026-01-31 12:00:00\" (UTC where no offset is given), or seconds since 1970
  points set SHARD PLACE --reason TEXT [--drop-xa] [--yes] [--source main|haK] [--no-server] [--json]
      moves the point. PLACE is one of
        --file F --pos P      the border of a transaction in a file of the main server, or of --source
        --gtids SET           behind that set (MySQL) or position (MariaDB)
        --to-history ID       a former point
        --start beginning     all that the main server, or --source, still has; --start end: only what comes from now on
        --drop-gtids SET      where it is, but these count as not delivered (MySQL)
        --from-local          to this node's own copy, where ZooKeeper has lost the point: on the node that led last
      A server of the shard is asked whether it can go on there, as at a start; --no-server leaves that to the next start.
      XA transactions that are prepared and undecided at the new place stay pending, those on which the log decides in what
      is left out do not; it is read for them. --drop-xa drops all (also without a PLACE: the way out when the server has purged
      what they need). Rows of one that is dropped are missing when it is committed, and a gap is recorded.
      --yes: do not ask.

A point is not moved while a process works on the shard: stop it first, or suspend the shard. Moving forward leaves out the rows in between, moving \
back delivers rows again; both are kept as a gap record (\"fountain gaps\") with the reason, and told by a gap line to whoever \
reads the rows (dispatch_gap). seq goes on rising. With --json set prints the stored record.

Exit code: 0 done, 1 failed or nothing found, 2 bad usage or configuration.",
        options: &[&["--json", "--limit", "--time"], &SET_VALUES, &SET_FLAGS],
        action: Some(Action::Points),
    },
    Command {
        name: "gaps",
        usage: "[SHARD] [--json] [--since T]",
        summary: "list every jump, skip, discard and reset",
        help: "Prints a line for each place where delivery did not simply go on behind what came before, the oldest first: when, which \
               shard, what (discard, changed, jump, skip, reset), from where to where, which tables and how many rows where that is \
               known, and why. A run may go on meanwhile.

  --json     the records themselves, one JSON object a line
  --since T  only those recorded at T or later (T as in \"fountain help points\")

Exit code: 0 done, 1 failed (also when lines of the file make no sense), 2 bad usage or configuration.",
        options: &[&["--json", "--since"]],
        action: Some(Action::Gaps),
    },
    Command {
        name: "verify",
        usage: "[--shard S] [--json] [--against] FOLDER…",
        summary: "prove that the files of the file sink are whole",
        help: "Reads all data files and sidecars in the folders of the file sink and proves from them alone that no row is \
               missing, repeated or changed: each pack's bytes against the CRC-32 of its header, each header against \
               its own seal and against the pack before it (sequence, epoch, CRC-32, seq, point), each line's place \
               against what was delivered before it. A run may go on meanwhile. Several folders (of several \
               nodes) are read as one, by epoch and sequence; packs that are there twice must be the same.

  --shard S   this shard only
  --json      one JSON object a line
  --against   also compare the newest change of sampled keys with the rows of the shard's main server, as
              --conf and -D name it, value by value; needs SELECT. A row that has changed since is looked for in
              what a running node delivers meanwhile; where nobody does, it is told as not decided
  --sample N  with --against: keys of each table that has a key, chosen by a hash (300)
  --seed N    with --against: choose other keys (0)

One line each: \"fault\" with file, line, what was expected and what is there; \"gap\" for each gap line; \"note\" for what \
a crash, the removal of old files or a stranger left; then \"ok\" or \"FAULT\" with the counts of each shard. What cannot be \
seen from the files alone: that the newest files are gone.

Exit code: 0 no fault, 1 a fault, 2 bad usage.",
        options: &[&["--shard", "--json", "--against", "--sample", "--seed"]],
        action: Some(Action::Verify),
    },
    Command {
        name: "schema",
        usage: "show [SHARD] [DB.TABLE] [--json] | set [SHARD] FILE --reason TEXT",
        summary: "look at the definitions that rows are read by, or supply one",
        help: "Where rows are logged without names (binlog_row_metadata=MINIMAL, MySQL before 8.0, MariaDB), each shard keeps \
               the definitions that it has proven, with the stretch of the log for whose rows they hold: in \
               producer_position, beside the point.

  show [SHARD] [DB.TABLE]        every version, where it holds and how it is known
  show --json                    of each table the newest one, a line each, in the form that schema_file reads
  set [SHARD] FILE --reason TEXT put the definitions of FILE in, for rows from the stored point on (and those of XA
                                 transactions that are prepared there) until a DDL of the table is read; refused while a run works on the shard

Exit code: 0 done, 1 failed, 2 bad usage or configuration.",
        options: &[&["--json", "--reason"]],
        action: Some(Action::Schema),
    },
    Command {
        name: "suspend",
        usage: "SHARD [--for 2h] --reason TEXT",
        summary: "keep a shard from running until it is resumed",
        help: "The shard finishes the pack in work, saves its point and lets go of its server, its folders and its leadership; the \
               other shards go on. What is said is kept with the point: it holds for whoever starts or takes over later. \
               Returns when the shard rests. Meanwhile its point may be moved (\"fountain points set\"). Where no node runs \
               here, or another one leads, the stored state is changed: a node that leads elsewhere looks at it every few \
               seconds, which is waited for, and the next one finds it so.

  --reason TEXT  one line, shown by \"fountain status\" and told in the log
  --for T        it ends by itself after that time: 45s, 90m, 2h

Exit code: 0 suspended (also when it was already), 1 failed, 2 bad usage or configuration.",
        options: &[&["--for", "--reason"]],
        action: Some(Action::Suspend),
    },
    Command {
        name: "resume",
        usage: "[SHARD]",
        summary: "let a suspended shard run, try a stopped one again",
        help: "Ends the suspension of a shard, or of all of them, and tries one again that had stopped by a fault while others ran \
               on. Among several nodes: also what another node has left as stopped, so that it may be tried anew.

Exit code: 0 done (also when there was nothing to resume), 1 failed, 2 bad usage or configuration.",
        options: &[],
        action: Some(Action::Resume),
    },
    Command {
        name: "switch",
        usage: "SHARD main|haK",
        summary: "go over to another server of a shard",
        help: "For a planned reboot: the shard leaves the server that it reads and goes on with the main server, or with that \
               backup, by all the checks of any connect; a server that cannot go on there is refused. Waits for a minute.

Exit code: 0 the shard is read from there, 1 it is not, 2 bad usage or configuration.",
        options: &[],
        action: Some(Action::Switch),
    },
    later("skip", "SHARD", "step over a bad event"),
    later("replay", "SHARD", "deliver a stretch again"),
    later("reload", "", "read the configuration anew"),
    Command {
        name: "step-down",
        usage: "[SHARD]",
        summary: "hand leadership to another node",
        help: "The node that runs here finishes its packs, saves its points, gives up its leadership of the shard, or of all, and \
               waits behind the other nodes.

Exit code: 0 done, 1 there is nobody to hand over to, or this node does not lead, 2 bad usage or configuration.",
        options: &[],
        action: Some(Action::StepDown),
    },
    Command {
        name: "conf",
        usage: "",
        summary: "show the value of every key and where it comes from",
        help: "Prints a line for each key: its name, the value that holds, and its origin (default, \
               FILE:LINE, environment or -D). Passwords are masked. First the values for all shards, then \
               for each shard its servers and what it has of its own.

Exit code: 0 the configuration is sound, 2 it is not; every problem is one line on standard error.",
        options: &[],
        action: Some(Action::Conf),
    },
    Command {
        name: "filter",
        usage: "test DB.TABLE",
        summary: "say whether a table is watched, and which rule decides",
        help: "Looks DB.TABLE up in filter_shard_table_white and filter_shard_table_black and names the \
               entry that decides; for each shard, where they differ. No server is asked.

Exit code: 0 whether watched or not, 2 bad usage or configuration.",
        options: &[],
        action: Some(Action::Filter),
    },
    Command {
        name: "version",
        usage: "",
        summary: "print version, commit and target",
        help: "The same as --version.",
        options: &[],
        action: Some(Action::Version),
    },
    Command {
        name: "help",
        usage: "[COMMAND|keys|codes]",
        summary: "explain a command, all configuration keys, or all codes of messages",
        help: "\"fountain help keys\" lists every configuration key with its default, \"fountain help codes\" every code \
               that messages begin with, what it means and what helps.",
        options: &[],
        action: Some(Action::Help),
    },
];

const fn later(name: &'static str, usage: &'static str, summary: &'static str) -> Command {
    Command { name, usage, summary, help: "", options: &[], action: None }
}

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
