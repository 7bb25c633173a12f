//! Writing what was matched: records that are referred to, then the rows' own, then their links. What the database
//! refuses is told row by row.

use super::checks;
use super::matching::{Matched, is_still_so};
use super::read::{Batch, Refusal};
use super::stores::{Inserts, Made, awaited, columns, index, inserts, link_store, links, mergeable, number, updates};
use super::target::Target;
use crate::backend;
use crate::error::Result;
use crate::jobs::{Failure, Stop};
use crate::spi;
use crate::targets;
use hashbrown::{HashMap, HashSet};
use once_core::ident::Relation;
use once_core::rows::statements::Column;
use once_core::sqlstate::is_jobs_own;
use pgrx::Uuid;
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
    /// The records that were made for references, in the last round.
    pub made: Made,
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

/// Why an attempt was taken back that raised nothing.
enum Undone {
    Stopped(Stop),
    /// Records may have been made for groups that lost, which may yet be refused.
    ForLost(BTreeSet<usize>),
}

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
        let done = backend::subtransaction(|| match self.write_groups(batch, matched, references, groups, conflict) {
            Ok(done) if !done.lost.is_empty() && self.made.len() > made.len() => Err(Undone::ForLost(done.lost)),
            done => done.map_err(Undone::Stopped),
        });
        if !matches!(done, Ok(Ok(_))) {
            self.made = made;
        }
        match done {
            Ok(Err(Undone::Stopped(stop))) => return Err(stop),
            Ok(Err(Undone::ForLost(lost))) => {
                let rest: Vec<usize> = groups.iter().copied().filter(|group| !lost.contains(group)).collect();
                written.lost.extend(lost);
                self.attempt(batch, matched, references, &rest, conflict, written)?;
            }
            Ok(Ok(done)) => {
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
        let Inserts { store, keys, is_ordered } =
            inserts(target, batch, matched, labelled, (part == OWN).then_some(&self.made))?;
        if store.is_empty() {
            return Ok(HashMap::new());
        }
        let columns: Vec<&Column> = named.into_iter().flatten().collect();
        let sql = target.table.insert(&columns, &keys, &self.images, conflict != Conflict::PassOver, is_ordered);
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
