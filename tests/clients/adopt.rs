//! Adopting imports and workouts from before there was a key: nothing is deleted, the oldest stays, and what is there
//! afterwards can't repeat itself any more. Expected values are written down here or computed by Postgres's own functions.

use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{advised, call, refused, texts};
use once_tests::{Db, Uuid, Value, json};

#[path = "adopt/batches.rs"]
mod batches;
#[path = "adopt/keys.rs"]
mod keys;
#[path = "adopt/own.rs"]
mod own;
#[path = "adopt/refused.rs"]
mod refusals;
#[path = "adopt/traps.rs"]
mod traps;

/// An athlete, one of A to Z.
fn athlete(letter: char) -> Uuid {
    Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0000 + letter as u128)
}

/// What Postgres says of white space, NFC and SHA-256. (Its `\s` knows no NO-BREAK SPACE in every locale.)
const SUM: &str = "CREATE FUNCTION pg_temp.sum(content text) RETURNS text LANGUAGE sql AS $$
    SELECT encode(sha256(convert_to(btrim(regexp_replace(normalize(translate(content, U&'\\00A0', ' '), NFC), '[ \t\n\r]+', ' ', 'g'), ' '), 'UTF8')), 'hex') $$;
    CREATE FUNCTION pg_temp.i(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('10000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
    CREATE FUNCTION pg_temp.w(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('20000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
    CREATE FUNCTION pg_temp.n(id uuid) RETURNS int LANGUAGE sql AS $$ SELECT right(id::text, 12)::int $$;";

/// A database near to life: checksums of several kinds and none, tags that may be NULL, types of its own, a key that
/// takes no care of whose an import is, workouts with and without imports.
const TABLES: &str = "
    CREATE TABLE imports (import_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), athlete_id uuid, raw_text text,
      checksum_sha256 varchar(64), source varchar(20), tags text[], received_at timestamp DEFAULT now(),
      CONSTRAINT legacy_checksum_key UNIQUE (checksum_sha256));
    CREATE TABLE workout_drafts (draft_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), import_id uuid NOT NULL REFERENCES imports,
      parsed_draft json, stage varchar(20));
    CREATE TABLE workouts (workout_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), import_id uuid REFERENCES imports, athlete_id uuid NOT NULL,
      workout_date date NOT NULL, session_title varchar(200), content_hash_ref varchar(64), created_at timestamp DEFAULT now());";

fn rows() -> String {
    let [a, b, d] = ['A', 'B', 'D'].map(athlete);
    format!(
        "INSERT INTO imports (import_id, athlete_id, raw_text, checksum_sha256, source, tags, received_at)
         SELECT pg_temp.i(n), athlete::uuid, raw, sum, 'app', tags::text[], at::timestamp FROM (VALUES
           (1, '{a}', 'Squat 5x5', NULL, NULL, '2024-01-01'),
           (2, '{a}', 'Squat  5x5', NULL, '{{coach}}', '2024-01-02'),
           (3, '{a}', E' Squat\\t5x5\\n', md5(E' Squat\\t5x5\\n'), '{{}}', '2023-12-31'),
           (4, '{b}', 'Squat 5x5', '', NULL, '2024-01-03'),
           (5, NULL, 'Squat 5x5', pg_temp.sum('Squat 5x5'), NULL, '2024-01-05'),
           (6, NULL, 'Squat 5x5', NULL, NULL, '2024-01-04'),
           (7, '{a}', 'Bench', upper(pg_temp.sum('Bench')), '{{x,duplicate_archived}}', '2024-02-01'),
           (8, '{a}', 'Bench', pg_temp.sum('Bench'), '{{}}', '2024-02-02'),
           (9, '{a}', 'Bench', NULL, '{{}}', '2024-02-03'),
           (10, '{b}', '', NULL, '{{}}', '2024-03-01'),
           (11, '{d}', '   ', NULL, '{{}}', '2024-03-02'),
           (12, '{d}', U&'Caf\\00E9 \\00A0run', NULL, '{{}}', '2024-04-02'),
           (13, '{d}', U&'Cafe\\0301 run', NULL, NULL, '2024-04-01')
         ) AS v (n, athlete, raw, sum, tags, at);
         INSERT INTO workout_drafts (draft_id, import_id) SELECT pg_temp.i(n), pg_temp.i(n) FROM generate_series(1, 13) n;
         INSERT INTO workouts (workout_id, import_id, athlete_id, workout_date, content_hash_ref, created_at)
         SELECT pg_temp.w(n), pg_temp.i(import), athlete::uuid, day::date, hash, at::timestamp FROM (VALUES
           (1, 1, '{a}', '2024-01-01', NULL, '2024-01-01 10:00'),
           (2, 2, '{a}', '2024-01-01', NULL, '2024-01-01 09:00'),
           (3, 3, '{a}', '2024-01-03', md5(E' Squat\\t5x5\\n'), '2024-01-03 09:00'),
           (4, 3, '{a}', '2024-01-03', NULL, '2024-01-03 10:00'),
           (5, NULL, '{a}', '2024-01-06', NULL, '2024-01-06'),
           (6, NULL, '{a}', '2024-01-06', 'by hand', '2024-01-06'),
           (7, 8, '{a}', '2024-02-02', pg_temp.sum('Bench'), '2024-02-02 10:00'),
           (8, 9, '{a}', '2024-02-02', NULL, '2024-02-02 09:00'),
           (9, 6, '{b}', '2024-01-04', NULL, '2024-01-04'),
           (10, 7, '{a}', '2024-02-01', upper(pg_temp.sum('Bench')), '2024-02-01')
         ) AS v (n, import, athlete, day, hash, at);"
    )
}

/// A new database with the legacy tables, and a connection.
fn legacy(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(SUM)?;
    client.batch_execute(TABLES)?;
    client.batch_execute(&rows())?;
    Ok((db, client))
}

fn adopt(client: &mut Client, arguments: &str) -> Result<Value> {
    call(client, &format!("adopt_imports({arguments})"), &[])
}

fn install(client: &mut Client) -> Result<Value> {
    call(client, "install_kit('workouts', 'public')", &[])
}

/// Everything that DDL could have changed, and where each row of the users' lies and who wrote it.
fn whole_state(client: &mut Client) -> Result<Vec<String>> {
    let mut state = texts(
        client,
        "SELECT concat_ws(' ', 'class', oid, xmin, relname, relfilenode, relnatts, relchecks, relacl) FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace
         UNION ALL SELECT concat_ws(' ', 'attribute', attrelid, attnum, xmin, attname, atttypid, attnotnull, attisdropped) FROM pg_attribute WHERE attrelid > 16383
         UNION ALL SELECT concat_ws(' ', 'constraint', oid, xmin, conname) FROM pg_constraint
         UNION ALL SELECT concat_ws(' ', 'index', indexrelid, xmin) FROM pg_index
         UNION ALL SELECT concat_ws(' ', 'default', oid, xmin) FROM pg_attrdef
         UNION ALL SELECT concat_ws(' ', 'trigger', oid, xmin) FROM pg_trigger
         UNION ALL SELECT concat_ws(' ', 'rule', oid, xmin) FROM pg_rewrite
         UNION ALL SELECT concat_ws(' ', 'proc', oid, xmin) FROM pg_proc WHERE oid > 16383
         UNION ALL SELECT concat_ws(' ', 'type', oid, xmin) FROM pg_type WHERE oid > 16383
         UNION ALL SELECT concat_ws(' ', 'description', objoid, xmin) FROM pg_description WHERE objoid > 16383
         UNION ALL SELECT concat_ws(' ', 'target', xmin, t::text) FROM once.targets t ORDER BY 1",
    )?;
    for table in ["imports", "workout_drafts", "workouts"] {
        state.extend(texts(
            client,
            &format!("SELECT concat_ws(' ', '{table}', ctid, xmin, to_json(t)) FROM {table} t ORDER BY ctid"),
        )?);
    }
    Ok(state)
}

/// That nothing is different from the state before; what is, is shown.
fn unchanged(client: &mut Client, before: &[String]) -> Result<()> {
    let after = whole_state(client)?;
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}, new: {new:#?}");
    Ok(())
}

/// What a dry run and the real one must both tell, of the figures.
const FIGURES: [&str; 6] = [
    "rows",
    "checksums_computed",
    "checksums_malformed",
    "duplicates_archived",
    "records_filled",
    "records_without_hash",
];

fn figures(answer: &Value) -> [i64; 6] {
    FIGURES.map(|name| answer[name].as_i64().unwrap_or(-1))
}

/// 13 imports; all but 5 and 8 without a good checksum; of which 3, 4 and 7 have a malformed one; 1, 2, 5, 9 and 12
/// repeat an older one. Of 10 workouts 2, 3, 9 and 10 can be filled; 1, 4, 5 and 8 are left.
const EXPECTED: [i64; 6] = [13, 11, 3, 5, 4, 4];

/// That the legacy database is adopted, by what must be in it.
fn is_adopted(client: &mut Client) -> Result<()> {
    let numbers = |client: &mut Client, sql: &str| texts(client, sql);
    let archived =
        "SELECT pg_temp.n(import_id)::text FROM imports WHERE tags @> '{duplicate_archived}' ORDER BY import_id";
    assert_eq!(numbers(client, archived)?, ["1", "2", "5", "7", "9", "12"]);
    let tags = "SELECT concat(pg_temp.n(import_id), tags) FROM imports WHERE tags <> '{}' ORDER BY import_id";
    let expected = [
        "1{duplicate_archived}",
        "2{coach,duplicate_archived}",
        "5{duplicate_archived}",
        "7{x,duplicate_archived}",
        "9{duplicate_archived}",
        "12{duplicate_archived}",
    ];
    assert_eq!(numbers(client, tags)?, expected);
    let wrong_sums = "SELECT pg_temp.n(import_id)::text FROM imports WHERE checksum_sha256 <> pg_temp.sum(raw_text)";
    assert_eq!(numbers(client, wrong_sums)?, [""; 0]);
    // A version is known of those that were computed.
    let versions = "SELECT concat(pg_temp.n(import_id), normalizer_version) FROM imports WHERE normalizer_version IS DISTINCT FROM 'whitespace/1' ORDER BY 1";
    assert_eq!(numbers(client, versions)?, ["5", "8"]);
    let hashes = "SELECT concat_ws(' ', pg_temp.n(workout_id), CASE content_hash_ref WHEN pg_temp.sum('Squat 5x5') THEN 'squat' WHEN pg_temp.sum('Bench') THEN 'bench' ELSE content_hash_ref END)
                  FROM workouts ORDER BY workout_id";
    let expected = ["1", "2 squat", "3 squat", "4", "5", "6 by hand", "7 bench", "8", "9 squat", "10 bench"];
    assert_eq!(numbers(client, hashes)?, expected);

    // The constraints hold, whoever writes.
    let [a, z] = ['A', 'Z'].map(athlete);
    let insert = "INSERT INTO imports (athlete_id, raw_text, source, checksum_sha256, tags)";
    for (values, code) in [
        (format!("('{a}', 'x', 's', NULL, '{{}}')"), "23502"),
        (format!("('{a}', 'x', 's', repeat('a', 64), NULL)"), "23502"),
        (format!("('{a}', 'x', 's', repeat('A', 64), '{{}}')"), "23514"),
        (format!("('{a}', 'x', 's', repeat('a', 63), '{{}}')"), "23514"),
        (format!("('{a}', 'x', 's', pg_temp.sum('Bench'), '{{}}')"), "23505"),
        ("(NULL, 'x', 's', pg_temp.sum('Squat 5x5'), '{y}')".into(), "23505"),
    ] {
        let error = refused(client, &format!("{insert} VALUES {values} RETURNING 1"), &[])?;
        assert_eq!(error.code().code(), code, "{values}: {error:?}");
    }
    let mut transaction = client.transaction()?;
    for values in [
        // Another athlete; an archived row, twice.
        format!("('{z}', 'x', 's', pg_temp.sum('Bench'), '{{}}')"),
        format!("('{a}', 'x', 's', pg_temp.sum('Bench'), '{{duplicate_archived}}')"),
        "(NULL, 'x', 's', pg_temp.sum('Squat 5x5'), '{a,duplicate_archived}')".into(),
    ] {
        transaction.execute(&format!("{insert} VALUES {values}"), &[]).with_context(|| values)?;
    }
    transaction.rollback()?;
    let twice = "INSERT INTO workouts (athlete_id, workout_date, content_hash_ref) SELECT athlete_id, workout_date, content_hash_ref FROM workouts WHERE workout_id = pg_temp.w(3) RETURNING 1";
    assert_eq!(refused(client, twice, &[])?.code().code(), "23505");
    Ok(())
}

/// The rows as they were received, which nothing may change.
fn received(client: &mut Client) -> Result<Vec<String>> {
    texts(
        client,
        "SELECT concat_ws('|', 'i', import_id, athlete_id, quote_nullable(raw_text), source, received_at) FROM imports
         UNION ALL SELECT concat_ws('|', 'd', draft_id, import_id, parsed_draft, stage) FROM workout_drafts
         UNION ALL SELECT concat_ws('|', 'w', workout_id, import_id, athlete_id, workout_date, session_title, created_at) FROM workouts ORDER BY 1",
    )
}

/// What the monitoring views show of the adopted legacy database.
fn monitoring_is_right(client: &mut Client) -> Result<()> {
    assert_eq!(texts(client, "SELECT import_id::text FROM v_imports_without_checksum")?, [""; 0]);
    assert_eq!(texts(client, "SELECT checksum_sha256::text FROM v_duplicate_imports")?, [""; 0]);
    let without = "SELECT pg_temp.n(workout_id)::text FROM v_workouts_without_hash ORDER BY workout_id";
    assert_eq!(texts(client, without)?, ["1", "4", "5", "8"]);
    // 3 and 4 are of one import. (1 and 2, 7 and 8 are of two, and only their hash would tell.)
    let pairs = "SELECT concat_ws(' ', pg_temp.n(workout_id), pg_temp.n(other_workout_id), reasons) FROM v_potential_duplicate_workouts ORDER BY 1";
    assert_eq!(texts(client, pairs)?, ["3 4 {\"same import\"}"]);
    Ok(())
}

/// Imports go on: what the athletes had is found, under the oldest import's id.
fn imports_go_on(client: &mut Client) -> Result<()> {
    let [a, b, z] = ['A', 'B', 'Z'].map(|letter| Some(athlete(letter)));
    let mut import = |athlete: Option<Uuid>, content: &str| -> Result<String> {
        let row = client.query_one(
            "SELECT concat_ws(' ', CASE WHEN is_duplicate THEN pg_temp.n(import_id)::text ELSE 'new' END, message ~ '^Duplicate import detected. Returning existing import from 20', checksum = pg_temp.sum($2))
             FROM once.import_raw_text_idempotent($1, $2, 'test')",
            &[&athlete, &content],
        );
        Ok(row.with_context(|| format!("{athlete:?} {content}"))?.try_get(0)?)
    };
    for (athlete, content, expected) in [
        (a, "Squat 5x5", "3 t t"),
        (b, "  Squat 5x5", "4 t t"),
        (None, "Squat\n5x5", "6 t t"),
        (a, "Bench", "8 t t"),
        (z, "Bench", "new f t"),
        (b, "Bench", "new f t"),
    ] {
        assert_eq!(import(athlete, content)?, expected, "{athlete:?} {content}");
    }
    // The same import's drafts are one workout; of an archived import's, too.
    let mut commit = |draft: i32, day: &str| -> Result<String> {
        let sql =
            "SELECT concat_ws(' ', CASE WHEN is_duplicate THEN pg_temp.n(workout_id)::text ELSE 'new' END, message)
                   FROM once.commit_workout_idempotent(pg_temp.i($1), jsonb_build_object('workout_date', $2::text))";
        Ok(client.query_one(sql, &[&draft, &day]).with_context(|| format!("draft {draft}"))?.try_get(0)?)
    };
    let again = "Duplicate workout detected. Same athlete/date/content already exists";
    for (draft, day, expected) in [
        (3, "2024-01-03", format!("3 {again}")),
        (1, "2024-01-01", format!("2 {again}")),
        (9, "2024-02-02", format!("7 {again}")),
        (9, "2024-02-03", "new New workout committed".into()),
    ] {
        assert_eq!(commit(draft, day)?, expected, "draft {draft}");
    }
    Ok(())
}

#[test]
fn a_legacy_database_is_adopted_before_the_kit_is_installed() -> Result<()> {
    let (_db, mut client) = legacy("before_kit")?;
    let rows = received(&mut client)?;
    let told = adopt(&mut client, "'imports'")?;
    let done = adopt(&mut client, "'imports', false")?;
    assert_eq!((figures(&told), figures(&done)), (EXPECTED, EXPECTED), "{told}\n{done}");
    assert_eq!(
        (&done["complete"], &done["dry_run"], &done["relation"]),
        (&json!(true), &json!(false), &json!("public.imports"))
    );
    assert_eq!((&done["keys_replaced"], &done["tags_filled"]), (&json!(["legacy_checksum_key"]), &json!(3)));
    is_adopted(&mut client)?;
    assert_eq!(done["oldest_by"], json!(["received_at", "import_id"]));
    assert_eq!(received(&mut client)?, rows);

    let installed = install(&mut client)?;
    assert_eq!(
        (&installed["created"], installed["adopted"].as_array().map(Vec::len)),
        (&json!([]), Some(3)),
        "{installed}"
    );
    is_adopted(&mut client)?;
    assert_eq!(received(&mut client)?, rows);
    monitoring_is_right(&mut client)?;
    // The kit has added the column of drafts to workouts, which wants a key of its own.
    adopt(&mut client, "'imports', false")?;
    imports_go_on(&mut client)
}

#[test]
fn a_legacy_database_is_adopted_after_the_kit_was_installed() -> Result<()> {
    let (_db, mut client) = legacy("after_kit")?;
    let rows = received(&mut client)?;
    install(&mut client)?;
    assert_eq!(received(&mut client)?, rows);
    // Until then nothing is taken in, and the refusal says what to do.
    let import = "SELECT once.import_raw_text_idempotent(NULL, 'x', 's')::text";
    let error = refused(&mut client, import, &[])?;
    assert_eq!(error.code().code(), "42P10", "{error:?}");
    let told = adopt(&mut client, "'imports'")?;
    assert_eq!(figures(&told), EXPECTED, "{told}");
    let advised = advised(&error).or_else(|_| error.hint().map(str::to_owned).context("no hint"))?;
    let done: Value =
        client.query_one(advised.trim_end_matches(';'), &[]).with_context(|| advised.clone())?.try_get(0)?;
    assert_eq!((figures(&done), &done["dry_run"]), (EXPECTED, &json!(false)), "{done}");
    is_adopted(&mut client)?;
    assert_eq!(received(&mut client)?, rows);
    monitoring_is_right(&mut client)?;
    imports_go_on(&mut client)
}

/// Whatever a dry run tells is what the real run does: lists and figures, in both orders.
#[test]
fn a_dry_run_tells_exactly_what_the_real_run_does() -> Result<()> {
    for kit_first in [false, true] {
        let (_db, mut client) = legacy("told")?;
        if kit_first {
            install(&mut client)?;
        }
        let mut told = adopt(&mut client, "'imports'")?;
        let done = adopt(&mut client, "'imports', false")?;
        told["dry_run"] = json!(false);
        assert_eq!(told, done, "kit first: {kit_first}");
    }
    Ok(())
}

#[test]
fn a_dry_run_is_the_default_and_changes_nothing_at_all() -> Result<()> {
    for kit_first in [false, true] {
        let (_db, mut client) = legacy("dry")?;
        if kit_first {
            install(&mut client)?;
        }
        let before = whole_state(&mut client)?;
        for arguments in ["'imports'", "'imports', true", "'imports', dry_run => true, max_rows => 2"] {
            assert_eq!(adopt(&mut client, arguments)?["dry_run"], true);
        }
        unchanged(&mut client, &before)?;
        // Nor does it want to write, or keep anybody out.
        let mut transaction = client.build_transaction().read_only(true).start()?;
        call(&mut transaction, "adopt_imports('imports')", &[])?;
        let locks = "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384 AND mode NOT IN ('AccessShareLock')";
        assert_eq!(texts(&mut transaction, locks)?, [""; 0]);
    }
    Ok(())
}

#[test]
fn adopting_again_finds_nothing_to_do_and_changes_nothing() -> Result<()> {
    let (_db, mut client) = legacy("again")?;
    install(&mut client)?;
    adopt(&mut client, "'imports', false")?;
    let before = whole_state(&mut client)?;
    for dry_run in [true, false] {
        let again = adopt(&mut client, &format!("'imports', {dry_run}"))?;
        assert_eq!(figures(&again), [13, 0, 0, 0, 0, 4], "{again}");
        for list in ["columns_added", "keys_replaced", "constraints_added"] {
            assert_eq!(again[list], json!([]), "{again}");
        }
        assert_eq!(again["complete"], true);
    }
    unchanged(&mut client, &before)?;
    // Nor does a kit that is new and healthy need any of it.
    client.batch_execute("CREATE SCHEMA fresh; SELECT once.install_kit('workouts', 'fresh', 'fresh_')")?;
    let before = whole_state(&mut client)?;
    let fresh = adopt(&mut client, "'fresh.fresh_imports', false")?;
    assert_eq!((figures(&fresh), &fresh["constraints_added"]), ([0; 6], &json!([])), "{fresh}");
    unchanged(&mut client, &before)?;
    Ok(())
}
