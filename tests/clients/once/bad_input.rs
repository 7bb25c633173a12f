//! Files that can't be loaded: each is named with its line, what is wrong and what to do, and the others stay.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use anyhow::{Context, Result};
use once_tests::once::{Folder, once, run, start, unprivileged};
use once_tests::promo::{install, text};

use super::{A, about, build_gate, close_gate, files, many, open_gate, says, staged, staged_count, until_waiting};

/// Name, content, line, what is wrong, what to do.
type Bad = (&'static str, Vec<u8>, u64, &'static str, &'static str);

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn bad_files() -> Vec<Bad> {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut unclosed = many(9_000, 100);
    unclosed.insert(unclosed.find("C000100").unwrap_or(0), '"');
    vec![
        ("empty.csv", vec![], 1, "the file is empty", "name the columns"),
        ("only_mark.csv", text("\u{feff}"), 1, "the file is empty", "name the columns"),
        ("only_blank.csv", text("\n\r\n\n"), 1, "the file is empty", "name the columns"),
        ("nameless.csv", text("\n,,\nA,1,2\n"), 2, "names no column", "name the columns"),
        ("wide_le.csv", utf16("code\nA\nB\n", u16::to_le_bytes), 1, "UTF-16 without", "--encoding utf-16le"),
        ("wide_be.csv", utf16("code\nA\nB\n", u16::to_be_bytes), 1, "UTF-16 without", "utf-16be"),
        ("latin1.csv", b"code,sku\nA,gr\xfcn\n".into(), 2, "column sku: byte 0xfc is not UTF-8", "--encoding latin1"),
        ("latin1_header.csv", b"code,gr\xfcn\nA,1\n".into(), 1, "byte 0xfc is not UTF-8", "--encoding latin1"),
        (
            "half.csv",
            b"\xff\xfec\0o\0d\0e\0\n\0A\0\n\0B".into(),
            3,
            "column code: a character that is not UTF-16LE",
            "Mend it",
        ),
        (
            "unclosed.csv",
            text("code,sku\nA,1\nB,\"2\nC,3\n"),
            3,
            "a quote is opened and never closed",
            "Close the quote",
        ),
        (
            "unclosed_cr.csv",
            text("code,sku\rA,1\r\rB,\"2\rC,3\r"),
            4,
            "a quote is opened and never closed",
            "Close the quote",
        ),
        ("unclosed_last.csv", text("code,sku\nA,\"1"), 2, "a quote is opened and never closed", "Close the quote"),
        ("unclosed_header.csv", text("code,\"sku\nA,1\n"), 1, "a quote is opened and never closed", "Close the quote"),
        ("unclosed_far.csv", text(&unclosed), 102, "a quote is opened and never closed", "Close the quote"),
        (
            "swallowed.csv",
            text("code,sku\nA,\"1\nB,2\nC,3\",4\n"),
            2,
            "has 3 cells, the header 2; is a quote opened",
            "Mend it",
        ),
        ("nul_header.csv", text("code,s\0ku\nA,1\n"), 1, "a NUL byte", "Mend the header"),
        ("nul.csv", text("code,sku\nA,1\nB,x\0y\n"), 3, "column sku: a NUL byte", "Mend it"),
        ("nul_end.csv", text("code\nA\n\0end\0of\0file\0\nB\n"), 3, "column code: a NUL byte", "Mend it"),
        ("nul_last.csv", text("code\nA\n\0end\0of\0file\0"), 3, "column code: a NUL byte", "Mend it"),
        ("code_twice.csv", text("code,sku,code\nA,1,2\n"), 1, "has column \"code\" twice", "--map"),
        ("alike_twice.csv", text("Code,sku,CODE\nA,1,2\n"), 1, "as \"Code\" and as \"CODE\"", "--map"),
        ("few.csv", text("code,sku,points\r\nA,1,2\r\n\r\nB,1\r\n"), 4, "the row has 2 cells, the header 3", "Mend it"),
        ("many.csv", text("code,sku\nA,1\nB,1,,2\n"), 3, "the row has 4 cells, the header 2", "Mend it"),
        ("cut.csv", text("code,sku,points\nA,s,1\nB,s"), 3, "the row has 2 cells, the header 3", "--max-rejects"),
        ("no_code.csv", text("sku;points\n1;2\n"), 1, "has no column code", "--map code=NAME"),
        ("points.csv", text("code,points\nA,1\nB,one\n"), 3, "column points: invalid input syntax", "--max-rejects"),
        (
            "long.csv",
            format!("code,sku\nA,1\nB,{}\nC,{}\n", "x".repeat(1 << 20), "y".repeat(20 << 20)).into(),
            4,
            "the row is longer than 16 MB",
            "never closed",
        ),
    ]
}

#[test]
fn a_bad_file_is_named_with_line_and_cause_and_cure_and_the_others_stay() -> Result<()> {
    let (db, mut client) = install("bad")?;
    let folder = Folder::new("bad")?;
    let bad = bad_files();
    for (name, content, ..) in &bad {
        folder.file(name, content)?;
    }
    folder.file("a_first.csv", "code\nfirst1\nfirst2\n")?;
    folder.file("m_middle.csv", "code\nmiddle\n")?;
    folder.file("z_last.csv", "code\nlast\n")?;
    let ran = once(&db, &["load", folder.arg(), "--scope", A])?.exits(1)?;
    for (name, _, line, what, cure) in &bad {
        let begin = format!("failed   {name}, line {line}: ");
        let said =
            ran.err.split("failed   ").map(|part| format!("failed   {part}")).find(|part| part.starts_with(&begin));
        let said = said.with_context(|| format!("{begin:?} is not said in\n{}", ran.err))?;
        let (message, rest) = said.split_once('\n').unwrap_or((&said, ""));
        assert!(message.contains(what), "{name}: {what:?} is not in {said}");
        assert!(
            said.contains(cure) && rest.contains("hint: ") || message.contains(cure),
            "{name}: no {cure:?} in {said}"
        );
    }
    assert_eq!(ran.err.matches("failed   ").count(), bad.len(), "{}", ran.err);
    assert_eq!(staged(&mut client)?, ["A|first1", "A|first2", "A|last", "A|middle"]);
    assert_eq!(files(&mut client)?, ["a_first.csv A 2", "m_middle.csv A 1", "z_last.csv A 1"]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.import_rejects")?, "0");
    let summary = format!("3 of {} files loaded, 0 skipped, {} failed: 4 rows", bad.len() + 3, bad.len());
    assert!(ran.out.contains(&summary), "{summary}: {}", ran.out);

    // The command that looks without a database finds the same faults in the same lines, but for what only the
    // database knows.
    let checked = once(&db, &["check", folder.arg(), "--deep", "--json"])?.exits(1)?.json()?;
    for (name, _, line, what, _) in bad.iter().filter(|(name, ..)| *name != "points.csv") {
        let found = about(&checked, name)?["problems"].to_string().replace("\\\"", "\"");
        let what = what.trim_start_matches("column sku: ").trim_start_matches("has ");
        assert!(found.contains(what), "{name}: {what:?} is not in {found}");
        let place = format!("line {line}");
        let of_columns = ["column code ", "column \"code\"", "as \"Code\""].iter().any(|words| found.contains(words));
        assert!(found.contains(&place) || of_columns, "{name}: no {place} in {found}");
    }
    Ok(())
}

#[test]
fn folders_that_can_not_be_read_are_a_usage_error() -> Result<()> {
    let (db, _client) = install("folders")?;
    let folder = Folder::new("folders")?;
    for command in ["load", "check"] {
        let missing = folder.path().join("nowhere");
        says(&once(&db, &[command, missing.to_str().unwrap_or_default()])?, 2, &["nowhere", "No such file", "hint: "]);
        let file = folder.file("a.csv", "code\nA\n")?;
        says(&once(&db, &[command, file.to_str().unwrap_or_default()])?, 2, &["a.csv", "Not a directory", "hint: "]);
        fs::remove_file(file)?;
        // Neither is read: a folder that is called so, and a hidden file.
        fs::create_dir_all(folder.path().join("folder.csv"))?;
        folder.file(".hidden.csv", "code\nA\n")?;
        folder.file("notes.txt", "code\nA\n")?;
        says(&once(&db, &[command, folder.arg()])?, 1, &[folder.arg(), "has no CSV file", ".csv or .tsv", "hint: "]);
    }
    Ok(())
}

#[test]
fn files_that_can_not_be_opened_leave_the_others() -> Result<()> {
    let (db, mut client) = install("unreadable")?;
    let folder = Folder::new("unreadable")?;
    folder.file("a.csv", "code\na\n")?;
    let locked = folder.file("locked.csv", "code\nsecret\n")?;
    fs::set_permissions(&locked, Permissions::from_mode(0o000))?;
    symlink("nowhere.csv", folder.path().join("dangling.csv"))?;
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe.csv")).status()?.success());
    folder.file("z.tsv", "code\tsku\nz\t1\n")?;
    let ran = run(&mut unprivileged(&db, &folder, &["load", folder.arg(), "--scope", A])?)?;
    let failed = [
        ("locked.csv: can't be read: Permission denied", "may you read it?"),
        ("dangling.csv: can't be read: No such file", "Is the file still there"),
        ("pipe.csv: is no regular file", "hint: "),
    ];
    for (what, cure) in failed {
        says(&ran, 1, &[&format!("failed   {what}"), cure]);
    }
    assert_eq!(staged(&mut client)?, ["A|a", "A|z"]);
    assert_eq!(ran.err.matches("failed   ").count(), 3);
    let checked = run(&mut unprivileged(&db, &folder, &["check", folder.arg()])?)?.exits(1)?;
    for word in ["Permission denied", "No such file", "no regular file", "3 invalid"] {
        assert!(checked.out.contains(word), "{word}: {}", checked.out);
    }
    Ok(())
}

/// Held up in the database in its first rows, the loader has not read the end of the file yet.
#[test]
fn a_file_that_changes_while_it_is_read_is_not_loaded() -> Result<()> {
    let (db, mut client) = install("changes")?;
    build_gate(&mut client)?;
    let (mut keeper, folder) = (db.client()?, Folder::new("changes")?);
    folder.file("a.csv", "code\na\n")?;
    folder.file("z.csv", "code\nz\n")?;
    let whole = many(9_000, 1_000).replacen("C000005", "STOP", 1);
    let whole_rows = whole.len() - whole.lines().last().map_or(0, |line| line.len() + 1);
    for (change, append, keep) in [("grows", "new,row\n", whole.len()), ("shrinks", "", whole_rows)] {
        let path = folder.file("big.csv", &whole)?;
        close_gate(&mut keeper)?;
        let running = start(&db, &["load", folder.arg(), "--scope", A])?;
        until_waiting(&mut keeper, 1)?;
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(keep as u64)?;
        drop(file);
        file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(append.as_bytes())?;
        open_gate(&mut keeper)?;
        let ran = running.wait()?;
        says(&ran, 1, &["big.csv: the file changed while it was read", "Nothing of it was staged", "hint: Wait"]);
        assert_eq!(staged(&mut client)?, ["A|a", "A|z"], "{change}");
    }
    // As it is now, it is loaded: one row less.
    once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
    assert_eq!(staged_count(&mut client)?, (9_001, 9_001));
    assert_eq!(files(&mut client)?, ["a.csv A 1", "big.csv A 8999", "z.csv A 1"]);
    Ok(())
}

/// A quote that is never closed makes all that follows one value; neither that nor a long file fills the memory.
#[test]
fn a_row_without_end_and_a_long_file_take_little_memory() -> Result<()> {
    let (db, mut client) = install("memory")?;
    build_gate(&mut client)?;
    let (mut keeper, folder) = (db.client()?, Folder::new("memory")?);
    folder.file("endless.csv", format!("code,sku\nA,1\nB,\"2\n{}", "x,y\n".repeat(6 << 20)))?;
    folder.file("z.csv", many(5_000, 5_000) + "STOP,\n")?;
    close_gate(&mut keeper)?;
    let running = start(&db, &["load", folder.arg(), "--scope", A])?;
    until_waiting(&mut keeper, 1)?;
    let peak = running.peak_memory()?;
    open_gate(&mut keeper)?;
    says(&running.wait()?, 1, &["endless.csv, line 3: the row is longer than 16 MB", "hint: Is a quote opened"]);
    // The issue's limit, whatever the files' size.
    assert!(peak < 100_000, "{peak} kB");
    assert_eq!(staged(&mut client)?.iter().filter(|row| row.as_str() == "A|A").count(), 0);
    assert_eq!(staged_count(&mut client)?, (5_001, 5_001));
    Ok(())
}
