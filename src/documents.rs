//! The documents path: a raw text taken in once, by the checksum of its normalised content, and what is parsed from it
//! committed once. A document is its own record: no job is written. A file a verb.

mod adopt;
mod commit;
mod import;
mod target;
mod value;
mod workouts;

pub use target::Target;
