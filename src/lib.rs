//! pg_once: ingestion that happens once. What needs Postgres is here; what does not is in `once-core`.

use pgrx::prelude::*;

mod backend;
mod bulk;
mod documents;
mod error;
mod feeds;
mod jobs;
mod kits;
mod leads;
mod mail;
mod normalizers;
mod progress;
mod rights;
mod rows;
mod spi;
mod targets;

#[cfg(feature = "pg_test")]
#[allow(clippy::unwrap_used, clippy::panic)]
#[path = "../pgrx-tests/mod.rs"]
mod backend_tests;

::pgrx::pg_module_magic!(name, version);

extension_sql_file!("../sql/schema/registry.sql", name = "registry", bootstrap);
extension_sql_file!("../sql/schema/progress.sql", name = "progress");
extension_sql_file!(
    "../sql/schema/reports.sql",
    name = "reports",
    requires = [mark_duplicates, validate_staged, insert_clean, clear_staging, duplicate_report_query]
);
extension_sql_file!("../sql/schema/comments.sql", name = "comments", finalize);

/// What `cargo pgrx test` asks of the crate under test.
#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![]
    }
}
