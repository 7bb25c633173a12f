//! What a row says beside its own values: of the records that it refers to, and of its links.

use super::{Batch, Line, Referred, Refusal};
use crate::rows::target::{Target, kind};
use hashbrown::HashMap;
use once_core::rows::value::{Cell, Json, Kind};
use serde_json::value::RawValue;

/// What the row says of the record that it refers to; none where it says nothing.
pub(super) fn refer<'a>(
    target: &Target,
    batch: &mut Batch<'a>,
    line: &Line<'a>,
    number: usize,
    given: Vec<(usize, Json<'a>)>,
    known: &mut HashMap<Vec<Cell<'a>>, usize>,
) -> Option<Referred> {
    let reference = &target.references[number];
    let beside_id = batch.slot(reference.field).is_some_and(|slot| line.cell(slot).text().is_some());
    let other = &reference.target;
    let scope = other.spec.scope.as_ref().and_then(|name| other.field(name));
    let says = |(field, json): &(usize, Json<'_>)| Some(*field) != scope && !json.is_blank();
    if !given.iter().any(says) {
        return None;
    }
    let batch = &mut batch.references[number];
    let mut sub = Line { number: line.number, ..Line::default() };
    let before = batch.unsure.len();
    for (field, json) in given {
        batch.put(other, &mut sub, field, json, false);
    }
    sub.cells.resize(batch.slots.len(), Cell::Missing);
    // A value that was refused has no cell that would tell the line from others.
    if sub.refusal.is_none()
        && let Some(there) = known.get(&sub.cells)
    {
        batch.unsure.truncate(before);
        return Some(Referred { line: *there, beside_id });
    }
    if sub.refusal.is_none() {
        known.insert(sub.cells.clone(), batch.lines.len());
    }
    batch.lines.push(sub);
    Some(Referred { line: batch.lines.len() - 1, beside_id })
}

/// The links of a row: one for each element where a field is an array; none where one says nothing.
pub(super) fn links<'a>(
    target: &Target,
    number: usize,
    given: Vec<Json<'a>>,
) -> std::result::Result<Vec<Vec<Cell<'a>>>, Refusal> {
    let link = &target.links[number];
    let arrays = given.iter().filter(|json| matches!(json, Json::Array(_))).count();
    if arrays > 1 {
        return Err(Refusal::of(&link.sources[0], None, "and another field of the same link are both arrays"));
    }
    let mut rows: Vec<Vec<Cell<'a>>> = vec![Vec::new()];
    for ((json, (_, column)), source) in given.into_iter().zip(&link.columns[1..]).zip(&link.sources) {
        let kind = kind(column);
        let one = |json: Json<'_>| -> std::result::Result<Option<Cell<'a>>, Refusal> {
            if json.is_blank() {
                return Ok(None);
            }
            match kind.read(&json) {
                Ok(reading) => Ok(Some(Cell::Text(reading.text.into_owned().into()))),
                Err(reason) => Err(Refusal::of(source, Some(&json.shown()), reason)),
            }
        };
        let values: Vec<Cell<'a>> = match (&json, &kind) {
            (Json::Array(text), kind) if !matches!(kind, Kind::Array { .. } | Kind::Json) => {
                let elements: Vec<&RawValue> =
                    serde_json::from_str(text).map_err(|error| Refusal::of(source, Some(text), error.to_string()))?;
                let mut values = Vec::new();
                for element in elements.into_iter().map(RawValue::get) {
                    let string: String;
                    let json = match element.as_bytes().first() {
                        Some(b'n') => Json::Null,
                        Some(b't') => Json::Bool(true),
                        Some(b'f') => Json::Bool(false),
                        Some(b'[') => Json::Array(element.into()),
                        Some(b'{') => Json::Object(element.into()),
                        Some(b'"') => {
                            string = serde_json::from_str(element).unwrap_or_default();
                            Json::String(&string)
                        }
                        _ => Json::Number(element.into()),
                    };
                    values.extend(one(json)?);
                }
                values
            }
            _ => one(json)?.into_iter().collect(),
        };
        rows = rows
            .iter()
            .flat_map(|row| values.iter().map(move |value| [row.clone(), vec![value.clone()]].concat()))
            .collect();
    }
    Ok(rows)
}
