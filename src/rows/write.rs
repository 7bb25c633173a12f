//! Writing what was matched: records that are referred to, then the rows' own, then their links. What the database
//! refuses is told row by row.

use super::checks;
use super::matching::{KeySlots, Made, Matched, awaited, columns, index, is_still_so, mergeable, referring, updates};
use super::read::{Batch, Line, Refusal};
use super::target::{LinkTable, Target};
use crate::backend;
use crate::backend::store::{Column as Stored, Store};
use crate::error::Result;
use crate::jobs::{Failure, Stop};
use crate::spi;
use crate::targets;
use hashbrown::{HashMap, HashSet};
use once_core::ident::Relation;
use once_core::rows::statements::{Column, KEY, NUMBER};
use once_core::rows::value::Cell;
use once_core::spec::Merge;
use once_core::sqlstate::is_jobs_own;
use pgrx::{Uuid, pg_sys};
use std::collections::BTreeSet;

/// The part of a job that is its target's own records; references are 1, 2, …, and links begin here.
pub const OWN: i16 = 0;
pub const LINKS: i16 = 100;

/// A job's writing.
pub struct Writer<'t> {
    pub target: &'t Target,
    pub job: Uuid,
    pub images: Relation,
    /// The images of records that this job has touched, by what names them.
    pub touched: HashMap<String, i64>,
    /// Those that a later round has changed again.
    pub changed_again: BTreeSet<i64>,
    /// The numbers of the next images of references and links.
    next: i64,
    made: Made,
}

/// What has become of groups.
#[derive(Default)]
pub struct Written {
    pub inserted: HashMap<usize, String>,
    pub updated: HashSet<usize>,
    /// Their keys came meanwhile.
    pub lost: BTreeSet<usize>,
    pub refused: Vec<(usize, Refusal)>,
    /// Several rows that were refused together: one of them may be at fault.
    pub apart: Vec<usize>,
}

/// How rounds end.
pub enum Round {
    Written(Written),
    /// What was matched is not so any more.
    Again,
}

/// What an insert does about a key that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// It is raised, which is the quickest where there is none; and where there is one, all are inserted anew, passing over.
    Unlikely,
    PassOver,
    /// It is raised, so that the row is told why.
    Refuse,
}

type Step<T> = std::result::Result<T, Stop>;

impl<'t> Writer<'t> {
    pub fn new(target: &'t Target, job: Uuid, images: Relation) -> Self {
        Self {
            target,
            job,
            images,
            touched: HashMap::new(),
            changed_again: BTreeSet::new(),
            next: 1,
            made: Made::new(),
        }
    }

    fn numbers(&mut self, count: usize) -> i64 {
        let first = self.next;
        self.next = first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        first
    }

    /// Writes all groups that make or change a record.
    pub fn write<'a>(
        &mut self,
        batch: &Batch<'a>,
        matched: &Matched<'a>,
        references: &[Matched<'a>],
        conflict: Conflict,
    ) -> Step<Round> {
        let groups: Vec<usize> = (0..matched.plan.groups.len())
            .filter(|group| matched.group(*group).record.is_none() || !matched.changes[*group].is_empty())
            .collect();
        let mut written = Written::default();
        let Some(hidden) = self.lock(batch, matched, &groups)? else { return Ok(Round::Again) };
        for group in &hidden {
            let reason = "row-level security keeps you from changing its record";
            written.refused.push((*group, Refusal::row(reason)));
        }
        let groups: Vec<usize> = groups.into_iter().filter(|group| !hidden.contains(group)).collect();
        self.made.clear();
        self.attempt(batch, matched, references, &groups, conflict, &mut written)?;
        Ok(Round::Written(written))
    }

    /// In a subtransaction; where that fails by the rows' own doing, halves are tried until each that fails is alone.
    fn attempt<'a>(
        &mut self,
        batch: &Batch<'a>,
        matched: &Matched<'a>,
        references: &[Matched<'a>],
        groups: &[usize],
        conflict: Conflict,
        written: &mut Written,
    ) -> Step<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let made = self.made.clone();
        let done = backend::subtransaction(|| self.write_groups(batch, matched, references, groups, conflict));
        if done.is_err() {
            self.made = made;
        }
        match done {
            Ok(done) => {
                let done = done?;
                written.inserted.extend(done.inserted);
                written.updated.extend(done.updated);
                written.lost.extend(done.lost);
                written.refused.extend(done.refused);
            }
            Err(error) if error.sqlstate == "23505" && conflict == Conflict::Unlikely => {
                self.attempt(batch, matched, references, groups, Conflict::PassOver, written)?;
            }
            Err(error) if !is_jobs_own(&error.sqlstate) => error.rethrow(),
            Err(error) => match groups {
                // Another may have taken the key while we wrote: who loses again is told why.
                [only] if error.sqlstate == "23505" && conflict != Conflict::Refuse => {
                    written.lost.insert(*only);
                }
                [only] if matched.group(*only).rows.len() > 1 => written.apart.push(*only),
                [only] => {
                    // Without its detail, which may show the whole row.
                    let refusal =
                        Refusal { sqlstate: Some(error.sqlstate.clone()), ..Refusal::row(error.message.clone()) };
                    written.refused.push((*only, refusal));
                }
                _ => {
                    let broken = match error.sqlstate.as_str() {
                        "23514" | "23503" | "23505" => checks::broken(self.target, batch, matched, groups, &self.made)?,
                        _ => HashMap::new(),
                    };
                    if !broken.is_empty() {
                        let rest: Vec<usize> = groups.iter().copied().filter(|g| !broken.contains_key(g)).collect();
                        for (group, refusal) in broken {
                            match matched.group(group).rows.len() {
                                1 => written.refused.push((group, refusal)),
                                _ => written.apart.push(group),
                            }
                        }
                        return self.attempt(batch, matched, references, &rest, conflict, written);
                    }
                    let (left, right) = groups.split_at(groups.len() / 2);
                    self.attempt(batch, matched, references, left, conflict, written)?;
                    self.attempt(batch, matched, references, right, conflict, written)?;
                }
            },
        }
        Ok(())
    }

    fn write_groups<'a>(
        &mut self,
        batch: &Batch<'a>,
        matched: &Matched<'a>,
        references: &[Matched<'a>],
        groups: &[usize],
        conflict: Conflict,
    ) -> Step<Written> {
        if !self.make_references(batch, matched, references, groups)? {
            return Ok(Written { lost: groups.iter().copied().collect(), ..Written::default() });
        }
        let (new, old): (Vec<usize>, Vec<usize>) =
            groups.iter().partition(|group| matched.group(**group).record.is_none());
        let mut written = Written { updated: self.update(batch, matched, &old)?, ..Written::default() };
        let labelled: Vec<(usize, i64)> = new.iter().map(|g| (*g, number(matched.group(*g).rows[0]))).collect();
        let mut made = self.insert(self.target, batch, matched, &labelled, OWN, conflict)?;
        written.inserted.reserve(labelled.len());
        for (group, label) in labelled {
            match made.remove(&label) {
                Some(identity) => drop(written.inserted.insert(group, identity)),
                None if conflict == Conflict::PassOver => drop(written.lost.insert(group)),
                None => written.refused.push((group, Refusal::row("a trigger keeps it out"))),
            }
        }
        for number in 0..self.target.links.len() {
            written.updated.extend(self.link(batch, matched, groups, &written, number)?);
        }
        for (_, oid) in self.target.tables() {
            targets::check_constraints_now(oid)?;
        }
        Ok(written)
    }

    /// The labels of the images of these groups of records.
    fn labelled(&self, matched: &Matched<'_>, groups: &[usize]) -> Vec<(usize, i64)> {
        let label = |group: &usize| {
            let own = number(matched.group(*group).rows[0]);
            let name = matched.group(*group).record.map(|record| &matched.records[record]);
            (*group, name.and_then(|name| self.touched.get(name)).copied().unwrap_or(own))
        };
        groups.iter().map(label).collect()
    }

    /// Locks the records that are about to change, in order. Gives the groups whose records are not ours to change; `None`
    /// where one is not as it was when it was matched.
    fn lock(&self, batch: &Batch<'_>, matched: &Matched<'_>, groups: &[usize]) -> Result<Option<BTreeSet<usize>>> {
        let old: Vec<usize> = groups.iter().copied().filter(|g| matched.group(*g).record.is_some()).collect();
        if old.is_empty() {
            return Ok(Some(BTreeSet::new()));
        }
        let labels: Vec<(usize, i64)> = old.iter().map(|group| (*group, number(*group))).collect();
        let store = updates(self.target, batch, matched, &labels, &self.made);
        let locked = spi::over(&[&store], &self.target.table.lock(), &[], |row| Ok(index(row.need::<i64>(1)?)))?;
        let locked: HashSet<usize> = locked.into_iter().collect();
        // What is there and can't be locked is hidden by a policy.
        let hidden = old.iter().copied().filter(|group| !locked.contains(group)).collect();
        Ok(is_still_so(self.target, batch, matched, &old)?.then_some(hidden))
    }

    fn update(&self, batch: &Batch<'_>, matched: &Matched<'_>, groups: &[usize]) -> Step<HashSet<usize>> {
        if groups.is_empty() {
            return Ok(HashSet::new());
        }
        let slots = mergeable(self.target, batch);
        let named = columns(self.target, batch);
        let columns: Vec<&Column> = slots.iter().filter_map(|slot| named[*slot]).collect();
        let labels = self.labelled(matched, groups);
        let store = updates(self.target, batch, matched, &labels, &self.made);
        let sql = self.target.table.update(&columns, &self.images);
        let changed = spi::over(&[&store], &sql, &[self.job.into(), OWN.into()], |row| row.need::<i64>(1))?;
        let changed: HashSet<i64> = changed.into_iter().collect();
        Ok(labels.into_iter().filter(|(_, label)| changed.contains(label)).map(|(group, _)| group).collect())
    }

    /// Makes the records that the groups refer to and that are not there; false where one has come meanwhile.
    fn make_references<'a>(
        &mut self,
        batch: &Batch<'a>,
        matched: &Matched<'a>,
        references: &[Matched<'a>],
        groups: &[usize],
    ) -> Step<bool> {
        for (at, found) in references.iter().enumerate() {
            let reference = &self.target.references[at];
            let Some(slot) = batch.slot(reference.field) else { continue };
            let wanted: BTreeSet<usize> =
                groups.iter().filter_map(|group| awaited(matched.merged(batch, *group).cell(slot))).collect();
            let wanted: BTreeSet<usize> =
                wanted.into_iter().filter(|group| !self.made.contains_key(&(at, *group))).collect();
            if wanted.is_empty() {
                continue;
            }
            let first = self.numbers(wanted.len());
            let labelled: Vec<(usize, i64)> = wanted.into_iter().zip(first..).collect();
            let subs = &batch.references[at];
            let part = i16::try_from(at + 1).unwrap_or(i16::MAX);
            let made = self.insert(&reference.target, subs, found, &labelled, part, Conflict::PassOver)?;
            if made.len() < labelled.len() {
                return Ok(false);
            }
            targets::check_constraints_now(reference.target.oid)?;
            for (group, label) in labelled {
                if let Some(name) = made.get(&label) {
                    self.made.insert((at, group), name.clone());
                }
            }
        }
        Ok(true)
    }

    /// Makes records of groups, each under its label; gives what names those that were made.
    fn insert<'a>(
        &self,
        target: &Target,
        batch: &Batch<'a>,
        matched: &Matched<'a>,
        labelled: &[(usize, i64)],
        part: i16,
        conflict: Conflict,
    ) -> Step<HashMap<i64, String>> {
        if labelled.is_empty() {
            return Ok(HashMap::new());
        }
        let named = columns(target, batch);
        let (store, keys) = inserts(target, batch, matched, labelled, (part == OWN).then_some(&self.made))?;
        if store.is_empty() {
            return Ok(HashMap::new());
        }
        let columns: Vec<&Column> = named.into_iter().flatten().collect();
        let sql = target.table.insert(&columns, &keys, &self.images, conflict != Conflict::PassOver);
        let mut made: HashMap<i64, String> = HashMap::with_capacity(labelled.len());
        let counts = spi::over(&[&store], &sql, &[self.job.into(), part.into()], |row| {
            made.extend(row.get::<i64>(2)?.zip(row.get::<String>(3)?));
            row.need::<i64>(1)
        })?;
        let count = counts.first().copied().unwrap_or(0);
        if number(made.len()) != count {
            let message = format!(
                "{count} rows inserted into {}, but {} of them have the key that they were given: a trigger changes it. \
                 Nothing was written, for the same rows would not be found again.",
                target.table.relation,
                made.len()
            );
            return Err(Failure::new("P0001", message).into());
        }
        Ok(made)
    }

    /// Adds the links of these groups to one of the tables; gives the groups that got any.
    fn link<'a>(
        &mut self,
        batch: &Batch<'a>,
        matched: &Matched<'a>,
        groups: &[usize],
        written: &Written,
        number: usize,
    ) -> Step<HashSet<usize>> {
        let id = |group: usize| match matched.group(group).record {
            Some(record) => matched.records.get(record),
            None => written.inserted.get(&group),
        };
        let link = &self.target.links[number];
        let rows = links(batch, matched, groups, number, &id);
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        let first = self.numbers(rows.len());
        let store = link_store(link, rows.iter().map(|(_, cells)| cells.as_slice()), first);
        let part = LINKS + i16::try_from(number).unwrap_or(i16::MAX - LINKS);
        let sql = link.statements().insert(&link.table, &self.images);
        let made = spi::over(&[&store], &sql, &[self.job.into(), part.into()], |row| row.need::<i64>(1))?;
        Ok(made.into_iter().filter_map(|label| rows.get(index(label - first)).map(|(group, _)| *group)).collect())
    }
}

/// The groups as statements read them, each with the first of its keys; and these keys. `made`: for a target's own, what
/// its cells await.
pub fn inserts<'a>(
    target: &Target,
    batch: &Batch<'a>,
    matched: &Matched<'a>,
    labelled: &[(usize, i64)],
    made: Option<&Made>,
) -> Result<(Store, Vec<usize>)> {
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
    for (group, label) in labelled {
        let row = matched.merged(batch, *group);
        let Some(key) = keys.iter().position(|key| key.is_complete(|slot| row.cell(slot))) else { continue };
        used.insert(key);
        let (label, key) = (label.to_string(), key.to_string());
        let mut values = vec![Some(label.as_str()), Some(key.as_str())];
        for (slot, column) in named.iter().enumerate() {
            let cell = row.cell(slot);
            values.push(match referring[slot].and_then(|at| Some((at, awaited(cell)?))) {
                Some(which) => made.and_then(|made| made.get(&which)).map(String::as_str),
                None => cell.text().map(|text| sets.get(&(slot, text)).map_or(text, String::as_str)),
            });
            if column.is_some_and(|column| column.merge == Merge::Overwrite) {
                values.push(Some(if *cell == Cell::Missing { "false" } else { "true" }));
            }
        }
        values.resize(stored.len(), None);
        store.push(values.into_iter());
    }
    Ok((store, used.into_iter().collect()))
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

/// An index as a number of a store.
pub fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// The different links of the groups whose records have an id: group, and the columns of the table, the id first.
fn links<'i>(
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

fn link_store<'r>(link: &LinkTable, rows: impl Iterator<Item = &'r [String]>, first: i64) -> Store {
    let mut columns = vec![Stored::plain(NUMBER, pg_sys::INT8OID)];
    columns.extend(link.columns.iter().map(|(_, column)| super::target::stored(column, &column.name)));
    let mut store = Store::new("once_links", &columns);
    for (label, cells) in (first..).zip(rows) {
        let label = label.to_string();
        store.push(std::iter::once(Some(label.as_str())).chain(cells.iter().map(|cell| Some(cell.as_str()))));
    }
    store
}

/// The tables of links that a group of a record would add to.
pub fn missing_links(target: &Target, batch: &Batch<'_>, matched: &mut Matched<'_>) -> Result<()> {
    let groups: Vec<usize> = (0..matched.plan.groups.len()).filter(|g| matched.group(*g).record.is_some()).collect();
    for (number, link) in target.links.iter().enumerate() {
        let id = |group: usize| matched.group(group).record.map(|record| &matched.records[record]);
        let rows = links(batch, matched, &groups, number, &id);
        if rows.is_empty() {
            continue;
        }
        let store = link_store(link, rows.iter().map(|(_, cells)| cells.as_slice()), 0);
        let missing = spi::over(&[&store], &link.statements().missing(), &[], |row| row.need::<i64>(1))?;
        let lacking: BTreeSet<usize> = missing.into_iter().map(|label| rows[index(label)].0).collect();
        for group in lacking {
            matched.changes[group].push(link.table.relation.name.clone());
        }
    }
    Ok(())
}

/// What a row's first complete key says, as its answer shows it.
pub fn shown_key(target: &Target, batch: &Batch<'_>, keys: &[KeySlots], line: &Line<'_>) -> Option<serde_json::Value> {
    let text = |name: &str| {
        let cell = line.cell(batch.slot_named(target, name)?);
        if awaited(cell).is_some() { None } else { cell.text() }
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
