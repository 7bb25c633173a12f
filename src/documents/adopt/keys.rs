//! Keys and constraints: those that stand in the way, and those that are missing.

use super::tables::Tables;
use crate::error::Result;
use crate::spi;
use crate::targets::{self, Table};
use once_core::document::adoption::{Adoption, FORM};
use once_core::ident::{quote, quote_list};

/// A unique index, of a constraint or not.
pub struct Key {
    pub name: String,
    pub drop: String,
    columns: Vec<String>,
    leaves_archived_out: bool,
}

/// What is to be added.
pub struct Constraint {
    pub shown: String,
    pub add: String,
}

/// The unique keys that would refuse what is no repetition: those on the checksum alone keep out another owner; where
/// documents are archived, those that do not leave them out; and of records those on the hash and less than their key.
pub fn in_the_way(tables: &Tables, archived: bool) -> Result<Vec<Key>> {
    let Tables { documents, spec, records } = tables;
    let key = spec.key();
    let mut found = unique_keys(documents, &key, &spec.checksum, &spec.tags)?;
    found.retain(|found| found.columns.len() < key.len() || (archived && !found.leaves_archived_out));
    if let Some((table, records)) = records {
        let [key, _] = spec.record_keys(records);
        let of_records = unique_keys(table, &key, &records.content_hash, "")?;
        found.extend(of_records.into_iter().filter(|found| found.columns.len() < key.len()));
    }
    Ok(found)
}

/// The table's unique indexes on `hash` and nothing that is not in `key`. An expression stands for the columns that it
/// is of.
fn unique_keys(table: &Table, key: &[String], hash: &str, tags: &str) -> Result<Vec<Key>> {
    let sql = format!(
        "SELECT c.relname::text, o.conname::text, k.names, coalesce({}, false) \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         LEFT JOIN pg_constraint o ON o.conindid = i.indexrelid AND o.conrelid = i.indrelid AND o.contype IN ('p', 'u') \
         CROSS JOIN LATERAL (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid \
           AND (a.attnum = ANY ((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts]) \
             OR (i.indexprs IS NOT NULL AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
                 AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum)))) k(names) \
         WHERE i.indrelid = $1 AND i.indisunique AND $2 = ANY (k.names) AND k.names <@ $3 ORDER BY 1",
        targets::leaves_archived_out("$4")
    );
    spi::fresh(&sql, &[table.oid.into(), hash.into(), key.to_vec().into(), tags.into()], |row| {
        let name: String = row.need(1)?;
        let drop = match row.get::<String>(2)? {
            Some(constraint) => format!("ALTER TABLE {} DROP CONSTRAINT {}", table.relation, quote(&constraint)),
            None => format!("DROP INDEX {}", table.relation.beside(&name)),
        };
        Ok(Key { name, drop, columns: row.need(3)?, leaves_archived_out: row.need(4)? })
    })
}

/// What the documents still lack.
pub fn missing_of_documents(tables: &Tables) -> Result<Vec<Constraint>> {
    let Tables { documents: table, spec, .. } = tables;
    let relation = &table.relation;
    let (tags, checksum) = (quote(&spec.tags), quote(&spec.checksum));
    let mut wanted = Vec::new();
    let mut want = |shown: String, add: String| wanted.push(Constraint { shown, add });
    if let Some(column) = table.column(&spec.tags).filter(|column| !column.not_null) {
        let default =
            if column.filled_by_itself { String::new() } else { format!("ALTER COLUMN {tags} SET DEFAULT '{{}}', ") };
        want(format!("{tags} NOT NULL"), format!("ALTER TABLE {relation} {default}ALTER COLUMN {tags} SET NOT NULL"));
    }
    let nulls = spec.scope.as_ref().and_then(|name| table.column(name)).is_none_or(|column| !column.not_null);
    if targets::key_index(table.oid, &spec.key(), Some(&spec.tags), nulls)?.is_none() {
        want(format!("unique ({})", quote_list(&spec.key())), spec.unique_index(relation));
    }
    if !has_form_check(table, &spec.checksum)? {
        want(
            format!("{checksum} is 64 lower-case hex digits"),
            format!("ALTER TABLE {relation} ADD CHECK ({checksum} ~ '{FORM}')"),
        );
    }
    if table.column(&spec.checksum).is_none_or(|column| !column.not_null) {
        want(format!("{checksum} NOT NULL"), format!("ALTER TABLE {relation} ALTER COLUMN {checksum} SET NOT NULL"));
    }
    Ok(wanted)
}

/// The quotes are no matter: quote_all_identifiers adds some.
fn has_form_check(table: &Table, checksum: &str) -> Result<bool> {
    spi::fresh_one(
        "SELECT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = $1 AND c.contype = 'c' AND c.convalidated \
         AND replace(pg_get_expr(c.conbin, c.conrelid), '\"', '') IN \
           (replace(format('(%I ~ %L::text)', $2, $3), '\"', ''), replace(format('((%I)::text ~ %L::text)', $2, $3), '\"', '')))",
        &[table.oid.into(), checksum.into(), FORM.into()],
        |row| row.need(1),
    )
}

/// The unique keys that the records still lack, where no rows stand against them.
pub fn missing_of_records(tables: &Tables, adoption: &Adoption) -> Result<Vec<Constraint>> {
    let mut wanted = Vec::new();
    let Some((table, records)) = &tables.records else { return Ok(wanted) };
    for key in tables.spec.record_keys(records) {
        if targets::unique_index(table.oid, &key)?.is_some() {
            continue;
        }
        let Some(repeated) = adoption.repeated(&key) else { continue };
        let groups: i64 = spi::fresh_one(&repeated, &[], |row| row.need(1))?;
        let columns = quote_list(&key);
        if groups == 0 {
            wanted.push(Constraint {
                shown: format!("unique ({columns}) on {}", spi::shown(&table.relation)?),
                add: format!("CREATE UNIQUE INDEX ON {} ({columns})", table.relation),
            });
        } else {
            spi::notice(
                format!("{} has {groups} groups of rows with the same ({columns}): no unique key was added", table.relation),
                "Nothing can be committed until one row of each is left, or its content hash or draft is NULL; then call again.".into(),
            );
        }
    }
    Ok(wanted)
}
