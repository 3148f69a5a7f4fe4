//! What can be wrong with a column: its bytes, its definition, or that fountain does not decode it.

use crate::code::Code;
use crate::codec::CodecError;
use std::fmt;

/// Why a column cannot be decoded. Boxed, so that the way without errors stays narrow. The caller adds the
/// place: file, position, table and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnError(Box<ColumnFault>);

/// The kinds of fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnFault {
    /// The value's bytes end too early or too late.
    Bytes(CodecError),
    /// A part of the value is outside what the type can hold.
    Impossible { type_name: &'static str, part: &'static str, value: i64 },
    /// The column's metadata is outside what the type can have.
    Metadata { type_name: &'static str, metadata: u16 },
    /// The value has no place in the definition: more ENUM or SET members than the definition lists.
    Undefined { type_name: &'static str, value: u64, labels: usize },
    /// A partial JSON update that does not fit the document it should change.
    Diff { path: String, reason: &'static str },
    /// A compressed value that cannot be unpacked.
    Compressed { reason: String },
    /// A type that this version does not decode.
    Unsupported { type_code: u8, type_name: &'static str, hint: &'static str },
    /// A collation id that this version does not know, and no definition names the character set.
    Collation { id: u32 },
    /// A definition names a character set that this version does not know.
    Charset { name: String },
    /// A declared type that cannot be read.
    Declared { text: String, expected: &'static str, offset: usize },
}

impl ColumnError {
    pub fn fault(&self) -> &ColumnFault {
        &self.0
    }

    /// The stable code that goes with the message.
    pub fn code(&self) -> Code {
        match *self.0 {
            ColumnFault::Bytes(_)
            | ColumnFault::Impossible { .. }
            | ColumnFault::Diff { .. }
            | ColumnFault::Compressed { .. } => Code::BadValue,
            ColumnFault::Metadata { .. } => Code::BadEvent,
            ColumnFault::Undefined { .. } => Code::SchemaDiff,
            ColumnFault::Unsupported { .. } => Code::Unsupported,
            ColumnFault::Collation { .. } | ColumnFault::Charset { .. } => Code::CharsetUnknown,
            ColumnFault::Declared { .. } => Code::Config,
        }
    }

    #[cold]
    pub(crate) fn impossible(type_name: &'static str, part: &'static str, value: i64) -> Self {
        ColumnFault::Impossible { type_name, part, value }.into()
    }
}

impl From<ColumnFault> for ColumnError {
    #[cold]
    fn from(fault: ColumnFault) -> Self {
        Self(Box::new(fault))
    }
}

impl From<CodecError> for ColumnError {
    #[cold]
    fn from(error: CodecError) -> Self {
        ColumnFault::Bytes(error).into()
    }
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            ColumnFault::Bytes(error) => error.fmt(f),
            ColumnFault::Impossible { type_name, part, value } => {
                write!(f, "{type_name}: {part}: impossible value {value}")
            }
            ColumnFault::Metadata { type_name, metadata } => {
                write!(f, "{type_name}: impossible metadata {metadata:#06x} in the table map")
            }
            ColumnFault::Undefined { type_name, value, labels } => {
                write!(f, "{type_name}: logged value {value}, but the definition has {labels} labels")
            }
            ColumnFault::Diff { path, reason } => {
                write!(f, "partial JSON update of {path}: {reason}")
            }
            ColumnFault::Compressed { reason } => write!(f, "compressed value: {reason}"),
            ColumnFault::Unsupported { type_code, type_name, hint } => {
                write!(f, "type {type_code} ({type_name}) is not decoded: {hint}")
            }
            ColumnFault::Collation { id } => write!(
                f,
                "logged with collation id {id}, which this version does not know, and no definition names the \
                 column's character set; let the server be asked (GRANT SELECT on the table), or give a definition \
                 by schema_file (cat: --schema)"
            ),
            ColumnFault::Charset { name } => {
                write!(f, "the definition names character set {name}, which this version does not know")
            }
            ColumnFault::Declared { text, expected, offset } => {
                write!(f, "column type \"{text}\": expected {expected} at offset {offset}")
            }
        }
    }
}

impl std::error::Error for ColumnError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_pointer_wide_and_say_what_was_expected() {
        assert_eq!(size_of::<ColumnError>(), size_of::<usize>());
        let error = ColumnError::impossible("DATETIME", "minute", 60);
        assert_eq!(error.to_string(), "DATETIME: minute: impossible value 60");
        assert_eq!(error.code(), Code::BadValue);
        let error: ColumnError = ColumnFault::Charset { name: "klingon".to_owned() }.into();
        assert_eq!(
            (error.to_string().as_str(), error.code()),
            (
                "the definition names character set klingon, which this version does not know",
                Code::CharsetUnknown
            )
        );
    }
}
