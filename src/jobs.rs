//! Jobs: one row per import in `import_jobs`, never deleted, and the lock that lets one job at a time
//! work on a target's scope.

mod undo;

use crate::backend::{self, Jsonb};
use crate::error::{OnceError, Result};
use crate::spi::{self, Arg};
use crate::targets::{Scope, Target};
use once_core::ident::{Relation, quote};
use once_core::kit::render;
use once_core::spec::Spec;
use once_core::sqlstate::is_jobs_own;
use pgrx::Uuid;
use pgrx::pg_sys::Oid;
use serde_json::{Map, Value};

/// A job as it is recorded.
pub struct Job {
    pub id: Uuid,
    pub target: String,
    pub scope: Option<String>,
    pub status: String,
    pub relation: Relation,
    pub spec: String,
    pub rows_written: Option<i64>,
    pub rolled_back_at: Option<String>,
    /// What a job of rows did, as JSON.
    pub summary: Option<String>,
}

impl Job {
    /// The spec that the job ran with.
    ///
    /// # Errors
    /// `55000` where what was recorded can't be read.
    pub fn spec(&self) -> Result<Spec> {
        Spec::parse(&self.spec).map_err(|error| OnceError::BadJobSpec { job: self.id.to_string(), error })
    }

    /// # Errors
    /// `55000` for a job that is not completed.
    pub fn require_completed(&self) -> Result<()> {
        if self.status == "completed" {
            return Ok(());
        }
        Err(OnceError::JobState { id: self.id.to_string(), status: self.status.clone() })
    }
}

/// Lets one transaction at a time create targets and what they need: the second waits, and finds it done.
pub fn lock_setup() -> Result<()> {
    let lock = "SELECT pg_advisory_xact_lock('pg_extension'::regclass::int, oid::int) FROM pg_extension WHERE extname = 'pg_once'";
    spi::fresh(lock, &[], |_| Ok(())).map(drop)
}

/// Creates `import_jobs` and the memory of staging in the extension's schema, owned by the caller; does
/// nothing where they are there. Wants `lock_setup`.
///
/// # Errors
/// `42501` for anyone but the owner of the schema, whose triggers everybody's jobs would run; `55000`
/// where something else has the name, or the jobs are in another schema.
pub fn install() -> Result<()> {
    let jobs = spi::own("import_jobs")?;
    if is_made(&jobs)? {
        return Ok(());
    }
    let elsewhere = spi::fresh(
        "SELECT n.nspname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE t.tgname = 'import_jobs_guard' AND c.relname = 'import_jobs'",
        &[],
        |row| row.need::<String>(1),
    )?;
    if let Some(schema) = elsewhere.into_iter().next() {
        return Err(OnceError::JobsElsewhere { schema });
    }
    make(&jobs, include_str!("../sql/schema/jobs.sql"))
}

/// Whether a table that the first call makes in the extension's schema is there.
///
/// # Errors
/// `55000` where something else has the name.
pub fn is_made(table: &Relation) -> Result<bool> {
    let there = spi::fresh(
        "SELECT c.relkind = 'r' AND (c.relowner IN (n.nspowner, d.datdba) OR o.rolsuper OR pg_has_role(c.relowner, 'USAGE')), o.rolname::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles o ON o.oid = c.relowner \
         JOIN pg_database d ON d.datname = current_database() WHERE n.nspname::text = $1 AND c.relname::text = $2",
        &[table.schema.as_str().into(), table.name.as_str().into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?)),
    )?;
    match there.into_iter().next() {
        Some((true, _)) => Ok(true),
        Some((false, owner)) => Err(OnceError::UntrustedJobs { relation: table.clone(), owner }),
        None => Ok(false),
    }
}

/// Makes tables in the extension's schema, `table` among them.
///
/// # Errors
/// `42501` for anyone but the owner of the schema, whose triggers and policies everybody's imports would obey.
pub fn make(table: &Relation, script: &str) -> Result<()> {
    let (may, role, owner) = spi::read_one(
        "SELECT pg_has_role(n.nspowner, 'USAGE'), current_user::text, pg_get_userbyid(n.nspowner)::text FROM pg_namespace n WHERE n.nspname::text = $1",
        &[table.schema.as_str().into()],
        |row| Ok((row.need::<bool>(1)?, row.need::<String>(2)?, row.need::<String>(3)?)),
    )?;
    if !may {
        return Err(OnceError::NoPrivilege {
            object: format!("schema {}", quote(&table.schema)),
            privilege: "ownership".into(),
            hint: format!("Let {} make the first such call: it makes {table}, which all use.", quote(&owner)),
            role,
        });
    }
    spi::script(&render(script, &[("@schema@", &table.schema)]))
}

/// Takes a scope of a table, as text, for this transaction, waiting for whoever has it. It is empty where there is none.
///
/// # Errors
/// `55P03` with the holder when `lock_timeout` strikes.
pub fn lock(relation: &Relation, oid: Oid, scope: &str) -> Result<()> {
    let args = || [oid.into(), scope.into()];
    let free =
        spi::fresh_one("SELECT pg_try_advisory_xact_lock($1::int, hashtext($2))", &args(), |row| row.need::<bool>(1))?;
    if free {
        return Ok(());
    }
    let waited = backend::subtransaction(|| {
        spi::fresh("SELECT pg_advisory_xact_lock($1::int, hashtext($2))", &args(), |_| Ok(())).map(drop)
    });
    match waited {
        Ok(result) => result,
        Err(error) if error.sqlstate == "55P03" => Err(OnceError::Busy {
            relation: relation.clone(),
            scope: if scope.is_empty() { "(none)".into() } else { scope.into() },
            holder: holder(&args())?,
        }),
        Err(error) => error.rethrow(),
    }
}

fn holder(args: &[Arg]) -> Result<String> {
    let holders = spi::fresh(
        "SELECT CASE WHEN a.pid IS NULL THEN 'A prepared transaction holds it.' ELSE \
         format('Process %s of role %s (%s) holds it, in a transaction %s.', a.pid, a.usename, \
         coalesce(nullif(a.application_name, ''), 'no application name'), coalesce('since ' || a.xact_start, 'of unknown age')) END \
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1 \
         AND l.objid::bigint = (hashtext($2)::bigint & 4294967295) \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        args,
        |row| row.need::<String>(1),
    )?;
    Ok(holders.into_iter().next().unwrap_or_else(|| "Its holder has just let go of it.".into()))
}

/// A new id, later than all before.
pub fn new_id() -> Uuid {
    Uuid::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

/// Records a new job, `pending`. `scope`: as text; `None` where there is none, or several.
pub fn create(
    target: &str,
    relation: &Relation,
    spec: &Spec,
    scope: Option<String>,
    source_info: Option<Jsonb>,
) -> Result<Uuid> {
    let id = new_id();
    spi::write(
        &format!(
            "INSERT INTO {} (id, target, scope, relation_schema, relation_name, spec, source_info, created_by_id) \
             VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8)",
            spi::own("import_jobs")?
        ),
        &[
            id.into(),
            target.into(),
            scope.into(),
            relation.schema.as_str().into(),
            relation.name.as_str().into(),
            spec.to_json().into(),
            source_info.into(),
            callers_id()?.into(),
        ],
    )?;
    Ok(id)
}

/// The caller's own id, where a JSON web token gives one, as Supabase's `auth.uid()` reads it. What is no
/// token with a UUID gives none.
fn callers_id() -> Result<Option<Uuid>> {
    let claims = "SELECT nullif(current_setting('request.jwt.claims', true), ''), nullif(current_setting('request.jwt.claim.sub', true), '')";
    let (claims, sub) = spi::read_one(claims, &[], |row| Ok((row.get::<String>(1)?, row.get::<String>(2)?)))?;
    if claims.is_none() && sub.is_none() {
        return Ok(None);
    }
    let read = backend::subtransaction(|| {
        spi::read_one("SELECT coalesce($2, $1::jsonb ->> 'sub')::uuid", &[claims.into(), sub.into()], |row| {
            row.get::<Uuid>(1)
        })
    });
    match read {
        Ok(id) => id,
        Err(error) if error.sqlstate.starts_with("22") => Ok(None),
        Err(error) => error.rethrow(),
    }
}

/// Moves a job on to `validating`, with the number of rows to write.
pub fn validating(id: Uuid) -> Result<()> {
    update("status = 'validating'", &[id.into()])
}

/// Moves a job on to `processing`: the validation passed, `expected` rows are to be written.
pub fn processing(id: Uuid, expected: i64) -> Result<()> {
    update("status = 'processing', validation_passed = true, rows_expected = $2", &[id.into(), expected.into()])
}

/// Ends a job well.
pub fn completed(id: Uuid, written: i64) -> Result<()> {
    update("status = 'completed', rows_written = $2, completed_at = clock_timestamp()", &[id.into(), written.into()])
}

/// Keeps with a job of rows what it did, as JSON.
pub fn summarized(id: Uuid, summary: &Value) -> Result<()> {
    update("summary = $2::jsonb", &[id.into(), summary.to_string().into()])
}

/// Ends a job badly. `expected` is `None` when it did not come as far as a verdict.
pub fn failed(id: Uuid, failure: &Failure, expected: Option<i64>) -> Result<()> {
    let errors = failure.more.get("errors");
    let passed = expected.map(|_| errors.is_none());
    update(
        "status = 'failed', error_code = $2, error_message = $3, rows_expected = $4, rows_written = 0, \
         validation_passed = $5, validation_errors = $6::jsonb, completed_at = clock_timestamp()",
        &[
            id.into(),
            failure.sqlstate.as_str().into(),
            failure.message.as_str().into(),
            expected.into(),
            passed.into(),
            errors.map(Value::to_string).into(),
        ],
    )
}

/// Records that a completed job was undone, but for `kept` protected rows.
pub fn rolled_back(id: Uuid, kept: i64) -> Result<()> {
    update("status = 'rolled_back', rows_kept = $2, rolled_back_at = clock_timestamp()", &[id.into(), kept.into()])
}

fn update(set: &str, args: &[Arg]) -> Result<()> {
    let rows = spi::write(&format!("UPDATE {} SET {set} WHERE id = $1", spi::own("import_jobs")?), args)?;
    if rows == 1 { Ok(()) } else { Err(OnceError::Internal("the job's own row is gone".into())) }
}

/// Why a job's work did not succeed, where that is its own doing: recorded and returned, not raised.
pub struct Failure {
    pub sqlstate: String,
    pub message: String,
    /// What the answer tells besides.
    pub more: Map<String, Value>,
}

impl Failure {
    pub fn new(sqlstate: impl Into<String>, message: impl Into<String>) -> Self {
        Self { sqlstate: sqlstate.into(), message: message.into(), more: Map::new() }
    }

    /// Adds to what the answer tells, where there is something.
    pub fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.more.insert(name.into(), value.into());
        }
        self
    }

    /// Puts the failure into the answer of the job's function.
    pub fn tell(self, answer: &mut Value) {
        answer["success"] = false.into();
        answer["sqlstate"] = self.sqlstate.into();
        answer["message"] = self.message.into();
        for (name, value) in self.more {
            answer[name] = value;
        }
    }
}

/// What ends the work of a job early.
pub enum Stop {
    Failed(Failure),
    Error(OnceError),
}

impl From<OnceError> for Stop {
    fn from(error: OnceError) -> Self {
        Self::Error(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs a job's work in a subtransaction. What fails by the job's own doing is undone and comes back as a
/// `Failure`; every other error is raised.
pub fn attempt<T>(work: impl FnOnce() -> std::result::Result<T, Stop>) -> Result<std::result::Result<T, Failure>> {
    match backend::subtransaction(work) {
        Ok(Ok(done)) => Ok(Ok(done)),
        Ok(Err(Stop::Failed(failure))) => Ok(Err(failure)),
        Ok(Err(Stop::Error(error))) => Err(error),
        Err(error) if is_jobs_own(&error.sqlstate) => {
            Ok(Err(Failure::new(error.sqlstate, error.message).with("detail", error.detail)))
        }
        Err(error) => error.rethrow(),
    }
}

/// Reads a job on the caller's snapshot, or (`for_update`) locked and as it is now.
///
/// # Errors
/// `22004` for NULL, `P0002` where there is none that the caller may see.
pub fn load(id: Option<Uuid>, for_update: bool) -> Result<Job> {
    let id = id.ok_or(OnceError::NullArgument { name: "p_job_id".into() })?;
    let unknown = || OnceError::UnknownJob { id: id.to_string() };
    let jobs = spi::own("import_jobs")?;
    if backend::relation_oid(&jobs).is_none() {
        return Err(unknown());
    }
    let lock = if for_update { " FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT target, scope, status, relation_schema, relation_name, spec::text, rows_written, rolled_back_at::text, summary::text \
         FROM {jobs} WHERE id = $1{lock}"
    );
    let args = [id.into()];
    let map = |row: &spi::Row<'_>| {
        Ok(Job {
            id,
            target: row.need(1)?,
            scope: row.get(2)?,
            status: row.need(3)?,
            relation: Relation { schema: row.need(4)?, name: row.need(5)? },
            spec: row.need(6)?,
            rows_written: row.get(7)?,
            rolled_back_at: row.get(8)?,
            summary: row.get(9)?,
        })
    };
    let found = if for_update { spi::fresh(&sql, &args, map)? } else { spi::read(&sql, &args, map)? };
    found.into_iter().next().ok_or_else(unknown)
}

/// Whether the scope has any job that the caller may see.
pub fn exist(target: &Target, scope: &Scope) -> Result<bool> {
    spi::fresh_one(
        &format!(
            "SELECT EXISTS (SELECT FROM {} WHERE target = $1 AND coalesce(scope, '') = $2)",
            spi::own("import_jobs")?
        ),
        &[target.name.as_str().into(), scope.text.as_str().into()],
        |row| row.need(1),
    )
}
