//! Rows that can't be staged: found wherever they are, kept with line, column, value and reason, up to a limit.

use std::fmt::Write;

use anyhow::Result;
use once_tests::json;
use once_tests::once::{Folder, once};
use once_tests::promo::{call, install, text, texts};

use super::{A, B, about, files, rejects, says, sorted, staged, staged_count};

#[test]
fn bad_rows_are_kept_with_line_column_value_and_reason() -> Result<()> {
    let (db, mut client) = install("rejects")?;
    client.batch_execute(
        "ALTER TABLE codes_check_temp ADD CONSTRAINT short CHECK (length(code) < 10), ALTER sku TYPE varchar(3)",
    )?;
    let folder = Folder::new("rejects")?;
    let long = "é".repeat(1_200);
    let text = format!(
        "merchant_id,code,sku,points\n{A},a1,s,1\n{B},b1,s,x1\nnobody,c,s,1\n{A},too_long_a_code,s,1\n{A},a2,four,1\n\
         ,d,s,1\n{A},a3\n{A},n\0l,s,1\n{A},a4,{long},1\n{A},\"q\nq\",s,\"1\n2\"\n{A},a5,s,1\n"
    );
    folder.file("f.csv", text)?;
    let expected = [
        "f.csv:3 points=x1 22P02".to_string(),
        "f.csv:4 merchant_id=nobody 22P02".into(),
        "f.csv:5 = 23514".into(),
        "f.csv:6 sku=four 22001".into(),
        "f.csv:7 merchant_id= ".into(),
        format!("f.csv:8 ={A},a3 22P04"),
        "f.csv:9 code=n\u{2400}l 22021".into(),
        format!("f.csv:10 sku={}… 22001", "é".repeat(1_000)),
        "f.csv:11 points=1\n2 22P02".into(),
    ];
    let answer = once(&db, &["load", folder.arg(), "--max-rejects", "9", "--json"])?.exits(0)?.json()?;
    assert_eq!(rejects(&mut client)?, expected);
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a5"]);
    assert_eq!(files(&mut client)?, ["f.csv A 2"]);
    let told = about(&answer, "f.csv")?;
    assert_eq!((&told["rows"], &told["rejected"]), (&json!(2), &json!(9)), "{told}");
    let reasons = texts(&mut client, "SELECT reason FROM once.import_rejects ORDER BY line")?;
    for (reason, words) in reasons.iter().zip(["\"x1\"", "uuid", "short", "varying(3)", "is empty", "2 cells", "NUL"]) {
        assert!(reason.contains(words), "{reason}");
    }
    // It is staged now, whatever would be too many if it were not.
    let again = once(&db, &["load", folder.arg(), "--json"])?.exits(0)?.json()?;
    assert_eq!((&about(&again, "f.csv")?["status"], &again["rejected"]), (&json!("skipped"), &json!(0)));
    assert_eq!(rejects(&mut client)?, expected);
    let kept = "SELECT count(*)::text FROM once.import_rejects WHERE target = 'codes' AND sha256 ~ '^[0-9a-f]{64}$'
                AND relation_schema = 'public' AND relation_name = 'codes' AND rejected_by = 'postgres'";
    assert_eq!(self::text(&mut client, kept)?, "9");
    Ok(())
}

/// Past the limit nothing of the file is left, not even on record, and the others are loaded.
#[test]
fn past_the_limit_a_file_fails_whole() -> Result<()> {
    let (db, mut client) = install("limit")?;
    let folder = Folder::new("limit")?;
    folder.file("a.csv", "code\na\n")?;
    // 200 rows, 4 of them bad, some refused by the reader and some by the database; blank ones are no rows.
    let rows: String = (0..200).fold(String::new(), |mut rows, row| {
        let cells = match row {
            0 | 199 => "x".to_string(),
            50 => "1,2".into(),
            100 => "1,2,3".into(),
            row => row.to_string(),
        };
        let _ = write!(rows, "f{row},{cells}\n\n");
        rows
    });
    folder.file("f.csv", format!("code,points\n{rows}"))?;
    folder.file("z.csv", "code\nz\n")?;
    for limit in ["0", "3", "1.9%", "0%"] {
        let ran = once(&db, &["load", folder.arg(), "--scope", A, "--max-rejects", limit])?;
        if limit == "0" {
            says(
                &ran,
                1,
                &["f.csv, line ", "Nothing of the file was staged. Mend it, or allow bad rows: --max-rejects"],
            );
        } else {
            says(
                &ran,
                1,
                &[
                    "failed   f.csv: more bad rows than --max-rejects",
                    limit,
                    "line ",
                    "hint: Nothing of the file was staged",
                ],
            );
        }
        assert_eq!(staged(&mut client)?, ["A|a", "A|z"], "{limit}");
        assert_eq!(
            (rejects(&mut client)?, files(&mut client)?),
            (vec![], vec!["a.csv A 1".into(), "z.csv A 1".into()])
        );
    }
    for (limit, skipped) in [("4", 2), ("2%", 2), ("100%", 2)] {
        let answer =
            once(&db, &["load", folder.arg(), "--scope", A, "--max-rejects", limit, "--json"])?.exits(0)?.json()?;
        let told = about(&answer, "f.csv")?;
        assert_eq!(
            (&told["rows"], &told["rejected"], &answer["skipped"]),
            (&json!(196), &json!(4), &json!(skipped)),
            "{limit}"
        );
        assert_eq!(files(&mut client)?, ["a.csv A 1", "f.csv A 196", "z.csv A 1"]);
        let lines = [
            "f.csv:2 points=x 22P02",
            "f.csv:102 =f50,1,2 22P04",
            "f.csv:202 =f100,1,2,3 22P04",
            "f.csv:400 points=x 22P02",
        ];
        assert_eq!(rejects(&mut client)?, lines, "{limit}");
        client.batch_execute(
            "DELETE FROM codes_check_temp WHERE code LIKE 'f%'; DELETE FROM once.staged_files WHERE name = 'f.csv'",
        )?;
    }
    Ok(())
}

/// Bad rows at the ends of a file of several batches, beside each other, and alone among thousands of good ones.
#[test]
fn bad_rows_are_found_wherever_they_are() -> Result<()> {
    const ROWS: usize = 40_000;
    let (db, mut client) = install("wherever")?;
    let folder = Folder::new("wherever")?;
    let bad = [0, 1, 2, 777, 20_000, 20_001, 39_998, 39_999];
    let mut text = String::from("merchant_id,code,points,sku_name\n");
    for row in 0..ROWS {
        let points = if bad.contains(&row) { "bad" } else { "1" };
        let _ = writeln!(text, "{},C{row},{points},{:x<90}", if row % 4 == 0 { A } else { B }, "");
    }
    assert!(text.len() > 5 << 20);
    folder.file("f.csv", text)?;
    once(&db, &["load", folder.arg(), "--max-rejects", "8"])?.exits(0)?;
    let expected: Vec<_> = bad.iter().map(|row| format!("f.csv:{} points=bad 22P02", row + 2)).collect();
    assert_eq!(rejects(&mut client)?, expected);
    assert_eq!(staged_count(&mut client)?, (39_992, 39_992));
    // Of A: rows 0 and 20000; the others of B.
    assert_eq!(files(&mut client)?, ["f.csv A 9998", "f.csv B 29994"]);
    Ok(())
}

/// Where all rows are bad, the file is on record and not listed, so it is tried again and its rejects written anew.
#[test]
fn a_file_of_bad_rows_only_is_tried_again() -> Result<()> {
    let (db, mut client) = install("all_bad")?;
    let folder = Folder::new("all_bad")?;
    folder.file("f.csv", "merchant_id,code,points\nnobody,a,1\n,b,1\nnobody,c,2\n")?;
    for _ in 0..2 {
        let answer = once(&db, &["load", folder.arg(), "--max-rejects", "100%", "--json"])?.exits(0)?.json()?;
        assert_eq!((&answer["rows"], &answer["rejected"], &answer["skipped"]), (&json!(0), &json!(3), &json!(0)));
        let expected =
            ["f.csv:2 merchant_id=nobody 22P02", "f.csv:3 merchant_id= ", "f.csv:4 merchant_id=nobody 22P02"];
        assert_eq!(rejects(&mut client)?, expected);
        assert_eq!((staged(&mut client)?, files(&mut client)?), (vec![], vec![]));
    }
    Ok(())
}

/// A target without a scope counts its rows right, whatever stands in the first column of what is rejected.
#[test]
fn rows_are_rejected_for_a_target_without_scope() -> Result<()> {
    let (db, mut client) = install("no_scope")?;
    client.batch_execute("CREATE TABLE words (word text UNIQUE, n int NOT NULL DEFAULT 0, job uuid)")?;
    call(
        &mut client,
        r#"create_target('words', 'words', '{"key": ["word"], "columns": ["n"], "job_column": "job"}')"#,
        &[],
    )?;
    let staging = text(&mut client, "SELECT staging FROM once.target_list WHERE name = 'words'")?;
    let folder = Folder::new("no_scope")?;
    folder.file("w.csv", "word,n\na,1\nb,x\n,y\nc,3\n,4\n")?;
    let load = ["load", folder.arg(), "--target", "words", "--max-rejects", "2"];
    once(&db, &load)?.exits(0)?;
    let words = format!("SELECT coalesce(word, '-') || n FROM {staging}");
    assert_eq!(sorted(&mut client, &words)?, ["-4", "a1", "c3"]);
    assert_eq!(rejects(&mut client)?, ["w.csv:3 n=x 22P02", "w.csv:4 n=y 22P02"]);
    assert_eq!(texts(&mut client, "SELECT name || scope || rows FROM once.staged_files")?, ["w.csv3"]);
    let again = once(&db, &load)?.exits(0)?;
    assert!(again.out.contains("skipped  w.csv"), "{}", again.out);
    // Which one is meant has to be said where there are two.
    says(&once(&db, &["load", folder.arg()])?, 2, &["several targets", "--target NAME", "codes, words"]);
    says(&once(&db, &["load", folder.arg(), "--target", "none"])?, 2, &["no target \"none\"", "codes, words"]);
    Ok(())
}
