//! What pg_once knows without a database: the spec of a target and the statements that carry it out.
//! Nothing here touches Postgres, so that all of it can be tested as plain Rust.

pub mod bulk;
pub mod document;
pub mod feed;
pub mod header;
pub mod ident;
pub mod key;
pub mod kit;
pub mod ledger;
pub mod mail;
pub mod normalize;
pub mod rows;
pub mod sha256;
pub mod spec;
pub mod sqlstate;
