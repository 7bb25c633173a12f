//! What a contender begins with: a database with its tables and its production, copied for each journey.

use std::path::Path;

use anyhow::{Context, Result};

use super::contenders::Contender;
use super::journey::sum;
use crate::generate::COLUMNS;
use crate::lab::{Database, Lab};

pub struct Template<'a> {
    pub database: Database<'a>,
    /// How many rows production has, and a sum over their values.
    pub production: String,
}

impl<'a> Template<'a> {
    /// Creates the contender's tables, and fills production from a file if there is one.
    pub fn prepare(lab: &'a Lab, contender: &Contender, production: Option<&Path>) -> Result<Self> {
        let copy = production.map(|path| {
            let path = path.display().to_string().replace('\'', "''");
            format!("COPY codes ({}) FROM '{path}' CSV HEADER;", COLUMNS.join(", "))
        });
        Self::filled(lab, contender, contender.role.name(), &copy.unwrap_or_default())
    }

    /// Creates the contender's tables, and fills them by SQL.
    pub fn filled(lab: &'a Lab, contender: &Contender, name: &str, fill: &str) -> Result<Self> {
        let database = lab.create(format!("template {name}"))?;
        let prepare = || {
            database.sql(contender.tables)?;
            database.sql(fill)?;
            database.sql("VACUUM (FREEZE, ANALYZE); CHECKPOINT;")?;
            database.sql(&sum("true"))
        };
        let production = prepare().with_context(|| format!("the tables of {name}"))?;
        println!("{name}: {} rows", production.split('|').next().unwrap_or_default());
        Ok(Self { database, production })
    }

    pub fn discard(&self) -> Result<()> {
        self.database.discard()
    }
}
