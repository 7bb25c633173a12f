//! Rows that go as COPY's binary format: the same values as psql's `\copy` stages, and the same rejects as of text.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;

use anyhow::{Context, Result, ensure};
use once_tests::once::{Folder, once, start};
use once_tests::postgres::Client;
use once_tests::promo::{call, install, text, texts};

use super::{A, build_gate, close_gate, open_gate, rejects, sorted, staged_count, until_waiting};

/// A target `things` without scope, of each type that goes in binary and of one that does not.
const THINGS: &str =
    "CREATE TABLE things (name text UNIQUE, u uuid, n numeric, money numeric(12,2), i2 smallint, i4 int, i8 bigint,
     b boolean, v varchar(5), c char(5), t text, at timestamptz, job uuid)";
const COLUMNS: &str = "name,u,n,money,i2,i4,i8,b,v,c,t";

/// Declares the target; gives its staging table, which from now on tells of each row which COPY brought it.
fn declare(client: &mut Client) -> Result<String> {
    client.batch_execute(THINGS)?;
    let columns: Vec<String> = COLUMNS.split(',').skip(1).chain(["at"]).map(|name| format!("{name:?}")).collect();
    let spec = format!(r#"{{"key": ["name"], "columns": [{}], "job_column": "job"}}"#, columns.join(", "));
    call(client, &format!("create_target('things', 'things', '{spec}')"), &[])?;
    let staging = text(client, "SELECT staging FROM once.target_list WHERE name = 'things'")?;
    watch(client, &staging, "name")?;
    Ok(staging)
}

fn watch(client: &mut Client, staging: &str, name: &str) -> Result<()> {
    Ok(client.batch_execute(&format!(
        "CREATE TABLE ways (name text, way text);
         CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
           INSERT INTO ways VALUES (NEW.{name}, CASE WHEN current_query() ~ 'FORMAT binary' THEN 'binary' ELSE 'text' END);
           RETURN NEW;
         END$$;
         CREATE TRIGGER watch BEFORE INSERT ON {staging} FOR EACH ROW EXECUTE FUNCTION watch();"
    ))?)
}

/// Cells of a column, as they stand in a file: those that go in binary, and those that only Postgres can read.
fn cells() -> Vec<(&'static str, Vec<String>, Vec<String>)> {
    let own = |cells: &[&str]| cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>();
    let u = "0b9f6c1e-4f0a-4d58-9c36-5a1d2e7f8aFF";
    let plain = [
        "0",
        "-0",
        "-0.00",
        "0.00",
        "1.50",
        "-1.50",
        "+1.5",
        "007",
        "10000",
        "1.00000",
        "100000000.00010000",
        "0.00001",
        "-9999.9999",
        "99999999999999999999.999999999999999999",
    ];
    let odd = [
        " 1.5",
        "1.5 ",
        "1e3",
        "-1.50E-2",
        "NaN",
        "Infinity",
        ".5",
        "5.",
        "\"\t7\"",
        "1234567890123456789012345678901234567890.5",
    ];
    let money = ["1.005", "-1.005", "2", "0.994999", "-0.001", "9999999999.99"];
    let long = "é\"\"\\".repeat(200_000);
    let texts = [
        "אבג",
        "a\\tb\\\\",
        "\\N",
        "\\.",
        "\"a\tb\"",
        "\"two\nlines\r\n\"",
        "\"12\"\" pipe\"",
        " blanks ",
        "\"\\\n\"",
        "😀",
        &format!("\"{long}\""),
    ];
    vec![
        ("u", vec![u.into(), u.to_lowercase(), u.to_uppercase()], vec![u.replace('-', ""), format!("{{{u}}}")]),
        ("n", own(&plain), own(&odd)),
        ("money", own(&money), own(&["1e1", " 7"])),
        ("i2", own(&["-32768", "32767", "+1", "007", "-0"]), own(&[" 1", "1 "])),
        ("i4", own(&["-2147483648", "2147483647"]), own(&[" 1"])),
        ("i8", own(&["-9223372036854775808", "9223372036854775807"]), own(&["1 "])),
        ("b", own(&["t", "f", "true", "false"]), own(&["TRUE", "yes", "0", " off "])),
        ("v", own(&["12345", "12   ", "é     ", "     ", "אבגדה"]), vec![]),
        ("c", own(&["1", "12345", "12   ", "é      "]), vec![]),
        ("t", own(&texts), vec![]),
    ]
}

#[test]
fn each_value_is_the_one_that_copy_of_the_file_stages() -> Result<()> {
    let (db, mut client) = install("binary")?;
    let staging = declare(&mut client)?;
    client.batch_execute(&format!("CREATE TABLE twin (LIKE {staging} INCLUDING DEFAULTS INCLUDING IDENTITY)"))?;
    let folder = Folder::new("binary")?;
    // A file a column, and for each odd cell one in which it stands beside all the plain ones.
    let (mut plain, mut odd) = (0, 0);
    for (column, good, bad) in cells() {
        for (file, last) in std::iter::once(None).chain(bad.iter().map(Some)).enumerate() {
            let mut csv = format!("name,{column}\n{column}{file}_null,\n");
            for (row, cell) in good.iter().chain(last).enumerate() {
                writeln!(csv, "{column}{file}_{row},{cell}")?;
            }
            let rows = good.len() + 1;
            if last.is_some() {
                odd += rows + 1
            } else {
                plain += rows
            }
            let name = format!("{column}{file}.csv");
            folder.file(&name, &csv)?;
            let mut copy = client.copy_in(&format!("COPY twin (name, {column}) FROM STDIN (FORMAT csv, HEADER)"))?;
            copy.write_all(csv.as_bytes()).and_then(|()| copy.flush())?;
            copy.finish().with_context(|| name)?;
        }
    }
    once(&db, &["load", folder.arg(), "--target", "things"])?.exits(0)?;
    let ways = texts(&mut client, "SELECT way || ' ' || count(*) FROM ways GROUP BY way ORDER BY way")?;
    assert_eq!(ways, [format!("binary {plain}"), format!("text {odd}")]);
    // Byte by byte as they are stored: 1.50 is not 1.5 here.
    let differing = format!(
        "SELECT concat(x, ' is not ', y) FROM (SELECT {COLUMNS} FROM {staging}) x FULL JOIN (SELECT {COLUMNS} FROM twin) y USING (name)
         WHERE (x *= y) IS NOT TRUE"
    );
    assert_eq!(texts(&mut client, &differing)?, Vec::<String>::new());
    let images =
        format!("SELECT concat(name, ' ', n::text) FROM {staging} WHERE name IN ('n0_1', 'n0_2', 'n0_4', 'n0_7')");
    assert_eq!(sorted(&mut client, &images)?, ["n0_1 0", "n0_2 0.00", "n0_4 1.50", "n0_7 7"]);
    Ok(())
}

/// Types that the session's settings have a say in, and domains.
#[test]
fn what_has_other_types_goes_as_text() -> Result<()> {
    let (db, mut client) = install("other_types")?;
    let staging = declare(&mut client)?;
    client.batch_execute(&format!(
        "CREATE DOMAIN short AS text CHECK (length(value) < 4); ALTER TABLE {staging} ALTER v TYPE short"
    ))?;
    let folder = Folder::new("other_types")?;
    folder.file("at.csv", "name,at\na,2026-01-02 03:04:05+00\n")?;
    folder.file("domain.csv", "name,v\nd,x\n")?;
    folder.file("text.csv", "name,t\nt,x\n")?;
    once(&db, &["load", folder.arg(), "--target", "things"])?.exits(0)?;
    assert_eq!(sorted(&mut client, "SELECT concat(name, ' ', way) FROM ways")?, ["a text", "d text", "t binary"]);
    Ok(())
}

/// Each cell can be encoded; the database refuses what stands in it.
#[test]
fn bad_rows_of_a_batch_in_binary_are_known_as_those_of_text() -> Result<()> {
    let (db, mut client) = install("binary_rejects")?;
    client.batch_execute(
        "ALTER TABLE codes_check_temp ADD CONSTRAINT short CHECK (length(code) < 10), ALTER sku TYPE varchar(3),
           ALTER points TYPE numeric(4,1)",
    )?;
    watch(&mut client, "codes_check_temp", "code")?;
    let folder = Folder::new("binary_rejects")?;
    let upper = A.to_uppercase();
    let mut csv = String::from("merchant_id,code,sku,points,sku_name\n");
    for row in 0..9_000 {
        let (code, sku, points) = match row {
            8_000 => ("too_long_a_code", "s", "1"),
            8_001 => ("x", "four", "1"),
            8_500 => ("x", "s", "+01000.0"),
            8_999 => ("x", "s", "999.95"),
            _ => ("", "s", "1.50"),
        };
        let code = if code.is_empty() { format!("C{row}") } else { code.into() };
        writeln!(csv, "{upper},{code},{sku},{points},{:x<50}", "")?;
    }
    folder.file("f.csv", csv)?;
    once(&db, &["load", folder.arg(), "--max-rejects", "4"])?.exits(0)?;
    assert_eq!(
        rejects(&mut client)?,
        [
            "f.csv:8002 = 23514",
            "f.csv:8003 sku=four 22001",
            "f.csv:8502 points=+01000.0 22003",
            "f.csv:9001 points=999.95 22003"
        ]
    );
    assert_eq!(staged_count(&mut client)?, (8_996, 8_996));
    // As many as the rows, and of the scope as the file writes it, the rejected ones are taken off.
    assert_eq!(texts(&mut client, "SELECT scope || ' ' || rows FROM once.staged_files")?, [format!("{A} 8996")]);
    let ways = "SELECT string_agg(DISTINCT way, ' ' ORDER BY way), count(*) FILTER (WHERE way = 'text') BETWEEN 996 AND 4000 FROM ways";
    let row = client.query_one(ways, &[])?;
    assert_eq!((row.try_get(0)?, row.try_get(1)?), ("binary text", true));
    let order =
        "SELECT count(*)::text FROM (SELECT row_number - lag(row_number) OVER (ORDER BY substr(code, 2)::int) AS step
                 FROM codes_check_temp) s WHERE step <= 0";
    assert_eq!(text(&mut client, order)?, "0");
    Ok(())
}

/// Rows that were encoded before a type was altered are not taken for values of the new one.
#[test]
fn a_type_that_is_altered_between_files_changes_no_value() -> Result<()> {
    let (db, mut client) = install("altered")?;
    // A target's tables have the same types.
    let alter = |to: &str| {
        format!("ALTER TABLE codes_check_temp ALTER points TYPE {to}; ALTER TABLE codes ALTER points TYPE {to}")
    };
    client.batch_execute(&alter("bigint"))?;
    watch(&mut client, "codes_check_temp", "code")?;
    build_gate(&mut client)?;
    let folder = Folder::new("altered")?;
    folder.file("a.csv", "code,points\nSTOP,7\n")?;
    folder.file("b.csv", "code,points\nb,7\n")?;
    let mut keeper = db.client()?;
    close_gate(&mut keeper)?;
    let running = start(&db, &["load", folder.arg(), "--scope", A])?;
    until_waiting(&mut keeper, 1)?;
    thread::scope(|threads| -> Result<()> {
        // It waits for the first file, and the second one for it.
        let altered = threads.spawn(|| client.batch_execute(&alter("float8")));
        until_waiting(&mut keeper, 2)?;
        open_gate(&mut keeper)?;
        altered.join().ok().context("it broke down")??;
        Ok(())
    })?;
    ensure!(running.wait()?.exit == 0, "the load failed");
    assert_eq!(sorted(&mut keeper, "SELECT concat(code, '=', points) FROM codes_check_temp")?, ["STOP=7", "b=7"]);
    assert_eq!(sorted(&mut keeper, "SELECT concat(name, ' ', way) FROM ways")?, ["STOP binary", "b text"]);
    Ok(())
}
