//! The rows path as clients see it: rows of JSON in, an outcome a row out. A file a theme.

#[path = "ingest/crowd.rs"]
mod crowd;
#[path = "ingest/exact.rs"]
mod exact;
#[path = "ingest/fields.rs"]
mod fields;
#[path = "ingest/large.rs"]
mod large;
#[path = "ingest/oracle.rs"]
mod oracle;
#[path = "ingest/plans.rs"]
mod plans;
#[path = "ingest/refused.rs"]
mod refused;
#[path = "ingest/tenants.rs"]
mod tenants;
#[path = "ingest/together.rs"]
mod together;
#[path = "ingest/unchanged.rs"]
mod unchanged;
