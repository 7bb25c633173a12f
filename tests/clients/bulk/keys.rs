//! Keys of all kinds: those that can be hashed, those that can't, and both together.

use anyhow::Result;
use once_tests::Db;
use once_tests::promo::call;

/// A type of a key's column, with two values that the index takes for the same, and one that it does not.
type Column = (&'static str, [&'static str; 3]);

/// Marks rows of a table whose key has these columns, and lets its unique index judge.
fn marked_as_the_index_compares(label: &str, columns: &[Column]) -> Result<()> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE EXTENSION citext; CREATE TYPE size AS ENUM ('small', 'large'); CREATE DOMAIN label AS text COLLATE loose",
    )?;
    let names: Vec<String> = (1..=columns.len()).map(|n| format!("k{n}")).collect();
    let typed: Vec<String> =
        names.iter().zip(columns).map(|(name, (kind, _))| format!("{name} {kind} NOT NULL")).collect();
    client.batch_execute(&format!(
        "CREATE TABLE t ({}, job uuid, UNIQUE ({})); CREATE INDEX ON t (job)",
        typed.join(", "),
        names.join(", ")
    ))?;
    let spec = format!(r#"{{"key": ["{}"], "job_column": "job"}}"#, names.join(r#"", ""#));
    call(&mut client, "create_target('t', 't', $1::text::jsonb)", &[&spec])?;
    let row = |at: usize| {
        let values: Vec<String> = columns.iter().map(|(_, values)| format!("'{}'", values[at])).collect();
        format!("({})", values.join(", "))
    };
    let insert = |table: &str, rows: &[usize]| {
        let rows: Vec<String> = rows.iter().map(|at| row(*at)).collect();
        format!("INSERT INTO {table} ({}) VALUES {}", names.join(", "), rows.join(", "))
    };
    client.batch_execute(&insert("t_staging", &[0, 1, 2, 2]))?;
    let figures = |answer: once_tests::Value| {
        ["total_rows", "internal_duplicates", "database_duplicates", "clean_count"].map(|name| answer[name].as_i64())
    };
    let mark = "mark_duplicates('t', NULL)";
    assert_eq!(figures(call(&mut client, mark, &[])?), [4, 2, 0, 2].map(Some), "{label}");
    client.batch_execute(&insert("t", &[1]))?;
    assert_eq!(figures(call(&mut client, mark, &[])?), [4, 2, 2, 1].map(Some), "{label}");
    assert_eq!(call(&mut client, "insert_clean('t', NULL)", &[])?["codes_inserted"], 1, "{label}");
    // The index is the judge: it took what was clean, and refuses all the rest.
    assert_eq!(figures(call(&mut client, mark, &[])?), [4, 2, 4, 0].map(Some), "{label}");
    Ok(())
}

#[test]
fn keys_are_marked_as_the_index_compares_them() -> Result<()> {
    let cases: &[(&str, &[Column])] = &[
        ("k_citext", &[("citext", ["Code", "CODE", "other"])]),
        ("k_loose", &[("text COLLATE loose", ["Code", "CODE", "other"])]),
        ("k_domain", &[("label", ["Code", "CODE", "other"])]),
        ("k_numeric", &[("numeric", ["1.0", "1.00", "1.01"])]),
        ("k_float", &[("double precision", ["0", "-0", "1"])]),
        ("k_bpchar", &[("char(6)", ["a", "a ", "b"])]),
        ("k_varchar", &[("varchar(6)", ["a", "a", "a "])]),
        (
            "k_uuid",
            &[(
                "uuid",
                [
                    "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8a01",
                    "0B9F6C1E4F0A4D589C365A1D2E7F8A01",
                    "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8a02",
                ],
            )],
        ),
        ("k_date", &[("date", ["2026-01-02", "20260102", "2026-01-03"])]),
        ("k_interval", &[("interval", ["1 day", "24 hours", "25 hours"])]),
        ("k_enum", &[("size", ["small", "small", "large"])]),
        // No hash at all; and one of them has one.
        ("k_bit", &[("bit(3)", ["101", "101", "100"])]),
        ("k_mixed", &[("bit(3)", ["101", "101", "101"]), ("citext", ["a", "A", "b"]), ("bigint", ["5", "5", "5"])]),
        ("k_array", &[("integer[]", ["{1,2}", "{1, 2}", "{2,1}"])]),
    ];
    std::thread::scope(|scope| {
        let tests: Vec<_> =
            cases.iter().map(|(label, columns)| scope.spawn(|| marked_as_the_index_compares(label, columns))).collect();
        tests.into_iter().try_for_each(|test| test.join().unwrap_or_else(|_| anyhow::bail!("a case panicked")))
    })
}
