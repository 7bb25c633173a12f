//! CSV and Excel files as people save them.

use anyhow::Result;
use once_tests::once::{Folder, once};
use once_tests::{Db, json};
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};

use super::{feed, leads, says};

fn run(db: &Db, more: &[&str]) -> Result<once_tests::once::Ran> {
    once(db, &[&["feed", "run", "sheet"], more].concat())
}

#[test]
fn a_csv_file_is_read_as_once_load_does() -> Result<()> {
    let db = feed("csv")?;
    let folder = Folder::new("csv")?;
    let path = |name: &str, content: &[u8]| -> Result<String> { Ok(folder.file(name, content)?.display().to_string()) };
    let excel = "\u{feff}id;full_name;phone_number;note;;email\r\n\
                 L1;Ana;+60 12-345 6701;\"Tan; \"\"Ah\r\nKow\"\"\";;a@example.com\r\n\r\n;;;\r\n\
                 ;Nobody;012-345 6709\r\nL2;Bo;012-345 6702\r\nL3;Cy;(012) 3456703;;;;x\r\n";
    let excel = path("excel.csv", excel.as_bytes())?;
    let ran = run(&db, &["--csv", &excel, "--json"])?;
    says(&ran, 0, &[]);
    let answer = ran.json()?;
    assert_eq!((&answer["status"], &answer["inserted"]), (&json!("partial"), &json!(3)), "{answer}");
    // The file's sixth line: a cell has a line end in it, and two rows before are blank.
    assert_eq!((&answer["errors"][0]["row"], &answer["errors"][0]["source_row"]), (&json!(2), &json!(6)));
    assert_eq!(leads(&db)?, ["L1 Ana a@example.com", "L2 Bo", "L3 Cy"]);
    let extra =
        "SELECT coalesce(extra ->> 'note', '-'), coalesce(extra ->> 'G', '-') FROM leads ORDER BY external_lead_id";
    assert_eq!(db.psql(extra)?.replace("\r\n", "\n").trim(), "Tan; \"Ah\nKow\"|-\n-|-\n-|x");
    says(&run(&db, &["--csv", &excel])?, 0, &["4 rows, 0 new", "1 rejected", "line", "  6 ┆"]);

    let latin = path("latin.csv", b"id,full_name,phone_number\nL4,M\xfcller,p:+60123456704\n")?;
    let ran = run(&db, &["--csv", &latin])?;
    says(&ran, 1, &["latin.csv, line 2: byte 0xfc is not UTF-8", "--encoding"]);
    says(&run(&db, &["--csv", &latin, "--encoding", "latin1"])?, 0, &["1 inserted"]);
    let wide: Vec<u8> = "\u{feff}id\tfull_name\tphone_number\nL5\tLi 李\t60123456705\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    says(&run(&db, &["--csv", &path("wide.csv", &wide)?])?, 0, &["1 inserted"]);
    assert_eq!(leads(&db)?.split_off(leads(&db)?.len() - 2), ["L4 Müller", "L5 Li 李"]);

    for (name, content, exit, words) in [
        ("empty.csv", &b""[..], 0, "0 rows"),
        ("header.csv", b"id,email\n", 0, "0 rows"),
        (
            "twice.csv",
            b"id,email, id\n1,2,3\n",
            1,
            "twice.csv, line 1: the header has a name twice: \"id\" in columns A and C",
        ),
        ("quote.csv", b"id,email\n\"1,2\n", 1, "a quote is opened and never closed"),
    ] {
        says(&run(&db, &["--csv", &path(name, content)?])?, exit, &[words]);
    }
    says(&run(&db, &["--csv", "/no/such.csv"])?, 1, &["such.csv: can't be read", "hint: "]);
    says(&run(&db, &["--csv", &excel, "--xlsx", &excel])?, 2, &["cannot be used with"]);
    says(&run(&db, &["--worksheet", "A"])?, 2, &["--xlsx"]);
    says(&once(&db, &["feed", "run", "other", "--csv", &excel])?, 3, &["other", "42704"]);
    Ok(())
}

/// A workbook with a worksheet of every kind of value, from C4 on, and another one.
fn workbook(folder: &Folder) -> Result<String> {
    let mut workbook = Workbook::new();
    workbook.add_worksheet().set_name("Notes")?.write(0, 0, "id")?;
    let sheet = workbook.add_worksheet().set_name("Payments")?;
    let shown = |pattern: &str| Format::new().set_num_format(pattern);
    let (day, time) = (ExcelDateTime::from_ymd(2026, 3, 1)?, ExcelDateTime::from_hms(13, 45, 30)?);
    let names = ["id", "day", "seen", "clock", "span", "paid", "amount", "big", "note", "broken"];
    for (column, name) in (2..).zip(names) {
        sheet.write(3, column, name)?;
    }
    sheet.write(4, 2, "0012345678901234567890")?;
    sheet.write_with_format(4, 3, &day, &shown("yyyy-mm-dd"))?;
    sheet.write_with_format(4, 4, &day.and_hms(13, 45, 30)?, &shown("dd/mm/yyyy hh:mm:ss"))?;
    sheet.write_with_format(4, 5, &time, &shown("hh:mm:ss"))?;
    sheet.write_with_format(4, 6, 26.5 / 24.0, &shown("[h]:mm:ss"))?;
    sheet.write(4, 7, true)?;
    sheet.write(4, 8, 12.5)?;
    sheet.write(4, 9, 60_123_456_789_012_f64)?;
    sheet.write(4, 10, 7)?;
    sheet.write(4, 11, Formula::new("=1/0").set_result("#DIV/0!"))?;
    // Row 6 is blank; row 7 has no id; row 8 has a cell beyond the header, in column M.
    sheet.write(6, 10, "nobody's")?;
    sheet.write(7, 2, "P2")?;
    sheet.write(7, 12, "beyond")?;
    let path = folder.path().join("book.xlsx");
    workbook.save(&path)?;
    Ok(path.display().to_string())
}

#[test]
fn an_excel_file_is_what_excel_computed() -> Result<()> {
    let db = Db::new("xlsx")?;
    db.psql(
        "CREATE TABLE payments (id text PRIMARY KEY, day date, seen timestamp, clock time, span interval, paid boolean,
           amount numeric, big bigint, note text, broken text, \"M\" text);
         SELECT once.create_target('payments', 'payments', '{\"match\": [[\"id\"]]}'), once.create_feed('sheet', 'payments', '{}')",
    )?;
    let folder = Folder::new("xlsx")?;
    let book = workbook(&folder)?;
    let ran = run(&db, &["--xlsx", &book, "--worksheet", "Payments", "--json"])?;
    says(&ran, 0, &[]);
    let answer = ran.json()?;
    assert_eq!((&answer["inserted"], &answer["errors"][0]["source_row"]), (&json!(2), &json!(7)), "{answer}");
    assert_eq!(
        db.psql("SELECT p FROM payments p ORDER BY id")?.lines().collect::<Vec<_>>(),
        [
            "(0012345678901234567890,2026-03-01,\"2026-03-01 13:45:30\",13:45:30,26:30:00,t,12.5,60123456789012,7,,)",
            "(P2,,,,,,,,,,beyond)"
        ]
    );
    // The first worksheet has a header only.
    says(&run(&db, &["--xlsx", &book])?, 0, &["0 rows"]);
    says(&run(&db, &["--xlsx", &book, "--worksheet", "March"])?, 1, &["no worksheet \"March\"", "Notes, Payments"]);
    let text = folder.file("text.xlsx", "id,email\n")?.display().to_string();
    says(&run(&db, &["--xlsx", &text])?, 1, &["text.xlsx: it can't be read as an Excel file", "hint: "]);
    Ok(())
}

/// One run at a time: the second one is told, and is no failure.
#[test]
fn a_run_that_fails_is_one_and_a_run_beside_another_is_not() -> Result<()> {
    let db = feed("beside")?;
    let folder = Folder::new("beside")?;
    let csv = folder.file("a.csv", "id,full_name,phone_number\nL1,Ana,012-345 6701\n")?.display().to_string();
    let mut client = db.client()?;
    let mut other = client.transaction()?;
    let row = r#"[{"id": "L0", "full_name": "Zoe", "phone_number": "+60123456700"}]"#;
    other.execute(&format!("SELECT once.run_feed('sheet', '{row}')"), &[])?;
    let ran = run(&db, &["--csv", &csv])?;
    says(&ran, 0, &["sheet was skipped: already running"]);
    assert_eq!(run(&db, &["--csv", &csv, "--json"])?.exits(0)?.json()?["status"], "skipped");
    other.rollback()?;

    // What a run that failed as a whole answers, whatever may make it fail.
    db.psql(
        "CREATE OR REPLACE FUNCTION once.run_feed(feed text, rows jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS
         $$SELECT '{\"success\": false, \"run_id\": null, \"status\": \"error\", \"message\": \"not today\",
            \"sqlstate\": \"P0001\", \"errors\": []}'::jsonb$$",
    )?;
    says(&run(&db, &["--csv", &csv])?, 1, &["once: not today (SQLSTATE P0001)"]);
    let ran = run(&db, &["--csv", &csv, "--json"])?.exits(1)?;
    assert_eq!((&ran.json()?["success"], &ran.json()?["sqlstate"]), (&json!(false), &json!("P0001")));
    Ok(())
}
