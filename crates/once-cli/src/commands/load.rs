//! `once load`: every file of a folder into the staging table, a transaction a file.

mod batch;
mod binary;
mod copy;
mod file;
mod plan;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::Instant;

use postgres::error::SqlState;
use postgres::types::Type;
use serde_json::{Value, json};

use crate::args::{Global, Load};
use crate::error::{Exit, Failure, Result};
use crate::screen::{Screen, counted, grouped, safe, took};
use crate::session::{Param, Session, Target};
use crate::source;
use file::{Ahead, Outcome, Progress, Shared, Status, read_ahead};

pub fn run(args: &Load, global: &Global, screen: &Screen) -> Result<Exit> {
    let (exit, answer) = load(args, global, screen)?;
    screen.answer(&answer);
    Ok(exit)
}

/// Loads a folder; what became of each file is shown, and given as JSON.
pub fn load(args: &Load, global: &Global, screen: &Screen) -> Result<(Exit, Value)> {
    let files = source::list(&args.files.dir)?;
    let mut session = Session::open(global)?;
    let target = session.target(global.target.as_deref())?;
    require_columns(args, &target)?;
    if let (None, Some(given)) = (&target.scope, &args.scope) {
        return Err(
            Failure::usage(format!("target {} has no scope", target.name)).hint(format!("Leave --scope {given} out."))
        );
    }

    // Where that can't be asked, all goes as text, and the first file says what is wrong.
    let shared = Shared::new(binary::forms_of(&mut session, &target).unwrap_or_default());

    let began = Instant::now();
    let bytes = files.iter().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum();
    let folder = || Folder {
        target: &target,
        shared: &shared,
        args,
        files: &files,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        outcomes: Mutex::new(Vec::new()),
        progress: Progress::new(screen.bytes(bytes)),
        screen,
    };
    let mut load = folder();
    let mut fatal = load.work(session);
    load.progress.bar.finish_and_clear();
    if fatal.as_ref().is_some_and(|failure| failure.is(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE))
        && recover(&mut Session::open(global)?, &target, &files, args.scope.as_deref(), screen)?
    {
        let before = load.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        load = folder();
        fatal = load.work(Session::open(global)?);
        load.progress.bar.finish_and_clear();
        load.keep(before);
    }
    let outcomes = load.outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(summary(&files, outcomes, fatal, began, screen))
}

/// After a crash that emptied staging: where all that was lost of a scope is about to be loaded again, the scope may go
/// on. Otherwise what is missing has to be found first, or given up by `once clear`.
fn recover(
    session: &mut Session,
    target: &Target,
    files: &[PathBuf],
    scope: Option<&str>,
    screen: &Screen,
) -> Result<bool> {
    let digests: Vec<String> = files.iter().filter_map(|path| source::digest(path).ok()).map(|d| d.sha256).collect();
    let mut work = session.transaction()?;
    let sql = format!("SELECT scope, files FROM {}($1, $2, $3)", work.own("recover_staging"));
    let params: [Param; 3] = [(&target.name, Type::TEXT), (&digests, Type::TEXT_ARRAY), (&scope, Type::TEXT)];
    let scopes = work.rows(&sql, &params)?;
    work.commit()?;
    for row in &scopes {
        let (scope, files): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let whose = target.scope.as_ref().map(|column| format!(" of {column} {scope}")).unwrap_or_default();
        screen.warn(format_args!(
            "A crash of the server has emptied staging; {} that it held{} will be loaded again. (What came otherwise than by once load is lost.)",
            counted(files, "file"),
            safe(&whose)
        ));
    }
    Ok(!scopes.is_empty())
}

/// What `--map` renames has to be a column.
fn require_columns(args: &Load, target: &Target) -> Result<()> {
    match args.files.map.iter().find(|(column, _)| !target.filled().any(|c| c == column)) {
        None => Ok(()),
        Some((column, name)) => {
            let columns = target.filled().cloned().collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("--map {column}={name}: target {} has no column {column}", target.name))
                .hint(format!("Its columns are {columns}.")))
        }
    }
}

/// A folder on its way into staging.
struct Folder<'a> {
    target: &'a Target,
    shared: &'a Shared,
    args: &'a Load,
    files: &'a [PathBuf],
    next: AtomicUsize,
    stop: AtomicBool,
    /// With the position of the file.
    outcomes: Mutex<Vec<(usize, Outcome)>>,
    progress: Progress,
    screen: &'a Screen,
}

/// Files that are being read and nobody stages yet, in order, with their positions.
type Upcoming<'t> = Mutex<VecDeque<(usize, &'t Path, Ahead<'t>)>>;

impl Folder<'_> {
    /// What was loaded before is skipped now, but was loaded.
    fn keep(&mut self, before: Vec<(usize, Outcome)>) {
        let now = self.outcomes.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (at, outcome) in now.iter_mut().filter(|(_, outcome)| outcome.status == Status::Skipped) {
            let earlier = before.iter().find(|(then, outcome)| then == at && outcome.status == Status::Loaded);
            if let Some((_, earlier)) = earlier {
                outcome.clone_from(earlier);
            }
        }
    }

    /// Works on all files, side by side where that was asked for; gives what ended it early.
    fn work(&self, first: Session) -> Option<Failure> {
        let more = usize::from(self.args.how.jobs).min(self.files.len()).saturating_sub(1);
        thread::scope(|threads| {
            let mut sessions = Vec::new();
            for _ in 0..more {
                match first.another() {
                    Ok(session) => sessions.push(session),
                    Err(failure) => return Some(failure),
                }
            }
            let upcoming = Arc::new(Upcoming::default());
            let others: Vec<_> = sessions
                .into_iter()
                .map(|session| (session, upcoming.clone()))
                .map(|(session, upcoming)| threads.spawn(move || self.drain(threads, &upcoming, session)))
                .collect();
            let mut failures = vec![self.drain(threads, &upcoming, first)];
            failures.extend(others.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(broken_down()))));
            failures.into_iter().find_map(std::result::Result::err)
        })
    }

    /// The next file. Some more are read ahead, for whoever is the first to be done with his.
    fn take<'t>(&'t self, threads: &'t Scope<'t, '_>, upcoming: &Upcoming<'t>) -> Option<(usize, &'t Path, Ahead<'t>)> {
        let ahead = || {
            let at = self.next.fetch_add(1, Ordering::SeqCst);
            self.files
                .get(at)
                .map(|path| (at, path.as_path(), read_ahead(threads, path, self.target, self.shared, self.args)))
        };
        let mut upcoming = upcoming.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = upcoming.pop_front().or_else(ahead);
        let missing = usize::from(self.args.how.jobs).saturating_sub(upcoming.len());
        upcoming.extend((0..missing).map_while(|_| ahead()));
        taken
    }

    /// Takes file after file until there is none left, or something is wrong that no other file would change.
    fn drain<'t>(&'t self, threads: &'t Scope<'t, '_>, upcoming: &Upcoming<'t>, mut session: Session) -> Result<()> {
        while let Some((at, path, file)) = self.take(threads, upcoming) {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            self.progress.bar.set_message(safe(&source::name_of(path)));
            let outcome = match file::stage(&mut session, self.target, file, self.args, &self.progress) {
                Ok(outcome) => {
                    self.screen.say(safe(&line_of(&outcome)));
                    outcome
                }
                Err(failure) if failure.exit == Exit::Problems => {
                    self.screen.warn(format_args!("failed   {failure}"));
                    Outcome::failed(path, &failure)
                }
                Err(failure) => {
                    self.stop.store(true, Ordering::SeqCst);
                    return Err(Failure {
                        message: format!("{}: {}", source::name_of(path), failure.message),
                        ..failure
                    });
                }
            };
            self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
        }
        Ok(())
    }
}

fn broken_down() -> Failure {
    Failure::problem("a loader broke down").hint("Please report it.")
}

fn line_of(outcome: &Outcome) -> String {
    let mut line = match outcome.status {
        Status::Skipped => format!("skipped  {}: staged already (--again stages it once more)", outcome.name),
        _ => format!("loaded   {}: {}", outcome.name, counted(outcome.rows, "row")),
    };
    let mut also = |count: u64, what: &str| {
        if count > 0 {
            line += &format!(", {} {what}", grouped(count));
        }
    };
    if outcome.status == Status::Loaded {
        also(outcome.staged_before, "staged already");
        also(outcome.blank, "blank");
        also(outcome.rejected, "rejected");
    }
    if !outcome.ignored_columns.is_empty() && outcome.status == Status::Loaded {
        line += &format!("; ignored {}", outcome.ignored_columns.join(", "));
    }
    line
}

fn summary(
    files: &[PathBuf],
    mut outcomes: Vec<(usize, Outcome)>,
    fatal: Option<Failure>,
    began: Instant,
    screen: &Screen,
) -> (Exit, Value) {
    outcomes.sort_by_key(|(at, _)| *at);
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let with = |status| outcomes.iter().filter(|outcome| outcome.status == status).count();
    let (loaded, skipped, failed) = (with(Status::Loaded), with(Status::Skipped), with(Status::Failed));
    let rows: u64 = outcomes.iter().map(|outcome| outcome.rows).sum();
    let blank: u64 = outcomes.iter().map(|outcome| outcome.blank).sum();
    let rejected: u64 = outcomes.iter().map(|outcome| outcome.rejected).sum();
    screen.say(format_args!(
        "{} of {} loaded, {skipped} skipped, {failed} failed: {}, {blank} blank, {rejected} rejected, in {}",
        loaded,
        counted(files.len() as u64, "file"),
        counted(rows, "row"),
        took(began.elapsed()),
    ));
    let mut exit = if failed > 0 { Exit::Problems } else { Exit::Fine };
    let mut answer = json!({
        "success": failed == 0 && fatal.is_none(),
        "rows": rows, "blank": blank, "rejected": rejected,
        "loaded": loaded, "skipped": skipped, "failed": failed,
        "not_tried": files.len() - outcomes.len(),
        "files": outcomes,
    });
    if let Some(mut failure) = fatal {
        if failure.is(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) {
            failure.hint =
                Some("Load a folder that has all files that were staged, or give them up: once clear SCOPE".into());
        }
        let stays = if loaded > 0 { " What was loaded before stays, and is skipped next time." } else { "" };
        screen.warn(format_args!(
            "once: {failure}\n  {} not loaded.{stays}",
            counted((files.len() - loaded - skipped) as u64, "file")
        ));
        exit = failure.exit;
        answer["error"] = failure.to_json();
    }
    (exit, answer)
}
