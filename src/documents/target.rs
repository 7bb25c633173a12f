//! A target of documents: its tables, looked at, and what a session keeps of them.

use crate::backend::{Glance, Registration};
use crate::error::{OnceError, Result};
use crate::targets::{self, Table};
use crate::{rights, spi};
use once_core::document::statements::{Commits, Documents, Typed};
use once_core::ident::{Relation, quote, quote_list};
use once_core::key::KeyColumn;
use once_core::spec::{DocumentSpec, Spec};
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A target whose tables are there and fit its spec. Their unique keys may be missing: see `require_keys`.
pub struct Target {
    pub name: String,
    pub statements: Documents,
    /// `statements.insert()` and `statements.find(…)`, as every import runs them.
    pub insert: String,
    find: [String; 4],
    /// Documents; then drafts and records, if there are any.
    relations: Vec<Relation>,
    oid: Oid,
    has_key: bool,
    commits: Option<Parsed>,
}

/// The tables that are written from what was parsed.
struct Parsed {
    statements: Commits,
    drafts: Oid,
    records: Oid,
}

/// What a call is about to do with a target's tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Read,
    Import,
    ReadRecords,
    Commit,
}

impl Purpose {
    /// How many of documents, drafts and records it touches.
    fn tables(self) -> usize {
        if matches!(self, Self::Read | Self::Import) { 1 } else { 3 }
    }

    /// Whether it inserts into the table with this number.
    fn inserts_into(self, table: usize) -> bool {
        matches!((self, table), (Self::Import, 0) | (Self::Commit, 2))
    }
}

/// A target as the session has looked at it, with the identity and the shape that its tables had then.
#[derive(Clone)]
struct Opened {
    version: (Oid, u32, u64),
    tables: Vec<(Oid, u64)>,
    target: Rc<Target>,
}

/// How many pages a plan would rather read whole than by an index, and some more.
const FEW_BLOCKS: u32 = 32;

thread_local! {
    /// Targets as the session has opened them. What may change who writes where is asked anew by every call.
    static OPENED: RefCell<HashMap<String, Opened>> = RefCell::default();
}

impl Target {
    /// The target registered under `name`, with the caller's right to do with it what he is about to; and whether the table
    /// has grown beyond the few pages that a plan would rather read whole: a plan that the session keeps must know.
    ///
    /// # Errors
    /// `22004` for NULL, `42704` where there is none, `42809` where it takes no documents, `55000` where records are wanted
    /// and it has none, `42501` where the caller lacks a privilege or whoever registered it does not own its tables any
    /// more, `42P10` where a table has no unique key, and whatever else does not fit between the spec and the tables.
    pub fn open(name: Option<String>, purpose: Purpose) -> Result<(Rc<Self>, bool)> {
        let name = name.ok_or(OnceError::NullArgument { name: "target".into() })?;
        let Some(registered) = Registration::of(&spi::own("targets")?, &name) else {
            return Err(OnceError::UnknownTarget { name });
        };
        let kept = OPENED.with_borrow(|opened| opened.get(&name).cloned());
        let kept = kept.filter(|kept| kept.version == registered.version);
        let seen = kept.map(|kept| (glances(&kept.target.relations, purpose), kept));
        let (target, glances) = match seen {
            Some((Some(glances), kept)) if glances.iter().zip(&kept.tables).all(|(now, then)| now.is(*then)) => {
                (kept.target, glances)
            }
            _ => Self::look(&name, &registered, purpose)?,
        };
        if purpose.tables() > 1 {
            target.commits()?;
        }
        if !glances.iter().all(|glance| glance.is_owned_by(&registered.registered_by)) {
            return Err(OnceError::OwnerChanged { target: name, registered_by: registered.registered_by });
        }
        for (number, (glance, relation)) in glances.iter().zip(&target.relations).enumerate() {
            let inserts = purpose.inserts_into(number);
            if !glance.is_open(inserts) {
                let privileges: &[&str] = if inserts { &["SELECT", "INSERT"] } else { &["SELECT"] };
                let hint = rights::ask_for_access(&name)?;
                rights::require_schema(relation, &hint)?;
                rights::require(relation, glance.oid, privileges, &hint)?;
            }
        }
        if purpose == Purpose::Commit {
            target.require_record_keys()?;
        }
        let grown = glances.first().is_some_and(|glance| glance.blocks > FEW_BLOCKS);
        Ok((target, grown))
    }

    /// The target as the registry and the catalog have it, to be kept by the session.
    fn look(name: &str, registered: &Registration, purpose: Purpose) -> Result<(Rc<Self>, Vec<Glance>)> {
        let (relation, spec) = targets::lookup(name)?;
        let Spec::Document(spec) = spec else {
            return Err(OnceError::WrongKind { name: name.into(), is: spec.kind().into(), must: "document".into() });
        };
        // Locked before they are looked at, all of them: what is kept must be of what was seen.
        let relations = relations(&relation, &spec);
        let mut tables = Vec::new();
        let mut found = Vec::new();
        for (number, relation) in relations.iter().enumerate() {
            let glance = Glance::at(relation, purpose.inserts_into(number))
                .ok_or_else(|| OnceError::RelationGone { relation: relation.clone() })?;
            tables.push((glance.oid, glance.shape));
            found.push(glance);
        }
        found.truncate(purpose.tables());
        let table = targets::find(&relation)?.ok_or(OnceError::RelationGone { relation })?;
        let target = Rc::new(Self::fit(name.into(), table, spec)?);
        target.require_document_key()?;
        let opened = Opened { version: registered.version, tables, target: target.clone() };
        OPENED.with_borrow_mut(|all| all.insert(name.into(), opened));
        Ok((target, found))
    }

    /// The statements that commit what was parsed.
    ///
    /// # Errors
    /// `55000` where the target has no records.
    pub fn commits(&self) -> Result<&Commits> {
        let parsed = self.commits.as_ref().ok_or_else(|| OnceError::NoRecords { target: self.name.clone() })?;
        Ok(&parsed.statements)
    }

    /// Whether row-level security may hide records from the caller.
    pub fn hides_records(&self) -> Result<bool> {
        self.commits.as_ref().map_or(Ok(false), |parsed| rights::row_security(parsed.records))
    }

    /// `statements.find(scope_known, grown)`.
    pub fn find(&self, scope_known: bool, grown: bool) -> &str {
        &self.find[usize::from(scope_known) | usize::from(grown) << 1]
    }

    /// All tables that the spec names.
    pub fn tables(&self) -> Vec<(Relation, Oid)> {
        let oids =
            std::iter::once(self.oid).chain(self.commits.iter().flat_map(|parsed| [parsed.drafts, parsed.records]));
        self.relations.iter().cloned().zip(oids).collect()
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
        for text in [&spec.content, &spec.normalizer_version, &spec.source, &spec.source_ref] {
            require_text(&table, text)?;
        }
        require_hash(&table, &spec.checksum)?;
        let columns = spec.columns();
        let written = columns.iter().filter(|name| ![&spec.id, &spec.received_at].contains(name));
        targets::require_writable(&table, written, |_| {
            "An import writes this column: name another one, or let it be written to.".into()
        })?;
        targets::require_type(&table, &spec.tags, pg_sys::TEXTARRAYOID, "text[]")?;
        require_filled_by_itself(&table, &spec.id)?;
        targets::require_plain_scope(&table, spec.scope.as_ref())?;
        let scope_column = spec.scope.as_ref().and_then(|name| table.column(name));
        let mut statements = Documents {
            key_is_whole: false,
            scope_may_be_null: scope_column.is_some_and(|column| !column.not_null),
            scope: spec.scope.as_ref().and_then(|name| typed(&table, name)),
            received_at_is_instant: table.column(&spec.received_at).is_some_and(|c| c.base == pg_sys::TIMESTAMPTZOID),
            relation: table.relation.clone(),
            spec,
        };
        let key = targets::key_index(
            table.oid,
            &statements.spec.key(),
            Some(&statements.spec.tags),
            statements.scope_may_be_null,
        )?;
        if let Some(index) = key {
            statements.key_is_whole = !targets::is_partial(index)?;
        }
        let commits = Parsed::fit(&statements, &table)?;
        let relations = relations(&statements.relation, &statements.spec);
        let find = [0, 1, 2, 3].map(|which| statements.find(which & 1 != 0, which & 2 != 0));
        Ok(Self {
            name,
            insert: statements.insert(),
            find,
            relations,
            statements,
            oid: table.oid,
            has_key: key.is_some(),
            commits,
        })
    }

    /// # Errors
    /// `42P10` where a table lacks a unique key that the target stands on.
    pub fn require_keys(&self) -> Result<()> {
        self.require_document_key()?;
        self.require_record_keys()
    }

    fn require_document_key(&self) -> Result<()> {
        let relation = &self.statements.relation;
        if self.has_key {
            return Ok(());
        }
        Err(OnceError::NoDocumentKey {
            relation: relation.clone(),
            columns: quote_list(&self.statements.spec.key()),
            adopt: format!("SELECT {}({}, dry_run => false);", spi::own("adopt_imports")?, regclass_literal(relation)),
            statement: format!("{};", self.statements.spec.unique_index(relation)),
        })
    }

    fn require_record_keys(&self) -> Result<()> {
        let Some(Parsed { statements, records, .. }) = &self.commits else { return Ok(()) };
        for key in self.statements.spec.record_keys(&statements.records) {
            if targets::unique_index(*records, &key)?.is_none() {
                return Err(targets::no_unique_index(&statements.records_relation(), &key, ""));
            }
        }
        Ok(())
    }
}

impl Glance {
    /// Whether the table is the one that it was, in the shape that it had.
    fn is(&self, (oid, shape): (Oid, u64)) -> bool {
        (self.oid, self.shape) == (oid, shape)
    }
}

impl Parsed {
    fn fit(documents: &Documents, table: &Table) -> Result<Option<Self>> {
        let (Some(drafts), Some(records)) = (&documents.spec.drafts, &documents.spec.records) else { return Ok(None) };
        let beside = |name: &str| {
            let relation = documents.relation.beside(name);
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
        require_hash(&records_table, &records.content_hash)?;
        require_filled_by_itself(&records_table, &records.id)?;
        if let Some(scope) = documents.spec.scope.as_ref().and_then(|name| table.column(name)) {
            targets::require_type(&records_table, &scope.name, scope.base, &scope.sql_type)?;
        }
        let Some(draft_id) = draft_id else { return Ok(None) };
        let fields = records.fields.keys().filter_map(|name| typed(&records_table, name)).collect();
        let (drafts, records) = (drafts.clone(), records.clone());
        let [key, _] = documents.spec.record_keys(&records);
        let key = targets::equality(&records_table, &key)?
            .unwrap_or_else(|| key.iter().map(|name| KeyColumn::plain(name)).collect());
        let statements = Commits { documents: documents.clone(), drafts, draft_id, records, fields, key };
        Ok(Some(Self { statements, drafts: drafts_table.oid, records: records_table.oid }))
    }
}

/// The tables that a spec names: documents; then drafts and records, if there are any.
fn relations(documents: &Relation, spec: &DocumentSpec) -> Vec<Relation> {
    let others = spec.drafts.iter().map(|d| &d.table).chain(spec.records.iter().map(|r| &r.table));
    std::iter::once(documents.clone()).chain(others.map(|table| documents.beside(table))).collect()
}

/// The tables that a call touches, as they are now; `None` where one of them is gone.
fn glances(relations: &[Relation], purpose: Purpose) -> Option<Vec<Glance>> {
    let touched = relations.iter().take(purpose.tables()).enumerate();
    touched.map(|(number, relation)| Glance::at(relation, purpose.inserts_into(number))).collect()
}

fn typed(table: &Table, name: &str) -> Option<Typed> {
    table.column(name).map(|column| Typed {
        name: name.into(),
        sql_type: column.base_type.clone(),
        stored_type: column.sql_type.clone(),
    })
}

pub(super) fn require_text(table: &Table, name: &str) -> Result<()> {
    match table.column(name) {
        Some(column) if column.base == pg_sys::VARCHAROID => Ok(()),
        _ => targets::require_type(table, name, pg_sys::TEXTOID, "text"),
    }
}

/// That a column can hold 64 hex digits.
pub(super) fn require_hash(table: &Table, name: &str) -> Result<()> {
    require_text(table, name)?;
    match table.column(name) {
        // The length of a varchar(n), which stands with the four bytes of its header: varchar.h.
        Some(column) if (0..64 + 4).contains(&column.modifier) => {
            let statement = format!("ALTER TABLE {} ALTER COLUMN {} TYPE text;", table.relation, quote(name));
            Err(targets::wrong_column(table, column, "must hold 64 characters".into(), statement))
        }
        _ => Ok(()),
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
