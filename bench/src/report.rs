//! What was found: a table to read, JSON to keep, and whether it is what was hoped for.

use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::contenders::{Step, Wanted};
use crate::generate::Data;
use crate::measure::{Measured, Run};

#[derive(Serialize)]
pub struct Report<'a> {
    step: &'a str,
    data: &'a Data,
    contenders: Vec<Line<'a>>,
    goals: Vec<Verdict>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    median_seconds: f64,
    rows_per_second: f64,
    /// Its time by that of others.
    ratios: Vec<Ratio<'a>>,
    /// Of client and server; says more than the time where others disturbed.
    median_cpu_seconds: Option<f64>,
    peak_bytes: u64,
    runs: &'a [Run],
}

#[derive(Serialize)]
struct Ratio<'a> {
    to: &'a str,
    times: f64,
}

#[derive(Serialize)]
struct Verdict {
    goal: String,
    found: String,
    met: bool,
}

impl<'a> Report<'a> {
    pub fn of(step: &'a Step, measured: &'a Measured, data: &'a Data) -> Self {
        let lines = step.contenders.iter().zip(measured).map(|(contender, runs)| {
            let median_seconds = median(runs, |run| run.seconds);
            let median_cpu_seconds = Some(median(runs, Run::cpu)).filter(|seconds| !seconds.is_nan());
            Line {
                name: contender.name,
                median_seconds,
                median_cpu_seconds,
                rows_per_second: data.rows as f64 / median_seconds,
                ratios: Vec::new(),
                peak_bytes: runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0),
                runs,
            }
        });
        let mut report = Self { step: step.name, data, contenders: lines.collect(), goals: Vec::new() };
        let times: Vec<(&str, f64)> = report.contenders.iter().map(|line| (line.name, line.median_seconds)).collect();
        for line in &mut report.contenders {
            let others = times.iter().filter(|(name, _)| step.against.contains(name));
            line.ratios = others.map(|(to, seconds)| Ratio { to, times: line.median_seconds / seconds }).collect();
        }
        report.goals = step.goals.iter().filter_map(|goal| report.verdict(goal.of, &goal.wanted)).collect();
        report
    }

    /// How much of a processor others took while it was measured.
    fn disturbance(&self) -> Option<f64> {
        let runs = || self.contenders.iter().flat_map(|line| line.runs);
        let others: f64 = runs().map(|run| run.others_cpu).sum::<Option<f64>>()?;
        Some(others / runs().map(|run| run.seconds).sum::<f64>())
    }

    fn verdict(&self, of: &str, wanted: &Wanted) -> Option<Verdict> {
        let line = |name| self.contenders.iter().find(|line| line.name == name);
        let this = line(of)?;
        Some(match *wanted {
            Wanted::AtMost(times, other) => {
                let found = this.median_seconds / line(other)?.median_seconds;
                Verdict {
                    goal: format!("{of} takes at most {times} × the time of {other}"),
                    found: format!("{found:.2} ×"),
                    met: found <= times,
                }
            }
            Wanted::Faster(times, other) => {
                let found = line(other)?.median_seconds / this.median_seconds;
                Verdict {
                    goal: format!("{other} takes at least {times} × the time of {of}"),
                    found: format!("{found:.2} ×"),
                    met: found >= times,
                }
            }
            Wanted::Memory(bytes) => Verdict {
                goal: format!("{of} needs under {} MB", bytes / 1_000_000),
                found: format!("{:.0} MB", this.peak_bytes as f64 / 1e6),
                met: this.peak_bytes < bytes,
            },
        })
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(runs: &[Run], seconds: impl Fn(&Run) -> f64) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let middle = |at: usize| seconds.get(at).copied().unwrap_or(f64::NAN);
    (middle(seconds.len() / 2) + middle(seconds.len().saturating_sub(1) / 2)) / 2.0
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        let mut header = vec![self.step.to_owned(), "median s".into(), "all s".into(), "rows/s".into()];
        let others = self.contenders.first().map(|line| line.ratios.as_slice()).unwrap_or_default();
        header.extend(others.iter().map(|ratio| format!("÷ {}", ratio.to)));
        header.extend(["CPU s".into(), "client MB".into()]);
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        for line in &self.contenders {
            let all: Vec<_> = line.runs.iter().map(|run| format!("{:.2}", run.seconds)).collect();
            let mut row = vec![
                line.name.to_owned(),
                format!("{:.2}", line.median_seconds),
                all.join(" "),
                format!("{:.0}", line.rows_per_second),
            ];
            row.extend(line.ratios.iter().map(|ratio| format!("{:.2}", ratio.times)));
            row.push(line.median_cpu_seconds.map_or("?".into(), |seconds| format!("{seconds:.2}")));
            row.push(format!("{:.0}", line.peak_bytes as f64 / 1e6));
            table.add_row(row);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")?;
        for verdict in &self.goals {
            let met = if verdict.met { "met" } else { "NOT met" };
            write!(f, "\ngoal: {}: {}, {met}", verdict.goal, verdict.found)?;
        }
        match self.disturbance() {
            Some(share) if share > 0.1 => {
                write!(
                    f,
                    "\nothers took {:.0} % of a processor meanwhile: the times are not to be trusted",
                    share * 100.0
                )
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        let runs = |seconds: &[f64]| {
            let run = |s: &f64| Run { seconds: *s, client_cpu: 0.0, server_cpu: None, others_cpu: None, peak_bytes: 0 };
            seconds.iter().map(run).collect::<Vec<_>>()
        };
        let median = |seconds: &[f64]| median(&runs(seconds), |run| run.seconds);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
