//! The feeds path: sources that are read again and again, each row of them taken once. What is around the rows path: state,
//! schedule, notifications, logs.

mod cron;
mod feed;
mod log;
mod notify;
mod run;
mod source;
mod state;

pub use feed::{Feed, install};
pub use run::run;
