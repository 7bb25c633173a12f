//! When a feed is to run: the five fields of cron, in UTC.

use crate::spec::{SpecError, wrong};
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

pub struct Schedule(Cron);

impl Schedule {
    /// # Errors
    /// Field `schedule`, where it is none.
    pub fn read(expression: &str) -> Result<Self, SpecError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let faulty = |reason: String| {
            let remedy = "Give minute, hour, day, month and weekday, as \"*/10 * * * *\" for every ten minutes.";
            wrong("schedule", format!("\"{expression}\" is no schedule: {reason}"), remedy)
        };
        let cron = parser.parse(expression).map_err(|error| faulty(error.to_string()))?;
        let schedule = Self(cron);
        schedule.next(0).map(|_| schedule).ok_or_else(|| faulty("it never comes".into()))
    }

    /// The next time after this one, both in seconds since 1970.
    pub fn next(&self, after: i64) -> Option<i64> {
        let after: DateTime<Utc> = DateTime::from_timestamp(after, 0)?;
        self.0.find_next_occurrence(&after, false).ok().map(|next| next.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_after_this_one() {
        let next = |expression: &str, after| Schedule::read(expression).unwrap().next(after);
        assert_eq!(next("*/10 * * * *", 0), Some(600));
        assert_eq!(next("*/10 * * * *", 599), Some(600));
        assert_eq!(next("*/10 * * * *", 600), Some(1200));
        // 2026-02-28 12:00 UTC is a Saturday; the next 29 February is in 2028.
        assert_eq!(next("0 12 29 2 *", 1_772_280_000), Some(1_835_438_400));
        assert_eq!(next("30 6 * * 1", 1_772_280_000), Some(1_772_433_000));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for expression in ["", "* * * *", "61 * * * *", "* * * * * *", "0 0 30 2 *", "hello", "*/0 * * * *"] {
            assert_eq!(Schedule::read(expression).map(|_| ()).unwrap_err().field, "schedule", "{expression}");
        }
    }
}
