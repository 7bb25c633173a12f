//! Progress that other sessions can see while a transaction runs: Postgres's own progress slots, shown
//! by the view `import_progress`. Nothing a running transaction writes to a table could be seen.

use crate::backend;
use pgrx::pg_sys::Oid;
use std::ffi::c_int;

/// Marks the report as ours among COPY's: "once" in ASCII. The view looks for it.
const MARK: i64 = 0x6f6e_6365;

const AT_ROWS_AS_COPY: c_int = 2; // where pg_stat_progress_copy shows tuples_processed
const AT_MARK: c_int = 10;
const AT_PHASE: c_int = 11;
const AT_DONE: c_int = 12;
const AT_TOTAL: c_int = 13;

/// What is being done; the numbers are the view's.
#[derive(Clone, Copy)]
pub enum Phase {
    Counting = 1,
    Marking = 2,
    Validating = 3,
    Inserting = 4,
    Deleting = 5,
    Comparing = 6,
}

/// An open progress report, closed when dropped.
pub struct Progress {
    done: i64,
    told: i64,
    step: i64,
}

impl Progress {
    /// Opens a report about the production table `relation`.
    pub fn start(relation: Oid) -> Self {
        backend::progress_start(relation);
        backend::progress_set(AT_MARK, MARK);
        Self { done: 0, told: 0, step: 10_000 }
    }

    /// Says after how many rows to tell.
    pub fn every(mut self, step: i64) -> Self {
        self.step = step;
        self
    }

    /// Begins a phase of `total` rows.
    pub fn phase(&mut self, phase: Phase, total: i64) {
        backend::progress_set(AT_TOTAL, total);
        self.done = 0;
        self.tell();
        backend::progress_set(AT_PHASE, phase as i64);
    }

    /// Says that one more row is done.
    pub fn advance(&mut self) {
        self.done += 1;
        if self.done - self.told >= self.step {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = self.done;
        backend::progress_set(AT_DONE, self.done);
        backend::progress_set(AT_ROWS_AS_COPY, self.done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // An error's abort closes the report itself; Postgres must not be called while unwinding.
        if !std::thread::panicking() {
            backend::progress_end();
        }
    }
}
