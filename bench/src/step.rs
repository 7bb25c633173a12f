//! What is measured: steps, who does each, and what is hoped for.

use anyhow::Result;

use crate::measure::Run;

/// A piece of work that several can do.
pub struct Step<'a> {
    pub name: String,
    pub unit: Unit,
    pub contenders: Vec<Contender<'a>>,
    /// SQL, for a contender and a round, that sums up what is there when he is done: a text that has to be the same for
    /// all. It begins with the number of rows that he had to do.
    pub outcome: Outcome<'a>,
    pub rows: u64,
    /// Names of contenders to compare with.
    pub against: &'static [&'static str],
    pub goals: &'static [Goal],
}

pub type Outcome<'a> = Box<dyn Fn(&Contender, usize) -> String + 'a>;

/// What there are many of in a run.
#[derive(Clone, Copy)]
pub struct Unit {
    pub name: &'static str,
    /// So short that the time of one is told, in microseconds, and not the time of the run.
    pub short: bool,
}

/// One way to do it.
pub struct Contender<'a> {
    pub name: &'static str,
    /// The table that it fills.
    pub table: &'static str,
    /// How many of the unit a run does.
    pub units: u64,
    /// SQL that puts everything back to where the step begins.
    pub reset: String,
    /// Does it, in a round that is counted from 0.
    pub run: Box<dyn FnMut(usize) -> Result<Run> + 'a>,
}

/// What is hoped for, of the contender `of`.
pub struct Goal {
    pub of: &'static str,
    pub wanted: Wanted,
}

pub enum Wanted {
    /// At most so many times the time of another.
    AtMost(f64, &'static str),
    /// That another takes at least so many times as long.
    Faster(f64, &'static str),
    /// So many units a second.
    Rate(f64),
    /// That its table is as large as before.
    NoGrowth,
}
