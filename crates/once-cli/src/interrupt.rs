//! Ctrl-C: what runs in the database is cancelled, and what was begun is undone, before the command ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::types::Type;

use crate::connect::Connector;
use crate::error::{Exit, Failure, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ASKING: AtomicBool = AtomicBool::new(false);
/// Wakes who sleeps.
static SLEEP: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static RUNNING: Mutex<Vec<Transaction>> = Mutex::new(Vec::new());

/// A transaction in the database, by the process that runs it and its beginning.
#[derive(Clone)]
struct Transaction {
    connector: Connector,
    pid: i32,
    began: String,
}

/// A second signal this soon is the first one again: programs like timeout send it to the group and to the process.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// From now on, Ctrl-C (and SIGTERM, SIGHUP) ends the command in order; a second one at once.
pub fn watch() -> Result<()> {
    let mut first: Option<Instant> = None;
    let handler = move || {
        let since = first.get_or_insert_with(Instant::now).elapsed();
        let again = INTERRUPTED.swap(true, Ordering::SeqCst);
        // Nothing is under way while the user is asked.
        if (again && since > SAME_SIGNAL) || ASKING.load(Ordering::SeqCst) {
            for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let _ = fs::remove_file(path); // it may be finished by now
            }
            exit(Exit::Interrupted as i32);
        }
        if again {
            return;
        }
        // Who is about to sleep holds the lock until he does.
        drop(SLEEP.0.lock());
        SLEEP.1.notify_all();
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // On a thread of its own: it may wait for a connection, and this one hears the second Ctrl-C.
        thread::spawn(move || running.iter().for_each(cancel));
    };
    ctrlc::set_handler(handler).map_err(|error| Failure::problem(format!("signals can't be handled: {error}")))
}

/// Has a transaction cancelled by Ctrl-C, until what this gives is dropped.
///
/// `pid`: of the server's process. `began`: its `xact_start` in seconds since 1970, as Postgres writes them.
pub fn cancels(connector: &Connector, pid: i32, began: String) -> Cancels {
    let transaction = Transaction { connector: connector.clone(), pid, began };
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(transaction.clone());
    Cancels(transaction)
}

pub struct Cancels(Transaction);

impl Drop for Cancels {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = running.iter().position(|t| (t.pid, &t.began) == (self.0.pid, &self.0.began)) {
            running.swap_remove(at);
        }
    }
}

/// Has a temporary file removed where a second Ctrl-C leaves nobody else to do it.
pub fn unfinished(path: &Path) {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(path.into());
}

/// Asks the server to end what the transaction is running. By SQL: pgbouncer before 1.19 breaks down on the protocol's
/// own request as this client sends it. The beginning tells the transaction from another's on the same connection of a
/// pooler. That it fails is no harm: without a COMMIT all is undone when the program ends.
fn cancel(transaction: &Transaction) {
    let Ok(mut client) = transaction.connector.connect() else { return };
    let _ = client.query_typed(
        "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE pid = $1 AND extract(epoch FROM xact_start)::text = $2",
        &[(&transaction.pid, Type::INT4), (&transaction.began, Type::TEXT)],
    );
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

/// Waits.
///
/// # Errors
/// `Exit::Interrupted` as soon as Ctrl-C comes.
pub fn sleep(time: Duration) -> Result<()> {
    let guard = SLEEP.0.lock().unwrap_or_else(PoisonError::into_inner);
    let undisturbed = |(): &mut ()| !INTERRUPTED.load(Ordering::SeqCst);
    drop(SLEEP.1.wait_timeout_while(guard, time, undisturbed).unwrap_or_else(PoisonError::into_inner));
    check()
}

/// Does `work` on a thread of its own, which Ctrl-C leaves behind: for what waits for others and has nothing to undo.
/// `what` it is is said where it breaks down.
///
/// # Errors
/// Those of `work`, and `Exit::Interrupted` after Ctrl-C.
pub fn apart<T: Send + 'static>(what: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let (sender, receiver) = channel();
    let started = thread::Builder::new().name("apart".into()).spawn(move || sender.send(work()).is_ok());
    started.map_err(|error| Failure::problem(format!("no thread for {what}: {error}")))?;
    loop {
        match receiver.recv_timeout(LOOK_EVERY) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => check()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::problem(format!("{what} broke down")).hint("Please report it."));
            }
        }
    }
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
