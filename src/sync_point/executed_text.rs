//! The GTIDs of a point in its record: `gtid_set` holds a MySQL set, `gtid_position` a MariaDB position, `group_id` the last
//! group of Baidu's MySQL. None is there where none is known, several at once make no sense.

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_id: Option<u64>,
}

pub fn serialize<S: Serializer>(executed: &Option<ExecutedGtids>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut members = Members { gtid_set: None, gtid_position: None, group_id: None };
    match executed {
        None => {}
        Some(ExecutedGtids::Mysql(set)) => members.gtid_set = Some(set.to_string()),
        Some(ExecutedGtids::Mariadb(position)) => members.gtid_position = Some(position.to_string()),
        Some(ExecutedGtids::Group(id)) => members.group_id = Some(*id),
    }
    members.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ExecutedGtids>, D::Error> {
    let Members { gtid_set, gtid_position, group_id } = Members::deserialize(deserializer)?;
    match (gtid_set, gtid_position, group_id) {
        (None, None, None) => Ok(None),
        (None, None, Some(id)) => Ok(Some(ExecutedGtids::Group(id))),
        (Some(text), None, None) => match text.parse() {
            Ok(set) => Ok(Some(ExecutedGtids::Mysql(set))),
            Err(error) => Err(D::Error::custom(format!("gtid_set: {error}"))),
        },
        (None, Some(text), None) => match text.parse() {
            Ok(position) => Ok(Some(ExecutedGtids::Mariadb(position))),
            Err(error) => Err(D::Error::custom(format!("gtid_position: {error}"))),
        },
        _ => Err(D::Error::custom("it holds several of gtid_set, gtid_position and group_id")),
    }
}

#[cfg(test)]
mod tests {
    use crate::binlog::ExecutedGtids;
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
        let ares = read(r#","group_id":18446744073709551615"#).unwrap();
        assert_eq!(ares.executed, Some(ExecutedGtids::Group(u64::MAX)));
        assert_eq!(serde_json::from_str::<SyncPoint>(&serde_json::to_string(&ares).unwrap()).unwrap(), ares);
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
            format!(r#","gtid_set":"{SET}","group_id":42"#),
            r#","group_id":-1"#.to_owned(),
        ] {
            let error = read(&members).unwrap_err();
            assert!(error.contains("gtid") || error.contains("string") || error.contains("u64"), "{error}");
        }
    }
}
