//! The documents path: the checksum that tells a document, and the statements that take it in.

pub mod adoption;
mod checksum;
mod plain;
pub mod statements;

pub use checksum::{Checksum, Normalizer, checksum};
