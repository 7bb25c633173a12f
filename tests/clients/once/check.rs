//! `once check`: the same of a folder for people and for machines, and without a database.

use std::fmt::Write;

use anyhow::Result;
use once_tests::once::{Folder, command, once, run};
use once_tests::promo::install;
use once_tests::{Db, json};

use super::{about, many, says};

#[test]
fn what_is_found_is_shown_and_told() -> Result<()> {
    let db = Db::bare("check")?;
    let folder = Folder::new("check")?;
    folder.file("a.csv", "\u{feff}code;sku\r\nA;1\r\n\r\nB;2\r\n")?;
    folder.file("b.csv", "code,x,x,\nA,1,2,3\nB\nC,1\n")?;
    folder.file("c.csv", "voucher\nA\n")?;
    folder.file("d.csv", "code\n")?;
    // Nothing is there to connect to.
    let checked =
        |options: &[&str]| run(command(&db, &[&["check", folder.arg()], options].concat())?.env("PGHOST", "/nowhere"));
    let answer = checked(&["--json"])?.exits(1)?.json()?;
    assert_eq!((&answer["success"], &answer["invalid"]), (&json!(false), &json!(2)));
    assert_eq!(
        about(&answer, "a.csv")?,
        &json!({"name": "a.csv", "bytes": 25, "encoding": "UTF-8, BOM", "delimiter": ";", "line_ends": "CRLF", "columns": ["code", "sku"],
                "rows": 2, "estimated": false, "blank": 1, "bad_rows": 0, "problems": [], "notes": []})
    );
    let b = about(&answer, "b.csv")?;
    assert_eq!((&b["rows"], &b["bad_rows"]), (&json!(1), &json!(2)));
    assert_eq!(b["problems"], json!(["2 bad rows, first at line 3: the row has 1 cells, the header 4"]));
    assert_eq!(b["notes"], json!(["1 column without a name", "the header has \"x\" twice"]));
    assert_eq!(about(&answer, "c.csv")?["problems"], json!(["no column code (--map code=NAME?)"]));
    assert_eq!(about(&answer, "d.csv")?["notes"], json!(["has a header and no rows"]));

    let shown = checked(&[])?.exits(1)?.out;
    for words in
        ["a.csv", "UTF-8, BOM", "CRLF", "2 bad rows", "no column code", "no rows", "4 files, 4 rows, 2 invalid, in "]
    {
        let all = shown.split_whitespace().filter(|word| !"│┆".contains(word)).collect::<Vec<_>>().join(" ");
        assert!(shown.contains(words) || all.contains(words), "{words}: {shown}");
    }
    // What is required, and by which name.
    let answer = checked(&["--json", "--map", "code=voucher"])?.exits(1)?.json()?;
    assert_eq!(about(&answer, "c.csv")?["problems"], json!([]));
    let answer = checked(&["--json", "--require", "sku,code"])?.exits(1)?.json()?;
    assert_eq!(about(&answer, "a.csv")?["problems"], json!([]));
    assert_eq!(about(&answer, "d.csv")?["problems"], json!(["no column sku (--map sku=NAME?)"]));
    Ok(())
}

/// A hundred large files are judged by their beginnings; `--deep` reads all, and finds what stands at the end.
#[test]
fn only_the_beginning_is_read_unless_all_is_asked_for() -> Result<()> {
    let (db, _client) = install("deep")?;
    let folder = Folder::new("deep")?;
    let big = many(20_000, 100) + "bad\n";
    folder.file("big.csv", &big)?;
    let mut blank = String::from("code\n");
    (0..200_000).try_for_each(|row| writeln!(blank, "{row}\n"))?;
    folder.file("blank.csv", &blank)?;
    folder.file("small.csv", "code\nA\n")?;
    let answer = once(&db, &["check", folder.arg(), "--json"])?.exits(0)?.json()?;
    assert_eq!(
        (&about(&answer, "big.csv")?["estimated"], &about(&answer, "big.csv")?["problems"]),
        (&json!(true), &json!([]))
    );
    for (name, rows) in [("big.csv", 20_000_f64), ("blank.csv", 200_000.)] {
        let estimate = about(&answer, name)?["rows"].as_f64().unwrap_or(0.);
        assert!((estimate - rows).abs() < rows * 0.1, "{name}: {estimate}");
    }
    assert_eq!(about(&answer, "small.csv")?["estimated"], json!(false));
    let deep = once(&db, &["check", folder.arg(), "--deep", "--json"])?.exits(1)?.json()?;
    let told = about(&deep, "big.csv")?;
    assert_eq!((&told["rows"], &told["bad_rows"], &told["estimated"]), (&json!(20_000), &json!(1), &json!(false)));
    let told = about(&deep, "blank.csv")?;
    assert_eq!((&told["rows"], &told["blank"]), (&json!(200_000), &json!(200_000)));
    let shown = once(&db, &["check", folder.arg()])?.exits(0)?.out;
    assert!(shown.contains("3 files, about ") && shown.contains('~'), "{shown}");
    says(&once(&db, &["check", folder.arg(), "--deep"])?, 1, &[]);
    Ok(())
}

/// A hundred files: of those that are large, only the end would tell that they are bad.
#[test]
fn a_hundred_headers_are_checked_in_one_run() -> Result<()> {
    let db = Db::bare("hundred")?;
    let folder = Folder::new("hundred")?;
    let text = many(12_000, 100) + "bad\n";
    for file in 0..100 {
        let text = if file % 10 == 5 { text.as_str() } else { "code\nA\n" };
        let text = if file % 10 == 0 { text.replacen("code", "kode", 1) } else { text.into() };
        folder.file(&format!("{file:02}.csv"), text)?;
    }
    let answer = once(&db, &["check", folder.arg(), "--json"])?.exits(1)?.json()?;
    let files = answer["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!((files.len(), &answer["invalid"]), (100, &json!(10)));
    assert!(files.iter().all(|file| file["bad_rows"] == 0));
    assert_eq!(files.iter().filter(|file| file["estimated"] == true).count(), 10);
    Ok(())
}
