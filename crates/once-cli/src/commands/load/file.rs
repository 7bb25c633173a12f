//! One file, staged whole or not at all: in one transaction, with what is remembered of it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Scope, ScopedJoinHandle};

use indicatif::ProgressBar;
use postgres::types::Type;
use serde::Serialize;
use serde_json::{Value, json};

use super::batch::{Batch, Batches, Read, Spent};
use super::binary::{Form, Forms};
use super::copy::{Copy, is_rows_fault};
use super::plan::Plan;
use crate::args::{Limit, Load};
use crate::error::{Exit, Failure, Result};
use crate::screen::counted;
use crate::session::{Session, Target, Work};
use crate::source::{self, Digest, Reading, Reject, Rows, name_of, problem};

/// How many bad rows a message names.
const NAMED: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Loaded,
    /// All of it is staged already.
    Skipped,
    Failed,
}

/// What became of a file.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub name: String,
    pub status: Status,
    pub sha256: String,
    /// Rows that were staged now.
    pub rows: u64,
    /// Rows of scopes that had the file already.
    pub staged_before: u64,
    pub blank: u64,
    pub rejected: u64,
    /// Columns of the file that nothing is filled by.
    pub ignored_columns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

impl Outcome {
    pub fn failed(path: &Path, failure: &Failure) -> Self {
        Self { error: Some(failure.to_json()), ..Self::new(path, Status::Failed) }
    }

    fn new(path: &Path, status: Status) -> Self {
        Self {
            name: name_of(path),
            status,
            sha256: String::new(),
            rows: 0,
            staged_before: 0,
            blank: 0,
            rejected: 0,
            ignored_columns: Vec::new(),
            error: None,
        }
    }
}

/// How far a load is, over all its files.
pub struct Progress {
    pub bar: ProgressBar,
    rows: AtomicU64,
}

impl Progress {
    pub fn new(bar: ProgressBar) -> Self {
        Self { bar, rows: AtomicU64::new(0) }
    }

    fn advance(&self, rows: usize, bytes: u64) {
        let rows = rows as u64 + self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bar.set_prefix(format!("{}  ", counted(rows, "row")));
        self.bar.inc(bytes);
    }
}

/// What all files of a load have in common.
pub struct Shared {
    forms: Forms,
    spent: Spent,
}

impl Shared {
    pub fn new(forms: Forms) -> Self {
        Self { forms, spent: Spent::default() }
    }
}

/// A file that is read ahead while another one is sent.
pub struct Ahead<'t> {
    path: &'t Path,
    shared: &'t Shared,
    opened: Receiver<Result<Opened>>,
    batches: Receiver<Result<Batch>>,
    /// Tells the reader which scopes have the file already.
    staged: Arc<OnceLock<HashSet<Vec<u8>>>>,
    reader: ScopedJoinHandle<'t, Option<Read>>,
}

/// A file whose content is known, and whose rows are about to come.
struct Opened {
    digest: Digest,
    plan: Arc<Plan>,
}

/// Begins to read a file, on a thread of its own, and reads until a batch or two are waiting.
pub fn read_ahead<'t>(
    threads: &'t Scope<'t, '_>,
    path: &'t Path,
    target: &'t Target,
    shared: &'t Shared,
    args: &'t Load,
) -> Ahead<'t> {
    let (tell_opened, opened) = sync_channel(1);
    let (send_batch, batches) = sync_channel(1);
    let staged = Arc::new(OnceLock::new());
    let known = staged.clone();
    let reader = threads.spawn(move || {
        let (opened, rows) = match open(path, target, &shared.forms, args) {
            Ok(opened) => opened,
            Err(failure) => {
                let _ = tell_opened.send(Err(failure)); // nobody waits for it any more
                return None;
            }
        };
        let mut batches = Batches::new(rows, opened.plan.clone(), known, &shared.spent);
        tell_opened.send(Ok(opened)).ok()?;
        while let Some(batch) = batches.next().transpose() {
            let broken = batch.is_err();
            if send_batch.send(batch).is_err() || broken {
                return None;
            }
        }
        Some(batches.finish())
    });
    Ahead { path, shared, opened, batches, staged, reader }
}

fn open(path: &Path, target: &Target, forms: &Forms, args: &Load) -> Result<(Opened, Rows)> {
    let reading = Reading { delimiter: args.files.delimiter, encoding: args.files.encoding };
    let digest = source::digest(path)?;
    let rows = Rows::open(path, &reading)?;
    let plan = Plan::of(path, &rows, target, forms, &args.files.map, args.scope.as_deref())?;
    Ok((Opened { digest, plan: Arc::new(plan) }, rows))
}

fn reader_broke() -> Failure {
    Failure::problem("the reader of the file broke down").hint("Please report it.")
}

/// Stages a file.
///
/// # Errors
/// `Exit::Problems` where the file is at fault and others may do; anything else ends the whole load.
pub fn stage(
    session: &mut Session,
    target: &Target,
    file: Ahead<'_>,
    args: &Load,
    progress: &Progress,
) -> Result<Outcome> {
    let Ahead { path, shared, opened, batches, staged, reader } = file;
    let Opened { digest, plan } = opened.recv().map_err(|_| reader_broke())??;

    let entry = Entry { target, path, sha256: &digest.sha256, args, scope: plan.whole_scope() };
    let mut work = session.transaction()?;
    let mut staged_in = entry.begin(&mut work).map_err(|failure| of_file(path, failure))?;
    if args.how.again {
        staged_in.clear();
    }
    if !staged_in.is_empty() && target.scope.is_none() {
        return Ok(Outcome { sha256: digest.sha256, ..Outcome::new(path, Status::Skipped) });
    }
    let _ = staged.set(staged_in.iter().map(|scope| scope.as_bytes().to_vec()).collect()); // is set nowhere else
    let limit = args.how.max_rejects;
    let text = plan.copy("ENCODING 'UTF8'", &staged_in);
    let mut binary = None;
    if let Some(forms) = &plan.forms {
        let types = work.column_types(&target.staging, &plan.columns).map_err(|failure| of_file(path, failure))?;
        // Types may have been altered since the load began.
        if types.into_iter().map(Form::of).eq(forms.iter().copied().map(Some)) {
            binary = Some(plan.copy("FORMAT binary", &staged_in));
        }
    }
    let mut copy = Copy {
        text: &text,
        binary: binary.as_deref(),
        columns: &plan.columns,
        has_scope: plan.has_scope(),
        work: &mut work,
        copied: 0,
        accepted: 0,
        rejects: Vec::new(),
        rejected_scopes: Vec::new(),
        // What was rejected when it was staged is none too many now.
        most: if staged_in.is_empty() { limit.of(digest.lines) } else { u64::MAX },
        saved: false,
    };
    let sent = send(&mut copy, batches, &shared.spent, progress);
    let Copy { copied, accepted, mut rejects, rejected_scopes, most, .. } = copy;
    rejects.sort_by_key(|reject| reject.line);
    match sent {
        Err(_) if rejects.len() as u64 > most => return Err(too_many(path, &rejects, limit)),
        sent => sent.map_err(|failure| of_file(path, failure))?,
    }
    let read = reader.join().ok().flatten().ok_or_else(reader_broke)?;
    if read.sha256 != digest.sha256 {
        return Err(problem(path, None, "the file changed while it was read")
            .detail("Nothing of it was staged.")
            .hint("Wait until it is written, and load it again."));
    }
    let rejected = rejects.len() as u64;
    let has_new = copied > 0 || staged_in.is_empty();
    if has_new && rejected > limit.of(accepted + read.passed + rejected) {
        return Err(too_many(path, &rejects, limit));
    }
    let outcome = Outcome {
        sha256: digest.sha256.clone(),
        staged_before: read.passed + accepted - copied,
        blank: read.blank,
        ignored_columns: plan.ignored.clone(),
        ..Outcome::new(path, Status::Skipped)
    };
    if !has_new {
        return Ok(outcome); // what was rejected of it is on record
    }
    if copied > 0 || rejected > 0 {
        let rows = rows_of_scopes(&read, &rejected_scopes);
        entry.end(&mut work, &rows, &rejects, copied).map_err(|failure| of_file(path, failure))?;
    }
    work.commit()?;
    Ok(Outcome { status: Status::Loaded, rows: copied, rejected, ..outcome })
}

/// A file on the list of those that are staged.
struct Entry<'a> {
    target: &'a Target,
    path: &'a Path,
    sha256: &'a str,
    args: &'a Load,
    /// Whose rows all of them are, where the file does not say.
    scope: Option<&'a str>,
}

impl Entry<'_> {
    /// The scopes in which the file is staged; others wait until this transaction ends.
    fn begin(&self, work: &mut Work<'_>) -> Result<Vec<String>> {
        let sql = format!("SELECT scope FROM {}($1, $2, $3)", work.own("begin_file"));
        let rows =
            work.rows(&sql, &[(&self.target.name, Type::TEXT), (&self.sha256, Type::TEXT), (&self.scope, Type::TEXT)])?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    fn end(&self, work: &mut Work<'_>, rows: &BTreeMap<String, u64>, rejects: &[Reject], copied: u64) -> Result<()> {
        let sql = format!("SELECT {}($1, $2, $3, $4, $5, $6)", work.own("end_file"));
        let ended = work.rows(
            &sql,
            &[
                (&self.target.name, Type::TEXT),
                (&self.sha256, Type::TEXT),
                (&name_of(self.path), Type::TEXT),
                (&json!(rows), Type::JSONB),
                (&json!(rejects), Type::JSONB),
                (&self.args.how.again, Type::BOOL),
            ],
        )?;
        let counted: i64 = ended.first().map_or(Ok(0), |row| row.try_get(0))?;
        if u64::try_from(counted).ok() == Some(copied) {
            return Ok(());
        }
        Err(problem(self.path, None, format_args!("{counted} rows were sent, but COPY wrote {copied}"))
            .detail("Nothing of it was staged.")
            .hint("Does a trigger on the staging table keep rows out?"))
    }
}

/// Sends a file batch by batch.
fn send(copy: &mut Copy<'_, '_>, batches: Receiver<Result<Batch>>, spent: &Spent, progress: &Progress) -> Result<()> {
    let mut bytes = 0;
    for batch in batches {
        let mut batch = batch?;
        let (rows, read) = (batch.rows(), batch.bytes);
        copy.send(&mut batch)?;
        spent.give(batch);
        progress.advance(rows, read - bytes);
        bytes = read;
    }
    Ok(())
}

/// The rows that were accepted of each scope, as the file writes it; what has none may be no scope at all.
fn rows_of_scopes(read: &Read, rejected: &[Vec<u8>]) -> BTreeMap<String, u64> {
    let mut rows: BTreeMap<&[u8], u64> = read.scopes.iter().map(|(scope, count)| (scope.as_slice(), *count)).collect();
    for scope in rejected {
        if let Some(count) = rows.get_mut(scope.as_slice()) {
            *count = count.saturating_sub(1);
        }
    }
    let accepted = rows.into_iter().filter(|(_, count)| *count > 0);
    accepted.map(|(scope, count)| (String::from_utf8_lossy(scope).into_owned(), count)).collect()
}

fn too_many(path: &Path, rejects: &[Reject], limit: Limit) -> Failure {
    let named: Vec<String> = rejects.iter().take(NAMED).map(ToString::to_string).collect();
    let failure = match rejects.first() {
        Some(first) if limit == Limit::Count(0) => {
            let place = first.column.as_ref().map(|column| format!("column {column}: ")).unwrap_or_default();
            problem(path, Some(first.line), format_args!("{place}{}", first.reason))
        }
        _ => problem(path, None, format_args!("more bad rows than --max-rejects {limit} allows"))
            .detail(named.join("\n")),
    };
    failure.hint(
        "Nothing of the file was staged. Mend it, or allow bad rows: --max-rejects 100 keeps them in import_rejects.",
    )
}

/// What the database said of this file's rows or can be had by trying again is the file's own failure.
fn of_file(path: &Path, failure: Failure) -> Failure {
    let again = failure.sqlstate.as_deref().is_some_and(|code| code.starts_with("40") || code == "55P03");
    if !again && !is_rows_fault(&failure) {
        return failure;
    }
    let message = format!("{}: {}", name_of(path), failure.message);
    Failure { exit: Exit::Problems, message, ..failure }
}
