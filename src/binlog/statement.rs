//! What precedes or makes up a change that was logged as a statement: INTVAR_EVENT (5), RAND_EVENT (13),
//! USER_VAR_EVENT (14) and the LOAD DATA events (6, 8 to 12, 17, 18). Row binlogs have none of them, but any
//! session may log statements.

use crate::binlog::query::Query;
use crate::codec::CodecError;
use crate::codec::Reader;

/// A value that the next statement needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementContext<'a> {
    /// Kind 1 (1: LAST_INSERT_ID, 2: INSERT_ID) · value 8.
    Intvar {
        kind: u8,
        value: u64,
    },
    /// Seed 8 · seed 8.
    Rand {
        seed1: u64,
        seed2: u64,
    },
    UserVar(UserVar<'a>),
}

/// In wire order: length of the name 4 · name · is NULL 1 · unless NULL: type 1 · collation 4 · length of the
/// value 4 · value · flags 1 (not in old servers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserVar<'a> {
    pub name: &'a [u8],
    /// `None`: NULL.
    pub value: Option<UserVarValue<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserVarValue<'a> {
    /// `Item_result`: 0 string, 1 real, 2 integer, 4 decimal.
    pub result_type: u8,
    pub collation: u32,
    pub bytes: &'a [u8],
    /// Flag 1: an unsigned integer.
    pub unsigned: bool,
}

impl<'a> StatementContext<'a> {
    pub(super) fn read_intvar(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(Self::Intvar { kind: bytes.u8("kind")?, value: bytes.u64("value")? })
    }

    pub(super) fn read_rand(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(Self::Rand { seed1: bytes.u64("seed 1")?, seed2: bytes.u64("seed 2")? })
    }

    pub(super) fn read_user_var(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        let name = long_bytes(bytes, "name")?;
        if bytes.u8("is NULL")? != 0 {
            return Ok(Self::UserVar(UserVar { name, value: None }));
        }
        let result_type = bytes.u8("type")?;
        let collation = bytes.u32("collation")?;
        let value = long_bytes(bytes, "value")?;
        let unsigned = !bytes.is_empty() && bytes.u8("flags")? & 1 != 0;
        let value = UserVarValue { result_type, collation, bytes: value, unsigned };
        Ok(Self::UserVar(UserVar { name, value: Some(value) }))
    }
}

fn long_bytes<'a>(bytes: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], CodecError> {
    let length = bytes.u32(what)?;
    match usize::try_from(length) {
        Ok(length) => bytes.take(length, what),
        Err(_) => Err(bytes.invalid(what, length.into())),
    }
}

/// A part of LOAD DATA, logged as a statement together with the file's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementLoad<'a> {
    /// File id 4 · first bytes of the file.
    BeginLoadQuery { file_id: u32, block: &'a [u8] },
    /// File id 4 · next bytes of the file.
    AppendBlock { file_id: u32, block: &'a [u8] },
    /// The statement, with the file's name at `file_name_start..file_name_end` of its text.
    ExecuteLoadQuery { query: Query<'a>, file_id: u32, file_name_start: u32, file_name_end: u32 },
    /// File id 4.
    DeleteFile { file_id: u32 },
    /// What servers before 5.0 wrote.
    Obsolete { event_type: u8 },
}

impl<'a> StatementLoad<'a> {
    pub(super) fn read_begin(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(Self::BeginLoadQuery { file_id: bytes.u32("file id")?, block: bytes.rest() })
    }

    pub(super) fn read_append(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(Self::AppendBlock { file_id: bytes.u32("file id")?, block: bytes.rest() })
    }

    pub(super) fn read_delete(bytes: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(Self::DeleteFile { file_id: bytes.u32("file id")? })
    }

    /// The post-header of a query and behind it file id 4 · start and end of the file's name 4 and 4 · what
    /// to do with duplicates 1.
    pub(super) fn read_execute(
        bytes: &mut Reader<'a>,
        post_header_length: usize,
    ) -> Result<Self, CodecError> {
        const QUERY_POST_HEADER: usize = 13;
        let mut extra = bytes.clone();
        extra.skip(QUERY_POST_HEADER, "post-header")?;
        let file_id = extra.u32("file id")?;
        let file_name_start = extra.u32("start of the file's name")?;
        let file_name_end = extra.u32("end of the file's name")?;
        let query = Query::read(bytes, post_header_length)?;
        Ok(Self::ExecuteLoadQuery { query, file_id, file_name_start, file_name_end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::Event;
    use crate::binlog::decoder::Decoder;
    use crate::binlog::testing;

    type Var = (String, Option<(u8, Vec<u8>)>);

    fn user_vars(name: &str) -> Vec<Var> {
        let mut decoder = Decoder::default();
        let mut vars = Vec::new();
        for (_, bytes) in testing::fixture(name) {
            if let Event::StatementContext(StatementContext::UserVar(var)) = decoder.decode(&bytes).unwrap().1
            {
                let value = var.value.map(|value| (value.result_type, value.bytes.to_vec()));
                vars.push((String::from_utf8_lossy(var.name).into_owned(), value));
            }
        }
        vars
    }

    #[test]
    fn user_variables_keep_type_and_bytes() {
        let vars = user_vars("mysql56_gtid.bin");
        assert_eq!(vars[0], ("x".to_owned(), Some((0, "für".into()))));
        assert_eq!(vars[1], ("n".to_owned(), Some((2, 42u64.to_le_bytes().to_vec()))));
        assert_eq!(vars[2], ("neg".to_owned(), Some((2, (-7i64).to_le_bytes().to_vec()))));
        assert_eq!(vars[3].1.as_ref().unwrap().0, 4);
        assert_eq!(vars[4], ("real".to_owned(), Some((1, 1e3f64.to_le_bytes().to_vec()))));
        assert_eq!(vars[5], ("nul".to_owned(), None));
    }

    #[test]
    fn load_data_is_told_by_its_events() {
        for name in ["mysql97_anonymous.bin", "mariadb.bin"] {
            let mut decoder = Decoder::default();
            let (mut file, mut statement) = (None, None);
            for (_, bytes) in testing::fixture(name) {
                match decoder.decode(&bytes).unwrap().1 {
                    Event::StatementLoad(StatementLoad::BeginLoadQuery { file_id, block }) => {
                        assert_eq!(block, b"one\ntwo\nthree\n");
                        file = Some(file_id);
                    }
                    Event::StatementLoad(StatementLoad::ExecuteLoadQuery {
                        query,
                        file_id,
                        file_name_start,
                        ..
                    }) => {
                        assert_eq!(Some(file_id), file);
                        assert!(query.sql[file_name_start as usize..].starts_with(b" "), "{name}");
                        statement = Some(query.sql.to_vec());
                    }
                    _ => {}
                }
            }
            assert!(statement.unwrap().starts_with(b"LOAD DATA"), "{name}");
        }
    }
}
