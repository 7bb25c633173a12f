//! Private Postgres servers: an installation that can be written to, and clusters in it.

pub mod cluster;
pub mod installation;
pub(crate) mod process;
pub mod user;

pub use cluster::Cluster;
pub use installation::Installation;

/// For clusters whose data need not outlive the machine: `initdb` and tests are quicker.
pub const UNSAFE_BUT_QUICK: &[(&str, &str)] =
    &[("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")];
