//! What became of the rows, as answers tell it.

use super::read::Refusal;
use pgrx::Uuid;
use serde_json::{Value, json};

/// How many faulty rows an answer names; the counts are of all of them.
pub const NAMED: usize = 100;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Inserted,
    Updated,
    Unchanged,
    Duplicate,
    Ambiguous,
    Rejected,
}

impl Outcome {
    pub const ALL: [Self; 6] =
        [Self::Inserted, Self::Updated, Self::Unchanged, Self::Duplicate, Self::Ambiguous, Self::Rejected];

    pub fn name(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Duplicate => "duplicate",
            Self::Ambiguous => "ambiguous",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the row has found its place, be it one that was there.
    pub fn is_taken(self) -> bool {
        !matches!(self, Self::Ambiguous | Self::Rejected)
    }
}

/// What is told of a row.
#[derive(Debug, Clone)]
pub struct Told {
    pub outcome: Outcome,
    pub key: Option<Value>,
    /// The number of the key that found its record.
    pub matched_by: Option<usize>,
    pub changed: Vec<String>,
    pub refusal: Option<Box<Refusal>>,
}

impl Told {
    pub fn of(outcome: Outcome, refusal: Option<Refusal>) -> Self {
        Self { outcome, key: None, matched_by: None, changed: Vec::new(), refusal: refusal.map(Box::new) }
    }
}

/// A call's result, row by row.
pub struct Work {
    pub job: Option<Uuid>,
    pub key_names: Vec<String>,
    pub outcomes: Vec<(i64, Told)>,
}

impl Work {
    /// The first of the rows that were not taken, each with its number and why.
    pub fn faulty(&self) -> impl Iterator<Item = (i64, &Refusal)> {
        let faulty = self.outcomes.iter().filter(|(_, told)| !told.outcome.is_taken()).take(NAMED);
        faulty.filter_map(|(number, told)| Some((*number, told.refusal.as_deref()?)))
    }

    /// The first of the faulty rows, as answers name them.
    pub fn errors(&self) -> Vec<Value> {
        let told = |(number, refusal): (i64, &Refusal)| json!({"row": number, "column": refusal.column, "value": refusal.value, "reason": refusal.shown()});
        self.faulty().map(told).collect()
    }

    /// The counts of an answer; of a job that failed, only of the rows at fault.
    pub fn count(&self, succeeded: bool, answer: &mut Value) {
        answer["total"] = json!(self.outcomes.len());
        for outcome in Outcome::ALL {
            let is_one =
                |told: &Told| told.outcome == outcome && (succeeded || (!outcome.is_taken() && told.refusal.is_some()));
            answer[outcome.name()] = json!(self.outcomes.iter().filter(|(_, told)| is_one(told)).count());
        }
    }
}
