//! Rows about one record as one row: the only one, or several merged in order.

use super::matching::Matched;
use super::read::{Batch, Line};
use super::stores::{clock_slot, columns, identity_columns, index, value};
use super::target::Target;
use crate::backend::store::{Column as Stored, Store};
use crate::error::Result;
use crate::spi;
use hashbrown::HashMap;
use once_core::rows::fold::{self, Order, fold};
use once_core::rows::statements::{Column, GROUP, NUMBER, name_parts};
use once_core::rows::value::Cell;
use once_core::spec::Merge;
use pgrx::pg_sys;

/// Several rows as one, in the slots of the batch; for each `newest` column, the line whose time counts.
pub struct Folded<'a> {
    pub cells: Vec<Cell<'a>>,
    pub clocks: Vec<Option<usize>>,
}

/// The rows of a group as one.
pub struct Merged<'m, 'a> {
    pub only: &'m Line<'a>,
    pub folded: Option<&'m Folded<'a>>,
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
    pub fn time(&self, batch: &'m Batch<'a>, slot: usize, clock: usize) -> Option<&'m str> {
        let line = match self.folded {
            Some(folded) => &batch.lines[folded.clocks.get(slot).copied().flatten()?],
            None => self.only,
        };
        value(line.cell(clock))
    }
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
pub fn folded<'a>(target: &Target, batch: &Batch<'a>, matched: &Matched<'a>) -> Result<HashMap<usize, Folded<'a>>> {
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
