//! Importing texts of 2 kB, one after the other, by a client that prepares its statement as drivers do.

use std::fmt;

use anyhow::Result;
use postgres::{Client, Statement};
use serde::Serialize;
use uuid::Uuid;

use super::prose::Prose;
use crate::Options;
use crate::lab::Lab;
use crate::measure::{Run, Written, time_own};
use crate::report::Verdict;
use crate::step::{Contender, Goal, Step, Unit, Wanted};

pub const BARE: &str = "bare INSERT";
pub const PLPGSQL: &str = "plpgsql";
pub const ONCE: &str = "pg_once";

const BARE_SQL: &str = "\
    INSERT INTO bare.imports (athlete_id, raw_text, checksum_sha256, normalizer_version, source, source_ref, tags) \
    VALUES ($1, $2, encode(sha256(convert_to($2, 'UTF8')), 'hex'), 'whitespace/1', $3, NULL, '{}') ON CONFLICT DO NOTHING";
const PLPGSQL_SQL: &str = "SELECT * FROM documented.import_raw_text($1, $2, $3)";
const ONCE_SQL: &str = "SELECT * FROM once.import_raw_text_idempotent($1, $2, $3)";

/// How many texts each contender imports in a run.
const IMPORTS: u64 = 10_000;
/// After so many a session has its plans.
const WARM_UP: usize = 20;

#[derive(Clone, Copy)]
pub struct Scenario {
    /// How many imports are there before.
    pub rows: u64,
    /// Each import is a transaction; else a run is one.
    pub commit_each: bool,
    pub duplicates: bool,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.duplicates { "duplicates" } else { "new" };
        let how = if self.commit_each { "each committed" } else { "in one transaction" };
        write!(f, "{what}, {how}, {} rows before", self.rows)
    }
}

/// Texts that are imported in one run.
#[derive(Serialize)]
pub struct Batch {
    /// Which one it is, and what the imports are told to be from.
    name: String,
    texts: u64,
    bytes: u64,
    #[serde(skip)]
    imports: Vec<(Uuid, String)>,
}

impl Batch {
    /// A batch for each round, others for each `series`.
    pub fn of_rounds(options: &Options, series: usize) -> Vec<Self> {
        (0..options.rounds()).map(|round| Self::new(options, &format!("batch {series}/{round}"))).collect()
    }

    fn new(options: &Options, name: &str) -> Self {
        let seed = name.bytes().fold(options.seed, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
        let mut prose = Prose::new(seed);
        let import = |number| {
            let athlete = Uuid::from_u128(u128::from(prose.random(500)));
            (athlete, prose.text(&format!("Log {number} of {name}")))
        };
        let imports: Vec<_> = (0..options.scaled(IMPORTS)).map(import).collect();
        let bytes = imports.iter().map(|(_, text)| text.len() as u64).sum();
        Self { name: name.into(), texts: imports.len() as u64, bytes, imports }
    }
}

/// SQL that fills the tables of all contenders with the same other imports. They are short, so that all stay in memory.
pub fn fill(rows: u64) -> String {
    format!(
        "TRUNCATE public.imports CASCADE;
         TRUNCATE bare.imports, documented.imports;
         INSERT INTO bare.imports (athlete_id, raw_text, checksum_sha256, normalizer_version, source)
         SELECT lpad(to_hex(n % 500), 32, '0')::uuid, t, encode(sha256(convert_to(t, 'UTF8')), 'hex'), 'whitespace/1', 'before'
         FROM generate_series(1, {rows}) n,
              format('Log %s of before. %s', n, repeat('Squat 5 x 5 at 100 kg, rest 3 min. ', 1 + n % 20)) t;
         INSERT INTO documented.imports SELECT * FROM bare.imports;
         INSERT INTO public.imports SELECT * FROM bare.imports;
         VACUUM ANALYZE bare.imports;
         VACUUM ANALYZE documented.imports;
         VACUUM ANALYZE public.imports;"
    )
}

pub fn step<'a>(lab: &'a Lab, scenario: Scenario, batches: &'a [Batch]) -> Result<Step<'a>> {
    let contenders = [
        (BARE, "bare.imports", BARE_SQL),
        (PLPGSQL, "documented.imports", PLPGSQL_SQL),
        (ONCE, "public.imports", ONCE_SQL),
    ];
    let contenders = contenders.map(|(name, table, sql)| contender(lab, scenario, batches, name, table, sql));
    Ok(Step {
        name: scenario.to_string(),
        unit: Unit { name: "imports", short: true },
        contenders: contenders.into_iter().collect::<Result<_>>()?,
        outcome: Box::new(|contender, round| outcome(contender.table, batch(batches, round))),
        rows: batches.first().map_or(0, |batch| batch.texts),
        against: &[BARE, PLPGSQL],
        goals: if scenario.duplicates {
            &[
                Goal { of: ONCE, wanted: Wanted::Faster(1.0, PLPGSQL) },
                Goal { of: BARE, wanted: Wanted::NoGrowth },
                Goal { of: PLPGSQL, wanted: Wanted::NoGrowth },
                Goal { of: ONCE, wanted: Wanted::NoGrowth },
            ]
        } else {
            &[
                Goal { of: ONCE, wanted: Wanted::AtMost(1.5, BARE) },
                Goal { of: ONCE, wanted: Wanted::Faster(1.0, PLPGSQL) },
            ]
        },
    })
}

/// The batch of a round: the last one again where there are no more.
fn batch(batches: &[Batch], round: usize) -> &Batch {
    &batches[round.min(batches.len() - 1)]
}

fn contender<'a>(
    lab: &'a Lab,
    scenario: Scenario,
    batches: &'a [Batch],
    name: &'static str,
    table: &'static str,
    sql: &str,
) -> Result<Contender<'a>> {
    let mut client = lab.connect()?;
    let statement = client.prepare(sql)?;
    client.batch_execute("BEGIN")?;
    import(&mut client, &statement, batch(batches, 0), WARM_UP)?;
    client.batch_execute("ROLLBACK")?;
    let empty = scenario.rows == 0 && !scenario.duplicates;
    let run = move |round| -> Result<Run> {
        let batch = batch(batches, round);
        let before = Written::now(lab, table)?;
        let run = time_own(lab, || {
            if scenario.commit_each {
                return import(&mut client, &statement, batch, usize::MAX);
            }
            client.batch_execute("BEGIN")?;
            import(&mut client, &statement, batch, usize::MAX)?;
            Ok(client.batch_execute("COMMIT")?)
        })?;
        Ok(Run { written: Some(Written::now(lab, table)?.since(&before)), ..run })
    };
    Ok(Contender {
        name,
        table,
        units: batch(batches, 0).texts,
        reset: if empty { format!("TRUNCATE {table} CASCADE;") } else { String::new() },
        run: Box::new(run),
    })
}

fn import(client: &mut Client, statement: &Statement, batch: &Batch, most: usize) -> Result<()> {
    for (athlete, text) in batch.imports.iter().take(most) {
        client.query(statement, &[athlete, text, &batch.name])?;
    }
    Ok(())
}

/// How many of the batch are there, the sum over their texts, over the checksums of those that are clean (with those
/// normalised or not, it is the same), and how many imports there are in all.
fn outcome(table: &str, batch: &Batch) -> String {
    format!(
        "SELECT count(*), sum(hashtextextended(raw_text, 0)), \
         sum(hashtextextended(checksum_sha256, 0)) FILTER (WHERE strpos(raw_text, E'\\n') = 0), \
         (SELECT count(*) FROM {table}) FROM {table} WHERE source = '{}'",
        batch.name
    )
}

/// Compares what one import costs in one scenario and in another: each comes with pg_once's seconds and a bare INSERT's.
pub fn across(costs: &[(Scenario, Option<f64>, Option<f64>)], scale: f64) -> Vec<Verdict> {
    let times = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
    let mut verdicts = Vec::new();
    for (scenario, once, bare) in costs {
        let like = |other: Scenario| {
            costs
                .iter()
                .find(|(known, ..)| known.to_string() == other.to_string())
                .map(|(_, once, bare)| (*once, *bare))
        };
        if scenario.duplicates
            && let Some((new, _)) = like(Scenario { duplicates: false, ..*scenario })
            && let Some(found) = times(*once, new)
        {
            let goal = format!("{ONCE}: a duplicate takes at most 1 × the time of a new one ({scenario})");
            verdicts.push(Verdict::at_most(goal, found, 1.0).at(scale));
        }
        if scenario.rows > 0
            && let Some((empty, bare_empty)) = like(Scenario { rows: 0, ..*scenario })
            && let (Some(found), Some(of_bare)) = (times(*once, empty), times(*bare, bare_empty))
        {
            let goal = format!(
                "{ONCE}: at most 1.1 × the time of the same in an empty table ({scenario}; {BARE} {of_bare:.2} ×)"
            );
            verdicts.push(Verdict::at_most(goal, found, 1.1).at(scale));
        }
    }
    verdicts
}
