//! The demo's CSV files: a campaign as it comes from six printers, no two of them tidy.
//!
//! What is wrong with the rows is counted here, apart from the extension, so that the two
//! counts can be compared.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;

/// The merchant whose codes are imported.
pub const MERCHANT: &str = "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8a01";
/// Another merchant, whose rows nobody may touch.
pub const OTHER_MERCHANT: &str = "7d3e2a90-1c5b-4e7f-8a26-b04c9d8e1f02";
/// The codes of the merchant with numbers up to this one are in production already.
pub const IN_PRODUCTION: u32 = 400;

const ROWS_PER_FILE: u32 = 500;
const OTHER_ROWS: u32 = 120;
const NAMES: [&str; 6] =
    ["Coffee, large", "Gift \"Spring\" box", "מתנה, אביב", "🎁 Surprise, small", "Tea", "Café au lait"];

/// Headers as they come: `batch_id` is what others call `batch_code`.
const PLAIN: &str = "merchant_id,code,serial,sku,points,sku_name,batch_code,price";
const HEADERS: [&str; 6] = [
    PLAIN,
    "code,merchant_id,batch_id,sku,sku_name,price,points,serial",
    PLAIN,
    "serial,code,sku,sku_name,points,price,batch_id,merchant_id",
    PLAIN,
    "merchant_id,batch_id,code,sku,points,sku_name,price",
];

/// The files, and what an import must find in them.
pub struct Campaign {
    /// The files, in the order in which they are loaded.
    pub files: Vec<CsvFile>,
    /// What there is to find for [`MERCHANT`].
    pub counts: Counts,
    /// Rows without any value.
    pub blank: u64,
}

/// One file.
pub struct CsvFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Rows of one merchant, by what is wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All rows that aren't blank.
    pub total: u64,
    /// Rows whose code came in an earlier row.
    pub internal: u64,
    /// Rows whose code is in production.
    pub existing: u64,
    /// Rows that are both.
    pub both: u64,
}

impl Counts {
    /// Rows with nothing wrong.
    pub fn clean(self) -> u64 {
        self.total + self.both - self.internal - self.existing
    }
}

impl CsvFile {
    /// The first line.
    pub fn header(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

impl Campaign {
    /// The same seed gives the same files.
    pub fn generate(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut counts = Counts::default();
        let mut seen = HashSet::new();
        let mut earlier: Vec<u32> = Vec::new();
        let mut next = IN_PRODUCTION + 1;
        let (mut files, mut blank) = (Vec::new(), 0);
        for (index, header) in HEADERS.into_iter().enumerate() {
            let mut text = format!("{header}\n");
            let first_here = earlier.len();
            for row in 0..ROWS_PER_FILE {
                let here = &earlier[first_here..];
                let number = match random.below(100) {
                    0..4 if !here.is_empty() => here[random.index(here.len())],
                    4..8 if !earlier.is_empty() => earlier[random.index(earlier.len())],
                    8..18 => 1 + random.below(IN_PRODUCTION),
                    _ => {
                        next += 1;
                        next - 1
                    }
                };
                earlier.push(number);
                let internal = !seen.insert(number);
                let existing = number <= IN_PRODUCTION;
                counts.total += 1;
                counts.internal += u64::from(internal);
                counts.existing += u64::from(existing);
                counts.both += u64::from(internal && existing);
                write_row(&mut text, header, MERCHANT, number);
                match (index % 2, row % 97) {
                    (1, 50) => text.push('\n'),
                    (1, 80) => text.push_str(&format!("{}\n", ",".repeat(header.matches(',').count()))),
                    _ => continue,
                }
                blank += 1;
            }
            if index == 4 {
                // The same codes again, but somebody else's: no duplicates of anything.
                (1..=OTHER_ROWS).for_each(|n| write_row(&mut text, header, OTHER_MERCHANT, n));
            }
            files.push(CsvFile { name: format!("spring-{}.csv", index + 1), text });
        }
        Self { files, counts, blank }
    }

    /// Rows of [`OTHER_MERCHANT`].
    pub fn other_rows(&self) -> u64 {
        OTHER_ROWS.into()
    }

    /// Writes the files into a folder of their own.
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        for file in &self.files {
            fs::write(folder.join(&file.name), &file.text)?;
        }
        Ok(())
    }
}

fn write_row(text: &mut String, header: &str, merchant: &str, number: u32) {
    let kind = number as usize % NAMES.len();
    let fields: Vec<String> = header
        .split(',')
        .map(|column| match column {
            "merchant_id" => merchant.into(),
            "code" => format!("GIFT-{number:05}"),
            "serial" => format!("S{number:07}"),
            "sku" => format!("SKU-{kind}"),
            "points" => format!("{}", 10 * (kind + 1)),
            "sku_name" => quoted(NAMES[kind]),
            "price" => format!("{}.50", 4 + kind),
            _ => format!("SPRING-{}", number / 1000),
        })
        .collect();
    let _ = writeln!(text, "{}", fields.join(","));
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.into() }
}

/// xorshift64*: good enough for files, and no dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u32) -> u32 {
        // Less than `limit`, so that it fits again.
        (self.next() >> 33) as u32 % limit
    }

    fn index(&mut self, len: usize) -> usize {
        self.next() as usize % len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Every row of every file as a map, by a CSV reader that knows nothing of the generator.
    fn rows(campaign: &Campaign) -> Result<Vec<HashMap<String, String>>> {
        let mut rows = Vec::new();
        for file in &campaign.files {
            let mut reader = csv::Reader::from_reader(file.text.as_bytes());
            for row in reader.deserialize() {
                let row: HashMap<String, String> = row?;
                if row.values().any(|value| !value.trim().is_empty()) {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    fn merchant(row: &HashMap<String, String>) -> &str {
        row.get("merchant_id").map_or("", String::as_str)
    }

    #[test]
    fn the_counts_are_those_of_the_files() -> Result<()> {
        let campaign = Campaign::generate(1);
        let mut times: HashMap<String, u64> = HashMap::new();
        for row in rows(&campaign)?.into_iter().filter(|row| merchant(row) == MERCHANT) {
            *times.entry(row["code"].clone()).or_default() += 1;
        }
        let in_production = |code: &str| {
            code.strip_prefix("GIFT-").and_then(|n| n.parse().ok()).is_some_and(|n: u32| n <= IN_PRODUCTION)
        };
        let existing: Vec<u64> =
            times.iter().filter(|(code, _)| in_production(code)).map(|(_, times)| *times).collect();
        let found = Counts {
            total: times.values().sum(),
            internal: times.values().map(|times| times - 1).sum(),
            existing: existing.iter().sum(),
            both: existing.iter().map(|times| times - 1).sum(),
        };
        assert_eq!(campaign.counts, found);
        assert_eq!(campaign.counts.clean(), times.keys().filter(|code| !in_production(code)).count() as u64);
        Ok(())
    }

    #[test]
    fn the_files_are_as_untidy_as_promised() -> Result<()> {
        let campaign = Campaign::generate(20_260_301);
        let counts = campaign.counts;
        assert_eq!((counts.total, campaign.blank), (3000, 3 * (5 + 5)));
        assert!(counts.internal > 100 && counts.existing > 100 && counts.both >= 5, "{counts:?}");
        let text: String = campaign.files.iter().map(|file| file.text.as_str()).collect();
        for part in
            ["\n\n", "\n,,,,,,,\n", "\n,,,,,,\n", "\"Coffee, large\"", "\"Gift \"\"Spring\"\" box\"", "🎁", "מתנה"]
        {
            assert!(text.contains(part), "no {part:?}");
        }
        let others = rows(&campaign)?.iter().filter(|row| merchant(row) == OTHER_MERCHANT).count();
        assert_eq!(others as u64, campaign.other_rows());
        Ok(())
    }

    #[test]
    fn the_headers_differ() {
        let campaign = Campaign::generate(1);
        let with = |word: &str| campaign.files.iter().filter(|file| file.header().contains(word)).count();
        assert_eq!((with("batch_code"), with("batch_id"), with("serial")), (3, 3, 5));
    }

    #[test]
    fn the_same_seed_gives_the_same_files() {
        let text = |seed| Campaign::generate(seed).files.iter().map(|f| f.text.clone()).collect::<String>();
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }
}
