//! Bringing a window of messages into a mailbox that has none of them, or all.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use postgres::types::Json;
use postgres::{Client, Statement};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::messages::Window;
use crate::lab::Lab;
use crate::measure::{Run, Written, time, time_own};
use crate::step::{Contender, Goal, Step, Unit, Wanted};

const ONE_BY_ONE: &str = "one by one";
const COMMIT_EACH: &str = "one by one, a commit each";
/// As a client does that has no transactions, by REST say.
const UPSERT_EACH: &str = "one by one, a commit an upsert";
pub const ONCE: &str = "pg_once";

/// In both schemas (`mail/tables.sql`).
const MAILBOX: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
const ONE_BY_ONE_TABLE: &str = "one_by_one.mail_messages";
const ONCE_TABLE: &str = "public.mail_messages";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// None of the messages is known.
    First,
    /// All are, as they are in the window.
    Again,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first run",
            Self::Again => "the same window again",
        })
    }
}

/// What the contenders work with.
pub struct Work<'a> {
    pub lab: &'a Lab,
    pub python: PathBuf,
    pub window: &'a Window,
}

/// Brings what the case begins with to where the contenders' tables are filled from: nothing, or what pg_once left last.
pub fn begin(lab: &Lab, case: Case) -> Result<()> {
    for table in ["mail_threads", "mail_messages", "mail_attachments"] {
        lab.sql(&format!("TRUNCATE before_mail.{table}"))?;
        if case == Case::Again {
            lab.sql(&format!("INSERT INTO before_mail.{table} SELECT * FROM public.{table}"))?;
        }
    }
    Ok(())
}

/// SQL for the schema of a table.
fn of_schema(sql: &str, table: &str) -> String {
    let schema = table.split_once('.').map_or("public", |(schema, _)| schema);
    sql.replace("@schema@", schema)
}

pub fn step<'a>(work: &'a Work, case: Case) -> Result<Step<'a>> {
    let Work { lab, python, window } = work;
    let mut once = Session::open(lab)?;
    let one_by_one = |commit: &'static str| {
        move || {
            let mut python = lab.program(python);
            python.arg("-c").arg(include_str!("../../mail/one_by_one.py")).arg(commit).args(&window.paths);
            // The kernel counts what we held when we started it.
            Ok(Run { peak_bytes: None, ..time(lab, &mut python)? })
        }
    };
    let contender = |name, table, mut work: Box<dyn FnMut() -> Result<Run> + 'a>| Contender {
        name,
        table,
        units: window.messages,
        reset: of_schema(include_str!("../../mail/reset.sql"), table),
        run: Box::new(move |_| {
            let before = Written::now(lab, table)?;
            let run = work()?;
            Ok(Run { written: Some(Written::now(lab, table)?.since(&before)), ..run })
        }),
    };
    let ingest = move || {
        let mut answers = Vec::new();
        let run = time_own(lab, || {
            answers = window.batches.iter().map(|batch| once.ingest(batch)).collect::<Result<_>>()?;
            Ok(())
        })?;
        require(&answers, case, window)?;
        Ok(run)
    };
    let contenders = vec![
        contender(ONE_BY_ONE, ONE_BY_ONE_TABLE, Box::new(one_by_one("batch"))),
        contender(COMMIT_EACH, ONE_BY_ONE_TABLE, Box::new(one_by_one("message"))),
        contender(UPSERT_EACH, ONE_BY_ONE_TABLE, Box::new(one_by_one("upsert"))),
        contender(ONCE, ONCE_TABLE, Box::new(ingest)),
    ];
    let goals: &[Goal] = match case {
        Case::First => &[Goal { of: ONCE, wanted: Wanted::Faster(10.0, ONE_BY_ONE) }],
        Case::Again => &[],
    };
    Ok(Step {
        name: case.to_string(),
        unit: Unit { name: "messages", short: false },
        contenders,
        outcome: Box::new(|contender, _| of_schema(include_str!("../../mail/outcome.sql"), contender.table)),
        rows: window.messages,
        against: &[ONE_BY_ONE, COMMIT_EACH, UPSERT_EACH],
        goals,
    })
}

/// A connection with the statement that takes a batch, which commits it.
struct Session {
    client: Client,
    statement: Statement,
}

impl Session {
    fn open(lab: &Lab) -> Result<Self> {
        let mut client = lab.connect()?;
        let statement = client.prepare("SELECT once.ingest_mail($1, $2)")?;
        Ok(Self { client, statement })
    }

    fn ingest(&mut self, batch: &RawValue) -> Result<Value> {
        let Json(said) = self.client.query_one(&self.statement, &[&MAILBOX, &Json(batch)])?.get(0);
        Ok(said)
    }
}

/// That the answers of `ingest_mail` are together as they must be.
fn require(answers: &[Value], case: Case, window: &Window) -> Result<()> {
    let new = |count| if case == Case::First { count } else { 0 };
    let counts = [
        ("threads_ingested", new(window.threads)),
        ("messages_ingested", new(window.messages)),
        ("messages_updated", 0),
        ("unchanged", window.messages - new(window.messages)),
        ("rejected", 0),
        ("attachments_seen", window.attachments),
    ];
    for (name, count) in counts {
        let said: u64 = answers.iter().filter_map(|answer| answer[name].as_u64()).sum();
        ensure!(said == count, "ingest_mail says {said} {name}, not {count}");
    }
    ensure!(answers.iter().all(|answer| answer["success"] == true), "ingest_mail did not succeed");
    Ok(())
}
