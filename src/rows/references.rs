//! Columns that hold the id of a record of another target: resolved for all rows at once.

use super::matching::{Matched, lacking, matched};
use super::read::{Batch, Refusal};
use super::stores::placeholder;
use super::target::{Reference, Target};
use crate::error::Result;
use once_core::rows::plan::{Fate, Holder};
use once_core::rows::value::Cell;
use once_core::spec::{Missing, OnMatch};

/// Fills the referring columns of the lines: with an id, or with what stands for a record that is yet to be made. Gives
/// what was matched for each reference.
pub fn resolve<'a>(target: &Target, batch: &mut Batch<'a>) -> Result<Vec<Matched<'a>>> {
    let mut found = Vec::with_capacity(target.references.len());
    for (number, reference) in target.references.iter().enumerate() {
        let subs = std::mem::take(&mut batch.references[number]);
        let pending = vec![true; subs.lines.len()];
        let matched = matched(&reference.target, &subs, OnMatch::Skip, &pending, false)?;
        let answers: Vec<_> = (0..subs.lines.len()).map(|line| answer(reference, &subs, &matched, line)).collect();
        for at in 0..batch.lines.len() {
            let Some(Some(referred)) = batch.lines[at].references.get(number).copied() else { continue };
            match &answers[referred.line] {
                Ok(id) if referred.beside_id => {
                    let own = batch.slot(reference.field).and_then(|slot| batch.lines[at].cell(slot).text());
                    if own != id.text() {
                        let line = &batch.lines[at];
                        let name = line.called(target, reference.field);
                        let name = name.unwrap_or(&target.fields[reference.field].column.name);
                        let reason = format!("is not the record that {} names", target.source_of(reference.field));
                        let refusal = Refusal::of(name, own, reason);
                        batch.lines[at].refuse(refusal);
                    }
                }
                Ok(id) => batch.fill(at, reference.field, id.clone()),
                Err(refusal) => batch.lines[at].refuse(refusal.clone()),
            }
        }
        batch.references[number] = subs;
        found.push(matched);
    }
    Ok(found)
}

fn answer<'a>(
    reference: &Reference,
    subs: &Batch<'a>,
    matched: &Matched<'_>,
    line: usize,
) -> std::result::Result<Cell<'a>, Refusal> {
    let target = &reference.target;
    let sub = &subs.lines[line];
    // What the row calls what the other target calls so.
    let called = |name: &str| {
        let by = reference.by.iter().find(|(field, _)| target.fields[*field].column.name == name);
        by.map_or(name, |(_, source)| source.as_str()).to_string()
    };
    if let Some(refusal) = &sub.refusal {
        return Err(Refusal { column: refusal.column.as_deref().map(called), ..*refusal.clone() });
    }
    let sources: Vec<&str> = reference.by.iter().map(|(_, source)| source.as_str()).collect();
    let value = match reference.by.as_slice() {
        [(field, _)] => subs.slot(*field).and_then(|slot| sub.cell(slot).text()),
        _ => None,
    };
    let told = |who: &str, have: &str| {
        let reason = format!("is not known: {who} of target \"{}\" {have} {}", target.name, said(target, subs, line));
        Refusal::of(&sources.join(" and "), value, reason)
    };
    match &matched.plan.fates[line] {
        Fate::Skipped { several: true, .. } => Err(told("several records", "have")),
        Fate::Skipped { holder: Holder::Record(record), .. } => Ok(Cell::Text(matched.records[*record].clone().into())),
        Fate::Skipped { holder: Holder::New(_), .. } | Fate::Grouped { .. } | Fate::Incomplete
            if reference.missing == Missing::Reject =>
        {
            Err(told("no record", "has"))
        }
        Fate::Skipped { holder: Holder::New(group), .. } | Fate::Grouped { group, .. } => {
            Ok(Cell::Text(placeholder(*group)))
        }
        Fate::Incomplete => {
            let name = lacking(target, subs, sub).unwrap_or_default();
            Err(Refusal::of(&called(name), None, format!("is missing to make one of target \"{}\"", target.name)))
        }
        _ => Err(Refusal::row(format!("the row does not say which record of target \"{}\" it means", target.name))),
    }
}

/// What a line says of the record that it means.
fn said(target: &Target, subs: &Batch<'_>, line: usize) -> String {
    let text = |(slot, field): (usize, &usize)| {
        Some(format!("{} \"{}\"", target.fields[*field].column.name, subs.lines[line].cell(slot).text()?))
    };
    subs.slots.iter().enumerate().filter_map(text).collect::<Vec<_>>().join(" and ")
}
