//! What tests of the rows path share: targets, calls, and what became of each row.

use anyhow::Result;
use postgres::{Client, Error, GenericClient};

use crate::{Db, Uuid, Value};

/// A new database with the tables that `sql` makes, and a connection of their owner.
pub fn tables(label: &str, sql: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(sql)?;
    Ok((db, client))
}

/// Registers a table of `public` under its own name.
pub fn target(client: &mut impl GenericClient, table: &str, spec: &str) -> Result<()> {
    let create = "SELECT once.create_target($1, quote_ident($1), $2::text::jsonb)";
    client.query_one(create, &[&table, &spec])?;
    Ok(())
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub outcome: String,
    pub job: Option<Uuid>,
    pub matched_by: Option<String>,
    pub changed: Vec<String>,
    pub reason: Option<String>,
}

/// Takes rows in, as JSON text so that nothing is lost on the way, and gives what became of each.
pub fn ingest_rows(client: &mut impl GenericClient, target: &str, rows: &str) -> Result<Vec<Told>, Error> {
    told(client, target, rows, false)
}

/// As `ingest_rows`, of a dry run.
pub fn planned_rows(client: &mut impl GenericClient, target: &str, rows: &str) -> Result<Vec<Told>, Error> {
    told(client, target, rows, true)
}

fn told(client: &mut impl GenericClient, target: &str, rows: &str, dry: bool) -> Result<Vec<Told>, Error> {
    let sql = "SELECT outcome, job_id, matched_by, coalesce(changed_columns, '{}'), reason \
               FROM once.ingest_rows($1, $2::text::jsonb, NULL, $3) ORDER BY row_number";
    let tell = |row: &postgres::Row| -> Result<Told, Error> {
        Ok(Told {
            outcome: row.try_get(0)?,
            job: row.try_get(1)?,
            matched_by: row.try_get(2)?,
            changed: row.try_get(3)?,
            reason: row.try_get(4)?,
        })
    };
    client.query(sql, &[&target, &rows, &dry])?.iter().map(tell).collect()
}

/// The outcomes, one after the other.
pub fn outcomes(told: &[Told]) -> String {
    told.iter().map(|told| told.outcome.as_str()).collect::<Vec<_>>().join(" ")
}

/// Takes rows in, or plans it, and gives the answer.
pub fn ingest(
    client: &mut impl GenericClient,
    target: &str,
    rows: &str,
    info: Option<&Value>,
    dry: bool,
) -> Result<Value, Error> {
    client.query_one("SELECT once.ingest($1, $2::text::jsonb, $3, $4)", &[&target, &rows, &info, &dry])?.try_get(0)
}
