//! A worksheet of an Excel file.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use calamine::{Data, ExcelDateTime, Reader, SheetType, Sheets, open_workbook_auto};
use serde_json::Value;

use super::rows::{Shaper, Table};
use crate::error::{Failure, Remedy, Result};
use crate::source::{name_of, open_file, problem};

const DAY: f64 = 86_400_000.0;

pub struct Workbook {
    pub path: PathBuf,
    /// The worksheet's name; the first one where there is none.
    pub worksheet: Option<String>,
}

impl Workbook {
    pub fn read(&self) -> Result<Table> {
        // What is no file that can be read is told as of every file.
        drop(open_file(&self.path)?);
        let mut workbook = open_workbook_auto(&self.path).map_err(|error| self.unreadable(&error))?;
        let worksheet = self.worksheet(&workbook)?;
        let range = workbook.worksheet_range(&worksheet).map_err(|error| self.unreadable(&error))?;
        // The range begins at the first cell that has a value.
        let (first, offset) = range.start().unwrap_or_default();
        let mut shaper = Shaper::new(format!("{}, {worksheet}", name_of(&self.path)), "row", offset as usize);
        for (number, row) in (u64::from(first) + 1..).zip(range.rows()) {
            shaper.push(number, row.iter().map(value))?;
        }
        Ok(shaper.finish())
    }

    fn worksheet(&self, workbook: &Sheets<BufReader<File>>) -> Result<String> {
        let tables = workbook.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
        let names: Vec<&str> = tables.map(|sheet| sheet.name.as_str()).collect();
        match &self.worksheet {
            Some(wanted) if names.contains(&wanted.as_str()) => Ok(wanted.clone()),
            Some(wanted) => Err(problem(&self.path, None, format_args!("there is no worksheet \"{wanted}\""))
                .hint(format!("--worksheet is one of: {}.", names.join(", ")))
                .remedy(Remedy::Setup)),
            None => names.first().map(|name| (*name).to_owned()).ok_or_else(|| {
                problem(&self.path, None, "there is no worksheet in it").hint("Give a file that has a table.")
            }),
        }
    }

    fn unreadable(&self, error: &calamine::Error) -> Failure {
        problem(&self.path, None, "it can't be read as an Excel file")
            .detail(error.to_string())
            .hint("Save it as .xlsx without a password, or as CSV for --csv.")
    }
}

/// A cell: what Excel computed, not how it shows it.
fn value(cell: &Data) -> Value {
    match cell {
        Data::Empty | Data::Error(_) => Value::Null,
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => Value::from(text.as_str()),
        Data::Bool(truth) => Value::Bool(*truth),
        Data::Int(number) => Value::from(*number),
        Data::Float(number) => number_of(*number),
        Data::DateTime(time) => moment(time),
    }
}

/// Excel has no integers: 7 is 7.0 there.
fn number_of(number: f64) -> Value {
    // Within these bounds a whole f64 is that very i64.
    #[allow(clippy::cast_possible_truncation)]
    if number.fract() == 0.0 && number.abs() < 9.2e18 { Value::from(number as i64) } else { Value::from(number) }
}

/// A date, a time of day, both or a duration, as ISO 8601 has them: `2026-03-01`, `13:45:00`, `2026-03-01T13:45:00`,
/// `PT26H30M0S`. A date at midnight is a date.
fn moment(time: &ExcelDateTime) -> Value {
    let days = time.as_f64();
    if time.is_duration() {
        return Value::from(duration(days));
    }
    if days < 0.0 {
        return number_of(days); // before Excel's first day; Excel itself shows no date
    }
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    let fraction = if milli > 0 { format!(".{milli:03}") } else { String::new() };
    let date = format!("{year:04}-{month:02}-{day:02}");
    let clock = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
    Value::from(match (days < 1.0, days.fract() == 0.0) {
        (true, _) => clock,
        (false, true) => date,
        (false, false) => format!("{date}T{clock}"),
    })
}

fn duration(days: f64) -> String {
    // Saturates, far beyond what Excel shows.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let millis = (days.abs() * DAY).round() as u64;
    let sign = if days < 0.0 { "-" } else { "" };
    let (seconds, milli) = (millis / 1000, millis % 1000);
    let fraction = if milli > 0 { format!(".{milli:03}") } else { String::new() };
    // The sign of each part: `-PT1H` is not known to Postgres.
    format!("PT{sign}{}H{sign}{}M{sign}{}{fraction}S", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use calamine::ExcelDateTimeType::{DateTime, TimeDelta};
    use serde_json::json;

    #[test]
    fn numbers_are_as_excel_shows_them() {
        let values: Vec<Value> = [7.0, -0.5, 60_123_456_789_012.0, 1e300].map(|n| value(&Data::Float(n))).into();
        assert_eq!(json!(values).to_string(), "[7,-0.5,60123456789012,1e+300]");
    }

    #[test]
    fn times_are_iso_8601() {
        let time = |days, kind| moment(&ExcelDateTime::new(days, kind, false));
        // 45943 is Excel's number for 2025-10-13.
        assert_eq!(time(45943.0, DateTime), "2025-10-13");
        assert_eq!(time(45943.5, DateTime), "2025-10-13T12:00:00");
        assert_eq!(time(0.573_611_111_111, DateTime), "13:46:00");
        assert_eq!(time(26.5 / 24.0, TimeDelta), "PT26H30M0S");
        assert_eq!(time(-1.5 / 24.0, TimeDelta), "PT-1H-30M-0S");
    }
}
