//! Dumps, and a dropped extension: what users have is theirs, and goes on working wherever it comes back.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use once_tests::files::{File, load, names, status};
use once_tests::postgres::{Client, NoTls};
use once_tests::promo::{
    A, B, call, codes, import, imported, install, mark, refused, refused_well, stage, text, texts,
};
use once_tests::{Db, Uuid, Value, postgres};
use xtask::run::{output, output_with_input};

#[path = "dump/clinic.rs"]
mod clinic;
#[path = "dump/mail.rs"]
mod mail;
#[path = "dump/workouts.rs"]
mod workouts;

/// What happened before the dump.
struct Past {
    /// A completed job of A, one of whose codes was claimed.
    claimed: Uuid,
    /// A completed job of B.
    whole: Uuid,
    /// A job of B that was rolled back.
    undone: Uuid,
    /// What validation said of what A has staged still.
    verdict: Value,
}

/// What A has staged last.
fn last_file() -> File {
    File::new("last.csv", ["A3", "A4", "A5"].map(|code| (A, code)))
}

const REJECTS: &str = "SELECT concat_ws('|', file, line, value, reason) FROM once.import_rejects";

fn live(client: &mut Client) -> Result<Past> {
    client.batch_execute(
        r#"CREATE SCHEMA "Shop"; CREATE TABLE "Shop"."Gift Cards" ("Shop" int, "No" text, "Job" uuid, UNIQUE ("Shop", "No"));
           SELECT once.create_target('gifts', '"Shop"."Gift Cards"', '{"key": ["No"], "scope": "Shop", "job_column": "Job"}');
           INSERT INTO "Shop"."Gift Cards_staging" ("Shop", "No") VALUES (7, 'x'), (7, 'x'), (7, 'y');
           SELECT once.mark_duplicates('gifts', '7');"#,
    )?;
    stage(client, A, &["A1", "A2", "A2", "A3"])?;
    let claimed = imported(&import(client, A)?)?;
    client.execute("UPDATE codes SET claimed = true WHERE code = 'A2'", &[])?;
    stage(client, B, &["B1"])?;
    let undone = imported(&import(client, B)?)?;
    call(client, "rollback_import_job($1)", &[&undone])?;
    stage(client, B, &["B2"])?;
    let whole = imported(&import(client, B)?)?;
    load(client, &last_file())?;
    let rejected =
        r#"SELECT once.end_file('codes', $1, 'last.csv', '{}', '[{"line": 5, "value": "A\\n", "reason": "r"}]')"#;
    let sha256 = last_file().sha256(client)?;
    client.execute(rejected, &[&sha256])?;
    mark(client, A)?;
    let verdict = call(client, "validate_clean_codes_for_insert($1)", &[&A])?;
    assert_eq!(verdict["total_clean_codes"], 2);
    Ok(Past { claimed, whole, undone, verdict })
}

/// That everything goes on from where it was.
fn goes_on(client: &mut Client, past: &Past) -> Result<()> {
    assert_eq!(call(client, "validate_clean_codes_for_insert($1)", &[&A])?, past.verdict);
    assert_eq!((load(client, &last_file())?, names(client, A)?), (0, vec!["last.csv".into()]));
    for (job, verified, status) in
        [(past.claimed, true, "completed"), (past.whole, true, "completed"), (past.undone, false, "rolled_back")]
    {
        let answer = call(client, "verify_import_job($1)", &[&job])?;
        assert_eq!((&answer["verified"], &answer["status"]), (&verified.into(), &status.into()), "{answer}");
    }
    let answer = call(client, "rollback_import_job($1)", &[&past.claimed])?;
    assert_eq!((&answer["success"], &answer["codes_kept"]), (&false.into(), &1.into()), "{answer}");
    let answer = call(client, "rollback_import_job($1, true)", &[&past.claimed])?;
    assert_eq!((&answer["success"], &answer["codes_deleted"]), (&true.into(), &2.into()), "{answer}");
    assert_eq!(codes(client, A)?, ["A2"]);
    // A1 and A3 are free again, once that is found out by marking.
    let answer = import(client, A)?;
    assert_eq!(answer["codes_inserted"], 4, "{answer}");
    assert_eq!(codes(client, A)?, ["A1", "A2", "A3", "A4", "A5"]);
    assert_eq!(refused_well(client, "SELECT once.rollback_import_job($1)", &[&past.undone])?, "55000");
    Ok(())
}

fn connect(db: &Db, name: &str, role: &str) -> Result<Client> {
    let mut config = postgres::Config::new();
    config.host_path(db.cluster().socket_dir()).user(role).dbname(name);
    config.connect(NoTls).with_context(|| format!("could not connect to {name} as {role}"))
}

/// A client program, run as some role.
fn program(db: &Db, name: &str, role: &str) -> Command {
    let mut command = db.cluster().client(name);
    command.args(["-U", role]);
    command
}

/// What pg_dump gives, without the key that newer versions draw at random.
fn dump(db: &Db, name: &str, role: &str, options: &[&str]) -> Result<String> {
    let text = output(program(db, "pg_dump", role).args(options).arg(name))?;
    let random = |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
    Ok(text.lines().filter(|line| !random(line)).collect::<Vec<_>>().join("\n"))
}

fn restore(db: &Db, name: &str, role: &str, dump: &str) -> Result<()> {
    output_with_input(program(db, "psql", role).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", name]), dump).map(drop)
}

#[test]
fn a_dump_brings_everything_back() -> Result<()> {
    let db = Db::on_own_cluster("dumped", &[])?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    let past = live(&mut client)?;

    let whole = dump(&db, db.name(), "postgres", &[])?;
    db.cluster().createdb("restored", None)?;
    restore(&db, "restored", "postgres", &whole)?;
    // Nothing is lost or changed: what was restored dumps as the same text.
    assert_eq!(dump(&db, "restored", "postgres", &[])?, whole);
    let mut restored = connect(&db, "restored", "postgres")?;
    assert_eq!(texts(&mut restored, REJECTS)?, [r"last.csv|5|A\n|r"]);
    assert_eq!(texts(&mut restored, "SELECT name FROM once.target_list ORDER BY 1")?, ["codes", "gifts"]);
    goes_on(&mut restored, &past)?;
    let gifts = call(&mut restored, "insert_clean('gifts', '7')", &[])?;
    assert_eq!(gifts["codes_inserted"], 2, "{gifts}");

    // Without the rows of UNLOGGED tables, what was staged is gone, and that is said.
    let partial = dump(&db, db.name(), "postgres", &["--no-unlogged-table-data"])?;
    db.cluster().createdb("partial", None)?;
    restore(&db, "partial", "postgres", &partial)?;
    let mut partial = connect(&db, "partial", "postgres")?;
    for step in ["mark_duplicates_in_temp", "validate_clean_codes_for_insert", "insert_clean_codes_to_production"] {
        let refusal = refused(&mut partial, &format!("SELECT once.{step}($1)"), &[&A])?;
        assert_eq!(refusal.code().code(), "55000", "{step}");
        assert!(refusal.message().contains("emptied"), "{step}: {}", refusal.message());
    }
    assert_eq!(call(&mut partial, "verify_import_job($1)", &[&past.whole])?["verified"], true);
    let sha256 = last_file().sha256(&mut partial)?;
    let refusal = refused(&mut partial, "SELECT once.begin_file('codes', $1)", &[&sha256])?;
    assert_eq!(refusal.code().code(), "55000", "{refusal:?}");
    let staged = status(&mut partial, A)?;
    assert_eq!((&staged["emptied"], &staged["files"]), (&true.into(), &Value::Array(Vec::new())));
    call(&mut partial, "clear_temp_data($1)", &[&A])?;
    assert_eq!(load(&mut partial, &last_file())?, 3);
    stage(&mut partial, A, &["A9"])?;
    assert_eq!(import(&mut partial, A)?["codes_inserted"], 3);
    Ok(())
}

#[test]
fn dropping_the_extension_leaves_everything_and_creating_it_again_goes_on() -> Result<()> {
    let (db, mut client) = install("dropped")?;
    let past = live(&mut client)?;
    let member = db.create_role("member")?;
    client.batch_execute(&format!(
        "INSERT INTO merchant_members VALUES ('{B}', '{member}'); SELECT once.grant_import_access('codes', '{member}');"
    ))?;
    let rows = "SELECT (SELECT count(*) FROM codes) || ' ' || (SELECT count(*) FROM codes_check_temp) || ' ' || \
                (SELECT count(*) FROM once.import_jobs) || ' ' || (SELECT count(*) FROM once.staging_checks) || ' ' || \
                (SELECT string_agg(f::text, ' ') FROM once.staged_files f)";
    let before = text(&mut client, rows)?;

    client.batch_execute("DROP EXTENSION pg_once")?;
    assert_eq!(text(&mut client, rows)?, before);
    assert_eq!(texts(&mut client, REJECTS)?, [r"last.csv|5|A\n|r"]);
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes_import_jobs")?, "3");
    let refusal = refused(&mut client, "DELETE FROM once.import_jobs RETURNING 1", &[])?;
    assert_eq!(refusal.code().code(), "55000", "{refusal:?}");
    let mut of_b = db.client_as(&member)?;
    assert_eq!(texts(&mut of_b, "SELECT code FROM codes ORDER BY 1")?, ["B1", "B2"]);
    assert_eq!(texts(&mut of_b, "SELECT DISTINCT merchant_id::text FROM codes_import_jobs")?, [B.to_string()]);
    let refusal = refused(&mut of_b, "INSERT INTO codes (merchant_id, code) VALUES ($1, 'intruder')", &[&A])?;
    assert_eq!(refusal.code().code(), "42501");

    client.batch_execute("CREATE EXTENSION pg_once SCHEMA once")?;
    let answer = call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    assert_eq!(answer["created"], Value::Array(Vec::new()), "{answer}");
    assert_eq!(text(&mut client, rows)?, before);
    goes_on(&mut client, &past)?;
    client.batch_execute(
        r#"SELECT once.create_target('gifts', '"Shop"."Gift Cards"', '{"key": ["No"], "scope": "Shop", "job_column": "Job"}')"#,
    )?;
    assert_eq!(call(&mut client, "insert_clean('gifts', '7')", &[])?["codes_inserted"], 2);
    assert_eq!(load(&mut of_b, &File::new("b.csv", [(B, "B3")]))?, 1);
    imported(&import(&mut of_b, B)?)?;
    Ok(())
}

#[test]
fn the_extension_lives_in_whatever_schema_it_is_given() -> Result<()> {
    for schema in ["zamm", "public", "My Schema"] {
        let db = Db::new("schema")?;
        let mut client = db.client()?;
        let quoted = format!("\"{schema}\"");
        client.batch_execute(&format!(
            "DROP EXTENSION pg_once; DROP SCHEMA once; CREATE SCHEMA IF NOT EXISTS {quoted};
             CREATE EXTENSION pg_once SCHEMA {quoted}; CREATE SCHEMA shop; SET search_path = pg_catalog;
             SELECT {quoted}.install_kit('promo_codes', 'shop');
             INSERT INTO shop.codes_check_temp (merchant_id, code) VALUES ('{A}', 'a'), ('{A}', 'a'), ('{A}', 'b');"
        ))?;
        let mut ask = |call: &str| -> Result<Value> {
            let row = client.query_one(&format!("SELECT to_jsonb(x) FROM {quoted}.{call} x"), &[]);
            Ok(row.with_context(|| format!("{schema}: {call}"))?.try_get(0)?)
        };
        assert_eq!(ask(&format!("mark_duplicates_in_temp('{A}')"))?["internal_duplicates"], 1);
        assert_eq!(ask(&format!("validate_clean_codes_for_insert('{A}')"))?["valid"], true);
        let job = imported(&ask(&format!("insert_clean_codes_to_production('{A}')"))?)?;
        assert_eq!(ask(&format!("verify_import_job('{job}')"))?["verified"], true);
        assert_eq!(ask(&format!("rollback_import_job('{job}')"))?["codes_deleted"], 2);
        assert_eq!(ask(&format!("clear_temp_data('{A}')"))?["rows_deleted"], 3);
        assert_eq!(text(&mut client, "SELECT status FROM shop.codes_import_jobs")?, "rolled_back");
    }
    Ok(())
}

/// Who owns a database, and is no superuser, can do all of it.
#[test]
fn the_owner_of_a_database_needs_no_superuser() -> Result<()> {
    let db = Db::on_own_cluster("owned", &[])?;
    let owner = db.create_role("owner")?;
    db.psql(&format!("CREATE DATABASE mine OWNER \"{owner}\"; CREATE DATABASE moved OWNER \"{owner}\""))?;
    let mut client = connect(&db, "mine", &owner)?;
    client.batch_execute(
        "CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once; SELECT once.install_kit('promo_codes', 'public')",
    )?;
    let past = live(&mut client)?;

    let whole = dump(&db, "mine", &owner, &[])?;
    restore(&db, "moved", &owner, &whole)?;
    let mut moved = connect(&db, "moved", &owner)?;
    assert_eq!(texts(&mut moved, "SELECT name FROM once.target_list ORDER BY 1")?, ["codes", "gifts"]);
    goes_on(&mut moved, &past)?;
    goes_on(&mut client, &past)?;
    client.batch_execute("DROP EXTENSION pg_once")?;
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM codes")?, "7");
    Ok(())
}

#[test]
fn a_database_that_is_not_utf8_is_refused() -> Result<()> {
    let db = Db::on_own_cluster("encoded", &[])?;
    let mut wrong = Vec::new();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        db.psql(&format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"))?;
        let mut client = connect(&db, &name, "postgres")?;
        let refusal = refused(&mut client, "CREATE EXTENSION pg_once", &[])?;
        let hint = refusal.hint().unwrap_or_default();
        if !(refusal.message().contains("UTF8") && hint.contains("ENCODING 'UTF8'") && refusal.code().code() == "0A000")
        {
            wrong.push(format!("{encoding}: {refusal:?}"));
        }
        ensure!(text(&mut client, "SELECT count(*)::text FROM pg_extension WHERE extname = 'pg_once'")? == "0");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
