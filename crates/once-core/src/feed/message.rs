//! Messages with values in them.

/// `template`, with what `value` gives for each name in braces; of nobody's names the braces stay.
pub fn filled(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut message = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        message.push_str(before);
        let found = after.split_once('}').and_then(|(name, after)| Some((value(name)?, after)));
        rest = match found {
            Some((value, after)) => {
                message.push_str(&value);
                after
            }
            None => {
                message.push('{');
                after
            }
        };
    }
    message + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_filled_in() {
        let value = |name: &str| (name == "a").then(|| "{b}".to_string());
        assert_eq!(filled("x {a} y {a}", value), "x {b} y {b}");
        assert_eq!(filled("{b} { {a", value), "{b} { {a");
        assert_eq!(filled("📥 {a}–", value), "📥 {b}–");
        assert_eq!(filled("", value), "");
    }
}
