//! Keys are compared as their unique index compares them.

use crate::ident::quote;

/// A column of the key, compared as the key's own unique index compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    pub name: String,
    /// The type that the index's operator class works on, where the column's own differs from it.
    pub cast: Option<String>,
    /// The index's collation, quoted and qualified, where the type has one.
    pub collation: Option<String>,
    /// The operator class's equality, schema and all: what `OPERATOR(…)` takes.
    pub equals: String,
    /// A function of a value and a seed that gives the same `bigint` for what `equals` takes for the same, where the type
    /// has one.
    pub hash: Option<String>,
}

impl KeyColumn {
    /// A column of a built-in type, compared by its own equality.
    pub fn plain(name: &str) -> Self {
        Self { name: name.into(), cast: None, collation: None, equals: "pg_catalog.=".into(), hash: None }
    }

    pub(crate) fn of(&self, alias: &str) -> String {
        let cast = self.cast.as_ref().map(|t| format!("::{t}")).unwrap_or_default();
        let collate = self.collation.as_ref().map(|c| format!(" COLLATE {c}")).unwrap_or_default();
        format!("{alias}.{}{cast}{collate}", quote(&self.name))
    }

    pub(crate) fn equal(&self, left: &str, right: &str) -> String {
        format!("{} OPERATOR({}) {}", self.of(left), self.equals, self.of(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_their_index_does() {
        let key = KeyColumn {
            name: "code".into(),
            cast: Some("\"public\".\"citext\"".into()),
            collation: Some("\"public\".\"ci\"".into()),
            equals: "\"public\".=".into(),
            hash: None,
        };
        assert_eq!(
            key.equal("s", "p"),
            r#"s."code"::"public"."citext" COLLATE "public"."ci" OPERATOR("public".=) p."code"::"public"."citext" COLLATE "public"."ci""#
        );
    }
}
