//! Rows of JSON, each with an outcome: what their values are, which record each is about, what becomes of both.

pub mod fold;
pub mod images;
pub mod plan;
pub mod rest;
pub mod statements;
pub mod value;
