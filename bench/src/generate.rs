//! Promo codes in files of mixed headers, the same for the same seed, once more in one file with one header, and the
//! codes that production has before. How many rows of each kind there are is exact; see [`plan`].

mod plan;

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

pub use plan::Counts;
use plan::Plan;

/// The staging table's columns, in the order of the single file.
pub const COLUMNS: [&str; 8] = ["merchant_id", "code", "serial", "sku", "points", "sku_name", "batch_code", "price"];

/// Headers as they come: `batch_id` is what others call `batch_code`, and one knows no prices.
const HEADERS: [&str; 3] = [
    "merchant_id,code,serial,sku,points,sku_name,batch_code,price",
    "code,merchant_id,batch_id,sku,sku_name,price,points,serial",
    "serial,merchant_id,batch_id,code,sku,points,sku_name",
];

/// Whose rows are staged.
pub const MERCHANT: &str = "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8a01";
/// Another one.
pub const SECOND_MERCHANT: &str = "c2a4e7d0-91b3-4f6e-8a5c-3d7f1b9e6042";

const FILES: u64 = 63;
const NAMES: [&str; 6] =
    ["\"Coffee, large\"", "\"Gift \"\"Spring\"\" box\"", "Tea", "Café au lait", "מתנה", "Chocolate bar 100 g"];
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// What was written.
#[derive(Serialize)]
pub struct Data {
    pub counts: Counts,
    pub files: u64,
    pub seed: u64,
    /// Of the files together, without the single one.
    pub bytes: u64,
    #[serde(skip)]
    pub merchant: &'static str,
    /// The folder with the files of mixed headers.
    #[serde(skip)]
    pub folder: PathBuf,
    /// All rows in one file.
    #[serde(skip)]
    pub single: PathBuf,
}

impl Data {
    /// Removes the files, unless they are to be kept.
    pub fn discard(&self, keep: bool) -> Result<()> {
        if !keep {
            fs::remove_dir_all(&self.folder)?;
            fs::remove_file(&self.single)?;
        }
        Ok(())
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, files, seed, bytes, .. } = self;
        let megabytes = bytes / 1_000_000;
        write!(f, "{counts}, in {files} files of {} headers, {megabytes} MB, seed {seed}", HEADERS.len())
    }
}

/// Writes the files of a merchant into a folder of their own, and leaves nothing for the system to write later.
pub fn write(dir: &Path, seed: u64, merchant: &'static str, counts: Counts) -> Result<Data> {
    let plan = Plan::new(counts, FILES, HEADERS.len() as u64)?;
    let folder = dir.join("mixed");
    fs::create_dir_all(&folder)?;
    let path = dir.join("single.csv");
    let mut single = Csv::create(&path, HEADERS[0])?;
    let (mut row, mut bytes, mut numbers) = (Row::default(), 0, plan.numbers());
    for index in 0..FILES {
        let header = HEADERS[(index % HEADERS.len() as u64) as usize];
        let mut csv = Csv::create(&folder.join(format!("codes-{:03}.csv", index + 1)), header)?;
        for number in numbers.by_ref().take(plan.rows_of(index) as usize) {
            row.fill(seed, merchant, number, &csv.cells);
            csv.write(&row)?;
            single.write(&row)?;
        }
        bytes += csv.finish()?;
    }
    single.finish()?;
    Ok(Data { counts, files: FILES, seed, bytes, merchant, folder, single: path })
}

/// Writes what production has before, in one file with all columns.
pub fn write_production(path: &Path, seed: u64, merchant: &str, counts: Counts) -> Result<()> {
    let mut csv = Csv::create(path, HEADERS[0])?;
    let mut row = Row::default();
    for number in counts.production_numbers() {
        row.fill(seed, merchant, number, &csv.cells);
        csv.write(&row)?;
    }
    csv.finish().map(drop)
}

/// Writes one file of about so many bytes; gives its rows.
pub fn write_large(path: &Path, seed: u64, bytes: u64) -> Result<u64> {
    let mut csv = Csv::create(path, HEADERS[1])?;
    let (mut row, mut rows) = (Row::default(), 0);
    while csv.bytes < bytes {
        row.fill(seed, MERCHANT, rows, &csv.cells);
        csv.write(&row)?;
        rows += 1;
    }
    csv.finish()?;
    Ok(rows)
}

/// A file that is being written.
struct Csv {
    file: BufWriter<File>,
    /// The place of each of its cells in a row.
    cells: Vec<usize>,
    line: String,
    bytes: u64,
}

impl Csv {
    fn create(path: &Path, header: &str) -> Result<Self> {
        let file = File::create(path)?;
        // The server reads some itself, and may be another user.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        let mut csv = Self { file: BufWriter::new(file), cells: places(header), line: header.into(), bytes: 0 };
        csv.end_line()?;
        Ok(csv)
    }

    fn write(&mut self, row: &Row) -> Result<()> {
        for (at, cell) in self.cells.iter().enumerate() {
            if at > 0 {
                self.line.push(',');
            }
            self.line.push_str(&row.0[*cell]);
        }
        self.end_line()
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.push('\n');
        self.file.write_all(self.line.as_bytes())?;
        self.bytes += self.line.len() as u64;
        self.line.clear();
        Ok(())
    }

    fn finish(self) -> Result<u64> {
        self.file.into_inner()?.sync_all()?;
        Ok(self.bytes)
    }
}

/// The cells of a row in the order of [`COLUMNS`], quoted where they must be.
#[derive(Default)]
struct Row([String; COLUMNS.len()]);

impl Row {
    /// Makes it the row of this number: always the same, and no two rows have the same code. Other cells than these
    /// stay empty.
    fn fill(&mut self, seed: u64, merchant: &str, number: u64, cells: &[usize]) {
        self.0.iter_mut().for_each(String::clear);
        let random = scramble(number, seed);
        let kind = random % 40;
        for &at in cells {
            let cell = &mut self.0[at];
            // Writing to a String can't fail.
            let _ = match COLUMNS[at] {
                "merchant_id" => write!(cell, "{merchant}"),
                "code" => {
                    (0..12).for_each(|place| cell.push(ALPHABET[(random >> (place * 5) & 31) as usize].into()));
                    Ok(())
                }
                "serial" => write!(cell, "S{number:010}"),
                "sku" => write!(cell, "SKU-{kind:04}"),
                "points" => write!(cell, "{}", 10 * (kind + 1)),
                "sku_name" => write!(cell, "{}", NAMES[(kind % NAMES.len() as u64) as usize]),
                "price" => write!(cell, "{}.{:02}", 2 + kind, random / 40 % 100),
                _ => write!(cell, "SPRING-{:04}", number / 10_000),
            };
        }
    }
}

/// Which columns a header names.
fn places(header: &str) -> Vec<usize> {
    let place = |name: &str| {
        let name = if name == "batch_id" { "batch_code" } else { name };
        COLUMNS.iter().position(|column| *column == name)
    };
    header.split(',').filter_map(place).collect()
}

/// Sixty bits that look random; another number gives others: each of the steps can be undone.
pub fn scramble(number: u64, seed: u64) -> u64 {
    const MASK: u64 = (1 << 60) - 1;
    let mut bits = (number ^ seed) & MASK;
    for odd in [0x9e37_79b9_7f4a_7c15_u64, 0xbf58_476d_1ce4_e5b9] {
        bits = bits.wrapping_mul(odd) & MASK;
        bits ^= bits >> 31;
    }
    bits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn row(seed: u64, number: u64, header: &str) -> [String; 8] {
        let mut row = Row::default();
        row.fill(seed, MERCHANT, number, &places(header));
        row.0
    }

    #[test]
    fn no_two_rows_have_the_same_code() {
        let codes: HashSet<_> = (0..50_000).map(|number| row(7, number, HEADERS[0])[1].clone()).collect();
        assert_eq!(codes.len(), 50_000);
    }

    #[test]
    fn a_seed_gives_always_the_same_rows() {
        assert_eq!(row(7, 41, HEADERS[1]), row(7, 41, HEADERS[1]));
        assert_ne!(row(7, 41, HEADERS[1]), row(8, 41, HEADERS[1]));
    }

    #[test]
    fn the_headers_differ_in_order_and_in_columns() {
        assert_eq!(places(HEADERS[0]), (0..8).collect::<Vec<_>>());
        assert_eq!(places(HEADERS[1]).iter().collect::<HashSet<_>>().len(), 8);
        assert_eq!(row(7, 41, HEADERS[2])[7], "");
        assert_eq!(row(7, 41, HEADERS[0])[..7], row(7, 41, HEADERS[2])[..7]);
    }

    #[test]
    fn the_files_together_are_the_single_one() {
        let dir = std::env::temp_dir().join(format!("once-bench-generate-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("is ours");
        let counts = Counts::scaled(0.0005);
        let data = write(&dir, 7, MERCHANT, counts).expect("can be written");
        let lines = |path: &Path| fs::read_to_string(path).expect("was written").lines().count() as u64 - 1;
        let files = fs::read_dir(&data.folder).expect("is there").map(|entry| entry.expect("is there").path());
        let of_files: Vec<_> = files.map(|path| lines(&path)).collect();
        assert_eq!((of_files.len(), of_files.iter().sum()), (63, counts.staged));
        assert_eq!(lines(&data.single), counts.staged);
        fs::remove_dir_all(&dir).expect("is ours");
    }
}
