//! Patients as JSON, the same for the same seed: once as they come, and once as the normalisers make them.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::generate::scramble;

/// What is compared, and filled in where a case begins: all but what the database sets.
pub const COLUMNS: &str = "phone_no, ic_no, patient_name, email, birth_date, gender, address, tags, balance";

/// So many numbers have the prefixes of [`PREFIXES`].
const NUMBERS: u64 = 30_000_000;
/// Mobile prefixes of Malaysia behind which seven digits are a number, whatever they are.
const PREFIXES: [u64; 3] = [12, 16, 19];

const GIVEN: [&str; 8] = ["Ali", "Siti", "Wei Ling", "Kumar", "Nurul", "José", "Mei", "Aiman"];
const FAMILY: [&str; 8] = ["bin Abu", "binti Hassan", "Tan", "a/l Raman", "Lim", "Müller", "Wong", "Abdullah"];
const STREETS: [&str; 6] =
    ["Jalan Ampang", "Jalan Merdeka", "Lorong 5/3A", "Persiaran Damai", "Jalan SS2/24", "Jalan Gasing"];
const TAGS: [&str; 4] = ["asthma", "diabetic", "panel", "vip"];

/// One file.
#[derive(Serialize)]
pub struct File {
    pub rows: u64,
    /// Of these, how many are of patients that the first file hasn't.
    pub new: u64,
    /// And of patients whom it has with another value.
    pub changed: u64,
    /// As it comes.
    pub bytes: u64,
    #[serde(skip)]
    pub messy: Box<RawValue>,
    /// The same rows, normalised beforehand.
    #[serde(skip)]
    pub clean: Box<RawValue>,
    #[serde(skip)]
    pub clean_path: PathBuf,
}

impl File {
    /// The first file of `rows` patients.
    pub fn first(folder: &Path, seed: u64, rows: u64) -> Result<Self> {
        Self::write(&folder.join("first.json"), seed, (0..rows).map(|number| (number, false)))
    }

    /// A later one: of ten rows one is of a new patient, and one has another value than in the first.
    pub fn later(folder: &Path, seed: u64, rows: u64) -> Result<Self> {
        let row = |at| if at % 10 == 9 { (rows + at, false) } else { (at, at % 10 == 4) };
        let mut file = Self::write(&folder.join("later.json"), seed, (0..rows).map(row))?;
        file.new = rows / 10;
        Ok(file)
    }

    fn write(clean_path: &Path, seed: u64, rows: impl Iterator<Item = (u64, bool)>) -> Result<Self> {
        let (mut messy, mut clean) = (Array::default(), Array::default());
        let mut changed = 0;
        for (number, is_changed) in rows {
            let patient = Patient::new(seed, number, is_changed);
            messy.push(&patient.messy())?;
            clean.push(&patient.clean)?;
            changed += u64::from(is_changed);
        }
        let rows = messy.rows;
        let (messy, clean) = (messy.end()?, clean.end()?);
        fs::write(clean_path, clean.get())?;
        let bytes = messy.get().len() as u64;
        Ok(Self { rows, new: 0, changed, bytes, messy, clean, clean_path: clean_path.into() })
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, new, changed, bytes, .. } = self;
        write!(f, "{rows} rows, {new} new, {changed} changed, {:.1} MB of JSON", *bytes as f64 / 1e6)
    }
}

#[derive(Default)]
struct Array {
    text: String,
    rows: u64,
}

impl Array {
    fn push(&mut self, row: &Row) -> Result<()> {
        self.text.push(if self.rows == 0 { '[' } else { ',' });
        self.text.push_str(&serde_json::to_string(row)?);
        self.rows += 1;
        Ok(())
    }

    fn end(mut self) -> Result<Box<RawValue>> {
        self.text.push_str(if self.rows == 0 { "[]" } else { "]" });
        Ok(RawValue::from_string(self.text)?)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    phone_no: String,
    ic_no: String,
    patient_name: String,
    email: String,
    birth_date: String,
    gender: &'static str,
    address: String,
    tags: Vec<&'static str>,
    balance: f64,
}

struct Patient {
    /// Seven digits behind a prefix.
    phone: (u64, u64),
    random: u64,
    clean: Row,
}

impl Patient {
    /// The patient of a number: no two have the same phone or identity card.
    fn new(seed: u64, number: u64, is_changed: bool) -> Self {
        let random = scramble(number, seed);
        // The factor and the number of numbers have no divisor in common.
        let phone = number * 7_654_321 % NUMBERS;
        let phone = (PREFIXES[(phone / 10_000_000) as usize], phone % 10_000_000);
        let pick = |words: &[&'static str], shift: u32| words[(random >> shift) as usize % words.len()];
        let (given, family) = (pick(&GIVEN, 0), pick(&FAMILY, 3));
        // Days and the prime have no divisor in common, so that the two tell the number.
        let (year, month, day) = date(number * 7919 % DAYS);
        let serial = number * 48_271 % 999_983;
        let mut address =
            format!("{} {}, {} Kuala Lumpur", 1 + random / 64 % 300, pick(&STREETS, 14), 50_000 + random / 1024 % 9000);
        let mut tags = match random / 4096 % 4 {
            0 => vec![TAGS[1], TAGS[2]],
            1 => vec![TAGS[0]],
            2 => vec![TAGS[2]],
            _ => vec![],
        };
        let mut balance = (random / 8192 % 100_000) as f64 / 100.0;
        if is_changed {
            match number / 10 % 3 {
                0 => address.insert_str(0, "Unit 3A, "),
                // Behind all others.
                1 => tags.push(TAGS[3]),
                _ => balance += 10.5,
            }
        }
        let clean = Row {
            phone_no: format!("+60{}{:07}", phone.0, phone.1),
            ic_no: format!("{:02}{month:02}{day:02}{serial:06}", year % 100),
            patient_name: format!("{given} {family}"),
            email: format!("patient{number}@{}.example.com", ["mail", "post", "web"][(random % 3) as usize]),
            birth_date: format!("{year}-{month:02}-{day:02}"),
            gender: if (random / 16).is_multiple_of(2) { "F" } else { "M" },
            address,
            tags,
            balance: (balance * 100.0).round() / 100.0,
        };
        Self { phone, random, clean }
    }

    /// As somebody typed it in.
    fn messy(&self) -> Row {
        let (prefix, digits) = self.phone;
        let (left, right) = (digits / 10_000, digits % 10_000);
        let mut row = self.clean.clone();
        row.phone_no.clear();
        // Writing to a String can't fail.
        let _ = match self.random % 4 {
            0 => write!(row.phone_no, "0{prefix}-{left:03} {right:04}"),
            1 => write!(row.phone_no, "0{prefix}{digits:07}"),
            2 => write!(row.phone_no, "+60 {prefix}-{left:03} {right:04}"),
            _ => write!(row.phone_no, "0{prefix} {left:03}-{right:04} "),
        };
        if (self.random / 4).is_multiple_of(4) {
            row.patient_name = format!(" {}  ", row.patient_name.replace(' ', "  "));
            row.email = row.email.replace(".example.com", ".Example.COM");
        }
        row
    }
}

/// From 1950 to 2003.
const DAYS: u64 = 54 * 12 * 28;

/// The days of which each month has 28.
fn date(day: u64) -> (u64, u64, u64) {
    (1950 + day / (12 * 28), 1 + day / 28 % 12, 1 + day % 28)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_patients_share_a_phone_or_a_card() {
        let patients = || (0..200_000).map(|number| Patient::new(7, number, false).clean);
        assert_eq!(patients().map(|row| row.phone_no).collect::<HashSet<_>>().len(), 200_000);
        assert_eq!(patients().map(|row| row.ic_no).collect::<HashSet<_>>().len(), 200_000);
    }

    #[test]
    fn a_change_is_of_one_value_and_keeps_who_it_is() {
        for number in 0..100 {
            let (before, after) = (Patient::new(7, number, false).clean, Patient::new(7, number, true).clean);
            assert_ne!(before, after);
            assert_eq!((before.phone_no, before.ic_no), (after.phone_no, after.ic_no));
        }
    }

    #[test]
    fn of_ten_rows_of_a_later_file_one_is_new_and_one_is_changed() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("once-bench-patients-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let [first, later] = [File::first(&folder, 7, 1000)?, File::later(&folder, 7, 1000)?];
        fs::remove_dir_all(&folder)?;
        let rows = |file: &File| -> Result<Vec<serde_json::Value>> { Ok(serde_json::from_str(file.clean.get())?) };
        let (first_rows, later_rows) = (rows(&first)?, rows(&later)?);
        let phones: HashSet<_> = first_rows.iter().map(|row| row["phone_no"].to_string()).collect();
        let (known, new): (Vec<_>, Vec<_>) =
            later_rows.iter().partition(|row| phones.contains(&row["phone_no"].to_string()));
        assert_eq!((new.len() as u64, later.new), (100, 100));
        let changed = known.iter().filter(|row| !first_rows.contains(row)).count() as u64;
        assert_eq!((changed, later.changed, first.changed), (100, 100, 0));
        Ok(())
    }
}
