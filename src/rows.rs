//! The rows path: a JSON array in, an outcome a row out. Read, match, write; and what can be done about it afterwards.

mod checks;
mod folding;
mod given;
mod ingest;
mod matching;
mod outcome;
mod read;
mod references;
mod rejects;
mod stores;
mod target;
pub mod undo;
mod write;

pub use given::{Fields, Given};
pub use ingest::Call;
pub use outcome::{NAMED, Outcome, Work};
pub use read::Refusal;
pub use rejects::resolve;
pub use target::Target;
