//! Updates whose JSON columns are logged as differences: the after image needs the values of the before image.

use crate::codec::Reader;
use crate::column::Value;
use crate::pack::json;
use crate::pack::json::JsonOptions;
use crate::pack::template::MemberName;
use crate::schema::row::NullBits;
use crate::schema::row::RowError;
use crate::schema::row::RowImages;

/// Writes a before image, and keeps its values as the base of differences.
pub(super) fn write_base_image<'a>(
    images: &RowImages<'a>,
    bytes: &mut Reader<'a>,
    out: &mut Vec<u8>,
    names: &[MemberName],
    options: JsonOptions,
) -> Result<Vec<Option<Value<'a>>>, RowError> {
    let mut base = Vec::with_capacity(images.plan.columns.len());
    let mut nulls = NullBits::read(images.before.count, bytes)?;
    let start = out.len();
    for (index, (column, name)) in images.plan.columns.iter().zip(names).enumerate() {
        if !images.before.has(index) {
            base.push(None);
            continue;
        }
        name.write(out, start);
        let at = |error| RowError::at(&column.name, error);
        let value = match nulls.next_bit() {
            true => Value::Null,
            false => column.format.decode(bytes).map_err(at)?,
        };
        json::write_value(out, &value, options).map_err(at)?;
        base.push(Some(value));
    }
    Ok(base)
}

/// Writes an after image in which marked JSON columns hold differences to the before image.
pub(super) fn write_partial_image<'a>(
    images: &RowImages<'a>,
    bytes: &mut Reader<'a>,
    out: &mut Vec<u8>,
    names: &[MemberName],
    options: JsonOptions,
    base: &[Option<Value<'a>>],
) -> Result<(), RowError> {
    let mut partial = images.read_partial_bits(bytes)?;
    let mut nulls = NullBits::read(images.after.count, bytes)?;
    let start = out.len();
    for (index, (column, name)) in images.plan.columns.iter().zip(names).enumerate() {
        let differs = column.format.is_json() && partial.next_bit();
        if !images.after.has(index) {
            continue;
        }
        name.write(out, start);
        if nulls.next_bit() {
            out.extend_from_slice(b"null");
            continue;
        }
        let base = base.get(index).copied().flatten();
        let written = match differs {
            true => column.format.decode_partial_json(bytes, base),
            false => column.format.decode(bytes),
        };
        written
            .and_then(|value| json::write_value(out, &value, options))
            .map_err(|error| RowError::at(&column.name, error))?;
    }
    Ok(())
}
