//! Which record each row is about, and what it would change there. Reads only.

use super::read::{Batch, Line, Refusal};
use super::target::{Target, is_canonical};
use crate::backend::store::{Column as Stored, Store};
use crate::error::Result;
use crate::spi;
use crate::targets;
use once_core::rows::fold::{self, Order, fold};
use once_core::rows::plan::{self, Fate, Group, Numbers, Plan, Slot};
use once_core::rows::statements::Column;
use once_core::rows::value::Cell;
use once_core::spec::{Merge, OnMatch};
use pgrx::pg_sys;
use std::borrow::Cow;
use std::collections::HashMap;

/// Begins what stands for the id of a record that is yet to be made: no text of Postgres begins so.
const NEW: char = '\0';

/// The rows of a batch with the records that they are about.
pub struct Matched<'a> {
    pub plan: Plan,
    /// What names each record that was found, and its tracked values as they were.
    pub records: Vec<Vec<String>>,
    pub tracked: Vec<Option<Vec<Option<String>>>>,
    /// For each group, its rows as one, in the slots of the batch; for each `newest` column, the line whose time counts.
    pub merged: Vec<Vec<Cell<'a>>>,
    pub clocks: Vec<Vec<Option<usize>>>,
    /// For each group, the columns that it would change; empty for a new record.
    pub changes: Vec<Vec<String>>,
}

/// A text in place of the id of what group `group` of a reference will make.
pub fn placeholder(group: usize) -> Cow<'static, str> {
    format!("{NEW}{group}").into()
}

/// The group whose id a cell stands for.
pub fn awaited(cell: &Cell<'_>) -> Option<usize> {
    cell.text()?.strip_prefix(NEW)?.parse().ok()
}

/// The value of a cell for a store: what is yet to be made is not there.
fn value<'c>(cell: &'c Cell<'_>) -> Option<&'c str> {
    cell.text().filter(|text| !text.starts_with(NEW))
}

/// Runs `work`, which looks up `rows` rows of the table, with the planner held to what suits their number.
fn looking_up<T>(oid: pg_sys::Oid, rows: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    if rows.saturating_mul(10) >= targets::estimated_rows(oid)? { spi::planned(work) } else { spi::by_index(work) }
}

/// Matches the lines that are neither refused nor left out.
pub fn matched<'a>(target: &Target, batch: &mut Batch<'a>, on_match: OnMatch, pending: &[bool]) -> Result<Matched<'a>> {
    let shape = target.shape(on_match);
    let looked = look_up(target, batch, pending)?;
    let plan = loop {
        let taken = |line: usize| pending[line] && batch.lines[line].refusal.is_none();
        let plan = plan::plan(&shape, &looked.values, &looked.rows, taken);
        if !refuse_incomplete(target, batch, &plan) {
            break plan;
        }
    };
    let mut matched = Matched {
        records: looked.names,
        tracked: looked.tracked,
        merged: Vec::new(),
        clocks: Vec::new(),
        changes: vec![Vec::new(); plan.groups.len()],
        plan,
    };
    if on_match == OnMatch::Update {
        merge(target, batch, &mut matched)?;
        find_changes(target, batch, &mut matched)?;
    } else {
        for group in &matched.plan.groups {
            matched.merged.push(batch.lines[group.rows[0]].cells.clone());
            matched.clocks.push(vec![Some(group.rows[0]); batch.slots.len()]);
        }
    }
    Ok(matched)
}

struct LookedUp {
    rows: Vec<plan::Row>,
    values: Vec<Vec<Option<u32>>>,
    names: Vec<Vec<String>>,
    tracked: Vec<Option<Vec<Option<String>>>>,
}

/// The tracked values of all lines as numbers, and the records that their keys find.
fn look_up(target: &Target, batch: &Batch<'_>, pending: &[bool]) -> Result<LookedUp> {
    let table = &target.table;
    let slots: Vec<Option<usize>> =
        table.tracked.iter().map(|name| target.field(name).and_then(|field| batch.slot(field))).collect();
    let mut columns = vec![Stored::plain("n", pg_sys::INT8OID)];
    columns
        .extend(table.tracked.iter().filter_map(|name| target.field(name)).map(|field| target.fields[field].stored()));
    let mut store = Store::new("once_keys", &columns);
    let alive = |number: usize, line: &Line<'_>| pending[number] && line.refusal.is_none();
    let mut count = 0;
    for (number, line) in batch.lines.iter().enumerate().filter(|(number, line)| alive(*number, line)) {
        let label = number.to_string();
        let cells = slots.iter().map(|slot| slot.and_then(|slot| value(line.cell(slot))));
        store.push(std::iter::once(Some(label.as_str())).chain(cells));
        count += 1;
    }

    let fields: Vec<bool> = table
        .tracked
        .iter()
        .map(|name| target.field(name).is_none_or(|field| is_canonical(&target.fields[field])))
        .collect();
    let mut written: HashMap<usize, Vec<Option<String>>> = HashMap::new();
    if fields.iter().zip(&slots).any(|(canonical, slot)| !canonical && slot.is_some()) {
        let texts = spi::over(&[&store], &table.canonical(), &[], |row| {
            Ok((row.need::<i64>(1)?, row.need::<Vec<Option<String>>>(2)?))
        })?;
        written.extend(texts.into_iter().map(|(number, texts)| (index(number), texts)));
    }

    let mut numbers: Vec<Numbers<String>> = table.tracked.iter().map(|_| Numbers::default()).collect();
    let keys = table.keys.len();
    let mut rows: Vec<plan::Row> = Vec::with_capacity(batch.lines.len());
    for (number, line) in batch.lines.iter().enumerate() {
        let mut values = Vec::with_capacity(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            values.push(match slot.map_or(&Cell::Missing, |slot| line.cell(slot)) {
                Cell::Missing => Slot::Missing,
                Cell::Null => Slot::Null,
                Cell::Text(text) if fields[at] || text.starts_with(NEW) => Slot::Is(numbers[at].of(text.to_string())),
                Cell::Text(_) => match written.get_mut(&number).and_then(|texts| texts[at].take()) {
                    Some(text) => Slot::Is(numbers[at].of(text)),
                    None => Slot::Null,
                },
            });
        }
        rows.push(plan::Row { values, found: vec![None; keys] });
    }

    let told = target.is_many_keyed();
    let mut names: Vec<Vec<String>> = Vec::new();
    let mut values: Vec<Vec<Option<u32>>> = Vec::new();
    let mut tracked = Vec::new();
    let mut known: HashMap<Vec<String>, usize> = HashMap::new();
    let found = looking_up(target.oid, count, || {
        spi::over(&[&store], &table.find(told), &[], |row| {
            let key = (index(row.need::<i64>(1)?), index(row.need::<i64>(2)?));
            Ok((key, row.need::<Vec<String>>(3)?, row.get::<Vec<Option<String>>>(4)?))
        })
    })?;
    for ((number, key), name, texts) in found {
        let awaits = shape_awaits(&table.keys[key].columns, target, batch, &batch.lines[number]);
        if awaits {
            continue; // NULL stands for a record that is yet to be made
        }
        let record = *known.entry(name.clone()).or_insert_with(|| {
            names.push(name);
            values.push(match &texts {
                Some(texts) => {
                    texts.iter().zip(&mut numbers).map(|(text, numbers)| text.clone().map(|t| numbers.of(t))).collect()
                }
                None => rows[number].values.iter().map(|s| if let Slot::Is(v) = s { Some(*v) } else { None }).collect(),
            });
            tracked.push(texts);
            values.len() - 1
        });
        rows[number].found[key] = Some(record);
    }
    Ok(LookedUp { rows, values, names, tracked })
}

/// Whether a key of the line has a value that is yet to be made.
fn shape_awaits(
    columns: &[(once_core::key::KeyColumn, bool)],
    target: &Target,
    batch: &Batch<'_>,
    line: &Line<'_>,
) -> bool {
    columns.iter().any(|(column, _)| {
        let slot = target.field(&column.name).and_then(|field| batch.slot(field));
        slot.is_some_and(|slot| awaited(line.cell(slot)).is_some())
    })
}

/// A number of a store, which was an index.
pub fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Refuses rows that would make a record without what it can't do without; whether there were any.
fn refuse_incomplete(target: &Target, batch: &mut Batch<'_>, plan: &Plan) -> bool {
    let needed: Vec<(Option<usize>, &str)> = target
        .fields
        .iter()
        .enumerate()
        .filter(|(_, field)| field.needed)
        .map(|(number, field)| (batch.slot(number), field.column.name.as_str()))
        .collect();
    if needed.is_empty() {
        return false;
    }
    let mut refused = false;
    for group in plan.groups.iter().filter(|group| group.record.is_none()) {
        for number in &group.rows {
            let line = &mut batch.lines[*number];
            let lacks = needed.iter().find(|(slot, _)| slot.is_none_or(|slot| line.cell(slot).text().is_none()));
            let Some((_, name)) = lacks else { break };
            line.refuse(Refusal::of(name, None, "is missing"));
            refused = true;
        }
    }
    refused
}

/// The columns of the batch's slots.
pub fn columns<'t>(target: &'t Target, batch: &Batch<'_>) -> Vec<Option<&'t Column>> {
    batch.slots.iter().map(|field| target.table.column(&target.fields[*field].column.name)).collect()
}

/// The order of values within one group.
struct GroupOrder<'r> {
    ranks: &'r HashMap<(usize, usize), Vec<Option<i64>>>,
    group: usize,
    rows: &'r [usize],
    /// For each slot, its place among the ranked columns.
    places: &'r [Option<usize>],
}

/// Where the ranks of a group's record stand, beside those of its lines.
const RECORD: usize = usize::MAX;

impl GroupOrder<'_> {
    fn rank(&self, line: usize, column: usize) -> Option<u32> {
        let place = self.places[column]?;
        let rank = self.ranks.get(&(self.group, line))?.get(place).copied().flatten()?;
        u32::try_from(rank).ok()
    }
}

impl Order for GroupOrder<'_> {
    fn of_row(&self, row: usize, column: usize) -> Option<u32> {
        self.rank(self.rows[row], column)
    }

    fn of_record(&self, column: usize) -> Option<u32> {
        self.rank(RECORD, column)
    }

    fn is_set(&self, column: usize) -> bool {
        self.rank(RECORD, column).is_some()
    }
}

/// Each group's rows as one.
fn merge<'a>(target: &Target, batch: &Batch<'a>, matched: &mut Matched<'a>) -> Result<()> {
    let slot_named = |name: &str| target.field(name).and_then(|field| batch.slot(field));
    let columns: Vec<fold::Column> = columns(target, batch)
        .into_iter()
        .map(|column| fold::Column {
            merge: column.map_or(Merge::Coalesce, |column| column.merge.clone()),
            clock: column.and_then(|c| if let Merge::Newest(clock) = &c.merge { slot_named(clock) } else { None }),
            follows: column.and_then(|column| slot_named(&column.follows.as_ref()?.name)),
        })
        .collect();
    let mut places = vec![None; columns.len()];
    let mut ranked = Vec::new();
    for (slot, column) in columns.iter().enumerate() {
        let is_clock = columns.iter().any(|other| other.clock == Some(slot));
        if is_clock || matches!(column.merge, Merge::Greatest | Merge::Least | Merge::Newest(_)) {
            places[slot] = Some(ranked.len());
            ranked.push(slot);
        }
    }
    let several = matched.plan.groups.iter().any(|group| group.rows.len() > 1);
    let ranks = if several && !ranked.is_empty() { ranks(target, batch, matched, &ranked)? } else { HashMap::new() };
    for (number, group) in matched.plan.groups.iter().enumerate() {
        if let [only] = group.rows.as_slice() {
            matched.merged.push(batch.lines[*only].cells.clone());
            matched.clocks.push(vec![Some(*only); columns.len()]);
            continue;
        }
        let rows: Vec<Vec<Cell<'a>>> = group
            .rows
            .iter()
            .map(|line| {
                let mut cells = batch.lines[*line].cells.clone();
                cells.resize(columns.len(), Cell::Missing);
                cells
            })
            .collect();
        let rows: Vec<&[Cell<'a>]> = rows.iter().map(Vec::as_slice).collect();
        let order = GroupOrder { ranks: &ranks, group: number, rows: &group.rows, places: &places };
        let (cells, sources) = fold(&columns, &rows, &order);
        matched.merged.push(cells);
        matched.clocks.push(sources.into_iter().map(|source| source.map(|row| group.rows[row])).collect());
    }
    Ok(())
}

type Ranks = HashMap<(usize, usize), Vec<Option<i64>>>;

/// How the values of the groups of several rows, and those of their records, stand in the order of their types.
fn ranks(target: &Target, batch: &Batch<'_>, matched: &Matched<'_>, ranked: &[usize]) -> Result<Ranks> {
    let identity = &target.table.identity;
    let named = columns(target, batch);
    let ranked_columns: Vec<&Column> = ranked.iter().filter_map(|slot| named[*slot]).collect();
    let mut stored = vec![Stored::plain("n", pg_sys::INT8OID), Stored::plain("g", pg_sys::INT8OID)];
    stored.extend(identity_columns(target));
    stored.extend(ranked.iter().map(|slot| target.fields[batch.slots[*slot]].stored()));
    let mut store = Store::new("once_ranked", &stored);
    for (number, group) in matched.plan.groups.iter().enumerate().filter(|(_, group)| group.rows.len() > 1) {
        let label = number.to_string();
        for line in &group.rows {
            let row = line.to_string();
            let name = identity.iter().enumerate().map(|(at, _)| group.record.map(|r| matched.records[r][at].as_str()));
            let cells = ranked.iter().map(|slot| value(batch.lines[*line].cell(*slot)));
            store.push([Some(row.as_str()), Some(label.as_str())].into_iter().chain(name).chain(cells));
        }
    }
    let sql = target.table.ranks(&ranked_columns);
    let rows = spi::over(&[&store], &sql, &[], |row| {
        let line = row.get::<i64>(1)?.map_or(RECORD, index);
        Ok(((index(row.need::<i64>(2)?), line), row.need::<Vec<Option<i64>>>(3)?))
    })?;
    Ok(rows.into_iter().collect())
}

/// The columns of a store that hold what names a record.
pub fn identity_columns(target: &Target) -> impl Iterator<Item = Stored> + '_ {
    target.table.identity.iter().filter_map(|column| {
        let field = target.columns.iter().find(|known| known.name == column.name)?;
        Some(super::target::stored(field, &target.table.identity_name(column)))
    })
}

/// The slots whose columns a merge may change: not what names a record, nor whose it is.
pub fn mergeable(target: &Target, batch: &Batch<'_>) -> Vec<usize> {
    let fixed = |name: &str| {
        target.table.identity.iter().any(|column| column.name == name) || target.spec.scope.as_deref() == Some(name)
    };
    let names = |slot: &usize| &target.fields[batch.slots[*slot]].column.name;
    (0..batch.slots.len()).filter(|slot| !fixed(names(slot))).collect()
}

/// The merged rows of these groups of records, as statements read them.
pub fn updates(target: &Target, batch: &Batch<'_>, matched: &Matched<'_>, groups: &[(usize, i64)]) -> Store {
    let slots = mergeable(target, batch);
    let named = columns(target, batch);
    let mut stored = vec![Stored::plain("n", pg_sys::INT8OID)];
    stored.extend(identity_columns(target));
    for slot in &slots {
        let field = &target.fields[batch.slots[*slot]];
        stored.push(field.stored());
        let Some(column) = named[*slot] else { continue };
        match &column.merge {
            Merge::Overwrite => stored.push(Stored::plain(&column.given_name(), pg_sys::BOOLOID)),
            Merge::Newest(clock) => {
                if let Some(clock) = target.columns.iter().find(|known| known.name == *clock) {
                    stored.push(super::target::stored(clock, &column.clock_name()));
                }
            }
            _ => {}
        }
    }
    let mut store = Store::new("once_updates", &stored);
    for (number, label) in groups {
        let group = &matched.plan.groups[*number];
        let Some(record) = group.record else { continue };
        let label = label.to_string();
        let name = matched.records[record].iter().map(|text| Some(text.as_str()));
        let cells = &matched.merged[*number];
        let missing = Cell::Missing;
        let mut values: Vec<Option<&str>> = Vec::with_capacity(stored.len());
        for slot in &slots {
            let cell = cells.get(*slot).unwrap_or(&missing);
            values.push(value(cell));
            match named[*slot].map(|column| &column.merge) {
                Some(Merge::Overwrite) => values.push(Some(if *cell == Cell::Missing { "false" } else { "true" })),
                Some(Merge::Newest(clock)) => {
                    let slot_of_clock = target.field(clock).and_then(|field| batch.slot(field));
                    let line = matched.clocks[*number].get(*slot).copied().flatten();
                    values.push(line.zip(slot_of_clock).and_then(|(line, slot)| value(batch.lines[line].cell(slot))));
                }
                _ => {}
            }
        }
        store.push(std::iter::once(Some(label.as_str())).chain(name).chain(values));
    }
    store
}

/// What each group would change in its record.
fn find_changes(target: &Target, batch: &Batch<'_>, matched: &mut Matched<'_>) -> Result<()> {
    let groups: Vec<(usize, i64)> = matched
        .plan
        .groups
        .iter()
        .enumerate()
        .filter(|(_, group)| group.record.is_some())
        .map(|(number, _)| (number, i64::try_from(number).unwrap_or(i64::MAX)))
        .collect();
    let slots = mergeable(target, batch);
    if groups.is_empty() || slots.is_empty() {
        return Ok(());
    }
    let named = columns(target, batch);
    let columns: Vec<&Column> = slots.iter().filter_map(|slot| named[*slot]).collect();
    let store = updates(target, batch, matched, &groups);
    let differing = looking_up(target.oid, groups.len(), || {
        spi::over(&[&store], &target.table.changes(&columns), &[], |row| {
            Ok((index(row.need::<i64>(1)?), row.need::<Vec<bool>>(2)?))
        })
    })?;
    for (group, differs) in differing {
        let names = columns.iter().zip(differs).filter(|(_, differs)| *differs).map(|(column, _)| column.name.clone());
        matched.changes[group] = names.collect();
    }
    // A record that is yet to be made is another one than whatever is there.
    for (number, _) in groups {
        for slot in &slots {
            let awaits = matched.merged[number].get(*slot).is_some_and(|cell| awaited(cell).is_some());
            if let Some(column) = named[*slot].filter(|column| awaits && column.merge != Merge::Keep) {
                matched.changes[number].push(column.name.clone());
            }
        }
    }
    Ok(())
}

impl Matched<'_> {
    /// The group of a line, and by which key it was found.
    pub fn group_of(&self, line: usize) -> Option<(usize, Option<usize>)> {
        match self.plan.fates.get(line) {
            Some(Fate::Grouped { group, key }) => Some((*group, *key)),
            _ => None,
        }
    }

    pub fn group(&self, number: usize) -> &Group {
        &self.plan.groups[number]
    }
}
