//! `once jobs` and `once job`: the audit trail, and what runs now.

use std::time::Duration;

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ColumnConstraint};
use postgres::types::Type;
use serde_json::{Value, json};
use uuid::Uuid;

use super::work::{self, StagedFile};
use crate::args::{Global, Jobs, OfJob, Status};
use crate::error::{Exit, Failure, Result};
use crate::screen::{Screen, grouped, number, safe, table, took};
use crate::session::{Session, Work};

/// A job as it is recorded.
pub struct Job {
    row: Value,
    /// Its table, its times and how long it took, as the server writes them.
    shown: Value,
}

impl Job {
    pub fn status(&self) -> &str {
        self.row["status"].as_str().unwrap_or_default()
    }

    pub fn relation(&self) -> &str {
        self.shown["relation"].as_str().unwrap_or_default()
    }

    pub fn rows_written(&self) -> i64 {
        work::figure(&self.row, "rows_written")
    }
}

/// Newest first, under what is running.
pub fn list(args: &Jobs, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut session = Session::open(global)?;
    let since = args.since.as_deref().map(|since| point_in_time(&mut session, since)).transpose()?;
    let status = args.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_string()));
    let running = match args.status {
        Some(Status::Completed | Status::Failed | Status::RolledBack) => Vec::new(),
        _ => running(&mut session.transaction()?, global.target.as_deref())?,
    };
    let jobs = recorded(&mut session, [&global.target, &args.scope, &status, &since], None)?;
    if !running.is_empty() {
        screen.say(if args.scope.is_some() { "Running now, whatever the scope:" } else { "Running now:" });
        show_running(screen, &running);
    }
    if jobs.is_empty() {
        screen.say("No such import is recorded.");
    } else {
        show_list(screen, &jobs);
    }
    screen.answer(&json!({"jobs": jobs.into_iter().map(|job| job.row).collect::<Vec<_>>(), "running": running}));
    Ok(Exit::Fine)
}

pub fn show(args: &OfJob, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut session = Session::open(global)?;
    let job = find(&mut session, args.job)?;
    describe(screen, &job, true);
    let mut answer = job.row.clone();
    if ["pending", "validating", "processing"].contains(&job.status()) {
        let mut running = running(&mut session.transaction()?, None)?;
        running.retain(|run| run["relation"].as_str() == Some(job.relation()));
        show_running(screen, &running);
        answer["running"] = json!(running);
    }
    screen.answer(&answer);
    Ok(Exit::Fine)
}

/// # Errors
/// `Exit::Database` where there is no such job that the user may see; one that runs can't be seen yet.
pub fn find(session: &mut Session, id: Uuid) -> Result<Job> {
    if let Some(job) = recorded(session, [&None; 4], Some(id))?.pop() {
        return Ok(job);
    }
    let mut failure = Failure::database(format!("import job {id} does not exist"))
        .detail("No job with this id is recorded, or you may not see it. A job that runs is recorded when it ends.")
        .hint("once jobs lists the imports, and what runs now.");
    failure.sqlstate = Some("P0002".into());
    Err(failure)
}

/// The jobs of a target, a scope, in a state and since a time, or the one with this id.
fn recorded(session: &mut Session, filters: [&Option<String>; 4], id: Option<Uuid>) -> Result<Vec<Job>> {
    let mut work = session.transaction()?;
    let table = work.own("import_jobs");
    let there = work.rows("SELECT pg_catalog.to_regclass($1) IS NOT NULL", &[(&table, Type::TEXT)])?;
    // The first create_target or install_kit makes it.
    if !there.first().map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(Vec::new());
    }
    let second = |column: &str| format!("'{column}', pg_catalog.date_trunc('second', j.{column})::text");
    let sql = format!(
        "SELECT pg_catalog.to_jsonb(j.*), pg_catalog.jsonb_build_object(\
           'relation', pg_catalog.format('%I.%I', j.relation_schema, j.relation_name), \
           'took', extract(epoch FROM j.completed_at - j.created_at), {}, {}, {}) \
         FROM {table} j WHERE ($1 IS NULL OR j.target = $1) AND ($2 IS NULL OR j.scope = $2 OR (j.scope = pg_catalog.lower($2) \
           AND $2 ~* '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$')) AND ($3 IS NULL OR j.status = $3) \
           AND ($4 IS NULL OR j.created_at >= $4::timestamptz) AND ($5 IS NULL OR j.id = $5) ORDER BY j.created_at DESC, j.id DESC",
        second("created_at"),
        second("completed_at"),
        second("rolled_back_at"),
    );
    let [target, scope, status, since] = filters;
    let params = [
        (target as _, Type::TEXT),
        (scope as _, Type::TEXT),
        (status as _, Type::TEXT),
        (since as _, Type::TEXT),
        (&id as _, Type::UUID),
    ];
    let rows = work.rows(&sql, &params)?;
    rows.iter().map(|row| Ok(Job { row: row.try_get(0)?, shown: row.try_get(1)? })).collect()
}

/// What runs now, as `import_progress` tells it.
fn running(work: &mut Work<'_>, target: Option<&str>) -> Result<Vec<Value>> {
    let sql = format!(
        "SELECT pg_catalog.to_jsonb(p.*) || pg_catalog.jsonb_build_object('since', pg_catalog.date_trunc('second', p.started_at)::text) \
         FROM {} p WHERE $1 IS NULL OR p.relation = (SELECT t.relation FROM {} t WHERE t.name = $1) ORDER BY p.started_at DESC",
        work.own("import_progress"),
        work.own("target_list")
    );
    let rows = work.rows(&sql, &[(&target, Type::TEXT)])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A time, or a span before now, as Postgres reads them; given back as it writes a time.
fn point_in_time(session: &mut Session, text: &str) -> Result<String> {
    for read in ["$1::timestamptz", "pg_catalog.now() - $1::interval"] {
        let sql = format!("SELECT ({read})::text");
        match session.transaction()?.rows(&sql, &[(&text, Type::TEXT)]) {
            Ok(rows) => {
                if let Some(row) = rows.first() {
                    return Ok(row.try_get(0)?);
                }
            }
            Err(failure) if failure.sqlstate.as_ref().is_some_and(|state| state.starts_with("22")) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::usage(format!("--since {text} is neither a span nor a time"))
        .hint("Give a span as 30min, 12h or 7d, or a time as 2026-03-01 or \"2026-03-01 14:30\"."))
}

fn show_list(screen: &Screen, jobs: &[Job]) {
    let mut list = table(&["job", "target", "scope", "status", "rows", "created", "by", "took"]);
    for job in jobs {
        let field = |name: &str| text(&job.row[name]).into();
        let written = match (rows(&job.row["rows_written"]), rows(&job.row["rows_expected"])) {
            (written, expected) if written == expected => written,
            (written, expected) => format!("{written} of {expected}"),
        };
        list.add_row(vec![
            field("id"),
            field("target"),
            field("scope"),
            field("status"),
            Cell::new(written).set_alignment(CellAlignment::Right),
            text(&job.shown["created_at"]).into(),
            field("created_by"),
            duration(&job.shown["took"]).into(),
        ]);
    }
    // On a narrow terminal the scope and the time are broken, never an id, which is there to be copied.
    for at in [0, 1, 3, 4, 7] {
        if let Some(column) = list.column_mut(at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    screen.table(&list);
}

fn show_running(screen: &Screen, running: &[Value]) {
    if running.is_empty() {
        return;
    }
    let mut list = table(&["table", "phase", "done", "of rows", "since", "by", "process"]);
    for run in running {
        let rows = |name: &str| number(work::figure(run, name));
        list.add_row(vec![
            text(&run["relation"]).into(),
            text(&run["phase"]).into(),
            rows("rows_done"),
            rows("rows_total"),
            text(&run["since"]).into(),
            text(&run["role"]).into(),
            text(&run["pid"]).into(),
        ]);
    }
    screen.table(&list);
}

/// What is recorded of a job, with the spec that it ran with or without.
pub fn describe(screen: &Screen, job: &Job, spec: bool) {
    let Job { row, shown } = job;
    let files = serde_json::from_value::<Vec<StagedFile>>(row["source_info"]["files"].clone()).unwrap_or_default();
    let errors = row["validation_errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let source = if files.is_empty() { &row["source_info"] } else { &row["source_info"]["tool"] };
    for (name, value) in [
        ("job", text(&row["id"])),
        ("target", text(&row["target"])),
        ("table", text(&shown["relation"])),
        ("scope", text(&row["scope"])),
        ("status", text(&row["status"])),
        ("rows expected", rows(&row["rows_expected"])),
        ("rows written", rows(&row["rows_written"])),
        ("rows kept", rows(&row["rows_kept"])),
        ("validation passed", text(&row["validation_passed"])),
        ("created at", text(&shown["created_at"])),
        ("created by", text(&row["created_by"])),
        ("created by id", text(&row["created_by_id"])),
        ("completed at", text(&shown["completed_at"])),
        ("took", duration(&shown["took"])),
        ("rolled back at", text(&shown["rolled_back_at"])),
        ("error code", text(&row["error_code"])),
        ("error", text(&row["error_message"])),
        ("source", text(source)),
        ("spec", if spec { text(&row["spec"]) } else { String::new() }),
    ] {
        if !value.is_empty() {
            screen.say(format_args!("{name:<19}{value}"));
        }
    }
    if !files.is_empty() {
        screen.table(&work::files(&files));
    }
    if !errors.is_empty() {
        screen.table(&work::faulty_rows(errors));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => safe(text),
        other => safe(&other.to_string()),
    }
}

fn rows(value: &Value) -> String {
    value.as_i64().map_or_else(String::new, grouped)
}

/// Seconds, as SQL counts them.
fn duration(seconds: &Value) -> String {
    let known = seconds.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    known.map_or_else(String::new, took)
}
