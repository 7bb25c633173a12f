//! Correcting the flags of staged rows: what is wrong is found, kept by row numbers, and put right by one statement.

use crate::error::{OnceError, Result};
use crate::progress::{Phase, Progress};
use crate::spi::{self, Arg};
use crate::targets::{Scope, Target};
use once_core::bulk::{CORRECTIONS, Flag};
use std::ops::RangeInclusive;

/// The memory that a maintenance operation may take, in bytes.
pub fn memory() -> Result<i64> {
    spi::known_one("SELECT pg_size_bytes(current_setting('maintenance_work_mem'))", &[], |row| row.need(1))
}

/// Corrects what `find` finds, as often as it takes, and gives how many rows it wrote. `staged`: how many rows are compared;
/// `numbers`: theirs, if they are known.
///
/// # Errors
/// `23505` where staged rows have the same row_number, and what `find` gives.
pub fn correct(
    target: &Target,
    scope: &Scope,
    staged: i64,
    numbers: Option<RangeInclusive<i64>>,
    progress: &mut Progress,
    find: impl Fn(&mut Wrong<'_>) -> Result<()>,
) -> Result<i64> {
    let memory = memory()?;
    let (mut found, mut written) = (0, 0);
    loop {
        let mut wrong = Wrong { target, numbers: Numbers::within(numbers.as_ref(), memory), found: 0 };
        find(&mut wrong)?;
        found += wrong.found;
        let has_room = wrong.room() > 0;
        let now = wrong.correct(scope, progress)?;
        written += now;
        // No flag is wrong twice, but where a trigger keeps it as it was: then trying again would never end.
        if has_room || now == 0 || found > staged.saturating_mul(2) {
            return Ok(written);
        }
    }
}

/// Staged rows that a flag is wrong of.
pub struct Wrong<'a> {
    target: &'a Target,
    numbers: Numbers,
    /// How many flags are wrong.
    found: i64,
}

/// Their numbers, each with its corrections.
enum Numbers {
    /// Near each other, as the database gives them: a byte for each number from the lowest to the highest, and in it a bit
    /// for each correction.
    Near { lowest: i64, bytes: Vec<u8> },
    /// Far from each other, where somebody gives them himself: so many at most.
    Far { lists: [Vec<i64>; CORRECTIONS], most: i64 },
}

impl Numbers {
    fn within(numbers: Option<&RangeInclusive<i64>>, memory: i64) -> Self {
        /// Ours, and the statement's.
        const COPIES: i64 = 2;
        /// A parameter may be sent to another node as text.
        const LONGEST: i64 = 1 << 26;
        /// Of a number that is far from others: in our list, in that of all, in an array, in the array as it is planned, and
        /// hashed for the condition and for the value.
        const FAR: i64 = 4 * 8 + 2 * 40;
        /// No array is longer than a value may be.
        const MOST: i64 = 10_000_000;
        let length = numbers.and_then(|n| n.end().checked_sub(*n.start())?.checked_add(1));
        match (numbers, length) {
            (Some(numbers), Some(length)) if length <= (memory / COPIES).min(LONGEST) => {
                let bytes = vec![0; usize::try_from(length).unwrap_or(0)];
                Self::Near { lowest: *numbers.start(), bytes }
            }
            _ => Self::Far { lists: Default::default(), most: (memory / FAR).clamp(1, MOST) },
        }
    }
}

impl Wrong<'_> {
    /// Adds the rows that a statement finds a flag to be wrong of: row_number, and what it should be.
    pub fn find(&mut self, flag: Flag, sql: &str, scope: &Scope, hashes: Option<&[i64]>) -> Result<()> {
        let mut args = vec![scope.arg(), self.room().into()];
        args.extend(hashes.map(|hashes| hashes.to_vec().into()));
        let add = |row: &spi::Row<'_>| self.add(row.need(1)?, flag.correction(row.need(2)?));
        spi::planned(|| spi::each(sql, &args, add)).map(drop)
    }

    /// How many more may be added.
    fn room(&self) -> i64 {
        match self.numbers {
            Numbers::Near { .. } => i64::MAX,
            Numbers::Far { most, .. } => most - self.found,
        }
    }

    fn add(&mut self, number: i64, correction: usize) -> Result<()> {
        match &mut self.numbers {
            Numbers::Near { lowest, bytes } => {
                let place = usize::try_from(number.wrapping_sub(*lowest)).ok();
                // A number beyond came while we compared: it counts as not marked.
                let Some(byte) = place.and_then(|place| bytes.get_mut(place)) else { return Ok(()) };
                let bit = 1 << correction;
                if *byte & bit != 0 {
                    return Err(repeated(self.target));
                }
                *byte |= bit;
            }
            Numbers::Far { lists, .. } => lists[correction].push(number),
        }
        self.found += 1;
        Ok(())
    }

    /// Gives how many rows it wrote.
    fn correct(self, scope: &Scope, progress: &mut Progress) -> Result<i64> {
        let Self { target, numbers, found } = self;
        if found == 0 {
            return Ok(0);
        }
        let (sql, args, rows): (String, Vec<Arg>, usize) = match numbers {
            Numbers::Near { lowest, bytes } => {
                let rows = bytes.iter().filter(|byte| **byte != 0).count();
                let highest = lowest.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX) - 1);
                (target.bulk.correct_near(), vec![scope.arg(), bytes.into(), lowest.into(), highest.into()], rows)
            }
            Numbers::Far { lists, .. } => {
                let mut all = lists.concat();
                all.sort_unstable();
                all.dedup();
                let args = [scope.arg()].into_iter().chain(lists.map(Arg::from)).collect();
                (target.bulk.correct_far(), args, all.len())
            }
        };
        progress.phase(Phase::Marking, i64::try_from(rows).unwrap_or(i64::MAX));
        let written = spi::planned(|| {
            spi::each(&sql, &args, |_| {
                progress.advance();
                Ok(())
            })
        })?;
        // Fewer are where rows were removed meanwhile; more, where several rows have the same number.
        if usize::try_from(written).is_ok_and(|written| written > rows) { Err(repeated(target)) } else { Ok(written) }
    }
}

fn repeated(target: &Target) -> OnceError {
    OnceError::RowNumbersRepeat { staging: target.bulk.staging.clone() }
}
