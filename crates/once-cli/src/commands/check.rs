//! `once check`: what is in the files of a folder, told without a database.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use comfy_table::Cell;
use once_core::header::columns_of;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::Check;
use crate::error::{Exit, Result};
use crate::screen::{Screen, counted, grouped, number, right, safe, table, took};
use crate::source::{self, Reading, Row, Rows, name_of};

/// What is read of each file without `--deep`.
const SAMPLE: u64 = 1 << 20;

/// What was found in a file.
#[derive(Debug, Default, Serialize)]
struct Finding {
    name: String,
    bytes: u64,
    encoding: String,
    delimiter: String,
    line_ends: String,
    columns: Vec<String>,
    /// Rows with a value; an estimate where not all was read.
    rows: u64,
    estimated: bool,
    blank: u64,
    bad_rows: u64,
    /// What makes the file invalid.
    problems: Vec<String>,
    /// What is worth knowing.
    notes: Vec<String>,
}

pub fn run(args: &Check, screen: &Screen) -> Result<Exit> {
    let (exit, answer) = check(args, screen)?;
    screen.answer(&answer);
    Ok(exit)
}

/// Checks a folder; what was found is shown, and given as JSON.
pub fn check(args: &Check, screen: &Screen) -> Result<(Exit, Value)> {
    let began = Instant::now();
    let files = source::list(&args.files.dir)?;
    let bar = screen.bytes(files.len() as u64 * SAMPLE);
    let mut findings = Vec::new();
    for path in &files {
        bar.set_message(safe(&name_of(path)));
        findings.push(look(path, args)?);
        bar.inc(SAMPLE);
    }
    bar.finish_and_clear();
    show(&findings, screen);
    let invalid = findings.iter().filter(|finding| !finding.problems.is_empty()).count();
    let about = if findings.iter().any(|finding| finding.estimated) { "about " } else { "" };
    screen.say(format_args!(
        "{}, {about}{}, {invalid} invalid, in {}",
        counted(findings.len() as u64, "file"),
        counted(findings.iter().map(|finding| finding.rows).sum::<u64>(), "row"),
        took(began.elapsed())
    ));
    let exit = if invalid > 0 { Exit::Problems } else { Exit::Fine };
    Ok((exit, json!({"success": invalid == 0, "invalid": invalid, "files": findings})))
}

fn look(path: &Path, args: &Check) -> Result<Finding> {
    let mut finding = Finding { name: name_of(path), ..Finding::default() };
    match read(path, args, &mut finding) {
        Err(failure) if failure.exit == Exit::Problems => {
            let place = format!("{}, ", finding.name);
            let said = failure
                .message
                .strip_prefix(&place)
                .or_else(|| failure.message.strip_prefix(&place.replace(", ", ": ")));
            finding.problems.push(said.unwrap_or(&failure.message).into());
            finding.notes.extend(failure.hint);
            Ok(finding)
        }
        outcome => outcome.map(|()| finding),
    }
}

fn read(path: &Path, args: &Check, finding: &mut Finding) -> Result<()> {
    finding.bytes = path.metadata().map_err(|error| source::unreadable(path, &error))?.len();
    let reading = Reading { delimiter: args.files.delimiter, encoding: args.files.encoding };
    let mut rows = Rows::open(path, &reading)?;
    finding.encoding = rows.shape.encoding_name();
    finding.delimiter = rows.shape.delimiter_name();
    finding.line_ends = rows.shape.line_ends.to_string();
    finding.columns.clone_from(&rows.header);
    check_header(&rows.header, args, finding);

    let mut first_bad = None;
    loop {
        match rows.next()? {
            None => break,
            Some(Row::Good { .. }) => finding.rows += 1,
            Some(Row::Bad(reject)) => {
                finding.bad_rows += 1;
                first_bad.get_or_insert(reject);
            }
        }
        let read = rows.consumed();
        if !args.deep && read > SAMPLE && finding.bytes > read {
            finding.rows = finding.rows.saturating_mul(finding.bytes) / read;
            finding.estimated = true;
            break;
        }
    }
    finding.blank = rows.blank;
    if let Some(reject) = first_bad {
        finding.problems.push(format!("{}, first at {reject}", counted(finding.bad_rows, "bad row")));
    } else if finding.rows == 0 {
        finding.notes.push("has a header and no rows".into());
    }
    Ok(())
}

fn check_header(header: &[String], args: &Check, finding: &mut Finding) {
    let mut wanted = args.require.clone();
    wanted.extend(args.files.map.iter().map(|(column, _)| column.clone()).filter(|c| !args.require.contains(c)));
    match columns_of(header, &wanted, &args.files.map, &BTreeMap::new()) {
        Err(twice) => finding.problems.push(twice.to_string()),
        Ok(filled) => {
            let missing =
                (0..args.require.len()).filter(|at| !filled.contains(&Some(*at))).map(|at| args.require[at].as_str());
            let missing: Vec<&str> = missing.collect();
            if !missing.is_empty() {
                finding.problems.push(format!("no column {} (--map {}=NAME?)", missing.join(", "), missing[0]));
            }
        }
    }
    let unnamed = header.iter().filter(|name| name.is_empty()).count();
    if unnamed > 0 {
        finding.notes.push(format!("{} without a name", counted(unnamed as u64, "column")));
    }
    if finding.problems.is_empty() {
        note_repeated(header, finding);
    }
}

/// Columns that nothing is filled by may come twice.
fn note_repeated(header: &[String], finding: &mut Finding) {
    let twice = header.iter().enumerate().find(|(at, name)| !name.is_empty() && header[..*at].contains(name));
    if let Some((_, name)) = twice {
        finding.notes.push(format!("the header has \"{name}\" twice"));
    }
}

fn show(findings: &[Finding], screen: &Screen) {
    let mut shown = table(&["file", "rows", "blank", "columns", "encoding", "delimiter", "lines", "status"]);
    for finding in findings {
        let mut status = if finding.problems.is_empty() { vec!["ok".to_string()] } else { finding.problems.clone() };
        status.extend(finding.notes.iter().cloned());
        let about = if finding.estimated { "~" } else { "" };
        shown.add_row(vec![
            Cell::new(safe(&finding.name)),
            right(format!("{about}{}", grouped(finding.rows))),
            number(finding.blank),
            number(finding.columns.len() as u64),
            Cell::new(&finding.encoding),
            Cell::new(&finding.delimiter),
            Cell::new(&finding.line_ends),
            Cell::new(safe(&status.join("; "))),
        ]);
    }
    screen.table(&shown);
}
