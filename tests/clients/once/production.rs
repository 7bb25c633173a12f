//! From staging to production and back: what is exported, refused, recorded, shown and undone.

use std::fs;

use anyhow::{Context, Result, ensure};
use once_tests::Db;
use once_tests::once::{Folder, once, start};
use once_tests::postgres::Client;
use once_tests::promo::{install, text};
use once_tests::wait::until;

use super::{A, B, says};

/// Of merchant A four codes, of which `known` is in production and `twice` comes twice, in two marked files.
fn marked(label: &str) -> Result<(Db, Client, Folder)> {
    let (db, mut client) = install(label)?;
    client.batch_execute(&format!("INSERT INTO codes (merchant_id, code) VALUES ('{A}', 'known')"))?;
    let folder = Folder::new(label)?;
    folder.file("1.csv", format!("merchant_id,code,sku_name\n{A},known,-12.5\n{A},twice,=1+1\n"))?;
    folder.file(
        "2.csv",
        format!("merchant_id,code,sku_name\n{A},twice,\"@SUM(A1),\"\"x\"\"\"\n{A},new,plain\n{B},new,\n"),
    )?;
    once(&db, &["load", folder.arg()])?.exits(0)?;
    once(&db, &["dedupe", A])?.exits(0)?;
    Ok((db, client, folder))
}

#[test]
fn an_export_says_what_each_duplicate_repeats_and_runs_as_no_formula() -> Result<()> {
    let (db, mut client, folder) = marked("export")?;
    let file = folder.path().join("out.txt");
    let path = file.to_str().context("a path")?;
    let known = text(&mut client, "SELECT id::text FROM codes WHERE code = 'known'")?;
    let rows = |arguments: &[&str]| -> Result<Vec<String>> {
        let arguments: Vec<&str> = ["export", A, path].iter().chain(arguments).copied().collect();
        once(&db, &arguments)?.exits(0)?;
        let written = fs::read_to_string(&file)?;
        let mut lines = written.lines();
        let head = "merchant_id,code,serial,sku,points,sku_name,batch_code,price,row_number,created_at,internal_dup,existing_dup,duplicate_type,duplicates_row,duplicates_id";
        ensure!(lines.next() == Some(head), "{written}");
        // Without the time at which each was staged.
        Ok(lines
            .map(|line| line.split(',').filter(|cell| !cell.starts_with("20")).collect::<Vec<_>>().join(","))
            .collect())
    };
    let existing = format!("{A},known,,,,-12.5,,,1,false,true,DATABASE_DUPLICATE,,{known}");
    let repeated = |cell: &str| format!("{A},twice,,,,{cell},,,3,true,false,INTERNAL_DUPLICATE,2,");
    assert_eq!(rows(&[])?, [existing.clone(), repeated("\"'@SUM(A1),\"\"x\"\"\"")]);
    assert_eq!(rows(&["--duplicates", "--raw"])?, [existing.clone(), repeated("\"@SUM(A1),\"\"x\"\"\"")]);
    let clean = |code: &str, cell: &str, row: u8| format!("{A},{code},,,,{cell},,,{row},false,false,CLEAN,,");
    let all = [existing, clean("twice", "'=1+1", 2), repeated("\"'@SUM(A1),\"\"x\"\"\""), clean("new", "plain", 4)];
    assert_eq!(rows(&["--all"])?, all);
    assert_eq!(fs::read_dir(folder.path())?.count(), 3, "something is left beside the file");
    Ok(())
}

#[test]
fn what_is_confirmed_is_inserted_with_its_files_and_can_be_undone() -> Result<()> {
    let (db, mut client, _folder) = marked("undo")?;
    let produced = "SELECT string_agg(code, ' ' ORDER BY code) FROM codes";
    // Two of four rows are duplicates.
    says(&once(&db, &["insert", A, "--yes", "--max-duplicates", "49%"])?, 1, &["--max-duplicates 49%", "2 of 4"]);
    says(&once(&db, &["insert", A])?, 4, &["Nothing was changed"]);
    assert_eq!(text(&mut client, produced)?, "known");

    let answer = once(&db, &["insert", A, "--yes", "--max-duplicates", "50%", "--json"])?.exits(0)?.json()?;
    assert_eq!((&answer["codes_inserted"], &answer["verified"]), (&2.into(), &true.into()), "{answer}");
    assert_eq!(text(&mut client, produced)?, "known new twice");
    let job = answer["job_id"].as_str().context("no job")?;
    assert_eq!(answer["undo"], format!("once rollback {job}"));
    let source = "SELECT string_agg(concat(f ->> 'name', ' ', f ->> 'rows', ' ', length(f ->> 'sha256')), '; ' ORDER BY f ->> 'name')
                  FROM once.import_jobs, jsonb_array_elements(source_info -> 'files') f";
    assert_eq!(text(&mut client, source)?, "1.csv 2 64; 2.csv 2 64");

    once(&db, &["verify", job])?.exits(0)?;
    client.batch_execute("UPDATE codes SET claimed = true WHERE code = 'new'")?;
    says(&once(&db, &["rollback", job, "--yes"])?, 1, &["--keep-claimed"]);
    assert_eq!(text(&mut client, produced)?, "known new twice");
    says(&once(&db, &["rollback", job, "--keep-claimed"])?, 4, &["Nothing was changed"]);
    once(&db, &["rollback", job, "--keep-claimed", "--yes"])?.exits(0)?;
    assert_eq!(text(&mut client, produced)?, "known new");
    once(&db, &["verify", job])?.exits(1)?;

    says(&once(&db, &["clear", A])?, 4, &["Nothing was changed"]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_check_temp")?, "5");
    let cleared = once(&db, &["clear", A, "--yes"])?.exits(0)?;
    assert!(cleared.out.contains("Deleted 4 rows, 0 remain"), "{cleared:?}");
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_check_temp")?, "1");
    Ok(())
}

#[test]
fn jobs_are_found_by_state_scope_and_time_and_running_ones_with_their_progress() -> Result<()> {
    let (db, mut client, _folder) = marked("jobs")?;
    let jobs = |arguments: &[&str]| -> Result<usize> {
        let arguments: Vec<&str> = ["jobs", "--json"].iter().chain(arguments).copied().collect();
        let answer = once(&db, &arguments)?.exits(0)?.json()?;
        Ok(answer["jobs"].as_array().context("no jobs")?.len())
    };
    assert_eq!(jobs(&[])?, 0);
    once(&db, &["insert", A, "--yes"])?.exits(0)?;
    for (arguments, found) in [
        (vec![], 1),
        (vec!["--status", "completed"], 1),
        (vec!["--status", "failed"], 0),
        (vec!["--scope", A], 1),
        (vec!["--scope", B], 0),
        (vec!["--since", "1h"], 1),
        (vec!["--since", "2999-01-01"], 0),
    ] {
        assert_eq!(jobs(&arguments)?, found, "{arguments:?}");
    }
    says(&once(&db, &["jobs", "--since", "the day before"])?, 2, &["--since"]);
    says(&once(&db, &["job", "01a1fde1-7e3f-7178-a5b7-d12fcc4e35ad"])?, 3, &["01a1fde1-7e3f-7178-a5b7-d12fcc4e35ad"]);

    // A trigger holds the next import up in the middle.
    client.batch_execute(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(4713); RETURN NEW; END';
         CREATE TRIGGER hold BEFORE INSERT ON codes FOR EACH ROW EXECUTE FUNCTION hold();
         SELECT pg_advisory_lock(4713)",
    )?;
    once(&db, &["dedupe", B])?.exits(0)?;
    let running = start(&db, &["insert", B, "--yes"])?;
    until("the insert is shown", || {
        let answer = once(&db, &["jobs", "--json"])?.exits(0)?.json()?;
        Ok(answer["running"].as_array().is_some_and(|all| all.iter().any(|run| run["phase"] == "inserting")))
    })?;
    client.batch_execute("SELECT pg_advisory_unlock(4713)")?;
    running.wait()?.exits(0)?;
    assert_eq!(jobs(&["--scope", B])?, 1);
    Ok(())
}

#[test]
fn the_whole_journey_is_one_command_and_running_it_again_changes_nothing() -> Result<()> {
    let (db, mut client) = install("journey")?;
    let folder = Folder::new("journey")?;
    folder.file("a.csv", format!("merchant_id,batch_id,code\n{A},B7,one\n{A},B7,two\n{A},B7,one\n"))?;
    says(&once(&db, &["run", folder.arg(), A])?, 4, &["Nothing was changed"]);
    let answer = once(&db, &["run", folder.arg(), A, "--yes", "--json"])?.exits(0)?.json()?;
    let steps: Vec<&str> =
        answer["steps"].as_array().into_iter().flatten().filter_map(|s| s["step"].as_str()).collect();
    assert_eq!(steps, ["check", "load", "dedupe", "insert"]);
    once(&db, &["run", folder.arg(), A, "--yes"])?.exits(0)?;
    let production = "SELECT string_agg(concat(code, ' ', batch_code), ', ' ORDER BY code) FROM codes";
    assert_eq!(text(&mut client, production)?, "one B7, two B7");
    folder.file("b.csv", "sku\nx\n")?;
    says(&once(&db, &["run", folder.arg(), A, "--yes"])?, 1, &[]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_check_temp")?, "3");
    Ok(())
}
