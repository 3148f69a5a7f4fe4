//! The GTIDs of a point in its record: `gtid_set` holds a MySQL set, `gtid_position` a MariaDB position. Neither is
//! there where none is known, both at once make no sense.

use crate::binlog::ExecutedGtids;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error;

#[derive(Serialize, Deserialize)]
struct Members {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gtid_set: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gtid_position: Option<String>,
}

pub fn serialize<S: Serializer>(executed: &Option<ExecutedGtids>, serializer: S) -> Result<S::Ok, S::Error> {
    let (gtid_set, gtid_position) = match executed {
        None => (None, None),
        Some(ExecutedGtids::Mysql(set)) => (Some(set.to_string()), None),
        Some(ExecutedGtids::Mariadb(position)) => (None, Some(position.to_string())),
    };
    Members { gtid_set, gtid_position }.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ExecutedGtids>, D::Error> {
    let Members { gtid_set, gtid_position } = Members::deserialize(deserializer)?;
    match (gtid_set, gtid_position) {
        (None, None) => Ok(None),
        (Some(text), None) => match text.parse() {
            Ok(set) => Ok(Some(ExecutedGtids::Mysql(set))),
            Err(error) => Err(D::Error::custom(format!("gtid_set: {error}"))),
        },
        (None, Some(text)) => match text.parse() {
            Ok(position) => Ok(Some(ExecutedGtids::Mariadb(position))),
            Err(error) => Err(D::Error::custom(format!("gtid_position: {error}"))),
        },
        (Some(_), Some(_)) => Err(D::Error::custom("it holds a gtid_set and a gtid_position")),
    }
}

#[cfg(test)]
mod tests {
    use crate::sync_point::SyncPoint;
    use crate::sync_point::record::tests::point;

    const SET: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23";

    fn read(members: &str) -> Result<SyncPoint, String> {
        let text = format!(r#"{{"server":{{"server_id":56}},"file":"b.1","pos":4{members}}}"#);
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_member_says_the_kind() {
        let mysql = point(4).executed;
        assert_eq!(read(&format!(r#","gtid_set":"{SET}""#)).unwrap().executed, mysql);
        let mariadb = read(r#","gtid_position":"0-1-42,1-2-7""#).unwrap();
        let text = serde_json::to_string(&mariadb).unwrap();
        assert!(text.contains(r#""gtid_position":"0-1-42,1-2-7""#) && !text.contains("gtid_set"), "{text}");
        assert_eq!(serde_json::from_str::<SyncPoint>(&text).unwrap(), mariadb);
        assert_eq!(read("").unwrap().executed, None);
        // A server that has executed nothing is not one of which nothing is known.
        assert!(read(r#","gtid_position":"""#).unwrap().executed.is_some());
    }

    #[test]
    fn texts_of_the_wrong_kind_are_errors() {
        for members in [
            r#","gtid_set":"0-1-42""#.to_owned(),
            r#","gtid_set":5"#.to_owned(),
            format!(r#","gtid_position":"{SET}""#),
            format!(r#","gtid_set":"{SET}","gtid_position":"0-1-42""#),
        ] {
            let error = read(&members).unwrap_err();
            assert!(error.contains("gtid") || error.contains("string"), "{error}");
        }
    }
}
