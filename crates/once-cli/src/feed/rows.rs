//! How the rows of a table become objects: the first row names the columns.

use serde_json::{Map, Value};

use crate::error::{Failure, Result};

/// What a source has: an object a row, and where each row stands in the source.
pub struct Table {
    pub rows: Vec<Value>,
    numbers: Vec<u64>,
    /// What the source calls a row: `row`, or `line`.
    pub unit: &'static str,
}

impl Table {
    /// Where the row at this position (from 1) stands in the source, as whoever opens it sees.
    pub fn number(&self, position: i64) -> Option<u64> {
        let at = usize::try_from(position.checked_sub(1)?).ok()?;
        self.numbers.get(at).copied()
    }
}

/// Builds a table row by row.
pub struct Shaper {
    /// What the source is called in messages.
    name: String,
    /// Columns of the spreadsheet before the first cell that is given.
    offset: usize,
    /// The names of the columns; `None` for one without. Not there before the first row.
    header: Option<Vec<Option<String>>>,
    table: Table,
}

impl Shaper {
    pub fn new(name: impl Into<String>, unit: &'static str, offset: usize) -> Self {
        let table = Table { rows: Vec::new(), numbers: Vec::new(), unit };
        Self { name: name.into(), offset, header: None, table }
    }

    /// Takes the next row, which stands at `number`. Rows without any value are passed over, and the first other one is
    /// the header. An empty cell is null; cells that a short row lacks are missing; cells without a name in the header
    /// get that of their column in a spreadsheet, where they have a value.
    ///
    /// # Errors
    /// Where two columns have one name.
    pub fn push(&mut self, number: u64, cells: impl IntoIterator<Item = Value>) -> Result<()> {
        let cells: Vec<Value> = cells.into_iter().collect();
        if cells.iter().all(is_blank) {
            return Ok(());
        }
        let Some(header) = &self.header else {
            self.header = Some(self.named(number, &cells)?);
            return Ok(());
        };
        let mut row = Map::new();
        for (at, cell) in cells.into_iter().enumerate() {
            match header.get(at) {
                Some(Some(name)) => {
                    let cell = if cell.as_str() == Some("") { Value::Null } else { cell };
                    row.insert(name.clone(), cell);
                }
                _ if is_blank(&cell) => {}
                _ => {
                    let name = letters(self.offset + at);
                    if header.iter().flatten().any(|named| *named == name) {
                        return Err(self.problem(
                            number,
                            format_args!("column {name} has a value and no name, and another column is called {name}"),
                        ));
                    }
                    row.insert(name, cell);
                }
            }
        }
        self.table.rows.push(Value::Object(row));
        self.table.numbers.push(number);
        Ok(())
    }

    pub fn finish(self) -> Table {
        self.table
    }

    fn named(&self, number: u64, cells: &[Value]) -> Result<Vec<Option<String>>> {
        let mut names: Vec<Option<String>> = Vec::new();
        let mut twice: Vec<String> = Vec::new();
        for (at, cell) in cells.iter().enumerate() {
            let name = match cell {
                _ if is_blank(cell) => None,
                Value::String(text) => Some(text.trim().to_owned()),
                other => Some(other.to_string()),
            };
            if let Some(before) = names.iter().position(|named| name.is_some() && *named == name) {
                let (name, before, here) =
                    (name.as_deref().unwrap_or_default(), letters(self.offset + before), letters(self.offset + at));
                twice.push(format!("\"{name}\" in columns {before} and {here}"));
            }
            names.push(name);
        }
        if twice.is_empty() {
            Ok(names)
        } else {
            Err(self.problem(number, format_args!("the header has a name twice: {}", twice.join(", "))))
        }
    }

    fn problem(&self, number: u64, what: std::fmt::Arguments<'_>) -> Failure {
        Failure::problem(format!("{}, {} {number}: {what}", self.name, self.table.unit))
            .hint("Give each column a name of its own, in the first row that has any value.")
    }
}

fn is_blank(cell: &Value) -> bool {
    cell.is_null() || cell.as_str().is_some_and(|text| text.trim().is_empty())
}

/// What a spreadsheet calls its column, counted from 0: A … Z, AA, AB …
fn letters(column: usize) -> String {
    let mut name = Vec::new();
    let mut left = column + 1;
    while left > 0 {
        // A letter is one of 26, so that it is a byte.
        #[allow(clippy::cast_possible_truncation)]
        name.push(b'A' + ((left - 1) % 26) as u8);
        left = (left - 1) / 26;
    }
    name.iter().rev().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shaped(rows: &[Value]) -> Result<Table> {
        let mut shaper = Shaper::new("leads", "row", 0);
        for (at, row) in rows.iter().enumerate() {
            shaper.push(at as u64 + 1, row.as_array().cloned().unwrap_or_default())?;
        }
        Ok(shaper.finish())
    }

    #[test]
    fn short_rows_lack_fields_and_long_ones_have_more() {
        let table = shaped(&[
            json!([" id ", "name", "", "email"]),
            json!(["7", "", "", "a@example.com"]),
            json!(["8"]),
            json!([9, "Siti", "note", null, " ", "extra"]),
        ])
        .unwrap();
        assert_eq!(
            table.rows,
            [
                json!({"id": "7", "name": null, "email": "a@example.com"}),
                json!({"id": "8"}),
                json!({"id": 9, "name": "Siti", "C": "note", "email": null, "F": "extra"}),
            ]
        );
    }

    #[test]
    fn blank_rows_are_none_and_do_not_move_the_others() {
        let table = shaped(&[json!([]), json!(["id"]), json!(["", null, "  "]), json!(["1"]), json!([]), json!(["2"])]);
        let table = table.unwrap();
        assert_eq!(table.rows, [json!({"id": "1"}), json!({"id": "2"})]);
        assert_eq!([0, 1, 2, 3, i64::MIN].map(|at| table.number(at)), [None, Some(4), Some(6), None, None]);
        for empty in [vec![], vec![json!([])], vec![json!(["id", "name"])]] {
            assert_eq!(shaped(&empty).unwrap().rows.len(), 0);
        }
    }

    #[test]
    fn a_name_twice_is_told_with_its_columns() {
        let told = shaped(&[json!(["id", "email", "", "", "email ", "id"])]).err().unwrap().message;
        assert_eq!(
            told,
            "leads, row 1: the header has a name twice: \"email\" in columns B and E, \"id\" in columns A and F"
        );
        // Column B has no name of its own, and another has its letter.
        let rows = [json!(["B", ""]), json!(["1", ""]), json!(["1", "2"])];
        assert!(shaped(&rows[..2]).is_ok());
        assert!(shaped(&rows).err().unwrap().message.contains("row 3: column B"));
    }

    #[test]
    fn columns_are_called_as_in_spreadsheets() {
        assert_eq!([0, 17, 25, 26, 51, 52, 701, 702].map(letters), ["A", "R", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]);
    }
}
