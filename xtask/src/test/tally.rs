//! Counting what passed and failed.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitStatus;

use anyhow::{Result, bail};

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, and checks.
    pub failed: u64,
}

impl Tally {
    /// How many there were.
    pub fn ran(self) -> u64 {
        self.passed + self.failed
    }

    /// One test.
    pub fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed) }
    }

    /// A check isn't a test: it counts only when it fails.
    pub fn of_check(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::default(),
            Err(error) => {
                eprintln!("error: {error:#}");
                Self { passed: 0, failed: 1 }
            }
        }
    }

    /// Adds up the summaries that `cargo test` printed, one for each binary. No summary at all
    /// means that nothing was built: an error.
    pub fn of_cargo_test(status: ExitStatus, output: &str) -> Result<Self> {
        let mut sum = Self::default();
        let mut summaries = 0;
        for summary in output.lines().filter_map(Self::of_summary) {
            summaries += 1;
            sum += summary;
        }
        if summaries == 0 {
            bail!("no test was built or run ({status})");
        }
        if !status.success() && sum.failed == 0 {
            // A binary that crashed prints no summary.
            sum.failed = 1;
        }
        Ok(sum)
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, maybe after a test's own unfinished line.
    fn of_summary(line: &str) -> Option<Self> {
        let (_, summary) = line.split_once("test result: ")?;
        let (_, counts) = summary.split_once(". ")?;
        let count = |word| counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok());
        Some(Self { passed: count("passed")?, failed: count("failed")? })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const GOOD: &str = "running 3 tests\ntest a ... ok\n\
        test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    const BAD: &str = "test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out\n";

    fn status(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn adds_up_every_binary() -> Result<()> {
        let both = format!("{GOOD}noise\n{BAD}");
        let tally = Tally::of_cargo_test(status(101), &both)?;
        assert_eq!(tally.to_string(), "15 passed, 2 failed");
        Ok(())
    }

    #[test]
    fn a_crash_after_good_results_is_a_failure() -> Result<()> {
        assert_eq!(Tally::of_cargo_test(status(101), GOOD)?, Tally { passed: 3, failed: 1 });
        assert_eq!(Tally::of_cargo_test(status(0), GOOD)?, Tally { passed: 3, failed: 0 });
        Ok(())
    }

    #[test]
    fn no_summary_is_an_error() {
        assert!(Tally::of_cargo_test(status(101), "error: could not compile").is_err());
        assert!(Tally::of_cargo_test(status(0), "").is_err());
    }

    #[test]
    fn only_summaries_count() {
        assert_eq!(Tally::of_summary("test x ... ok"), None);
        assert_eq!(Tally::of_summary("test result: ok. what?"), None);
        let after_noise = Tally::of_summary("half a linetest result: ok. 1 passed; 0 failed; 0 ignored");
        assert_eq!(after_noise, Some(Tally::one(true)));
    }

    #[test]
    fn a_check_counts_only_when_it_fails() {
        assert_eq!(Tally::of_check(Ok(())).ran(), 0);
        assert_eq!(Tally::of_check(Err(anyhow::anyhow!("untidy"))), Tally::one(false));
    }
}
