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

/// A row: its tracked values, and the record that the database has by each key.
#[derive(Debug, Clone)]
pub struct Row {
    pub values: Vec<Slot>,
    pub found: Vec<Option<usize>>,
    /// Whether it lacks what a new record can't do without.
    pub is_incomplete: bool,
    /// Whether it is to be written apart from other rows about its record.
    pub stands_alone: bool,
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

/// Plans the rows that are `taken` (the others are as if they were not there). `records` are the tracked values of the
/// records that were found. `in_waves`: goes as far only as all can be written at once.
pub fn plan(
    shape: &Shape,
    records: &[Vec<Option<u32>>],
    rows: &[Row],
    taken: impl Fn(usize) -> bool,
    in_waves: bool,
) -> Plan {
    let mut state = State { shape, records, tuples: Numbers::default(), held: HashMap::new(), now: HashMap::new() };
    let mut plan = Plan::default();
    let mut group_of: HashMap<Holder, usize> = HashMap::new();
    let mut is_over = false;
    for (number, row) in rows.iter().enumerate() {
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
                [] if row.is_incomplete => Fate::Incomplete,
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
                        let stands_apart = || group_of.contains_key(&holder) && (row.stands_alone || makes_a_key);
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
    records: &'a [Vec<Option<u32>>],
    /// Several values as one: pairs of the value and of those before it.
    tuples: Numbers<(u32, Option<u32>)>,
    /// Who has a key now, where that is not as the database has it.
    held: HashMap<(usize, u32), Option<Holder>>,
    now: HashMap<Holder, Vec<Option<u32>>>,
}

impl State<'_> {
    /// Whom each complete key finds; `None` where none is complete.
    fn find(&mut self, row: &Row) -> Option<Vec<(usize, Holder)>> {
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
            (None, Holder::Record(record)) => &self.records[record],
            (None, Holder::New(_)) => &[],
        }
    }

    fn contradiction(&self, holder: Holder, row: &Row) -> Option<usize> {
        if self.shape.confirm.is_empty() {
            return None;
        }
        let values = self.values(holder);
        let differ = |column: &&usize| matches!((row.values[**column], values.get(**column)), (Slot::Is(row), Some(Some(record))) if row != *record);
        self.shape.confirm.iter().find(differ).copied()
    }

    /// Whether merging the row gives a record a key that the database has of another, which gives it up among the rows
    /// before: one statement can't write both.
    fn takes_over(&self, holder: Holder, row: &Row) -> bool {
        let other = |record: &Option<usize>| record.is_some_and(|record| Holder::Record(record) != holder);
        row.found.iter().any(other)
    }

    fn create(&mut self, holder: Holder, row: &Row) {
        let values = row.values.iter().map(|slot| if let Slot::Is(value) = slot { Some(*value) } else { None });
        self.change(holder, Change { before: vec![None; row.values.len()], after: values.collect() });
    }

    /// What the holder's values were and are when the row has been merged into them; `None` where it changes nothing.
    fn change_by(&self, holder: Holder, row: &Row) -> Option<Change> {
        let before = self.values(holder);
        let merged = || {
            before.iter().zip(&row.values).zip(&self.shape.merges).map(|((before, row), merge)| {
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
    fn makes_a_key(&mut self, change: &Change, row: &Row) -> bool {
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
mod tests {
    use super::*;

    const PHONE: usize = 0;
    const IC: usize = 1;
    const BORN: usize = 2;

    fn shape(on_match: OnMatch) -> Shape {
        let key = |column| Key { columns: vec![column], null_counts: vec![false] };
        Shape { keys: vec![key(PHONE), key(IC)], confirm: vec![BORN], merges: vec![Merge::Coalesce; 3], on_match }
    }

    /// Rows of phone, ic and birth date, 0 for none; the records have the same, and are found as a database would.
    fn run(shape: &Shape, records: &[[u32; 3]], rows: &[[u32; 3]]) -> Plan {
        let records: Vec<Vec<Option<u32>>> =
            records.iter().map(|record| record.iter().map(|v| (*v > 0).then_some(*v)).collect()).collect();
        let rows: Vec<Row> = rows
            .iter()
            .map(|row| {
                let values = row.iter().map(|v| if *v > 0 { Slot::Is(*v) } else { Slot::Null }).collect();
                let find =
                    |column: usize| records.iter().position(|r| row[column] > 0 && r[column] == Some(row[column]));
                Row { values, found: vec![find(PHONE), find(IC)], is_incomplete: false, stands_alone: false }
            })
            .collect();
        plan(shape, &records, &rows, |_| true, false)
    }

    fn groups(plan: &Plan) -> Vec<(Option<usize>, Vec<usize>)> {
        plan.groups.iter().map(|group| (group.record, group.rows.clone())).collect()
    }

    #[test]
    fn later_rows_find_what_earlier_ones_made() {
        let shape = shape(OnMatch::Update);
        // The second row gives the new record its ic, by which the third finds it.
        let plan = run(&shape, &[], &[[1, 0, 0], [1, 7, 0], [0, 7, 0]]);
        assert_eq!(groups(&plan), [(None, vec![0, 1, 2])]);
        assert_eq!(plan.fates[2], Fate::Grouped { group: 0, key: Some(1) });
    }

    #[test]
    fn a_key_that_was_given_up_finds_nothing() {
        let shape = shape(OnMatch::Update);
        // The first row moves the record from ic 7 to ic 8; so 7 is new, and 8 is the record's.
        let plan = run(&shape, &[[1, 7, 0]], &[[1, 8, 0], [2, 7, 0], [0, 8, 0]]);
        assert_eq!(groups(&plan), [(Some(0), vec![0, 2]), (None, vec![1])]);
    }

    #[test]
    fn several_records_are_never_merged() {
        let shape = shape(OnMatch::Update);
        let plan = run(&shape, &[[1, 7, 0], [2, 8, 0]], &[[1, 8, 0], [1, 0, 0]]);
        let found = vec![(0, Holder::Record(0)), (1, Holder::Record(1))];
        assert_eq!(plan.fates[0], Fate::Ambiguous { found });
        assert_eq!(groups(&plan), [(Some(0), vec![1])]);
        // Neither are a record and a new one.
        let plan = run(&shape, &[[1, 0, 0]], &[[0, 9, 0], [1, 9, 0]]);
        assert!(matches!(plan.fates[1], Fate::Ambiguous { .. }));
    }

    #[test]
    fn who_contradicts_is_another() {
        let shape = shape(OnMatch::Update);
        let plan = run(&shape, &[[1, 0, 5]], &[[1, 0, 6], [1, 0, 0], [1, 0, 5]]);
        assert_eq!(plan.fates[0], Fate::Contradicts { column: BORN, holder: Holder::Record(0), key: 0 });
        assert_eq!(groups(&plan), [(Some(0), vec![1, 2])]);
        // What an earlier row said counts.
        let plan = run(&shape, &[], &[[1, 0, 5], [1, 0, 6]]);
        assert_eq!(plan.fates[1], Fate::Contradicts { column: BORN, holder: Holder::New(0), key: 0 });
    }

    #[test]
    fn who_skips_takes_any_hit() {
        let shape = shape(OnMatch::Skip);
        let plan = run(&shape, &[[1, 7, 5], [2, 8, 0]], &[[1, 8, 6], [3, 0, 0], [3, 9, 0], [0, 9, 0]]);
        assert_eq!(plan.fates[0], Fate::Skipped { holder: Holder::Record(0), key: 0, several: true });
        assert_eq!(plan.fates[2], Fate::Skipped { holder: Holder::New(0), key: 0, several: false });
        // The skipped row gave nothing, so the last one is new.
        assert_eq!(groups(&plan), [(None, vec![1]), (None, vec![3])]);
    }

    #[test]
    fn a_wave_ends_where_a_key_changes_hands() {
        let shape = shape(OnMatch::Update);
        let records = [vec![Some(1), Some(7), None], vec![Some(2), Some(8), None]];
        // The first record takes ic 9; then the second its 7, which the database still has of the first.
        let row = |phone: u32, ic: u32, found: [Option<usize>; 2]| Row {
            values: vec![Slot::Is(phone), Slot::Is(ic), Slot::Null],
            found: found.to_vec(),
            is_incomplete: false,
            stands_alone: false,
        };
        let rows = [row(1, 9, [Some(0), None]), row(2, 7, [Some(1), Some(0)]), row(3, 5, [None, None])];
        let wave = plan(&shape, &records, &rows, |_| true, true);
        assert_eq!(groups(&wave), [(Some(0), vec![0])]);
        assert_eq!(wave.fates[1..], [Fate::Later, Fate::Later]);
        let whole = plan(&shape, &records, &rows, |_| true, false);
        assert_eq!(groups(&whole), [(Some(0), vec![0]), (Some(1), vec![1]), (None, vec![2])]);
    }

    #[test]
    fn without_a_key_there_is_nobody() {
        let plan = run(&shape(OnMatch::Update), &[], &[[0, 0, 5]]);
        assert_eq!(plan.fates, [Fate::Keyless]);
    }

    #[test]
    fn null_may_be_a_value_of_a_key() {
        // One key of two columns, the second may be NULL.
        let key = Key { columns: vec![0, 1], null_counts: vec![false, true] };
        let shape =
            Shape { keys: vec![key], confirm: vec![], merges: vec![Merge::Coalesce; 2], on_match: OnMatch::Update };
        let row =
            |a: Slot, b: Slot| Row { values: vec![a, b], found: vec![None], is_incomplete: false, stands_alone: false };
        let rows = [
            row(Slot::Is(1), Slot::Null),
            row(Slot::Is(1), Slot::Missing),
            row(Slot::Is(1), Slot::Is(2)),
            row(Slot::Null, Slot::Is(2)),
        ];
        let plan = plan(&shape, &[], &rows, |_| true, false);
        assert_eq!(groups(&plan), [(None, vec![0, 1]), (None, vec![2])]);
        assert_eq!(plan.fates[3], Fate::Keyless);
    }

    #[test]
    fn it_is_as_if_rows_came_one_by_one() {
        // The oracle takes one row at a time, and looks through all records each time.
        let mut seed = 7_u64;
        let mut next = |most: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            u32::try_from((seed >> 33) % most).unwrap()
        };
        for round in 0..3000 {
            let merges: Vec<Merge> =
                (0..3).map(|_| [Merge::Coalesce, Merge::Keep, Merge::Overwrite][next(3) as usize].clone()).collect();
            let on_match = if round % 5 == 0 { OnMatch::Skip } else { OnMatch::Update };
            let shape = Shape { merges, ..shape(on_match) };
            let mut table: Vec<[u32; 3]> = Vec::new();
            for _ in 0..next(4) {
                let record = [next(5), next(5), next(3)];
                if (record[0] > 0 || record[1] > 0)
                    && table.iter().all(|r| (0..2).all(|c| record[c] == 0 || r[c] != record[c]))
                {
                    table.push(record);
                }
            }
            let rows: Vec<[u32; 3]> = (0..next(9)).map(|_| [next(5), next(5), next(3)]).collect();
            let plan = run(&shape, &table, &rows);
            let existing = table.len();
            let mut place: HashMap<Holder, usize> = (0..existing).map(|r| (Holder::Record(r), r)).collect();
            for (number, row) in rows.iter().enumerate() {
                let mut hits: Vec<usize> =
                    (0..2).filter_map(|c| table.iter().position(|r| row[c] > 0 && r[c] == row[c])).collect();
                let fate = &plan.fates[number];
                if row[0] == 0 && row[1] == 0 {
                    assert_eq!(*fate, Fate::Keyless);
                    continue;
                }
                if hits.is_empty() {
                    let Fate::Grouped { group, key: None } = fate else { panic!("{fate:?}") };
                    place.insert(Holder::New(*group), table.len());
                    table.push(*row);
                    continue;
                }
                if on_match == OnMatch::Skip {
                    let Fate::Skipped { holder, .. } = fate else { panic!("{fate:?}") };
                    assert_eq!(place[holder], hits[0]);
                    continue;
                }
                hits.dedup();
                if hits.len() > 1 {
                    assert!(matches!(fate, Fate::Ambiguous { .. }));
                    continue;
                }
                let record = &mut table[hits[0]];
                if row[BORN] > 0 && record[BORN] > 0 && row[BORN] != record[BORN] {
                    assert!(matches!(fate, Fate::Contradicts { column: BORN, .. }));
                    continue;
                }
                let Fate::Grouped { group, key: Some(_) } = fate else { panic!("{fate:?}") };
                let holder = plan.groups[*group].record.map_or(Holder::New(*group), Holder::Record);
                assert_eq!(place[&holder], hits[0]);
                for column in 0..3 {
                    record[column] = match (&shape.merges[column], row[column], record[column]) {
                        (Merge::Keep, _, old) if old > 0 => old,
                        (Merge::Overwrite, new, _) => new,
                        (_, 0, old) => old,
                        (_, new, _) => new,
                    };
                }
                // A merge may take a key from another record, which a unique index would refuse: not the plan's matter.
                let twice = (0..2).any(|c| {
                    let value = table[hits[0]][c];
                    value > 0 && table.iter().filter(|r| r[c] == value).count() > 1
                });
                if twice {
                    break;
                }
            }
        }
    }
}
