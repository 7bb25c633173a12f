//! A step, or several together.

use super::journey::{STEPS, Step};
use super::{Journeys, goals};
use crate::figures::Role;
use crate::generate::Counts;
use crate::measure::{Run, Server};
use crate::report::{Line, Report};
use crate::step::Unit;

#[derive(Clone, Copy)]
pub enum Total {
    Of(Step),
    /// All steps, of those who have them all.
    Whole,
    /// The steps that the limit has, too.
    ToInsert,
}

/// The runs of each contender, with what it is called.
pub type Runs = Vec<(&'static str, Vec<Run>)>;

impl Total {
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(step) => step.name(),
            Self::Whole => "whole",
            Self::ToInsert => "stage + mark + insert",
        }
    }

    fn steps(self) -> &'static [Step] {
        match self {
            Self::Of(step) => std::slice::from_ref(&STEPS[step as usize]),
            Self::Whole => &STEPS,
            Self::ToInsert => &STEPS[..=Step::Insert as usize],
        }
    }

    /// How many rows it is about.
    pub fn units(self, counts: &Counts) -> u64 {
        match self {
            Self::Of(Step::Insert | Step::Verify | Step::RollBack) => counts.inserted(),
            Self::Of(Step::Stage | Step::Mark) | Self::Whole | Self::ToInsert => counts.staged,
        }
    }

    /// What each contender took for it, if it has all the steps.
    pub fn runs(self, journeys: &[Journeys]) -> Runs {
        let runs = journeys.iter().map(|journeys| (journeys.role.name(), self.of(journeys)));
        runs.filter(|(_, runs)| !runs.is_empty()).collect()
    }

    /// What one contender took for it, round by round.
    pub fn of(self, journeys: &Journeys) -> Vec<Run> {
        let steps: Vec<_> = self.steps().iter().map(|step| journeys.of_step(*step)).collect();
        let rounds = steps.iter().map(|runs| runs.len()).min().unwrap_or(0);
        (0..rounds).map(|round| together(steps.iter().map(|runs| &runs[round]))).collect()
    }

    pub fn report<'a>(self, runs: &'a Runs, counts: &Counts, scale: f64) -> Report<'a> {
        let units = self.units(counts);
        let lines = runs.iter().map(|(name, runs)| Line::of(name, units, runs)).collect();
        let against = [Role::Reference, Role::Expert, Role::Limit].map(Role::name);
        Report::new(self.name(), Unit { name: "rows", short: false }, lines, &against, goals::of(self), scale)
    }
}

/// Runs one after the other, as one: the table is the last one's.
fn together<'a>(runs: impl Iterator<Item = &'a Run>) -> Run {
    let add = |all: Run, run: Run| Run {
        seconds: all.seconds + run.seconds,
        client_cpu: all.client_cpu + run.client_cpu,
        server_cpu: all.server_cpu.zip(run.server_cpu).map(|(a, b)| a + b),
        others_cpu: all.others_cpu.zip(run.others_cpu).map(|(a, b)| a + b),
        peak_bytes: all.peak_bytes.max(run.peak_bytes),
        written: None,
        server: all.server.zip(run.server).map(|(all, run)| Server {
            peak_bytes: all.peak_bytes.max(run.peak_bytes),
            wal_bytes: all.wal_bytes + run.wal_bytes,
            table_bytes: None,
            index_bytes: None,
        }),
    };
    let none = Run {
        seconds: 0.0,
        client_cpu: 0.0,
        server_cpu: Some(0.0),
        others_cpu: Some(0.0),
        peak_bytes: None,
        written: None,
        server: Some(Server::default()),
    };
    let mut runs = runs.cloned();
    let first = runs.next().unwrap_or(none);
    runs.fold(first, add)
}
