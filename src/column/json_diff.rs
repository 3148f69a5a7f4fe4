//! Partial JSON updates (`binlog_row_value_options=PARTIAL_JSON`): the list of changes that stands in the
//! after-image in place of the document, and applying it to the document of the before-image.
//!
//! Layout (`sql/json_diff.cc`): four bytes of length, then one change after the other: a byte for the
//! operation, the path as length-encoded text, and, unless it removes, the new value as a length-encoded
//! binary document. Which columns of a row are logged so is told by the row's partial bits, which are the row
//! reader's business.

use crate::codec::Reader;
use crate::column::error::ColumnError;
use crate::column::error::ColumnFault;
use crate::column::json_path;
use crate::column::json_path::Leg;
use crate::column::jsonb::Budget;
use crate::column::jsonb::Container;
use crate::column::jsonb::Json;
use crate::column::jsonb::Node;
use std::borrow::Cow;
use std::cmp::Ordering;

type Result<T> = std::result::Result<T, ColumnError>;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Replace,
    Insert,
    Remove,
}

impl Operation {
    /// The word that stands for it in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Insert => "insert",
            Self::Remove => "remove",
        }
    }
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    pub operation: Operation,
    /// As the server wrote it: `$.a[1]`.
    pub path: &'a str,
    /// The new value; none when it removes.
    pub value: Option<Json<'a>>,
}

/// The changes of one document, in the order in which they apply; possibly none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonDiff<'a> {
    bytes: &'a [u8],
}

impl<'a> JsonDiff<'a> {
    pub(crate) fn read(bytes: &mut Reader<'a>) -> Result<Self> {
        let length = bytes.u32("partial JSON update: length")?;
        Ok(Self { bytes: bytes.take(length as usize, "partial JSON update")? })
    }

    /// The changes. After an error there are no more.
    pub fn changes(&self) -> impl Iterator<Item = Result<Change<'a>>> {
        let mut bytes = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            if bytes.is_empty() {
                return None;
            }
            let change = read_change(&mut bytes);
            if change.is_err() {
                bytes.rest();
            }
            Some(change)
        })
    }

    /// The document with all changes applied, as the server's replica does it.
    pub fn apply(&self, base: Json<'a>) -> Result<Document<'a>> {
        let mut budget = Budget::new(base.len() + self.bytes.len());
        let mut document = Document::Leaf(base.root()?);
        for change in self.changes() {
            let change = change?;
            document.apply(&change, &mut budget).map_err(|reason| reason.at(change.path))?;
        }
        Ok(document)
    }

    /// Bytes of the changes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn read_change<'a>(bytes: &mut Reader<'a>) -> Result<Change<'a>> {
    let operation = match bytes.u8("partial JSON update: operation")? {
        0 => Operation::Replace,
        1 => Operation::Insert,
        2 => Operation::Remove,
        other => return Err(bytes.invalid("partial JSON update: operation", other.into()).into()),
    };
    let path = bytes.lenenc_bytes("partial JSON update: path")?;
    let path = std::str::from_utf8(path).map_err(|_| {
        ColumnError::impossible("JSON", "length of a path that is not UTF-8", path.len() as i64)
    })?;
    let value = match operation {
        Operation::Remove => None,
        Operation::Replace | Operation::Insert => {
            Some(Json::new(bytes.lenenc_bytes("partial JSON update: value")?))
        }
    };
    Ok(Change { operation, path, value })
}

/// A document that was changed: opened where a change went through it, untouched elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Document<'a> {
    Leaf(Node<'a>),
    Array(Vec<Document<'a>>),
    /// Sorted by the keys' length, then by their bytes.
    Object(Vec<(Cow<'a, str>, Document<'a>)>),
}

/// Why a change could not be applied: the server's replica would refuse it as well, or the bytes are broken.
enum Refusal {
    Reason(&'static str),
    Broken(ColumnError),
}

impl Refusal {
    fn at(self, path: &str) -> ColumnError {
        match self {
            Self::Reason(reason) => ColumnFault::Diff { path: path.to_owned(), reason }.into(),
            Self::Broken(error) => error,
        }
    }
}

impl From<ColumnError> for Refusal {
    fn from(error: ColumnError) -> Self {
        Self::Broken(error)
    }
}

const NO_SUCH_PLACE: Refusal = Refusal::Reason("the document has no such place");

impl<'a> Document<'a> {
    fn apply(&mut self, change: &Change<'a>, budget: &mut Budget) -> std::result::Result<(), Refusal> {
        let legs = json_path::parse(change.path)?;
        let Some((last, parents)) = legs.split_last() else {
            return Err(Refusal::Reason("the document as a whole cannot be changed in part"));
        };
        let mut parent = self;
        for leg in parents {
            parent = parent.child(leg, budget)?.ok_or(NO_SUCH_PLACE)?;
        }
        let value = match change.value {
            Some(value) => Document::Leaf(value.root()?),
            None => return parent.remove(last, budget),
        };
        if change.operation == Operation::Insert {
            return parent.insert(last, value, budget);
        }
        *parent.child(last, budget)?.ok_or(NO_SUCH_PLACE)? = value;
        Ok(())
    }

    fn child(&mut self, leg: &Leg<'_>, budget: &mut Budget) -> Result<Option<&mut Self>> {
        self.open(budget)?;
        Ok(match (self, leg) {
            (Self::Object(members), Leg::Member(name)) => {
                let place = members.binary_search_by(|member| key_order(&member.0, name)).ok();
                place.and_then(|place| members.get_mut(place)).map(|member| &mut member.1)
            }
            (Self::Array(values), Leg::Cell(_) | Leg::CellFromEnd(_)) => {
                cell(leg, values.len()).and_then(|place| values.get_mut(place))
            }
            _ => None,
        })
    }

    fn insert(
        &mut self,
        leg: &Leg<'_>,
        value: Self,
        budget: &mut Budget,
    ) -> std::result::Result<(), Refusal> {
        self.open(budget)?;
        match (self, leg) {
            (Self::Object(members), Leg::Member(name)) => {
                match members.binary_search_by(|member| key_order(&member.0, name)) {
                    Ok(_) => return Err(Refusal::Reason("the member to insert is there already")),
                    Err(place) => members.insert(place, (Cow::Owned(name.to_string()), value)),
                }
            }
            // Behind the end means at the end; before the start, at the start.
            (Self::Array(values), Leg::Cell(place)) => values.insert((*place).min(values.len()), value),
            (Self::Array(values), Leg::CellFromEnd(_)) => {
                values.insert(cell(leg, values.len()).unwrap_or(0), value);
            }
            _ => return Err(NO_SUCH_PLACE),
        }
        Ok(())
    }

    fn remove(&mut self, leg: &Leg<'_>, budget: &mut Budget) -> std::result::Result<(), Refusal> {
        self.open(budget)?;
        match (self, leg) {
            (Self::Object(members), Leg::Member(name)) => {
                let place = members.binary_search_by(|member| key_order(&member.0, name));
                members.remove(place.map_err(|_| NO_SUCH_PLACE)?);
            }
            (Self::Array(values), Leg::Cell(_) | Leg::CellFromEnd(_)) => {
                values.remove(cell(leg, values.len()).ok_or(NO_SUCH_PLACE)?);
            }
            _ => return Err(NO_SUCH_PLACE),
        }
        Ok(())
    }

    /// Turns an array or object that is still bytes into its members.
    fn open(&mut self, budget: &mut Budget) -> Result<()> {
        let Self::Leaf(node) = self else { return Ok(()) };
        budget.spend(node)?;
        *self = match *node {
            Node::Array(array) => Self::Array(open_array(array)?),
            Node::Object(object) => Self::Object(open_object(object)?),
            _ => return Ok(()),
        };
        Ok(())
    }
}

fn open_array(array: Container<'_>) -> Result<Vec<Document<'_>>> {
    array.values().map(|value| value.map(Document::Leaf)).collect()
}

fn open_object(object: Container<'_>) -> Result<Vec<(Cow<'_, str>, Document<'_>)>> {
    let opened = |(key, value)| (Cow::Borrowed(key), Document::Leaf(value));
    object.members().map(|member| member.map(opened)).collect()
}

fn cell(leg: &Leg<'_>, length: usize) -> Option<usize> {
    let place = match leg {
        Leg::Cell(place) => *place,
        Leg::CellFromEnd(back) => length.checked_sub(1)?.checked_sub(*back)?,
        Leg::Member(_) => return None,
    };
    if place < length { Some(place) } else { None }
}

/// The order of keys in binary documents: by length, then by bytes.
fn key_order(key: &str, other: &str) -> Ordering {
    key.len().cmp(&other.len()).then_with(|| key.as_bytes().cmp(other.as_bytes()))
}
