//! What the catalog says of a table: its columns, the index behind a key, its constraints.

use crate::backend;
use crate::error::Result;
use crate::spi;
use once_core::bulk::Rule;
use once_core::ident::{Relation, quote};
use once_core::key::KeyColumn;
use once_core::spec::ARCHIVED;
use pgrx::pg_sys::Oid;

/// A table of a user's.
pub struct Table {
    pub relation: Relation,
    pub oid: Oid,
    pub unlogged: bool,
    pub columns: Vec<Column>,
    pub is_table: bool,
}

/// A column of a table.
#[derive(Clone)]
pub struct Column {
    pub name: String,
    /// The type itself, and its collation.
    pub oid: Oid,
    pub collation_oid: Oid,
    /// The type as DDL writes it, qualified, with its modifier.
    pub sql_type: String,
    /// The type under all domains, and how a CAST writes it, without a modifier.
    pub base: Oid,
    pub base_type: String,
    pub is_enum: bool,
    pub is_text: bool,
    /// The type of the elements, where it is an array.
    pub element: Option<Oid>,
    /// The type's modifier, or that of what a domain stands for; -1 where there is none.
    pub modifier: i32,
    /// The collation, qualified, where it is not the type's own.
    pub collation: Option<String>,
    /// Whether equal values of its collation are the same bytes.
    pub deterministic: bool,
    pub not_null: bool,
    /// Whether a default, an identity or a generation expression fills it.
    pub filled_by_itself: bool,
    /// Whether numbers are drawn for it, unless somebody gives one.
    pub is_identity: bool,
    /// Whether nothing else may fill it.
    pub generated_always: bool,
    /// The default, or what gives an identity its next value.
    pub default: Option<String>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// The table of this name, if there is one.
pub fn find(relation: &Relation) -> Result<Option<Table>> {
    match backend::relation_oid(relation) {
        Some(oid) => describe(oid).map(Some),
        None => Ok(None),
    }
}

/// The table with this OID.
pub fn describe(oid: Oid) -> Result<Table> {
    let (relation, kind, persistence) = spi::known_one(
        "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
        &[oid.into()],
        |row| {
            let relation = Relation { schema: row.need(1)?, name: row.need(2)? };
            Ok((relation, row.need::<String>(3)?, row.need::<String>(4)?))
        },
    )?;
    Ok(Table {
        relation,
        oid,
        unlogged: persistence == "u",
        is_table: (kind == "r" || kind == "p") && persistence != "t",
        columns: columns(oid)?,
    })
}

/// The columns of a relation, in order.
fn columns(oid: Oid) -> Result<Vec<Column>> {
    spi::known(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), b.oid, format_type(b.oid, -1), b.typtype = 'e', \
         b.typcategory = 'S', \
         CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END, \
         coalesce(co.collisdeterministic, true), a.attnotnull, \
         a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '', a.attidentity = 'a' OR a.attgenerated <> '', CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, \
         a.atttypid, a.attcollation, CASE WHEN b.typcategory = 'A' THEN b.typelem END, \
         coalesce(pg_get_expr(d.adbin, d.adrelid), (SELECT format('nextval(%L::regclass)', s.objid::regclass) FROM pg_depend s \
           WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND s.refobjid = a.attrelid \
           AND s.refobjsubid = a.attnum AND s.deptype = 'i' AND a.attidentity <> '' LIMIT 1)), a.attidentity <> '' \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         JOIN pg_type b ON b.oid = CASE WHEN t.typtype <> 'd' THEN t.oid ELSE ( \
           WITH RECURSIVE domains(oid, under) AS ( \
             SELECT t.oid, t.typbasetype UNION ALL \
             SELECT u.oid, u.typbasetype FROM domains d JOIN pg_type u ON u.oid = d.under) \
           SELECT d.oid FROM domains d WHERE d.under = 0) END \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = '' \
         LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        &[oid.into()],
        |row| {
            Ok(Column {
                name: row.need(1)?,
                sql_type: row.need(2)?,
                base: row.need(3)?,
                base_type: row.need(4)?,
                is_enum: row.need(5)?,
                is_text: row.need(6)?,
                collation: row.get(7)?,
                deterministic: row.need(8)?,
                not_null: row.need(9)?,
                filled_by_itself: row.need(10)?,
                generated_always: row.need(11)?,
                modifier: row.need(12)?,
                oid: row.need(13)?,
                collation_oid: row.need(14)?,
                element: row.get(15)?,
                default: row.get(16)?,
                is_identity: row.need(17)?,
            })
        },
    )
}

/// The unique index on exactly these columns (in any order) that can be an arbiter for them.
pub fn unique_index(table: Oid, names: &[String]) -> Result<Option<Oid>> {
    key_index(table, names, None, false)
}

/// As `unique_index`; it may leave out the rows that are archived by this column of tags. `nulls_equal`: NULL must be
/// a value like any other in it.
pub fn key_index(table: Oid, names: &[String], tags: Option<&str>, nulls_equal: bool) -> Result<Option<Oid>> {
    let found = spi::known(
        &format!(
            "SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND NOT i.indisexclusion \
             AND (i.indpred IS NULL OR {}) \
             AND i.indexprs IS NULL AND i.indnkeyatts = cardinality($2) AND (i.indnullsnotdistinct OR NOT $4) \
             AND (SELECT count(DISTINCT a.attname) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attname::text = ANY ($2) \
                  AND a.attnum = ANY ((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts])) = cardinality($2) \
             ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1",
            leaves_archived_out("coalesce($3, '')")
        ),
        &[table.into(), names.to_vec().into(), tags.into(), nulls_equal.into()],
        |row| row.need::<Oid>(1),
    )?;
    Ok(found.into_iter().next())
}

/// That index `i` leaves out what is archived by the column of tags that is called `tags`, an expression. The quotes are no
/// matter: quote_all_identifiers adds some.
pub fn leaves_archived_out(tags: &str) -> String {
    format!(
        "(replace(pg_get_expr(i.indpred, i.indrelid), '\"', '') = replace(format('(NOT (%I @> ARRAY[%L::text]))', {tags}, '{ARCHIVED}'), '\"', ''))"
    )
}

/// Whether NULL is a value like any other in a unique index.
pub fn nulls_are_equal(index: Oid) -> Result<bool> {
    spi::known_one("SELECT indnullsnotdistinct FROM pg_index WHERE indexrelid = $1", &[index.into()], |row| row.need(1))
}

/// Whether an index leaves out rows.
pub fn is_partial(index: Oid) -> Result<bool> {
    spi::known_one("SELECT indpred IS NOT NULL FROM pg_index WHERE indexrelid = $1", &[index.into()], |row| row.need(1))
}

/// How the unique index on these columns compares each of them; `None` where there is no such index.
pub fn equality(table: &Table, names: &[String]) -> Result<Option<Vec<KeyColumn>>> {
    let Some(index) = unique_index(table.oid, names)? else { return Ok(None) };
    let columns = spi::known(
        "SELECT a.attname::text, \
         CASE WHEN t.typtype = 'p' THEN CASE WHEN at.typtype = 'd' THEN format_type(at.typbasetype, -1) END \
              WHEN t.oid <> at.oid THEN quote_ident(tn.nspname) || '.' || quote_ident(t.typname) END, \
         quote_ident(cn.nspname) || '.' || quote_ident(co.collname), \
         quote_ident(opn.nspname) || '.' || op.oprname, \
         (SELECT quote_ident(hn.nspname) || '.' || quote_ident(hf.proname) FROM pg_amop ho \
            JOIN pg_opclass hc ON hc.opcfamily = ho.amopfamily AND hc.opcintype = oc.opcintype AND hc.opcdefault \
            JOIN pg_amproc hp ON hp.amprocfamily = ho.amopfamily AND hp.amproclefttype = oc.opcintype \
                 AND hp.amprocrighttype = oc.opcintype AND hp.amprocnum = 2 \
            JOIN pg_proc hf ON hf.oid = hp.amproc AND hf.proargtypes[0] = oc.opcintype \
            JOIN pg_namespace hn ON hn.oid = hf.pronamespace \
            WHERE ho.amopopr = op.oid AND ho.amopmethod = (SELECT am.oid FROM pg_am am WHERE am.amname = 'hash') \
              AND t.typtype = 'b') \
         FROM pg_index i CROSS JOIN LATERAL unnest(i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY AS k(class, sorting, number) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.number - 1] \
         JOIN pg_type at ON at.oid = a.atttypid \
         JOIN pg_opclass oc ON oc.oid = k.class \
         JOIN pg_type t ON t.oid = oc.opcintype JOIN pg_namespace tn ON tn.oid = t.typnamespace \
         JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype \
              AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = 3 \
         JOIN pg_operator op ON op.oid = ao.amopopr JOIN pg_namespace opn ON opn.oid = op.oprnamespace \
         LEFT JOIN pg_collation co ON co.oid = k.sorting LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace \
         WHERE i.indexrelid = $1 ORDER BY k.number",
        &[index.into()],
        |row| {
            Ok(KeyColumn {
                name: row.need(1)?,
                cast: row.get(2)?,
                collation: row.get(3)?,
                equals: row.need(4)?,
                hash: row.get(5)?,
            })
        },
    )?;
    Ok(Some(columns))
}

/// The columns of the primary key, in its order; none where there is no primary key.
pub fn primary_key(table: &Table) -> Result<Vec<String>> {
    spi::known(
        "SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) k \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] \
         WHERE i.indrelid = $1 AND i.indisprimary ORDER BY k",
        &[table.oid.into()],
        |row| row.need(1),
    )
}

/// Whether an index begins with this column.
pub fn has_index_on(table: &Table, column: &str) -> Result<bool> {
    spi::known_one(
        "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
         WHERE i.indrelid = $1 AND i.indisvalid AND a.attname::text = $2)",
        &[table.oid.into(), column.into()],
        |row| row.need(1),
    )
}

/// The table's CHECK constraints as rules for a row `s`: their expressions name columns bare, which
/// in a statement over staging alone are the staged ones.
pub fn check_constraints(table: &Table) -> Result<Vec<Rule>> {
    spi::known(
        "SELECT c.conname::text, pg_get_expr(c.conbin, c.conrelid), \
         (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)) \
         FROM pg_constraint c WHERE c.conrelid = $1 AND c.contype = 'c' AND cardinality(c.conkey) > 0 AND NOT (0::int2 = ANY (c.conkey)) \
         AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true) \
         ORDER BY c.conname",
        &[table.oid.into()],
        |row| {
            let (name, expression): (String, String) = (row.need(1)?, row.need(2)?);
            Ok(Rule {
                reason: format!("violates check constraint {}", quote(&name)),
                columns: row.need(3)?,
                broken: format!("(({expression}) IS FALSE)"),
                sqlstate: "23514",
            })
        },
    )
}

/// The table's foreign keys as rules for a row `x`, as far as the caller may read what they refer to, and its unique keys, as
/// far as they are of plain columns. The reasons are worded as Postgres does.
pub fn other_constraints(table: &Table) -> Result<Vec<Rule>> {
    let rule = |sqlstate| {
        move |row: &spi::Row<'_>| {
            Ok(Rule { reason: row.need(1)?, columns: row.need(2)?, broken: row.need(3)?, sqlstate })
        }
    };
    let mut rules = spi::known(
        "SELECT format('insert or update on table \"%s\" violates foreign key constraint \"%s\"', t.relname, c.conname), \
         (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)), \
         format('(%s AND NOT EXISTS (SELECT FROM %I.%I r WHERE %s))', \
           (SELECT string_agg(format('x.%I IS NOT NULL', a.attname), ' AND ') FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)), \
           rn.nspname, r.relname, (SELECT string_agg(format('r.%I OPERATOR(%I.%s) x.%I', ra.attname, n.nspname, o.oprname, ta.attname), ' AND ') \
             FROM unnest(c.conkey, c.confkey, c.conpfeqop) AS u(own, other, eq) \
             JOIN pg_attribute ta ON ta.attrelid = c.conrelid AND ta.attnum = u.own \
             JOIN pg_attribute ra ON ra.attrelid = c.confrelid AND ra.attnum = u.other \
             JOIN pg_operator o ON o.oid = u.eq JOIN pg_namespace n ON n.oid = o.oprnamespace)) \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid \
         JOIN pg_namespace rn ON rn.oid = r.relnamespace \
         WHERE c.conrelid = $1 AND c.contype = 'f' AND c.conparentid = 0 AND c.confrelid <> c.conrelid AND c.confmatchtype = 's' \
         AND has_schema_privilege(rn.oid, 'USAGE') AND has_table_privilege(r.oid, 'SELECT') AND NOT row_security_active(r.oid) \
         ORDER BY c.conname",
        &[table.oid.into()],
        rule("23503"),
    )?;
    let primary = primary_key(table)?;
    if primary.is_empty() {
        return Ok(rules);
    }
    let own: Vec<String> =
        primary.iter().map(|name| format!("u.{name} IS DISTINCT FROM x.{name}", name = quote(name))).collect();
    let unique = spi::known(
        "SELECT format('duplicate key value violates unique constraint \"%s\"', ic.relname), \
         (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts])), \
         format('EXISTS (SELECT FROM %I.%I u WHERE %s AND (%s))', n.nspname, t.relname, \
           (SELECT string_agg(format('u.%I OPERATOR(%I.%s) x.%I', a.attname, opn.nspname, o.oprname, a.attname), ' AND ') \
            FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS k(class, number) \
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.number - 1] \
            JOIN pg_opclass oc ON oc.oid = k.class JOIN pg_type ot ON ot.oid = oc.opcintype \
            JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = 3 \
            JOIN pg_operator o ON o.oid = ao.amopopr JOIN pg_namespace opn ON opn.oid = o.oprnamespace WHERE k.number <= i.indnkeyatts), $2) \
         FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
         WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND NOT i.indisprimary AND i.indpred IS NULL AND i.indexprs IS NULL \
         AND NOT EXISTS (SELECT FROM unnest(i.indclass::oid[]) k(class) JOIN pg_opclass oc ON oc.oid = k.class JOIN pg_type ot ON ot.oid = oc.opcintype \
                         WHERE ot.typnamespace <> 'pg_catalog'::regnamespace OR ot.typtype = 'p') \
         AND NOT row_security_active(i.indrelid) ORDER BY ic.relname",
        &[table.oid.into(), own.join(" OR ").into()],
        rule("23505"),
    )?;
    rules.extend(unique);
    Ok(rules)
}

/// Whether a trigger may change a row before it is written, so that what is staged is not what must fit.
pub fn has_before_insert_trigger(table: &Table) -> Result<bool> {
    spi::known_one(
        "SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled <> 'D' \
         AND t.tgtype & 7 = 7)", // for each row, before, insert: pg_trigger.h
        &[table.oid.into()],
        |row| row.need(1),
    )
}

/// Whether anything but constraints acts on what is written to a table or to one of its partitions.
pub fn has_triggers_or_rules(oid: Oid) -> Result<bool> {
    spi::known_one(
        "SELECT EXISTS (SELECT FROM pg_class c WHERE (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1))) \
         AND (c.relhasrules OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)))",
        &[oid.into()],
        |row| row.need(1),
    )
}

/// Constraints of a table, or of others that refer to it, that may be checked at commit only: quoted and
/// separated by commas. Where a name is not theirs alone, `ALL`, which is what SET CONSTRAINTS can say then.
pub fn deferrable_constraints(oid: Oid) -> Result<Option<String>> {
    spi::known_one(
        "SELECT CASE WHEN bool_or(EXISTS (SELECT FROM pg_constraint o WHERE o.conname = c.conname \
         AND o.connamespace = c.connamespace AND NOT o.condeferrable)) THEN 'ALL' \
         ELSE string_agg(DISTINCT quote_ident(n.nspname) || '.' || quote_ident(c.conname), ', ') END \
         FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace \
         WHERE (c.conrelid = $1 OR c.confrelid = $1) AND c.condeferrable",
        &[oid.into()],
        |row| row.get(1),
    )
}

/// About how many rows a table holds, by its size: statistics may be old, or not there yet.
pub fn estimated_rows(oid: Oid) -> Result<i64> {
    spi::known_one(
        "SELECT (pg_relation_size($1) + coalesce((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree($1)), 0))::bigint / 100",
        &[oid.into()],
        |row| row.need(1),
    )
}
