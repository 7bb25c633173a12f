//! `once` as a person sees it: every ```console block of the README and the book is typed into a real terminal, its
//! prompts are answered as shown, and the screen is compared. `ONCE_DOCS_WRITE=1` writes what is seen into the pages.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use once_tests::once::{Folder, command};
use once_tests::{Db, workspace};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use regex::Regex;

/// What every question ends with; the answer stands behind it.
const PROMPT: &str = " to go on: ";
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: PtySize = PtySize { rows: 120, cols: 100, pixel_width: 0, pixel_height: 0 };

/// A command typed at the shell's prompt, and what the terminal shows for it.
struct Typed {
    command: String,
    shown: Vec<String>,
}

/// What a page has a reader do, in order.
enum Step {
    Sql(String),
    /// With the lines of the block, by number.
    Console(Vec<Typed>, std::ops::Range<usize>),
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for (number, line) in page.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind, number + 1)),
            (Some((kind, start)), Some(_)) => {
                let lines: Vec<&str> = page.lines().skip(start).take(number - start).collect();
                match kind {
                    "sql" => steps.push(Step::Sql(lines.join("\n"))),
                    "console" => steps.push(Step::Console(typed(&lines), start..number)),
                    _ => {}
                }
                open = None;
            }
            _ => {}
        }
    }
    // What comes after the last command is not needed for it.
    let last = steps.iter().rposition(|step| matches!(step, Step::Console(..))).map_or(0, |at| at + 1);
    steps.truncate(last);
    steps
}

fn typed(lines: &[&str]) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push(Typed { command: command.into(), shown: Vec::new() }),
            (None, Some(last)) => last.shown.push((*line).into()),
            (None, None) => {}
        }
    }
    all
}

/// The answers that the page gives to the questions.
fn answers(shown: &[String]) -> impl Iterator<Item = &str> {
    shown.iter().filter_map(|line| line.rsplit_once(PROMPT)).map(|(_, answer)| answer.trim())
}

/// Runs a command line in a terminal of its own; gives what stands on the screen in the end, and the exit code.
fn type_in(db: &Db, folder: &Path, line: &str, answers: &mut dyn Iterator<Item = &str>) -> Result<(String, u32)> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    ensure!(words.next() == Some("once"), "the console shows a command that is not once: {line}");
    let arguments: Vec<&str> = words.collect();
    let prepared = command(db, &arguments)?;
    let mut builder = CommandBuilder::new(prepared.get_program());
    builder.args(prepared.get_args());
    for (name, value) in prepared.get_envs() {
        match value {
            Some(value) => builder.env(name, value),
            None => builder.env_remove(name),
        }
    }
    builder.env("TERM", "xterm-256color");
    builder.cwd(folder);

    let terminal = native_pty_system().openpty(SIZE)?;
    let mut child = terminal.slave.spawn_command(builder)?;
    drop(terminal.slave);
    let screen = listen(terminal.master.try_clone_reader()?);
    let mut keyboard = terminal.master.take_writer()?;
    let (rows, columns) = (NonZero::new(SIZE.rows).context("rows")?, NonZero::new(SIZE.cols).context("columns")?);
    let mut parser = vt100::Parser::new(rows, columns, 0);
    let began = Instant::now();
    let mut answered = 0;
    loop {
        match screen.recv_timeout(Duration::from_millis(100)) {
            Ok(bytes) => parser.process(&bytes),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let seen = parser.screen().contents();
        if seen.matches(PROMPT.trim_end()).count() > answered && seen.trim_end().ends_with(PROMPT.trim_end()) {
            let answer = answers.next().with_context(|| format!("an unexpected question:\n{seen}"))?;
            writeln!(keyboard, "{answer}")?;
            answered += 1;
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            bail!("`{line}` does not end; the screen:\n{seen}");
        }
    }
    let exit = child.wait()?.exit_code();
    let lines: Vec<String> = parser.screen().contents().lines().map(|line| line.trim_end().to_string()).collect();
    Ok((lines.join("\n").trim_end().to_string(), exit))
}

/// What the program writes to the terminal, piece by piece.
fn listen(mut reader: Box<dyn Read + Send>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read) = reader.read(&mut buffer) {
            if read == 0 || sender.send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn job_in(text: &str) -> Result<Option<String>> {
    let job = Regex::new(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")?;
    Ok(job.find(text).map(|found| found.as_str().to_string()))
}

/// Ids, times and durations differ each time.
fn comparable(text: &str) -> Result<String> {
    let mut text = text.to_string();
    if let Some(job) = job_in(&text)? {
        text = text.replace(&job, "<job>");
    }
    for (pattern, stands_for) in [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?)?", "<time>"),
        (r"\b\d+\.\d s\b", "<duration>"),
        (r" +|─+|═+", " "),
    ] {
        text = Regex::new(pattern)?.replace_all(&text, stands_for).into_owned();
    }
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_string())
}

fn check(path: &Path) -> Result<()> {
    let page = fs::read_to_string(path)?;
    let steps = steps(&page);
    ensure!(!steps.is_empty(), "{} has no console block", path.display());
    let db = Db::bare("terminal")?;
    // The commands name the repository's example files, and write one themselves.
    let folder = Folder::new("terminal")?;
    copy_folder(&workspace().join("docs/examples"), &folder.path().join("docs/examples"))?;
    let mut lines: Vec<String> = page.lines().map(String::from).collect();
    let mut seen_blocks = Vec::new();
    let mut job_seen: Option<String> = None;
    for step in &steps {
        let (commands, place) = match step {
            Step::Sql(sql) => {
                db.psql(sql).with_context(|| sql.clone())?;
                continue;
            }
            Step::Console(commands, place) => (commands, place),
        };
        let mut seen_block = Vec::new();
        for typed in commands {
            // The page names the job of another day.
            let line = match (job_in(&typed.command)?, &job_seen) {
                (Some(page), Some(seen)) => typed.command.replace(&page, seen),
                _ => typed.command.clone(),
            };
            let (seen, exit) = type_in(&db, folder.path(), &line, &mut answers(&typed.shown))?;
            let expected = line.split_once("# exit code ").map_or(Ok(0), |(_, code)| code.trim().parse())?;
            ensure!(exit == expected, "`{line}` ended with {exit}:\n{seen}");
            let shown = typed.shown.join("\n");
            job_seen = job_seen.or(job_in(&seen)?);
            if std::env::var_os("ONCE_DOCS_WRITE").is_none() {
                ensure!(
                    comparable(&shown)? == comparable(&seen)?,
                    "{} shows for `{line}`\n{shown}\n\nbut the terminal shows\n{seen}",
                    path.display()
                );
            }
            seen_block.push(format!("$ {line}"));
            seen_block.extend(seen.lines().map(String::from));
            seen_block.push(String::new());
        }
        seen_block.pop();
        seen_blocks.push((place.clone(), seen_block));
    }
    if std::env::var_os("ONCE_DOCS_WRITE").is_some() {
        for (place, seen) in seen_blocks.into_iter().rev() {
            lines.splice(place, seen);
        }
        fs::write(path, lines.join("\n") + "\n")?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() { copy_folder(&path, &to)? } else { fs::copy(&path, &to).map(drop)? }
    }
    Ok(())
}

#[test]
fn the_journey_of_the_readme_is_what_a_terminal_shows() -> Result<()> {
    check(&workspace().join("README.md"))
}

#[test]
fn the_page_about_once_is_what_a_terminal_shows() -> Result<()> {
    check(&workspace().join("docs/once.md"))
}

#[test]
fn any_other_answer_changes_nothing() -> Result<()> {
    let db = Db::new("answers")?;
    db.psql("SELECT once.install_kit('promo_codes', 'public')")?;
    let merchant = "0b5ae7a2-3f0c-4a52-8a6e-7f1d5c2e9b10";
    db.psql(&format!("INSERT INTO codes_check_temp (merchant_id, code) VALUES ('{merchant}', 'A')"))?;
    db.psql(&format!("SELECT once.mark_duplicates_in_temp('{merchant}')"))?;
    let folder = Folder::new("answers")?;
    for answer in ["", "yes", "Y", "YES please"] {
        let (seen, exit) =
            type_in(&db, folder.path(), &format!("once insert {merchant}"), &mut std::iter::once(answer))?;
        ensure!(exit == 4 && seen.contains("Nothing was changed"), "{answer:?} ended with {exit}:\n{seen}");
    }
    ensure!(db.psql("SELECT (SELECT count(*) FROM codes), (SELECT count(*) FROM once.import_jobs)")? == "0|0");
    Ok(())
}
