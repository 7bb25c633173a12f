//! The documented figures in small, end to end, against sets and maps that the test computes itself.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use once_tests::promo::{self, A, call, codes, copy, imported};
use once_tests::{Value, json};

const CHUNK: i64 = 1_000;

/// A small generator, the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// What is in production, and what is staged, in the order of staging.
struct Files {
    production: Vec<String>,
    staged: Vec<String>,
}

/// 15,520 rows: 4,295 codes of production and 10,915 new ones, then repetitions: 7 of the former, which are
/// duplicates of both kinds, and 303 of the latter, some of them of one and the same code.
fn generate(random: &mut Random) -> Files {
    let production: Vec<String> = (0..5_357).map(|n| format!("OLD-{n:06}")).collect();
    let mut known = production.clone();
    random.shuffle(&mut known);
    known.truncate(4_295);
    let new: Vec<String> = (0..10_915).map(|n| format!("NEW-{n:06}")).collect();

    let mut staged: Vec<String> = known.iter().chain(&new).cloned().collect();
    staged.extend((0..7).map(|n| known[n / 2].clone()));
    staged.extend((0..303).map(|_| new[random.below(200)].clone()));
    random.shuffle(&mut staged);
    Files { production, staged }
}

/// The flags of a staged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flags {
    internal: bool,
    existing: bool,
}

/// The rules in plain Rust: a later row of a code is internal, a code of production is existing.
fn oracle(files: &Files) -> Vec<Flags> {
    let production: HashSet<&String> = files.production.iter().collect();
    let mut seen = HashSet::new();
    files
        .staged
        .iter()
        .map(|code| Flags { internal: !seen.insert(code), existing: production.contains(code) })
        .collect()
}

#[test]
fn the_documented_figures_hold() -> Result<()> {
    let files = generate(&mut Random(0x5eed_0005_0002_0010));
    let expected = oracle(&files);
    let count = |wanted: fn(&Flags) -> bool| expected.iter().filter(|flags| wanted(flags)).count();
    let both = count(|flags| flags.internal && flags.existing);
    let clean = count(|flags| !flags.internal && !flags.existing);
    // The generator makes what is documented.
    assert_eq!((files.staged.len(), files.production.len()), (15_520, 5_357));
    assert_eq!((count(|flags| flags.internal), count(|flags| flags.existing)), (310, 4_302));
    assert!(both >= 5 && clean == 15_520 - 310 - 4_302 + both, "{both} {clean}");

    let (_db, mut client) = promo::install("figures")?;
    promo::produce(&mut client, A, &files.production)?;
    let originals: BTreeSet<&String> = files.production.iter().collect();
    for part in files.staged.chunks(4_001) {
        let merchant = A.to_string();
        let rows: Vec<_> = part.iter().map(|code| vec![Some(merchant.as_str()), Some(code), Some("SKU-1")]).collect();
        copy(&mut client, "codes_check_temp (merchant_id, code, sku)", &rows)?;
    }

    let figures = json!({
        "success": true,
        "total_rows": 15_520,
        "internal_duplicates": 310,
        "database_duplicates": 4_302,
        "clean_count": clean,
        "chunks_processed": 16,
    });
    let mark = "mark_duplicates_in_temp($1, $2)";
    assert_eq!(call(&mut client, mark, &[&A, &CHUNK])?, figures);

    // Row by row: the numbers are those of the order of staging, and the lowest of a code stays clean.
    let rows =
        client.query("SELECT row_number, code, internal_dup, existing_dup FROM codes_check_temp ORDER BY 1", &[])?;
    assert_eq!(rows.len(), expected.len());
    for (row, (index, flags)) in rows.iter().zip(expected.iter().enumerate()) {
        let found = Flags { internal: row.try_get(2)?, existing: row.try_get(3)? };
        let (number, code): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
        assert_eq!((number, code, found), (index as i64 + 1, files.staged[index].as_str(), *flags));
    }

    let answer = call(&mut client, "insert_clean_codes_to_production($1)", &[&A])?;
    let job = imported(&answer)?;
    assert_eq!(answer["codes_inserted"], clean);
    let inserted: BTreeSet<&String> =
        files.staged.iter().zip(&expected).filter(|(_, f)| !f.internal && !f.existing).map(|(code, _)| code).collect();
    let everything: Vec<&String> = originals.union(&inserted).copied().collect();
    assert_eq!(codes(&mut client, A)?.iter().collect::<Vec<_>>(), everything);

    let verdict = call(&mut client, "verify_import_job($1)", &[&job])?;
    assert_eq!(
        pick(&verdict, &["success", "expected_count", "actual_count", "verified"]),
        json!([true, clean, clean, true])
    );

    let answer = call(&mut client, "rollback_import_job($1)", &[&job])?;
    assert_eq!(pick(&answer, &["success", "codes_deleted", "original_insert_count"]), json!([true, clean, clean]));
    assert_eq!(codes(&mut client, A)?.iter().collect::<Vec<_>>(), originals.into_iter().collect::<Vec<_>>());

    assert_eq!(call(&mut client, mark, &[&A, &CHUNK])?, figures);
    Ok(())
}

/// Chunks are counted by rows, whatever gaps their numbers have: the ceiling of rows by size.
#[test]
fn chunks_are_the_ceiling_of_rows_by_size() -> Result<()> {
    let (_db, mut client) = promo::install("chunks")?;
    let codes: Vec<String> = (0..30).map(|n| format!("C{n}")).collect();
    promo::stage(&mut client, A, &codes)?;
    client.execute("DELETE FROM codes_check_temp WHERE row_number % 3 = 0", &[])?;
    for (size, chunks) in [(1, 20), (6, 4), (7, 3), (19, 2), (20, 1), (i64::MAX, 1)] {
        let answer = call(&mut client, "mark_duplicates_in_temp($1, $2)", &[&A, &size])?;
        let found = answer["chunks_processed"].as_i64().context("no number")?;
        assert_eq!(found, chunks, "of {size}");
    }
    Ok(())
}

fn pick(answer: &Value, fields: &[&str]) -> Value {
    fields.iter().map(|field| answer[*field].clone()).collect()
}
