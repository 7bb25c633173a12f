//! Who goes on the journey, and by which SQL.

use super::journey::{STEPS, Step};
use crate::figures::Role;

/// One way from files to production and back.
pub struct Contender {
    pub role: Role,
    /// SQL that creates `codes` and `codes_check_temp`, and what else there must be.
    pub tables: &'static str,
    /// For each step what does it, if the contender has it.
    works: [Option<Work>; STEPS.len()],
    /// For one that marks nothing: SQL that does it, not measured. It gives how many rows repeat another and are in
    /// production.
    pub clean: Option<&'static str>,
}

pub enum Work {
    /// SQL for one psql.
    Psql(&'static str),
    /// A shell script, for the folder of files.
    Bash(&'static str),
    /// `once load` of the folder.
    Load,
}

impl Contender {
    pub fn work(&self, step: Step) -> Option<&Work> {
        self.works[step as usize].as_ref()
    }
}

/// A script of a contender.
macro_rules! script {
    ($path:literal) => {
        include_str!(concat!("../../bulk/", $path))
    };
}

pub const CONTENDERS: [Contender; 4] = [REFERENCE, EXPERT, ONCE, LIMIT];

const REFERENCE: Contender = Contender {
    role: Role::Reference,
    tables: script!("reference/tables.sql"),
    works: [
        Some(Work::Bash(script!("reference/stage.sh"))),
        Some(Work::Psql(script!("reference/mark.sql"))),
        Some(Work::Psql(script!("reference/insert.sql"))),
        Some(Work::Psql(script!("reference/verify.sql"))),
        Some(Work::Psql(script!("reference/roll_back.sql"))),
    ],
    clean: None,
};

const EXPERT: Contender = Contender {
    role: Role::Expert,
    tables: script!("expert/tables.sql"),
    works: [
        Some(Work::Psql(script!("expert/stage.sql"))),
        Some(Work::Psql(script!("expert/mark.sql"))),
        Some(Work::Psql(script!("expert/insert.sql"))),
        Some(Work::Psql(script!("expert/verify.sql"))),
        Some(Work::Psql(script!("expert/roll_back.sql"))),
    ],
    clean: None,
};

pub const ONCE: Contender = Contender {
    role: Role::PgOnce,
    tables: script!("once/tables.sql"),
    works: [
        Some(Work::Load),
        Some(Work::Psql(script!("once/mark.sql"))),
        Some(Work::Psql(script!("once/insert.sql"))),
        Some(Work::Psql(script!("once/verify.sql"))),
        Some(Work::Psql(script!("once/roll_back.sql"))),
    ],
    clean: None,
};

const LIMIT: Contender = Contender {
    role: Role::Limit,
    tables: script!("limit/tables.sql"),
    works: [
        Some(Work::Psql(script!("limit/stage.sql"))),
        Some(Work::Psql(script!("limit/mark.sql"))),
        Some(Work::Psql(script!("limit/insert.sql"))),
        None,
        None,
    ],
    clean: Some(script!("limit/clean.sql")),
};
