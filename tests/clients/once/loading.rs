//! Files in every shape that loads: all of their rows arrive, as they are, and are known by their lines.

use std::fs;

use anyhow::Result;
use once_tests::json;
use once_tests::once::{Folder, once};
use once_tests::postgres::Client;
use once_tests::promo::{install, texts};

use super::{A, about, rejects, sorted, staged, staged_count};

fn utf16(mark: u16, text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    [mark].into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
}

/// What is staged as `code=sku`; NULL is `-`.
fn cells(client: &mut Client) -> Result<Vec<String>> {
    sorted(client, "SELECT concat(coalesce(code, '-'), '=', coalesce(sku, '-')) FROM codes_check_temp")
}

/// Name, content, its rows as `code=sku`, blank rows.
type Good = (&'static str, Vec<u8>, Vec<&'static str>, u64);

fn good_files() -> Vec<Good> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("mark.csv", text("\u{feff}code,sku\nM1,é\n"), vec!["M1=é"], 0),
        ("mark_quoted.csv", text("\u{feff}\"code\",sku\nM2,ü\n"), vec!["M2=ü"], 0),
        (
            "wide_le.csv",
            utf16(0xfeff, "code,sku\r\nL1,日本\r\nL2,😀\r\n", u16::to_le_bytes),
            vec!["L1=日本", "L2=😀"],
            0,
        ),
        // U+0A0D and U+0D0A hold the bytes of line ends.
        (
            "wide_be.csv",
            utf16(0xfeff, "code;sku\nW1;\u{0a0d}\u{0d0a}x\nW2;", u16::to_be_bytes),
            vec!["W1=\u{a0d}\u{d0a}x", "W2=-"],
            0,
        ),
        ("crlf.csv", text("code,sku\r\nR1,a\r\n\r\nR2,b\r\n"), vec!["R1=a", "R2=b"], 1),
        ("cr.csv", text("code,sku\rQ1,a\r\rQ2,b\r\r"), vec!["Q1=a", "Q2=b"], 2),
        ("mixed_ends.csv", text("code,sku\r\nX1,a\nX2,b\rX3,c"), vec!["X1=a", "X2=b", "X3=c"], 0),
        (
            "lines.csv",
            text("code,sku\nN1,\"two\nlines\"\nN2,\"\r\n\"\nN3,\"a\rb\"\n"),
            vec!["N1=two\nlines", "N2=\r\n", "N3=a\rb"],
            0,
        ),
        (
            "quotes.csv",
            text("code,sku\nG1,\"12\"\" pipe\"\nG2,5\" x\n\"G3\",\"a,b\"\n"),
            vec!["G1=12\" pipe", "G2=5\" x", "G3=a,b"],
            0,
        ),
        // What COPY itself would take for its end, for NULL, or for escapes.
        (
            "copy.csv",
            text("code,sku\n\\.,E1\nE2,\\N\nE3,a\\tb\\\\\nE4,\"a\tb\"\nE5,\\x41\n\\N,E6\n"),
            vec!["E2=\\N", "E3=a\\tb\\\\", "E4=a\tb", "E5=\\x41", "\\.=E1", "\\N=E6"],
            0,
        ),
        ("dot_alone.csv", text("code\nd1\n\\.\nd2\n"), vec!["\\.=-", "d1=-", "d2=-"], 0),
        ("semicolon.csv", text("code;sku\nS1;a,b\n"), vec!["S1=a,b"], 0),
        ("tab.tsv", text("code\tsku\nT1\ta;b,c\n"), vec!["T1=a;b,c"], 0),
        ("pipe.csv", text("code|sku\nP1|a\n"), vec!["P1=a"], 0),
        ("upper.CSV", text("code\nU1\n"), vec!["U1=-"], 0),
        ("header.csv", text("code,sku\n"), vec![], 0),
        ("header_alone.csv", text("code,sku"), vec![], 0),
        // Cells too many that are empty, as spreadsheets leave them; blank rows of every kind.
        ("wide.csv", text("code,sku\nB1,a,,\n\n , \n,\n\t\nB2,b, \n,,,\n\n"), vec!["B1=a", "B2=b"], 6),
        ("unnamed.csv", text("code,,sku,\nO1,x,a,y\n"), vec!["O1=a"], 0),
        ("twice.csv", text("code,x,sku,x\nK1,1,a,2\n"), vec!["K1=a"], 0),
        ("exact.csv", text("Code,code,sku\nH1,H2,a\n"), vec!["H2=a"], 0),
        ("blanks.csv", text(" code , SKU \n J1 ,a b \n"), vec![" J1 =a b "], 0),
        ("\u{fc}ml 'aut.csv", text("\n\ncode,sku\nV1,a\n"), vec!["V1=a"], 0),
    ]
}

#[test]
fn every_row_arrives_as_it_is() -> Result<()> {
    let (db, mut client) = install("good")?;
    let folder = Folder::new("good")?;
    let good = good_files();
    for (name, content, ..) in &good {
        folder.file(name, content)?;
    }
    let ran = once(&db, &["load", folder.arg(), "--scope", A, "--json"])?.exits(0)?;
    assert_eq!(ran.err, "");
    let answer = ran.json()?;
    let mut all: Vec<String> = good.iter().flat_map(|(_, _, rows, _)| rows.iter().map(|row| row.to_string())).collect();
    all.sort();
    assert_eq!(cells(&mut client)?, all);
    let checked = once(&db, &["check", folder.arg(), "--json"])?.exits(0)?.json()?;
    for (name, _, rows, blank) in &good {
        let told = about(&answer, name)?;
        assert_eq!((&told["rows"], &told["blank"]), (&json!(rows.len()), &json!(blank)), "{name}: {told}");
        let told = about(&checked, name)?;
        assert_eq!((&told["rows"], &told["blank"]), (&json!(rows.len()), &json!(blank)), "{name}: {told}");
    }
    assert_eq!(
        (&answer["rows"], &answer["blank"], &answer["loaded"]),
        (&json!(all.len()), &json!(9), &json!(good.len()))
    );
    Ok(())
}

#[test]
fn what_is_not_told_by_the_file_can_be_said() -> Result<()> {
    let (db, mut client) = install("said")?;
    let load = |files: &[(&str, Vec<u8>)], options: &[&str]| -> Result<String> {
        let folder = Folder::new("said")?;
        files.iter().try_for_each(|(name, content)| folder.file(name, content).map(drop))?;
        let arguments = [&["load", folder.arg(), "--scope", A], options].concat();
        Ok(once(&db, &arguments)?.exits(0)?.out)
    };
    load(&[("latin1.csv", b"code,sku\nL,gr\xfcn\n".into())], &["--encoding", "latin1"])?;
    load(&[("le.csv", b"c\0o\0d\0e\0\n\0W\0\n\0\xfc\0".into())], &["--encoding", "utf-16le"])?;
    load(&[("be.csv", b"\0c\0o\0d\0e\0\n\0X".into())], &["--encoding", "utf-16be"])?;
    // A mark in the file tells more than the option does.
    load(&[("marked.csv", "\u{feff}code,sku\nM,ü\n".into())], &["--encoding", "latin1"])?;
    load(&[("hash.csv", b"code#sku\nH#a,b\n".into())], &["--delimiter", "#"])?;
    load(&[("tie.csv", b"code;sku,x\nT;a,b\n".into())], &["--delimiter", ";"])?;
    load(&[("tab.csv", b"code\tsku,a;b,c;d\nB\tx\n".into())], &["--delimiter", "tab"])?;
    assert_eq!(cells(&mut client)?, ["B=-", "H=a,b", "L=grün", "M=ü", "T=-", "W=-", "X=-", "ü=-"]);
    for (option, wrong) in [("--delimiter", "ab"), ("--delimiter", "\""), ("--encoding", "klingon"), ("--jobs", "0")] {
        assert_eq!(once(&db, &["load", "/tmp", option, wrong])?.exit, 2, "{option} {wrong}");
    }
    Ok(())
}

/// The lines of rows after quoted line ends, blank rows and a mark, told by what is rejected there.
#[test]
fn a_row_is_known_by_the_line_in_which_it_begins() -> Result<()> {
    let (db, mut client) = install("lines")?;
    let folder = Folder::new("lines")?;
    // `!` is rejected by the database, three cells by the reader; blanks around a number are none of its faults.
    let text = "\n\ncode,points\nA,1\n\nB,!\n\"C\nC\",\"!\"\n\n\nD,\"1\n\n\"\nE,!\nF,\"a\",\"\nb\"\nG,!";
    let lines = ["6 points=! 22P02", "7 points=! 22P02", "14 points=! 22P02", "15 =F,a,%b 22P04", "17 points=! 22P02"];
    let mut expected = Vec::new();
    for (name, line_end) in [("cr.csv", "\r"), ("crlf.csv", "\r\n"), ("lf.csv", "\n")] {
        folder.file(name, text.replace('\n', line_end))?;
        expected.extend(lines.map(|line| format!("{name}:{}", line.replace('%', line_end))));
    }
    // In files of several batches, too.
    let mut long = String::from("\u{feff}code,sku_name,points\r\n");
    for row in 0..3_000 {
        long += &format!("Z{row},\"{:x<1000}\r\nx\",{}\r\n\r\n", "", if row % 500 == 499 { "!" } else { "1" });
    }
    folder.file("long.csv", &long)?;
    expected.extend((1..=6).map(|n| format!("long.csv:{} points=! 22P02", 2 + (n * 500 - 1) * 3)));
    // The halves of one line end in two cells are two.
    folder.file("parted.csv", "code,sku,points\nA,\"x\r\",\"\n1\"\nB,\"\r\",\"!\"\nC,,!\n")?;
    expected.extend(["parted.csv:5 points=! 22P02", "parted.csv:7 points=! 22P02"].map(String::from));
    let answer = once(&db, &["load", folder.arg(), "--scope", A, "--max-rejects", "10", "--json"])?.exits(0)?.json()?;
    expected.sort_by_key(|reject| {
        let (name, rest) = reject.split_once(':').unwrap_or_default();
        (name.to_owned(), rest.split(' ').next().and_then(|line| line.parse::<u64>().ok()))
    });
    assert_eq!(rejects(&mut client)?, expected);
    for (name, blank) in [("cr.csv", 3), ("crlf.csv", 3), ("lf.csv", 3), ("long.csv", 3_000), ("parted.csv", 0)] {
        assert_eq!(about(&answer, name)?["blank"], blank, "{name}");
    }
    Ok(())
}

#[test]
fn cells_of_a_megabyte_and_files_of_many_batches_arrive_whole() -> Result<()> {
    let (db, mut client) = install("large")?;
    let folder = Folder::new("large")?;
    let mut text = String::from("code,sku\n");
    for row in 0..6 {
        // Every kind of byte that is escaped, across the pieces in which a batch is sent.
        text += &format!("big{row},\"{}{row}\"\n", "\\\t\n\r€".repeat(150_000));
    }
    folder.file("big.csv", &text)?;
    folder.file("many.csv", super::many(30_000, 150))?;
    once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
    assert_eq!(staged_count(&mut client)?, (30_006, 30_006));
    let intact =
        "SELECT (SELECT count(*) FROM codes_check_temp WHERE length(sku) = 750001 AND right(sku, 1) = right(code, 1)
                             AND replace(sku, E'\\\\\\t\\n\\r€', '') = right(code, 1)) || ' '
                      || (SELECT count(*) FROM codes_check_temp c JOIN generate_series(0, 29999) n
                          ON c.code = 'C' || lpad(n::text, 6, '0') AND sku_name = repeat('x', 150))";
    assert_eq!(texts(&mut client, intact)?, ["6 30000"]);
    Ok(())
}

/// A file of no row is loaded, and so is one whose name is not text.
#[test]
fn names_are_shown_without_harm() -> Result<()> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let (db, mut client) = install("names")?;
    let folder = Folder::new("names")?;
    for (name, code) in [(&b"\xff.csv"[..], "raw"), (b"a\x1b[2J.csv", "escape"), (b"-x.csv", "dash")] {
        fs::write(folder.path().join(OsStr::from_bytes(name)), format!("code\n{code}\n"))?;
    }
    let ran = once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
    assert_eq!(staged(&mut client)?, ["A|dash", "A|escape", "A|raw"]);
    let again = once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
    assert!(again.out.contains("0 of 3 files loaded, 3 skipped"), "{}", again.out);
    Ok(())
}

/// A target of documents beside it takes no files: there is no asking which one is meant.
#[test]
fn the_target_is_the_only_one_that_rows_go_into() -> Result<()> {
    let (db, mut client) = install("beside")?;
    client.batch_execute("SELECT once.install_kit('workouts', 'public')")?;
    let folder = Folder::new("beside")?;
    folder.file("one.csv", "code\none\n")?;
    once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
    assert_eq!(staged(&mut client)?, ["A|one"]);
    super::says(&once(&db, &["load", folder.arg(), "--scope", A, "--target", "imports"])?, 2, &["imports", "codes"]);
    Ok(())
}
