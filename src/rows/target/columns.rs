//! The columns of a target's table: what they must be, what they can hold, and how statements speak of them.

use crate::backend::store;
use crate::error::{OnceError, Result};
use crate::targets::{self, Column, Table};
use once_core::ident::quote;
use once_core::rows::statements::{self, Form};
use once_core::rows::value::Kind;
use once_core::spec::{Merge, Normalize, RowsSpec, SpecError, wrong};
use pgrx::pg_sys::{self, Oid};

/// A column that rows may fill.
pub struct Field {
    pub column: Column,
    /// What rows call it: the column's own name first. None where no field of a row fills it by a name.
    pub names: Vec<String>,
    pub kind: Kind,
    pub normalize: Option<Normalize>,
    /// Whether a row without it is rejected.
    pub required: bool,
    /// Whether a new record can't do without it.
    pub needed: bool,
    pub not_null: bool,
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

pub(super) fn require_columns(table: &Table, spec: &RowsSpec) -> Result<()> {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    wanted.extend(spec.scope.iter().map(|name| targets::missing_scope(name, "uuid")));
    let named = spec.keys.iter().flatten().chain(&spec.confirm).chain(spec.normalize.keys()).chain(&spec.required);
    let named = named.chain(spec.merge.keys().filter(|name| *name != "*")).chain(spec.columns.iter().flatten());
    let kept = spec.normalize.values().flat_map(|normalize| normalize.raw.iter().chain(&normalize.version));
    let named = named.chain(spec.fields.keys());
    wanted.extend(spec.rest.iter().map(|name| (name.as_str(), "jsonb".to_string())));
    wanted.extend(named.chain(kept).map(|name| (name.as_str(), "text".to_string())));
    let clocks =
        spec.merge.values().filter_map(|merge| if let Merge::Newest(clock) = merge { Some(clock) } else { None });
    wanted.extend(clocks.map(|name| (name.as_str(), "timestamptz".to_string())));
    wanted.extend(spec.references.keys().map(|name| (name.as_str(), "bigint".to_string())));
    wanted.extend(spec.job_column.iter().map(|name| (name.as_str(), "uuid".to_string())));
    wanted.extend(spec.derived.iter().map(|name| (name.as_str(), "text".to_string())));
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
    if let Some(name) = &spec.rest {
        targets::require_type(table, name, pg_sys::JSONBOID, "jsonb")?;
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
pub(super) fn require_merges(table: &Table, spec: &RowsSpec) -> std::result::Result<(), (String, &'static str)> {
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

pub(super) fn wrong_merge(table: &Table, name: &str, must: &str) -> OnceError {
    match table.column(name) {
        Some(column) => {
            targets::wrong_column(table, column, must.into(), "Give it another policy in \"merge\".".into())
        }
        None => OnceError::Internal(format!("column {name} is gone")),
    }
}

pub(super) fn stated(place: usize, column: &Column, merge: Merge) -> statements::Column {
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

pub(super) fn fields(table: &Table, spec: &RowsSpec) -> Result<Vec<Field>> {
    let kept: Vec<&String> = spec.normalize.values().flat_map(|n| n.raw.iter().chain(&n.version)).collect();
    let open = |name: &String| {
        let set = spec.job_column.iter().chain(&spec.protect).chain(&spec.derived);
        let own = set.chain(kept.iter().copied()).any(|own| own == name);
        let named = spec.columns.as_ref().is_none_or(|columns| columns.contains(name))
            || spec.tracked().contains(&name.as_str())
            || spec.rest.as_ref() == Some(name);
        (named && !own) || kept.contains(&name)
    };
    let filled = targets::has_before_insert_trigger(table)?;
    let fillable = table.columns.iter().filter(|column| !column.generated_always && open(&column.name));
    let names = |column: &Column| {
        let name = &column.name;
        let listed = spec.columns.as_ref().map_or(!column.is_identity, |columns| columns.contains(name));
        // Columns of keys are always taken, unless a reference fills them.
        let keyed = spec.tracked().contains(&name.as_str()) && !spec.references.contains_key(name);
        let taken = !kept.contains(&name) && spec.rest.as_ref() != Some(name) && (listed || keyed);
        let others = spec.fields.get(name).into_iter().flatten();
        if taken { std::iter::once(name).chain(others).cloned().collect() } else { Vec::new() }
    };
    let field = |column: &Column| Field {
        names: names(column),
        kind: kind(column),
        normalize: spec.normalize.get(&column.name).cloned(),
        required: spec.required.contains(&column.name) || spec.scope.as_ref() == Some(&column.name),
        needed: column.not_null && !column.filled_by_itself && !filled,
        not_null: column.not_null,
        column: column.clone(),
    };
    Ok(fillable.map(field).collect())
}

/// That the names which the spec gives columns are of columns that rows fill, and of no others.
pub(super) fn require_names(fields: &[Field], spec: &RowsSpec) -> std::result::Result<(), SpecError> {
    let filled = |name: &str| fields.iter().any(|field| field.names.first().is_some_and(|own| own == name));
    for (column, names) in &spec.fields {
        if !filled(column) {
            let problem = format!("no field of a row fills column \"{column}\"");
            return Err(wrong(
                "fields",
                problem,
                "Name a column that rows fill; where there is \"columns\", there too.",
            ));
        }
        if let Some(name) = names.iter().find(|name| filled(name)) {
            let problem = format!("\"{name}\" is a column of the table, which the field of that name fills");
            let remedy =
                format!("Leave \"{name}\" out of \"fields\", or name in \"columns\" what rows fill, without it.");
            return Err(wrong("fields", problem, remedy));
        }
    }
    Ok(())
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
