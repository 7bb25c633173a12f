//! The one door to the database: statements with bound values, results as plain Rust.

use crate::backend;
use crate::backend::store::Store;
use crate::backend::stream;
use crate::backend::tuples::{self, Tuples};
use crate::error::{OnceError, Result};
use once_core::ident::Relation;
use pgrx::datum::{DatumWithOid, FromDatum, IntoDatum};
use pgrx::prelude::*;
use pgrx::spi::{OwnedPreparedStatement, PreparedStatement, SpiError, SpiTupleTable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub type Arg<'a> = DatumWithOid<'a>;

/// A row of a result, columns counted from 1.
pub struct Row<'a>(&'a tuples::Row);

impl Row<'_> {
    /// The value, or `None` for NULL.
    pub fn get<T: IntoDatum + FromDatum>(&self, column: usize) -> Result<Option<T>> {
        Ok(self.0.get::<T>(column).map_err(SpiError::from)?)
    }

    /// The value of a column that can't be NULL.
    pub fn need<T: IntoDatum + FromDatum>(&self, column: usize) -> Result<T> {
        self.get(column)?.ok_or_else(|| OnceError::Internal(format!("column {column} of a result is NULL")))
    }
}

fn collect<T>(table: SpiTupleTable<'_>, mut map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut rows = Vec::with_capacity(table.len());
    let mut tuples = Tuples::of(table);
    while let Some(tuple) = tuples.next() {
        rows.push(map(&Row(tuple))?);
    }
    Ok(rows)
}

/// Reads on the caller's snapshot and writes nothing, so that it works on a standby too.
pub fn read<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| collect(client.select(sql, None, args)?, map))
}

thread_local! {
    /// Statements that the session keeps planned; Postgres plans them anew when what they name changes.
    static KEPT: RefCell<HashMap<String, Rc<OwnedPreparedStatement>>> = RefCell::default();
}

/// As `read`, of a statement that every call makes: what it costs to plan is paid once a session. For the catalogs,
/// pg_once's own tables and what a unique index answers; other statements over users' rows are planned with what they are
/// about.
pub fn known<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| {
        let statement = kept(sql, args, |types| client.prepare(sql, types))?;
        collect(client.select(&*statement, None, args)?, map)
    })
}

/// As `fresh`, of a statement that every call makes. One that writes nothing takes no transaction id: to a statement
/// that was prepared to write, `select` gives a fresh snapshot too.
pub fn known_fresh<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| {
        let statement = kept(sql, args, |types| client.prepare_mut(sql, types))?;
        collect(client.select(&*statement, None, args)?, map)
    })
}

/// The statement as the session keeps it. The same text is always read in the same way, afresh or not.
fn kept<'c>(
    sql: &str,
    args: &[Arg],
    prepare: impl FnOnce(&[PgOid]) -> pgrx::spi::Result<PreparedStatement<'c>>,
) -> Result<Rc<OwnedPreparedStatement>> {
    if let Some(statement) = KEPT.with_borrow(|kept| kept.get(sql).cloned()) {
        return Ok(statement);
    }
    let types: Vec<PgOid> = args.iter().map(|arg| PgOid::from(arg.oid())).collect();
    let statement = Rc::new(prepare(&types)?.keep());
    KEPT.with_borrow_mut(|kept| kept.insert(sql.into(), statement.clone()));
    Ok(statement)
}

/// As `known`, of a statement that gives exactly one row.
pub fn known_one<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<T> {
    only(known(sql, args, map)?)
}

/// As `fresh`, of a statement that reads these stores by their names, and may write too; one that writes nothing takes no
/// transaction id.
pub fn over<T>(stores: &[&Store], sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect(|client| {
        stores.iter().for_each(|store| store.register());
        let types: Vec<PgOid> = args.iter().map(|arg| PgOid::from(arg.oid())).collect();
        let statement = client.prepare_mut(sql, &types)?;
        collect(client.select(&statement, None, args)?, map)
    })
}

/// Runs `work` on the one row of a statement, on a fresh snapshot, while the row is in memory.
pub fn with_row<T>(sql: &str, args: &[Arg], work: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
    Spi::connect_mut(|client| match Tuples::of(client.update(sql, None, args)?).next() {
        Some(tuple) => work(&Row(tuple)),
        None => Err(OnceError::Internal("a statement did not give exactly one row".into())),
    })
}

/// Runs a statement on a fresh snapshot: it sees what has committed during a wait, and what we wrote.
pub fn fresh<T>(sql: &str, args: &[Arg], map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
    Spi::connect_mut(|client| collect(client.update(sql, None, args)?, map))
}

/// As `fresh`, with each row handed on as it comes: none is kept, and the statement may be read in parallel. Gives the
/// number of rows that it read or wrote. `each` may not ask the database.
pub fn each(sql: &str, args: &[Arg], mut each: impl FnMut(&Row<'_>) -> Result<()>) -> Result<i64> {
    let rows = Spi::connect_mut(|_| stream::run(sql, args, &mut |row| each(&Row(row))))?;
    i64::try_from(rows).map_err(|_| OnceError::Internal("row count out of range".into()))
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

/// Runs `work`, a statement over many rows, with the planner held to hash and merge joins: their cost grows with the
/// rows, not with their product. Staging is often full before anything was analyzed, or was analyzed when other rows
/// were in it, so that the planner may take a million rows for one; for the same reason the size of the tables alone
/// says whether it is worth it to read them in parallel.
pub fn planned<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    with_settings(&JOINED, work)
}

const JOINED: [(&str, &str); 5] = [
    ("enable_nestloop", "off"),
    ("enable_hashjoin", "on"),
    ("enable_mergejoin", "on"),
    ("parallel_setup_cost", "0"),
    ("parallel_tuple_cost", "0"),
];

/// As `planned`, for a statement over a good part of a table: it is read from one end to the other, whatever an index
/// and old statistics promise.
pub fn whole<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let off = [("enable_indexscan", "off"), ("enable_indexonlyscan", "off"), ("enable_bitmapscan", "off")];
    with_settings(&[&JOINED[..], &off, &[("enable_seqscan", "on")]].concat(), work)
}

/// As `planned`, for a statement that groups nearly as many rows as there are: sorting them can be done in parallel, and
/// takes no more memory than it may.
pub fn sorted<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let sorted = [("enable_hashagg", "off"), ("enable_sort", "on"), ("enable_gathermerge", "on")];
    with_settings(&[&JOINED[..], &sorted].concat(), work)
}

/// Runs `work`, a statement over a few rows of a table, with the planner held to indexes: it may take the table for a
/// small one, and read it whole for every batch.
pub fn by_index<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let off = [("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off")];
    let on = [("enable_nestloop", "on"), ("enable_indexscan", "on"), ("enable_bitmapscan", "on")];
    with_settings(&[off, on].concat(), work)
}

/// Runs `work` with all on which the text of a value depends set to what it is everywhere, and times without a zone in
/// this one.
pub fn exact<T>(timezone: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let fixed = [
        ("TimeZone", timezone),
        ("DateStyle", "ISO, YMD"),
        ("IntervalStyle", "postgres"),
        ("extra_float_digits", "1"),
        ("bytea_output", "hex"),
        ("xmloption", "content"),
        ("array_nulls", "on"),
    ];
    with_settings(&fixed, work)
}

fn with_settings<T>(settings: &[(&str, &str)], work: impl FnOnce() -> Result<T>) -> Result<T> {
    // Disabled paths cost so much that JIT would take them for a reason to compile.
    let settings = [settings, &[("jit", "off")]].concat();
    let (names, held): (Vec<String>, Vec<String>) =
        settings.iter().map(|(s, v)| (s.to_string(), v.to_string())).unzip();
    let before: Vec<String> = read_one(
        "SELECT array_agg(current_setting(s) ORDER BY n) FROM unnest($1) WITH ORDINALITY AS u(s, n)",
        &[names.clone().into()],
        |row| row.need(1),
    )?;
    let set = |values: Vec<String>| {
        let sql = "SELECT count(set_config(s, v, true)) FROM unnest($1, $2) AS u(s, v)";
        read(sql, &[names.clone().into(), values.into()], |_| Ok(()))
    };
    set(held)?;
    let result = work()?; // an error ends the (sub)transaction, and the settings with it
    set(before)?;
    Ok(result)
}

/// A query that is read in pieces, so that its result is never in memory whole. It closes when dropped.
pub struct Cursor {
    name: String,
}

impl Cursor {
    /// Opens the query on a fresh snapshot, which it keeps.
    pub fn open(sql: &str, args: &[Arg]) -> Result<Self> {
        Spi::connect_mut(|client| Ok(Self { name: client.try_open_cursor_mut(sql, args)?.detach_into_name() }))
    }

    /// The next `count` rows, none at the end. Each fetch has an SPI connection of its own, whose end
    /// frees what was fetched.
    pub fn fetch<T>(&self, count: i64, map: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
        Spi::connect(|client| {
            let mut cursor = client.find_cursor(&self.name)?;
            let rows = collect(cursor.fetch(count)?, map);
            cursor.detach_into_name();
            rows
        })
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // An error's abort closes it; Postgres must not be called while unwinding.
        if !std::thread::panicking() {
            Spi::connect(|client| drop(client.find_cursor(&self.name)));
        }
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

thread_local! {
    /// The registry, by which the session knows the extension's schema: as long as it is there, so is the extension.
    static REGISTRY: RefCell<Option<(Relation, pg_sys::Oid)>> = RefCell::default();
}

/// An object in the schema that the extension was created in.
pub fn own(name: &str) -> Result<Relation> {
    let kept = REGISTRY.with_borrow(|registry| {
        let (relation, oid) = registry.as_ref()?;
        (backend::relation_oid(relation) == Some(*oid)).then(|| relation.schema.clone())
    });
    if let Some(schema) = kept {
        return Ok(Relation { schema, name: name.into() });
    }
    let schema: String = known_one(
        "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_once'",
        &[],
        |row| row.need(1),
    )?;
    let registry = Relation { schema: schema.clone(), name: "targets".into() };
    let oid = backend::relation_oid(&registry);
    REGISTRY.set(oid.map(|oid| (registry, oid)));
    Ok(Relation { schema, name: name.into() })
}

/// The time by the clock, in ISO 8601 with its zone.
pub fn now() -> Result<String> {
    known_one("SELECT to_json(clock_timestamp()) #>> '{}'", &[], |row| row.need(1))
}

/// Whether the transaction keeps the snapshot that it began with, so that it can't see what commits meanwhile.
pub fn is_snapshot_kept() -> Result<bool> {
    let kept = "SELECT current_setting('transaction_isolation') IN ('repeatable read', 'serializable')";
    known_one(kept, &[], |row| row.need(1))
}

pub fn current_role() -> Result<String> {
    known_one("SELECT current_user::text", &[], |row| row.need(1))
}

/// A relation as answers show it: quoted where it has to be.
pub fn shown(relation: &Relation) -> Result<String> {
    let args = [relation.schema.as_str().into(), relation.name.as_str().into()];
    known_one("SELECT format('%I.%I', $1, $2)", &args, |row| row.need(1))
}

/// Tells the user something that is no error, with the next step.
pub fn notice(message: String, hint: String) {
    use pgrx::pg_sys::errcodes::PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    pgrx::pg_sys::panic::ErrorReport::new(ERRCODE_SUCCESSFUL_COMPLETION, message, "pg_once")
        .set_hint(hint)
        .report(PgLogLevel::NOTICE);
}
