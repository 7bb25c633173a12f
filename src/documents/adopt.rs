//! Adopts documents from before there was a key: computes what is missing, archives what repeats, adds the constraints.
//! Nothing is deleted.

use crate::error::{OnceError, Result};
use crate::spi::{self, Cursor};
use crate::targets::{self, Table};
use crate::{kits, rights};
use once_core::document::adoption::{Adoption, FORM, Present};
use once_core::document::statements::{Documents, Typed};
use once_core::ident::{Relation, quote, quote_list};
use once_core::spec::{DocumentSpec, Records, Spec};
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{JsonB, PgRelation};
use serde_json::json;

/// Rows that one statement changes.
const BATCH: i64 = 1000;

/// Adopts a table of documents that had no idempotency, with the records parsed from them: computes missing and malformed
/// checksums, tags all but the oldest of one owner and content `duplicate_archived`, replaces a unique key on the checksum
/// alone, adds NOT NULL, the format check and the unique keys, and fills the content hashes of records from their
/// documents. Can be called again and in a migration; locks the table against writers while it runs.
///
/// `relation`: the table of a document target, or one with the workouts kit's names. `dry_run`: only tells what would be
/// done. `max_rows`: how many rows the call may change at most, so that a big table can be done in several transactions;
/// NULL for all. Gives `{dry_run, relation, rows, columns_added, checksums_computed, checksums_malformed,
/// tags_filled, duplicates_archived, keys_replaced, constraints_added, records_filled, records_without_hash, complete}`; a dry run the same in the conditional. `complete` is false where `max_rows` ended the call: call again.
///
/// # Errors
/// `22004` for a NULL relation or dry_run, `22023` for max_rows below 1, `42501` for anyone but the owner of the tables,
/// `42703`, `42804` where columns are missing that can't be added or are of the wrong type.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn adopt_imports(
    relation: Option<PgRelation>,
    dry_run: default!(Option<bool>, "true"),
    max_rows: default!(Option<i64>, "NULL"),
) -> std::result::Result<JsonB, ErrorReport> {
    let null = |name: &str| OnceError::NullArgument { name: name.into() };
    let oid = relation.ok_or_else(|| null("relation"))?.oid();
    let dry_run = dry_run.ok_or_else(|| null("dry_run"))?;
    if let Some(given) = max_rows.filter(|rows| *rows < 1) {
        return Err(OnceError::BadMaximum { given }.into());
    }
    Ok(JsonB(adopt(targets::describe(oid)?, dry_run, max_rows.unwrap_or(i64::MAX))?))
}

fn adopt(mut table: Table, dry_run: bool, max_rows: i64) -> Result<serde_json::Value> {
    if !table.is_table {
        return Err(OnceError::NotATable { relation: table.relation });
    }
    rights::require_owner(&table.relation, table.oid)?;
    let spec = spec_of(&table.relation)?;
    let mut records = records_of(&table, &spec)?;
    let columns = missing_columns(&table, &spec)?;
    if !dry_run {
        lock(&table, &records)?;
        add_columns(&table, &columns, &spec)?;
        table = targets::describe(table.oid)?;
        if let Some((records, spec)) = &mut records {
            *records = with_hash(records, spec)?;
        }
    }
    let adoption = adoption(&table, &spec, &records)?;
    let (rows, malformed) =
        spi::fresh_one(&adoption.count(), &[], |row| Ok((row.need::<i64>(1)?, row.need::<i64>(2)?)))?;

    // What repeats is archived before its checksum is written: a key that is there already would refuse it.
    let mut work = Work { dry_run, left: max_rows };
    let tagged = work.run(&adoption.untagged(), &adoption.tag())?;
    let archived = work.run(&adoption.duplicates(), &adoption.archive())?;
    let keys = if work.left > 0 { keys_in_the_way(&table, &spec, archived > 0)? } else { Vec::new() };
    if !dry_run {
        drop_keys(&table, &keys)?;
    }
    let computed = work.run(&adoption.to_compute(), &adoption.compute())?;
    let filled = match adoption.fillable() {
        Some(fillable) => work.run(&fillable, &adoption.fill())?,
        None => 0,
    };
    let mut constraints = Vec::new();
    if work.left > 0 {
        constraints = document_constraints(&table, &spec)?;
        constraints.extend(record_keys(&adoption)?);
    }
    if !dry_run {
        constraints.iter().try_for_each(|(_, sql)| spi::script(sql))?;
    }
    let without_hash = match adoption.without_hash() {
        Some(count) => spi::fresh_one(&count, &[], |row| row.need::<i64>(1))?,
        None => 0,
    };
    Ok(json!({
        "dry_run": dry_run,
        "relation": spi::shown(&table.relation)?,
        "rows": rows,
        "columns_added": columns.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "checksums_computed": computed,
        "checksums_malformed": malformed,
        "tags_filled": tagged,
        "duplicates_archived": archived,
        "keys_replaced": keys,
        "constraints_added": constraints.iter().map(|(what, _)| what).collect::<Vec<_>>(),
        "records_filled": filled,
        "records_without_hash": if dry_run { without_hash - filled } else { without_hash },
        "complete": work.left > 0,
    }))
}

/// The spec of the target on this table, or else the workouts kit's.
fn spec_of(relation: &Relation) -> Result<DocumentSpec> {
    let registered = spi::fresh(
        &format!(
            "SELECT name, spec::text FROM {} WHERE schema_name = $1 AND table_name = $2 AND spec ->> 'kind' = 'document' ORDER BY name",
            spi::own("targets")?
        ),
        &[relation.schema.as_str().into(), relation.name.as_str().into()],
        |row| Ok((row.need::<String>(1)?, row.need::<String>(2)?)),
    )?;
    let (name, spec) = registered.into_iter().next().unwrap_or_else(|| ("imports".into(), kits::workouts_spec()));
    match Spec::parse(&spec) {
        Ok(Spec::Document(spec)) => Ok(spec),
        Ok(other) => Err(OnceError::WrongKind { name, is: other.kind().into(), must: "document".into() }),
        Err(error) => Err(OnceError::BadSpec { target: name, error }),
    }
}

fn records_of(table: &Table, spec: &DocumentSpec) -> Result<Option<(Table, Records)>> {
    let Some(records) = &spec.records else { return Ok(None) };
    let relation = Relation { schema: table.relation.schema.clone(), name: records.table.clone() };
    let Some(found) = targets::find(&relation)?.filter(|found| found.is_table) else { return Ok(None) };
    rights::require_owner(&found.relation, found.oid)?;
    Ok(Some((found, records.clone())))
}

/// What the table lacks and can be given.
fn missing_columns(table: &Table, spec: &DocumentSpec) -> Result<Vec<(String, &'static str)>> {
    let id = (spec.id.as_str(), "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into());
    targets::missing(table, &[id, (&spec.content, "text".into())])?;
    let mut wanted = vec![
        (&spec.checksum, r#"text COLLATE "C""#),
        (&spec.normalizer_version, "text"),
        (&spec.source, "text"),
        (&spec.source_ref, "text"),
        (&spec.tags, "text[] NOT NULL DEFAULT '{}'"),
        (&spec.received_at, "timestamptz"),
    ];
    wanted.extend(spec.scope.iter().map(|scope| (scope, "uuid")));
    targets::require_type(table, &spec.tags, pg_sys::TEXTARRAYOID, "text[]")?;
    let absent = wanted.into_iter().filter(|(name, _)| table.column(name).is_none());
    Ok(absent.map(|(name, sql_type)| (name.clone(), sql_type)).collect())
}

/// Keeps writers out until the transaction ends; readers too, once columns or constraints are added or keys dropped.
fn lock(table: &Table, records: &Option<(Table, Records)>) -> Result<()> {
    let tables = std::iter::once(table).chain(records.iter().map(|(table, _)| table));
    let names: Vec<String> = tables.map(|table| table.relation.to_string()).collect();
    spi::script(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", ")))
}

fn add_columns(table: &Table, columns: &[(String, &'static str)], spec: &DocumentSpec) -> Result<()> {
    for (name, sql_type) in columns {
        let (relation, column) = (&table.relation, quote(name));
        spi::script(&format!("ALTER TABLE {relation} ADD COLUMN {column} {sql_type}"))?;
        if *name == spec.received_at {
            // True of rows to come, not of those that are there.
            spi::script(&format!("ALTER TABLE {relation} ALTER COLUMN {column} SET DEFAULT pg_catalog.now()"))?;
        }
    }
    Ok(())
}

fn with_hash(table: &Table, spec: &Records) -> Result<Table> {
    if table.column(&spec.content_hash).is_none() {
        let column = quote(&spec.content_hash);
        spi::script(&format!(r#"ALTER TABLE {} ADD COLUMN {column} text COLLATE "C""#, table.relation))?;
    }
    targets::describe(table.oid)
}

/// Unique indexes on the checksum alone, by which one owner's document keeps out another's; and where documents are
/// archived, those that do not leave them out.
fn keys_in_the_way(table: &Table, spec: &DocumentSpec, archived: bool) -> Result<Vec<String>> {
    spi::fresh(
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid CROSS JOIN LATERAL ( \
           SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid \
           AND a.attnum = ANY ((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts])) k(names) \
         WHERE i.indrelid = $1 AND i.indisunique AND NOT i.indisprimary AND i.indexprs IS NULL \
         AND $2 = ANY (k.names) AND k.names <@ ARRAY[$2, $3] AND ((k.names <@ ARRAY[$2] AND $3 IS NOT NULL) OR ($4 AND i.indpred IS NULL)) \
         ORDER BY 1",
        &[table.oid.into(), spec.checksum.as_str().into(), spec.scope.clone().into(), archived.into()],
        |row| row.need(1),
    )
}

fn drop_keys(table: &Table, keys: &[String]) -> Result<()> {
    for key in keys {
        let constraint = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1 AND conname = $2)";
        if spi::fresh_one(constraint, &[table.oid.into(), key.as_str().into()], |row| row.need::<bool>(1))? {
            spi::script(&format!("ALTER TABLE {} DROP CONSTRAINT {}", table.relation, quote(key)))?;
        } else {
            spi::script(&format!(
                "DROP INDEX {}",
                Relation { schema: table.relation.schema.clone(), name: key.clone() }
            ))?;
        }
    }
    Ok(())
}

fn adoption(table: &Table, spec: &DocumentSpec, records: &Option<(Table, Records)>) -> Result<Adoption> {
    let made_at =
        table.column("created_at").filter(|c| [pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPOID].contains(&c.base));
    let records = match records {
        Some((table, spec)) => Some((present(table, &spec.id)?, spec.clone())),
        None => None,
    };
    Ok(Adoption {
        documents: present(table, &spec.id)?,
        spec: spec.clone(),
        made_at: made_at.map(|column| column.name.clone()),
        checksum_of: spi::own("document_checksum")?,
        records,
    })
}

fn present(table: &Table, id: &str) -> Result<Present> {
    targets::missing(table, &[(id, "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into())])?;
    let sql_type = table.column(id).map_or("uuid".into(), |column| column.base_type.clone());
    Ok(Present {
        relation: table.relation.clone(),
        columns: table.columns.iter().map(|column| column.name.clone()).collect(),
        id: Typed { name: id.into(), sql_type },
    })
}

/// What is done, or only counted.
struct Work {
    dry_run: bool,
    /// How many rows may still be changed.
    left: i64,
}

impl Work {
    /// Runs `statements` for the rows whose ids the query gives, a batch at a time. Gives the number of rows.
    fn run(&mut self, ids: &str, statements: &[String]) -> Result<i64> {
        if self.dry_run {
            return spi::fresh_one(&format!("SELECT count(*) FROM ({ids}) listed"), &[], |row| row.need(1));
        }
        let mut changed = 0;
        if self.left == 0 {
            return Ok(changed);
        }
        let cursor = Cursor::open(ids, &[])?;
        loop {
            let batch: Vec<String> = cursor.fetch(BATCH.min(self.left), |row| row.need(1))?;
            let rows = i64::try_from(batch.len()).unwrap_or(0);
            if rows == 0 {
                return Ok(changed);
            }
            for statement in statements {
                spi::write(statement, &[batch.clone().into()])?;
            }
            changed += rows;
            self.left -= rows;
            if self.left == 0 {
                return Ok(changed);
            }
        }
    }
}

/// What the documents still lack, each with the statement that adds it.
fn document_constraints(table: &Table, spec: &DocumentSpec) -> Result<Vec<(String, String)>> {
    let relation = &table.relation;
    let statements = Documents {
        relation: relation.clone(),
        spec: spec.clone(),
        scope: None,
        scope_may_be_null: true,
        received_at_is_instant: true,
    };
    let mut wanted = Vec::new();
    let nullable = |name: &str| table.column(name).is_none_or(|column| !column.not_null);
    let (tags, checksum) = (quote(&spec.tags), quote(&spec.checksum));
    if table.column(&spec.tags).is_some_and(|column| !column.not_null) {
        let sql =
            format!("ALTER TABLE {relation} ALTER COLUMN {tags} SET DEFAULT '{{}}', ALTER COLUMN {tags} SET NOT NULL");
        wanted.push((format!("{tags} NOT NULL"), sql));
    }
    let nulls = spec.scope.as_ref().and_then(|name| table.column(name)).is_none_or(|column| !column.not_null);
    if targets::key_index(table.oid, &statements.key(), Some(&spec.tags), nulls)?.is_none() {
        wanted.push((format!("unique ({})", quote_list(&statements.key())), statements.unique_index()));
    }
    if !has_form_check(table, &spec.checksum)? {
        let sql = format!("ALTER TABLE {relation} ADD CHECK ({checksum} ~ '{FORM}')");
        wanted.push((format!("{checksum} is 64 lower-case hex digits"), sql));
    }
    if nullable(&spec.checksum) {
        wanted.push((
            format!("{checksum} NOT NULL"),
            format!("ALTER TABLE {relation} ALTER COLUMN {checksum} SET NOT NULL"),
        ));
    }
    Ok(wanted)
}

fn has_form_check(table: &Table, checksum: &str) -> Result<bool> {
    spi::fresh_one(
        "SELECT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = $1 AND c.contype = 'c' AND c.convalidated \
         AND pg_get_expr(c.conbin, c.conrelid) IN (format('(%I ~ %L::text)', $2, $3), format('((%I)::text ~ %L::text)', $2, $3)))",
        &[table.oid.into(), checksum.into(), FORM.into()],
        |row| row.need(1),
    )
}

/// The unique keys that the records still lack, where no rows stand against them.
fn record_keys(adoption: &Adoption) -> Result<Vec<(String, String)>> {
    let mut wanted = Vec::new();
    let Some((present, records)) = &adoption.records else { return Ok(wanted) };
    let Some(table) = targets::find(&present.relation)? else { return Ok(wanted) };
    let scope = &adoption.spec.scope;
    let content: Vec<String> = scope.iter().chain(&records.key).chain([&records.content_hash]).cloned().collect();
    for key in [content, vec![records.draft.clone()]] {
        if targets::unique_index(table.oid, &key)?.is_some() {
            continue;
        }
        let Some(repeated) = adoption.repeated(&key) else { continue };
        let groups: i64 = spi::fresh_one(&repeated, &[], |row| row.need(1))?;
        let columns = quote_list(&key);
        if groups == 0 {
            let what = format!("unique ({columns}) on {}", spi::shown(&table.relation)?);
            wanted.push((what, format!("CREATE UNIQUE INDEX ON {} ({columns})", table.relation)));
        } else {
            spi::notice(
                format!("{} has {groups} groups of rows with the same ({columns}): no unique key was added", table.relation),
                "Nothing can be committed until one row of each is left, or its content hash or draft is NULL; then call again.".into(),
            );
        }
    }
    Ok(wanted)
}
