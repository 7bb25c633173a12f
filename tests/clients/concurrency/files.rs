//! Loaders, clearings and jobs at once: the list of files and the rows that are staged never part.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};
use once_tests::files::{File, begin, copy_new, end, end_again, load, stage_file};
use once_tests::postgres::Client;
use once_tests::promo::{A, B, call, codes, import, install, mark, produce, stage, text, texts};
use once_tests::wait::{pid, until, until_blocked};
use once_tests::{Uuid, sqlstate};
use std::thread;

use super::all_at_once;

fn file(name: &str, merchants: &[Uuid], codes: std::ops::Range<usize>) -> File {
    let rows = codes.flat_map(|n| merchants.iter().map(move |merchant| (*merchant, format!("{name}{n}"))));
    File::new(name, rows)
}

fn code_of(error: &anyhow::Error) -> Option<String> {
    error.downcast_ref().and_then(sqlstate).map(str::to_owned)
}

/// What is staged of a merchant, sorted.
fn staged(client: &mut Client, merchant: Uuid) -> Result<Vec<String>> {
    let sql = format!("SELECT code FROM codes_check_temp WHERE merchant_id = '{merchant}' ORDER BY code COLLATE \"C\"");
    texts(client, &sql)
}

/// The second loader of a file waits for the first, and stages nothing or, where the first gave up, all of it.
#[test]
fn a_file_that_two_load_at_once_is_staged_once() -> Result<()> {
    let (db, mut first) = install("two")?;
    let mut watcher = db.client()?;
    for end in ["COMMIT", "ROLLBACK"] {
        let file = file(end, &[A, B], 0..10);
        let mut second = db.client()?;
        first.batch_execute("BEGIN")?;
        assert_eq!(stage_file(&mut first, &file)?, 20);
        let waiter = pid(&mut second)?;
        let of_second = thread::scope(|scope| -> Result<i64> {
            let of_second = scope.spawn(|| load(&mut second, &file));
            until_blocked(&mut watcher, waiter)?;
            // Another file waits for nobody.
            assert_eq!(load(&mut watcher, &self::file("other", &[A], 0..1))?, i64::from(end == "COMMIT"));
            first.batch_execute(end)?;
            of_second.join().map_err(|_| anyhow!("the second panicked"))?
        })?;
        assert_eq!(of_second, if end == "COMMIT" { 0 } else { 20 });
    }
    assert_eq!(text(&mut first, "SELECT count(*)::text FROM codes_check_temp")?, "41");
    Ok(())
}

/// On an old snapshot a file looks new that another has staged since: that can't be serialized, and a retry sees it.
#[test]
fn on_an_old_snapshot_a_file_is_not_staged_a_second_time() -> Result<()> {
    let (db, mut first) = install("snapshot")?;
    let mut second = db.client()?;
    for (number, level) in ["REPEATABLE READ", "SERIALIZABLE"].iter().enumerate() {
        let file = file(&format!("f{number}_"), &[A], 0..10);
        second.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM codes_check_temp"))?;
        assert_eq!(load(&mut first, &file)?, 10);
        let refused = stage_file(&mut second, &file).err().context("not refused")?;
        assert_eq!(code_of(&refused).as_deref(), Some("40001"), "{level}: {refused:#}");
        second.batch_execute(&format!("ROLLBACK; BEGIN ISOLATION LEVEL {level}"))?;
        assert_eq!(stage_file(&mut second, &file)?, 0, "{level}");
        second.batch_execute("COMMIT")?;
        assert_eq!(staged(&mut first, A)?.len(), 10 * (number + 1));
    }
    Ok(())
}

/// How far a loader has come when another begins to clear.
const MOMENTS: [&str; 3] = ["begun", "copied", "ended"];

/// What else is done in one of the two transactions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum With {
    Nothing,
    /// The loader stages the file whether it is staged or not.
    Again,
    /// The loader marks duplicates too.
    Marking,
    /// The other loads the file, once it has cleared.
    Loading,
}

/// Whatever comes between a load and a clearing, both succeed, and after the next load the file is staged once.
#[test]
fn a_clearing_beside_a_load_parts_no_file_from_its_rows() -> Result<()> {
    let (db, mut first) = install("beside")?;
    let (mut second, mut watcher) = (db.client()?, db.client()?);
    produce(&mut first, A, &["known"])?;
    let file = file("F", &[A], 0..10);
    let expected: Vec<String> = ["A".into()].into_iter().chain((0..10).map(|n| format!("F{n}"))).collect();
    let mut wrong = Vec::new();
    for before in ["new", "staged", "emptied by hand"] {
        for moment in MOMENTS {
            for with in [With::Nothing, With::Again, With::Marking, With::Loading] {
                // A transaction that clears and loads locks the scope before the file; to retry is all it can do.
                if with == With::Loading && moment != "ended" {
                    continue;
                }
                call(&mut watcher, "clear_temp_data($1)", &[&A])?;
                if before != "new" {
                    load(&mut watcher, &file)?;
                }
                if before == "emptied by hand" {
                    watcher.batch_execute("TRUNCATE codes_check_temp")?;
                }
                let sessions = [&mut first, &mut second, &mut watcher];
                let case = format!("{before}, {moment}, {with:?}");
                if let Err(error) = beside(sessions, &file, moment, with) {
                    first.batch_execute("ROLLBACK")?;
                    second.batch_execute("ROLLBACK")?;
                    wrong.push(format!("{case}: {error:#}"));
                }
                // Rows of another origin: that there are some is no sign of the file's.
                stage(&mut watcher, A, &["A"])?;
                load(&mut watcher, &file)?;
                let there = staged(&mut watcher, A)?;
                if there != expected {
                    wrong.push(format!("{case}: staged {there:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

fn beside(sessions: [&mut Client; 3], file: &File, moment: &str, with: With) -> Result<()> {
    let [first, second, watcher] = sessions;
    let clearing = pid(second)?;
    let clear = move || -> Result<()> {
        second.batch_execute("BEGIN")?;
        call(second, "clear_temp_data($1)", &[&A])?;
        if with == With::Loading {
            stage_file(second, file)?;
        }
        Ok(second.batch_execute("COMMIT")?)
    };
    let (mut clear, none) = (Some(clear), BTreeMap::new());
    thread::scope(|scope| {
        let mut clearing_thread = None;
        let mut now = |at: &str| -> Result<()> {
            if at != moment {
                return Ok(());
            }
            let thread = scope.spawn(clear.take().context("cleared twice")?);
            until("the clearing waits or has done", || {
                let blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0";
                Ok(thread.is_finished() || watcher.query_one(blocked, &[&clearing])?.try_get(0)?)
            })?;
            clearing_thread = Some(thread);
            Ok(())
        };
        let mut load_beside = || -> Result<()> {
            first.batch_execute("BEGIN")?;
            let there = begin(first, file)?;
            now("begun")?;
            let again = with == With::Again;
            let copied = copy_new(first, file, if again { &none } else { &there })?;
            now("copied")?;
            let counted = if again { end_again(first, file) } else { end(first, file) }?;
            now("ended")?;
            if copied != counted {
                first.batch_execute("ROLLBACK")?;
                return load(first, file).map(drop);
            }
            if with == With::Marking {
                mark(first, A)?;
            }
            Ok(first.batch_execute("COMMIT")?)
        };
        let loaded = load_beside();
        if loaded.is_err() {
            first.batch_execute("ROLLBACK")?; // and let the other go on
        }
        let cleared = match clearing_thread {
            Some(thread) => thread.join().map_err(|_| anyhow!("the clearing panicked"))?,
            None => Err(anyhow!("it was never cleared")),
        };
        loaded.context("the load")?;
        cleared.context("the clearing")
    })
}

/// Loaders of the same files in another order each, beside those who import and clear all the time.
#[test]
fn a_crowd_of_loaders_loses_no_row_and_stages_none_twice() -> Result<()> {
    const LOADERS: usize = 6;
    let (db, mut owner) = install("loaders")?;
    let files: Vec<File> =
        (0..5).map(|n| file(&format!("f{n}_"), [&[A, B][..], &[A], &[B], &[B, A], &[A]][n], 0..20 + n)).collect();
    let loading = AtomicUsize::new(LOADERS);
    let loader = |number: usize| -> Result<()> {
        let mut client = db.client()?;
        let done = (0..4).try_for_each(|round| {
            (0..files.len())
                .try_for_each(|n| load(&mut client, &files[(n * 2 + number + round) % files.len()]).map(drop))
        });
        loading.fetch_sub(1, Ordering::SeqCst);
        done
    };
    let importer = |merchant: Uuid| -> Result<()> {
        let mut client = db.client()?;
        while loading.load(Ordering::SeqCst) > 0 {
            match import(&mut client, merchant) {
                // Rows came in between, or there is nothing yet.
                Err(error) if ["55000", "P0002"].map(Some).contains(&code_of(&error).as_deref()) => {}
                Err(error) => bail!("{error:#}"),
                Ok(_) => drop(call(&mut client, "clear_temp_data($1)", &[&merchant])?),
            }
        }
        Ok(())
    };
    let mut work: Vec<Box<dyn FnOnce() -> Result<()> + Send>> = Vec::new();
    for number in 0..LOADERS {
        work.push(Box::new(move || loader(number)));
    }
    work.push(Box::new(|| importer(A)));
    work.push(Box::new(|| importer(B)));
    all_at_once(work)?;

    let mut expected: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for file in &files {
        load(&mut owner, file)?;
        for (merchant, code) in &file.rows {
            expected.entry(*merchant).or_default().push(code.clone());
        }
    }
    for (merchant, mut rows) in expected {
        rows.sort();
        assert_eq!(staged(&mut owner, merchant)?, rows);
        import(&mut owner, merchant)?;
        assert_eq!(codes(&mut owner, merchant)?, rows);
    }
    let cleared = text(&mut owner, "SELECT count(*)::text FROM once.import_jobs WHERE status = 'completed'")?;
    ensure!(cleared != "0", "nobody imported meanwhile");
    Ok(())
}
