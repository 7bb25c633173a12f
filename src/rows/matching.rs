//! Which record each row is about, and what it would change there. Reads only.

use super::folding::{Folded, Merged, folded};
use super::read::{Batch, Line};
use super::stores::{KeySlots, Made, NEW, awaited, columns, index, keys, mergeable, number, referring, updates};
use super::target::{Target, is_canonical};
use crate::backend::store::Store;
use crate::error::Result;
use crate::spi;
use crate::targets;
use hashbrown::HashMap;
use once_core::rows::plan::{self, Fate, Group, Numbers, Plan, Slot};
use once_core::rows::statements::Column;
use once_core::rows::value::Cell;
use once_core::spec::{Merge, OnMatch};
use std::borrow::Cow;

/// The rows of a batch with the records that they are about.
pub struct Matched<'a> {
    pub plan: Plan,
    rows: Vec<plan::Row>,
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
    let looked = look_up(target, batch, pending, &compared)?;
    let taken = |line: usize| pending[line] && batch.lines[line].refusal.is_none();
    let plan = plan::plan(&shape, &looked.values, &looked.rows, taken, in_waves);
    let LookedUp { rows, told, names, changed, .. } = looked;
    let changes = vec![Vec::new(); plan.groups.len()];
    let mut matched = Matched { plan, rows, told, records: names, folded: HashMap::new(), changes };
    if on_match == OnMatch::Update {
        matched.folded = folded(target, batch, &matched)?;
        find_changes(target, batch, &mut matched, compares.then_some(changed))?;
    }
    Ok(matched)
}

struct LookedUp {
    rows: Vec<plan::Row>,
    told: HashMap<(usize, usize), Vec<Option<String>>>,
    names: Vec<String>,
    /// The tracked values of the records, as numbers.
    values: Vec<Vec<Option<u32>>>,
    /// Which columns a line alone would change in the record that its first key finds.
    changed: HashMap<usize, Vec<bool>>,
}

/// What a line finds by a key: the name of a record, and its tracked values where they are not the line's own.
type Find = (usize, usize, String, Option<Vec<Option<String>>>);

/// What lines find, and which of the compared columns each alone would change in what it finds first.
#[derive(Default)]
struct Finds {
    found: Vec<Find>,
    changed: HashMap<usize, Vec<bool>>,
}

/// What these lines find, key by key: a line is asked about no more where what it has found has its next key, too.
fn find(target: &Target, batch: &Batch<'_>, lines: &[usize], compared: &[usize]) -> Result<Finds> {
    let named = columns(target, batch);
    let columns: Vec<&Column> = compared.iter().filter_map(|slot| named[*slot]).collect();
    let key_slots = KeySlots::of(target, batch);
    let can_find = |key: &KeySlots, line: &Line<'_>| key.is_complete(|slot| line.cell(slot)) && !key.awaits(line);
    let has_some = || spi::over(&[], &target.table.has_some(), &[], |row| row.need::<bool>(1));
    // A table that was never written to: most first runs are into such a one.
    let records = targets::estimated_rows(target.oid)?;
    if records == 0 && !has_some()?.contains(&true) {
        return Ok(Finds::default());
    }
    let mut finds = Finds { found: Vec::with_capacity(lines.len()), ..Finds::default() };
    let mut has_found = vec![false; batch.lines.len()];
    // Of each key, the lines of which it is known what they find.
    let mut answered = vec![vec![false; batch.lines.len()]; target.table.keys.len()];
    let mut stored: Option<(Vec<usize>, Store)> = None;
    looking_up(records, lines.len(), || {
        for key in 0..target.table.keys.len() {
            let asked: Vec<usize> = lines
                .iter()
                .copied()
                .filter(|line| !answered[key][*line] && can_find(&key_slots[key], &batch.lines[*line]))
                .collect();
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
                if let Some(changed) = row.get::<Vec<bool>>(2)?.filter(|_| !has_found[line]) {
                    finds.changed.insert(line, changed);
                }
                has_found[line] = true;
                let (name, told) = (row.need::<String>(3)?, row.get::<Vec<Option<String>>>(4)?);
                for later in key + 1..answered.len() {
                    // What is yet to be made is NULL in the store, which may be a value of the record's key.
                    let has_it = row.need::<bool>(later - key + 4)? && can_find(&key_slots[later], &batch.lines[line]);
                    if has_it && !answered[later][line] {
                        answered[later][line] = true;
                        finds.found.push((line, later, name.clone(), told.clone()));
                    }
                }
                finds.found.push((line, key, name, told));
                Ok(())
            })?;
            stored = Some((asked, store));
        }
        Ok(())
    })?;
    Ok(finds)
}

/// The tracked values of all lines as numbers, and the records that their keys find.
fn look_up(target: &Target, batch: &Batch<'_>, pending: &[bool], compared: &[usize]) -> Result<LookedUp> {
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
    let mut rows: Vec<plan::Row> = Vec::with_capacity(batch.lines.len());
    for (number, line) in batch.lines.iter().enumerate() {
        let mut texts = written.remove(&number);
        let mut values = Vec::with_capacity(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            values.push(match slot.map_or(&Cell::Missing, |slot| line.cell(slot)) {
                Cell::Missing => Slot::Missing,
                Cell::Null => Slot::Null,
                Cell::Text(text) if canonical[at] || text.starts_with(NEW) => {
                    Slot::Is(numbers[at].of(Cow::Borrowed(text.as_ref())))
                }
                Cell::Text(_) => match texts.as_mut().and_then(|texts| texts[at].take()) {
                    Some(text) => Slot::Is(numbers[at].of(text.into())),
                    None => Slot::Null,
                },
            });
        }
        let found = vec![None; table.keys.len()];
        let is_incomplete = needed.iter().any(|slot| slot.is_none_or(|slot| line.cell(slot).text().is_none()));
        rows.push(plan::Row { values, found, is_incomplete, stands_alone: line.stands_alone });
    }

    let Finds { found, changed } = find(target, batch, &alive, compared)?;
    let mut looked = LookedUp { rows, told: HashMap::new(), names: Vec::new(), values: Vec::new(), changed };
    let mut known: HashMap<String, usize> = HashMap::with_capacity(found.len());
    for (line, key, name, told) in found {
        let next = known.len();
        let record = *known.entry(name).or_insert(next);
        if record == next {
            let own = || looked.rows[line].values.iter();
            looked.values.push(match &told {
                Some(texts) => {
                    let number = |(text, numbers): (&Option<String>, &mut Numbers<Cow<'_, str>>)| {
                        text.as_ref().map(|text| numbers.of(text.clone().into()))
                    };
                    texts.iter().zip(&mut numbers).map(number).collect()
                }
                // What the line awaits is NULL there.
                None => own()
                    .zip(&slots)
                    .map(|(value, slot)| match value {
                        Slot::Is(value) if slot.is_some_and(|s| awaited(batch.lines[line].cell(s)).is_none()) => {
                            Some(*value)
                        }
                        _ => None,
                    })
                    .collect(),
            });
        }
        looked.rows[line].found[key] = Some(record);
        if let Some(told) = told {
            looked.told.insert((line, key), told);
        }
    }
    looked.names = vec![String::new(); known.len()];
    for (name, record) in known {
        looked.names[record] = name;
    }
    Ok(looked)
}

/// Whether the lines of these groups still find what they found, asked when their records are locked.
pub fn is_still_so(target: &Target, batch: &Batch<'_>, matched: &Matched<'_>, groups: &[usize]) -> Result<bool> {
    let lines: Vec<usize> = groups.iter().flat_map(|group| matched.group(*group).rows.iter().copied()).collect();
    let found = find(target, batch, &lines, &[])?.found;
    let same = |(line, key, name, told): &Find| {
        let record = matched.rows[*line].found[*key];
        record.is_some_and(|record| matched.records[record] == *name)
            && matched.told.get(&(*line, *key)) == told.as_ref()
    };
    let then: usize = lines.iter().map(|line| matched.rows[*line].found.iter().flatten().count()).sum();
    Ok(found.len() == then && found.iter().all(same))
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
            (Some(known), [only]) if matched.rows[*only].found.iter().flatten().next() == Some(&record) => {
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
