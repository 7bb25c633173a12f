//! The tables of an installation of the kit, and a mailbox of it.

use crate::error::{OnceError, Result};
use crate::rows::Target;
use crate::{backend, rights, spi};
use once_core::ident::Relation;
use pgrx::Uuid;
use pgrx::pg_sys::Oid;
use std::rc::Rc;

/// An installation, known by the target of its messages.
pub struct Kit {
    pub target: Rc<Target>,
    prefix: String,
}

/// A mailbox, as the caller sees it.
pub struct Mailbox {
    pub id: Uuid,
    pub org: Uuid,
    /// Whether contents are kept elsewhere.
    pub is_external: bool,
}

impl Kit {
    /// # Errors
    /// What opening a target raises; `42809` for one that is none of the kit's messages.
    pub fn of(target: Option<String>) -> Result<Self> {
        let target = Target::open(target)?;
        match target.table.relation.name.strip_suffix(super::MAIN) {
            Some(prefix) => Ok(Self { prefix: prefix.into(), target }),
            None => Err(OnceError::NoMail { name: target.name.clone(), relation: target.table.relation.clone() }),
        }
    }

    /// A table of the kit.
    pub fn table(&self, name: &str) -> Relation {
        self.target.table.relation.beside(&format!("{}{name}", self.prefix))
    }

    /// # Errors
    /// `42P01` where the table is gone, `42501` without one of these privileges on it.
    pub fn require(&self, name: &str, privileges: &[&str]) -> Result<Oid> {
        let relation = self.table(name);
        let oid =
            backend::relation_oid(&relation).ok_or_else(|| OnceError::RelationGone { relation: relation.clone() })?;
        let hint = self.ask_for_access()?;
        rights::require_schema(&relation, &hint)?;
        rights::require(&relation, oid, privileges, &hint)?;
        Ok(oid)
    }

    fn ask_for_access(&self) -> Result<String> {
        let call = spi::own("grant_mail_access")?;
        spi::known_one(
            "SELECT format('Let the owner of the tables run SELECT %s(%L, ''service'', %L);', $1, current_user, $2)",
            &[call.to_string().into(), self.target.name.as_str().into()],
            |row| row.need(1),
        )
    }

    /// # Errors
    /// `P0002` where there is none, or none that the caller may see.
    pub fn mailbox(&self, id: Uuid) -> Result<Mailbox> {
        self.require("mailboxes", &["SELECT"])?;
        let mailboxes = self.table("mailboxes");
        let sql = format!("SELECT org_id, blob_storage = 'external' FROM {mailboxes} WHERE mailbox_id = $1");
        let found = spi::known_fresh(&sql, &[id.into()], |row| {
            Ok(Mailbox { id, org: row.need(1)?, is_external: row.need(2)? })
        })?;
        found.into_iter().next().ok_or_else(|| unknown("mailbox", id, &mailboxes))
    }
}

/// That a table has no row of this id, or the caller may not see it.
pub fn unknown(what: &'static str, id: impl ToString, relation: &Relation) -> OnceError {
    OnceError::UnknownRow { what, id: id.to_string(), relation: relation.clone() }
}
