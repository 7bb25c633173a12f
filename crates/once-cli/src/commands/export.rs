//! `once export`: a scope's staged rows as a CSV file, streamed, and there only when it is whole.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use once_core::ident::quote;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;
use serde_json::json;
use tempfile::NamedTempFile;

use super::work::Place;
use crate::args::{Export, Global};
use crate::error::{Exit, Failure, Result};
use crate::interrupt;
use crate::screen::{Screen, counted, took};
use crate::session::{Target, Work};

/// What follows the staged columns.
const ADDED: [&str; 3] = ["duplicate_type", "duplicates_row", "duplicates_id"];
const FLAGS: [&str; 2] = ["internal_dup", "existing_dup"];

pub fn run(args: &Export, global: &Global, screen: &Screen) -> Result<Exit> {
    let path = destination(&args.file)?;
    let mut place = Place::open(global, &args.scoped)?;
    let status = place.status()?;
    place.require_marked(&status)?;
    let expected = if args.all { status.total_rows } else { status.total_rows - status.clean_count };

    let began = Instant::now();
    let mut temporary = temporary(&path).map_err(|error| unwritable(&path, &error))?;
    let bar = screen.rows(u64::try_from(expected).unwrap_or(0)).with_message("exporting");
    let written = stream(args, &mut place, &path, temporary.as_file_mut(), &bar);
    bar.finish_and_clear();
    let rows = written?;
    interrupt::check()?;
    temporary.as_file().sync_all().map_err(|error| unwritable(&path, &error))?;
    temporary.persist(&path).map_err(|error| unwritable(&path, &error.error))?;

    let kind = if args.all { "staged row" } else { "duplicate" };
    screen.say(format_args!("Wrote {} to {} in {}.", counted(rows, kind), path.display(), took(began.elapsed())));
    screen.answer(&json!({
        "success": true, "target": place.target.name, "scope": place.scope, "file": path.to_string_lossy(), "rows": rows, "all": args.all,
    }));
    Ok(Exit::Fine)
}

/// Where the file will be. Behind a link it is the file that the link leads to.
fn destination(file: &Path) -> Result<PathBuf> {
    let shown = file.display();
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => {
            Err(Failure::usage(format!("{shown} is a folder")).hint("Give the name of a file in it."))
        }
        Ok(found) if !found.is_file() => {
            Err(Failure::usage(format!("{shown} is no ordinary file")).hint("Give the name of a file."))
        }
        Ok(_) => fs::canonicalize(file).map_err(|error| unwritable(file, &error)),
        Err(_) if file.file_name().is_none() => Err(Failure::usage(format!("{shown} is not the name of a file"))),
        Err(_) if !folder(file).is_dir() => {
            Err(Failure::usage(format!("there is no folder {}", folder(file).display()))
                .hint("Create it, or give another file."))
        }
        Err(_) => Ok(file.into()),
    }
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file beside the one to write, so that it can take its name in one step; with the rights of the one that it
/// replaces, or those of a new one.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".once-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder(path))?;
    interrupt::unfinished(temporary.path());
    if let Ok(replaced) = fs::metadata(path) {
        temporary.as_file().set_permissions(replaced.permissions())?;
    }
    Ok(temporary)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::problem(format!("{} can't be written: {error}", path.display()))
        .detail("Nothing is left of this export; a file that was there is as it was.")
        .hint("Make room, or give a file in a folder that you may write to.")
}

fn stream(args: &Export, place: &mut Place, path: &Path, file: &mut File, bar: &ProgressBar) -> Result<i64> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => unwritable(path, &error),
        other => Failure::problem(format!("{} can't be written: {other:?}", path.display())),
    };
    let mut work = place.session.transaction()?;
    // As the report's own function has it: fresh staging has no statistics. And dates that any program reads.
    work.execute("SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL DateStyle = ISO")?;
    let columns = columns(&mut work, &place.target.staging)?;
    let sql = statement(&mut work, &place.target, &place.scope, &columns, args.all)?;

    let mut writer = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(file);
    let headings = columns.iter().map(String::as_str).chain(ADDED);
    writer.write_record(headings.map(|heading| cell(heading, args.raw)).map(|c| c.into_owned())).map_err(failed)?;
    let mut rows = work
        .raw()
        .query_typed_raw(&sql, [(&place.scope, Type::TEXT)])
        .map_err(|error| interrupt::explain(error.into()))?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(|error| interrupt::explain(error.into()))? {
        interrupt::check()?;
        for at in 0..row.len() {
            let text: Option<&str> = row.try_get(at)?;
            writer.write_field(cell(text.unwrap_or_default(), args.raw).as_bytes()).map_err(failed)?;
        }
        writer.write_record(None::<&[u8]>).map_err(failed)?;
        count += 1;
        bar.inc(1);
    }
    writer.flush().map_err(|error| unwritable(path, &error))?;
    Ok(count)
}

/// The staged columns in their order, the flags last.
fn columns(work: &mut Work<'_>, staging: &str) -> Result<Vec<String>> {
    let sql = "SELECT a.attname::text FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = $1::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let mut columns = Vec::new();
    for row in work.rows(sql, &[(&staging, Type::TEXT)])? {
        let name: String = row.try_get(0)?;
        if !FLAGS.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    columns.extend(FLAGS.map(String::from));
    Ok(columns)
}

/// The report of duplicates with every column as text: types that this program does not know would be looked up in
/// the database by prepared statements.
fn statement(
    work: &mut Work<'_>,
    target: &Target,
    scope: &Option<String>,
    columns: &[String],
    all: bool,
) -> Result<String> {
    let call = format!("SELECT {}($1, $2, $3)", work.own("duplicate_report_query"));
    let params = [(&target.name as _, Type::TEXT), (scope as _, Type::TEXT), (&columns as _, Type::TEXT_ARRAY)];
    let rows = work.rows(&call, &params)?;
    let report: String = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => return Err(Failure::database("duplicate_report_query gave no statement")),
    };
    // A staged column may be called as one of those that are added, so they go by numbers.
    let names: Vec<String> = (0..columns.len() + ADDED.len()).map(|at| quote(&format!("c{at}"))).collect();
    let texts: Vec<String> = names.iter().map(|name| format!("r.{name}::pg_catalog.text")).collect();
    let kind = format!("r.{}", quote(&format!("c{}", columns.len())));
    let which = if all { String::new() } else { format!(" WHERE {kind} <> 'CLEAN'") };
    Ok(format!("SELECT {} FROM ({report}) AS r ({}){which}", texts.join(", "), names.join(", ")))
}

/// A cell that no spreadsheet runs as a formula: one that begins as a formula does gets an apostrophe in front.
/// Spreadsheets skip blanks before it, and take full-width signs for the plain ones; a number is one, sign or not.
fn cell(text: &str, raw: bool) -> Cow<'_, str> {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let blank =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    let begins = text.starts_with(['\t', '\r', '\n']) || text.trim_start_matches(blank).starts_with(SIGNS);
    if raw || !begins || is_number(text) { text.into() } else { format!("'{text}").into() }
}

/// `-12.5`, `+3`, `-1e-7`: nothing that a formula could be.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && digits.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([cell(text, false).as_ref(), ""]).expect("written");
        let line = String::from_utf8(writer.into_inner().expect("flushed")).expect("UTF-8");
        line.trim_end_matches('\n').trim_end_matches(',').into()
    }

    /// The characters and the two examples of <https://owasp.org/www-community/attacks/CSV_Injection>.
    #[test]
    fn a_spreadsheet_finds_no_formula() {
        for first in ["=", "+", "-", "@", "\t", "\r", "\n"] {
            let formula = format!("{first}cmd|' /C calc'!A0");
            assert_eq!(cell(&formula, false), format!("'{formula}"), "{first:?}");
            assert_eq!(cell(&formula, true), formula);
        }
        assert_eq!(written("=1+2\";=1+2"), "\"'=1+2\"\";=1+2\"");
        assert_eq!(written("=1+2'\" ;,=1+2"), "\"'=1+2'\"\" ;,=1+2\"");
    }

    #[test]
    fn disguised_formulas_are_found_and_values_left_alone() {
        for formula in [
            "＝1+2",
            "＋1",
            "－1",
            "＠SUM(1)",
            "  =1+2",
            "\u{a0}=1",
            "\u{feff}=1",
            " \t-1+1",
            "-",
            "=",
            "-1+1",
            "+1-2",
            "-1e",
            "--1",
            "-inf",
            "+nan",
            "-0x1",
        ] {
            assert_eq!(cell(formula, false), format!("'{formula}"), "{formula:?}");
        }
        for value in ["", "SUMMER-001", "a=b", "-12.5", "+3", "-1e-7", "0", "12", "'=1", " a", "é@x"] {
            assert_eq!(cell(value, false), value, "{value:?}");
        }
    }

    #[test]
    fn a_file_needs_a_folder_that_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(destination(&folder.path().join("new.csv")).is_ok());
        for wrong in [folder.path().into(), folder.path().join("none/new.csv"), PathBuf::from("/dev/null"), "..".into()]
        {
            assert_eq!(destination(&wrong).expect_err("no file").exit, Exit::Usage, "{wrong:?}");
        }
    }
}
