//! `--until`: where a run ends.

use crate::cli::Failure;
use crate::config::Config;
use crate::config::near;
use crate::config::place;
use crate::config::value::Kind;

/// Where a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// At the end that each shard's server has when the shard first connects.
    End,
    /// Before that position, exclusive; transactions begun before it are delivered whole.
    Position {
        /// The shard's name; always there once `for_shards` has seen it. Only this shard runs.
        shard: Option<String>,
        /// Binlog file.
        file: String,
        /// Position in it.
        pos: u64,
    },
    /// When that set is delivered.
    GtidText {
        /// The shard's name; always there once `for_shards` has seen it. Only this shard runs.
        shard: Option<String>,
        /// The set as written, parts joined by commas, checked in its shape only.
        text: String,
    },
}

impl Until {
    /// Reads `end`, `FILE:POS`, a GTID set, or one of the latter two behind `SHARD=`.
    pub fn parse(text: &str) -> Result<Until, Failure> {
        if text == "end" {
            return Ok(Until::End);
        }
        let (shard, end) = match text.split_once('=').filter(|(name, _)| Kind::Name.check(name).is_ok()) {
            Some((name, end)) => (Some(name.to_string()), end),
            None => (None, text),
        };
        if let Some((file, pos)) = place::file_and_position(end) {
            return Ok(Until::Position { shard, file: file.to_string(), pos });
        }
        if place::is_gtid_set_shaped(end) {
            return Ok(Until::GtidText { shard, text: place::with_commas(end) });
        }
        let hint = near::hint(text, ["end"]);
        Err(Failure::usage(format!("--until: expected end, FILE:POS or a GTID set, got \"{text}\"{hint}")))
    }

    /// Checks it against the shards of a run, and fills in the shard's name when there is just one.
    pub fn for_shards(self, config: &Config) -> Result<Until, Failure> {
        let names: Vec<&str> = config.enabled_shards().map(|shard| shard.name.as_str()).collect();
        let choose = |shard: Option<String>| match (shard, names.as_slice()) {
            (Some(name), _) if names.contains(&name.as_str()) => Ok(Some(name)),
            (Some(name), _) => {
                let hint = near::hint(&name, names.iter().copied());
                Err(Failure::usage(format!(
                    "--until: no shard \"{name}\" runs here (there is {}){hint}",
                    names.join(", ")
                )))
            }
            (None, [only]) => Ok(Some(only.to_string())),
            (None, _) => {
                let advice = format!("name one as SHARD=…, of {}", names.join(", "));
                Err(Failure::usage(format!(
                    "--until: a place belongs to one shard and {} run here; {advice}",
                    names.len()
                )))
            }
        };
        Ok(match self {
            Until::End => Until::End,
            Until::Position { shard, file, pos } => Until::Position { shard: choose(shard)?, file, pos },
            Until::GtidText { shard, text } => Until::GtidText { shard: choose(shard)?, text },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Request;

    const GTID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:23";

    fn position(shard: Option<&str>, file: &str, pos: u64) -> Until {
        Until::Position { shard: shard.map(str::to_string), file: file.to_string(), pos }
    }

    fn gtid(shard: Option<&str>, text: &str) -> Until {
        Until::GtidText { shard: shard.map(str::to_string), text: text.to_string() }
    }

    #[test]
    fn forms() {
        let cases = [
            ("end", Until::End),
            ("mysql-bin.000003:1234", position(None, "mysql-bin.000003", 1234)),
            (GTID, gtid(None, GTID)),
            ("0-1-42", gtid(None, "0-1-42")),
            ("orders=mysql-bin.000003:1234", position(Some("orders"), "mysql-bin.000003", 1234)),
            ("producer00=0-1-42,1-1-7", gtid(Some("producer00"), "0-1-42,1-1-7")),
        ];
        for (text, expected) in cases {
            assert_eq!(Until::parse(text).unwrap(), expected, "{text}");
        }
        let tagged = GTID.replace(":23", ":tag:1-23");
        assert_eq!(Until::parse(&tagged).unwrap(), gtid(None, &tagged));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "mysql-bin.000003", "orders=end", "orders=", "mysql-bin.000003:", "now", "3e11fa47:23x"]
        {
            let failure = Until::parse(text).unwrap_err();
            assert_eq!(failure.exit, 2);
            assert!(
                failure.lines[0].starts_with("USAGE --until: expected end, FILE:POS or a GTID set, got \""),
                "{failure}"
            );
        }
        assert!(Until::parse("END").unwrap_err().lines[0].ends_with("got \"END\", did you mean \"end\"?"));
    }

    fn config(shards: &[&str]) -> Config {
        let mut request = Request::from_pairs("/home", &[("mysql_username", "u")]);
        for (number, name) in shards.iter().enumerate() {
            request.defines.push((format!("mysql_shard_{number}_server"), "h".to_string()));
            request.defines.push((format!("mysql_shard_{number}_name"), name.to_string()));
        }
        Config::load(&request).unwrap()
    }

    #[test]
    fn a_place_needs_a_shard() {
        let one = config(&["orders"]);
        let two = config(&["orders", "stock"]);
        let until = |text: &str, config: &Config| Until::parse(text).unwrap().for_shards(config);
        assert_eq!(until("b.1:4", &one).unwrap(), position(Some("orders"), "b.1", 4));
        assert_eq!(until("0-1-2", &one).unwrap(), gtid(Some("orders"), "0-1-2"));
        assert_eq!(until("end", &two).unwrap(), Until::End);
        assert_eq!(until("stock=b.1:4", &two).unwrap(), position(Some("stock"), "b.1", 4));
        assert_eq!(
            until("b.1:4", &two).unwrap_err().lines,
            [
                "USAGE --until: a place belongs to one shard and 2 run here; name one as SHARD=…, of orders, stock"
            ]
        );
        assert_eq!(
            until("stok=0-1-2", &two).unwrap_err().lines,
            ["USAGE --until: no shard \"stok\" runs here (there is orders, stock), did you mean \"stock\"?"]
        );
    }
}
