//! The tables to adopt: what they must have, what they lack and can be given.

use crate::documents::target;
use crate::error::{OnceError, Result};
use crate::targets::{self, Table};
use crate::{kits, rights, spi};
use once_core::document::adoption::{Adoption, Age, Present, Step};
use once_core::ident::{Relation, quote};
use once_core::spec::{DocumentSpec, Records, Spec};
use pgrx::pg_sys::{self, Oid};

pub struct Tables {
    pub documents: Table,
    pub spec: DocumentSpec,
    pub records: Option<(Table, Records)>,
}

/// A column that is to be added.
pub struct Column {
    pub shown: String,
    pub add: String,
}

impl Tables {
    /// # Errors
    /// `42809` for what is no table, `42501` where they are not the caller's, or not all of their rows.
    pub fn look(oid: Oid) -> Result<Self> {
        let documents = targets::describe(oid)?;
        if !documents.is_table {
            return Err(OnceError::NotATable { relation: documents.relation });
        }
        let spec = spec_of(&documents.relation)?;
        let records = match &spec.records {
            Some(records) => {
                let relation = documents.relation.beside(&records.table);
                targets::find(&relation)?.filter(|found| found.is_table).map(|found| (found, records.clone()))
            }
            None => None,
        };
        let tables = Self { documents, spec, records };
        for table in tables.each() {
            rights::require_owner(&table.relation, table.oid)?;
            require_all_rows(table)?;
        }
        Ok(tables)
    }

    fn each(&self) -> impl Iterator<Item = &Table> {
        std::iter::once(&self.documents).chain(self.records.iter().map(|(table, _)| table))
    }

    /// Has the tables for itself until the transaction ends, and gives them as they are then. From the start, for who reads
    /// in between and writes later would be a deadlock.
    ///
    /// # Errors
    /// `25001` where what commits meanwhile would not be seen.
    pub fn lock(self) -> Result<Self> {
        if spi::is_snapshot_kept()? {
            return Err(OnceError::OldSnapshot);
        }
        let names: Vec<String> = self.each().map(|table| table.relation.to_string()).collect();
        spi::script(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", ")))?;
        // With a transaction id, what follows is read afresh.
        spi::fresh_one("SELECT pg_current_xact_id()::text", &[], |row| row.need::<String>(1))?;
        for table in self.each() {
            targets::check_constraints_now(table.oid)?;
        }
        Self::look(self.documents.oid)
    }

    /// # Errors
    /// `42703`, `42804`, `42P10` where columns are missing that can't be added, of the wrong type, or not unique.
    pub fn require_fit(&self) -> Result<()> {
        let Self { documents, spec, .. } = self;
        let mut needed = vec![
            (spec.id.as_str(), "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into()),
            (&spec.content, "text".into()),
        ];
        needed.extend(spec.scope.iter().map(|scope| targets::missing_scope(scope, "uuid")));
        targets::missing(documents, &needed)?;
        targets::require_id(documents, &spec.id)?;
        target::require_text(documents, &spec.content)?;
        target::require_hash(documents, &spec.checksum)?;
        targets::require_type(documents, &spec.tags, pg_sys::TEXTARRAYOID, "text[]")?;
        if !documents.column(&spec.received_at).is_some_and(|column| TIMES.contains(&column.base)) {
            targets::require_type(documents, &spec.received_at, pg_sys::TIMESTAMPTZOID, "timestamptz")?;
        }
        require_writable(documents, &[&spec.checksum, &spec.normalizer_version, &spec.tags])?;
        if let Some((table, records)) = &self.records {
            targets::missing(table, &[(&records.id, "uuid PRIMARY KEY DEFAULT gen_random_uuid()".into())])?;
            targets::require_id(table, &records.id)?;
            target::require_hash(table, &records.content_hash)?;
            require_writable(table, &[&records.content_hash])?;
        }
        Ok(())
    }

    /// # Errors
    /// `42804` where records are to let go of their hash, and can't.
    pub fn require_nullable_hash(&self, let_go: &Step) -> Result<()> {
        let Some((table, records)) = &self.records else { return Ok(()) };
        let Some(column) = table.column(&records.content_hash).filter(|column| column.not_null) else { return Ok(()) };
        if spi::fresh_one(&format!("SELECT EXISTS ({})", let_go.ids), &[], |row| row.need::<bool>(1))? {
            let (relation, name) = (&table.relation, quote(&column.name));
            let statement = format!("ALTER TABLE {relation} ALTER COLUMN {name} DROP NOT NULL;");
            return Err(targets::wrong_column(
                table,
                column,
                "holds malformed checksums and must take NULL".into(),
                statement,
            ));
        }
        Ok(())
    }

    /// What tells which document is the older: when it was received, else when its row was made.
    pub fn ages(&self) -> Vec<Age> {
        let mut columns: Vec<_> = [self.spec.received_at.as_str(), "created_at"]
            .iter()
            .filter_map(|name| self.documents.column(name))
            .collect();
        columns.dedup_by_key(|column| &column.name);
        let times = columns.into_iter().filter(|column| TIMES.contains(&column.base));
        times
            .map(|column| Age { column: column.name.clone(), is_instant: column.base == pg_sys::TIMESTAMPTZOID })
            .collect()
    }

    /// What the tables lack and are given.
    pub fn missing_columns(&self) -> Vec<Column> {
        let Self { documents, spec, records } = self;
        let mut wanted = vec![
            (documents, &spec.checksum, r#"text COLLATE "C""#),
            (documents, &spec.normalizer_version, "text"),
            (documents, &spec.source, "text"),
            (documents, &spec.source_ref, "text"),
            (documents, &spec.tags, "text[] NOT NULL DEFAULT '{}'"),
            (documents, &spec.received_at, "timestamptz"),
        ];
        wanted.extend(records.iter().map(|(table, spec)| (table, &spec.content_hash, r#"text COLLATE "C""#)));
        let absent = wanted.into_iter().filter(|(table, name, _)| table.column(name).is_none());
        let add = |(table, name, sql_type): (&Table, &String, &str)| {
            let (relation, column) = (&table.relation, quote(name));
            let mut add = format!("ALTER TABLE {relation} ADD COLUMN {column} {sql_type}");
            if *name == spec.received_at {
                // True of rows to come, not of those that are there.
                add += &format!("; ALTER TABLE {relation} ALTER COLUMN {column} SET DEFAULT pg_catalog.now()");
            }
            let shown = if table.oid == documents.oid { name.clone() } else { format!("{}.{name}", relation.name) };
            Column { shown, add }
        };
        absent.map(add).collect()
    }

    pub fn adoption(&self, ages: Vec<Age>) -> Result<Adoption> {
        Ok(Adoption {
            documents: present(&self.documents, &self.spec.id),
            spec: self.spec.clone(),
            ages,
            checksum_of: spi::own("document_checksum")?,
            records: self.records.as_ref().map(|(table, spec)| (present(table, &spec.id), spec.clone())),
        })
    }
}

/// The types of a column that tells a row's age.
const TIMES: [Oid; 3] = [pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPOID, pg_sys::DATEOID];

/// The spec of the target on this table, or else the workouts kit's: whose records come from the table `imports` alone.
fn spec_of(relation: &Relation) -> Result<DocumentSpec> {
    let registered = spi::fresh(
        &format!(
            "SELECT name, spec::text FROM {} WHERE schema_name = $1 AND table_name = $2 AND spec ->> 'kind' = 'document' ORDER BY name",
            spi::own("targets")?
        ),
        &[relation.schema.as_str().into(), relation.name.as_str().into()],
        |row| Ok((row.need::<String>(1)?, row.need::<String>(2)?)),
    )?;
    let registered = registered.into_iter().next();
    let is_of_kit = registered.is_none() && relation.name != "imports";
    let (name, spec) = registered.unwrap_or_else(|| ("imports".into(), kits::workouts_spec()));
    match Spec::parse(&spec) {
        Ok(Spec::Document(spec)) if is_of_kit => Ok(DocumentSpec { drafts: None, records: None, ..spec }),
        Ok(Spec::Document(spec)) => Ok(spec),
        Ok(other) => Err(OnceError::WrongKind { name, is: other.kind().into(), must: "document".into() }),
        Err(error) => Err(OnceError::BadSpec { target: name, error }),
    }
}

fn require_all_rows(table: &Table) -> Result<()> {
    match rights::row_security(table.oid)? {
        true => Err(OnceError::HiddenRows { relation: table.relation.clone() }),
        false => Ok(()),
    }
}

fn require_writable(table: &Table, names: &[&String]) -> Result<()> {
    targets::require_writable(table, names.iter().copied(), |column| {
        format!("ALTER TABLE {} ALTER COLUMN {} DROP EXPRESSION;", table.relation, quote(&column.name))
    })
}

fn present(table: &Table, id: &str) -> Present {
    Present {
        relation: table.relation.clone(),
        columns: table.columns.iter().map(|column| column.name.clone()).collect(),
        id: id.into(),
        id_type: table.column(id).map_or("uuid".into(), |column| column.base_type.clone()),
    }
}
