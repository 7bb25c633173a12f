//! What the database would refuse, told before it is asked to write: by CHECK constraints, foreign keys, and unique keys
//! that the spec does not name. What triggers do, and rows of one call to each other, shows only in the writing.

use super::matching::Matched;
use super::read::{Batch, Refusal};
use super::stores::{Made, columns, index, inserts, mergeable, number, updates};
use super::target::Target;
use crate::error::Result;
use crate::spi;
use hashbrown::HashMap;
use once_core::rows::statements::Column;

/// Which groups would be refused, and why; all are asked about at once.
pub fn broken(
    target: &Target,
    batch: &Batch<'_>,
    matched: &Matched<'_>,
    groups: &[usize],
    made: &Made,
) -> Result<HashMap<usize, Refusal>> {
    let mut broken = HashMap::new();
    let checks = target.checks()?;
    if checks.is_empty() {
        return Ok(broken);
    }
    let labelled: Vec<(usize, i64)> = groups.iter().map(|group| (*group, number(*group))).collect();
    let (new, old): (Vec<_>, Vec<_>) =
        labelled.into_iter().partition(|(group, _)| matched.group(*group).record.is_none());
    let named = columns(target, batch);
    let merged: Vec<&Column> = mergeable(target, batch).into_iter().filter_map(|slot| named[slot]).collect();
    let named: Vec<&Column> = named.into_iter().flatten().collect();
    let inserts = inserts(target, batch, matched, &new, Some(made))?.store;
    let updates = updates(target, batch, matched, &old, made);
    for (store, columns, is_new) in [(&inserts, &named, true), (&updates, &merged, false)] {
        if !store.is_empty() {
            let sql = target.table.broken(columns, &checks, is_new);
            let rows = spi::over(&[store], &sql, &[], |row| Ok((index(row.need(1)?), index(row.need(2)?))))?;
            broken.extend(rows.into_iter().map(|(group, rule)| {
                let rule = &checks[rule];
                (group, Refusal { sqlstate: Some(rule.sqlstate.into()), ..Refusal::row(&*rule.reason) })
            }));
        }
    }
    Ok(broken)
}
