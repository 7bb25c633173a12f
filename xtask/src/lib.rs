//! The developer's one entry: `cargo xtask demo`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask stop`.
//!
//! The client tests use [`server`] as a library, for clusters of their own that they may crash.

pub mod bench;
pub mod cli;
pub mod demo;
pub mod extension;
pub mod run;
pub mod server;
pub mod setup;
pub mod state;
pub mod test;
