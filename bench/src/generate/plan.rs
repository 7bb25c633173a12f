//! Which row of which file repeats which other one, and which are in production: by arithmetic from the place of a row,
//! so that as many rows as one likes need no memory.
//!
//! Each file begins with groups of [`Plan::stride`] rows. The last row of a group is a copy of a row in the group of the
//! same index, of the same file or of one before it with the same header; all other rows are originals.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::scramble;

/// How many rows there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// In all files.
    pub staged: u64,
    /// Of these, repeat a row that is staged before.
    pub internal: u64,
    /// Of these, have a code that production has.
    pub existing: u64,
    /// Of these, do both; counted in both.
    pub both: u64,
    /// Rows in production.
    pub production: u64,
}

impl Counts {
    /// A real import.
    const FULL: Self =
        Self { staged: 15_520_410, internal: 310_312, existing: 4_302_241, both: 37, production: 5_356_971 };

    /// So many times a real import.
    pub fn scaled(scale: f64) -> Self {
        let times = |count: u64| (count as f64 * scale).round() as u64;
        let Self { staged, internal, existing, both, production } = Self::FULL;
        Self {
            staged: times(staged),
            internal: times(internal),
            existing: times(existing),
            both: times(both).max(1),
            production: times(production),
        }
    }

    /// So many staged rows, nothing of which is in production.
    pub fn new_only(staged: u64) -> Self {
        let internal = staged * Self::FULL.internal / Self::FULL.staged;
        Self { staged, internal, existing: 0, both: 0, production: 0 }
    }

    /// How many rows are to be inserted.
    pub fn inserted(&self) -> u64 {
        self.staged - self.internal - self.existing + self.both
    }

    /// The numbers of the rows in production.
    pub fn production_numbers(&self) -> impl Iterator<Item = u64> + use<> {
        0..self.production
    }

    /// Staged originals that have no copy.
    fn single(&self) -> u64 {
        self.staged - 2 * self.internal
    }

    /// Of these, how many are in production: of the other `both`, original and copy are.
    fn single_existing(&self) -> u64 {
        self.existing - 2 * self.both
    }

    /// The number of the `index`th original without a copy.
    fn number_of_single(&self, index: u64) -> u64 {
        let rank = picked(index, self.single_existing(), self.single());
        rank.map_or(self.production + index, |rank| self.shuffled(rank))
    }

    /// The number of the `index`th copy, and of its original.
    fn number_of_copied(&self, index: u64) -> u64 {
        let rank = picked(index, self.both, self.internal);
        rank.map_or(self.production + self.single() + index, |rank| self.shuffled(self.single_existing() + rank))
    }

    /// A row of production for each rank, so that what is staged in a row does not lie in a row there.
    fn shuffled(&self, rank: u64) -> u64 {
        let golden = self.production as f64 * 0.618_034;
        let step = (golden as u64..).find(|step| greatest_divisor(*step, self.production) == 1).unwrap_or(1);
        rank * step % self.production
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { staged, internal, existing, both, production } = self;
        let inserted = self.inserted();
        write!(
            f,
            "{staged} rows beside {production} in production: {internal} internal duplicates, {existing} of production, \
             {both} of both, {inserted} to insert"
        )
    }
}

/// Picks `some` of `all`, evenly: whether this one is picked, and as which.
fn picked(index: u64, some: u64, all: u64) -> Option<u64> {
    let before = index * some / all;
    ((index + 1) * some / all > before).then_some(before)
}

fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

pub struct Plan {
    counts: Counts,
    files: u64,
    /// Every so manieth file has the same header.
    kinds: u64,
    /// How many rows a group has.
    stride: u64,
}

impl Plan {
    /// For files of which every `kinds`th has the same header.
    ///
    /// # Errors
    /// When there are too few rows for the duplicates.
    pub fn new(counts: Counts, files: u64, kinds: u64) -> Result<Self> {
        let Counts { staged, internal, existing, both, production } = counts;
        let stride = (staged / files) / internal.div_ceil(files).max(1);
        let copies = stride >= 2 && staged >= 2 * internal && internal >= both;
        let known = existing >= 2 * both && production + both >= existing;
        let fits = copies && known && counts.single() + 2 * both >= existing;
        ensure!(fits, "too few rows for so many duplicates: {counts:?}");
        Ok(Self { counts, files, kinds, stride })
    }

    /// How many rows a file has.
    pub fn rows_of(&self, file: u64) -> u64 {
        self.share(self.counts.staged, file).1
    }

    /// The numbers of the staged rows, file by file.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let mut singles = 0..self.counts.single();
        let places = (0..self.files).flat_map(|file| (0..self.rows_of(file)).map(move |row| (file, row)));
        places.filter_map(move |(file, row)| {
            let copied = self.copy_at(file, row).or_else(|| self.copy_of(file, row));
            match copied {
                Some(copy) => Some(self.counts.number_of_copied(copy)),
                None => singles.next().map(|index| self.counts.number_of_single(index)),
            }
        })
    }

    /// What a file has of so many: how many those before it have, and how many it has. The first ones take what can't
    /// be shared out evenly.
    fn share(&self, count: u64, file: u64) -> (u64, u64) {
        let (each, rest) = (count / self.files, count % self.files);
        (file * each + file.min(rest), each + u64::from(file < rest))
    }

    /// The copy of this group, if it has one.
    fn copy_in(&self, file: u64, group: u64) -> Option<u64> {
        let (before, copies) = self.share(self.counts.internal, file);
        (group < copies).then_some(before + group)
    }

    /// Which copy it is that is there.
    fn copy_at(&self, file: u64, row: u64) -> Option<u64> {
        if row % self.stride == self.stride - 1 { self.copy_in(file, row / self.stride) } else { None }
    }

    /// Which copy the original has that is there.
    fn copy_of(&self, file: u64, row: u64) -> Option<u64> {
        let (group, distance) = (row / self.stride, row % self.stride);
        let later = file + distance * self.kinds;
        // A distance has a place of its own in the group, so that no row is copied twice.
        if distance == self.stride - 1 || later >= self.files || self.distance(later, group) != distance {
            return None;
        }
        self.copy_in(later, group)
    }

    /// How many files of the same header before that of the copy its original is.
    fn distance(&self, file: u64, group: u64) -> u64 {
        scramble(group * self.files + file, 0) % (file / self.kinds + 1).min(self.stride - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// What a database would find.
    fn found(counts: Counts, files: u64, kinds: u64) -> Counts {
        let plan = Plan::new(counts, files, kinds).expect("there are enough");
        let mut numbers = plan.numbers();
        let mut seen = HashMap::new();
        let (mut staged, mut internal, mut existing, mut both) = (0, 0, 0, 0);
        for file in 0..files {
            for number in numbers.by_ref().take(plan.rows_of(file) as usize) {
                staged += 1;
                let repeats = seen.insert(number, file % kinds);
                let exists = number < counts.production;
                assert!(repeats.is_none_or(|kind| kind == file % kinds), "a copy has another header");
                internal += u64::from(repeats.is_some());
                existing += u64::from(exists);
                both += u64::from(repeats.is_some() && exists);
            }
        }
        assert_eq!(numbers.next(), None);
        Counts { staged, internal, existing, both, production: counts.production_numbers().count() as u64 }
    }

    #[test]
    fn the_counts_are_exact() {
        for scale in [0.000_05, 0.0001, 0.001, 0.003, 0.01, 0.02] {
            let counts = Counts::scaled(scale);
            assert_eq!(found(counts, 63, 3), counts, "at {scale}");
        }
    }

    #[test]
    fn the_counts_are_exact_without_production() {
        for rows in [1_000, 12_345] {
            assert_eq!(found(Counts::new_only(rows), 63, 3), Counts::new_only(rows));
        }
    }

    #[test]
    fn a_real_import_inserts_what_is_clean() {
        assert_eq!(Counts::scaled(1.0).inserted(), 10_907_894);
        assert_eq!(Counts::scaled(0.1).both, 4);
        assert_eq!(Counts::scaled(0.001).both, 1);
    }

    #[test]
    fn duplicates_are_in_all_files() {
        let counts = Counts::scaled(0.01);
        let plan = Plan::new(counts, 63, 3).expect("there are enough");
        let mut numbers = plan.numbers();
        for file in 0..63 {
            let rows = plan.rows_of(file) as usize;
            let existing = numbers.by_ref().take(rows).filter(|number| *number < counts.production).count();
            let share = existing as f64 / rows as f64;
            assert!((0.26..0.29).contains(&share), "{share} of file {file}");
        }
    }

    #[test]
    fn too_few_rows_are_refused() {
        assert!(Plan::new(Counts { staged: 63, ..Counts::scaled(0.001) }, 63, 3).is_err());
    }
}
