//! Promo codes in files of mixed headers, the same for the same seed, and once more in one file with one header.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

/// The staging table's columns, in the order of the single file.
pub const COLUMNS: [&str; 8] = ["merchant_id", "code", "serial", "sku", "points", "sku_name", "batch_code", "price"];

/// Headers as they come: `batch_id` is what others call `batch_code`, and one knows no prices.
const HEADERS: [&str; 3] = [
    "merchant_id,code,serial,sku,points,sku_name,batch_code,price",
    "code,merchant_id,batch_id,sku,sku_name,price,points,serial",
    "serial,merchant_id,batch_id,code,sku,points,sku_name",
];

const MERCHANT: &str = "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8a01";
const NAMES: [&str; 6] =
    ["\"Coffee, large\"", "\"Gift \"\"Spring\"\" box\"", "Tea", "Café au lait", "מתנה", "Chocolate bar 100 g"];
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// What was written.
#[derive(Serialize)]
pub struct Data {
    pub rows: u64,
    pub files: u64,
    pub seed: u64,
    /// Of the files together, without the single one.
    pub bytes: u64,
    /// The folder with the files of mixed headers.
    #[serde(skip)]
    pub folder: PathBuf,
    /// All rows in one file.
    #[serde(skip)]
    pub single: PathBuf,
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, files, seed, bytes, .. } = self;
        write!(f, "{rows} rows in {files} files of {} headers, {} MB, seed {seed}", HEADERS.len(), bytes / 1_000_000)
    }
}

/// Writes the files, and leaves nothing for the system to write later.
pub fn write(dir: &Path, seed: u64, rows: u64, files: u64) -> Result<Data> {
    let folder = dir.join("mixed");
    fs::create_dir_all(&folder)?;
    let path = dir.join("single.csv");
    let mut single = Csv::create(&path, HEADERS[0])?;
    let (mut row, mut bytes, mut number) = (Row::default(), 0, 0);
    for index in 0..files {
        let header = HEADERS[(index % HEADERS.len() as u64) as usize];
        let mut csv = Csv::create(&folder.join(format!("codes-{:03}.csv", index + 1)), header)?;
        // The first files take what can't be shared out evenly.
        for _ in 0..rows / files + u64::from(index < rows % files) {
            row.fill(seed, number, header);
            csv.write(&row)?;
            single.write(&row)?;
            number += 1;
        }
        bytes += csv.finish()?;
    }
    single.finish()?;
    Ok(Data { rows, files, seed, bytes, folder, single: path })
}

/// Writes one file of about so many bytes; gives its rows.
pub fn write_large(path: &Path, seed: u64, bytes: u64) -> Result<u64> {
    let mut csv = Csv::create(path, HEADERS[1])?;
    let (mut row, mut rows) = (Row::default(), 0);
    while csv.bytes < bytes {
        row.fill(seed, rows, HEADERS[1]);
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
        let cells = places(header);
        let mut csv = Self { file: BufWriter::new(File::create(path)?), cells, line: header.into(), bytes: 0 };
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
    /// Makes it the row of this number: always the same, and no two rows have the same code. What the header doesn't
    /// name stays empty.
    fn fill(&mut self, seed: u64, number: u64, header: &str) {
        self.0.iter_mut().for_each(String::clear);
        let random = scramble(number, seed);
        let kind = random % 40;
        for at in places(header) {
            let cell = &mut self.0[at];
            // Writing to a String can't fail.
            let _ = match COLUMNS[at] {
                "merchant_id" => write!(cell, "{MERCHANT}"),
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
        row.fill(seed, number, header);
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
}
