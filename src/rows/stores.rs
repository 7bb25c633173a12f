//! Rows as the statements read them: in stores, by the names that the statements have for them.

use super::folding::Merged;
use super::matching::Matched;
use super::read::{Batch, Line};
use super::target::{LinkTable, Target, is_canonical};
use crate::backend::store::{Column as Stored, Store};
use crate::error::Result;
use crate::spi;
use hashbrown::{HashMap, HashSet};
use once_core::key::KeyColumn;
use once_core::rows::statements::{Column, Form, KEY, Key, NUMBER, name_parts};
use once_core::rows::value::{Cell, Kind};
use once_core::spec::Merge;
use pgrx::pg_sys;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Begins what stands for the id of a record that is yet to be made: no text of Postgres begins so.
pub const NEW: char = '\0';

/// A text in place of the id of what group `group` of a reference will make.
pub fn placeholder(group: usize) -> Cow<'static, str> {
    format!("{NEW}{group}").into()
}

/// The group whose id a cell stands for.
pub fn awaited(cell: &Cell<'_>) -> Option<usize> {
    cell.text()?.strip_prefix(NEW)?.parse().ok()
}

/// The value of a cell for a store: what is yet to be made is not there.
pub fn value<'c>(cell: &'c Cell<'_>) -> Option<&'c str> {
    cell.text().filter(|text| !text.starts_with(NEW))
}

/// A number of a store, which was an index.
pub fn index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An index as a number of a store.
pub fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
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
    pub fn awaits(&self, line: &Line<'_>) -> bool {
        self.0.iter().any(|(slot, _)| slot.is_some_and(|slot| awaited(line.cell(slot)).is_some()))
    }
}

/// The lines' keys and these other slots, as statements read them.
pub fn keys(target: &Target, batch: &Batch<'_>, lines: impl Iterator<Item = usize>, compared: &[usize]) -> Store {
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

/// The columns of the batch's slots.
pub fn columns<'t>(target: &'t Target, batch: &Batch<'_>) -> Vec<Option<&'t Column>> {
    batch.slots.iter().map(|field| target.table.column(&target.fields[*field].column.name)).collect()
}

/// For each slot, the reference that fills it.
pub fn referring(target: &Target, batch: &Batch<'_>) -> Vec<Option<usize>> {
    batch.slots.iter().map(|field| reference_of(target, *field)).collect()
}

fn reference_of(target: &Target, field: usize) -> Option<usize> {
    target.references.iter().position(|reference| reference.field == field)
}

/// The slot of the times by which a column is merged.
pub fn clock_slot(target: &Target, batch: &Batch<'_>, column: &Column) -> Option<usize> {
    match &column.merge {
        Merge::Newest(clock) => batch.slot_named(target, clock),
        _ => None,
    }
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

/// The value of a cell of a new record: where it awaits what reference `reference` makes, that.
fn filled<'c>(cell: &'c Cell<'_>, reference: Option<usize>, made: Option<&'c Made>) -> Option<&'c str> {
    match reference.and_then(|at| Some((at, awaited(cell)?))) {
        Some(which) => made.and_then(|made| made.get(&which)).map(String::as_str),
        None => cell.text(),
    }
}

/// The groups as statements read them, each with the first of its keys.
pub struct Inserts {
    pub store: Store,
    /// These keys.
    pub keys: Vec<usize>,
    /// Whether the store is in the order in which rows are written: then the database need not sort them, bodies and all.
    pub is_ordered: bool,
}

/// `made`: for a target's own, what its cells await.
pub fn inserts<'a>(
    target: &Target,
    batch: &Batch<'a>,
    matched: &Matched<'a>,
    labelled: &[(usize, i64)],
    made: Option<&Made>,
) -> Result<Inserts> {
    let named = columns(target, batch);
    let sets = sets(target, batch, matched, labelled)?;
    let mut stored = vec![Stored::plain(NUMBER, pg_sys::INT8OID), Stored::plain(KEY, pg_sys::INT8OID)];
    for (slot, column) in named.iter().enumerate() {
        stored.push(target.fields[batch.slots[slot]].stored());
        if let Some(column) = column.filter(|column| column.merge == Merge::Overwrite) {
            stored.push(Stored::plain(&column.given_name(), pg_sys::BOOLOID));
        }
    }
    // Statements speak of all columns of the keys.
    let tracked: Vec<(usize, Option<usize>)> = target
        .table
        .tracked
        .iter()
        .filter_map(|name| target.field(name))
        .map(|field| (field, batch.slot(field)))
        .collect();
    stored.extend(tracked.iter().filter(|(_, slot)| slot.is_none()).map(|(field, _)| target.fields[*field].stored()));
    let keys = KeySlots::of(target, batch);
    let referring = if made.is_some() { referring(target, batch) } else { vec![None; named.len()] };
    let mut store = Store::new("once_inserts", &stored);
    let mut used = BTreeSet::new();
    let order = Order::of(target, batch, made.map(|made| (made, referring.as_slice())));
    let labelled: Cow<'_, [(usize, i64)]> = match &order {
        Some(order) => order.sorted(batch, matched, labelled).into(),
        None => labelled.into(),
    };
    for (group, label) in labelled.iter() {
        let row = matched.merged(batch, *group);
        let Some(key) = keys.iter().position(|key| key.is_complete(|slot| row.cell(slot))) else { continue };
        used.insert(key);
        let (label, key) = (label.to_string(), key.to_string());
        let mut values = vec![Some(label.as_str()), Some(key.as_str())];
        for (slot, column) in named.iter().enumerate() {
            let cell = row.cell(slot);
            let text = filled(cell, referring[slot], made);
            values.push(text.map(|text| sets.get(&(slot, text)).map_or(text, String::as_str)));
            if column.is_some_and(|column| column.merge == Merge::Overwrite) {
                values.push(Some(if *cell == Cell::Missing { "false" } else { "true" }));
            }
        }
        values.resize(stored.len(), None);
        store.push(values.into_iter());
    }
    Ok(Inserts { store, keys: used.into_iter().collect(), is_ordered: order.is_some() })
}

/// The order in which new rows are written, where it can be told without the database: see `Table::ordered_by`.
struct Order<'o> {
    /// By the slots of these columns; whether each holds numbers.
    by: Vec<(usize, bool)>,
    /// What was made for cells that await it.
    made: Option<(&'o Made, &'o [Option<usize>])>,
}

/// A value in its order: NULL comes last.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Rank<'v> {
    Number(i64),
    Text(&'v str),
    Null,
}

impl<'o> Order<'o> {
    /// The most columns that rows are sorted by here.
    const MOST: usize = 4;

    fn of(target: &Target, batch: &Batch<'_>, made: Option<(&'o Made, &'o [Option<usize>])>) -> Option<Self> {
        let named: Vec<&Column> = columns(target, batch).into_iter().flatten().collect();
        let by = |(_, column): (&KeyColumn, &Column)| {
            let field = target.field(&column.name)?;
            let is_number = match &target.fields[field].kind {
                Kind::Integer { .. } => true,
                Kind::Text { .. } | Kind::Uuid => false,
                _ => return None,
            };
            let is_told = is_canonical(&target.fields[field]) && column.form == Form::Plain;
            is_told.then_some((batch.slot(field)?, is_number))
        };
        let by: Vec<_> = target.table.ordered_by(&named).into_iter().map(by).collect::<Option<_>>()?;
        (by.len() <= Self::MOST).then_some(Self { by, made })
    }

    fn sorted(&self, batch: &Batch<'_>, matched: &Matched<'_>, labelled: &[(usize, i64)]) -> Vec<(usize, i64)> {
        let ranked = labelled.iter().map(|(group, label)| {
            let row = matched.merged(batch, *group);
            let mut ranks = [Rank::Null; Self::MOST];
            for (rank, (slot, is_number)) in ranks.iter_mut().zip(&self.by) {
                let reference = self.made.and_then(|(_, referring)| referring[*slot]);
                let text = filled(row.cell(*slot), reference, self.made.map(|(made, _)| made));
                *rank = match (text, is_number) {
                    (Some(text), true) => text.parse().map_or(Rank::Null, Rank::Number),
                    (Some(text), false) => Rank::Text(text),
                    (None, _) => Rank::Null,
                };
            }
            (ranks, (*group, *label))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_by(|a, b| (a.0, a.1.1).cmp(&(b.0, b.1.1)));
        ranked.into_iter().map(|(_, labelled)| labelled).collect()
    }
}

/// What the groups have for columns that are merged to unions, as the sets that these begin with, by slot and text: the
/// same few are common, and are asked for once.
fn sets<'m>(
    target: &Target,
    batch: &'m Batch<'_>,
    matched: &'m Matched<'_>,
    labelled: &[(usize, i64)],
) -> Result<HashMap<(usize, &'m str), String>> {
    let mut sets = HashMap::new();
    for (slot, column) in columns(target, batch).into_iter().enumerate() {
        let Some(column) = column.filter(|column| column.merge == Merge::Union) else { continue };
        let texts = labelled.iter().filter_map(|(group, _)| matched.merged(batch, *group).cell(slot).text());
        let texts: Vec<&str> = texts.collect::<HashSet<_>>().into_iter().collect();
        if texts.is_empty() {
            continue;
        }
        let stored = [Stored::plain(NUMBER, pg_sys::INT8OID), target.fields[batch.slots[slot]].stored()];
        let mut store = Store::new("once_sets", &stored);
        for (number, text) in texts.iter().enumerate() {
            store.push([Some(number.to_string().as_str()), Some(*text)].into_iter());
        }
        let rows = spi::over(&[&store], &column.sets(), &[], |row| Ok((index(row.need(1)?), row.need::<String>(2)?)))?;
        sets.extend(rows.into_iter().map(|(number, set)| ((slot, texts[number]), set)));
    }
    Ok(sets)
}

/// The different links of the groups whose records have an id: group, and the columns of the table, the id first.
pub fn links<'i>(
    batch: &Batch<'_>,
    matched: &Matched<'_>,
    groups: &[usize],
    number: usize,
    id: &dyn Fn(usize) -> Option<&'i String>,
) -> Vec<(usize, Vec<String>)> {
    let mut seen = HashSet::new();
    let mut rows = Vec::new();
    for group in groups {
        let Some(id) = id(*group) else { continue };
        for line in &matched.group(*group).rows {
            for link in batch.lines[*line].links.get(number).into_iter().flatten() {
                let mut cells = vec![id.clone()];
                cells.extend(link.iter().filter_map(|cell| cell.text().map(String::from)));
                if seen.insert(cells.clone()) {
                    rows.push((*group, cells));
                }
            }
        }
    }
    rows
}

pub fn link_store<'r>(link: &LinkTable, rows: impl Iterator<Item = &'r [String]>, first: i64) -> Store {
    let mut columns = vec![Stored::plain(NUMBER, pg_sys::INT8OID)];
    columns.extend(link.columns.iter().map(|(_, column)| super::target::stored(column, &column.name)));
    let mut store = Store::new("once_links", &columns);
    for (label, cells) in (first..).zip(rows) {
        let label = label.to_string();
        store.push(std::iter::once(Some(label.as_str())).chain(cells.iter().map(|cell| Some(cell.as_str()))));
    }
    store
}

/// What a row's first complete key says, as its answer shows it.
pub fn shown_key(
    target: &Target,
    batch: &Batch<'_>,
    keys: &[KeySlots],
    line: &Line<'_>,
    made: &Made,
) -> Option<serde_json::Value> {
    let text = |name: &str| {
        let slot = batch.slot_named(target, name)?;
        match awaited(line.cell(slot)) {
            Some(group) => made.get(&(reference_of(target, batch.slots[slot])?, group)).map(String::as_str),
            None => line.cell(slot).text(),
        }
    };
    let key = keys.iter().position(|key| key.is_complete(|slot| line.cell(slot)))?;
    let key = &target.table.keys[key];
    let mut shown = serde_json::Map::new();
    for (column, _) in &key.columns {
        let value = match text(&column.name) {
            Some(text) => match text.parse::<i64>() {
                Ok(number) if target.column_is_integer(&column.name) => number.into(),
                _ => text.into(),
            },
            None => serde_json::Value::Null,
        };
        shown.insert(column.name.clone(), value);
    }
    Some(shown.into())
}
