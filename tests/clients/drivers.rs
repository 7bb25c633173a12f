//! The workouts kit and the rows path as applications use them: by psql, psycopg, node-postgres, Rust's driver, and in a
//! migration. The Python and JavaScript that docs/workouts.md, docs/rows.md and docs/mail.md show is the code that calls them here.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use once_tests::once::{Folder, run};
use once_tests::postgres::{Client, GenericClient, IsolationLevel};
use once_tests::{Db, Uuid, json, workspace};
use xtask::server::{Cluster, user};

const WORKOUTS: &str = "workouts.md";
const ROWS: &str = "rows.md";
const MAIL: &str = "mail.md";

/// The blocks of a kind on a page of the book.
fn shown(page: &str, kind: &str) -> Result<Vec<String>> {
    let page = fs::read_to_string(workspace().join("docs").join(page))?;
    let begin = format!("\n```{kind}\n");
    page.split(&begin)
        .skip(1)
        .map(|rest| Ok(rest.split_once("\n```").context("a block has no end")?.0.to_owned() + "\n"))
        .collect()
}

/// The block of SQL on a page that begins with these words.
fn shown_sql(page: &str, beginning: &str) -> Result<String> {
    let blocks = shown(page, "sql")?;
    blocks.into_iter().find(|sql| sql.starts_with(beginning)).with_context(|| format!("no SQL begins {beginning}"))
}

fn script(name: &str) -> Result<String> {
    Ok(fs::read_to_string(workspace().join("tests/clients/drivers").join(name))?)
}

fn installed(label: &str) -> Result<Db> {
    let db = Db::new(label)?;
    db.psql("SELECT once.install_kit('workouts', 'public')")?;
    Ok(db)
}

/// With the table and the target that the page about rows begins with.
fn with_customers(label: &str) -> Result<Db> {
    let db = Db::new(label)?;
    db.psql(&shown_sql(ROWS, "CREATE TABLE customers")?)?;
    Ok(db)
}

/// Runs a program that connects by libpq's variables; it must end well.
fn runs_well(db: &Db, command: &mut Command) -> Result<()> {
    user::without_pg_variables(command)
        .env("PGHOST", db.cluster().socket_dir())
        .env("PGUSER", Cluster::USER)
        .env("PGDATABASE", db.name())
        .env("ONCE_TEST_WORKSPACE", workspace());
    let ran = run(command)?.exits(0)?;
    print!("{}{}", ran.out, ran.err);
    Ok(())
}

/// psql as migrations run it: all in one transaction, and an error is the end.
fn migrate(db: &Db, arguments: &[&str]) -> Command {
    let mut psql = db.cluster().client("psql");
    psql.args(["-X", "-q", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-d", db.name()]).args(arguments);
    psql
}

/// Twice, since what comes in a second time changes nothing.
fn psql_runs(db: &Db, scenarios: &str) -> Result<()> {
    let folder = Folder::new("psql")?;
    let scenarios = folder.file("scenarios.sql", script(scenarios)?)?;
    let path = "SET search_path = public, once";
    for _ in 0..2 {
        let mut psql = db.cluster().client("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", path, "-d", db.name(), "-f"]).arg(&scenarios);
        runs_well(db, &mut psql)?;
    }
    Ok(())
}

/// The module and the program that a page shows, then scenarios that use the module.
fn python_runs(db: &Db, page: &str, module: &str, scenarios: &str) -> Result<()> {
    let folder = Folder::new("psycopg")?;
    let [code, program] = <[String; 2]>::try_from(shown(page, "python")?).ok().context("two blocks of Python")?;
    folder.file(module, code)?;
    for (name, code) in [("program.py", program), ("scenarios.py", script(scenarios)?)] {
        let python = env::var("ONCE_TEST_PYTHON").context("ONCE_TEST_PYTHON is not set")?;
        runs_well(db, Command::new(python).arg(folder.file(name, code)?))?;
    }
    Ok(())
}

fn node_runs(db: &Db, page: &str, module: &str, scenarios: &str) -> Result<()> {
    let folder = Folder::new("node")?;
    let [code, program] = <[String; 2]>::try_from(shown(page, "js")?).ok().context("two blocks of JavaScript")?;
    folder.file(module, code)?;
    // `import` looks beside the file, and what that requires in turn is found by NODE_PATH.
    let modules = env::var("ONCE_TEST_NODE_MODULES").context("ONCE_TEST_NODE_MODULES is not set")?;
    symlink(&modules, folder.path().join("node_modules"))?;
    for (name, code) in [("program.mjs", program), ("scenarios.mjs", script(scenarios)?)] {
        runs_well(db, Command::new("node").arg(folder.file(name, code)?).env("NODE_PATH", &modules))?;
    }
    Ok(())
}

#[test]
fn psql_asserts_the_scenarios() -> Result<()> {
    let db = installed("psql")?;
    psql_runs(&db, "scenarios.sql")?;
    let failing = run(&mut migrate(&db, &["-c", "DO $$ BEGIN ASSERT false, 'asserts are checked'; END $$"]))?;
    ensure!(failing.exit != 0 && failing.err.contains("asserts are checked"), "{failing:?}");
    Ok(())
}

#[test]
fn psycopg_runs_the_code_of_the_page() -> Result<()> {
    python_runs(&installed("psycopg")?, WORKOUTS, "training_log.py", "scenarios.py")
}

#[test]
fn node_postgres_runs_the_code_of_the_page() -> Result<()> {
    node_runs(&installed("node")?, WORKOUTS, "training_log.mjs", "scenarios.mjs")
}

#[test]
fn psql_ingests_batches() -> Result<()> {
    psql_runs(&with_customers("psql_rows")?, "rows.sql")
}

#[test]
fn psycopg_ingests_batches() -> Result<()> {
    python_runs(&with_customers("psycopg_rows")?, ROWS, "batches.py", "rows.py")
}

#[test]
fn psycopg_brings_an_export_of_mail() -> Result<()> {
    let db = Db::new("psycopg_mail")?;
    db.psql("SELECT once.install_kit('mail', 'public')")?;
    python_runs(&db, MAIL, "mailboxes.py", "mail.py")
}

#[test]
fn node_postgres_ingests_batches() -> Result<()> {
    node_runs(&with_customers("node_rows")?, ROWS, "batches.mjs", "rows.mjs")
}

#[test]
fn the_migration_of_the_page_runs_twice_and_takes_the_scenarios_along() -> Result<()> {
    let db = Db::bare("migration")?;
    db.psql(&shown_sql(WORKOUTS, "CREATE SCHEMA zamm")?)?;
    let folder = Folder::new("migration")?;
    let migration = folder.file("0007_once.sql", shown_sql(WORKOUTS, "-- migrations/0007_once.sql")?)?;
    let scenarios = folder.file("scenarios.sql", script("scenarios.sql")?)?;
    let files = [migration.display().to_string(), scenarios.display().to_string()];
    let all = ["-f", &files[0], "-c", "SET LOCAL search_path = zamm", "-f", &files[1]];

    // What fails in the end has never been.
    let before = "SELECT string_agg(concat(attrelid::regclass, '.', attname), ' ' ORDER BY 1) FROM pg_attribute WHERE attnum > 0
                  AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'zamm'::regnamespace)";
    let columns = db.psql(before)?;
    let failed = run(migrate(&db, &all).args(["-c", "SELECT 1 / 0"]))?;
    ensure!(failed.exit != 0 && failed.err.contains("division by zero"), "{failed:?}");
    assert_eq!(db.psql(before)?, columns);
    assert_eq!(db.psql("SELECT count(*) FROM pg_extension WHERE extname = 'pg_once'")?, "0");

    for _ in 0..2 {
        runs_well(&db, &mut migrate(&db, &all))?;
        let old = "SELECT concat_ws(' ', raw_text, cardinality(tags), normalizer_version) FROM zamm.imports
                   WHERE received_at < '2026-01-01' ORDER BY received_at";
        let expected = "Squat 5x5 0 whitespace/1\nSquat  5x5 1 whitespace/1\nSquat 5x5 0 whitespace/1";
        assert_eq!(db.psql(old)?, expected);
        assert_eq!(db.psql("SELECT count(*) FROM zamm.imports WHERE source = 'migration 0007'")?, "1");
    }
    // Old workouts, one of which repeats another, and two of each run of the scenarios.
    assert_eq!(db.psql("SELECT count(*), count(content_hash_ref) FROM zamm.workouts")?, "7|6");
    assert_eq!(db.psql("SELECT adopt ->> 'constraints_added' FROM zamm.adopt_imports('zamm.imports') adopt")?, "[]");
    Ok(())
}

const IMPORT: &str = "SELECT import_id, is_duplicate, message, checksum FROM once.import_raw_text_idempotent(
    athlete_id => $1, raw_text => $2, source => $3, tags => $4)";
const COMMIT: &str = "SELECT workout_id, is_duplicate, message FROM once.commit_workout_idempotent(
    draft_id => $1, parsed_workout => $2)";

fn import(client: &mut impl GenericClient, athlete: Uuid, text: &str) -> Result<(Uuid, bool)> {
    let tags = ["rust"].as_slice();
    let row = client.query_one(IMPORT, &[&athlete, &text, &"rust", &tags])?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

#[test]
fn in_transactions_of_rusts_driver() -> Result<()> {
    let db = installed("rust")?;
    let mut client = db.client()?;
    let (anna, ben) = (Uuid::from_u128(0xa), Uuid::from_u128(0xb));

    let mut transaction = client.transaction()?;
    assert!(!import(&mut transaction, anna, "Squat 5x5")?.1);
    transaction.rollback()?;

    let levels = [IsolationLevel::ReadCommitted, IsolationLevel::RepeatableRead, IsolationLevel::Serializable];
    for (round, level) in levels.into_iter().enumerate() {
        let again = round > 0;
        let mut transaction = client.build_transaction().isolation_level(level).start()?;
        let (first, known) = import(&mut transaction, anna, "Squat 5x5")?;
        assert_eq!(known, again);
        assert_eq!(import(&mut transaction, anna, "\u{3000}Squat\r\n5x5 ")?, (first, true));
        let (other, known) = import(&mut transaction, ben, "Squat 5x5")?;
        assert!(other != first && known == again);
        let (evening, known) = import(&mut transaction, anna, "Row 5 km")?;
        assert!(evening != first && known == again);
        for (import, title) in [(first, "Squat"), (evening, "Row")] {
            let draft = "INSERT INTO workout_drafts (import_id) VALUES ($1) RETURNING draft_id";
            let draft: Uuid = transaction.query_one(draft, &[&import])?.try_get(0)?;
            let parsed = json!({"workout_date": "2026-03-02", "title": title});
            let workout = transaction.query_one(COMMIT, &[&draft, &parsed])?;
            assert_eq!(workout.try_get::<_, bool>(1)?, again);
            // A savepoint that is rolled back takes nothing along.
            let mut savepoint = transaction.transaction()?;
            let same = savepoint.query_one(COMMIT, &[&draft, &parsed])?;
            assert_eq!(same.try_get::<_, Uuid>(0)?, workout.try_get::<_, Uuid>(0)?);
            savepoint.rollback()?;
        }
        transaction.commit()?;
    }
    assert_eq!(titles(&mut client, anna)?, ["Row", "Squat"]);
    assert_eq!(db.psql("SELECT count(*) FROM imports")?, "3");
    Ok(())
}

fn titles(client: &mut Client, athlete: Uuid) -> Result<Vec<String>> {
    let rows = client.query("SELECT session_title FROM workouts WHERE athlete_id = $1 ORDER BY 1", &[&athlete])?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
