//! What has become of the records that a job wrote.

use super::part::Part;
use crate::error::{OnceError, Result};
use crate::jobs::Job;
use crate::spi;
use once_core::rows::statements::INSERTED;

/// What has become of a record.
pub struct State {
    pub number: i64,
    pub inserted: bool,
    pub identity: Vec<String>,
    pub there: bool,
    pub same: bool,
    pub protected: bool,
    pub changed: Vec<String>,
    pub gone: Vec<String>,
    pub referring: Option<String>,
}

/// What has become of the records, which nobody can change or refer to from now on.
pub fn locked(job: &Job, part: &Part) -> Result<Vec<State>> {
    let relation = &part.table.relation;
    // To lock rows is a right of who may change them; who may only delete finds out by deleting.
    let may_lock = spi::known_one("SELECT has_table_privilege($1, 'UPDATE')", &[part.table.oid.into()], |row| {
        row.need::<bool>(1)
    })?;
    let images = spi::own("import_images")?;
    let mut held = 0;
    if may_lock {
        held =
            spi::fresh(&part.images(&images).lock(), &[job.id.into(), part.number.into()], |row| row.need::<i64>(1))?
                .len();
    }
    let found = states(job, part, None, true)?;
    let is_held = held >= found.iter().filter(|state| state.there).count();
    if is_held || !part.made || part.referring.is_empty() {
        return Ok(found);
    }
    // A row that is being hung on a record just now would go with it. No weaker lock keeps it out.
    spi::script(&format!("LOCK TABLE {relation} IN EXCLUSIVE MODE"))?;
    states(job, part, None, true)
}

/// What has become of the records with these numbers, or of all. `whole`: also who refers to them.
pub fn states(job: &Job, part: &Part, numbers: Option<Vec<i64>>, whole: bool) -> Result<Vec<State>> {
    let images = spi::own("import_images")?;
    let mut compared = part.images(&images);
    if !whole {
        compared.referring = &[];
    }
    let args = [job.id.into(), part.number.into(), numbers.into()];
    let found = spi::fresh(&compared.state(&part.writable), &args, |row| {
        Ok(State {
            number: row.need(1)?,
            inserted: row.need::<String>(2)? == INSERTED,
            identity: row.need(3)?,
            there: row.need(4)?,
            same: row.need(5)?,
            protected: row.need(6)?,
            changed: row.need(7)?,
            gone: row.need(8)?,
            referring: row.get(9)?,
        })
    })?;
    match found.windows(2).find(|pair| pair[0].number == pair[1].number) {
        // The name of one is that of several, since nothing keeps it unique any more.
        Some(pair) => Err(OnceError::RecordsRenamed {
            job: job.id.to_string(),
            relation: part.table.relation.clone(),
            columns: pair[0].identity.join(", "),
        }),
        None => Ok(found),
    }
}

/// That the caller sees what would go or change with these records.
pub fn require_sight(job: &Job, part: &Part, open: &[State]) -> Result<()> {
    let mut hidden = part.hidden.first().filter(|_| open.iter().any(|state| state.inserted));
    if hidden.is_none() && !part.hidden_by_value.is_empty() && open.iter().any(|state| !state.inserted) {
        let given_back = changed_columns(job, part)?;
        let touches = |columns: &[String]| columns.iter().any(|column| given_back.contains(column));
        hidden = part.hidden_by_value.iter().find(|(_, columns)| touches(columns)).map(|(relation, _)| relation);
    }
    match hidden {
        Some(relation) => Err(OnceError::HiddenReferring { job: job.id.to_string(), relation: relation.clone() }),
        None => Ok(()),
    }
}

pub fn changed_columns(job: &Job, part: &Part) -> Result<Vec<String>> {
    if !part.changed {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT DISTINCT k.name FROM {} i CROSS JOIN jsonb_object_keys(i.before) k(name) WHERE i.job_id = $1 AND i.part = $2",
        spi::own("import_images")?
    );
    spi::fresh(&sql, &[job.id.into(), part.number.into()], |row| row.need(1))
}
