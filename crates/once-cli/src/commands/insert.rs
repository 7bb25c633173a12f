//! `once insert`: writes a scope's clean rows to production, after the user has seen what they are.

use std::time::Instant;

use postgres::types::Type;
use serde_json::{Value, json};

use super::verify;
use super::watch::Watch;
use super::work::{self, Place, StagedFile, Status, command, figure, refusal, stop};
use crate::args::{Global, Insert};
use crate::error::{Exit, Failure, Result};
use crate::screen::{Screen, counted, grouped, number, safe, table, took};

pub fn run(args: &Insert, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut place = Place::open(global, &args.confirmed.scoped)?;
    let (verdict, status) = validate(&mut place, screen)?;
    if verdict["valid"] != Value::Bool(true) {
        return invalid(screen, &place, &verdict);
    }
    if status.total_rows > 0 {
        show(screen, &status);
    }
    if let Some(failure) = objection(args, &place, &status) {
        return stop(screen, failure, &json!({"staging": status}));
    }
    let question =
        format!("Insert {} of {} into {}?", counted(status.clean_count, "row"), place.words(), place.target.relation);
    screen.confirm(&question, "YES", args.confirmed.yes)?;

    let began = Instant::now();
    let answer = match insert(&mut place, global, screen, &status)? {
        Ok(answer) => answer,
        Err(failure) => return stop(screen, failure, &json!({"staging": status})),
    };
    if answer["success"] != Value::Bool(true) {
        return refused(screen, &place, &answer);
    }
    let job = answer["job_id"].as_str().unwrap_or_default();
    let undo = command(global, "rollback", job);
    // Said before anything else can fail: from here on the rows are in production.
    screen.say(format_args!(
        "Inserted {} into {} in {}.\nThe job is {job}. What undoes it:\n  {undo}",
        counted(figure(&answer, "codes_inserted"), "row"),
        place.target.relation,
        took(began.elapsed())
    ));
    let verified = verify(&mut place, job)?;
    screen.say(verify::words(&verified));
    let is_verified = verified["verified"] == Value::Bool(true);
    screen.answer(&json!({
        "success": true, "job_id": job, "codes_inserted": answer["codes_inserted"], "message": answer["message"],
        "verified": is_verified, "verification": verified, "undo": undo, "staging": status,
    }));
    Ok(if is_verified { Exit::Fine } else { Exit::Problems })
}

/// Validates, and reads what is staged in the same transaction, so that both speak of the same rows.
fn validate(place: &mut Place, screen: &Screen) -> Result<(Value, Status)> {
    let before = place.status()?;
    place.require_marked(&before)?;
    let mut work = place.session.transaction()?;
    let watch = Watch::start(screen, &mut work, "validating")?;
    let params = [(&place.target.name as _, Type::TEXT), (&place.scope as _, Type::TEXT)];
    let verdict = work.call("validate_staged($1, $2)", &params)?;
    let status = work::status(&mut work, &place.target, &place.scope)?;
    drop(watch);
    work.commit()?;
    Ok((verdict, status))
}

fn invalid(screen: &Screen, place: &Place, verdict: &Value) -> Result<Exit> {
    let errors = verdict["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    screen.table(&work::faulty_rows(errors));
    let mut totals = table(&["reason", "rows"]);
    for (reason, rows) in verdict["error_totals"].as_object().into_iter().flatten() {
        totals.add_row(vec![safe(reason).into(), number(rows.as_i64().unwrap_or(0))]);
    }
    screen.table(&totals);
    let faults = counted(figure(verdict, "validation_errors"), "fault");
    let failure = Failure::problem(format!("what is staged of {} has {faults}", place.words()))
        .detail(format!("Nothing was inserted. The table names {} by the row_number.", grouped(errors.len() as i128)))
        .hint(verdict["hint"].as_str().map_or_else(
            || {
                format!(
                    "Put these rows right or delete them in {}, then {}",
                    place.target.staging,
                    place.next("dedupe")
                )
            },
            String::from,
        ));
    stop(screen, failure, verdict)
}

fn show(screen: &Screen, status: &Status) {
    if !status.files.is_empty() {
        screen.table(&work::files(&status.files));
    }
    let listed: i64 = status.files.iter().map(|file| file.rows).sum();
    let others = status.total_rows - listed;
    if others > 0 {
        screen.say(format_args!("{} staged otherwise than by once load", counted(others, "row")));
    }
    let mut table = table(&["staging", "rows"]);
    for (name, value) in [
        ("all", status.total_rows),
        ("internal duplicates", status.internal_duplicates),
        ("database duplicates", status.database_duplicates),
        ("both at once", status.both_duplicates),
        ("clean, to be inserted", status.clean_count),
    ] {
        table.add_row(vec![name.into(), number(value)]);
    }
    screen.table(&table);
}

/// What speaks against inserting at all.
fn objection(args: &Insert, place: &Place, status: &Status) -> Option<Failure> {
    let total = u64::try_from(status.total_rows).unwrap_or(0);
    let duplicates = u64::try_from(status.total_rows - status.clean_count).unwrap_or(0);
    match args.brake.max_duplicates {
        _ if total == 0 => Some(
            Failure::problem(format!("nothing is staged of {}", place.words())).hint("once load DIR stages files."),
        ),
        Some(limit) if duplicates > limit.of(total) => Some(
            Failure::problem(format!(
                "{} of {} are duplicates, more than --max-duplicates {limit} allows",
                grouped(duplicates),
                counted(total, "staged row")
            ))
            .detail("Nothing was inserted.")
            .hint(format!("{} duplicates.csv lists them.", place.next("export"))),
        ),
        _ if status.clean_count == 0 => Some(
            Failure::problem(format!("no clean row of {}: nothing to insert", place.words()))
                .detail("All that is staged is in production already."),
        ),
        _ => None,
    }
}

/// Inserts what was confirmed, or gives the reason why it is not that any more.
fn insert(
    place: &mut Place,
    global: &Global,
    screen: &Screen,
    confirmed: &Status,
) -> Result<std::result::Result<Value, Failure>> {
    let changed = |what: String| {
        Failure::problem(format!("{what} since it was shown"))
            .detail("Nothing was inserted.")
            .hint("Run the command again, and look at the new figures.")
    };
    let words = place.words();
    let mut work = place.session.transaction()?;
    if work::status(&mut work, &place.target, &place.scope)? != *confirmed {
        return Ok(Err(changed(format!("staging of {words} has changed"))));
    }
    let watch = Watch::start(screen, &mut work, "inserting")?;
    let source = source_info(&confirmed.files);
    let params = [(&place.target.name as _, Type::TEXT), (&place.scope as _, Type::TEXT), (&source as _, Type::JSONB)];
    let answer = work.call("insert_clean($1, $2, $3)", &params)?;
    drop(watch);
    let written = figure(&answer, "codes_inserted");
    if answer["success"] == Value::Bool(true) && written != confirmed.clean_count {
        return Ok(Err(changed(format!(
            "{} were confirmed, but {} would have been inserted: production or staging has changed",
            counted(confirmed.clean_count, "row"),
            grouped(written)
        ))));
    }
    let job = answer["job_id"].as_str().unwrap_or_default().to_string();
    work.commit().map_err(|failure| {
        failure
            .hint(format!("Whether job {job} was committed is not known: {} tells.", command(global, "verify", &job)))
    })?;
    Ok(Ok(answer))
}

/// The rows are at fault: the failed job is on record.
fn refused(screen: &Screen, place: &Place, answer: &Value) -> Result<Exit> {
    if let Some(errors) = answer["errors"].as_array() {
        screen.table(&work::faulty_rows(errors));
    }
    let job = answer["job_id"].as_str().unwrap_or_default();
    let mut failure = refusal(answer);
    let detail = failure.detail.take().map_or_else(String::new, |detail| format!("{detail}\n"));
    failure = failure.detail(format!("{detail}Nothing was inserted. Job {job} is recorded as failed."));
    if failure.hint.is_none() {
        failure = failure.hint(format!("Put right what it says, then {}", place.next("dedupe")));
    }
    stop(screen, failure, answer)
}

fn verify(place: &mut Place, job: &str) -> Result<Value> {
    place.session.call("verify_import_job($1::uuid)", &[(&job, Type::TEXT)])
}

/// What a job remembers of where its rows came from.
fn source_info(files: &[StagedFile]) -> Value {
    json!({"tool": concat!("once ", env!("CARGO_PKG_VERSION")), "files": files})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_remembers_the_tool_and_the_files() {
        let files = [StagedFile { name: "monday.csv".into(), sha256: "ab".repeat(32), rows: 4 }];
        assert_eq!(
            source_info(&files),
            json!({
                "tool": format!("once {}", env!("CARGO_PKG_VERSION")),
                "files": [{"name": "monday.csv", "sha256": "ab".repeat(32), "rows": 4}],
            })
        );
    }
}
