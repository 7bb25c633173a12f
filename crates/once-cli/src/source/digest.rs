//! What a file holds, told by its SHA-256.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::problem;
use crate::error::{Failure, Remedy, Result};
use crate::interrupt;

/// A file read once.
#[derive(Debug, Clone)]
pub struct Digest {
    /// 64 lower-case hex digits.
    pub sha256: String,
    /// Line ends, which bound the number of rows.
    pub lines: u64,
}

/// Reads a file whole.
pub fn digest(path: &Path) -> Result<Digest> {
    let failed = |error: io::Error| unreadable(path, &error);
    let mut file = open_file(path)?;
    let (mut hash, mut lines) = (Sha256::new(), 1);
    let mut buffer = vec![0; 1 << 18];
    loop {
        interrupt::check()?;
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok(Digest { sha256: hex(hash), lines });
        }
        let part = &buffer[..read];
        hash.update(part);
        lines += memchr::memchr2_iter(b'\n', b'\r', part).count() as u64;
    }
}

/// Opens a file that can be read twice.
pub fn open_file(path: &Path) -> Result<File> {
    let failed = |error: io::Error| unreadable(path, &error);
    // Opening a pipe would wait for whoever writes to it.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(problem(path, None, "is no regular file")
            .hint("Write what it gives to a file, and load that.")
            .remedy(Remedy::Setup));
    }
    File::open(path).map_err(failed)
}

pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let is_elsewhere = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
    problem(path, None, format_args!("can't be read: {error}"))
        .hint("Is the file still there, and may you read it? (ls -l)")
        .remedy(if is_elsewhere { Remedy::Setup } else { Remedy::Unknown })
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is hashed as it is read, to tell whether it is still the one that was read before.
pub struct Hashed {
    file: File,
    seen: Seen,
}

/// What was read of a `Hashed` so far.
#[derive(Clone)]
pub struct Seen(Arc<Mutex<(Sha256, u64)>>);

impl Hashed {
    pub fn new(file: File) -> (Self, Seen) {
        let seen = Seen(Arc::new(Mutex::new((Sha256::new(), 0))));
        (Self { file, seen: seen.clone() }, seen)
    }
}

impl Seen {
    pub fn sha256(&self) -> String {
        hex(self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone())
    }

    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0.update(&buffer[..read]);
        seen.1 += read as u64;
        Ok(read)
    }
}
