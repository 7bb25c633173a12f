//! How quick a long text is hashed.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::prose::Prose;
use crate::Options;
use crate::lab::Lab;
use crate::measure::{Run, time_own};
use crate::step::{Contender, Goal, Step, Unit, Wanted};

/// How long texts are, in megabytes.
const LONG: u64 = 150;
/// For what is too slow for a long one.
const SHORT: u64 = 2;

const SHA256: &str = "sha256()";
const REGEXP: &str = "regexp_replace, sha256()";
const ONCE: &str = "document_checksum()";

const SHA256_SQL: &str = "encode(sha256(convert_to(content, 'UTF8')), 'hex')";
const REGEXP_SQL: &str = r"encode(sha256(convert_to(btrim(regexp_replace(content, '\s+', ' ', 'g')), 'UTF8')), 'hex')";
const ONCE_SQL: &str = "once.document_checksum(content)";

/// Lines of about 80 bytes, the same in all texts but for what is between them.
#[derive(Serialize)]
pub struct Text {
    name: &'static str,
    /// Of the long one, and of the short one.
    megabytes: [u64; 2],
}

/// The text that is its own normal form.
const CLEAN: &str = "clean";

impl Text {
    /// Brings all of them into the database.
    pub fn all(lab: &Lab, options: &Options) -> Result<[Self; 2]> {
        let mut client = lab.connect()?;
        let megabytes = [LONG, SHORT].map(|megabytes| options.scaled(megabytes));
        let mut store = |name: &'static str, line_break: &str| -> Result<Self> {
            for (length, megabytes) in [Length::Long, Length::Short].into_iter().zip(megabytes) {
                let text = lines(options.seed, line_break, megabytes * 1_000_000);
                client.execute("INSERT INTO hashing.texts VALUES ($1, $2)", &[&stored(name, length), &text])?;
            }
            Ok(Self { name, megabytes })
        };
        Ok([store(CLEAN, " ")?, store("CRLF", "\r\n")?])
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of {} MB, {}", self.megabytes[0], self.name)
    }
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Long,
    Short,
}

fn stored(name: &str, length: Length) -> String {
    format!("{name} {length:?}")
}

fn lines(seed: u64, line_break: &str, bytes: u64) -> String {
    let mut prose = Prose::new(seed);
    let mut text = String::new();
    // The same number of lines whatever is between them.
    for _ in 0..bytes / 82 {
        prose.push_line(&mut text, 76);
        text.push_str(line_break);
    }
    text.truncate(text.trim_end().len());
    text
}

pub fn step<'a>(lab: &'a Lab, text: &Text) -> Result<Step<'a>> {
    let name = text.name;
    let contenders =
        [(SHA256, SHA256_SQL, Length::Long), (REGEXP, REGEXP_SQL, Length::Short), (ONCE, ONCE_SQL, Length::Long)];
    Ok(Step {
        name: format!("hash, {name}"),
        unit: Unit { name: "MB", short: false },
        contenders: contenders
            .map(|(contender, sql, length)| Contender {
                name: contender,
                table: "hashing.texts",
                units: text.megabytes[length as usize],
                reset: String::new(),
                run: Box::new(move |_| seconds(lab, sql, &stored(name, length))),
            })
            .into(),
        outcome: Box::new(move |contender, _| {
            let (sql, of) = match contender.name {
                // What does not normalise gets the text that needs none.
                SHA256 => (SHA256_SQL, CLEAN),
                REGEXP => (REGEXP_SQL, name),
                _ => (ONCE_SQL, name),
            };
            let of = stored(of, Length::Short);
            format!("SELECT 1, {sql} FROM hashing.texts WHERE name = '{of}'")
        }),
        rows: 1,
        against: &[SHA256, REGEXP],
        goals: &[Goal { of: ONCE, wanted: Wanted::Rate(900.0) }],
    })
}

/// What the server says that it took: without getting the text from the table.
fn seconds(lab: &Lab, sql: &str, text: &str) -> Result<Run> {
    let mut client = lab.connect()?;
    let mut seconds = 0.0;
    let run = time_own(lab, || {
        seconds = client.query_one("SELECT hashing.seconds($1, $2)", &[&sql, &text])?.get(0);
        Ok(())
    })?;
    Ok(Run { seconds, server_cpu: None, others_cpu: run.others_cpu.map(|cpu| cpu * seconds / run.seconds), ..run })
}
