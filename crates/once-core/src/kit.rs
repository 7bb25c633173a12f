//! SQL files with placeholders: such as `@schema@` stand only inside double-quoted identifiers; `@prefix@` may
//! stand inside single quotes too; those that end in `_literal@` stand alone, for a whole string literal.

use crate::ident::literal;

/// The file with its placeholders filled in, each value escaped for the double quotes it stands in. What a
/// value itself says is left alone. A value for `@prefix@` must have passed [`is_prefix`].
pub fn render(sql: &str, values: &[(&str, &str)]) -> String {
    let mut rendered = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find('@') {
        rendered.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(placeholder, _)| rest.starts_with(placeholder)) {
            Some((placeholder, value)) => {
                if placeholder.ends_with("_literal@") {
                    rendered.push_str(&literal(value));
                } else {
                    rendered.push_str(&value.replace('"', "\"\""));
                }
                rest = &rest[placeholder.len()..];
            }
            None => {
                rendered.push('@');
                rest = &rest[1..];
            }
        }
    }
    rendered + rest
}

/// Whether `prefix` may begin the names of a kit's tables: nothing, or a short lower-case word.
pub fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= 24
        && !prefix.starts_with(|c: char| c.is_ascii_digit())
        && prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_can_not_leave_its_quotes() {
        let sql =
            render(r#"CREATE TABLE "@schema@"."@prefix@codes" ()"#, &[("@schema@", r#"a"; DROP"#), ("@prefix@", "x_")]);
        assert_eq!(sql, r#"CREATE TABLE "a""; DROP"."x_codes" ()"#);
    }

    #[test]
    fn a_value_is_not_read_for_placeholders() {
        assert_eq!(render("@schema_literal@", &[("@schema_literal@", r"it's \")]), r"E'it''s \\'");
        let sql = render("@schema@.@prefix@x @other@", &[("@prefix@", "p_"), ("@schema@", "s@prefix@")]);
        assert_eq!(sql, "s@prefix@.p_x @other@");
    }

    #[test]
    fn prefixes_are_plain_words() {
        for good in ["", "shop2_", "a", "_x"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["2x", "Shop", "a\"", "a'b", "a b", "$$", "é", "abcdefghijklmnopqrstuvwxyz"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
