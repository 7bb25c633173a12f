//! Headers of mixed shape, and whose rows they are.

use anyhow::Result;
use once_tests::json;
use once_tests::once::{Folder, once};
use once_tests::promo::{install, text, texts};

use super::{A, B, about, files, says, staged};

const ROWS: &str = "SELECT concat_ws('|', code, coalesce(sku, '-'), coalesce(batch_code, '-'), coalesce(points::text, '-'), coalesce(serial, '-'))
                    FROM codes_check_temp ORDER BY code COLLATE \"C\"";

#[test]
fn headers_of_mixed_shape_fill_the_same_columns() -> Result<()> {
    let (db, mut client) = install("headers")?;
    let folder = Folder::new("headers")?;
    folder.file("1.csv", "code,sku,batch_id\nA1,s1,b1\n")?;
    folder.file("2.csv", "batch_code,sku,code\nb2,s2,A2\n")?;
    // Both names: the column's own is taken, the other is passed over and said.
    folder.file("3.csv", "batch_id,batch_code,code\nnot,b3,A3\n")?;
    folder.file("4.csv", "colour,points,code,Serial,shape\nred,7.50,A4,n4,round\n")?;
    folder.file("5.csv", "code\nA5\n")?;
    folder.file("6.csv", "\"Batch-Code\";\"CODE\"\nb6;A6\n")?;
    // What the database fills itself is no column of a file's.
    folder.file("7.csv", "code,row_number,internal_dup,created_at\nA7,99,true,2001-01-01\n")?;
    let answer = once(&db, &["load", folder.arg(), "--scope", A, "--json"])?.exits(0)?.json()?;
    let expected =
        ["A1|s1|b1|-|-", "A2|s2|b2|-|-", "A3|-|b3|-|-", "A4|-|-|7.50|n4", "A5|-|-|-|-", "A6|-|b6|-|-", "A7|-|-|-|-"];
    assert_eq!(texts(&mut client, ROWS)?, expected);
    assert_eq!(about(&answer, "3.csv")?["ignored_columns"], json!(["batch_id"]));
    assert_eq!(about(&answer, "4.csv")?["ignored_columns"], json!(["colour", "shape"]));
    assert_eq!(about(&answer, "7.csv")?["ignored_columns"], json!(["row_number", "internal_dup", "created_at"]));
    let own = "SELECT count(*)::text FROM codes_check_temp WHERE NOT internal_dup AND row_number < 10 AND created_at > '2020-01-01'";
    assert_eq!(text(&mut client, own)?, "7");
    // And for people.
    let said = once(&db, &["load", folder.arg(), "--scope", B])?.exits(0)?.out;
    assert!(said.contains("loaded   4.csv: 1 row; ignored colour, shape"), "{said}");
    Ok(())
}

#[test]
fn columns_are_read_by_other_names_on_request() -> Result<()> {
    let (db, mut client) = install("mapped")?;
    let folder = Folder::new("mapped")?;
    folder.file("a.csv", "code,item_no,sku\nA1,i1,s1\n")?;
    folder.file("b.csv", "Item No,voucher\ni2,A2\n")?;
    folder.file("c.csv", "code\nA3\n")?;
    let maps = ["--map", "sku=item_no", "--map", "code=voucher"];
    let some = once(&db, &[&["load", folder.arg(), "--scope", A][..], &maps[..2]].concat())?.exits(1)?;
    says(
        &some,
        1,
        &["failed   b.csv, line 1: the header has no column code", "It has Item No, voucher", "--map code=NAME"],
    );
    assert_eq!(texts(&mut client, ROWS)?, ["A1|i1|-|-|-", "A3|-|-|-|-"]);
    folder.file("a.csv", "voucher,item_no,sku\nA1b,i1,s1\n")?;
    folder.file("c.csv", "VOUCHER\nA3b\n")?;
    once(&db, &[&["load", folder.arg(), "--scope", A][..], &maps[..]].concat())?.exits(0)?;
    let expected = ["A1b|i1|-|-|-", "A1|i1|-|-|-", "A2|i2|-|-|-", "A3b|-|-|-|-", "A3|-|-|-|-"];
    let mut found = texts(&mut client, ROWS)?;
    found.sort_by_key(|row| expected.iter().position(|e| e == row));
    assert_eq!(found, expected);

    let unknown = once(&db, &["load", folder.arg(), "--scope", A, "--map", "skew=item_no"])?;
    says(&unknown, 2, &["--map skew=item_no", "has no column skew", "hint: Its columns are", "sku", "batch_code"]);
    assert_eq!(once(&db, &["load", folder.arg(), "--map", "sku"])?.exit, 2);
    Ok(())
}

#[test]
fn rows_are_of_the_merchant_that_the_file_says_or_else_the_user() -> Result<()> {
    let (db, mut client) = install("whose")?;
    let folder = Folder::new("whose")?;
    folder.file("both.csv", format!("merchant_id,code\n{A},a1\n{B},b1\n,none\n{A},a2\n"))?;
    folder.file("nobody.csv", "code\nn1\n")?;
    folder.file("own.csv", format!("code,merchant_id\no1,{B}\n"))?;
    // Every way to write a uuid is the same merchant.
    let (upper, braced) = (A.to_uppercase(), format!("{{{A}}}"));
    folder.file(
        "ways.csv",
        format!("merchant_id,code\n{upper},w1\n{braced},w2\n {A} ,w3\n{},w4\n", A.replace('-', "")),
    )?;

    let ran = once(&db, &["load", folder.arg()])?;
    says(&ran, 1, &["both.csv, line 4: column merchant_id: merchant_id is empty", "--scope"]);
    says(&ran, 1, &["nobody.csv, line 1: the header has no column merchant_id", "--scope", "--map merchant_id=NAME"]);
    assert_eq!(staged(&mut client)?, ["A|w1", "A|w2", "A|w3", "A|w4", "B|o1"]);
    assert_eq!(files(&mut client)?, ["own.csv B 1", "ways.csv A 4"]);

    // The user's word fills what is empty, and overrides nothing.
    once(&db, &["load", folder.arg(), "--scope", B])?.exits(0)?;
    let all = ["A|a1", "A|a2", "A|w1", "A|w2", "A|w3", "A|w4", "B|b1", "B|n1", "B|none", "B|o1"];
    assert_eq!(staged(&mut client)?, all);
    let listed = ["both.csv A 2", "both.csv B 2", "nobody.csv B 1", "own.csv B 1", "ways.csv A 4"];
    assert_eq!(files(&mut client)?, listed);
    let again = once(&db, &["load", folder.arg(), "--scope", B, "--json"])?.exits(0)?.json()?;
    assert_eq!((&again["skipped"], &again["rows"]), (&json!(4), &json!(0)));
    // For another merchant, what says whose it is stays, and what does not is new.
    once(&db, &["load", folder.arg(), "--scope", &upper])?.exits(0)?;
    assert_eq!(staged(&mut client)?.iter().filter(|row| ["A|n1", "B|n1", "A|none"].contains(&row.as_str())).count(), 2);

    let wrong = once(&db, &["load", folder.arg(), "--scope", "nobody", "--again"])?;
    says(&wrong, 1, &["invalid input syntax for type uuid: \"nobody\""]);
    Ok(())
}

/// Of a file that is staged for one of its merchants, the other's rows are loaded, each once.
#[test]
fn a_file_that_is_staged_for_one_merchant_loads_the_others() -> Result<()> {
    let (db, mut client) = install("partly")?;
    let folder = Folder::new("partly")?;
    let mut text = String::from("merchant_id,code,sku_name\n");
    for row in 0..9_000 {
        let merchant = if row % 3 == 0 {
            A.to_uppercase()
        } else if row % 3 == 1 {
            B.into()
        } else {
            format!("{{{B}}}")
        };
        text += &format!("{merchant},c{row},{:x<100}\n", "");
    }
    folder.file("both.csv", &text)?;
    once(&db, &["load", folder.arg()])?.exits(0)?;
    assert_eq!(files(&mut client)?, ["both.csv A 3000", "both.csv B 6000"]);
    for (cleared, kept, rows) in [(A, 6_000, 3_000), (B, 3_000, 6_000)] {
        once(&db, &["clear", cleared, "--yes"])?.exits(0)?;
        let answer = once(&db, &["load", folder.arg(), "--json"])?.exits(0)?.json()?;
        let told = about(&answer, "both.csv")?;
        assert_eq!((&told["rows"], &told["staged_before"]), (&json!(rows), &json!(kept)), "{told}");
        assert_eq!(files(&mut client)?, ["both.csv A 3000", "both.csv B 6000"]);
        assert_eq!(super::staged_count(&mut client)?, (9_000, 9_000));
    }
    Ok(())
}
