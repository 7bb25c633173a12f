//! What stands beside a target's table: the records of other targets that it refers to, and its tables of links.

use super::Target;
use super::columns::{Field, statement_columns};
use crate::error::{OnceError, Result};
use crate::spi;
use crate::targets::{self, Column, Table};
use once_core::rows::statements::{self, Links};
use once_core::spec::{Missing, RowsSpec, wrong};
use pgrx::pg_sys::Oid;
use std::collections::HashMap;
use std::rc::Rc;

/// A column that is filled with the id of a record of another target.
pub struct Reference {
    /// The field of the column.
    pub field: usize,
    pub target: Rc<Target>,
    /// Fields of the other target, and what the row calls them.
    pub by: Vec<(usize, String)>,
    pub missing: Missing,
}

/// A table of links, unique by the columns that the spec names.
pub struct LinkTable {
    pub oid: Oid,
    pub table: statements::Table,
    /// The columns and how the unique index compares them; the record's id first.
    pub columns: Vec<(once_core::key::KeyColumn, Column)>,
    /// What the row calls what fills the others.
    pub sources: Vec<String>,
}

impl LinkTable {
    pub fn statements(&self) -> Links<'_> {
        Links { relation: &self.table.relation, columns: self.columns.iter().map(|(key, _)| key).collect() }
    }
}

pub(super) fn refer(
    name: &str,
    fields: &[Field],
    spec: &RowsSpec,
    column: &str,
    reference: &once_core::spec::Reference,
    depth: usize,
) -> Result<Reference> {
    let bad_spec = |problem: String, remedy: &str| OnceError::BadSpec {
        target: name.into(),
        error: wrong("references", problem, remedy),
    };
    let target = super::opened::named(&reference.target, depth + 1)?;
    let [id] = target.table.identity.as_slice() else {
        let problem = format!("the records of target \"{}\" are not named by one column", target.name);
        return Err(bad_spec(problem, "Give its table a primary key of one column."));
    };
    let field = fields.iter().position(|field| field.column.name == column);
    let Some(field) = field else {
        return Err(bad_spec(format!("column \"{column}\" can't be filled"), "Name it in \"columns\" too."));
    };
    let is_integer = |sql_type: &str| ["smallint", "integer", "bigint"].iter().position(|known| *known == sql_type);
    let widens =
        is_integer(&id.sql_type).zip(is_integer(&fields[field].column.sql_type)).is_some_and(|(id, own)| own >= id);
    if fields[field].column.sql_type != id.sql_type && !widens {
        let problem = format!(
            "column \"{column}\" is of type {}, and \"{}\" of {}",
            fields[field].column.sql_type, id.name, id.sql_type
        );
        return Err(bad_spec(problem, "Give both the same type."));
    }
    let mut by: HashMap<&str, &str> =
        reference.by.iter().map(|(column, field)| (column.as_str(), field.as_str())).collect();
    // A tenant's rows are about the tenant's records.
    if let Some(theirs) = &target.spec.scope
        && !by.contains_key(theirs.as_str())
    {
        match &spec.scope {
            Some(ours) => by.insert(theirs, ours),
            None => {
                let problem = format!("target \"{}\" has a scope, and \"{column}\" does not say which", target.name);
                return Err(bad_spec(problem, "Name the scope's column in \"by\" too."));
            }
        };
    }
    let mut named = Vec::new();
    for (column, field) in by {
        match target.field(column) {
            Some(found) => named.push((found, field.to_string())),
            None => {
                let problem = format!("target \"{}\" has no column \"{column}\" that rows may fill", target.name);
                return Err(bad_spec(
                    problem,
                    "Name a column of the other target's table first, then the field of the row.",
                ));
            }
        }
    }
    named.sort();
    Ok(Reference { field, target, by: named, missing: reference.missing })
}

pub(super) fn link_table(
    table: &Table,
    stated_table: &statements::Table,
    link: &once_core::spec::Link,
) -> Result<LinkTable> {
    let relation = table.relation.beside(&link.table);
    let found = targets::find(&relation)?.ok_or_else(|| OnceError::RelationGone { relation: relation.clone() })?;
    if !found.is_table {
        return Err(OnceError::NotATable { relation });
    }
    let [id] = stated_table.identity.as_slice() else {
        return Err(OnceError::NoUniqueIndex {
            relation: table.relation.clone(),
            columns: "a primary key of one column".into(),
            statement: format!("-- a record that is linked to is named by one column of {}", table.relation),
        });
    };
    let names: Vec<String> = std::iter::once(&link.id).chain(link.columns.keys()).cloned().collect();
    let wanted: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), if *name == link.id { id.sql_type.clone() } else { "text".into() }))
        .collect();
    targets::missing(&found, &wanted)?;
    let mut equality = targets::equality(&found, &names)?
        .ok_or_else(|| targets::no_unique_index(&relation, &names, "CONCURRENTLY "))?;
    equality.sort_by_key(|column| names.iter().position(|name| *name == column.name));
    let columns: Vec<_> =
        equality.into_iter().filter_map(|key| found.column(&key.name).cloned().map(|column| (key, column))).collect();
    let primary = targets::primary_key(&found)?;
    let identity = if primary.is_empty() { names } else { primary };
    let stated = statement_columns(found.columns.iter());
    Ok(LinkTable {
        oid: found.oid,
        sources: link.columns.values().cloned().collect(),
        columns,
        table: statements::Table {
            identity: stated.iter().filter(|column| identity.contains(&column.name)).cloned().collect(),
            columns: stated,
            keys: Vec::new(),
            tracked: Vec::new(),
            scope: None,
            job_column: None,
            derived: Vec::new(),
            protect: None,
            relation,
        },
    })
}

/// That the tables of details are there, and their rows go with the record.
pub(super) fn require_details(name: &str, table: &Table, spec: &RowsSpec) -> Result<()> {
    if spec.details.is_empty() {
        return Ok(());
    }
    let cascading: Vec<String> = spi::known(
        "SELECT c.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid \
         WHERE k.contype = 'f' AND k.confrelid = $1 AND k.confdeltype = 'c' AND c.relnamespace = t.relnamespace",
        &[table.oid.into()],
        |row| row.need(1),
    )?;
    match spec.details.iter().find(|detail| !cascading.contains(detail)) {
        None => Ok(()),
        Some(detail) => Err(OnceError::BadSpec {
            target: name.into(),
            error: wrong(
                "details",
                format!(
                    "no foreign key ON DELETE CASCADE of {} leads to {}",
                    table.relation.beside(detail),
                    table.relation
                ),
                "Name tables whose rows are deleted with the record that they are parts of.",
            ),
        }),
    }
}
