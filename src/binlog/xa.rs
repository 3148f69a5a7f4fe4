//! XA_PREPARE_LOG_EVENT (38): the end of a transaction that `XA COMMIT` or `XA ROLLBACK` decides on later.

use crate::codec::CodecError;
use crate::codec::Reader;
use std::fmt;

/// Limit of both parts, `MAXGTRIDSIZE` and `MAXBQUALSIZE`.
const MAX_PART: usize = 64;

/// The name that the client gave to an XA transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct XaXid<'a> {
    /// 1 unless the client says otherwise.
    pub format_id: u32,
    /// Global transaction id, 1 to 64 bytes (MySQL takes none, too).
    pub gtrid: &'a [u8],
    /// Branch qualifier, up to 64 bytes.
    pub bqual: &'a [u8],
}

/// As both servers write it in the statements they log: `X'6162',X'',1`.
impl fmt::Display for XaXid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X'")?;
        self.gtrid.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("',X'")?;
        self.bqual.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "',{}", self.format_id)
    }
}

impl<'a> XaXid<'a> {
    pub(super) fn read_parts(
        bytes: &mut Reader<'a>,
        format_id: u32,
        gtrid: u32,
        bqual: u32,
    ) -> Result<Self, CodecError> {
        let part = |length: u32| usize::try_from(length).ok().filter(|length| *length <= MAX_PART);
        let (Some(gtrid_length), Some(bqual_length)) = (part(gtrid), part(bqual)) else {
            return Err(bytes.invalid("length of an xid", gtrid.max(bqual).into()));
        };
        let gtrid = bytes.take(gtrid_length, "gtrid")?;
        let bqual = bytes.take(bqual_length, "bqual")?;
        Ok(Self { format_id, gtrid, bqual })
    }
}

/// In wire order: one phase 1 · format id 4 · length of gtrid 4 · length of bqual 4 · gtrid · bqual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// `XA COMMIT … ONE PHASE`: this event is the commit, nothing follows. (MariaDB logs an XID_EVENT
    /// instead.)
    pub one_phase: bool,
    pub xid: XaXid<'a>,
}

impl<'a> XaPrepare<'a> {
    pub(super) fn read(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let one_phase = bytes.u8("one phase")? != 0;
        let format_id = bytes.u32("format id")?;
        let gtrid = bytes.u32("length of gtrid")?;
        let bqual = bytes.u32("length of bqual")?;
        Ok(Self { one_phase, xid: XaXid::read_parts(bytes, format_id, gtrid, bqual)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    fn story(name: &str) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut story = Vec::new();
        for (_, bytes) in testing::fixture(name) {
            match decoder.decode(&bytes).unwrap().1 {
                Event::Query(query) if query.sql.starts_with(b"XA") => {
                    story.push(String::from_utf8_lossy(query.sql).into_owned())
                }
                Event::XaPrepare(XaPrepare { one_phase, xid }) => story.push(format!("{one_phase} {xid}")),
                Event::Xid(_) => story.push("XID".to_owned()),
                _ => {}
            }
        }
        story
    }

    #[test]
    fn the_name_is_printed_as_the_statements_spell_it() {
        let both = [
            "XA START X'747278',X'6272616e6368',7",
            "XA END X'747278',X'6272616e6368',7",
            "false X'747278',X'6272616e6368',7",
            "XA COMMIT X'747278',X'6272616e6368',7",
            "XA START X'00ff27',X'',1",
            "XA END X'00ff27',X'',1",
            "false X'00ff27',X'',1",
            "XA ROLLBACK X'00ff27',X'',1",
        ];
        let mysql = story("mysql97_xa.bin");
        assert_eq!(mysql[..8], both);
        assert_eq!(
            mysql[8..],
            ["XA START X'6f6e65',X'',1", "XA END X'6f6e65',X'',1", "true X'6f6e65',X'',1"]
        );

        // MariaDB begins with its GTID_EVENT instead of XA START, and commits in one phase with an XID_EVENT.
        let mariadb = story("mariadb_xa.bin");
        assert_eq!(mariadb[..6], [both[1], both[2], both[3], both[5], both[6], both[7]]);
        assert_eq!(mariadb[6..], ["XID"]);
    }

    #[test]
    fn every_truncation_and_too_long_names_are_errors() {
        let mut body = vec![0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'a', b'b', b'c'];
        assert_eq!(XaPrepare::read(&mut Reader::new(&body)).unwrap().xid.to_string(), "X'6162',X'63',1");
        for cut in 0..body.len() {
            assert!(XaPrepare::read(&mut Reader::new(&body[..cut])).is_err());
        }
        body.extend_from_slice(&[0; 100]);
        body[5] = 65;
        assert!(XaPrepare::read(&mut Reader::new(&body)).is_err());
    }
}
