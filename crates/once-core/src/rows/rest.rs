//! The fields of a row that nothing takes, where a column keeps them.

use super::value::Json;

/// Such fields of one row, as the JSON object that they come to. Values are written as they came: no number goes through a float.
pub struct Rest<'t> {
    /// The column's own name.
    column: &'t str,
    /// What the row has in a field of that name, if that is an object: as when what was exported comes back.
    before: Option<String>,
    fields: String,
}

impl<'t> Rest<'t> {
    pub fn new(column: &'t str) -> Self {
        Self { column, before: None, fields: String::new() }
    }

    /// Takes a field that no other column does.
    pub fn add(&mut self, name: &str, json: &Json<'_>) {
        match json {
            Json::Object(text) if name == self.column => self.before = Some(text.clone()),
            json => push(&mut self.fields, &format!("{}:{}", serde_json::Value::from(name), json.written())),
        }
    }

    /// The object, of whose fields of one name `jsonb` keeps the last; null where there are none.
    pub fn into_json(self) -> Json<'static> {
        let before = self.before.as_deref().and_then(|text| text.strip_prefix('{')?.strip_suffix('}'));
        let mut all = before.map_or_else(String::new, |inner| inner.trim().to_string());
        push(&mut all, &self.fields);
        if all.is_empty() { Json::Null } else { Json::Object(format!("{{{all}}}")) }
    }
}

fn push(fields: &mut String, more: &str) {
    if !fields.is_empty() && !more.is_empty() {
        fields.push(',');
    }
    fields.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(fields: &[(&str, Json<'_>)]) -> Json<'static> {
        let mut rest = Rest::new("extra");
        fields.iter().for_each(|(name, json)| rest.add(name, json));
        rest.into_json()
    }

    #[test]
    fn values_are_written_as_they_came() {
        let fields = [
            ("a \"b\"\n", Json::String("c\\")),
            ("n", Json::Number("12345678901234567890.10".into())),
            ("l", Json::Array("[1, 2.50]".into())),
            ("t", Json::Bool(true)),
        ];
        let expected = r#"{"a \"b\"\n":"c\\","n":12345678901234567890.10,"l":[1, 2.50],"t":true}"#;
        assert_eq!(rest(&fields), Json::Object(expected.into()));
        assert_eq!(rest(&[]), Json::Null);
    }

    #[test]
    fn what_was_exported_comes_before_what_the_row_says() {
        let before = ("extra", Json::Object(r#"{"a": 1, "b": 2}"#.into()));
        let own = ("b", Json::Number("3".into()));
        for fields in [[before.clone(), own.clone()], [own, before.clone()]] {
            assert_eq!(rest(&fields), Json::Object(r#"{"a": 1, "b": 2,"b":3}"#.into()));
        }
        assert_eq!(rest(&[before]), Json::Object(r#"{"a": 1, "b": 2}"#.into()));
        assert_eq!(rest(&[("extra", Json::Object("{}".into()))]), Json::Null);
        assert_eq!(rest(&[("extra", Json::Bool(false))]), Json::Object(r#"{"extra":false}"#.into()));
    }
}
