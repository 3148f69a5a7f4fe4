//! MySQL's JSON documents as JSON text: whole ones, changed ones, and changes without the document.

use crate::column::ColumnError;
use crate::column::decimal::Decimal;
use crate::column::json_diff::Document;
use crate::column::json_diff::JsonDiff;
use crate::column::jsonb::Budget;
use crate::column::jsonb::Container;
use crate::column::jsonb::Json;
use crate::column::jsonb::Node;
use crate::pack::json::JsonOptions;
use crate::pack::json::MAX_SAFE_INTEGER;
use crate::pack::json::append_base64;
use crate::pack::json::quoted;
use crate::pack::json::text::append_escaped;
use crate::pack::json::write_int;
use crate::pack::json::write_string;
use crate::pack::json::write_unsigned;

type Result<T> = std::result::Result<T, ColumnError>;

/// Appends a document.
pub fn write_json(out: &mut Vec<u8>, json: Json<'_>, options: JsonOptions) -> Result<()> {
    Writer { out, options, budget: Budget::new(json.len()) }.node(json.root()?)
}

/// Appends a document with the changes applied to it.
pub fn write_updated<'a>(
    out: &mut Vec<u8>,
    base: Json<'a>,
    diff: &JsonDiff<'a>,
    options: JsonOptions,
) -> Result<()> {
    let document = diff.apply(base)?;
    Writer { out, options, budget: Budget::new(base.len() + diff.len()) }.document(&document)
}

/// Appends `{"$json_diff":[{"op":"replace","path":"$.a","value":…},…]}`.
pub fn write_diff(out: &mut Vec<u8>, diff: &JsonDiff<'_>, options: JsonOptions) -> Result<()> {
    out.extend_from_slice(b"{\"$json_diff\":[");
    for (place, change) in diff.changes().enumerate() {
        let change = change?;
        out.extend_from_slice(if place > 0 { b",{\"op\":\"" } else { b"{\"op\":\"" });
        out.extend_from_slice(change.operation.as_str().as_bytes());
        out.extend_from_slice(b"\",\"path\":");
        write_string(out, change.path);
        if let Some(value) = change.value {
            out.extend_from_slice(b",\"value\":");
            write_json(out, value, options)?;
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    options: JsonOptions,
    budget: Budget,
}

impl Writer<'_> {
    fn node(&mut self, node: Node<'_>) -> Result<()> {
        self.budget.spend(&node)?;
        match node {
            Node::Array(array) => self.array(array)?,
            Node::Object(object) => self.object(object)?,
            scalar => self.scalar(scalar)?,
        }
        Ok(())
    }

    fn array(&mut self, array: Container<'_>) -> Result<()> {
        self.budget.enter()?;
        self.out.push(b'[');
        for (place, value) in array.values().enumerate() {
            self.separate(place);
            self.node(value?)?;
        }
        self.out.push(b']');
        self.budget.leave();
        Ok(())
    }

    fn object(&mut self, object: Container<'_>) -> Result<()> {
        self.budget.enter()?;
        self.out.push(b'{');
        for (place, member) in object.members().enumerate() {
            let (key, value) = member?;
            self.separate(place);
            self.key(key)?;
            self.node(value)?;
        }
        self.out.push(b'}');
        self.budget.leave();
        Ok(())
    }

    fn separate(&mut self, place: usize) {
        if place > 0 {
            self.out.push(b',');
        }
    }

    fn key(&mut self, key: &str) -> Result<()> {
        self.budget.spend_bytes(key.len())?;
        write_string(self.out, key);
        self.out.push(b':');
        Ok(())
    }

    /// A value without members; an array or object is none and was dealt with.
    fn scalar(&mut self, node: Node<'_>) -> Result<()> {
        let out = &mut *self.out;
        match node {
            Node::Null => out.extend_from_slice(b"null"),
            Node::Bool(true) => out.extend_from_slice(b"true"),
            Node::Bool(false) => out.extend_from_slice(b"false"),
            Node::Int(number) => write_int(out, number, self.options),
            Node::Unsigned(number) => write_unsigned(out, number, self.options),
            // Finite, as Node promises.
            Node::Double(number) => {
                out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
            }
            Node::Text(text) => write_string(out, text),
            Node::Decimal(decimal) => write_decimal(out, &decimal, self.options)?,
            Node::Date(date) => quoted(out, |out| date.write(out)),
            Node::Time(time) => quoted(out, |out| time.write(out)),
            Node::DateTime(datetime) => quoted(out, |out| datetime.write(out)),
            Node::Opaque { type_code, bytes } => write_opaque(out, type_code, bytes)?,
            Node::Array(_) | Node::Object(_) => {}
        }
        Ok(())
    }

    /// A changed document: its opened parts member by member, the rest as it is.
    fn document(&mut self, document: &Document<'_>) -> Result<()> {
        match document {
            Document::Leaf(node) => return self.node(*node),
            Document::Array(values) => {
                self.budget.enter()?;
                self.out.push(b'[');
                for (place, value) in values.iter().enumerate() {
                    self.separate(place);
                    self.document(value)?;
                }
                self.out.push(b']');
            }
            Document::Object(members) => {
                self.budget.enter()?;
                self.out.push(b'{');
                for (place, (key, value)) in members.iter().enumerate() {
                    self.separate(place);
                    self.key(key)?;
                    self.document(value)?;
                }
                self.out.push(b'}');
            }
        }
        self.budget.leave();
        Ok(())
    }
}

/// A number with all its digits.
fn write_decimal(out: &mut Vec<u8>, decimal: &Decimal<'_>, options: JsonOptions) -> Result<()> {
    let start = out.len();
    decimal.write(out)?;
    if options.bigint_as_string && decimal.scale() == 0 {
        let digits = out.get(start..).unwrap_or(&[]);
        let digits = digits.strip_prefix(b"-").unwrap_or(digits);
        let size = digits.iter().fold(0u64, |size, digit| {
            size.saturating_mul(10).saturating_add(digit.wrapping_sub(b'0').into())
        });
        if size > MAX_SAFE_INTEGER {
            out.insert(start, b'"');
            out.push(b'"');
        }
    }
    Ok(())
}

/// `"base64:type252:…"`, with a line feed behind every 76 characters, as `CAST(… AS CHAR)` prints it.
fn write_opaque(out: &mut Vec<u8>, type_code: u8, bytes: &[u8]) -> Result<()> {
    const BYTES_PER_LINE: usize = 76 / 4 * 3;
    out.extend_from_slice(b"\"base64:type");
    out.extend_from_slice(itoa::Buffer::new().format(type_code).as_bytes());
    out.push(b':');
    for (place, line) in bytes.chunks(BYTES_PER_LINE).enumerate() {
        if place > 0 {
            append_escaped(out, b"\n");
        }
        append_base64(out, line)?;
    }
    out.push(b'"');
    Ok(())
}
