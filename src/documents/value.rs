//! Values that come as text, to be read by a type of Postgres's.

use crate::backend::{self, PgError};
use crate::error::{OnceError, Result};
use crate::spi;
use once_core::document::statements::Typed;

/// What keeps `text` from being a value of the type; nothing where it is one. In a subtransaction, so that what the
/// type's own input says can be told together with what the value was for.
pub fn fault(text: &str, sql_type: &str) -> Result<Option<PgError>> {
    let cast = format!("SELECT CAST($1 AS {sql_type})");
    match backend::subtransaction(|| spi::known(&cast, &[text.into()], |_| Ok(()))) {
        Ok(read) => read.map(|_| None),
        Err(error) if ["22", "23"].iter().any(|class| error.sqlstate.starts_with(class)) => Ok(Some(error)),
        Err(error) => error.rethrow(),
    }
}

/// # Errors
/// `22P02` where `text`, given as `what` and known to be a value of type `known`, is none of the column's.
pub fn require(what: &str, text: &str, known: &str, column: &Typed) -> Result<()> {
    let texts = ["text", "character varying"];
    if column.sql_type == known || texts.contains(&column.sql_type.as_str()) {
        return Ok(());
    }
    match fault(text, &column.sql_type)? {
        None => Ok(()),
        Some(error) => Err(OnceError::BadField {
            sqlstate: error.sqlstate,
            field: what.into(),
            value: text.into(),
            problem: error.message,
            must: format!("a value of type {}, which column \"{}\" is of", column.sql_type, column.name),
        }),
    }
}
