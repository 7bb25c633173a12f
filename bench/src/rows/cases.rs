//! Bringing a file of patients into a table that knows none, all or most of them, with others or without.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use postgres::types::Json;
use postgres::{Client, Statement};
use serde_json::Value;
use serde_json::value::RawValue;

use super::patients::{COLUMNS, File};
use crate::lab::Lab;
use crate::measure::{Run, Written, time, time_own};
use crate::step::{Contender, Goal, Step, Unit, Wanted};

pub const HANDWRITTEN: &str = "hand-written SQL";
pub const ROW_BY_ROW: &str = "row by row";
pub const ONCE: &str = "pg_once";

pub const HANDWRITTEN_TABLE: &str = "handwritten.patients";
pub const ONCE_TABLE: &str = "public.patients";
const ROW_BY_ROW_TABLE: &str = "row_by_row.patients";
/// What a case begins with.
const BEFORE: &str = "before.patients";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// None of the patients is known.
    First,
    /// All are, as they are in the file.
    Again,
    /// Another file: most are, some with other values.
    Later,
}

#[derive(Clone, Copy)]
pub struct Scenario {
    pub case: Case,
    /// How many patients the table holds that are in no file.
    pub others: u64,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = match self.case {
            Case::First => "first run",
            Case::Again => "the same again",
            Case::Later => "a later file",
        };
        write!(f, "{case}, {} others", self.others)
    }
}

impl Scenario {
    /// Where there is nothing to begin with.
    fn is_empty(self) -> bool {
        self.case == Case::First && self.others == 0
    }

    /// What becomes of a file's rows: inserted, updated, unchanged.
    fn outcomes(self, file: &File) -> [u64; 3] {
        match self.case {
            Case::First => [file.rows, 0, 0],
            Case::Again => [0, 0, file.rows],
            Case::Later => [file.new, file.changed, file.rows - file.new - file.changed],
        }
    }

    /// How many patients there are in the end.
    fn rows(self, file: &File) -> u64 {
        self.others + file.rows + file.new
    }
}

/// What the contenders work with.
pub struct Work<'a> {
    pub lab: &'a Lab,
    pub python: PathBuf,
}

/// Brings a table's worth of patients to where [`reset`] takes them from.
pub fn begin(lab: &Lab, scenario: Scenario, first: &File) -> Result<()> {
    // None of the files has numbers with this prefix, nor dates like these.
    lab.sql(&format!(
        "TRUNCATE {BEFORE} RESTART IDENTITY;
         INSERT INTO {BEFORE} ({COLUMNS})
         SELECT '+6013' || unlike, lpad(unlike, 12, '9'), 'Other ' || n, format('other%s@mail.example.com', n),
                date '1950-01-01' + n % 20000, 'F', n % 300 || ' Jalan Ampang, 50450 Kuala Lumpur', ARRAY['panel'], n % 100
         FROM generate_series(1, {}) n, lpad((n * 7654321::bigint % 10000000)::text, 7, '0') unlike;",
        scenario.others
    ))?;
    if scenario.case != Case::First {
        let mut client = lab.connect()?;
        client.execute(&handwritten(BEFORE), &[&Json(&first.clean)])?;
    }
    Ok(())
}

/// SQL that brings a table to where the scenario begins.
fn reset(scenario: Scenario, table: &str) -> String {
    let fill = format!("INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM {BEFORE}; VACUUM ANALYZE {table};");
    let fill = if scenario.is_empty() { "" } else { &fill };
    format!("TRUNCATE {table} RESTART IDENTITY; {fill} CHECKPOINT;")
}

pub fn step<'a>(work: &'a Work, scenario: Scenario, file: &'a File) -> Result<Step<'a>> {
    let lab = work.lab;
    let mut by_hand = Session::open(lab, &handwritten(HANDWRITTEN_TABLE))?;
    let mut once = Session::open(lab, INGEST)?;
    let row_by_row = move || {
        let mut python = lab.program(&work.python);
        python.arg("-c").arg(include_str!("../../rows/row_by_row.py")).arg(&file.clean_path);
        // The kernel counts what we held when we started it.
        Ok(Run { peak_bytes: None, ..time(lab, &mut python)? })
    };
    let contender = |name, table, mut work: Box<dyn FnMut() -> Result<Run> + 'a>| Contender {
        name,
        table,
        units: file.rows,
        reset: reset(scenario, table),
        run: Box::new(move |_| {
            let before = Written::now(lab, table)?;
            let run = work()?;
            Ok(Run { written: Some(Written::now(lab, table)?.since(&before)), ..run })
        }),
    };
    let contenders = vec![
        contender(
            HANDWRITTEN,
            HANDWRITTEN_TABLE,
            Box::new(move || time_own(lab, || by_hand.write(&file.clean).map(drop))),
        ),
        contender(ROW_BY_ROW, ROW_BY_ROW_TABLE, Box::new(row_by_row)),
        contender(
            ONCE,
            ONCE_TABLE,
            Box::new(move || {
                let mut said = Value::Null;
                let run = time_own(lab, || {
                    said = once.ingest(&file.messy)?;
                    Ok(())
                })?;
                require(&said, scenario.outcomes(file))?;
                Ok(run)
            }),
        ),
    ];
    Ok(Step {
        name: scenario.to_string(),
        unit: Unit { name: "rows", short: false },
        contenders,
        outcome: Box::new(|contender, _| outcome(contender.table)),
        rows: scenario.rows(file),
        against: &[HANDWRITTEN, ROW_BY_ROW],
        goals: &[
            Goal { of: ONCE, wanted: Wanted::AtMost(2.0, HANDWRITTEN) },
            Goal { of: ONCE, wanted: Wanted::Faster(20.0, ROW_BY_ROW) },
        ],
    })
}

/// How many patients there are, and a sum over their values that is the same in any order.
fn outcome(table: &str) -> String {
    format!("SELECT count(*), coalesce(sum(hashtextextended(ROW({COLUMNS})::text, 0)), 0) FROM {table}")
}

pub fn handwritten(table: &str) -> String {
    include_str!("../../rows/handwritten.sql").replace("@table@", table)
}

pub const INGEST: &str = "SELECT once.ingest('patients', $1)";

/// A connection with a statement that takes the rows.
pub struct Session {
    pub client: Client,
    statement: Statement,
}

impl Session {
    pub fn open(lab: &Lab, sql: &str) -> Result<Self> {
        let mut client = lab.connect()?;
        let statement = client.prepare(sql)?;
        Ok(Self { client, statement })
    }

    /// Runs a statement that gives no rows.
    pub fn write(&mut self, rows: &RawValue) -> Result<u64> {
        Ok(self.client.execute(&self.statement, &[&Json(rows)])?)
    }

    /// Runs a call that gives one JSON value.
    pub fn ingest(&mut self, rows: &RawValue) -> Result<Value> {
        let Json(said) = self.client.query_one(&self.statement, &[&Json(rows)])?.get(0);
        Ok(said)
    }
}

/// That the answer of `ingest` is as it must be.
fn require(said: &Value, [inserted, updated, unchanged]: [u64; 3]) -> Result<()> {
    let total = inserted + updated + unchanged;
    let counts = [("total", total), ("inserted", inserted), ("updated", updated), ("unchanged", unchanged)];
    let wrong = counts.iter().any(|(name, count)| said[name] != *count) || said["success"] != true;
    ensure!(!wrong, "ingest says {said}, not {counts:?}");
    Ok(())
}
