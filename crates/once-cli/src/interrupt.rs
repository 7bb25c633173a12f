//! Ctrl-C: what runs in the database is cancelled, and what was begun is undone, before the command ends.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use postgres::CancelToken;

use crate::connect::Connector;
use crate::error::{Exit, Failure, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ASKING: AtomicBool = AtomicBool::new(false);
static RUNNING: Mutex<Vec<(Connector, CancelToken)>> = Mutex::new(Vec::new());

/// From now on, Ctrl-C (and SIGTERM, SIGHUP) ends the command in order; a second one at once.
pub fn watch() -> Result<()> {
    let handler = || {
        // Nothing is under way while the user is asked.
        if INTERRUPTED.swap(true, Ordering::SeqCst) || ASKING.load(Ordering::SeqCst) {
            exit(Exit::Interrupted as i32);
        }
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (connector, token) in running {
            connector.cancel(&token);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Failure::problem(format!("signals can't be handled: {error}")))
}

/// Has the session cancelled by Ctrl-C.
pub fn cancels(connector: &Connector, token: CancelToken) {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push((connector.clone(), token));
}

/// Runs what waits for the user's answer.
pub fn asking<T>(ask: impl FnOnce() -> T) -> T {
    ASKING.store(true, Ordering::SeqCst);
    let answer = ask();
    ASKING.store(false, Ordering::SeqCst);
    answer
}

/// # Errors
/// `Exit::Interrupted` after Ctrl-C.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(interrupted()) } else { Ok(()) }
}

/// Calls an error by its cause where Ctrl-C was it.
pub fn explain(failure: Failure) -> Failure {
    if INTERRUPTED.load(Ordering::SeqCst) { interrupted() } else { failure }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
        .detail("What was finished before stays, what was under way is undone.")
        .hint("Run the command again: it goes on where it was stopped.")
}
