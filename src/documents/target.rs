//! A target of documents: its tables, looked at, and what a session keeps of them.

use crate::backend::{self, Glance};
use crate::error::{OnceError, Result};
use crate::targets::{self, Table};
use crate::{rights, spi};
use once_core::document::statements::{Commits, Documents, Typed};
use once_core::ident::{Relation, quote, quote_list};
use once_core::spec::{DocumentSpec, Spec};
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A target whose tables are there and fit its spec. Their unique keys may be missing: see `require_keys`.
pub struct Target {
    pub name: String,
    pub statements: Documents,
    /// `statements.insert()`, as every import runs it.
    pub insert: String,
    oid: Oid,
    commits: Option<Parsed>,
}

/// The tables that are written from what was parsed.
struct Parsed {
    statements: Commits,
    drafts: Oid,
    records: Oid,
}

/// What the registry says of a target.
struct Registered {
    /// Changes with every registration.
    version: String,
    relation: Relation,
    by: String,
}

/// How many pages a plan would rather read whole than by an index, and some more.
const FEW_BLOCKS: u32 = 32;

thread_local! {
    /// Targets as the session has opened them. What may change who writes where is asked anew by every call.
    static OPENED: RefCell<HashMap<String, (String, Rc<Target>)>> = RefCell::default();
}

impl Target {
    /// The target registered under `name`, with the caller's right to use its table; and whether the table has grown
    /// beyond the few pages that a plan would rather read whole: a plan that the session keeps must know.
    ///
    /// # Errors
    /// `22004` for NULL, `42704` where there is none, `42809` where it takes no documents, `42501` where the caller lacks
    /// a privilege or whoever registered it does not own its table any more, `42P10` where the table has no unique key,
    /// and whatever else does not fit between the spec and the table.
    pub fn open(name: Option<String>, privileges: &[&str]) -> Result<(Rc<Self>, bool)> {
        let name = name.ok_or(OnceError::NullArgument { name: "target".into() })?;
        let Some(registered) = registered(&name)? else { return Err(OnceError::UnknownTarget { name }) };
        let glance = Glance::at(&registered.relation);
        let kept = OPENED.with_borrow(|opened| {
            let oid = glance.as_ref().map(|glance| glance.oid);
            opened.get(&name).filter(|(version, it)| *version == registered.version && Some(it.oid) == oid).cloned()
        });
        let target = match kept {
            Some((_, target)) => target,
            None => Self::look(&name, registered.version)?,
        };
        let glance = glance.ok_or(OnceError::RelationGone { relation: registered.relation })?;
        if !glance.is_owned_by(&registered.by) {
            return Err(OnceError::OwnerChanged { target: name, registered_by: registered.by });
        }
        if !glance.is_open(privileges.contains(&"INSERT")) {
            rights::require(&target.statements.relation, target.oid, privileges, &rights::ask_for_access(&name)?)?;
        }
        Ok((target, glance.blocks > FEW_BLOCKS))
    }

    /// The target as the registry and the catalog have it, to be kept by the session.
    fn look(name: &str, version: String) -> Result<Rc<Self>> {
        let (relation, spec) = targets::lookup(name)?;
        let Spec::Document(spec) = spec else {
            return Err(OnceError::WrongKind { name: name.into(), is: spec.kind().into(), must: "document".into() });
        };
        let table = targets::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let target = Rc::new(Self::fit(name.into(), table, spec)?);
        target.require_document_key()?;
        OPENED.with_borrow_mut(|opened| opened.insert(name.into(), (version, target.clone())));
        Ok(target)
    }

    /// As `open`, for a target whose records are to be read or (`SELECT`, `INSERT`) written.
    ///
    /// # Errors
    /// `55000` where the target has no records; else as `open`.
    pub fn open_records(name: Option<String>, privileges: &[&str]) -> Result<Rc<Self>> {
        let (mut target, _) = Self::open(name.clone(), &["SELECT"])?;
        if !target.tables_are_there() {
            OPENED.with_borrow_mut(|opened| opened.remove(&target.name));
            (target, _) = Self::open(name, &["SELECT"])?;
        }
        let Some(parsed) = &target.commits else { return Err(OnceError::NoRecords { target: target.name.clone() }) };
        targets::require_vouched(&target.name, &[target.oid, parsed.drafts, parsed.records])?;
        let hint = rights::ask_for_access(&target.name)?;
        rights::require(&parsed.statements.drafts_relation(), parsed.drafts, &["SELECT"], &hint)?;
        rights::require(&parsed.statements.records_relation(), parsed.records, privileges, &hint)?;
        if privileges.contains(&"INSERT") {
            target.require_record_keys()?;
        }
        Ok(target)
    }

    /// The statements that commit what was parsed.
    ///
    /// # Errors
    /// `55000` where the target has no records.
    pub fn commits(&self) -> Result<&Commits> {
        let parsed = self.commits.as_ref().ok_or_else(|| OnceError::NoRecords { target: self.name.clone() })?;
        Ok(&parsed.statements)
    }

    /// Whether the tables that the session knows are still the ones with their names.
    fn tables_are_there(&self) -> bool {
        self.tables().iter().all(|(relation, oid)| backend::relation_oid(relation) == Some(*oid))
    }

    /// All tables that the spec names.
    pub fn tables(&self) -> Vec<(Relation, Oid)> {
        let mut tables = vec![(self.statements.relation.clone(), self.oid)];
        if let Some(Parsed { statements, drafts, records }) = &self.commits {
            tables.extend([(statements.drafts_relation(), *drafts), (statements.records_relation(), *records)]);
        }
        tables
    }

    /// Checks that the tables have the columns that the spec names.
    pub fn fit(name: String, table: Table, spec: DocumentSpec) -> Result<Self> {
        if !table.is_table {
            return Err(OnceError::NotATable { relation: table.relation });
        }
        let mut wanted: Vec<(&str, String)> = vec![
            (&spec.id, "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into()),
            (&spec.content, "text".into()),
            (&spec.checksum, r#"text COLLATE "C""#.into()),
            (&spec.normalizer_version, "text".into()),
            (&spec.source, "text".into()),
            (&spec.source_ref, "text".into()),
            (&spec.tags, "text[] NOT NULL DEFAULT '{}'".into()),
            (&spec.received_at, "timestamptz DEFAULT now()".into()),
        ];
        wanted.extend(spec.scope.iter().map(|name| (name.as_str(), "uuid".into())));
        targets::missing(&table, &wanted)?;
        for text in [&spec.content, &spec.checksum, &spec.normalizer_version, &spec.source, &spec.source_ref] {
            require_text(&table, text)?;
        }
        targets::require_type(&table, &spec.tags, pg_sys::TEXTARRAYOID, "text[]")?;
        require_filled_by_itself(&table, &spec.id)?;
        targets::require_plain_scope(&table, spec.scope.as_ref())?;
        let scope_column = spec.scope.as_ref().and_then(|name| table.column(name));
        let statements = Documents {
            scope_may_be_null: scope_column.is_some_and(|column| !column.not_null),
            scope: spec.scope.as_ref().and_then(|name| typed(&table, name)),
            received_at_is_instant: table.column(&spec.received_at).is_some_and(|c| c.base == pg_sys::TIMESTAMPTZOID),
            relation: table.relation.clone(),
            spec,
        };
        let commits = Parsed::fit(&statements, &table)?;
        Ok(Self { name, insert: statements.insert(), statements, oid: table.oid, commits })
    }

    /// # Errors
    /// `42P10` where a table lacks a unique key that the target stands on.
    pub fn require_keys(&self) -> Result<()> {
        self.require_document_key()?;
        self.require_record_keys()
    }

    fn require_document_key(&self) -> Result<()> {
        let Documents { relation, spec, .. } = &self.statements;
        let nulls = self.statements.scope_may_be_null;
        if targets::key_index(self.oid, &self.statements.key(), Some(&spec.tags), nulls)?.is_some() {
            return Ok(());
        }
        Err(OnceError::NoDocumentKey {
            relation: relation.clone(),
            columns: quote_list(&self.statements.key()),
            adopt: format!("SELECT {}({}, dry_run => false);", spi::own("adopt_imports")?, regclass_literal(relation)),
            statement: format!("{};", self.statements.unique_index()),
        })
    }

    fn require_record_keys(&self) -> Result<()> {
        let Some(Parsed { statements, records, .. }) = &self.commits else { return Ok(()) };
        for key in [statements.record_key(), statements.draft_key()] {
            if targets::unique_index(*records, &key)?.is_none() {
                return Err(targets::no_unique_index(&statements.records_relation(), &key, ""));
            }
        }
        Ok(())
    }
}

impl Parsed {
    fn fit(documents: &Documents, table: &Table) -> Result<Option<Self>> {
        let (Some(drafts), Some(records)) = (&documents.spec.drafts, &documents.spec.records) else { return Ok(None) };
        let beside = |name: &str| {
            let relation = Relation { schema: documents.relation.schema.clone(), name: name.into() };
            let found =
                targets::find(&relation)?.ok_or_else(|| OnceError::RelationGone { relation: relation.clone() })?;
            if found.is_table { Ok(found) } else { Err(OnceError::NotATable { relation }) }
        };
        let (drafts_table, records_table) = (beside(&drafts.table)?, beside(&records.table)?);
        let id_type = table.column(&documents.spec.id).map_or("uuid".into(), |c| c.sql_type.clone());
        targets::missing(
            &drafts_table,
            &[
                (&drafts.id, "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into()),
                (&drafts.document, format!("{id_type} REFERENCES {}", documents.relation)),
            ],
        )?;
        let draft_id = typed(&drafts_table, &drafts.id);
        let draft_type = draft_id.as_ref().map_or("uuid".into(), |id| id.sql_type.clone());
        let scope_type = documents.scope.as_ref().map_or("uuid".into(), |scope| scope.sql_type.clone());
        let mut wanted: Vec<(&str, String)> = vec![
            (&records.id, "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into()),
            (&records.document, format!("{id_type} REFERENCES {}", documents.relation)),
            (&records.draft, format!("{draft_type} REFERENCES {}", drafts_table.relation)),
            (&records.content_hash, r#"text COLLATE "C""#.into()),
            (&records.parsed, "jsonb".into()),
            (&records.created_at, "timestamptz DEFAULT now()".into()),
        ];
        wanted.extend(documents.spec.scope.iter().map(|name| (name.as_str(), scope_type.clone())));
        wanted.extend(records.fields.keys().map(|name| (name.as_str(), "text".into())));
        targets::missing(&records_table, &wanted)?;
        targets::require_type(&records_table, &records.parsed, pg_sys::JSONBOID, "jsonb")?;
        require_text(&records_table, &records.content_hash)?;
        require_filled_by_itself(&records_table, &records.id)?;
        if let Some(scope) = documents.spec.scope.as_ref().and_then(|name| table.column(name)) {
            targets::require_type(&records_table, &scope.name, scope.base, &scope.sql_type)?;
        }
        let Some(draft_id) = draft_id else { return Ok(None) };
        let fields = records.fields.keys().filter_map(|name| typed(&records_table, name)).collect();
        let (drafts, records) = (drafts.clone(), records.clone());
        let statements = Commits { documents: documents.clone(), drafts, draft_id, records, fields };
        Ok(Some(Self { statements, drafts: drafts_table.oid, records: records_table.oid }))
    }
}

fn registered(name: &str) -> Result<Option<Registered>> {
    let sql = format!(
        "SELECT t.tableoid::text || t.xmin::text || t.ctid::text, t.schema_name, t.table_name, t.registered_by FROM {} t WHERE t.name = $1",
        spi::own("targets")?
    );
    let found = spi::known(&sql, &[name.into()], |row| {
        let relation = Relation { schema: row.need(2)?, name: row.need(3)? };
        Ok(Registered { version: row.need(1)?, relation, by: row.need(4)? })
    })?;
    Ok(found.into_iter().next())
}

fn typed(table: &Table, name: &str) -> Option<Typed> {
    table.column(name).map(|column| Typed { name: name.into(), sql_type: column.base_type.clone() })
}

fn require_text(table: &Table, name: &str) -> Result<()> {
    match table.column(name) {
        Some(column) if column.base == pg_sys::VARCHAROID => Ok(()),
        _ => targets::require_type(table, name, pg_sys::TEXTOID, "text"),
    }
}

fn require_filled_by_itself(table: &Table, name: &str) -> Result<()> {
    match table.column(name) {
        Some(column) if !column.filled_by_itself => {
            let column_name = quote(name);
            let relation = &table.relation;
            let statement = format!("ALTER TABLE {relation} ALTER COLUMN {column_name} SET DEFAULT gen_random_uuid();");
            Err(targets::wrong_column(table, column, "must be assigned by the database".into(), statement))
        }
        _ => Ok(()),
    }
}

fn regclass_literal(relation: &Relation) -> String {
    format!("'{}'", relation.to_string().replace('\'', "''"))
}
