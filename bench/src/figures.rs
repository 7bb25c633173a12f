//! The table at the end: each step once, and what it cost each kind of contender.

use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::report::{Line, Report};

/// What a contender is, whatever it is called in its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The way that is in the books.
    Reference,
    /// The best that is written by hand.
    Expert,
    PgOnce,
    /// What the machine can do.
    Limit,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Reference, Self::Expert, Self::PgOnce, Self::Limit];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Expert => "expert",
            Self::PgOnce => "pg_once",
            Self::Limit => "limit",
        }
    }
}

/// A step of the table.
#[derive(Clone, Serialize)]
pub struct Figures {
    pub step: String,
    unit: &'static str,
    pub contenders: Vec<Figure>,
}

/// What it cost one of them: medians, and the highest peak.
#[derive(Clone, Serialize)]
pub struct Figure {
    pub role: Role,
    /// What it is in this step.
    name: String,
    pub seconds: f64,
    units: u64,
    peak_bytes: Option<u64>,
    wal_bytes: Option<f64>,
    table_bytes: Option<u64>,
    index_bytes: Option<u64>,
}

impl Figures {
    /// Of a report's contenders, those that have a role.
    pub fn of(report: &Report, step: &str, roles: &[(&str, Role)]) -> Self {
        let figure = |&(name, role): &(&str, Role)| {
            Some(Figure::of(report.lines().iter().find(|line| line.name == name)?, role))
        };
        Self { step: step.into(), unit: report.unit(), contenders: roles.iter().filter_map(figure).collect() }
    }

    /// The time of one by that of another.
    pub fn ratio(&self, of: Role, to: Role) -> Option<f64> {
        let seconds = |role| self.contenders.iter().find(|figure| figure.role == role).map(|figure| figure.seconds);
        Some(seconds(of)? / seconds(to)?)
    }
}

impl Figure {
    fn of(line: &Line, role: Role) -> Self {
        let server = || line.runs.iter().filter_map(|run| run.server.as_ref());
        Self {
            role,
            name: line.name.into(),
            seconds: line.median_seconds,
            units: line.units,
            peak_bytes: server().filter_map(|server| server.peak_bytes).max(),
            wal_bytes: line.median_wal_bytes,
            table_bytes: server().filter_map(|server| server.table_bytes).max(),
            index_bytes: server().filter_map(|server| server.index_bytes).max(),
        }
    }

    /// What it is called, with what it is in this step.
    fn title(&self) -> String {
        let role = self.role.name();
        if self.name == role { role.into() } else { format!("{role}: {}", self.name) }
    }
}

pub struct Summary<'a>(pub &'a [Figures]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        let mut header: Vec<String> = ["step", "contender", "s", "units/s"].map(Into::into).into();
        header.extend([Role::Reference, Role::Expert, Role::Limit].map(|role| format!("÷ {}", role.name())));
        header.extend(["peak MB", "WAL MB", "table MB", "index MB"].map(Into::into));
        table.load_style(UTF8_FULL_CONDENSED).set_header(header);
        for figures in self.0 {
            for (at, figure) in figures.contenders.iter().enumerate() {
                let step = if at == 0 { figures.step.as_str() } else { "" };
                table.add_row(figures.row(step, figure));
            }
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")
    }
}

impl Figures {
    fn row(&self, step: &str, figure: &Figure) -> Vec<String> {
        let megabytes = |bytes: Option<f64>| bytes.map_or(String::new(), |bytes| format!("{:.1}", bytes / 1e6));
        let whole = |bytes: Option<u64>| megabytes(bytes.map(|bytes| bytes as f64));
        let ratio = |to| self.ratio(figure.role, to).map_or(String::new(), |times| format!("{times:.2}"));
        vec![
            step.into(),
            figure.title(),
            seconds(figure.seconds),
            format!("{:.0} {}", figure.units as f64 / figure.seconds, self.unit),
            ratio(Role::Reference),
            ratio(Role::Expert),
            ratio(Role::Limit),
            whole(figure.peak_bytes),
            megabytes(figure.wal_bytes),
            whole(figure.table_bytes),
            whole(figure.index_bytes),
        ]
    }
}

/// With as many places as say something.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{seconds:.3}"),
        ..100.0 => format!("{seconds:.2}"),
        _ => format!("{seconds:.1}"),
    }
}
