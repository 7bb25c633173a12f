//! Which record each row is about, as if the rows were taken one by one, in order: a row finds what the rows before it
//! have made of the records. Values are numbers here; equal numbers are values that the keys take for equal.

use crate::spec::{Merge, OnMatch};
use hashbrown::HashMap;
use std::hash::Hash;

/// What a row has in a column by which records are told from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Missing,
    Null,
    Is(u32),
}

/// A key: columns by their places among the tracked ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The scope first, where there is one.
    pub columns: Vec<usize>,
    /// For each column, whether NULL is a value of the key like any other.
    pub null_counts: Vec<bool>,
}

/// What the plan must know of a target.
#[derive(Debug, Clone)]
pub struct Shape {
    pub keys: Vec<Key>,
    pub confirm: Vec<usize>,
    /// Of each tracked column; none is merged by order or to a union.
    pub merges: Vec<Merge>,
    pub on_match: OnMatch,
}

/// Rows of so many cells each, in one piece: there are many.
#[derive(Debug, Clone)]
pub struct Grid<T> {
    width: usize,
    cells: Vec<T>,
}

impl<T: Clone> Grid<T> {
    pub fn new(width: usize) -> Self {
        Self { width, cells: Vec::new() }
    }

    pub fn filled(cell: T, width: usize, rows: usize) -> Self {
        Self { width, cells: vec![cell; width * rows] }
    }

    pub fn push(&mut self, row: impl Iterator<Item = T>) {
        self.cells.extend(row.take(self.width));
    }

    pub fn row(&self, number: usize) -> &[T] {
        &self.cells[number * self.width..][..self.width]
    }

    pub fn row_mut(&mut self, number: usize) -> &mut [T] {
        &mut self.cells[number * self.width..][..self.width]
    }
}

/// Rows.
#[derive(Debug)]
pub struct Rows {
    /// The tracked values.
    pub values: Grid<Slot>,
    /// Whether it lacks what a new record can't do without.
    pub is_incomplete: Vec<bool>,
    /// Whether it is to be written apart from other rows about its record.
    pub stands_alone: Vec<bool>,
}

/// One of them, with the record that the database has by each key.
#[derive(Clone, Copy)]
struct Row<'a> {
    values: &'a [Slot],
    found: &'a [Option<usize>],
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is one of the rows of a group, found by this key unless it is the first of a new record.
    Grouped { group: usize, key: Option<usize> },
    /// It is there, and rows that are there are skipped: as a record, or as an earlier row; or as `several`.
    Skipped { holder: Holder, key: usize, several: bool },
    /// Its keys find several.
    Ambiguous { found: Vec<(usize, Holder)> },
    /// The one that it finds has another value in this column.
    Contradicts { column: usize, holder: Holder, key: usize },
    /// It has no key.
    Keyless,
    /// Merged, the one that it finds would have a key that another has got among the rows before.
    Taken { key: usize, holder: Holder },
    /// It finds nothing, and can't make a record.
    Incomplete,
    /// It comes when those before it are written.
    Later,
}

/// Who has a key: a record of the database, or a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    Record(usize),
    New(usize),
}

/// The rows, in order, that are about one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The record of the database, `None` where it is to be made.
    pub record: Option<usize>,
    pub rows: Vec<usize>,
}

#[derive(Debug, Default)]
pub struct Plan {
    pub fates: Vec<Fate>,
    pub groups: Vec<Group>,
}

/// Numbers for values: the same for equal ones.
#[derive(Debug)]
pub struct Numbers<T>(HashMap<T, u32>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Hash + Eq> Numbers<T> {
    pub fn with_capacity(values: usize) -> Self {
        Self(HashMap::with_capacity(values))
    }

    pub fn of(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(value).or_insert(next)
    }
}

/// Plans the rows that are `taken` (the others are as if they were not there). `records`: the tracked values of the records
/// that the database has; `found`: by each key of a row, one of these. `in_waves`: goes as far only as all can be written at
/// once.
pub fn plan(
    shape: &Shape,
    records: &Grid<Option<u32>>,
    rows: &Rows,
    found: &Grid<Option<usize>>,
    taken: impl Fn(usize) -> bool,
    in_waves: bool,
) -> Plan {
    let mut state = State { shape, records, tuples: Numbers::default(), held: HashMap::new(), now: HashMap::new() };
    let mut plan = Plan::default();
    let mut group_of: HashMap<Holder, usize> = HashMap::new();
    let mut is_over = false;
    for (number, (is_incomplete, stands_alone)) in rows.is_incomplete.iter().zip(&rows.stands_alone).enumerate() {
        let row = Row { values: rows.values.row(number), found: found.row(number) };
        if !taken(number) {
            plan.fates.push(Fate::Keyless);
            continue;
        }
        if is_over {
            plan.fates.push(Fate::Later);
            continue;
        }
        let fate = match state.find(row) {
            None => Fate::Keyless,
            Some(found) => match found.as_slice() {
                [] if *is_incomplete => Fate::Incomplete,
                [] => {
                    let group = plan.groups.len();
                    plan.groups.push(Group { record: None, rows: vec![number] });
                    let holder = Holder::New(group);
                    group_of.insert(holder, group);
                    state.create(holder, row);
                    Fate::Grouped { group, key: None }
                }
                [(key, holder), rest @ ..] => {
                    let (key, holder) = (*key, *holder);
                    let several = rest.iter().any(|(_, other)| *other != holder);
                    if shape.on_match == OnMatch::Skip {
                        Fate::Skipped { holder, key, several }
                    } else if several {
                        Fate::Ambiguous { found }
                    } else if let Some(column) = state.contradiction(holder, row) {
                        Fate::Contradicts { column, holder, key }
                    } else {
                        let change = state.change_by(holder, row);
                        let makes_a_key =
                            in_waves && change.as_ref().is_some_and(|change| state.makes_a_key(change, row));
                        let stands_apart = || group_of.contains_key(&holder) && (*stands_alone || makes_a_key);
                        if in_waves && (state.takes_over(holder, row) || stands_apart()) {
                            is_over = true;
                            plan.fates.push(Fate::Later);
                            continue;
                        }
                        if let Some((key, holder)) = change.as_ref().and_then(|change| state.collides(holder, change)) {
                            plan.fates.push(Fate::Taken { key, holder });
                            continue;
                        }
                        let group = *group_of.entry(holder).or_insert_with(|| {
                            let record = match holder {
                                Holder::Record(record) => Some(record),
                                Holder::New(_) => None,
                            };
                            plan.groups.push(Group { record, rows: Vec::new() });
                            plan.groups.len() - 1
                        });
                        plan.groups[group].rows.push(number);
                        // Whether the database has that key of another shows when it is written.
                        is_over = makes_a_key;
                        if let Some(change) = change {
                            state.change(holder, change);
                        }
                        Fate::Grouped { group, key: Some(key) }
                    }
                }
            },
        };
        plan.fates.push(fate);
    }
    plan
}

/// The tracked values of a record, before and after.
struct Change {
    before: Vec<Option<u32>>,
    after: Vec<Option<u32>>,
}

/// What the rows so far have made of the records.
struct State<'a> {
    shape: &'a Shape,
    records: &'a Grid<Option<u32>>,
    /// Several values as one: pairs of the value and of those before it.
    tuples: Numbers<(u32, Option<u32>)>,
    /// Who has a key now, where that is not as the database has it.
    held: HashMap<(usize, u32), Option<Holder>>,
    now: HashMap<Holder, Vec<Option<u32>>>,
}

impl State<'_> {
    /// Whom each complete key finds; `None` where none is complete.
    fn find(&mut self, row: Row<'_>) -> Option<Vec<(usize, Holder)>> {
        let (mut found, mut keyed) = (Vec::new(), false);
        for key in 0..self.shape.keys.len() {
            let value = |column: usize| match row.values[column] {
                Slot::Is(value) => Some(value),
                Slot::Missing | Slot::Null => None,
            };
            let Some(tuple) = self.tuple(key, value) else { continue };
            keyed = true;
            let holder = match self.held.get(&(key, tuple)) {
                Some(holder) => *holder,
                None => row.found[key].map(Holder::Record),
            };
            found.extend(holder.map(|holder| (key, holder)));
        }
        keyed.then_some(found)
    }

    /// The values of a key as one number; `None` where one is missing that the key can't do without.
    fn tuple(&mut self, key: usize, value: impl Fn(usize) -> Option<u32>) -> Option<u32> {
        let key = &self.shape.keys[key];
        if let ([column], [_]) = (key.columns.as_slice(), key.null_counts.as_slice()) {
            return value(*column);
        }
        let mut tuple = u32::MAX;
        let mut any = false;
        for (column, null_counts) in key.columns.iter().zip(&key.null_counts) {
            let value = value(*column);
            if value.is_none() && !null_counts {
                return None;
            }
            any |= value.is_some();
            tuple = self.tuples.of((tuple, value));
        }
        any.then_some(tuple)
    }

    /// None of a new record that is yet to be made.
    fn values(&self, holder: Holder) -> &[Option<u32>] {
        match (self.now.get(&holder), holder) {
            (Some(values), _) => values,
            (None, Holder::Record(record)) => self.records.row(record),
            (None, Holder::New(_)) => &[],
        }
    }

    fn contradiction(&self, holder: Holder, row: Row<'_>) -> Option<usize> {
        if self.shape.confirm.is_empty() {
            return None;
        }
        let values = self.values(holder);
        let differ = |column: &&usize| matches!((row.values[**column], values.get(**column)), (Slot::Is(row), Some(Some(record))) if row != *record);
        self.shape.confirm.iter().find(differ).copied()
    }

    /// Whether merging the row gives a record a key that the database has of another, which gives it up among the rows
    /// before: one statement can't write both.
    fn takes_over(&self, holder: Holder, row: Row<'_>) -> bool {
        let other = |record: &Option<usize>| record.is_some_and(|record| Holder::Record(record) != holder);
        row.found.iter().any(other)
    }

    fn create(&mut self, holder: Holder, row: Row<'_>) {
        let values = row.values.iter().map(|slot| if let Slot::Is(value) = slot { Some(*value) } else { None });
        self.change(holder, Change { before: vec![None; row.values.len()], after: values.collect() });
    }

    /// What the holder's values were and are when the row has been merged into them; `None` where it changes nothing.
    fn change_by(&self, holder: Holder, row: Row<'_>) -> Option<Change> {
        let before = self.values(holder);
        let merged = || {
            before.iter().zip(row.values).zip(&self.shape.merges).map(|((before, row), merge)| {
                match (merge, row, before) {
                    (Merge::Keep, _, Some(before)) => Some(*before),
                    (_, Slot::Is(value), _) => Some(*value),
                    (Merge::Overwrite, Slot::Null, _) => None,
                    _ => *before,
                }
            })
        };
        let differs = !before.iter().copied().eq(merged());
        differs.then(|| Change { before: before.to_vec(), after: merged().collect() })
    }

    /// The key that the change would give the holder although another has got it, and that other.
    fn collides(&mut self, holder: Holder, change: &Change) -> Option<(usize, Holder)> {
        (0..self.shape.keys.len()).find_map(|key| {
            let tuple = self.tuple(key, |column| change.after[column])?;
            let other = (*self.held.get(&(key, tuple))?)?;
            (other != holder).then_some((key, other))
        })
    }

    /// Whether the row and the values before it together make a key that nobody was asked for.
    fn makes_a_key(&mut self, change: &Change, row: Row<'_>) -> bool {
        let given = |column: usize| if let Slot::Is(value) = row.values[column] { Some(value) } else { None };
        (0..self.shape.keys.len()).any(|key| {
            let made = self.tuple(key, |column| change.after[column]);
            made.is_some() && made != self.tuple(key, |column| change.before[column]) && made != self.tuple(key, given)
        })
    }

    fn change(&mut self, holder: Holder, Change { before, after }: Change) {
        for key in 0..self.shape.keys.len() {
            let (old, new) = (self.tuple(key, |c| before[c]), self.tuple(key, |c| after[c]));
            if old == new {
                continue;
            }
            if let Some(old) = old {
                self.held.insert((key, old), None);
            }
            if let Some(new) = new {
                self.held.insert((key, new), Some(holder));
            }
        }
        self.now.insert(holder, after);
    }
}

#[cfg(test)]
mod tests;
