//! How the rows of one file become rows of the staging table.

use std::path::Path;

use csv::ByteRecord;
use once_core::header::columns_of;
use once_core::ident::{literal, quote, quote_list};

use super::batch::write_cell;
use super::binary::{Form, Forms};
use crate::error::Result;
use crate::session::Target;
use crate::source::{Rows, problem};

pub struct Plan {
    /// The columns that are filled, in the order in which they are sent.
    pub columns: Vec<String>,
    /// The form of each in COPY's binary format, where all have one.
    pub forms: Option<Vec<Form>>,
    /// For each of them but the scope the cell that fills it.
    cells: Vec<usize>,
    scope: ScopeFrom,
    /// Columns of the file that nothing is filled by.
    pub ignored: Vec<String>,
    staging: String,
}

/// Where a row's scope comes from.
enum ScopeFrom {
    /// The target has none.
    Nowhere,
    /// A cell, or where that is empty what the user said.
    Cell { column: String, cell: usize, otherwise: Option<Vec<u8>> },
    /// What the user said; the file has no such column.
    User { value: Vec<u8> },
}

impl Plan {
    /// The plan for a file with this header, where the staging table's columns have these forms.
    ///
    /// # Errors
    /// Where the header lacks a column of the key or the scope, or has a column twice.
    pub fn of(
        path: &Path,
        rows: &Rows,
        target: &Target,
        forms: &Forms,
        renamed: &[(String, String)],
        scope: Option<&str>,
    ) -> Result<Self> {
        let wanted: Vec<String> = target.filled().cloned().collect();
        let filled = columns_of(&rows.header, &wanted, renamed, &target.aliases).map_err(|twice| {
            problem(path, Some(1), twice).hint("Take one of them out of the file, or name the right one with --map.")
        })?;
        let cell_of = |column: &String| filled.iter().position(|f| f.is_some_and(|at| wanted[at] == *column));
        let missing: Vec<&str> = target.key.iter().filter(|c| cell_of(c).is_none()).map(String::as_str).collect();
        if !missing.is_empty() {
            let has = rows.header.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>().join(", ");
            return Err(problem(path, Some(1), format_args!("the header has no column {}", missing.join(", ")))
                .detail(format!("It has {has}."))
                .hint(format!("If the file calls it otherwise: --map {}=NAME.", missing[0])));
        }
        let otherwise = scope.map(|scope| scope.as_bytes().to_vec());
        let scope = match (&target.scope, otherwise) {
            (None, _) => ScopeFrom::Nowhere,
            (Some(column), otherwise) => match (cell_of(column), otherwise) {
                (Some(cell), otherwise) => ScopeFrom::Cell { column: column.clone(), cell, otherwise },
                (None, Some(value)) => ScopeFrom::User { value },
                (None, None) => {
                    return Err(problem(path, Some(1), format_args!("the header has no column {column}")).hint(
                        format!(
                            "Say whose rows these are with --scope, or how the file calls it: --map {column}=NAME."
                        ),
                    ));
                }
            },
        };
        let beside: Vec<&String> = target.key.iter().chain(&target.columns).filter(|c| cell_of(c).is_some()).collect();
        let mut columns: Vec<String> = target.scope.iter().cloned().collect();
        columns.extend(beside.iter().map(|c| (*c).clone()));
        let ignored = rows.header.iter().enumerate().filter(|(at, _)| filled[*at].is_none());
        Ok(Self {
            cells: beside.into_iter().filter_map(cell_of).collect(),
            ignored: ignored
                .map(
                    |(at, name)| {
                        if name.is_empty() { format!("column {} without a name", at + 1) } else { name.clone() }
                    },
                )
                .collect(),
            staging: target.staging.clone(),
            forms: columns.iter().map(|column| forms.get(column).copied()).collect(),
            columns,
            scope,
        })
    }

    /// Whose row it is; `None` where the target has no scope.
    ///
    /// # Errors
    /// The scope's column, where it is empty and nothing stands in for it.
    pub fn scope_of<'a>(&'a self, row: &'a ByteRecord) -> std::result::Result<Option<&'a [u8]>, String> {
        match &self.scope {
            ScopeFrom::Nowhere => Ok(None),
            ScopeFrom::User { value } => Ok(Some(value)),
            ScopeFrom::Cell { column, cell, otherwise } => match row.get(*cell).map(<[u8]>::trim_ascii) {
                None | Some([]) => otherwise.as_deref().map(Some).ok_or_else(|| column.clone()),
                Some(value) => Ok(Some(value)),
            },
        }
    }

    /// The one scope of all rows, where the file has no column for it.
    pub fn whole_scope(&self) -> Option<&str> {
        match &self.scope {
            ScopeFrom::User { value } => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    /// Whether rows name their scope, which then is the first column.
    pub fn has_scope(&self) -> bool {
        !matches!(self.scope, ScopeFrom::Nowhere)
    }

    /// What a row of this scope has for each column.
    fn cells<'a>(&'a self, scope: Option<&'a [u8]>, row: &'a ByteRecord) -> impl Iterator<Item = &'a [u8]> {
        scope.into_iter().chain(self.cells.iter().map(|cell| row.get(*cell).unwrap_or_default()))
    }

    /// Adds a row as COPY's text format has it.
    pub fn write(&self, scope: Option<&[u8]>, row: &ByteRecord, text: &mut Vec<u8>) {
        self.cells(scope, row).for_each(|cell| {
            write_cell(cell, text);
            text.push(b'\t');
        });
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
    }

    /// Adds a row as COPY's binary format has it; `None` where it can't be written so.
    pub fn write_binary(&self, scope: Option<&[u8]>, row: &ByteRecord, mut binary: Vec<u8>) -> Option<Vec<u8>> {
        let forms = self.forms.as_ref()?;
        binary.extend_from_slice(&i16::try_from(forms.len()).ok()?.to_be_bytes());
        self.cells(scope, row).zip(forms).try_for_each(|(cell, form)| form.write(cell, &mut binary))?;
        Some(binary)
    }

    /// The COPY that stages rows of all scopes but these; `format` is its option that says how they come.
    pub fn copy(&self, format: &str, but: &[String]) -> String {
        let copy = format!("COPY {} ({}) FROM STDIN ({format})", self.staging, quote_list(&self.columns));
        match self.columns.first() {
            Some(scope) if self.has_scope() && !but.is_empty() => {
                let scopes: Vec<String> = but.iter().map(|scope| literal(scope)).collect();
                format!("{copy} WHERE {}::pg_catalog.text NOT IN ({})", quote(scope), scopes.join(", "))
            }
            _ => copy,
        }
    }
}
