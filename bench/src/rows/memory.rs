//! What the server needs for one call: how much for how many rows.

use std::fmt;

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use serde_json::{Value, json};
use xtask::run::headline;

use super::cases::{self, HANDWRITTEN, ONCE, Session, handwritten};
use super::patients::File;
use crate::Options;
use crate::lab::Lab;
use crate::resident;

const SIZES: [u64; 2] = [10_000, 100_000];
/// With `--heavy`.
const LARGE: u64 = 500_000;

/// What one call took.
#[derive(Serialize)]
struct Peak {
    contender: &'static str,
    rows: u64,
    /// All rows are there already.
    again: bool,
    /// Of the JSON text.
    input_bytes: u64,
    /// More than the session had before.
    private_bytes: Option<u64>,
}

struct Peaks(Vec<Peak>);

pub fn run(lab: &Lab, options: &Options) -> Result<Value> {
    headline("memory of the server process");
    let mut peaks = Peaks(Vec::new());
    for rows in SIZES.into_iter().chain(options.heavy.then_some(LARGE)).map(|rows| options.scaled(rows)) {
        let file = File::first(&lab.files, options.seed, rows)?;
        lab.sql(&format!(
            "TRUNCATE {}, {} RESTART IDENTITY; CHECKPOINT;",
            cases::HANDWRITTEN_TABLE,
            cases::ONCE_TABLE
        ))?;
        for again in [false, true] {
            // New sessions: what was allocated once may be kept.
            let mut by_hand = Session::open(lab, &handwritten(cases::HANDWRITTEN_TABLE))?;
            let mut once = Session::open(lab, cases::INGEST)?;
            let mut add = |contender, input: &str, private_bytes| {
                peaks.0.push(Peak { contender, rows, again, input_bytes: input.len() as u64, private_bytes });
            };
            let private = peak(&mut by_hand, |session| session.write(&file.clean).map(drop))?;
            add(HANDWRITTEN, file.clean.get(), private);
            let private = peak(&mut once, |session| session.ingest(&file.messy).map(drop))?;
            add(ONCE, file.messy.get(), private);
        }
    }
    println!("{peaks}");
    Ok(json!(peaks.0))
}

/// What a session's server process had more than before, at most.
fn peak(session: &mut Session, work: impl FnOnce(&mut Session) -> Result<()>) -> Result<Option<u64>> {
    let pid = session.client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    let ((), most) = resident::peak(&resident::Of::Process(pid), || work(session))?;
    Ok(most)
}

impl fmt::Display for Peaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        let header = ["peak private memory", "rows", "input MB", "peak MB", "÷ input", "bytes a row"];
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        for Peak { contender, rows, again, input_bytes, private_bytes } in &self.0 {
            let shown = |value: &dyn Fn(f64) -> String| private_bytes.map_or("?".into(), |bytes| value(bytes as f64));
            table.add_row([
                format!("{contender}{}", if *again { ", the same again" } else { "" }),
                rows.to_string(),
                format!("{:.1}", *input_bytes as f64 / 1e6),
                shown(&|bytes| format!("{:.1}", bytes / 1e6)),
                shown(&|bytes| format!("{:.1}", bytes / *input_bytes as f64)),
                shown(&|bytes| format!("{:.0}", bytes / *rows as f64)),
            ]);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")
    }
}
