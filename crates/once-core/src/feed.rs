//! Feeds: sources that are read again and again.

mod fingerprint;
mod message;
mod schedule;
mod spec;

pub use fingerprint::{Fingerprint, fingerprint};
pub use message::filled;
pub use schedule::Schedule;
pub use spec::{FeedSpec, Mode, Notify, Source};
