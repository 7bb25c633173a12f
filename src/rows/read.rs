//! Rows as they came, read as values of the target's columns: what can't be read costs its row, and no other.

mod beside;

use self::beside::{links, refer};
use super::given::Given;
use super::target::Target;
use crate::backend;
use crate::backend::json::Element;
use crate::backend::store::Store;
use crate::error::{OnceError, Result};
use crate::targets::Column;
use hashbrown::HashMap;
use once_core::rows::rest::Rest;
use once_core::rows::value::{Cell, Json};
use once_core::spec::{Blank, Invalid, Merge};
use once_core::sqlstate::is_jobs_own;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Rows for one target. Cells stand in slots: the fields that any row has.
#[derive(Default)]
pub struct Batch<'a> {
    /// The field of each slot.
    pub slots: Vec<usize>,
    /// Of each field.
    slot_of: Vec<Option<usize>>,
    pub lines: Vec<Line<'a>>,
    /// What rows have and nothing takes.
    pub unknown: BTreeSet<String>,
    /// Cells that the database must be asked about: line and slot.
    unsure: Vec<(usize, usize)>,
    /// The different records that are referred to, a batch for each reference of the target.
    pub references: Vec<Batch<'a>>,
}

/// A row.
#[derive(Default)]
pub struct Line<'a> {
    pub number: i64,
    pub cells: Vec<Cell<'a>>,
    /// Of the fields that have several names: the field, and by which of its names it came.
    named: Vec<(usize, usize)>,
    pub references: Vec<Option<Referred>>,
    /// For each table of links, the columns of each link, without the record's id.
    pub links: Vec<Vec<Vec<Cell<'a>>>>,
    pub refusal: Option<Box<Refusal>>,
    /// Whether it is to be written apart from other rows about its record: together they were refused.
    pub stands_alone: bool,
}

/// What a row says of a record that it refers to.
#[derive(Clone, Copy)]
pub struct Referred {
    /// Its line in the reference's batch.
    pub line: usize,
    /// Whether the row gives the record's id, too.
    pub beside_id: bool,
}

/// Why a row is rejected.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub column: Option<String>,
    pub value: Option<String>,
    pub reason: String,
    pub sqlstate: Option<String>,
}

impl Refusal {
    pub fn of(column: &str, value: Option<&str>, reason: impl Into<String>) -> Self {
        Self { column: Some(column.into()), value: value.map(String::from), reason: reason.into(), sqlstate: None }
    }

    pub fn row(reason: impl Into<String>) -> Self {
        Self { column: None, value: None, reason: reason.into(), sqlstate: None }
    }

    /// The reason, with the column that it is about.
    pub fn shown(&self) -> String {
        match &self.column {
            Some(column) => format!("{column} {}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// What takes a field of a row.
enum Use {
    /// A field of the target, by this one of its names.
    Own(usize, usize),
    Reference(usize, usize),
    Link(usize, usize),
}

impl<'a> Line<'a> {
    pub fn cell(&self, slot: usize) -> &Cell<'a> {
        const MISSING: Cell<'static> = Cell::Missing;
        self.cells.get(slot).unwrap_or(&MISSING)
    }

    /// The name by which what fills a field came, where it has several.
    pub fn called<'t>(&self, target: &'t Target, field: usize) -> Option<&'t str> {
        let (_, name) = self.named.iter().find(|(named, _)| *named == field)?;
        target.fields[field].names.get(*name).map(String::as_str)
    }

    /// What the row calls what fills a field; what it would call it, where it has none.
    pub fn source_of(&self, target: &Target, field: usize) -> String {
        self.called(target, field).map_or_else(|| target.source_of(field), String::from)
    }

    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert_with(|| refusal.into());
    }
}

impl<'a> Batch<'a> {
    /// The slot of a field, if any row has it.
    pub fn slot(&self, field: usize) -> Option<usize> {
        self.slot_of.get(field).copied().flatten()
    }

    /// The slot of a column of the target, if any row has it.
    pub fn slot_named(&self, target: &Target, column: &str) -> Option<usize> {
        self.slot(target.field(column)?)
    }

    fn slot_for(&mut self, field: usize) -> usize {
        if let Some(slot) = self.slot(field) {
            return slot;
        }
        if self.slot_of.len() <= field {
            self.slot_of.resize(field + 1, None);
        }
        self.slots.push(field);
        *self.slot_of[field].insert(self.slots.len() - 1)
    }

    fn set(&mut self, line: &mut Line<'a>, field: usize, cell: Cell<'a>) -> usize {
        let slot = self.slot_for(field);
        if line.cells.len() <= slot {
            line.cells.reserve_exact(self.slots.len() - line.cells.len());
            line.cells.resize(slot + 1, Cell::Missing);
        }
        line.cells[slot] = cell;
        slot
    }

    /// Sets the cell of a line that was read.
    pub fn fill(&mut self, line: usize, field: usize, cell: Cell<'a>) {
        let mut taken = std::mem::take(&mut self.lines[line]);
        self.set(&mut taken, field, cell);
        self.lines[line] = taken;
    }

    /// Reads a value into a line's cell. What was given is kept beside what it is normalised to where the row is the
    /// record's own (`is_own`), not one that refers to it.
    fn put(&mut self, target: &Target, line: &mut Line<'a>, field: usize, json: Json<'a>, is_own: bool) {
        let known = &target.fields[field];
        let name = line.called(target, field).unwrap_or(&known.column.name);
        if is_nothing(target, &json) {
            if known.not_null && *target.spec.merge_of(&known.column.name) == Merge::Overwrite {
                line.refuse(Refusal::of(name, None, "can't be null"));
            }
            self.set(line, field, Cell::Null);
            return;
        }
        let mut json = json;
        if let Some(normalize) = &known.normalize {
            let given: Cow<'a, str> = match json {
                Json::String(text) => text.into(),
                other => other.shown().into_owned().into(),
            };
            let kept = |column: &Option<String>| column.as_ref().and_then(|name| target.field(name));
            if let Some(raw) = kept(&normalize.raw).filter(|_| is_own) {
                self.set(line, raw, Cell::Text(given.clone()));
            }
            let normal = match &given {
                Cow::Borrowed(text) => normalize.normalizer.apply(text),
                Cow::Owned(text) => normalize.normalizer.apply(text).map(|n| n.map(|n| n.into_owned().into())),
            };
            match normal {
                Ok(Some(normal)) => {
                    if let Some(version) = kept(&normalize.version) {
                        self.set(line, version, Cell::Text(normalize.normalizer.version().into()));
                    }
                    json = match normal {
                        Cow::Borrowed(text) => Json::String(text),
                        Cow::Owned(text) => return self.read(target, line, field, &Json::Number(text), Some(&given)),
                    };
                }
                Ok(None) => {
                    self.set(line, field, Cell::Null);
                    return;
                }
                Err(_) if normalize.invalid == Invalid::Null => {
                    self.set(line, field, Cell::Null);
                    return;
                }
                Err(invalid) => return line.refuse(Refusal::of(name, Some(&given), invalid.to_string())),
            }
        }
        self.read(target, line, field, &json, None);
    }

    /// `given`: what it was before it was normalised.
    fn read(&mut self, target: &Target, line: &mut Line<'a>, field: usize, json: &Json<'a>, given: Option<&str>) {
        let known = &target.fields[field];
        let name = line.called(target, field).unwrap_or(&known.column.name);
        let refusal = |reason: String| {
            let given = given.map_or_else(|| json.shown(), Cow::from);
            Refusal::of(name, Some(&given), reason)
        };
        match known.kind.read(json) {
            Ok(reading) if is_nested(&reading.text) && *target.spec.merge_of(&known.column.name) == Merge::Union => {
                line.refuse(refusal("holds other arrays, and is merged to a set".into()));
            }
            Ok(reading) => {
                let slot = self.set(line, field, Cell::Text(reading.text));
                if !reading.sure {
                    self.unsure.push((self.lines.len(), slot));
                }
            }
            Err(reason) => line.refuse(refusal(reason)),
        }
    }

    /// Refuses the lines whose values their types do not take; these are asked about all at once.
    fn settle(&mut self, target: &Target) -> Result<()> {
        let mut by_slot: HashMap<usize, Vec<usize>> = HashMap::new();
        for (line, slot) in std::mem::take(&mut self.unsure) {
            if self.lines.get(line).is_some_and(|line| line.refusal.is_none()) {
                by_slot.entry(slot).or_default().push(line);
            }
        }
        for (slot, lines) in by_slot {
            let field = self.slots[slot];
            let column = &target.fields[field].column;
            let name = |line: usize| self.lines[line].called(target, field).unwrap_or(&column.name);
            let texts = lines.iter().filter_map(|line| Some((*line, self.lines[*line].cell(slot).text()?)));
            let refusals = refusals(column, name, texts.collect())?;
            self.refuse(refusals);
        }
        for (number, link) in target.links.iter().enumerate() {
            for (at, (_, column)) in link.columns[1..].iter().enumerate() {
                let cells = |line: usize| self.lines[line].links.get(number).into_iter().flatten();
                let texts = |line: usize| cells(line).filter_map(move |link| Some((line, link.get(at)?.text()?)));
                let alive = (0..self.lines.len()).filter(|line| self.lines[*line].refusal.is_none());
                let refusals = refusals(column, |_| &link.sources[at], alive.flat_map(texts).collect())?;
                self.refuse(refusals);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, refusals: Vec<(usize, Refusal)>) {
        for (line, refusal) in refusals {
            self.lines[line].refuse(refusal);
        }
    }

    fn require(&self, target: &Target, line: &mut Line<'a>) {
        for (field, _) in target.fields.iter().enumerate().filter(|(_, known)| known.required) {
            let referred =
                target.references.iter().zip(&line.references).any(|(r, sub)| r.field == field && sub.is_some());
            let filled = self.slot(field).is_some_and(|slot| line.cell(slot).text().is_some());
            if !filled && !referred {
                line.refuse(Refusal::of(&line.source_of(target, field), None, "is missing"));
            }
        }
    }
}

/// Why lines are refused whose texts the column's type does not take.
fn refusals<'n>(
    column: &Column,
    name: impl Fn(usize) -> &'n str,
    texts: Vec<(usize, &str)>,
) -> Result<Vec<(usize, Refusal)>> {
    let mut refused = Vec::new();
    let only: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
    if !only.is_empty() {
        check(&only, column, 0, &mut refused)?;
    }
    let refusal = |(at, sqlstate, reason): (usize, String, String)| {
        let (line, text) = texts[at];
        let refusal = Refusal::of(name(line), Some(text), format!("is refused: {reason}"));
        (line, Refusal { sqlstate: Some(sqlstate), ..refusal })
    };
    Ok(refused.into_iter().map(refusal).collect())
}

/// Which of the texts the type does not take: halves are tried until each that fails stands alone. Each try is undone, and
/// takes no transaction id.
fn check(texts: &[&str], column: &Column, from: usize, refused: &mut Vec<(usize, String, String)>) -> Result<()> {
    let read = || {
        let mut store = Store::new("once_checked", &[super::target::stored(column, &column.name)]);
        texts.iter().for_each(|text| store.push(std::iter::once(Some(*text))));
        Ok::<_, OnceError>(())
    };
    match backend::subtransaction(read) {
        Ok(result) => result,
        Err(error) if !is_jobs_own(&error.sqlstate) => error.rethrow(),
        Err(error) if texts.len() == 1 => {
            refused.push((from, error.sqlstate, error.message));
            Ok(())
        }
        Err(_) => {
            let (left, right) = texts.split_at(texts.len() / 2);
            check(left, column, from, refused)?;
            check(right, column, from + left.len(), refused)
        }
    }
}

/// Whether a value counts as none.
fn is_nothing(target: &Target, json: &Json<'_>) -> bool {
    *json == Json::Null || (target.spec.blank == Blank::Null && json.is_blank())
}

/// Whether an array's text is of one that holds others.
fn is_nested(text: &str) -> bool {
    text.starts_with("{{")
}

/// The rows of a call; `numbers` where they are not 1, 2, 3, ….
///
/// # Errors
/// `22023` where they are JSON, and no array.
pub fn rows<'a>(target: &Target, given: &'a Given<'_>, numbers: Option<&[i64]>) -> Result<Batch<'a>> {
    let mut reader = Reader::new(target);
    let number = |at: usize| match numbers.and_then(|numbers| numbers.get(at)) {
        Some(number) => *number,
        None => i64::try_from(at + 1).unwrap_or(i64::MAX),
    };
    match given {
        Given::Json(document, _) => {
            reader.batch.lines.reserve(document.len());
            for (at, element) in document.elements().ok_or(OnceError::NotRows)?.enumerate() {
                match element {
                    Element::Object(fields) => reader.row(number(at), fields),
                    Element::Other(kind, _) => {
                        let mut line = Line { number: number(at), ..Line::default() };
                        line.refuse(Refusal::row(format!("the row is {kind}, not an object")));
                        reader.batch.lines.push(line);
                    }
                }
            }
        }
        Given::Fields(rows) => {
            reader.batch.lines.reserve(rows.len());
            for (at, fields) in rows.iter().enumerate() {
                reader.row(number(at), fields.iter().map(|(name, json)| (*name, json.clone())));
            }
        }
    }
    let mut batch = reader.batch;
    batch.settle(target)?;
    for (reference, batch) in target.references.iter().zip(&mut batch.references) {
        batch.settle(&reference.target)?;
    }
    Ok(batch)
}

/// Reads rows, one after the other.
struct Reader<'t, 'a> {
    target: &'t Target,
    uses: HashMap<&'t str, Vec<Use>>,
    batch: Batch<'a>,
    /// For each reference, the line of each record that is referred to.
    known: Vec<HashMap<Vec<Cell<'a>>, usize>>,
}

impl<'t, 'a> Reader<'t, 'a> {
    fn new(target: &'t Target) -> Self {
        let references = target.references.iter().map(|_| Batch::default()).collect();
        let known = target.references.iter().map(|_| HashMap::new()).collect();
        Self { target, uses: uses(target), batch: Batch { references, ..Batch::default() }, known }
    }

    fn row<'n>(&mut self, number: i64, fields: impl Iterator<Item = (&'n str, Json<'a>)>) {
        let Self { target, uses, batch, known } = self;
        if batch.lines.len().is_multiple_of(1000) {
            pgrx::check_for_interrupts!();
        }
        let mut line = Line { number, ..Line::default() };
        let mut referred: Vec<Vec<(usize, Json<'a>)>> = target.references.iter().map(|_| Vec::new()).collect();
        let mut linked: Vec<Vec<Json<'a>>> =
            target.links.iter().map(|link| vec![Json::Null; link.sources.len()]).collect();
        let mut named: Vec<(usize, usize, Json<'a>)> = Vec::new();
        let mut rest = target.rest.map(|field| Rest::new(&target.fields[field].column.name));
        for (name, json) in fields {
            let Some(uses) = uses.get(name) else {
                if let Some(rest) = &mut rest {
                    if !is_nothing(target, &json) {
                        rest.add(name, &json);
                    }
                } else if !batch.unknown.contains(name) {
                    batch.unknown.insert(name.into());
                }
                continue;
            };
            let (last, others) = match uses.split_last() {
                Some(split) => split,
                None => continue,
            };
            let mut take = |batch: &mut Batch<'a>, line: &mut Line<'a>, which: &Use, json: Json<'a>| match which {
                Use::Own(field, name) if target.fields[*field].names.len() > 1 => named.push((*field, *name, json)),
                Use::Own(field, _) => batch.put(target, line, *field, json, true),
                Use::Reference(reference, field) => referred[*reference].push((*field, json)),
                Use::Link(link, column) => linked[*link][*column] = json,
            };
            for which in others {
                take(batch, &mut line, which, json.clone());
            }
            take(batch, &mut line, last, json);
        }
        // Of several names the first counts that has a value; or else the first that is there.
        named.sort_by_key(|(field, name, json)| (*field, is_nothing(target, json), *name));
        named.dedup_by_key(|(field, ..)| *field);
        for (field, name, json) in named {
            line.named.push((field, name));
            batch.put(target, &mut line, field, json, true);
        }
        if let Some((field, rest)) = target.rest.zip(rest) {
            let json = rest.into_json();
            // A column that can't be null stays as it is.
            if json != Json::Null || !target.fields[field].not_null {
                batch.put(target, &mut line, field, json, true);
            }
        }
        for (number, given) in referred.into_iter().enumerate() {
            let found = refer(target, batch, &line, number, given, &mut known[number]);
            line.references.push(found);
        }
        for (number, given) in linked.into_iter().enumerate() {
            match links(target, number, given) {
                Ok(links) => line.links.push(links),
                Err(refusal) => line.refuse(refusal),
            }
        }
        if line.refusal.is_none() {
            batch.require(target, &mut line);
        }
        batch.lines.push(line);
    }
}

fn uses(target: &Target) -> HashMap<&str, Vec<Use>> {
    let mut uses: HashMap<&str, Vec<Use>> = HashMap::new();
    for (field, known) in target.fields.iter().enumerate() {
        for (place, name) in known.names.iter().enumerate() {
            uses.entry(name).or_default().push(Use::Own(field, place));
        }
    }
    for (number, reference) in target.references.iter().enumerate() {
        for (field, name) in &reference.by {
            uses.entry(name).or_default().push(Use::Reference(number, *field));
        }
    }
    for (number, link) in target.links.iter().enumerate() {
        for (column, name) in link.sources.iter().enumerate() {
            uses.entry(name).or_default().push(Use::Link(number, column));
        }
    }
    uses
}
