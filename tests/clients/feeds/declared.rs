//! What may be declared, and by whom it is run.

use anyhow::Result;
use once_tests::mail::fields;
use once_tests::postgres::Client;
use once_tests::promo::{call, refused, refused_well, text};
use once_tests::{Db, json};

fn people(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE people (name text PRIMARY KEY);
         SELECT once.create_target('people', 'people', '{\"match\": [[\"name\"]]}');
         SELECT once.create_feed('f', 'people', '{}')",
    )?;
    Ok((db, client))
}

#[test]
fn what_can_not_be_meant_is_refused() -> Result<()> {
    let (_db, mut client) = people("feed_declared")?;
    let create = "SELECT once.create_feed($1, $2, $3)";
    let mut refusal = |name: &str, target: &str, spec: once_tests::Value| {
        refused_well(&mut client, create, &[&Some(name), &Some(target), &Some(spec)])
    };
    assert_eq!(refusal("g", "nothing", json!({}))?, "42704");
    assert_eq!(refusal("g", "people", json!({"format": "tiktok"}))?, "42704");
    assert_eq!(refusal("g", "people", json!({"schedule": "every day"}))?, "22023");
    assert_eq!(refusal("g", "people", json!({"notify": {"mode": "each"}}))?, "22023");
    assert_eq!(refusal("g", "people", json!({"source": {"relation": "nowhere"}}))?, "42P01");
    assert_eq!(refusal("g", "people", json!({"overlap": "-1 day"}))?, "22023");
    assert_eq!(refusal("g", "people", json!({"keep_logs": "1000000 years"}))?, "22023");
    assert_eq!(refusal("", "people", json!({}))?, "22023");
    assert_eq!(refusal("f", "people", json!({"row_id": ["name"]}))?, "42710");
    assert_eq!(refused_well(&mut client, "SELECT once.run_feed('f')", &[])?, "22004");
    assert_eq!(refused_well(&mut client, "SELECT once.run_feed('f', '{}')", &[])?, "22023");
    assert_eq!(refused_well(&mut client, "SELECT once.run_feed('g', '[]')", &[])?, "42704");
    assert_eq!(refused_well(&mut client, "SELECT once.schedule_feed('f', '61 * * * *')", &[])?, "22023");
    let asked = refused(&mut client, "SELECT once.schedule_feed('f')", &[])?;
    assert_eq!(asked.code().code(), "55000");
    assert!(asked.hint().is_some_and(|hint| hint.contains("shared_preload_libraries")), "{asked:?}");
    assert_eq!(refused_well(&mut client, "SELECT once.import_leads('f', '[]')", &[])?, "42809");
    assert_eq!(call(&mut client, "create_feed('f', 'people', '{}')", &[])?["created"], false);
    client.batch_execute("SELECT once.unschedule_feed('f'); SELECT once.drop_feed('f')")?;
    assert_eq!(
        text(
            &mut client,
            "SELECT concat_ws(' ', (SELECT count(*) FROM once.feeds), (SELECT count(*) FROM once.import_states))"
        )?,
        "0 0"
    );
    Ok(())
}

/// SQL that someone wrote runs with the rights of those only who may do no more than he.
#[test]
fn nobody_runs_sql_of_one_who_may_do_less() -> Result<()> {
    let (db, mut owner) = people("feed_trust")?;
    let role = db.create_role("weak")?;
    owner.query("SELECT once.grant_import_access('people', $1)", &[&role])?;
    let mut weak = db.client_as(&role)?;
    assert_eq!(fields(&call(&mut weak, "run_feed('f', '[{\"name\": \"a\"}]')", &[])?, ["inserted"]), [1]);
    call(
        &mut weak,
        "create_feed('trap', 'people', '{\"source\": {\"query\": \"SELECT current_user::text AS name\"}}')",
        &[],
    )?;
    assert_eq!(fields(&call(&mut weak, "run_feed('trap')", &[])?, ["inserted"]), [1]);
    let refused = call(&mut owner, "run_feed('trap')", &[])?;
    assert_eq!((&refused["status"], &refused["sqlstate"]), (&json!("error"), &json!("42501")), "{refused}");
    // He can't say that it was another who wrote it, nor run one on a table that he may not write to.
    for forged in [
        "UPDATE once.feeds SET created_by = 'postgres' WHERE name = 'trap'",
        "INSERT INTO once.feeds (name, target, spec, relation_schema, relation_name) VALUES ('g', 'secret', '{}', 'public', 'people')",
        "DO 'BEGIN LOCK TABLE once.feeds IN ACCESS EXCLUSIVE MODE; END'",
        "DO 'BEGIN LOCK TABLE once.import_state_rows IN ACCESS EXCLUSIVE MODE; END'",
        "DELETE FROM once.import_logs",
        "SELECT once.unschedule_feed('f')",
        "SELECT once.drop_feed('trap')",
    ] {
        let refused = weak.batch_execute(forged).err();
        assert_eq!(refused.as_ref().and_then(|error| once_tests::sqlstate(error)), Some("42501"), "{forged}");
    }
    // What another table's rows were rejected with is not to be had by its number.
    owner.batch_execute("CREATE TABLE other (name text PRIMARY KEY, age int); SELECT once.create_target('other', 'other', '{\"match\": [[\"name\"]]}')")?;
    call(&mut owner, "ingest('other', '[{\"name\": \"TOP SECRET\", \"age\": \"x\"}]')", &[])?;
    call(
        &mut owner,
        "create_feed('news', 'people', '{\"source\": {\"query\": \"SELECT NULL::text AS name WHERE $1 < now()\"}, \"time\": \"at\"}')",
        &[],
    )?;
    weak.execute(
        "INSERT INTO once.import_state_rows (feed, fingerprint, reject_id) VALUES ('news', gen_random_uuid(), 1), ('f', gen_random_uuid(), 1)",
        &[],
    )?;
    call(&mut owner, "run_feed('news')", &[])?;
    assert_eq!(text(&mut owner, "SELECT string_agg(name, ',' ORDER BY name) FROM people")?, format!("a,{role}"));
    assert_eq!(text(&mut owner, "SELECT count(*)::text FROM once.import_rejects WHERE resolved_at IS NULL")?, "1");
    owner.batch_execute("CREATE TABLE secret (name text PRIMARY KEY); SELECT once.create_target('secret', 'secret', '{\"match\": [[\"name\"]]}'); SELECT once.create_feed('s', 'secret', '{}')")?;
    assert_eq!(refused_well(&mut weak, "SELECT once.run_feed('s', '[]')", &[])?, "42704");
    assert_eq!(text(&mut weak, "SELECT count(*)::text FROM once.feed_health")?, "3");
    // Of what runs say, each sees his own; the owner of the table sees all.
    let runs = "SELECT string_agg(DISTINCT (run_by = current_user)::text, ',') FROM once.import_logs";
    assert_eq!(text(&mut weak, runs)?, "true");
    assert_eq!(text(&mut owner, runs)?, "false,true");
    Ok(())
}

/// A target that is gone or registered on another table stops its feeds, and these can still be dropped.
#[test]
fn a_feed_outlives_no_table() -> Result<()> {
    let (_db, mut client) = people("feed_moved")?;
    client.batch_execute(
        "SELECT once.drop_target('people'); CREATE TABLE people2 (name text PRIMARY KEY);
         SELECT once.create_target('people', 'people2', '{\"match\": [[\"name\"]]}')",
    )?;
    assert_eq!(refused_well(&mut client, "SELECT once.run_feed('f', '[]')", &[])?, "55000");
    client.batch_execute("SELECT once.drop_target('people'); DROP TABLE people")?;
    assert_eq!(refused_well(&mut client, "SELECT once.run_feed('f', '[]')", &[])?, "42704");
    client.batch_execute("SELECT once.drop_feed('f')")?;
    assert_eq!(refused_well(&mut client, "SELECT once.drop_feed('f')", &[])?, "42704");
    Ok(())
}
