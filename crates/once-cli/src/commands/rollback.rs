//! `once rollback`: deletes what an import wrote, after the user has seen which one it is.

use std::time::Instant;

use postgres::types::Type;
use serde_json::Value;

use super::jobs;
use super::watch::Watch;
use super::work::{figure, refusal, stop};
use crate::args::{Global, Rollback};
use crate::error::{Exit, Failure, Result};
use crate::screen::{Screen, counted, took};
use crate::session::Session;

pub fn run(args: &Rollback, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut session = Session::open(global)?;
    let job = jobs::find(&mut session, args.of.job)?;
    jobs::describe(screen, &job, false);
    if job.status() != "completed" {
        return Err(Failure::problem(format!("job {} is {}", args.of.job, job.status()))
            .detail("Only a completed job can be rolled back. Nothing was deleted."));
    }
    let rows = counted(job.rows_written(), "row");
    let keep = if args.keep_claimed { ", but for claimed ones" } else { "" };
    screen.confirm(
        &format!("Delete the {rows} that this job wrote to {}{keep}?", job.relation()),
        "DELETE",
        args.yes,
    )?;

    let began = Instant::now();
    let mut work = session.transaction()?;
    let watch = Watch::start(screen, &mut work, "deleting")?;
    let params = [(&args.of.job as _, Type::UUID), (&args.keep_claimed as _, Type::BOOL)];
    let answer = work.call("rollback_import_job($1, $2)", &params)?;
    drop(watch);
    work.commit()?;
    if answer["success"] != Value::Bool(true) {
        let mut failure = refusal(&answer);
        if figure(&answer, "codes_kept") > 0 && !args.keep_claimed {
            failure = failure.hint("--keep-claimed leaves claimed rows in place, and deletes the others.");
        }
        return stop(screen, failure, &answer);
    }
    let kept = match figure(&answer, "codes_kept") {
        0 => String::new(),
        kept => format!(", {} kept", counted(kept, "claimed row")),
    };
    let deleted = counted(figure(&answer, "codes_deleted"), "row");
    screen.say(format_args!("Deleted {deleted} from {} in {}{kept}.", job.relation(), took(began.elapsed())));
    screen.answer(&answer);
    Ok(Exit::Fine)
}
