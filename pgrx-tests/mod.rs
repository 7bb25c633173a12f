//! In-backend tests: what can't be reached by SQL alone. One file a behaviour.

mod snapshots;
mod subtransaction;
