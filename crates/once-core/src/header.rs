//! Which column of a target each field of a file's header is.

use std::collections::BTreeMap;
use std::fmt;

/// What makes a header ambiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// Two fields would fill one column.
    Twice { column: String, fields: (String, String) },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { column, fields: (one, other) } => {
                write!(f, "the header has column \"{column}\" twice: as \"{one}\" and as \"{other}\"")
            }
        }
    }
}

/// For each field of `header` the position in `columns` of the column that it fills; `None` for a field that fills none.
///
/// `renamed`: columns and the names that the user says they have in files; these go before a column's own name, which
/// goes before `aliases` (name in files → column). Case, blanks around a name, and space, `-` and `_` within it do not
/// matter where no name is exactly the same.
///
/// # Errors
/// Where two fields of the header have the same name, and it is a column's.
pub fn columns_of(
    header: &[String],
    columns: &[String],
    renamed: &[(String, String)],
    aliases: &BTreeMap<String, String>,
) -> Result<Vec<Option<usize>>, HeaderError> {
    let mut filled = vec![None; header.len()];
    for (position, column) in columns.iter().enumerate() {
        let said = renamed.iter().filter(|(c, _)| c == column).map(|(_, name)| name);
        let known = aliases.iter().filter(|(_, c)| *c == column).map(|(alias, _)| alias);
        for name in said.chain([column]).chain(known) {
            let fields = named(header, name);
            if let [one, other, ..] = fields.as_slice() {
                let fields = (header[*one].clone(), header[*other].clone());
                return Err(HeaderError::Twice { column: column.clone(), fields });
            }
            if let Some(field) = fields.first() {
                filled[*field] = Some(position);
                break;
            }
        }
    }
    Ok(filled)
}

/// The fields called exactly `name`; where there is none, those called alike.
fn named(header: &[String], name: &str) -> Vec<usize> {
    let with = |same: &dyn Fn(&str) -> bool| -> Vec<usize> {
        header.iter().enumerate().filter(|(_, field)| same(field)).map(|(at, _)| at).collect()
    };
    let exact = with(&|field| field == name);
    if exact.is_empty() { with(&|field| alike(field) == alike(name)) } else { exact }
}

fn alike(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(String::from).collect()
    }

    fn map(header: &str, renamed: &[(&str, &str)]) -> Result<Vec<Option<usize>>, HeaderError> {
        let renamed: Vec<(String, String)> = renamed.iter().map(|(c, n)| (c.to_string(), n.to_string())).collect();
        let aliases = BTreeMap::from([("batch_id".to_string(), "batch_code".to_string())]);
        columns_of(&words(header), &words("merchant_id,code,sku,batch_code"), &renamed, &aliases)
    }

    #[test]
    fn fields_are_found_in_any_order_and_by_their_other_names() {
        assert_eq!(map("batch_id,code,merchant_id", &[]), Ok(vec![Some(3), Some(1), Some(0)]));
        assert_eq!(map("code,batch_code,colour", &[]), Ok(vec![Some(1), Some(3), None]));
        assert_eq!(map(" Merchant ID ,CODE,item_no", &[("sku", "item_no")]), Ok(vec![Some(0), Some(1), Some(2)]));
    }

    #[test]
    fn what_the_user_says_goes_first_and_a_columns_own_name_before_its_aliases() {
        assert_eq!(map("sku,item_no", &[("sku", "item_no")]), Ok(vec![None, Some(2)]));
        assert_eq!(map("code,sku", &[("sku", "item_no")]), Ok(vec![Some(1), Some(2)])); // another file of the folder
        assert_eq!(map("batch_id,batch_code", &[]), Ok(vec![None, Some(3)]));
    }

    #[test]
    fn a_column_that_comes_twice_is_ambiguous() {
        assert!(map("code,sku,code", &[]).is_err());
        assert!(map("Code,CODE", &[]).is_err());
        assert_eq!(map("code,Code", &[]), Ok(vec![Some(1), None])); // one is exactly the column
        assert_eq!(map("code,colour,colour,,", &[]), Ok(vec![Some(1), None, None, None, None]));
    }
}
