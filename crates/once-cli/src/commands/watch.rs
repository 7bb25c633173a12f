//! A bar while the database works.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use postgres::types::Type;

use crate::error::Result;
use crate::screen::{Screen, counted, measured};
use crate::session::{Session, Work};

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A bar that shows how far the database is, until it is dropped. What shows it is a second session: the first one
/// is waiting for its statement.
pub struct Watch {
    bar: ProgressBar,
    /// Dropped, it wakes the thread.
    _stop: Option<Sender<()>>,
    /// Nothing is drawn once this is set.
    done: Arc<Mutex<bool>>,
}

impl Watch {
    /// Begins to watch the transaction's backend. Without a terminal a line has to do.
    pub fn start(screen: &Screen, work: &mut Work<'_>, what: &str) -> Result<Self> {
        let mut watch = Self { bar: ProgressBar::hidden(), _stop: None, done: Arc::default() };
        if !screen.has_bars() {
            screen.say(format_args!("{what} …"));
            return Ok(watch);
        }
        let pid = work.pid;
        watch.bar = screen.busy(what);
        let (stop, stopped) = channel::<()>();
        watch._stop = Some(stop);
        let (bar, done, what, open) = (watch.bar.clone(), Arc::clone(&watch.done), what.to_string(), work.opener());
        thread::spawn(move || {
            let waits = || stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout);
            // What is over at once needs no second session; and where there can be none, the work goes on.
            if !waits() {
                return;
            }
            let Ok(mut session) = open() else { return };
            while let Ok(seen) = look(&mut session, pid) {
                let done = done.lock().unwrap_or_else(PoisonError::into_inner);
                if *done {
                    return;
                }
                show(&bar, &what, seen);
                drop(done);
                if !waits() {
                    return;
                }
            }
        });
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bar.finish_and_clear();
    }
}

/// What is seen of a backend: the phase with the rows that are done, of how many; or whether it waits for a scope.
enum Seen {
    Phase(String, u64, u64),
    Waiting,
    Nothing,
}

fn look(session: &mut Session, pid: i32) -> Result<Seen> {
    let mut work = session.transaction()?;
    let sql = format!(
        "SELECT p.phase, p.rows_done, p.rows_total, (a.wait_event_type = 'Lock' AND a.wait_event = 'advisory') IS TRUE \
         FROM (VALUES (1)) one LEFT JOIN {} p ON p.pid = $1 LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = $1",
        work.own("import_progress")
    );
    let rows = work.rows(&sql, &[(&pid, Type::INT4)])?;
    let Some(row) = rows.first() else { return Ok(Seen::Nothing) };
    if let Some(phase) = row.try_get::<_, Option<String>>(0)? {
        let rows =
            |at: usize| row.try_get::<_, Option<i64>>(at).map(|n| n.and_then(|n| n.try_into().ok()).unwrap_or(0));
        return Ok(Seen::Phase(phase, rows(1)?, rows(2)?));
    }
    Ok(if row.try_get(3)? { Seen::Waiting } else { Seen::Nothing })
}

/// A phase that is one statement shows no rows done; there a bar would stand at nothing.
fn show(bar: &ProgressBar, what: &str, seen: Seen) {
    let (message, done, total) = match seen {
        Seen::Phase(phase, 0, 0) => (phase, 0, 0),
        Seen::Phase(phase, 0, total) => (format!("{phase}: {}", counted(total, "row")), 0, total),
        Seen::Phase(phase, done, total) => (phase, done, total),
        Seen::Waiting => ("waiting: another job has the scope".into(), 0, 0),
        Seen::Nothing => (what.into(), 0, 0),
    };
    measured(bar, done > 0);
    bar.set_length(total);
    bar.set_position(done);
    bar.set_message(message);
}
