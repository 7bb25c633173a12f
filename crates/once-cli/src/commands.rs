//! The commands, a file each. None decides what belongs in the database: they call, ask and show.

pub mod check;
pub mod clear;
pub mod dedupe;
pub mod export;
pub mod feed;
pub mod insert;
pub mod jobs;
pub mod journey;
pub mod load;
pub mod manual;
pub mod rollback;
pub mod verify;
mod watch;
mod work;
