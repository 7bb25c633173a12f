//! What staged rows must keep to be written.

use crate::ident::quote;

/// What Unicode calls white space, and the zero-width characters that look like nothing.
const WHITE_SPACE: &str = r"E'\t\n\u000B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u200B\u2028\u2029\u202F\u205F\u3000\uFEFF'";

/// A rule that staged rows must keep: `broken` is true of a row `s` that does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub reason: String,
    pub columns: Vec<String>,
    pub broken: String,
    /// As Postgres says of a row that breaks such a rule.
    pub sqlstate: &'static str,
}

impl Rule {
    /// The rule that `column` has a value, and, where `text`, one that is not only white space.
    pub fn required(column: &str, text: bool) -> Self {
        let value = format!("s.{}", quote(column));
        let broken = if text {
            // What begins with a visible ASCII character is not blank, and most do: trimming costs twenty times as much.
            let text = format!("{value}::pg_catalog.text COLLATE pg_catalog.\"C\"");
            format!(
                "({value} IS NULL OR NOT ({text} >= '!' AND {text} < E'\\x7F') \
                 AND pg_catalog.btrim({value}::pg_catalog.text, {WHITE_SPACE}) = '')"
            )
        } else {
            format!("{value} IS NULL")
        };
        let reason = if text { "is empty or blank" } else { "is NULL" };
        Self { reason: format!("{column} {reason}"), columns: vec![column.into()], broken, sqlstate: "23502" }
    }

    pub(super) fn value(&self) -> String {
        let parts: Vec<String> = self.columns.iter().map(|c| format!("s.{}::pg_catalog.text", quote(c))).collect();
        match parts.as_slice() {
            [one] => one.clone(),
            _ => format!("ROW({})::pg_catalog.text", parts.join(", ")),
        }
    }
}
