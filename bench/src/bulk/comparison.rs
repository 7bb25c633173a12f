//! The same steps under two conditions: what a row costs in the one and in the other.

use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::measure::Run;
use crate::report::{Verdict, median};

#[derive(Serialize)]
pub struct Comparison {
    /// What one and the other condition are.
    names: [String; 2],
    steps: Vec<Compared>,
    goals: Vec<Verdict>,
}

#[derive(Serialize)]
struct Compared {
    step: &'static str,
    seconds: [f64; 2],
    rows: [u64; 2],
    /// A row's time in the second by its time in the first.
    ratio: f64,
}

impl Comparison {
    pub fn new(names: [String; 2]) -> Self {
        Self { names, steps: Vec::new(), goals: Vec::new() }
    }

    /// Adds a step: the runs under both conditions, and how many rows these were.
    pub fn add(&mut self, step: &'static str, runs: [&[Run]; 2], rows: [u64; 2]) {
        let seconds = runs.map(|runs| median(runs, |run| run.seconds));
        let ratio = seconds[1] / rows[1] as f64 / (seconds[0] / rows[0] as f64);
        self.steps.push(Compared { step, seconds, rows, ratio });
    }

    /// Wants the ratio of each step so far to be at most this.
    pub fn want(&mut self, times: f64, scale: f64) {
        let [before, after] = &self.names;
        let verdict = |compared: &Compared| {
            let goal =
                format!("{}: a row of {after} takes at most {times} × the time of one of {before}", compared.step);
            Verdict::at_most(goal, compared.ratio, times).at(scale)
        };
        self.goals = self.steps.iter().map(verdict).collect();
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = &self.names;
        let mut table = Table::new();
        let seconds = [before, after].map(|name| format!("{name}, s"));
        let each = [before, after].map(|name| format!("{name}, µs a row"));
        let header = ["step".into()].into_iter().chain(seconds).chain(each).chain(["ratio".into()]);
        table.load_style(UTF8_FULL_CONDENSED).set_header(header.collect::<Vec<String>>());
        for Compared { step, seconds, rows, ratio } in &self.steps {
            let shown = seconds.map(|seconds| format!("{seconds:.3}"));
            let each = [0, 1].map(|at| format!("{:.3}", seconds[at] * 1e6 / rows[at] as f64));
            let row = [(*step).into()].into_iter().chain(shown).chain(each).chain([format!("{ratio:.2}")]);
            table.add_row(row.collect::<Vec<String>>());
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")?;
        self.goals.iter().try_for_each(|verdict| write!(f, "\n{verdict}"))
    }
}
