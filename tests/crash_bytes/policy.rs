//! What a transaction policy leaves out of a log: worked out by the README's words from what comes without a policy, and
//! compared with what came, transaction by transaction.

use serde_json::Value;
use std::collections::BTreeMap;

/// Some of the load's transactions have more rows, some no more rows but more bytes.
const MAX_ROWS: usize = 1000;
const MAX_BYTES: usize = 370_000;
const LIMITS: [&str; 2] = ["trans_max_size=1000", "trans_max_bytes=370000"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    None,
    /// `mini`, and what is too large comes in parts.
    Stream,
    /// `mini`, and what is too large is left out.
    Discard,
    /// `discard_huge_table`.
    DiscardTables,
}

impl Policy {
    pub fn pairs(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Policy::None => return Vec::new(),
            Policy::Stream => &["transaction_policy=mini", "trans_oversize=stream"],
            Policy::Discard => &["transaction_policy=mini", "trans_oversize=discard"],
            Policy::DiscardTables => &["transaction_policy=discard_huge_table"],
        };
        [&LIMITS, own].concat()
    }

    pub fn leaves_out(self) -> bool {
        matches!(self, Policy::Discard | Policy::DiscardTables)
    }
}

/// Or a DDL, which stands in a transaction of its own.
struct Row<'a> {
    ordinal: u64,
    /// Empty: none.
    table: String,
    /// The line without its `seq`.
    text: &'a str,
}

enum Step<'a> {
    Row(Row<'a>),
    /// `ROLLBACK` or `ROLLBACK TO`: from this ordinal on.
    Back(u64),
}

/// Rows by table that do not come.
type Lost = BTreeMap<String, u64>;

/// A transaction's lines.
#[derive(Default)]
struct Group<'a> {
    /// File and position where it begins.
    at: String,
    steps: Vec<Step<'a>>,
    committed: bool,
    lost: Lost,
}

/// A transaction as it must come, or has come.
#[derive(Debug, PartialEq, Eq)]
struct Net<'a> {
    at: String,
    rows: Vec<&'a str>,
    lost: Lost,
}

fn place(edge: &Value) -> String {
    format!("{}:{}", edge["file"].as_str().expect("a file"), edge["pos"])
}

fn without_seq(line: &str) -> &str {
    line.rfind(",\"seq\":").map_or(line, |end| &line[..end])
}

fn groups(text: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let last = groups.last_mut().filter(|group| !group.committed);
        match (value["op"].as_str().expect("op"), last) {
            ("begin", _) => groups.push(Group { at: place(&value), ..Group::default() }),
            ("gap", last) => {
                let (at, lost) = (place(&value["from"]), lost(&value));
                assert!(!lost.is_empty(), "a gap of nothing: {line}");
                match last.filter(|group| group.at == at) {
                    Some(group) => group.lost = lost,
                    None => groups.push(Group { at, committed: true, lost, ..Group::default() }),
                }
            }
            (op, Some(group)) => group.take(op, line, &value),
            (op, None) => panic!("{op} outside of a transaction: {line}"),
        }
    }
    groups
}

impl<'a> Group<'a> {
    fn take(&mut self, op: &str, line: &'a str, value: &Value) {
        let number = |name: &str| value[name].as_u64().expect("a number");
        match op {
            "insert" | "update" | "delete" | "ddl" => {
                let table = match op {
                    "ddl" => String::new(),
                    _ => format!("{}.{}", value["database"], value["table"]).replace('"', ""),
                };
                self.steps.push(Step::Row(Row { ordinal: number("row"), table, text: without_seq(line) }));
            }
            "rollback" => self.steps.push(Step::Back(number("from_row"))),
            "commit" => {
                self.committed = true;
                let told: u64 = ["inserts", "updates", "deletes"].map(number).iter().sum();
                let is_row = |line: &&&str| !line.starts_with("{\"op\":\"ddl\"");
                assert_eq!(told, self.net().rows.iter().filter(is_row).count() as u64, "{line}");
            }
            other => panic!("unexpected op {other}: {line}"),
        }
    }

    /// What is left of it when rollbacks are heeded.
    fn net(&self) -> Net<'a> {
        let mut rows: Vec<&Row<'a>> = Vec::new();
        for step in &self.steps {
            match step {
                Step::Row(row) => rows.push(row),
                Step::Back(from) => rows.retain(|row| row.ordinal < *from),
            }
        }
        rows.retain(|_| self.committed);
        Net { at: self.at.clone(), rows: rows.iter().map(|row| row.text).collect(), lost: self.lost.clone() }
    }

    /// What a policy makes of it.
    fn under(&self, policy: Policy) -> Net<'a> {
        let mut rows: Vec<&Row<'a>> = Vec::new();
        let mut sizes = Sizes::default();
        let mut all_left_out = false;
        for step in &self.steps {
            match step {
                Step::Row(row) => {
                    rows.push(row);
                    sizes.add(row);
                }
                Step::Back(from) => {
                    rows.retain(|row| row.ordinal < *from);
                    sizes.count_anew(&rows);
                }
            }
            while policy.leaves_out() && !all_left_out && sizes.is_too_large() {
                match policy {
                    Policy::DiscardTables => sizes.leave_out_largest(),
                    _ => all_left_out = true,
                }
            }
        }
        rows.retain(|_| self.committed);
        let is_lost = |row: &Row<'_>| all_left_out || sizes.left_out.contains(&row.table.as_str());
        let mut net = Net { at: self.at.clone(), rows: Vec::new(), lost: Lost::new() };
        for row in rows {
            match is_lost(row) {
                true => *net.lost.entry(row.table.clone()).or_default() += 1,
                false => net.rows.push(row.text),
            }
        }
        net
    }
}

/// Rows and bytes by table, of those that are not rolled back.
#[derive(Default)]
struct Sizes<'a> {
    tables: BTreeMap<&'a str, (usize, usize)>,
    left_out: Vec<&'a str>,
}

impl<'a> Sizes<'a> {
    fn add(&mut self, row: &'a Row<'_>) {
        let (rows, bytes) = self.tables.entry(&row.table).or_default();
        *rows += 1;
        // A line that is held has its bracket and its line end, and no `seq`.
        *bytes += row.text.len() + "}\n".len();
    }

    fn count_anew(&mut self, rows: &[&'a Row<'_>]) {
        self.tables.clear();
        rows.iter().for_each(|row| self.add(row));
    }

    fn kept(&self) -> impl Iterator<Item = (&'a str, (usize, usize))> {
        let kept = self.tables.iter().filter(|(table, _)| !self.left_out.contains(*table));
        kept.map(|(table, size)| (*table, *size))
    }

    fn is_too_large(&self) -> bool {
        let rows: usize = self.kept().map(|(_, (rows, _))| rows).sum();
        let bytes: usize = self.kept().map(|(_, (_, bytes))| bytes).sum();
        rows > MAX_ROWS || bytes > MAX_BYTES
    }

    fn leave_out_largest(&mut self) {
        let (table, (most, _)) = self.kept().max_by_key(|(_, (rows, _))| *rows).expect("a table");
        let equals = self.kept().filter(|(_, (rows, _))| *rows == most).count();
        assert_eq!(equals, 1, "the load must not leave it to chance which table is the largest");
        self.left_out.push(table);
    }
}

fn lost(gap: &Value) -> Lost {
    let tables = gap["tables"].as_array().expect("tables");
    let of = |table: &Value| {
        (table["table"].as_str().expect("a table").to_owned(), table["rows"].as_u64().expect("rows"))
    };
    tables.iter().map(of).collect()
}

/// What came under a policy is what comes without one, less what is told to be left out, and that is what the policy must
/// leave out. Answers with the transactions and the rows that lost something.
pub fn assert_obeyed(policy: Policy, without: &str, came: &str) -> (usize, u64) {
    let is_any = |net: &Net<'_>| !net.rows.is_empty() || !net.lost.is_empty();
    let expected: Vec<_> = groups(without).iter().map(|group| group.under(policy)).filter(is_any).collect();
    let got: Vec<_> = groups(came).iter().map(Group::net).filter(is_any).collect();
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!((&got.at, &got.lost), (&expected.at, &expected.lost), "{policy:?}");
        assert!(got.rows == expected.rows, "{policy:?}: the rows of {} differ", got.at);
    }
    assert_eq!(got.len(), expected.len(), "{policy:?}");
    let losing = expected.iter().filter(|net| !net.lost.is_empty());
    (losing.clone().count(), losing.flat_map(|net| net.lost.values()).sum())
}

/// Rows of the log by kind, those included that were rolled back.
pub fn row_counts(text: &str) -> (u64, u64, u64) {
    let of = |op: &str| {
        let start = format!("{{\"op\":\"{op}\"");
        text.lines().filter(|line| line.starts_with(&start)).count() as u64
    };
    (of("insert"), of("update"), of("delete"))
}

/// The gap records' and the gap lines' common members, in their order.
pub fn gaps<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Value> {
    let parse = |line: &str| -> Value { serde_json::from_str(line).expect("JSON") };
    let members = |gap: Value| ["from", "to", "tables", "reason"].map(|name| gap[name].clone());
    lines.map(|line| members(parse(line)).into()).collect()
}
