//! Targets as the session has opened them. What they were made of is kept no longer than it is true; who may write where is
//! asked anew by every call.

use super::{DEEPEST, Target};
use crate::backend::{Glance, Registration, catalogs};
use crate::error::{OnceError, Result};
use crate::{spi, targets};
use once_core::ident::Relation;
use once_core::spec::Spec;
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A target as the session has looked at it, with the registration and the catalogs that it was read from.
#[derive(Clone)]
struct Opened {
    version: (Oid, u32, u64),
    catalogs: u64,
    target: Rc<Target>,
}

thread_local! {
    static OPENED: RefCell<HashMap<String, Opened>> = RefCell::default();
}

/// The target registered under `name`, which `depth` references lead to. Its tables stay locked, as a statement that reads
/// them would: none is altered, and none takes another's place, as long as the transaction works with what was seen.
pub fn named(name: &str, depth: usize) -> Result<Rc<Target>> {
    let Some(registered) = Registration::of(&spi::own("targets")?, name) else {
        return Err(OnceError::UnknownTarget { name: name.into() });
    };
    let kept = OPENED.with_borrow(|opened| opened.get(name).cloned());
    let kept = kept.filter(|kept| kept.version == registered.version);
    let (target, tables) = match kept.map(|kept| kept.still(depth)).transpose()?.flatten() {
        Some(still) => still,
        None => look(name, &registered, depth)?,
    };
    // The registry row is only as good as whoever wrote it: he must own its tables today.
    if !tables.iter().all(|table| table.is_owned_by(&registered.registered_by)) {
        return Err(OnceError::OwnerChanged { target: name.into(), registered_by: registered.registered_by });
    }
    Ok(target)
}

impl Opened {
    /// The target and its tables, where all is as it was.
    fn still(self, depth: usize) -> Result<Option<(Rc<Target>, Vec<Glance>)>> {
        if depth > DEEPEST {
            return Ok(None); // to be refused, as it is where nothing is kept
        }
        // The locks first: with them the session hears of what others have changed.
        let relations = self.target.tables().into_iter().map(|(relation, _)| relation);
        let tables: Option<Vec<Glance>> = relations.map(|relation| Glance::at(&relation, false)).collect();
        let Some(tables) = tables.filter(|_| self.catalogs == catalogs::version()) else { return Ok(None) };
        for reference in &self.target.references {
            if !Rc::ptr_eq(&named(&reference.target.name, depth + 1)?, &reference.target) {
                return Ok(None);
            }
        }
        Ok(Some((self.target, tables)))
    }
}

/// The target as the registry and the catalogs have it, to be kept by the session.
fn look(name: &str, registered: &Registration, depth: usize) -> Result<(Rc<Target>, Vec<Glance>)> {
    let (relation, spec) = targets::lookup(name)?;
    let Spec::Rows(spec) = spec else {
        return Err(OnceError::WrongKind { name: name.into(), is: spec.kind().into(), must: "rows".into() });
    };
    let gone = |relation: &Relation| OnceError::RelationGone { relation: relation.clone() };
    // Locked before they are looked at, all of them: what is kept must be of what was seen.
    let links = spec.links.iter().map(|link| relation.beside(&link.table));
    let tables = std::iter::once(relation.clone())
        .chain(links)
        .map(|relation| Glance::at(&relation, false).ok_or_else(|| gone(&relation)))
        .collect::<Result<Vec<_>>>()?;
    let (catalogs, target) = catalogs::read(|| {
        let table = targets::find(&relation)?.ok_or_else(|| gone(&relation))?;
        Target::fit(name.into(), table, spec, depth).map(Rc::new)
    });
    let target = target?;
    if let Some(catalogs) = catalogs {
        let opened = Opened { version: registered.version, catalogs, target: target.clone() };
        OPENED.with_borrow_mut(|all| all.insert(name.into(), opened));
    }
    Ok((target, tables))
}
