//! Which record each row is about, and what it would change there. Reads only.

use super::read::{Batch, Line};
use super::target::{Target, is_canonical};
use crate::backend::store::{Column as Stored, Store};
use crate::error::Result;
use crate::spi;
use crate::targets;
use hashbrown::HashMap;
use once_core::rows::fold::{self, Order, fold};
use once_core::rows::plan::{self, Fate, Group, Numbers, Plan, Slot};
use once_core::rows::statements::{Column, GROUP, Key, NUMBER, name_parts};
use once_core::rows::value::Cell;
use once_core::spec::{Merge, OnMatch};
use pgrx::pg_sys;
use std::borrow::Cow;

/// Begins what stands for the id of a record that is yet to be made: no text of Postgres begins so.
const NEW: char = '\0';

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

/// Several rows as one, in the slots of the batch; for each `newest` column, the line whose time counts.
struct Folded<'a> {
    cells: Vec<Cell<'a>>,
    clocks: Vec<Option<usize>>,
}

/// The rows of a group as one.
pub struct Merged<'m, 'a> {
    only: &'m Line<'a>,
    folded: Option<&'m Folded<'a>>,
}

impl<'m, 'a> Merged<'m, 'a> {
    pub fn cell(&self, slot: usize) -> &'m Cell<'a> {
        const MISSING: &Cell<'static> = &Cell::Missing;
        match self.folded {
            Some(folded) => folded.cells.get(slot).unwrap_or(MISSING),
            None => self.only.cell(slot),
        }
    }

    /// The time of the value in a slot, where `clock` is the slot of the times.
    fn time(&self, batch: &'m Batch<'a>, slot: usize, clock: usize) -> Option<&'m str> {
        let line = match self.folded {
            Some(folded) => &batch.lines[folded.clocks.get(slot).copied().flatten()?],
            None => self.only,
        };
        value(line.cell(clock))
    }
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

/// The lines' keys and these other slots, as statements read them.
fn keys(target: &Target, batch: &Batch<'_>, lines: impl Iterator<Item = usize>, compared: &[usize]) -> Store {
    let tracked: Vec<usize> = target.table.tracked.iter().filter_map(|name| target.field(name)).collect();
    let mut columns = vec![Stored::plain(NUMBER, pg_sys::INT8OID)];
    columns.extend(tracked.iter().map(|field| target.fields[*field].stored()));
    let slots: Vec<Option<usize>> = tracked.iter().map(|field| batch.slot(*field)).collect();
    let more: Vec<usize> = compared.iter().copied().filter(|slot| !tracked.contains(&batch.slots[*slot])).collect();
    columns.extend(more.iter().map(|slot| target.fields[batch.slots[*slot]].stored()));
    let besides = Besides::of(target, batch, compared);
    columns.extend(besides.columns(target));
    let mut store = Store::new("once_keys", &columns);
    for number in lines {
        let line = &batch.lines[number];
        let row = Merged { only: line, folded: None };
        let label = number.to_string();
        let own = slots.iter().map(|slot| slot.and_then(|slot| value(line.cell(slot))));
        let others = more.iter().map(|slot| value(line.cell(*slot)));
        store.push(std::iter::once(Some(label.as_str())).chain(own).chain(others).chain(besides.values(batch, &row)));
    }
    store
}

/// What stores hold beside the values of some slots: whether each is given, or the time that it is of.
struct Besides<'t> {
    slots: Vec<(usize, &'t Column, Option<usize>)>,
}

impl<'t> Besides<'t> {
    fn of(target: &'t Target, batch: &Batch<'_>, slots: &[usize]) -> Self {
        let named = columns(target, batch);
        let besides = |slot: &usize| {
            let column = named[*slot].filter(|c| matches!(c.merge, Merge::Overwrite | Merge::Newest(_)))?;
            Some((*slot, column, clock_slot(target, batch, column)))
        };
        Self { slots: slots.iter().filter_map(besides).collect() }
    }

    fn columns<'s>(&'s self, target: &'s Target) -> impl Iterator<Item = Stored> + 's {
        self.slots.iter().filter_map(|(_, column, _)| match &column.merge {
            Merge::Newest(clock) => {
                let clock = target.columns.iter().find(|known| known.name == *clock)?;
                Some(super::target::stored(clock, &column.clock_name()))
            }
            _ => Some(Stored::plain(&column.given_name(), pg_sys::BOOLOID)),
        })
    }

    fn values<'m, 'a>(&self, batch: &'m Batch<'a>, row: &Merged<'m, 'a>) -> impl Iterator<Item = Option<&'m str>> {
        self.slots.iter().map(move |(slot, column, clock)| match &column.merge {
            Merge::Newest(_) => clock.and_then(|clock| row.time(batch, *slot, clock)),
            _ => Some(if *row.cell(*slot) == Cell::Missing { "false" } else { "true" }),
        })
    }
}

/// What lines find, and which of the compared columns each alone would change in what it finds first.
#[derive(Default)]
struct Finds {
    found: Vec<Find>,
    changed: HashMap<usize, Vec<bool>>,
}

/// A key by the slots of its columns, each with whether NULL is a value of it.
pub struct KeySlots(Vec<(Option<usize>, bool)>);

impl KeySlots {
    /// The target's keys, in order.
    pub fn of(target: &Target, batch: &Batch<'_>) -> Vec<Self> {
        let slots =
            |key: &Key| key.columns.iter().map(|(c, nulls)| (batch.slot_named(target, &c.name), *nulls)).collect();
        target.table.keys.iter().map(|key| Self(slots(key))).collect()
    }

    /// Whether a row with these cells has the key.
    pub fn is_complete<'c>(&self, cell: impl Fn(usize) -> &'c Cell<'c>) -> bool {
        let has = |slot: &Option<usize>| slot.is_some_and(|slot| cell(slot).text().is_some());
        self.0.iter().all(|(slot, nulls)| *nulls || has(slot)) && self.0.iter().any(|(slot, _)| has(slot))
    }

    /// Whether a line's key has a value that is yet to be made.
    fn awaits(&self, line: &Line<'_>) -> bool {
        self.0.iter().any(|(slot, _)| slot.is_some_and(|slot| awaited(line.cell(slot)).is_some()))
    }
}

/// What these lines find, key by key: a line is asked about no more where what it has found has its next key, too.
fn find(target: &Target, batch: &Batch<'_>, lines: &[usize], compared: &[usize]) -> Result<Finds> {
    let named = columns(target, batch);
    let columns: Vec<&Column> = compared.iter().filter_map(|slot| named[*slot]).collect();
    let key_slots = KeySlots::of(target, batch);
    let can_find = |key: &KeySlots, line: &Line<'_>| key.is_complete(|slot| line.cell(slot)) && !key.awaits(line);
    let mut finds = Finds { found: Vec::with_capacity(lines.len()), ..Finds::default() };
    let mut has_found = vec![false; batch.lines.len()];
    // Of each key, the lines of which it is known what they find.
    let mut answered = vec![vec![false; batch.lines.len()]; target.table.keys.len()];
    let mut stored: Option<(Vec<usize>, Store)> = None;
    looking_up(target.oid, lines.len(), || {
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
                for (later, answered) in answered[key + 1..].iter_mut().enumerate() {
                    if !answered[line] && row.need::<bool>(later + 5)? {
                        answered[line] = true;
                        finds.found.push((line, key + 1 + later, name.clone(), told.clone()));
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
                None => own().map(|slot| if let Slot::Is(value) = slot { Some(*value) } else { None }).collect(),
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

/// A number of a store, which was an index.
pub fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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

/// The groups of several rows, each as one.
fn folded<'a>(target: &Target, batch: &Batch<'a>, matched: &Matched<'a>) -> Result<HashMap<usize, Folded<'a>>> {
    let mut all = HashMap::new();
    if matched.plan.groups.iter().all(|group| group.rows.len() == 1) {
        return Ok(all);
    }
    let columns: Vec<fold::Column> = columns(target, batch)
        .into_iter()
        .map(|column| fold::Column {
            merge: column.map_or(Merge::Coalesce, |column| column.merge.clone()),
            clock: column.and_then(|column| clock_slot(target, batch, column)),
            follows: column.and_then(|column| batch.slot_named(target, &column.follows.as_ref()?.name)),
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
    let ranks = if ranked.is_empty() { HashMap::new() } else { ranks(target, batch, matched, &ranked)? };
    for (number, group) in matched.plan.groups.iter().enumerate().filter(|(_, group)| group.rows.len() > 1) {
        let padded = |line: &usize| (0..columns.len()).map(|slot| batch.lines[*line].cell(slot).clone()).collect();
        let rows: Vec<Vec<Cell<'a>>> = group.rows.iter().map(padded).collect();
        let rows: Vec<&[Cell<'a>]> = rows.iter().map(Vec::as_slice).collect();
        let order = GroupOrder { ranks: &ranks, group: number, rows: &group.rows, places: &places };
        let (cells, sources) = fold(&columns, &rows, &order);
        let clocks = sources.into_iter().map(|source| source.map(|row| group.rows[row])).collect();
        all.insert(number, Folded { cells, clocks });
    }
    Ok(all)
}

type Ranks = HashMap<(usize, usize), Vec<Option<i64>>>;

/// How the values of the groups of several rows, and those of their records, stand in the order of their types.
fn ranks(target: &Target, batch: &Batch<'_>, matched: &Matched<'_>, ranked: &[usize]) -> Result<Ranks> {
    let identity = &target.table.identity;
    let named = columns(target, batch);
    let ranked_columns: Vec<&Column> = ranked.iter().filter_map(|slot| named[*slot]).collect();
    let mut stored = vec![Stored::plain(NUMBER, pg_sys::INT8OID), Stored::plain(GROUP, pg_sys::INT8OID)];
    stored.extend(identity_columns(target));
    stored.extend(ranked.iter().map(|slot| target.fields[batch.slots[*slot]].stored()));
    let mut store = Store::new("once_ranked", &stored);
    for (number, group) in matched.plan.groups.iter().enumerate().filter(|(_, group)| group.rows.len() > 1) {
        let label = number.to_string();
        for line in &group.rows {
            let row = line.to_string();
            let name = group.record.map(|record| name_parts(&matched.records[record], identity.len()));
            let name = (0..identity.len()).map(|at| name.as_ref()?.get(at).map(|part| part.as_ref()));
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

/// The slots whose columns a merge may change.
pub fn mergeable(target: &Target, batch: &Batch<'_>) -> Vec<usize> {
    let names = |slot: &usize| &target.fields[batch.slots[*slot]].column.name;
    (0..batch.slots.len()).filter(|slot| !target.is_fixed(names(slot))).collect()
}

/// Records that were made for groups of references: reference, group, name.
pub type Made = HashMap<(usize, usize), String>;

/// The merged rows of these groups of records, each under its label, as statements read them.
pub fn updates(
    target: &Target,
    batch: &Batch<'_>,
    matched: &Matched<'_>,
    groups: &[(usize, i64)],
    made: &Made,
) -> Store {
    let slots = mergeable(target, batch);
    let besides = Besides::of(target, batch, &slots);
    let mut stored = vec![Stored::plain(NUMBER, pg_sys::INT8OID)];
    stored.extend(identity_columns(target));
    stored.extend(slots.iter().map(|slot| target.fields[batch.slots[*slot]].stored()));
    stored.extend(besides.columns(target));
    let mut store = Store::new("once_updates", &stored);
    let referring = referring(target, batch);
    for (number, label) in groups {
        let Some(record) = matched.group(*number).record else { continue };
        let label = label.to_string();
        let name = name_parts(&matched.records[record], target.table.identity.len());
        let row = matched.merged(batch, *number);
        let cells =
            slots.iter().map(|slot| match referring[*slot].and_then(|at| Some((at, awaited(row.cell(*slot))?))) {
                Some(which) => made.get(&which).map(String::as_str),
                None => value(row.cell(*slot)),
            });
        let own = std::iter::once(Some(label.as_str())).chain(name.iter().map(|part| Some(part.as_ref())));
        store.push(own.chain(cells).chain(besides.values(batch, &row)));
    }
    store
}

/// For each slot, the reference that fills it.
pub fn referring(target: &Target, batch: &Batch<'_>) -> Vec<Option<usize>> {
    let reference = |field: &usize| target.references.iter().position(|reference| reference.field == *field);
    batch.slots.iter().map(reference).collect()
}

/// The slot of the times by which a column is merged.
fn clock_slot(target: &Target, batch: &Batch<'_>, column: &Column) -> Option<usize> {
    match &column.merge {
        Merge::Newest(clock) => batch.slot_named(target, clock),
        _ => None,
    }
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
    for (number, group) in matched.plan.groups.iter().enumerate() {
        let Some(record) = group.record else { continue };
        groups.push(number);
        match (&known, group.rows.as_slice()) {
            (Some(known), [only]) if matched.rows[*only].found.iter().flatten().next() == Some(&record) => {
                if let Some(differs) = known.get(only) {
                    matched.changes[number] = names(differs);
                }
            }
            _ => open.push((number, i64::try_from(number).unwrap_or(i64::MAX))),
        }
    }
    if !open.is_empty() && !slots.is_empty() {
        let store = updates(target, batch, matched, &open, &Made::new());
        let differing = looking_up(target.oid, open.len(), || {
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
    for number in groups {
        for slot in &slots {
            let awaits = awaited(matched.merged(batch, number).cell(*slot)).is_some();
            if let Some(column) = named[*slot].filter(|column| awaits && column.merge != Merge::Keep) {
                matched.changes[number].push(column.name.clone());
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
