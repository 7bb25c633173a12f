//! Identifiers and literals, always quoted: what a user named reaches a statement only through here.

use std::fmt;

/// `name` as a quoted SQL identifier, whatever characters it holds.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Several names, quoted and separated by commas.
pub fn quote_list<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name.as_ref())).collect();
    quoted.join(", ")
}

/// `text` as a string literal that means the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A table by its schema and name, which is how the registry and the jobs keep it: no OIDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub schema: String,
    pub name: String,
}

impl Relation {
    /// The relation called `name` in the same schema.
    pub fn beside(&self, name: &str) -> Self {
        Self { schema: self.schema.clone(), name: name.into() }
    }
}

/// Shows the relation as it stands in a statement: `"schema"."name"`.
impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote(&self.schema), quote(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_one_identifier() {
        assert_eq!(quote(r#"x"; DROP TABLE y; --"#), r#""x""; DROP TABLE y; --""#);
        assert_eq!(quote_list(&["Gift Card", "a"]), r#""Gift Card", "a""#);
        let relation = Relation { schema: "my.shop".into(), name: "קופון".into() };
        assert_eq!(relation.to_string(), r#""my.shop"."קופון""#);
    }

    #[test]
    fn literals_can_not_be_left() {
        assert_eq!(literal(r"a'b\'c"), r"E'a''b\\''c'");
    }
}
