//! By what a row is known again, wherever it stands: the first 128 bits of a SHA-256 over its fields.

use crate::rows::value::Json;
use sha2::{Digest as _, Sha256};

pub type Fingerprint = [u8; 16];

/// Of a row's fields, in the order of `jsonb`; where `row_id` names fields and the row has all of them, of these alone.
pub fn fingerprint<'a>(fields: impl Iterator<Item = (&'a str, Json<'a>)>, row_id: &[String]) -> Fingerprint {
    let fields: Vec<(&str, Json<'a>)> = fields.collect();
    let named: Vec<&(&str, Json<'a>)> = row_id
        .iter()
        .filter_map(|name| fields.iter().find(|(field, json)| field == name && !json.is_blank()))
        .collect();
    let mut hasher = Sha256::new();
    if !row_id.is_empty() && named.len() == row_id.len() {
        hasher.update(b"id");
        named.into_iter().for_each(|(name, json)| field(&mut hasher, name, json));
    } else {
        fields.iter().for_each(|(name, json)| field(&mut hasher, name, json));
    }
    let hash = hasher.finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

/// Each text with its length before it, so that no two rows read alike.
fn field(hasher: &mut Sha256, name: &str, json: &Json<'_>) {
    let (kind, text) = match json {
        Json::Null => (b'0', "".into()),
        Json::Bool(_) => (b'b', json.shown()),
        Json::Number(_) => (b'n', json.shown()),
        Json::String(_) => (b's', json.shown()),
        Json::Array(_) => (b'a', json.shown()),
        Json::Object(_) => (b'o', json.shown()),
    };
    hasher.update((name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update([kind]);
    hasher.update((text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, Json<'static>)], row_id: &[&str]) -> Fingerprint {
        let row_id: Vec<String> = row_id.iter().map(|name| name.to_string()).collect();
        fingerprint(fields.iter().cloned(), &row_id)
    }

    #[test]
    fn rows_are_told_from_each_other_by_all_they_have() {
        let rows: [&[(&str, Json<'_>)]; 8] = [
            &[],
            &[("a", Json::Null)],
            &[("a", Json::String(""))],
            &[("a", Json::String("1"))],
            &[("a", Json::Number("1".into()))],
            &[("a", Json::String("1")), ("b", Json::String("2"))],
            &[("a1", Json::String("")), ("b", Json::String("2"))],
            &[("a", Json::String("1b2"))],
        ];
        let known: std::collections::HashSet<Fingerprint> = rows.iter().map(|row| of(row, &[])).collect();
        assert_eq!(known.len(), rows.len());
    }

    #[test]
    fn a_row_is_known_by_its_id_where_it_has_one() {
        let one = [("id", Json::String("7")), ("name", Json::String("x"))];
        let edited = [("id", Json::String("7")), ("name", Json::String("y"))];
        let nameless = [("id", Json::String(" ")), ("name", Json::String("x"))];
        assert_eq!(of(&one, &["id"]), of(&edited, &["id"]));
        assert_ne!(of(&one, &[]), of(&edited, &[]));
        assert_eq!(of(&nameless, &["id"]), of(&nameless, &[]));
        assert_ne!(of(&one, &["id"]), of(&[("id", Json::String("7"))], &[]));
    }
}
