//! A target of rows: its table, looked at, with what its spec says of each column.

use crate::backend::store;
use crate::error::{OnceError, Result};
use crate::targets::{self, Column, Table};
use crate::{rights, spi};
use once_core::bulk::Rule;
use once_core::ident::{Relation, quote};
use once_core::rows::plan;
use once_core::rows::statements::{self, Form, Key, Links};
use once_core::rows::value::Kind;
use once_core::spec::{Merge, Missing, Normalize, OnMatch, RowsSpec, Spec, wrong};
use pgrx::pg_sys::{self, Oid};
use std::collections::HashMap;
use std::rc::Rc;

/// A target whose tables are there and fit its spec.
pub struct Target {
    pub name: String,
    pub spec: RowsSpec,
    pub oid: Oid,
    pub table: statements::Table,
    pub columns: Vec<Column>,
    /// What rows may fill.
    pub fields: Vec<Field>,
    pub references: Vec<Reference>,
    pub links: Vec<LinkTable>,
    /// What the database would refuse, as far as it can be told, unless a trigger may put it right.
    pub checks: Vec<Rule>,
}

/// A column that rows may fill.
pub struct Field {
    pub column: Column,
    pub kind: Kind,
    pub normalize: Option<Normalize>,
    /// Whether a row without it is rejected.
    pub required: bool,
    /// Whether a new record can't do without it.
    pub needed: bool,
    pub not_null: bool,
}

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

/// How many targets a reference may lead through.
const DEEPEST: usize = 8;

impl Target {
    /// The target registered under `name`.
    ///
    /// # Errors
    /// `22004` for NULL, `42704` where there is none, `42809` where it takes no rows, `42501` where whoever registered it
    /// does not own its tables any more, and whatever does not fit between the spec and the tables.
    pub fn open(name: Option<String>) -> Result<Rc<Self>> {
        let name = name.ok_or(OnceError::NullArgument { name: "target".into() })?;
        Self::named(name, 0)
    }

    fn named(name: String, depth: usize) -> Result<Rc<Self>> {
        let (relation, spec) = targets::lookup(&name)?;
        let Spec::Rows(spec) = spec else {
            return Err(OnceError::WrongKind { name, is: spec.kind().into(), must: "rows".into() });
        };
        let table = targets::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let target = Self::fit(name, table, spec, depth)?;
        targets::require_vouched(&target.name, &target.tables().iter().map(|(_, oid)| *oid).collect::<Vec<_>>())?;
        Ok(Rc::new(target))
    }

    /// The table, and those of its links.
    pub fn tables(&self) -> Vec<(Relation, Oid)> {
        let links = self.links.iter().map(|link| (link.table.relation.clone(), link.oid));
        std::iter::once((self.table.relation.clone(), self.oid)).chain(links).collect()
    }

    /// Checks that the tables have what the spec names.
    pub fn new(name: String, table: Table, spec: RowsSpec) -> Result<Self> {
        Self::fit(name, table, spec, 0)
    }

    fn fit(name: String, table: Table, spec: RowsSpec, depth: usize) -> Result<Self> {
        if !table.is_table {
            return Err(OnceError::NotATable { relation: table.relation });
        }
        let bad_spec = |error| OnceError::BadSpec { target: name.clone(), error };
        if depth > DEEPEST {
            let remedy = "Let a target refer to none that refers to it.";
            return Err(bad_spec(wrong("references", "references go round in a circle", remedy)));
        }
        if let Some(column) = table.columns.iter().find(|column| column.name.starts_with(statements::OWN)) {
            let must = format!("must not begin with \"{}\", as columns of pg_once's own do", statements::OWN);
            let statement = format!("ALTER TABLE {} RENAME COLUMN {} TO …;", table.relation, quote(&column.name));
            return Err(targets::wrong_column(&table, column, must, statement));
        }
        require_columns(&table, &spec)?;
        require_timezone(&spec).map_err(|error| error.unwrap_or_else(bad_spec))?;
        require_merges(&table, &spec).map_err(|(name, must)| wrong_merge(&table, &name, must))?;
        let keys = keys(&table, &spec)?;
        let merge = |column: &Column| spec.merge_of(&column.name).clone();
        let mut columns: Vec<statements::Column> =
            table.columns.iter().enumerate().map(|(place, column)| stated(place, column, merge(column))).collect();
        for (name, normalize) in &spec.normalize {
            let followed = columns.iter().find(|column| column.name == *name).cloned().map(Box::new);
            for kept in normalize.raw.iter().chain(&normalize.version).filter(|kept| !spec.merge.contains_key(*kept)) {
                if let Some(column) = columns.iter_mut().find(|column| column.name == *kept) {
                    column.follows = followed.clone();
                }
            }
        }
        let identity = identity(&table, &spec)?;
        let stated = statements::Table {
            relation: table.relation.clone(),
            identity: columns.iter().filter(|column| identity.contains(&column.name)).cloned().collect(),
            keys,
            tracked: spec.tracked().into_iter().map(String::from).collect(),
            job_column: spec.job_column.clone(),
            protect: spec.protect.clone(),
            columns,
        };
        let fields = fields(&table, &spec)?;
        let mended = targets::has_before_insert_trigger(&table)?;
        let checks = if mended { Vec::new() } else { checks(&table, &spec)? };
        let mut references = Vec::new();
        for (column, reference) in &spec.references {
            references.push(refer(&name, &fields, &spec, column, reference, depth)?);
        }
        let links = spec.links.iter().map(|link| link_table(&table, &stated, link)).collect::<Result<_>>()?;
        Ok(Self {
            oid: table.oid,
            columns: table.columns,
            table: stated,
            fields,
            references,
            links,
            name,
            spec,
            checks,
        })
    }

    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.column.name == name)
    }

    /// What becomes of a tracked value: what names a record, and whose it is, stays.
    fn tracked_merge(&self, name: &str) -> Merge {
        if self.is_fixed(name) { Merge::Keep } else { self.spec.merge_of(name).clone() }
    }

    /// Whether a record keeps its value in this column for good.
    pub fn is_fixed(&self, name: &str) -> bool {
        self.table.identity.iter().any(|column| column.name == name) || self.spec.scope.as_deref() == Some(name)
    }

    /// What rows call what fills a column.
    pub fn source_of(&self, field: usize) -> String {
        let reference = self.references.iter().find(|reference| reference.field == field);
        let by = reference
            .map(|reference| reference.by.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" and "));
        by.unwrap_or_else(|| self.fields[field].column.name.clone())
    }

    pub fn column_is_integer(&self, name: &str) -> bool {
        self.field(name).is_some_and(|field| matches!(self.fields[field].kind, Kind::Integer { .. }))
    }

    /// What a plan must know.
    pub fn shape(&self, on_match: OnMatch) -> plan::Shape {
        let place = |name: &str| self.table.tracked.iter().position(|tracked| tracked == name).unwrap_or(0);
        let key = |key: &Key| plan::Key {
            columns: key.columns.iter().map(|(column, _)| place(&column.name)).collect(),
            null_counts: key.columns.iter().map(|(_, null_counts)| *null_counts).collect(),
        };
        plan::Shape {
            keys: self.table.keys.iter().map(key).collect(),
            confirm: self.spec.confirm.iter().map(|name| place(name)).collect(),
            merges: self.table.tracked.iter().map(|name| self.tracked_merge(name)).collect(),
            on_match,
        }
    }

    /// Whether a record found by a key may have other tracked values than the row.
    pub fn is_many_keyed(&self) -> bool {
        self.table.keys.len() > 1 || !self.spec.confirm.is_empty()
    }

    /// # Errors
    /// `42501` where the caller can't read and write the tables as an import does.
    pub fn require_rights(&self, dry_run: bool) -> Result<()> {
        let hint = rights::ask_for_access(&self.name)?;
        let write: &[&str] = match (dry_run, self.spec.on_match) {
            (true, _) => &["SELECT"],
            (_, OnMatch::Skip) => &["SELECT", "INSERT"],
            (_, OnMatch::Update) => &["SELECT", "INSERT", "UPDATE"],
        };
        for (at, (relation, oid)) in self.tables().iter().enumerate() {
            rights::require_schema(relation, &hint)?;
            rights::require(relation, *oid, if at == 0 || dry_run { write } else { &["SELECT", "INSERT"] }, &hint)?;
        }
        for reference in &self.references {
            let creates = reference.missing == Missing::Create && !dry_run;
            let (relation, oid) = (&reference.target.table.relation, reference.target.oid);
            let privileges: &[&str] = if creates { &["SELECT", "INSERT"] } else { &["SELECT"] };
            let hint = rights::ask_for_access(&reference.target.name)?;
            rights::require_schema(relation, &hint)?;
            rights::require(relation, oid, privileges, &hint)?;
        }
        Ok(())
    }
}

impl Field {
    /// The column as one of a store.
    pub fn stored(&self) -> store::Column {
        stored(&self.column, &self.column.name)
    }
}

/// A column of a table as one of a store, under this name.
pub fn stored(column: &Column, name: &str) -> store::Column {
    store::Column { name: name.into(), oid: column.oid, modifier: column.modifier, collation: column.collation_oid }
}

fn require_columns(table: &Table, spec: &RowsSpec) -> Result<()> {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    wanted.extend(spec.scope.iter().map(|name| targets::missing_scope(name, "uuid")));
    let named = spec.keys.iter().flatten().chain(&spec.confirm).chain(spec.normalize.keys()).chain(&spec.required);
    let named = named.chain(spec.merge.keys().filter(|name| *name != "*")).chain(spec.columns.iter().flatten());
    let kept = spec.normalize.values().flat_map(|normalize| normalize.raw.iter().chain(&normalize.version));
    wanted.extend(named.chain(kept).map(|name| (name.as_str(), "text".to_string())));
    let clocks =
        spec.merge.values().filter_map(|merge| if let Merge::Newest(clock) = merge { Some(clock) } else { None });
    wanted.extend(clocks.map(|name| (name.as_str(), "timestamptz".to_string())));
    wanted.extend(spec.references.keys().map(|name| (name.as_str(), "bigint".to_string())));
    wanted.extend(spec.job_column.iter().map(|name| (name.as_str(), "uuid".to_string())));
    wanted.extend(spec.protect.iter().map(|name| (name.as_str(), "boolean NOT NULL DEFAULT false".to_string())));
    let mut once: Vec<(&str, String)> = Vec::new();
    for (name, sql_type) in wanted {
        if !once.iter().any(|(there, _)| *there == name) {
            once.push((name, sql_type));
        }
    }
    targets::missing(table, &once)?;
    targets::require_plain_scope(table, spec.scope.as_ref())?;
    if let Some(name) = &spec.job_column {
        targets::require_type(table, name, pg_sys::UUIDOID, "uuid")?;
    }
    if let Some(name) = &spec.protect {
        targets::require_type(table, name, pg_sys::BOOLOID, "boolean")?;
    }
    let written: Vec<String> = once.iter().map(|(name, _)| name.to_string()).collect();
    targets::require_writable(table, &written, |_| {
        "Rows fill this column: leave it out of the spec, or let it be written to.".into()
    })?;
    for name in spec.tracked() {
        if let Some(column) = table.column(name).filter(|column| !column.deterministic) {
            let must = "must be of a deterministic collation, since it tells records from each other".to_string();
            let statement = format!(
                "ALTER TABLE {} ALTER COLUMN {} TYPE {} COLLATE \"C\";",
                table.relation,
                quote(name),
                column.sql_type
            );
            return Err(targets::wrong_column(table, column, must, statement));
        }
    }
    let texts = spec.normalize.keys().chain(spec.normalize.values().flat_map(|n| n.raw.iter().chain(&n.version)));
    if let Some(column) = texts.filter_map(|name| table.column(name)).find(|column| !column.is_text) {
        let statement = format!("ALTER TABLE {} ALTER COLUMN {} TYPE text;", table.relation, quote(&column.name));
        return Err(targets::wrong_column(table, column, "must be a text, since it is normalised".into(), statement));
    }
    Ok(())
}

fn require_timezone(
    spec: &RowsSpec,
) -> std::result::Result<(), std::result::Result<OnceError, once_core::spec::SpecError>> {
    let known = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)";
    if spec.timezone == "UTC" {
        return Ok(());
    }
    match spi::known_one(known, &[spec.timezone.as_str().into()], |row| row.need::<bool>(1)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Err(wrong(
            "timezone",
            format!("there is no time zone \"{}\"", spec.timezone),
            "Name one of pg_timezone_names, as \"Asia/Kuala_Lumpur\".",
        ))),
        Err(error) => Err(Ok(error)),
    }
}

/// Types that have an order of their own in pg_catalog.
const ORDERED: [Oid; 15] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::NUMERICOID,
    pg_sys::FLOAT4OID,
    pg_sys::FLOAT8OID,
    pg_sys::DATEOID,
    pg_sys::TIMEOID,
    pg_sys::TIMESTAMPOID,
    pg_sys::TIMESTAMPTZOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::BPCHAROID,
    pg_sys::UUIDOID,
    pg_sys::BOOLOID,
];

/// That each column can be merged as the spec says; else which can't, and what it must be.
fn require_merges(table: &Table, spec: &RowsSpec) -> std::result::Result<(), (String, &'static str)> {
    for (name, merge) in &spec.merge {
        let Some(column) = table.column(name) else { continue };
        let (fits, must) = match merge {
            Merge::Union => {
                let ordered = column.element.is_some_and(|element| ORDERED.contains(&element));
                (
                    ordered || column.base == pg_sys::JSONBOID,
                    "must be jsonb or an array of values that have an order, to be a union",
                )
            }
            Merge::Greatest | Merge::Least => (ORDERED.contains(&column.base), "has no order to be merged by"),
            Merge::Newest(clock) => {
                let clock = table.column(clock).filter(|clock| !ORDERED[..10].contains(&clock.base));
                if let Some(clock) = clock {
                    return Err((clock.name.clone(), "must be a time or a number, since it says which value is newer"));
                }
                (true, "")
            }
            _ => (true, ""),
        };
        if !fits {
            return Err((name.clone(), must));
        }
    }
    Ok(())
}

fn wrong_merge(table: &Table, name: &str, must: &str) -> OnceError {
    match table.column(name) {
        Some(column) => {
            targets::wrong_column(table, column, must.into(), "Give it another policy in \"merge\".".into())
        }
        None => OnceError::Internal(format!("column {name} is gone")),
    }
}

fn checks(table: &Table, spec: &RowsSpec) -> Result<Vec<Rule>> {
    let worded = |rule: Rule| Rule {
        reason: format!("new row for relation {} {}", quote(&table.relation.name), rule.reason),
        ..rule
    };
    let mut checks: Vec<Rule> = targets::check_constraints(table)?.into_iter().map(worded).collect();
    let keys: Vec<Vec<String>> = spec.keys.iter().map(|key| spec.index_of(key)).collect();
    checks.extend(targets::other_constraints(table, &keys)?);
    Ok(checks)
}

fn keys(table: &Table, spec: &RowsSpec) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for key in &spec.keys {
        let indexed = spec.index_of(key);
        let no_index = || targets::no_unique_index(&table.relation, &indexed, "CONCURRENTLY ");
        let index = targets::unique_index(table.oid, &indexed)?.ok_or_else(no_index)?;
        let mut equality = targets::equality(table, &indexed)?.ok_or_else(no_index)?;
        let nulls = targets::nulls_are_equal(index)?;
        equality.sort_by_key(|column| indexed.iter().position(|name| *name == column.name));
        let may_be_null = |name: &str| nulls && table.column(name).is_some_and(|column| !column.not_null);
        let columns = equality.into_iter().map(|column| {
            let null_counts = may_be_null(&column.name);
            (column, null_counts)
        });
        keys.push(Key { columns: columns.collect() });
    }
    Ok(keys)
}

/// What names a record for good: its primary key, or else a key that can't be NULL.
pub fn identity(table: &Table, spec: &RowsSpec) -> Result<Vec<String>> {
    let primary = targets::primary_key(table)?;
    if !primary.is_empty() {
        return Ok(primary);
    }
    let not_null = |name: &String| table.column(name).is_some_and(|column| column.not_null);
    let whole = spec.keys.iter().map(|key| spec.index_of(key)).find(|key| key.iter().all(not_null));
    whole.ok_or_else(|| OnceError::NoUniqueIndex {
        relation: table.relation.clone(),
        columns: "a primary key".into(),
        statement: format!(
            "ALTER TABLE {} ADD COLUMN id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY;",
            table.relation
        ),
    })
}

fn stated(place: usize, column: &Column, merge: Merge) -> statements::Column {
    let form = match column.base {
        pg_sys::NUMERICOID => Form::Numeric,
        pg_sys::FLOAT4OID | pg_sys::FLOAT8OID => Form::Float,
        pg_sys::JSONBOID | pg_sys::JSONOID => Form::Json,
        _ if column.element.is_some() => Form::Array,
        _ if column.is_text && column.base_type.ends_with("citext") => Form::Caseless,
        _ => Form::Plain,
    };
    statements::Column {
        name: column.name.clone(),
        place,
        sql_type: column.sql_type.clone(),
        form,
        is_plain: ORDERED.contains(&column.base) && column.deterministic || column.base == pg_sys::JSONBOID,
        default: column.default.clone(),
        merge,
        follows: None,
    }
}

/// Columns of a table as statements speak of them, whatever becomes of their values.
pub fn statement_columns<'c>(columns: impl Iterator<Item = &'c Column>) -> Vec<statements::Column> {
    columns.enumerate().map(|(place, column)| stated(place, column, Merge::Keep)).collect()
}

fn fields(table: &Table, spec: &RowsSpec) -> Result<Vec<Field>> {
    let kept: Vec<&String> = spec.normalize.values().flat_map(|n| n.raw.iter().chain(&n.version)).collect();
    let open = |name: &String| {
        let own = spec.job_column.as_ref() == Some(name) || spec.protect.as_ref() == Some(name) || kept.contains(&name);
        let named = spec.columns.as_ref().is_none_or(|columns| columns.contains(name))
            || spec.tracked().contains(&name.as_str());
        (named && !own) || kept.contains(&name)
    };
    let filled = targets::has_before_insert_trigger(table)?;
    let fillable = table.columns.iter().filter(|column| !column.generated_always && open(&column.name));
    let field = |column: &Column| Field {
        kind: kind(column),
        normalize: spec.normalize.get(&column.name).cloned(),
        required: spec.required.contains(&column.name) || spec.scope.as_ref() == Some(&column.name),
        needed: column.not_null && !column.filled_by_itself && !filled,
        not_null: column.not_null,
        column: column.clone(),
    };
    Ok(fillable.map(field).collect())
}

/// What a column can hold.
pub fn kind(column: &Column) -> Kind {
    let digits = usize::try_from(column.modifier).unwrap_or(6);
    let kind = match column.element {
        Some(element) => Kind::Array { of: Box::new(base_kind(element, column.modifier, digits)) },
        None => base_kind(column.base, column.modifier, digits),
    };
    // What a domain checks only it knows.
    if column.oid == column.base { kind } else { Kind::Domain { over: Box::new(kind) } }
}

fn base_kind(base: Oid, modifier: i32, digits: usize) -> Kind {
    let most = usize::try_from(modifier - 4).ok();
    match base {
        pg_sys::TEXTOID => Kind::Text { most: None },
        pg_sys::VARCHAROID | pg_sys::BPCHAROID => Kind::Text { most },
        pg_sys::BOOLOID => Kind::Boolean,
        pg_sys::INT2OID => Kind::Integer { least: i16::MIN.into(), most: i16::MAX.into() },
        pg_sys::INT4OID => Kind::Integer { least: i32::MIN.into(), most: i32::MAX.into() },
        pg_sys::INT8OID => Kind::Integer { least: i64::MIN, most: i64::MAX },
        // numeric.h: precision in the high half, scale in the low 11 bits (signed from 15 on), of typmod - VARHDRSZ.
        pg_sys::NUMERICOID => {
            let declared = i64::from(modifier) - 4;
            let scale = ((declared & 0x7ff) ^ 1024) - 1024;
            Kind::Numeric { fits: (modifier >= 0).then_some(((declared >> 16) & 0xffff, scale)) }
        }
        pg_sys::FLOAT4OID => Kind::Float { single: true },
        pg_sys::FLOAT8OID => Kind::Float { single: false },
        pg_sys::DATEOID => Kind::Date,
        pg_sys::TIMEOID => Kind::Time { digits },
        pg_sys::TIMESTAMPOID => Kind::Timestamp { digits },
        pg_sys::TIMESTAMPTZOID => Kind::TimestampTz { digits },
        pg_sys::UUIDOID => Kind::Uuid,
        pg_sys::JSONBOID | pg_sys::JSONOID => Kind::Json,
        _ => Kind::Other,
    }
}

/// Whether equal values of a column are equal texts as they are read.
pub fn is_canonical(field: &Field) -> bool {
    field.kind.is_canonical() && field.column.base != pg_sys::BPCHAROID
}

fn refer(
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
    let target = Target::named(reference.target.clone(), depth + 1)?;
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

fn link_table(table: &Table, stated_table: &statements::Table, link: &once_core::spec::Link) -> Result<LinkTable> {
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
            job_column: None,
            protect: None,
            relation,
        },
    })
}
