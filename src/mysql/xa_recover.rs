//! XA transactions that a server holds prepared.

use super::connection::Connection;
use super::error::SourceError;
use crate::binlog::xa::XaXid;
use crate::wire::response::ResultSet;

/// Their names, as the server logs them: `X'6162',X'',1`. MySQL from 8.0 on tells them to XA_RECOVER_ADMIN alone.
pub fn prepared_xa(connection: &mut Connection) -> Result<Vec<String>, SourceError> {
    Ok(names(&connection.query("XA RECOVER")?))
}

/// Columns: formatID · gtrid_length · bqual_length · data, both parts without anything in between.
fn names(answer: &ResultSet) -> Vec<String> {
    let name = |row: usize| {
        let number = |column: usize| answer.text(row, column)?.parse::<u32>().ok();
        let data = answer.rows.get(row)?.get(3)?.as_ref()?;
        let (gtrid, bqual) = data.split_at_checked(usize::try_from(number(1)?).ok()?)?;
        Some(XaXid { format_id: number(0)?, gtrid, bqual }.to_string())
    };
    (0..answer.rows.len()).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_a_name_are_told() {
        let row = |values: [&str; 4]| values.map(|value| Some(value.as_bytes().to_vec())).to_vec();
        let answer = ResultSet {
            columns: vec![],
            rows: vec![row(["7", "1", "1", "ab"]), row(["1", "2", "0", "cd"]), row(["1", "9", "0", "short"])],
        };
        assert_eq!(names(&answer), ["X'61',X'62',7", "X'6364',X'',1"]);
    }
}
