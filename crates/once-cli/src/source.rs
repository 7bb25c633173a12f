//! CSV files as they come: found, recognised, and read row by row in constant memory.

mod digest;
mod lines;
mod rows;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};

use encoding_rs::Encoding;

pub use digest::{Digest, digest, open_file, unreadable};
pub use rows::{Reject, Row, Rows};
pub use shape::Shape;

use crate::error::{Failure, Result};

/// How the user says that files are to be read; what is left out is found out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    pub delimiter: Option<u8>,
    pub encoding: Option<&'static Encoding>,
}

/// What a file is called in messages: its name, without the folder that the user gave.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The CSV files of a folder, in the order of their names.
///
/// # Errors
/// `Exit::Usage` where it is no folder or can't be read, `Exit::Problems` where it has no CSV file.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("{} can't be read: {error}", dir.display())).hint("Give a folder of CSV files.")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("tsv"));
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_csv && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::problem(format!("{} has no CSV file", dir.display()))
            .detail("Files are read whose names end in .csv or .tsv, not those of folders within.")
            .hint("Give the folder that has them."));
    }
    Ok(files)
}

/// A problem of a file, at a line where there is one.
pub fn problem(path: &Path, line: Option<u64>, what: impl std::fmt::Display) -> Failure {
    match line {
        Some(line) => Failure::problem(format!("{}, line {line}: {what}", name_of(path))),
        None => Failure::problem(format!("{}: {what}", name_of(path))),
    }
}
