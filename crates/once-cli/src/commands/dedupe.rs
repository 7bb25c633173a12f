//! `once dedupe`: marks the duplicates among a scope's staged rows.

use std::time::Instant;

use serde_json::{Value, json};

use super::work::{Place, Status, figure};
use crate::args::{Global, Scoped};
use crate::error::{Exit, Result};
use crate::screen::{Screen, counted, number, table, took};

pub fn run(args: &Scoped, global: &Global, screen: &Screen) -> Result<Exit> {
    let mut place = Place::open(global, args)?;
    let before = place.status()?;
    let began = Instant::now();
    let marked = place.watched(screen, "marking duplicates", "mark_duplicates($1, $2)")?;
    let after = after(&marked);
    if after.total_rows == 0 {
        screen.say(format_args!("Nothing is staged of {}.", place.words()));
    } else {
        screen.say(format_args!(
            "Marked {} of {} in {}.",
            counted(after.total_rows, "staged row"),
            place.words(),
            took(began.elapsed())
        ));
        show(screen, &before, &after);
    }
    screen.answer(&json!({
        "success": true, "target": place.target.name, "scope": place.scope, "before": figures(&before), "after": figures(&after),
    }));
    Ok(Exit::Fine)
}

/// The figures of `mark_duplicates`, which are those of the very rows that it marked.
fn after(marked: &Value) -> Status {
    let [total_rows, clean_count, internal_duplicates, database_duplicates] =
        ["total_rows", "clean_count", "internal_duplicates", "database_duplicates"].map(|name| figure(marked, name));
    Status {
        both_duplicates: internal_duplicates + database_duplicates + clean_count - total_rows,
        total_rows,
        clean_count,
        internal_duplicates,
        database_duplicates,
        marked: true,
        emptied: false,
        files: Vec::new(),
    }
}

fn figures(status: &Status) -> Value {
    let mut figures = json!(status);
    if let Some(figures) = figures.as_object_mut() {
        figures.retain(|name, _| !["files", "emptied"].contains(&name.as_str()));
    }
    figures
}

/// Flags that no longer hold are shown as what they are.
fn show(screen: &Screen, before: &Status, after: &Status) {
    let mut table = table(&["rows", if before.marked { "before" } else { "before (not marked)" }, "after"]);
    for (name, before, after) in [
        ("staged", before.total_rows, after.total_rows),
        ("clean", before.clean_count, after.clean_count),
        ("internal duplicates", before.internal_duplicates, after.internal_duplicates),
        ("database duplicates", before.database_duplicates, after.database_duplicates),
        ("both at once", before.both_duplicates, after.both_duplicates),
    ] {
        table.add_row(vec![name.into(), number(before), number(after)]);
    }
    screen.table(&table);
}
