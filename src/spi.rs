//! The one door to the database: statements with bound values, results as plain Rust.

use crate::error::{OnceError, Result};
use once_core::ident::Relation;
use pgrx::datum::{DatumWithOid, FromDatum, IntoDatum};
use pgrx::prelude::*;
use pgrx::spi::{SpiHeapTupleData, SpiTupleTable};

pub type Arg<'a> = DatumWithOid<'a>;

/// A row of a result, columns counted from 1.
pub struct Row<'a>(SpiHeapTupleData<'a>);

impl Row<'_> {
    /// The value, or `None` for NULL.
    pub fn get<T: IntoDatum + FromDatum>(&self, column: usize) -> Result<Option<T>> {
        Ok(self.0.get::<T>(column)?)
    }

    /// The value of a column that can't be NULL.
    pub fn need<T: IntoDatum + FromDatum>(&self, column: usize) -> Result<T> {
        self.get(column)?.ok_or_else(|| OnceError::Internal(format!("column {column} of a result is NULL")))
    }
}

fn collect<T>(table: SpiTupleTable<'_>, mut map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    table.map(|tuple| map(&Row(tuple))).collect()
}

/// Reads on the caller's snapshot and writes nothing, so that it works on a standby too.
pub fn read<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| collect(client.select(sql, None, args)?, map))
}

/// Runs a statement on a fresh snapshot: it sees what has committed during a wait, and what we wrote.
pub fn fresh<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect_mut(|client| collect(client.update(sql, None, args)?, map))
}

/// As `read`, of a statement that gives exactly one row.
pub fn read_one<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<T> {
    only(read(sql, args, map)?)
}

/// As `fresh`, of a statement that gives exactly one row.
pub fn fresh_one<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<T> {
    only(fresh(sql, args, map)?)
}

fn only<T>(mut rows: Vec<T>) -> Result<T> {
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => Ok(row),
        _ => Err(OnceError::Internal("a statement did not give exactly one row".into())),
    }
}

/// Runs a statement that writes, and gives the number of rows it wrote.
pub fn write(sql: &str, args: &[Arg]) -> Result<i64> {
    Spi::connect_mut(|client| {
        let rows = client.update(sql, None, args)?.len();
        i64::try_from(rows).map_err(|_| OnceError::Internal("row count out of range".into()))
    })
}

/// Runs a script of several statements, without values.
pub fn script(sql: &str) -> Result<()> {
    Ok(Spi::connect_mut(|client| client.update(sql, None, &[]).map(drop))?)
}

/// An object in the schema that the extension was created in.
pub fn own(name: &str) -> Result<Relation> {
    let schema = read_one(
        "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_once'",
        &[],
        |row| row.need(1),
    )?;
    Ok(Relation { schema, name: name.into() })
}

/// A relation as answers show it: quoted where it has to be.
pub fn shown(relation: &Relation) -> Result<String> {
    let args = [relation.schema.as_str().into(), relation.name.as_str().into()];
    read_one("SELECT format('%I.%I', $1, $2)", &args, |row| row.need(1))
}

/// Tells the user something that is no error, with the next step.
pub fn notice(message: String, hint: String) {
    use pgrx::pg_sys::errcodes::PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    pgrx::pg_sys::panic::ErrorReport::new(ERRCODE_SUCCESSFUL_COMPLETION, message, "pg_once")
        .set_hint(hint)
        .report(PgLogLevel::NOTICE);
}
