//! The rows of a call, in the ways in which they come.

use crate::backend::Jsonb;
use crate::backend::json::Document;
use once_core::rows::value::Json;

pub enum Given<'t> {
    /// A JSON array of objects, in memory and as it came.
    Json(Document, Jsonb),
    /// What our own code has read.
    Fields(Vec<Fields<'t>>),
}

/// A row by its fields.
pub type Fields<'t> = Vec<(&'static str, Json<'t>)>;

impl Given<'_> {
    pub fn json(rows: Jsonb) -> Self {
        Self::Json(Document::of(rows), rows)
    }

    /// A JSON array that has the rows of these places, and where in it each of them is.
    pub fn originals(&self, places: &[usize]) -> (Jsonb, Vec<i64>) {
        let numbers = |places: &mut dyn Iterator<Item = usize>| {
            places.map(|place| i64::try_from(place).unwrap_or(i64::MAX)).collect::<Vec<_>>()
        };
        match self {
            Self::Json(_, rows) => (*rows, numbers(&mut places.iter().copied())),
            Self::Fields(rows) => {
                let chosen: Vec<String> = places.iter().filter_map(|place| Some(written(rows.get(*place)?))).collect();
                (Jsonb::of(&format!("[{}]", chosen.join(","))), numbers(&mut (0..chosen.len())))
            }
        }
    }
}

/// A row as JSON; the names of our own fields need no escapes.
fn written(fields: &Fields<'_>) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, json)| format!("\"{name}\":{}", json.written())).collect();
    format!("{{{}}}", fields.join(","))
}
