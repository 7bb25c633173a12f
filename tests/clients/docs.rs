//! The README and the book are true: every ```sql block runs in psql, a session a page, and prints what the ```text
//! block after it shows. `ONCE_DOCS_WRITE=1` writes what is printed into the pages instead.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use once_tests::{Db, workspace};
use regex::Regex;

/// A block of SQL and, by their line numbers, the lines of the text block that shows its output.
struct Block {
    sql: String,
    may_fail: bool,
    shown: Option<std::ops::Range<usize>>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for (number, line) in page.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind, number + 1)),
            (Some((kind, start)), Some(_)) => {
                if kind == "sql" || kind == "sql error" {
                    let sql = page.lines().skip(start).take(number - start).collect::<Vec<_>>().join("\n");
                    blocks.push(Block { sql, may_fail: kind == "sql error", shown: None });
                } else if kind == "text"
                    && let Some(last) = blocks.last_mut()
                {
                    last.shown = Some(start..number);
                }
                open = None;
            }
            _ => {}
        }
    }
    blocks
}

/// What psql prints for each block.
fn run(db: &Db, blocks: &[Block]) -> Result<Vec<String>> {
    let mut script = String::new();
    for block in blocks {
        let stop = if block.may_fail { "off" } else { "on" };
        script += &format!("\\echo ---8<---\n\\set ON_ERROR_STOP {stop}\n{}\n", block.sql);
    }
    // One file for both streams, as a person sees them.
    let path = std::env::temp_dir().join(db.name());
    let printed = fs::File::create(&path)?;
    let mut psql = db.cluster().client("psql");
    psql.args(["-X", "-d", db.name()]).current_dir(workspace());
    let mut child = psql.stdin(Stdio::piped()).stdout(printed.try_clone()?).stderr(printed).spawn()?;
    child.stdin.take().context("psql has no stdin")?.write_all(script.as_bytes())?;
    let status = child.wait()?;
    let printed = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    ensure!(status.success(), "psql stopped:\n{printed}");
    Ok(printed.split("---8<---\n").skip(1).map(|part| part.trim_end().to_string()).collect())
}

/// Ids and times differ each time, and with them the widths of columns.
fn comparable(text: &str) -> Result<String> {
    let id = Regex::new(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")?;
    let time = Regex::new(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+\d\d(:\d\d)?)?")?;
    let width = Regex::new(r" +|-{2,}")?;
    let text = time.replace_all(text, "<time>");
    let text = id.replace_all(&text, "<job>");
    let lines = text.lines().map(|line| width.replace_all(line.trim_end(), " ").trim().to_string());
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn check(path: &Path) -> Result<()> {
    let page = fs::read_to_string(path)?;
    let blocks = blocks(&page);
    ensure!(!blocks.is_empty(), "{} has no SQL", path.display());
    let db = Db::bare("docs")?;
    let printed = run(&db, &blocks).with_context(|| path.display().to_string())?;
    ensure!(printed.len() == blocks.len(), "{}: a block printed the marker", path.display());
    if std::env::var_os("ONCE_DOCS_WRITE").is_some() {
        let mut lines: Vec<&str> = page.lines().collect();
        for (block, printed) in blocks.iter().zip(&printed).rev() {
            if let Some(shown) = &block.shown {
                lines.splice(shown.clone(), printed.lines());
            }
        }
        fs::write(path, lines.join("\n") + "\n")?;
        return Ok(());
    }
    for (block, printed) in blocks.iter().zip(&printed) {
        let Some(shown) = &block.shown else { continue };
        let shown = page.lines().skip(shown.start).take(shown.len()).collect::<Vec<_>>().join("\n");
        ensure!(
            comparable(&shown)? == comparable(printed)?,
            "{} shows\n{shown}\n\nbut psql prints\n{printed}\n\nfor\n{}",
            path.display(),
            block.sql
        );
    }
    Ok(())
}

#[test]
fn the_readme_is_true() -> Result<()> {
    check(&workspace().join("README.md"))
}

#[test]
fn the_book_is_true() -> Result<()> {
    let mut pages = 0;
    for page in fs::read_dir(workspace().join("docs"))? {
        let page = page?.path();
        if page.extension().is_some_and(|extension| extension == "md") {
            check(&page)?;
            pages += 1;
        }
    }
    ensure!(pages >= 3, "only {pages} pages were found");
    Ok(())
}
