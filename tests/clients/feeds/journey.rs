//! A sheet over a long time: whatever is done to it, the leads are what its rows one by one would give.

use super::sheet::{Dice, Leads, Sheet, install, run, there, told_once};
use anyhow::Result;
use once_tests::mail::fields;
use once_tests::promo::{call, imported, text, texts};
use once_tests::{Db, Uuid, Value, json};

/// 100 runs over a sheet of 1,000 leads that is appended to, sorted, moved around, edited and deleted from.
#[test]
fn a_sheet_that_people_work_on() -> Result<()> {
    let db = Db::new("feed_sheet")?;
    let mut client = install(&db)?;
    let (mut dice, mut leads) = (Dice::new(7), Leads::default());
    let mut sheet = Sheet::new(1000, &mut dice);
    let mut inserted = 0;
    for number in 0..100 {
        let answer = run(&mut client, &sheet.json())?;
        assert_eq!(answer["success"], true, "{answer}");
        leads.process(&sheet);
        inserted += fields(&answer, ["inserted"])[0];
        assert_eq!(inserted, leads.len() as i64, "run {number}: {answer}");
        let faulty = sheet.rows.iter().filter(|row| row.id.is_none() || row.name.is_none() || row.phone.is_none());
        // Those with the same fault and nothing else to tell them by are one row.
        assert!(fields(&answer, ["rejected"])[0] <= faulty.count() as i64, "{answer}");
        sheet.work(&mut dice);
    }
    assert_eq!(there(&mut client)?, leads.shown());
    told_once(&mut client)?;
    // What is in the last sheet and at fault is open, once; a run with nothing else leaves no job.
    let jobs = "SELECT count(*)::text FROM once.import_jobs";
    run(&mut client, &sheet.json())?;
    let before = text(&mut client, jobs)?;
    let answer = run(&mut client, &sheet.json())?;
    assert_eq!(fields(&answer, ["new_rows_detected", "inserted", "updated", "duplicates_skipped"]), [0; 4], "{answer}");
    assert_eq!((&answer["status"], &answer["job_id"]), (&json!("partial"), &json!(null)), "{answer}");
    assert_eq!(text(&mut client, jobs)?, before);
    let twice = "SELECT count(*)::text FROM (SELECT FROM once.import_rejects WHERE resolved_at IS NULL GROUP BY original HAVING count(*) > 1) r";
    assert_eq!(text(&mut client, twice)?, "0");
    Ok(())
}

/// A row that failed is tried again, and only it; it may succeed once its cause is mended.
#[test]
fn what_failed_is_tried_again() -> Result<()> {
    let db = Db::new("feed_again")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE people (name text PRIMARY KEY, age int CHECK (age > 0), CONSTRAINT grown CHECK (age >= 18));
         CREATE TABLE landing (name text, age int, at timestamptz);
         INSERT INTO landing VALUES ('a', 30, '2024-01-01'), ('b', 15, '2024-01-02'), ('c', -1, '2024-01-03');
         SELECT once.create_target('people', 'people', '{\"match\": [[\"name\"]]}');
         SELECT once.create_feed('all', 'people', '{\"source\": {\"relation\": \"public.landing\"}}');",
    )?;
    let run = |client: &mut once_tests::postgres::Client, feed: &str| call(client, "run_feed($1)", &[&feed]);
    let counts = ["rows_scanned", "new_rows_detected", "inserted", "rejected"];
    assert_eq!(fields(&run(&mut client, "all")?, counts), [3, 3, 1, 2]);
    assert_eq!(fields(&run(&mut client, "all")?, counts), [3, 0, 0, 2]);
    client.batch_execute("ALTER TABLE people DROP CONSTRAINT grown")?;
    let answer = run(&mut client, "all")?;
    assert_eq!(fields(&answer, counts), [3, 0, 1, 1], "{answer}");
    assert_eq!(answer["errors"][0]["row"], 3, "{answer}");
    let open = "SELECT line::text FROM once.import_rejects WHERE resolved_at IS NULL";
    assert_eq!(texts(&mut client, open)?, ["3"]);
    // What has been deleted at the source does not come back.
    client.batch_execute("DELETE FROM landing; ALTER TABLE people DROP CONSTRAINT people_age_check")?;
    assert_eq!(fields(&run(&mut client, "all")?, counts), [0, 0, 0, 0]);

    // A source that gives news only is asked from the last time on, and what failed is tried from its record.
    client.batch_execute(
        "ALTER TABLE people ADD CONSTRAINT grown CHECK (age >= 18) NOT VALID;
         INSERT INTO landing VALUES ('d', 40, '2024-02-01 10:00Z'), ('e', 15, '2024-02-01 11:00Z');
         SELECT once.create_feed('news', 'people',
           '{\"source\": {\"query\": \"SELECT * FROM public.landing WHERE $1 IS NULL OR at >= $1 -- since\"}, \"time\": \"at\", \"overlap\": \"30 minutes\"}');",
    )?;
    assert_eq!(fields(&run(&mut client, "news")?, counts), [2, 2, 1, 1]);
    client.batch_execute(
        "INSERT INTO landing VALUES ('late', 50, '2024-02-01 10:45Z'), ('lost', 50, '2024-02-01 10:15Z')",
    )?;
    let answer = run(&mut client, "news")?;
    assert_eq!(fields(&answer, counts), [2, 1, 1, 1], "{answer}");
    client.batch_execute("DELETE FROM landing; ALTER TABLE people DROP CONSTRAINT grown")?;
    let answer = run(&mut client, "news")?;
    assert_eq!(fields(&answer, counts), [0, 0, 1, 0], "{answer}");
    assert_eq!(texts(&mut client, "SELECT name FROM people ORDER BY 1")?, ["a", "b", "d", "e", "late"]);
    assert_eq!(answer["state"]["last_processed_time"], "2024-02-01T11:00:00+00:00");
    Ok(())
}

/// A row with an id is taken once, however it is edited; what was undone does not come back by itself.
#[test]
fn rows_by_their_id() -> Result<()> {
    let db = Db::new("feed_ids")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE notes (id int PRIMARY KEY, text text, org text);
         SELECT once.create_target('notes', 'notes', '{\"match\": [[\"id\"]]}');
         SELECT once.create_feed('notes', 'notes', '{\"row_id\": [\"id\"], \"set\": {\"org\": \"ours\"}}')",
    )?;
    let mut run = |rows: Value| call(&mut client, "run_feed('notes', $1)", &[&rows]);
    let first = run(json!([{"id": 1, "text": "x", "org": "theirs"}, {"id": 2, "text": "y"}]))?;
    assert_eq!(fields(&first, ["inserted"]), [2]);
    assert_eq!(first["state"]["last_processed_id"], "2");
    let edited = run(json!([{"id": 1, "text": "edited"}, {"id": 3, "text": "z"}]))?;
    assert_eq!(fields(&edited, ["new_rows_detected", "inserted", "updated"]), [1, 1, 0], "{edited}");
    assert_eq!(
        texts(&mut client, "SELECT concat_ws(' ', id, text, org) FROM notes ORDER BY id")?,
        ["1 x ours", "2 y ours", "3 z ours"]
    );

    let job = imported(&first)?;
    call(&mut client, "rollback_import_job($1)", &[&job])?;
    let again = call(&mut client, "run_feed('notes', '[{\"id\": 1, \"text\": \"x\"}]')", &[])?;
    assert_eq!(fields(&again, ["new_rows_detected"]), [0], "{again}");
    client.execute("DELETE FROM once.import_state_rows WHERE feed = 'notes' AND job_id = $1", &[&job])?;
    let again = call(&mut client, "run_feed('notes', '[{\"id\": 1, \"text\": \"x\"}]')", &[])?;
    assert_eq!(fields(&again, ["new_rows_detected", "inserted"]), [1, 1], "{again}");
    Ok(())
}

/// Odd sources, values and records lose nothing.
#[test]
fn odd_things_are_taken_as_they_are() -> Result<()> {
    let db = Db::new("feed_odd")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE odd (id bigserial PRIMARY KEY, k text UNIQUE, l text UNIQUE, q text, n numeric, at timestamptz);
         CREATE TABLE landing (k text, l text, q text, at timestamptz);
         INSERT INTO landing VALUES ('a', '1', 'x', now()), ('b', '2', 'y', '2999-01-01'), ('c', '3', 'z', now());
         SELECT once.create_target('odd', 'odd', '{\"match\": [[\"k\"], [\"l\"]]}');
         SELECT once.create_feed('q', 'odd', '{\"source\": {\"query\": \"SELECT * FROM public.landing WHERE $1 IS NULL OR at >= $1;\"}, \"time\": \"at\",
           \"set\": {\"n\": 12345678901234567890.123456789},
           \"notify\": {\"mode\": \"each\", \"recipients\": \"SELECT 1;\", \"message\": \"{k} {n} {nothing} {at\"}}')",
    )?;
    let counts = ["rows_scanned", "inserted", "duplicates_skipped", "rejected"];
    assert_eq!(fields(&call(&mut client, "run_feed('q')", &[])?, counts), [3, 3, 0, 0]);
    // One whose time is yet to come does not make the feed deaf.
    client.batch_execute("INSERT INTO landing VALUES ('d', '4', 'w', now())")?;
    assert_eq!(fields(&call(&mut client, "run_feed('q')", &[])?, ["inserted"]), [1]);
    let told = "SELECT DISTINCT substr(message, 2) FROM once.notifications";
    assert_eq!(texts(&mut client, told)?, [" 12345678901234567890.123456789 {nothing} {at"]);

    // A row that finds two records waits until it finds one; what is no object is told apart.
    call(&mut client, "create_feed('r', 'odd', '{}')", &[])?;
    let rows = json!([{"k": "a", "l": "2"}, "x", "y", "x"]);
    let mut run = || call(&mut client, "run_feed('r', $1)", &[&rows]);
    assert_eq!(fields(&run()?, counts), [4, 0, 1, 3]);
    assert_eq!(fields(&run()?, counts), [4, 0, 0, 3]);
    client.batch_execute("DELETE FROM odd")?;
    assert_eq!(fields(&call(&mut client, "run_feed('r', $1)", &[&rows])?, counts), [4, 1, 0, 2]);

    // What a replay has taken is taken.
    client.batch_execute("CREATE TABLE strict (k text PRIMARY KEY, n int CONSTRAINT few CHECK (n < 5)); SELECT once.create_target('strict', 'strict', '{\"match\": [[\"k\"]]}'); SELECT once.create_feed('s', 'strict', '{}')")?;
    let rows = json!([{"k": "a", "n": 7}]);
    let answer = call(&mut client, "run_feed('s', $1)", &[&rows])?;
    let job: Uuid = answer["job_id"].as_str().unwrap_or_default().parse()?;
    client.batch_execute("ALTER TABLE strict DROP CONSTRAINT few")?;
    assert_eq!(fields(&call(&mut client, "replay_rejects($1)", &[&job])?, ["inserted"]), [1]);
    client.batch_execute("UPDATE strict SET n = 8")?;
    let answer = call(&mut client, "run_feed('s', $1)", &[&rows])?;
    assert_eq!(fields(&answer, ["updated", "duplicates_skipped", "rejected"]), [0, 0, 0], "{answer}");
    Ok(())
}

/// One by one up to the threshold, all together above it, and a word to whoever listens.
#[test]
fn people_are_told_once() -> Result<()> {
    let db = Db::new("feed_told")?;
    let mut client = install(&db)?;
    call(&mut client, "create_feed('auto', 'leads', '{\"notify\": {\"mode\": \"auto\", \"threshold\": 2}}')", &[])?;
    let mut listener = db.client()?;
    listener.batch_execute("LISTEN once_feed")?;
    let row = |n: i64| json!({"id": format!("l:{n}"), "full_name": format!("P{n}"), "phone_number": format!("+6012{n:07}"), "platform": "ig"});
    let mut run = |rows: Vec<Value>| call(&mut client, "import_leads('auto', $1)", &[&Value::from(rows)]);
    run(vec![row(1), row(2)])?;
    run((1..=17).map(row).collect())?;
    run((1..=17).map(row).collect())?;
    let told = "SELECT concat_ws(' ', left(user_id, 1), type, title, message, lead_id IS NULL, is_read) FROM once.notifications ORDER BY id";
    let expected: Vec<String> =
        ["📥 New lead from ig – P1", "📥 New lead from ig – P2", "📥 15 new leads received from auto"]
            .iter()
            .flat_map(|message| {
                let is_summary = if message.contains("15") { "t" } else { "f" };
                [1, 2].map(|user| format!("{user} new_lead New lead {message} {is_summary} f"))
            })
            .collect();
    assert_eq!(texts(&mut client, told)?, expected);
    use once_tests::postgres::fallible_iterator::FallibleIterator;
    let heard: Vec<String> = listener
        .notifications()
        .timeout_iter(std::time::Duration::from_secs(1))
        .map(|heard| Ok(heard.payload().to_string()))
        .collect()?;
    let heard: Vec<(i64, Value)> = heard
        .iter()
        .map(|payload| serde_json(payload).map(|said| (said["inserted"].as_i64().unwrap_or(-1), said["feed"].clone())))
        .collect::<Result<_>>()?;
    assert_eq!(heard, [(2, json!("auto")), (15, json!("auto")), (0, json!("auto"))]);
    Ok(())
}

fn serde_json(text: &str) -> Result<Value> {
    Ok(text.parse()?)
}
