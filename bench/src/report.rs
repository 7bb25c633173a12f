//! What was found: a table to read, JSON to keep, and whether it is what was hoped for.

use std::fmt;

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use serde_json::Value;

use crate::measure::{Measured, Run};
use crate::step::{Goal, Step, Unit, Wanted};

#[derive(Serialize)]
pub struct Report<'a> {
    step: &'a str,
    unit: &'static str,
    data: Value,
    contenders: Vec<Line<'a>>,
    goals: Vec<Verdict>,
    #[serde(skip)]
    short: bool,
}

#[derive(Serialize)]
pub struct Line<'a> {
    pub name: &'a str,
    pub units: u64,
    pub median_seconds: f64,
    units_per_second: f64,
    /// Its time for one unit by that of others.
    ratios: Vec<Ratio<'a>>,
    /// Of client and server; says more than the time where others disturbed.
    median_cpu_seconds: Option<f64>,
    peak_bytes: Option<u64>,
    pub median_wal_bytes: Option<f64>,
    /// Of the table, before the first run and after the last.
    table_bytes: Option<[u64; 2]>,
    pub runs: &'a [Run],
}

#[derive(Serialize)]
struct Ratio<'a> {
    to: &'a str,
    times: f64,
}

/// Whether it is as was hoped for.
#[derive(Clone, Serialize)]
pub struct Verdict {
    goal: String,
    found: String,
    /// Nothing where less was measured than the goal is about.
    met: Option<bool>,
}

impl<'a> Report<'a> {
    pub fn of(step: &'a Step, measured: &'a Measured, data: impl Serialize, scale: f64) -> Result<Self> {
        let contenders = step.contenders.iter().zip(measured);
        let lines = contenders.map(|(contender, runs)| Line::of(contender.name, contender.units, runs)).collect();
        let report = Self::new(&step.name, step.unit, lines, step.against, step.goals, scale);
        Ok(Self { data: serde_json::to_value(data)?, ..report })
    }

    /// Of these lines, which are compared with some of them.
    pub fn new(
        step: &'a str,
        unit: Unit,
        contenders: Vec<Line<'a>>,
        against: &[&str],
        goals: &[Goal],
        scale: f64,
    ) -> Self {
        let Unit { name: unit, short } = unit;
        let mut report = Self { step, unit, data: Value::Null, contenders, goals: Vec::new(), short };
        let times: Vec<_> = report.contenders.iter().map(|line| (line.name, line.seconds_each())).collect();
        for line in &mut report.contenders {
            let others = times.iter().filter(|(name, _)| against.contains(name));
            line.ratios = others.map(|(to, seconds)| Ratio { to, times: line.seconds_each() / seconds }).collect();
        }
        let verdicts = goals.iter().filter_map(|goal| report.verdict(goal.of, &goal.wanted));
        report.goals = verdicts.map(|verdict| verdict.at(scale)).collect();
        report
    }

    pub fn goals(&self) -> &[Verdict] {
        &self.goals
    }

    pub fn lines(&self) -> &[Line<'a>] {
        &self.contenders
    }

    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// The time of one unit.
    pub fn seconds_each(&self, of: &str) -> Option<f64> {
        self.line(of).map(Line::seconds_each)
    }

    /// How the time of one of `parts` equal parts of a run is spent.
    pub fn spent(&self, of: &str, parts: usize) -> Option<String> {
        let runs = self.line(of)?.runs;
        let part = |value: fn(&Run) -> f64| median(runs, value) * 1e3 / parts as f64;
        let server = part(|run| run.server_cpu.unwrap_or(f64::NAN));
        let (all, client) = (part(|run| run.seconds), part(|run| run.client_cpu));
        Some(format!("{all:.0} ms; CPU: server {server:.0} ms, client {client:.0} ms"))
    }

    fn line(&self, name: &str) -> Option<&Line<'a>> {
        self.contenders.iter().find(|line| line.name == name)
    }

    /// A warning, if others took much of a processor while it was measured.
    pub fn disturbance(&self) -> Option<String> {
        let runs = || self.contenders.iter().flat_map(|line| line.runs);
        let others: f64 = runs().map(|run| run.others_cpu).sum::<Option<f64>>()?;
        let share = others / runs().map(|run| run.seconds).sum::<f64>();
        let percent = share * 100.0;
        let warning = format!("others took {percent:.0} % of a processor meanwhile: the times are not to be trusted");
        Some(warning).filter(|_| share > 0.1)
    }

    fn verdict(&self, of: &str, wanted: &Wanted) -> Option<Verdict> {
        let this = self.line(of)?;
        let unit = self.unit;
        Some(match *wanted {
            Wanted::AtMost(times, other) => {
                let found = this.seconds_each() / self.seconds_each(other)?;
                Verdict::at_most(format!("{of} takes at most {times} × the time of {other}"), found, times)
            }
            Wanted::Faster(times, other) => {
                let found = self.seconds_each(other)? / this.seconds_each();
                Verdict::faster(format!("{other} takes at least {times} × the time of {of}"), found, times)
            }
            Wanted::Rate(units) => Verdict {
                goal: format!("{of} does {units} {unit}/s"),
                found: format!("{:.0} {unit}/s", this.units_per_second),
                met: Some(this.units_per_second >= units),
            },
            Wanted::NoGrowth => {
                let [before, after] = this.table_bytes?;
                Verdict {
                    goal: format!("the table of {of} does not grow by {} {unit}", this.units * this.runs.len() as u64),
                    found: format!("{} bytes", i128::from(after) - i128::from(before)),
                    met: Some(after <= before),
                }
            }
        })
    }
}

impl<'a> Line<'a> {
    pub fn of(name: &'a str, units: u64, runs: &'a [Run]) -> Self {
        let known = |value: f64| Some(value).filter(|value| !value.is_nan());
        let median_seconds = median(runs, |run| run.seconds);
        let sizes = |run: Option<&Run>| run?.written.as_ref().map(|written| written.table_bytes);
        let wal = |run: &Run| run.wal_bytes().map_or(f64::NAN, |bytes| bytes as f64);
        Self {
            name,
            units,
            median_seconds,
            units_per_second: units as f64 / median_seconds,
            ratios: Vec::new(),
            median_cpu_seconds: known(median(runs, Run::cpu)),
            peak_bytes: runs.iter().map(|run| run.peak_bytes).max().flatten(),
            median_wal_bytes: known(median(runs, wal)),
            table_bytes: sizes(runs.first()).zip(sizes(runs.last())).map(|([before, _], [_, after])| [before, after]),
            runs,
        }
    }

    pub fn seconds_each(&self) -> f64 {
        self.median_seconds / self.units as f64
    }
}

impl Verdict {
    /// Says whether it is met only where all was measured that the goal is about.
    pub fn at(self, scale: f64) -> Self {
        Self { met: self.met.filter(|_| scale >= 1.0), ..self }
    }

    pub fn at_most(goal: String, found: f64, times: f64) -> Self {
        Self { goal, found: format!("{found:.2} ×"), met: Some(found <= times) }
    }

    pub fn faster(goal: String, found: f64, times: f64) -> Self {
        Self { goal, found: format!("{found:.2} ×"), met: Some(found >= times) }
    }

    pub fn memory(goal: String, peak_bytes: Option<u64>, bytes: u64) -> Self {
        let found = peak_bytes.map_or("unknown".into(), megabytes);
        Self { goal, found, met: Some(peak_bytes.is_some_and(|peak| peak < bytes)) }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// The middle one, or the mean of the two in the middle.
pub fn median(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let middle = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    (middle(values.len() / 2) + middle(values.len().saturating_sub(1) / 2)) / 2.0
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, unit, short, .. } = *self;
        let time = if short { "µs" } else { "s" };
        let shown = |line: &Line, seconds: f64, places: usize| {
            if short { format!("{:.1}", seconds * 1e6 / line.units as f64) } else { format!("{seconds:.places$}") }
        };
        let any = |has: fn(&Line) -> bool| self.contenders.iter().any(has);
        let (cpu, peak) = (any(|line| line.median_cpu_seconds.is_some()), any(|line| line.peak_bytes.is_some()));
        let written = any(|line| line.table_bytes.is_some());

        let mut table = Table::new();
        let mut header = vec![step.to_owned(), format!("median {time}"), format!("all {time}"), format!("{unit}/s")];
        let others = self.contenders.first().map(|line| line.ratios.as_slice()).unwrap_or_default();
        header.extend(others.iter().map(|ratio| format!("÷ {}", ratio.to)));
        header.extend(cpu.then(|| format!("CPU {time}")));
        header.extend(peak.then(|| "client MB".into()));
        header.extend(written.then(|| ["WAL bytes".into(), "table MB".into()]).into_iter().flatten());
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        for line in &self.contenders {
            let all: Vec<_> = line.runs.iter().map(|run| shown(line, run.seconds, 2)).collect();
            let mut row = vec![
                line.name.to_owned(),
                shown(line, line.median_seconds, 2),
                all.join(" "),
                format!("{:.0}", line.units_per_second),
            ];
            row.extend(line.ratios.iter().map(|ratio| format!("{:.2}", ratio.times)));
            row.extend(cpu.then(|| line.median_cpu_seconds.map_or("?".into(), |seconds| shown(line, seconds, 2))));
            row.extend(peak.then(|| line.peak_bytes.map_or("?".into(), |bytes| format!("{:.0}", bytes as f64 / 1e6))));
            if let (Some(wal), Some(sizes)) = (line.median_wal_bytes, line.table_bytes) {
                let [before, after] = sizes.map(|bytes| format!("{:.1}", bytes as f64 / 1e6));
                row.extend([format!("{:.0}", wal / line.units as f64), format!("{before} → {after}")]);
            }
            table.add_row(row);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")?;
        self.goals.iter().try_for_each(|verdict| write!(f, "\n{verdict}"))?;
        self.disturbance().map_or(Ok(()), |warning| write!(f, "\n{warning}"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { goal, found, met } = self;
        match met {
            Some(met) => write!(f, "goal: {goal}: {found}, {}", if *met { "met" } else { "NOT met" }),
            None => write!(f, "goal at scale 1: {goal}: here {found}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        let runs = |seconds: &[f64]| {
            let run = |&seconds: &f64| Run {
                seconds,
                client_cpu: 0.0,
                server_cpu: None,
                others_cpu: None,
                peak_bytes: None,
                written: None,
                server: None,
            };
            seconds.iter().map(run).collect::<Vec<_>>()
        };
        let median = |seconds: &[f64]| median(&runs(seconds), |run| run.seconds);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
