//! Which record each row is about, and what it would change there. Reads only.

use super::folding::{Folded, Merged, folded};
use super::read::{Batch, Line};
use super::stores::{KeySlots, Made, NEW, awaited, columns, index, keys, mergeable, number, referring, updates};
use super::target::{Target, is_canonical};
use crate::backend::store::Store;
use crate::error::Result;
use crate::spi;
use crate::targets;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use once_core::rows::plan::{self, Fate, Grid, Group, Numbers, Plan, Slot};
use once_core::rows::statements::Column;
use once_core::rows::value::Cell;
use once_core::spec::{Merge, OnMatch};
use std::borrow::Cow;
use std::hash::BuildHasher;

/// The rows of a batch with the records that they are about.
pub struct Matched<'a> {
    pub plan: Plan,
    found: Grid<Option<usize>>,
    /// The tracked values of what a line finds by a key, where they are not the line's own.
    told: HashMap<(usize, usize), Vec<Option<String>>>,
    /// What names each record that was found.
    pub records: Vec<String>,
    /// The groups of several rows.
    folded: HashMap<usize, Folded<'a>>,
    /// For each group, the columns that it would change; empty for a new record.
    pub changes: Vec<Vec<String>>,
}

/// Runs `work`, which looks up `rows` rows in a table of about `records`, with the planner held to what suits them.
fn looking_up<T>(records: i64, rows: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if number(rows).saturating_mul(10) >= records { spi::planned(work) } else { spi::by_index(work) }
}

/// Matches the lines that are neither refused nor left out. `in_waves`: as far only as all can be written at once.
pub fn matched<'a>(
    target: &Target,
    batch: &Batch<'a>,
    on_match: OnMatch,
    pending: &[bool],
    in_waves: bool,
) -> Result<Matched<'a>> {
    let shape = target.shape(on_match);
    let there_is_something = || targets::estimated_rows(target.oid).map(|rows| rows > 0);
    let compares = on_match == OnMatch::Update && there_is_something()?;
    let compared = if compares { mergeable(target, batch) } else { Vec::new() };
    let (rows, records, finds) = look_up(target, batch, pending, &compared)?;
    let taken = |line: usize| pending[line] && batch.lines[line].refusal.is_none();
    let plan = plan::plan(&shape, &records, &rows, &finds.found, taken, in_waves);
    let Finds { names, found, told, changed } = finds;
    let changes = vec![Vec::new(); plan.groups.len()];
    let mut matched = Matched { plan, found, told, records: names, folded: HashMap::new(), changes };
    if on_match == OnMatch::Update {
        matched.folded = folded(target, batch, &matched)?;
        find_changes(target, batch, &mut matched, compares.then_some(changed))?;
    }
    Ok(matched)
}

/// What lines find.
struct Finds {
    /// What names each record that was found.
    names: Vec<String>,
    /// Of each line, the record that it finds by each key.
    found: Grid<Option<usize>>,
    /// The tracked values of what a line finds by a key, where they are not the line's own.
    told: HashMap<(usize, usize), Vec<Option<String>>>,
    /// Which of the compared columns a line alone would change in the record that its first key finds.
    changed: HashMap<usize, Vec<bool>>,
}

/// Names, each numbered once.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    numbers: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Names {
    fn number_of(&mut self, name: String) -> usize {
        let Self { names, numbers, hasher } = self;
        let entry = numbers.entry(
            hasher.hash_one(&name),
            |number| names[*number] == name,
            |number| hasher.hash_one(&names[*number]),
        );
        let number = *entry.or_insert(names.len()).get();
        if number == names.len() {
            names.push(name);
        }
        number
    }
}

/// What these lines find, key by key: a line is asked about no more where what it has found has its next key, too.
fn find(target: &Target, batch: &Batch<'_>, lines: &[usize], compared: &[usize]) -> Result<Finds> {
    let named = columns(target, batch);
    let columns: Vec<&Column> = compared.iter().filter_map(|slot| named[*slot]).collect();
    let key_slots = KeySlots::of(target, batch);
    let can_find = |key: &KeySlots, line: &Line<'_>| key.is_complete(|slot| line.cell(slot)) && !key.awaits(line);
    let has_some = || spi::over(&[], &target.table.has_some(), &[], |row| row.need::<bool>(1));
    let mut names = Names::default();
    let mut found = Grid::filled(None, target.table.keys.len(), batch.lines.len());
    let (mut told, mut changed) = (HashMap::new(), HashMap::new());
    // A table that was never written to: most first runs are into such a one.
    let records = targets::estimated_rows(target.oid)?;
    if records == 0 && !has_some()?.contains(&true) {
        return Ok(Finds { names: names.names, found, told, changed });
    }
    // Of each line, the keys of which it is not known yet what they find.
    let mut open = Grid::filled(false, target.table.keys.len(), batch.lines.len());
    for line in lines {
        let keys = open.row_mut(*line).iter_mut().zip(&key_slots);
        keys.for_each(|(open, key)| *open = can_find(key, &batch.lines[*line]));
    }
    let mut stored: Option<(Vec<usize>, Store)> = None;
    looking_up(records, lines.len(), || {
        for key in 0..target.table.keys.len() {
            let asked: Vec<usize> = lines.iter().copied().filter(|line| open.row(*line)[key]).collect();
            if asked.is_empty() {
                continue;
            }
            let (asked, store) = match stored.take() {
                Some(stored) if stored.0 == asked => stored,
                _ => {
                    let store = keys(target, batch, asked.iter().copied(), compared);
                    (asked, store)
                }
            };
            let sql = target.table.find(key, target.is_many_keyed(), &columns);
            spi::over(&[&store], &sql, &[], |row| {
                let line = index(row.need::<i64>(1)?);
                let found = found.row_mut(line);
                if let Some(differs) = row.get::<Vec<bool>>(2)?.filter(|_| found.iter().all(Option::is_none)) {
                    changed.insert(line, differs);
                }
                let record = names.number_of(row.need(3)?);
                let values = row.get::<Vec<Option<String>>>(4)?;
                for (later, open) in open.row_mut(line).iter_mut().enumerate().skip(key + 1) {
                    // A key with what is yet to be made, which is NULL in the store, is not open.
                    if *open && row.need::<bool>(later - key + 4)? {
                        *open = false;
                        found[later] = Some(record);
                        told.extend(values.clone().map(|values| ((line, later), values)));
                    }
                }
                found[key] = Some(record);
                told.extend(values.map(|values| ((line, key), values)));
                Ok(())
            })?;
            stored = Some((asked, store));
        }
        Ok(())
    })?;
    Ok(Finds { names: names.names, found, told, changed })
}

/// The tracked values of all lines, and of the records that their keys find, as numbers.
fn look_up(
    target: &Target,
    batch: &Batch<'_>,
    pending: &[bool],
    compared: &[usize],
) -> Result<(plan::Rows, Grid<Option<u32>>, Finds)> {
    let table = &target.table;
    let alive = |line: &usize| pending[*line] && batch.lines[*line].refusal.is_none();
    let alive: Vec<usize> = (0..batch.lines.len()).filter(alive).collect();
    let fields: Vec<Option<usize>> = table.tracked.iter().map(|name| target.field(name)).collect();
    let slots: Vec<Option<usize>> = table.tracked.iter().map(|name| batch.slot_named(target, name)).collect();
    let canonical: Vec<bool> =
        fields.iter().map(|field| field.is_none_or(|field| is_canonical(&target.fields[field]))).collect();
    let mut written: HashMap<usize, Vec<Option<String>>> = HashMap::new();
    if canonical.iter().zip(&slots).any(|(canonical, slot)| !canonical && slot.is_some()) {
        let store = keys(target, batch, alive.iter().copied(), &[]);
        let texts = spi::over(&[&store], &table.canonical(), &[], |row| {
            Ok((index(row.need::<i64>(1)?), row.need::<Vec<Option<String>>>(2)?))
        })?;
        written.extend(texts);
    }

    let needed = target.fields.iter().enumerate().filter(|(_, known)| known.required || known.needed);
    let needed: Vec<Option<usize>> = needed.map(|(field, _)| batch.slot(field)).collect();
    let mut numbers: Vec<Numbers<Cow<'_, str>>> =
        table.tracked.iter().map(|_| Numbers::with_capacity(alive.len())).collect();
    let mut values = Grid::new(slots.len());
    for (number, line) in batch.lines.iter().enumerate() {
        let mut texts = written.remove(&number);
        values.push(slots.iter().enumerate().map(
            |(at, slot)| match slot.map_or(&Cell::Missing, |slot| line.cell(slot)) {
                Cell::Missing => Slot::Missing,
                Cell::Null => Slot::Null,
                Cell::Text(text) if canonical[at] || text.starts_with(NEW) => {
                    Slot::Is(numbers[at].of(Cow::Borrowed(text.as_ref())))
                }
                Cell::Text(_) => match texts.as_mut().and_then(|texts| texts[at].take()) {
                    Some(text) => Slot::Is(numbers[at].of(text.into())),
                    None => Slot::Null,
                },
            },
        ));
    }
    let lacks = |line: &Line<'_>, slot: &Option<usize>| slot.is_none_or(|slot| line.cell(slot).text().is_none());
    let is_incomplete = batch.lines.iter().map(|line| needed.iter().any(|slot| lacks(line, slot))).collect();
    let stands_alone = batch.lines.iter().map(|line| line.stands_alone).collect();

    let finds = find(target, batch, &alive, compared)?;
    let mut is_known = vec![false; finds.names.len()];
    let mut records = Grid::filled(None, slots.len(), finds.names.len());
    for (line, found) in (0..batch.lines.len()).map(|line| (line, finds.found.row(line))) {
        for (key, record) in found.iter().enumerate().filter_map(|(key, record)| Some((key, (*record)?))) {
            if std::mem::replace(&mut is_known[record], true) {
                continue;
            }
            let record = records.row_mut(record);
            match finds.told.get(&(line, key)) {
                Some(texts) => {
                    for ((value, text), numbers) in record.iter_mut().zip(texts).zip(&mut numbers) {
                        *value = text.as_ref().map(|text| numbers.of(text.clone().into()));
                    }
                }
                // What the line awaits is NULL there.
                None => {
                    for ((value, own), slot) in record.iter_mut().zip(values.row(line)).zip(&slots) {
                        if let Slot::Is(own) = own
                            && slot.is_some_and(|slot| awaited(batch.lines[line].cell(slot)).is_none())
                        {
                            *value = Some(*own);
                        }
                    }
                }
            }
        }
    }
    Ok((plan::Rows { values, is_incomplete, stands_alone }, records, finds))
}

/// Whether the lines of these groups still find what they found, asked when their records are locked.
pub fn is_still_so(target: &Target, batch: &Batch<'_>, matched: &Matched<'_>, groups: &[usize]) -> Result<bool> {
    let lines: Vec<usize> = groups.iter().flat_map(|group| matched.group(*group).rows.iter().copied()).collect();
    let now = find(target, batch, &lines, &[])?;
    let keys = || 0..target.table.keys.len();
    let is_same = |line: usize, key: usize| {
        let then = matched.found.row(line)[key].map(|record| &matched.records[record]);
        then == now.found.row(line)[key].map(|record| &now.names[record])
            && matched.told.get(&(line, key)) == now.told.get(&(line, key))
    };
    Ok(lines.iter().all(|line| keys().all(|key| is_same(*line, key))))
}

/// What a record can't be made without, and the line has not.
pub fn lacking<'t>(target: &'t Target, batch: &Batch<'_>, line: &Line<'_>) -> Option<&'t str> {
    let has = |field: usize| batch.slot(field).is_some_and(|slot| line.cell(slot).text().is_some());
    let lacks = |(field, known): &(usize, &super::target::Field)| (known.required || known.needed) && !has(*field);
    target.fields.iter().enumerate().find(lacks).map(|(_, known)| known.column.name.as_str())
}

/// What each group would change in its record. `known`: of lines alone, what they would change in what they find first.
fn find_changes(
    target: &Target,
    batch: &Batch<'_>,
    matched: &mut Matched<'_>,
    known: Option<HashMap<usize, Vec<bool>>>,
) -> Result<()> {
    let slots = mergeable(target, batch);
    let named = columns(target, batch);
    let columns: Vec<&Column> = slots.iter().filter_map(|slot| named[*slot]).collect();
    let names = |differs: &[bool]| {
        let differing = columns.iter().zip(differs).filter(|(_, differs)| **differs);
        differing.map(|(column, _)| column.name.clone()).collect::<Vec<_>>()
    };
    let mut groups = Vec::new();
    let mut open = Vec::new();
    for (at, group) in matched.plan.groups.iter().enumerate() {
        let Some(record) = group.record else { continue };
        groups.push(at);
        match (&known, group.rows.as_slice()) {
            (Some(known), [only]) if matched.found.row(*only).iter().flatten().next() == Some(&record) => {
                if let Some(differs) = known.get(only) {
                    matched.changes[at] = names(differs);
                }
            }
            _ => open.push((at, number(at))),
        }
    }
    if !open.is_empty() && !slots.is_empty() {
        let store = updates(target, batch, matched, &open, &Made::new());
        let differing = looking_up(targets::estimated_rows(target.oid)?, open.len(), || {
            spi::over(&[&store], &target.table.changes(&columns), &[], |row| {
                Ok((index(row.need::<i64>(1)?), row.need::<Vec<bool>>(2)?))
            })
        })?;
        for (group, differs) in differing {
            matched.changes[group] = names(&differs);
        }
    }
    // A record that is yet to be made is another one than whatever is there.
    let referring = referring(target, batch);
    let slots: Vec<usize> = slots.iter().copied().filter(|slot| referring[*slot].is_some()).collect();
    for group in groups {
        for slot in &slots {
            let awaits = awaited(matched.merged(batch, group).cell(*slot)).is_some();
            let changes = &mut matched.changes[group];
            if let Some(column) = named[*slot].filter(|column| awaits && column.merge != Merge::Keep)
                && !changes.contains(&column.name)
            {
                changes.push(column.name.clone());
            }
        }
    }
    Ok(())
}

impl<'a> Matched<'a> {
    /// The rows of a group as one.
    pub fn merged<'m>(&'m self, batch: &'m Batch<'a>, group: usize) -> Merged<'m, 'a> {
        Merged { only: &batch.lines[self.group(group).rows[0]], folded: self.folded.get(&group) }
    }

    /// The group of a line.
    pub fn group_of(&self, line: usize) -> Option<usize> {
        match self.plan.fates.get(line) {
            Some(Fate::Grouped { group, .. }) => Some(*group),
            _ => None,
        }
    }

    pub fn group(&self, number: usize) -> &Group {
        &self.plan.groups[number]
    }
}
