//! What a server's settings mean for the rows that it logs: rules over its facts, for the connect of a run and for
//! `fountain check` alike. Refusals are [`super::preflight`]'s; here are the settings that a run can live with.

use super::preflight::Flavor;
use super::preflight::ServerFacts;
use crate::code::Code;

/// Something to change, though a run goes on without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    pub code: Code,
    pub text: String,
    /// What to do, in the words of the server's SQL.
    pub cure: String,
}

/// What a run says at its first connect: settings that leave something out of rows.
pub fn at_connect(facts: &ServerFacts) -> Vec<Advice> {
    [row_image(facts), partial_json(facts)].into_iter().flatten().collect()
}

/// The statement that changes a global variable, for good where the server can.
pub fn set_global(facts: &ServerFacts, assignment: &str) -> String {
    match facts.variable("persisted_globals_load") {
        Some(_) => format!("run on the server: SET PERSIST {assignment}"),
        None => {
            format!("run on the server: SET GLOBAL {assignment} (and put it into its configuration file)")
        }
    }
}

/// The same for a variable that each session copies when it connects.
fn set_for_sessions(facts: &ServerFacts, assignment: &str) -> String {
    let cure = set_global(facts, assignment);
    format!("{cure}; sessions that are open keep the old value until they reconnect")
}

/// Rows that are logged in part.
pub fn row_image(facts: &ServerFacts) -> Option<Advice> {
    let image = facts.variable("binlog_row_image").filter(|image| !image.eq_ignore_ascii_case("FULL"))?;
    let what = match image.to_ascii_uppercase().as_str() {
        "MINIMAL" => "before holds the key alone, after only what an UPDATE changed",
        "NOBLOB" => "TEXT and BLOB columns that did not change are left out",
        "FULL_NODUP" => "after holds only what an UPDATE changed",
        _ => "columns are left out",
    };
    Some(Advice {
        code: Code::RowImage,
        text: format!("binlog_row_image={image}: {what}"),
        cure: set_for_sessions(facts, "binlog_row_image='FULL'"),
    })
}

/// Differences of JSON documents, when the document that they change is not logged with them.
pub fn partial_json(facts: &ServerFacts) -> Option<Advice> {
    let options = facts.variable("binlog_row_value_options").filter(|options| !options.is_empty())?;
    let image = facts.variable("binlog_row_image").unwrap_or("FULL");
    if image.eq_ignore_ascii_case("FULL") {
        return None;
    }
    Some(Advice {
        code: Code::PartialJson,
        text: format!(
            "binlog_row_value_options={options} with binlog_row_image={image}: a changed JSON document is told as \
             differences, without the document that they change"
        ),
        cure: set_for_sessions(facts, "binlog_row_value_options=''"),
    })
}

/// MySQL 5.6's default: when the binlog cannot be written, the server closes it and goes on.
pub fn given_up(facts: &ServerFacts) -> Option<Advice> {
    let action = facts.variable("binlog_error_action").filter(|action| *action == "IGNORE_ERROR")?;
    Some(Advice {
        code: Code::BinlogGivenUp,
        text: format!(
            "binlog_error_action={action}: when the server cannot write its binlog (a full disk), it goes on without, and \
             nobody hears of the changes that follow"
        ),
        cure: set_global(facts, "binlog_error_action='ABORT_SERVER'"),
    })
}

/// Whether rows that foreign keys change by themselves come out as rows: since MySQL 9.6 foreign keys are the server's
/// business and no longer InnoDB's alone, unless `innodb_native_foreign_keys` brings the old way back.
pub fn logs_cascades(facts: &ServerFacts) -> bool {
    facts.flavor() == Flavor::MySql && facts.is_on("innodb_native_foreign_keys") == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_image_is_told_with_the_statement_that_cures_it() {
        assert_eq!(row_image(&ServerFacts::of(&[])), None, "servers before 5.6 log whole rows");
        assert_eq!(row_image(&ServerFacts::of(&[("binlog_row_image", "FULL")])), None);
        let old = row_image(&ServerFacts::of(&[("binlog_row_image", "MINIMAL")])).unwrap();
        assert!(
            old.cure.starts_with("run on the server: SET GLOBAL binlog_row_image='FULL' (and"),
            "{old:?}"
        );
        let new = ServerFacts::of(&[("binlog_row_image", "noblob"), ("persisted_globals_load", "ON")]);
        let new = row_image(&new).unwrap();
        assert!(
            new.cure.starts_with("run on the server: SET PERSIST binlog_row_image='FULL'; sessions"),
            "{new:?}"
        );
        assert!(new.text.contains("TEXT and BLOB"), "{new:?}");
    }

    #[test]
    fn differences_need_their_base() {
        let json = ("binlog_row_value_options", "PARTIAL_JSON");
        assert_eq!(partial_json(&ServerFacts::of(&[json, ("binlog_row_image", "FULL")])), None);
        let minimal = ServerFacts::of(&[json, ("binlog_row_image", "MINIMAL")]);
        assert_eq!(partial_json(&minimal).unwrap().code, Code::PartialJson);
        let codes: Vec<_> = at_connect(&minimal).into_iter().map(|advice| advice.code).collect();
        assert_eq!(codes, [Code::RowImage, Code::PartialJson]);
    }

    #[test]
    fn cascades_are_logged_where_the_server_makes_them() {
        for (variable, expected) in [
            (("innodb_native_foreign_keys", "OFF"), true),
            (("innodb_native_foreign_keys", "ON"), false),
            (("version", "8.4.0"), false),
        ] {
            assert_eq!(logs_cascades(&ServerFacts::of(&[variable])), expected, "{variable:?}");
        }
    }
}
