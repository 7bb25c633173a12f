//! Several rows about one record, merged to one, as if they were merged into it in order.

use super::value::Cell;
use crate::spec::Merge;
use std::borrow::Cow;

/// How the values of a column stand to each other in the order of their type: a row's, and the record's; `None` for NULL.
/// Asked only of columns that are merged by order.
pub trait Order {
    fn of_row(&self, row: usize, column: usize) -> Option<u32>;
    fn of_record(&self, column: usize) -> Option<u32>;
    /// Whether the record has a value in the column.
    fn is_set(&self, column: usize) -> bool;
}

/// A column of the rows: how it is merged, and for `newest` where the column of the times is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub merge: Merge,
    pub clock: Option<usize>,
    /// The column of whose value this one tells something: it comes from the same row.
    pub follows: Option<usize>,
}

/// One row that does to the record what `rows` do to it in order; for each column that is merged by `newest`, the number of
/// the row whose time is its own.
pub fn fold<'a>(columns: &[Column], rows: &[&[Cell<'a>]], order: &dyn Order) -> (Vec<Cell<'a>>, Vec<Option<usize>>) {
    let mut sources = vec![None; columns.len()];
    let mut cells: Vec<Cell<'a>> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let given = || rows.iter().enumerate().filter(move |(_, row)| row[at].text().is_some()).map(|(row, _)| row);
            let source = match &column.merge {
                Merge::Union => return union(rows.iter().filter_map(|row| row[at].text())),
                Merge::Coalesce => given().next_back(),
                Merge::Keep => given().next(),
                Merge::Overwrite => rows.iter().rposition(|row| row[at] != Cell::Missing),
                // Of equal ones the first: it stays.
                Merge::Greatest => given().min_by_key(|row| std::cmp::Reverse(order.of_row(*row, at))),
                Merge::Least => given().min_by_key(|row| order.of_row(*row, at)),
                Merge::Newest(_) => newest(rows, at, column.clock.unwrap_or(at), order),
            };
            sources[at] = source;
            source.map_or(Cell::Missing, |row| rows[row][at].clone())
        })
        .collect();
    for (at, column) in columns.iter().enumerate() {
        if let Some(row) = column.follows.and_then(|followed| sources[followed]) {
            cells[at] = rows[row][at].clone();
        }
    }
    (cells, sources)
}

/// The row whose value is left when all have come: each is taken where there is none, or unless it is older than what the
/// record has come to.
fn newest(rows: &[&[Cell<'_>]], at: usize, clock: usize, order: &dyn Order) -> Option<usize> {
    let (mut source, mut is_set, mut time) = (None, order.is_set(at), order.of_record(clock));
    for (row, cells) in rows.iter().enumerate() {
        let now = order.of_row(row, clock);
        if cells[at].text().is_some() && (!is_set || now >= time) {
            (source, is_set) = (Some(row), true);
        }
        time = time.max(now);
    }
    source
}

/// Arrays, or JSON arrays, one after the other; JSON objects with what was there first.
fn union<'a>(texts: impl DoubleEndedIterator<Item = &'a str>) -> Cell<'static> {
    let texts: Vec<&str> = texts.map(str::trim).collect();
    let Some(first) = texts.first() else { return Cell::Missing };
    let (Some(open), Some(close)) = (first.chars().next(), first.chars().next_back()) else {
        return Cell::Text(Cow::Owned(first.to_string()));
    };
    let inner = |text: &&str| text.strip_prefix(open)?.strip_suffix(close).map(|inner| inner.trim().to_string());
    let inners: Option<Vec<String>> = texts.iter().map(inner).collect();
    let Some(mut inners) = inners.filter(|_| matches!(open, '{' | '[')) else {
        return Cell::Text(Cow::Owned(first.to_string()));
    };
    inners.retain(|inner| !inner.is_empty());
    // Of a field that an object names twice the last counts; of elements the order is kept.
    if open == '{' && inners.iter().any(|inner| is_object(inner)) {
        inners.reverse();
    }
    Cell::Text(Cow::Owned(format!("{open}{}{close}", inners.join(","))))
}

/// Whether what stands between braces is an object's, `"field": …`, and not an array's, `"element",…`.
fn is_object(inner: &str) -> bool {
    let mut escaped = false;
    let end = inner.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    inner.starts_with('"') && end.is_some_and(|(at, _)| inner[at + 1..].trim_start().starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ranks {
        rows: Vec<Vec<Option<u32>>>,
        record: Vec<Option<u32>>,
    }

    impl Order for Ranks {
        fn of_row(&self, row: usize, column: usize) -> Option<u32> {
            self.rows[row][column]
        }
        fn of_record(&self, column: usize) -> Option<u32> {
            self.record[column]
        }
        fn is_set(&self, column: usize) -> bool {
            self.record[column].is_some()
        }
    }

    fn cell(text: &str) -> Cell<'_> {
        match text {
            "" => Cell::Missing,
            "null" => Cell::Null,
            text => Cell::Text(text.into()),
        }
    }

    fn folded(merge: Merge, values: &[&str]) -> String {
        let rows: Vec<Vec<Cell<'_>>> = values.iter().map(|text| vec![cell(text)]).collect();
        let ranks: Vec<Vec<Option<u32>>> = values.iter().map(|text| vec![text.parse().ok()]).collect();
        let rows: Vec<&[Cell<'_>]> = rows.iter().map(Vec::as_slice).collect();
        let order = Ranks { rows: ranks, record: vec![None] };
        let (cells, _) = fold(&[Column { merge, clock: None, follows: None }], &rows, &order);
        match &cells[0] {
            Cell::Missing => "".into(),
            Cell::Null => "null".into(),
            Cell::Text(text) => text.to_string(),
        }
    }

    #[test]
    fn each_policy_leaves_what_the_rows_in_order_would() {
        assert_eq!(folded(Merge::Coalesce, &["1", "2", "null", ""]), "2");
        assert_eq!(folded(Merge::Coalesce, &["null", ""]), "");
        assert_eq!(folded(Merge::Keep, &["null", "1", "2"]), "1");
        assert_eq!(folded(Merge::Overwrite, &["1", "null", ""]), "null");
        assert_eq!(folded(Merge::Overwrite, &["1", "null", "3", ""]), "3");
        assert_eq!(folded(Merge::Greatest, &["1", "9", "null", "3"]), "9");
        assert_eq!(folded(Merge::Least, &["4", "9", "3"]), "3");
    }

    #[test]
    fn what_tells_of_a_value_comes_with_it() {
        let columns = [
            Column { merge: Merge::Keep, clock: None, follows: None },
            Column { merge: Merge::Coalesce, clock: None, follows: Some(0) },
        ];
        let rows = [[cell(""), cell("junk")], [cell("1"), cell("one")], [cell("2"), cell("two")]];
        let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| row.as_slice()).collect();
        let (cells, _) = fold(&columns, &rows, &Ranks { rows: vec![], record: vec![] });
        assert_eq!(cells, [cell("1"), cell("one")]);
    }

    #[test]
    fn a_union_keeps_all() {
        assert_eq!(folded(Merge::Union, &[r#"{"a"}"#, "null", "{}", r#"{"b","a"}"#]), r#"{"a","b","a"}"#);
        assert_eq!(folded(Merge::Union, &["[1, 2]", "[]", "[3]"]), "[1, 2,3]");
        // The field that was there first is last, where it counts.
        assert_eq!(folded(Merge::Union, &[r#"{"a\"": 1}"#, r#"{"a\"": 2, "b": 3}"#]), r#"{"a\"": 2, "b": 3,"a\"": 1}"#);
        assert_eq!(folded(Merge::Union, &[r#"{"a: b"}"#, r#"{"c"}"#]), r#"{"a: b","c"}"#);
    }

    #[test]
    fn the_newest_is_told_from_what_came_last() {
        // Columns: the value, and its time. (value, time) of the record, then of the rows; the row that is left.
        let newest = |record: (Option<u32>, Option<u32>), rows: &[(&str, Option<u32>)]| {
            let cells: Vec<Vec<Cell<'_>>> = rows.iter().map(|(value, _)| vec![cell(value), Cell::Missing]).collect();
            let ranks = rows.iter().map(|(_, time)| vec![None, *time]).collect();
            let columns = [
                Column { merge: Merge::Newest("at".into()), clock: Some(1), follows: None },
                Column { merge: Merge::Greatest, clock: None, follows: None },
            ];
            let cells: Vec<&[Cell<'_>]> = cells.iter().map(Vec::as_slice).collect();
            fold(&columns, &cells, &Ranks { rows: ranks, record: vec![record.0, record.1] }).1[0]
        };
        assert_eq!(newest((Some(1), Some(3)), &[("a", Some(5)), ("b", Some(4))]), Some(0));
        assert_eq!(newest((Some(1), Some(3)), &[("a", Some(2))]), None);
        assert_eq!(newest((None, Some(3)), &[("a", Some(2))]), Some(0));
        // A row without a value moves the time on, so that the older one after it is not taken.
        assert_eq!(newest((Some(1), Some(3)), &[("a", Some(5)), ("", Some(7)), ("b", Some(6))]), Some(0));
        // Of the same time, what comes last; without any time too.
        assert_eq!(newest((Some(1), Some(3)), &[("a", Some(3))]), Some(0));
        assert_eq!(newest((Some(1), None), &[("a", None), ("b", None)]), Some(1));
        assert_eq!(newest((Some(1), None), &[("a", Some(3)), ("b", None)]), Some(0));
    }
}
