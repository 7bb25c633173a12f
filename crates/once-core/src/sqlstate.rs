//! Which errors are a job's own.

/// Classes that say something of the server, the session, the statement or the caller's rights, and
/// nothing of the rows: such an error is raised again and leaves no trace.
const NOT_THE_JOBS: [&str; 16] =
    ["08", "0A", "25", "26", "28", "2D", "34", "3B", "40", "42", "53", "55", "57", "58", "HV", "XX"];

/// Whether an error with this SQLSTATE is the fault of the rows that the job wanted to write (bad
/// data, a constraint, a trigger's own error with whatever code it chose), so that the job is
/// recorded as failed and the error is returned instead of raised.
pub fn is_jobs_own(sqlstate: &str) -> bool {
    sqlstate.len() == 5 && !NOT_THE_JOBS.iter().any(|class| sqlstate.starts_with(class))
}

/// Whether an error with this SQLSTATE says that the same call may well succeed in another moment, or that the server is
/// in trouble: nothing is noted of it, since that would be lost or wrong.
pub fn is_passing(sqlstate: &str) -> bool {
    ["40", "53", "57", "58", "XX"].iter().any(|class| sqlstate.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_constraints_and_triggers_are_the_jobs_own() {
        for state in ["22003", "22P02", "23505", "23514", "P0001", "P0004", "54000", "44000", "UE001"] {
            assert!(is_jobs_own(state), "{state}");
        }
    }

    #[test]
    fn the_servers_and_the_callers_troubles_are_raised() {
        for state in ["40001", "40P01", "53100", "57014", "57P01", "58030", "XX000", "42501", "55P03", ""] {
            assert!(!is_jobs_own(state), "{state}");
        }
    }
}
