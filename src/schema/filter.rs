//! Which tables are watched: the white and black list of `filter_shard_table_white` and
//! `filter_shard_table_black`.
//!
//! Entries are separated by commas outside brackets. An entry made of letters, digits, `_ - $` and one dot is
//! an exact `database.table`; anything else is a regular expression that must match the whole
//! `database.table`. Names are compared as they are written, capitals included. Black wins; an empty white
//! list lets everything through.
//!
//! The server's own tables that hold passwords or hashes of them are watched only where an exact entry of the white list
//! names them: nobody means them who means "all".
//!
//! What to do with the rows of a table that is not watched is the caller's business. `decide` builds a text
//! per call, so callers keep the answer per table.

use regex::Regex;
use regex::RegexBuilder;
use std::collections::BTreeSet;
use std::fmt;

/// The two lists, compiled.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    white: Vec<Entry>,
    black: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact,
    Expression(Regex),
}

/// Entries that match nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmatched<'a> {
    pub white: Vec<&'a str>,
    pub black: Vec<&'a str>,
}

/// Whether a table is watched, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// True when the table's rows are delivered.
    pub watched: bool,
    /// What decided.
    pub rule: Rule<'a>,
}

/// What decided on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule<'a> {
    /// The first entry of the black list that matches.
    Black(&'a str),
    /// The first entry of the white list that matches.
    White(&'a str),
    /// There is a white list, and none of its entries matches.
    NotInWhiteList,
    /// There is no white list, and no entry of the black list matches.
    NoWhiteList,
    /// The server keeps passwords there, and no entry of the white list is its very name.
    HoldsPasswords,
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Black(entry) => write!(f, "black list entry {entry}"),
            Rule::White(entry) => write!(f, "white list entry {entry}"),
            Rule::NotInWhiteList => f.write_str("no entry of the white list matches"),
            Rule::NoWhiteList => {
                f.write_str("the white list is empty and no entry of the black list matches")
            }
            Rule::HoldsPasswords => f.write_str(
                "the server keeps passwords or hashes of them there; only an entry of the white list with its very name \
                 lets it through",
            ),
        }
    }
}

/// An entry that cannot be used, with the reason in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// The entry as written.
    pub entry: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {:?}: {}", self.entry, self.reason)
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Compiles the two lists; empty texts give a filter that watches every table.
    pub fn new(white: &str, black: &str) -> Result<Self, FilterError> {
        Ok(Filter { white: entries(white)?, black: entries(black)? })
    }

    /// Decides on a table.
    pub fn decide(&self, database: &str, table: &str) -> Decision<'_> {
        let name = format!("{database}.{table}");
        if let Some(entry) = first_match(&self.black, &name) {
            return Decision { watched: false, rule: Rule::Black(entry) };
        }
        if holds_passwords(database, table) && !self.exact_white().any(|exact| exact == (database, table)) {
            return Decision { watched: false, rule: Rule::HoldsPasswords };
        }
        if self.white.is_empty() {
            return Decision { watched: true, rule: Rule::NoWhiteList };
        }
        match first_match(&self.white, &name) {
            Some(entry) => Decision { watched: true, rule: Rule::White(entry) },
            None => Decision { watched: false, rule: Rule::NotInWhiteList },
        }
    }

    /// True when the table's rows are delivered.
    pub fn watches(&self, database: &str, table: &str) -> bool {
        self.decide(database, table).watched
    }

    /// The entries of both lists that match none of these tables, given as (database, table).
    pub fn unmatched<'a, 'b>(&'a self, tables: impl Iterator<Item = (&'b str, &'b str)>) -> Unmatched<'a> {
        let names: Vec<String> = tables.map(|(database, table)| format!("{database}.{table}")).collect();
        let idle = |entries: &'a [Entry]| {
            let idle = entries.iter().filter(|entry| !names.iter().any(|name| entry.matches(name)));
            idle.map(|entry| entry.text.as_str()).collect()
        };
        Unmatched { white: idle(&self.white), black: idle(&self.black) }
    }

    /// The only databases that any entry can mean; none where expressions or an empty white list leave that open.
    pub fn databases(&self) -> Option<BTreeSet<&str>> {
        if self.white.is_empty() {
            return None;
        }
        let names = self.white.iter().chain(&self.black).map(|entry| Some(entry.exact()?.0));
        names.collect()
    }

    /// The white list's entries that name one table, as (database, table).
    pub fn exact_white(&self) -> impl Iterator<Item = (&str, &str)> {
        self.white.iter().filter_map(Entry::exact)
    }

    /// Whether any table of a database may be watched. An expression may match any name, so it counts as a yes.
    pub fn may_watch_in(&self, database: &str) -> bool {
        self.white.is_empty()
            || self.white.iter().any(|entry| match entry.matcher {
                Matcher::Exact => entry.text.split_once('.').is_some_and(|(name, _)| name == database),
                Matcher::Expression(_) => true,
            })
    }
}

/// Tables of the server's own that hold passwords or hashes of them.
pub fn holds_passwords(database: &str, table: &str) -> bool {
    const TABLES: [&str; 5] = ["user", "global_priv", "password_history", "servers", "slave_master_info"];
    database.eq_ignore_ascii_case("mysql") && TABLES.iter().any(|name| table.eq_ignore_ascii_case(name))
}

fn first_match<'a>(entries: &'a [Entry], name: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.matches(name)).map(|entry| entry.text.as_str())
}

fn entries(list: &str) -> Result<Vec<Entry>, FilterError> {
    split_list(list).into_iter().map(Entry::new).collect()
}

impl Entry {
    fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => self.text == name,
            Matcher::Expression(expression) => expression.is_match(name),
        }
    }

    /// Database and table, where the entry names one table.
    fn exact(&self) -> Option<(&str, &str)> {
        match self.matcher {
            Matcher::Exact => self.text.split_once('.'),
            Matcher::Expression(_) => None,
        }
    }

    fn new(text: &str) -> Result<Self, FilterError> {
        let refuse = |reason: String| FilterError { entry: text.to_string(), reason };
        let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.'));
        let dots = text.matches('.').count();
        if plain && dots == 1 {
            return Ok(Entry { text: text.to_string(), matcher: Matcher::Exact });
        }
        if plain && dots == 0 {
            // As an expression it would match nothing, ever: every name that it is compared with has a dot.
            return Err(refuse("expected database.table, there is no dot in it".to_string()));
        }
        // Alone first: "a)(b" is broken, and would be legal between the brackets of the anchored form.
        compile(text).map_err(&refuse)?;
        let expression = compile(&format!("^(?:{text})$")).map_err(&refuse)?;
        Ok(Entry { text: text.to_string(), matcher: Matcher::Expression(expression) })
    }
}

fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression).dot_matches_new_line(true).build().map_err(|error| one_line(&error))
}

/// The regex crate draws a picture of several lines under the expression; its last line says what is wrong.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or("not usable");
    format!("broken regular expression: {}", last.trim_start_matches("error: "))
}

/// Splits at commas outside `{} [] ()`, trims, and leaves out what is empty.
fn split_list(list: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    let mut brackets = Brackets::default();
    let mut rest = list;
    while let Some(comma) = rest.char_indices().find(|(_, c)| brackets.outside_comma(*c)).map(|(at, _)| at) {
        let (entry, after) = rest.split_at(comma);
        entries.push(entry.trim());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    entries.push(rest.trim());
    entries.retain(|entry| !entry.is_empty());
    entries
}

/// Where in an expression a character stands, as far as commas care.
#[derive(Default)]
struct Brackets {
    escaped: bool,
    /// Depth of `(` and `{`.
    round: usize,
    /// Depth of `[`: classes may hold classes.
    class: usize,
    /// Just behind `[` or `[^`, where `]` stands for itself.
    class_opens: bool,
}

impl Brackets {
    /// Takes the next character; true when it is a comma between entries.
    fn outside_comma(&mut self, c: char) -> bool {
        if std::mem::take(&mut self.escaped) {
            self.class_opens = false;
            return false;
        }
        let class_opens = std::mem::take(&mut self.class_opens);
        match c {
            '\\' => self.escaped = true,
            '[' => {
                self.class += 1;
                self.class_opens = true;
            }
            '^' if class_opens => self.class_opens = true,
            ']' if self.class > 0 && !class_opens => self.class -= 1,
            '(' | '{' if self.class == 0 => self.round += 1,
            ')' | '}' if self.class == 0 => self.round = self.round.saturating_sub(1),
            ',' => return self.class == 0 && self.round == 0,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(white: &str, black: &str) -> Filter {
        Filter::new(white, black).unwrap()
    }

    #[test]
    fn passwords_leave_only_by_name() {
        for (white, watched) in [("", false), (".*", false), ("mysql\\..*", false), ("mysql.user", true)] {
            let filter = Filter::new(white, "").unwrap();
            assert_eq!(filter.watches("mysql", "user"), watched, "{white}");
            assert!(!filter.watches("mysql", "global_priv"), "{white}");
        }
        assert_eq!(Filter::default().decide("mysql", "USER").rule, Rule::HoldsPasswords);
        assert!(Filter::default().watches("mysql", "time_zone") && Filter::default().watches("shop", "user"));
        assert!(!Filter::new("mysql.user", "mysql.*").unwrap().watches("mysql", "user"));
    }

    #[test]
    fn empty_lists_watch_everything() {
        for (white, black) in [("", ""), (" ", ""), (",", ", ,")] {
            assert!(filter(white, black).watches("shop", "orders"), "{white:?} {black:?}");
        }
        assert_eq!(Filter::default().decide("a", "b"), Decision { watched: true, rule: Rule::NoWhiteList });
    }

    #[test]
    fn an_entry_of_plain_characters_is_exact() {
        let filter = filter(" shop.orders , s-1.t_$2,商店.订单", "");
        assert!(filter.watches("shop", "orders"));
        assert!(filter.watches("s-1", "t_$2"));
        assert!(filter.watches("商店", "订单"));
        for (database, table) in
            [("shopx", "orders"), ("Shop", "orders"), ("shop", "orders2"), ("shop", "Orders")]
        {
            assert!(!filter.watches(database, table), "{database}.{table}");
        }
        // the dot of an exact entry is a dot
        assert!(!super::Filter::new("a.b", "").unwrap().watches("axb", ""));
    }

    #[test]
    fn anything_else_is_an_expression_that_matches_the_whole_name() {
        let filter = filter(r"shop\..*, t[0-9]+\.x|y\.z", "");
        assert!(filter.watches("shop", "orders"));
        assert!(filter.watches("t12", "x"));
        assert!(filter.watches("y", "z"));
        assert!(!filter.watches("myshop", "orders"), "anchored at the start");
        assert!(!filter.watches("t12", "xx"), "anchored at the end, in each branch");
        assert!(!filter.watches("yy", "z"));
        assert!(super::Filter::new(".*", "").unwrap().watches("odd\nname", "t"));
    }

    #[test]
    fn black_wins_and_the_rule_is_named() {
        let filter = filter(r"shop\..*", r"shop\.tmp_.*,shop.secret");
        assert_eq!(
            filter.decide("shop", "orders"),
            Decision { watched: true, rule: Rule::White(r"shop\..*") }
        );
        assert_eq!(
            filter.decide("shop", "tmp_1"),
            Decision { watched: false, rule: Rule::Black(r"shop\.tmp_.*") }
        );
        assert_eq!(
            filter.decide("shop", "secret"),
            Decision { watched: false, rule: Rule::Black("shop.secret") }
        );
        assert_eq!(filter.decide("hr", "staff"), Decision { watched: false, rule: Rule::NotInWhiteList });
        let only_black = Filter::new("", "hr.staff").unwrap();
        assert_eq!(only_black.decide("shop", "x"), Decision { watched: true, rule: Rule::NoWhiteList });
    }

    #[test]
    fn entries_that_match_nothing_are_named() {
        let filter = filter(r"shop.orders, shop\.old_.*, hr.staff", "shop.gone,shop.orders");
        let tables = [("shop", "orders"), ("hr", "staff")];
        let unmatched = filter.unmatched(tables.into_iter());
        assert_eq!((unmatched.white, unmatched.black), (vec![r"shop\.old_.*"], vec!["shop.gone"]));
    }

    #[test]
    fn exact_entries_bound_the_databases() {
        let exact = filter("b.x,a.y,b.z", "a.q");
        assert_eq!(exact.databases(), Some(["a", "b"].into()));
        assert_eq!(exact.exact_white().collect::<Vec<_>>(), [("b", "x"), ("a", "y"), ("b", "z")]);
        for (white, black) in [("", "a.b"), ("a.b,c[.]d", ""), ("a.b", ".*[.]tmp")] {
            assert_eq!(filter(white, black).databases(), None, "{white} {black}");
        }
    }

    #[test]
    fn commas_inside_brackets_do_not_separate() {
        let cases: [(&str, &[&str]); 9] = [
            (r"a.t\d{1,3},b.c", &[r"a.t\d{1,3}", "b.c"]),
            ("a.[x,y],b.c", &["a.[x,y]", "b.c"]),
            ("(a,|b).c,d.e", &["(a,|b).c", "d.e"]),
            (r"a\(b.c,d.e", &[r"a\(b.c", "d.e"]),
            (r"a[\]].c,d.e", &[r"a[\]].c", "d.e"]),
            ("a[],].c,d.e", &["a[],].c", "d.e"]),
            ("a[^],].c,d.e", &["a[^],].c", "d.e"]),
            ("a[(].c,d.e", &["a[(].c", "d.e"]),
            ("a[[:alpha:],].c , d.e,", &["a[[:alpha:],].c", "d.e"]),
        ];
        for (list, expected) in cases {
            assert_eq!(split_list(list), expected, "{list}");
        }
    }

    #[test]
    fn broken_entries_are_refused_in_one_line_with_the_reason() {
        let cases = [
            ("a.(b", "unclosed group"),
            ("a)(b.c", "unopened group"),
            ("a.[b", "unclosed character class"),
            ("(?!tmp_).*", "look-around"),
            ("*.orders", "repetition operator missing expression"),
            ("orders", "expected database.table"),
        ];
        for (list, reason) in cases {
            let error = Filter::new("", list).unwrap_err();
            assert_eq!(error.entry, list);
            let text = error.to_string();
            assert!(text.contains(reason) && !text.contains('\n'), "{text}");
        }
    }
}
