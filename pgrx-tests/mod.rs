//! In-backend tests: one file a behaviour.
