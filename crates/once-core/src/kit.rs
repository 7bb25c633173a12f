//! SQL files with placeholders such as `@schema@`, which stand only inside double-quoted identifiers, and
//! `@prefix@`, which may stand inside single quotes too.

/// The file with its placeholders filled in, each escaped for the double quotes it stands in.
/// A value for `@prefix@` must have passed [`is_prefix`].
pub fn render(sql: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(sql.to_string(), |sql, (placeholder, value)| sql.replace(placeholder, &value.replace('"', "\"\"")))
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
    fn prefixes_are_plain_words() {
        for good in ["", "shop2_", "a", "_x"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["2x", "Shop", "a\"", "a'b", "a b", "$$", "é", "abcdefghijklmnopqrstuvwxyz"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }
}
