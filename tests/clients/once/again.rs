//! Running it again does no harm, and nor does running it twice at once.

use anyhow::Result;
use once_tests::json;
use once_tests::once::{Folder, once, start};
use once_tests::promo::install;
use once_tests::wait::until;

use super::{A, B, about, build_gate, close_gate, files, many, open_gate, staged, staged_count, until_waiting};

#[test]
fn a_second_run_skips_and_a_mended_file_loads_alone() -> Result<()> {
    let (db, mut client) = install("again")?;
    let folder = Folder::new("again")?;
    folder.file("a.csv", "code\na1\na2\n")?;
    folder.file("b.csv", "code,points\nb1,1\nb2,oops\n")?;
    folder.file("copy_of_a.csv", "code\na1\na2\n")?;
    let load = || once(&db, &["load", folder.arg(), "--scope", A, "--json"]);
    let counts = |answer: &once_tests::Value| ["loaded", "skipped", "failed", "rows"].map(|name| answer[name].as_i64());
    let (first, second) = (load()?.exits(1)?.json()?, load()?.exits(1)?.json()?);
    assert_eq!(counts(&first), [1, 1, 1, 2].map(Some));
    assert_eq!(counts(&second), [0, 2, 1, 0].map(Some));
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2"]);

    folder.file("b.csv", "code,points\nb1,1\nb2,2\n")?;
    let mended = load()?.exits(0)?.json()?;
    assert_eq!(counts(&mended), [1, 2, 0, 2].map(Some));
    let told = about(&mended, "b.csv")?;
    assert_eq!((&told["status"], &told["rows"], &told["staged_before"]), (&json!("loaded"), &json!(2), &json!(0)));
    assert_eq!(told["sha256"].as_str().map(str::len), Some(64));
    let all = ["A|a1", "A|a2", "A|b1", "A|b2"];
    assert_eq!(staged(&mut client)?, all);
    let shown = once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?.out;
    assert!(shown.contains("skipped  b.csv: staged already (--again stages it once more)"), "{shown}");
    assert!(shown.contains("0 of 3 files loaded, 3 skipped, 0 failed: 0 rows"), "{shown}");

    // On request once more; the list counts with the rows.
    let again = once(&db, &["load", folder.arg(), "--scope", A, "--again", "--json"])?.exits(0)?.json()?;
    assert_eq!(counts(&again), [3, 0, 0, 6].map(Some));
    assert_eq!(staged_count(&mut client)?, (10, 4));
    assert_eq!(files(&mut client)?, ["b.csv A 4", "copy_of_a.csv A 6"]);

    once(&db, &["clear", A, "--yes"])?.exits(0)?;
    assert_eq!((staged(&mut client)?, files(&mut client)?), (vec![], vec![]));
    load()?.exits(0)?;
    assert_eq!(staged(&mut client)?, all);
    Ok(())
}

/// The second process comes while the first is in the middle of a file, and waits for it.
#[test]
fn two_that_load_the_same_folder_at_once_stage_each_row_once() -> Result<()> {
    for (label, first_ends) in [("both", true), ("one", false)] {
        let (db, mut client) = install(label)?;
        build_gate(&mut client)?;
        let (mut keeper, folder) = (db.client()?, Folder::new(label)?);
        folder.file("1.csv", "merchant_id,code\n".to_string() + &format!("{A},x\n{B},STOP\n{B},y\n"))?;
        folder.file("2.csv", format!("merchant_id,code\n{A},2\n"))?;
        folder.file("3.csv", format!("merchant_id,code\n{A},3\n{B},3\n"))?;
        close_gate(&mut keeper)?;
        let first = start(&db, &["load", folder.arg(), "--json"])?;
        until_waiting(&mut keeper, 1)?;
        let second = start(&db, &["load", folder.arg(), "--json"])?;
        until_waiting(&mut keeper, 2)?;
        if first_ends {
            open_gate(&mut keeper)?;
            first.wait()?.exits(0)?;
        } else {
            first.signal("INT")?;
            first.wait()?.exits(130)?;
            // Now the second is at the gate.
            until_waiting(&mut keeper, 1)?;
            open_gate(&mut keeper)?;
        }
        let answer = second.wait()?.exits(0)?.json()?;
        assert_eq!(answer["failed"], 0);
        assert_eq!(about(&answer, "1.csv")?["status"], if first_ends { "skipped" } else { "loaded" });
        assert_eq!(staged(&mut client)?, ["A|2", "A|3", "A|x", "B|3", "B|STOP", "B|y"], "{label}");
        assert_eq!(files(&mut client)?, ["1.csv A 1", "1.csv B 2", "2.csv A 1", "3.csv A 1", "3.csv B 1"], "{label}");
    }
    Ok(())
}

/// Four at a time, with a file that is there twice, one that fails, and one that is held up while others go on.
#[test]
fn files_that_are_loaded_side_by_side_arrive_as_one_after_the_other() -> Result<()> {
    let (db, mut client) = install("jobs")?;
    build_gate(&mut client)?;
    let (mut keeper, folder) = (db.client()?, Folder::new("jobs")?);
    let mut expected = vec!["A|STOP".to_string()];
    for file in 0..12 {
        let codes: Vec<String> = (0..50 + file).map(|row| format!("f{file}_{row}")).collect();
        folder.file(&format!("{file:02}.csv"), format!("code\n{}\n", codes.join("\n")))?;
        expected.extend(codes.into_iter().map(|code| format!("A|{code}")));
    }
    folder.file("00_held.csv", "code\nSTOP\n")?;
    folder.file("05_copy.csv", std::fs::read(folder.path().join("05.csv"))?)?;
    folder.file("06_bad.csv", "code,points\nbad,bad\n")?;
    folder.file("99_big.csv", many(5_000, 200))?;
    expected.extend((0..5_000).map(|row| format!("A|C{row:06}")));
    expected.sort();
    close_gate(&mut keeper)?;
    let running = start(&db, &["load", folder.arg(), "--scope", A, "--jobs", "4", "--json"])?;
    until_waiting(&mut keeper, 1)?;
    // All but the one that is read ahead by whoever is held up.
    until("the others are loaded", || Ok(files(&mut client)?.len() >= 12))?;
    open_gate(&mut keeper)?;
    let answer = running.wait()?.exits(1)?.json()?;
    assert_eq!(staged(&mut client)?, expected);
    let names: Vec<&str> =
        answer["files"].as_array().into_iter().flatten().filter_map(|file| file["name"].as_str()).collect();
    assert!(names.is_sorted() && names.len() == 16, "{names:?}");
    let counts = ["loaded", "skipped", "failed", "not_tried", "rows"].map(|name| answer[name].as_u64());
    assert_eq!(counts, [14, 1, 1, 0, expected.len() as u64].map(Some));
    let again = once(&db, &["load", folder.arg(), "--scope", A, "--jobs", "64", "--json"])?.exits(1)?.json()?;
    assert_eq!((&again["skipped"], &again["rows"]), (&json!(15), &json!(0)));
    assert_eq!(staged(&mut client)?, expected);
    Ok(())
}
