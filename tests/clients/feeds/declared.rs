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
    let forge = "UPDATE once.feeds SET created_by = 'postgres' WHERE name = 'trap'";
    let refused = weak.execute(forge, &[]).err();
    assert_eq!(refused.as_ref().and_then(|error| once_tests::sqlstate(error)), Some("42501"));
    owner.batch_execute("CREATE TABLE secret (name text PRIMARY KEY); SELECT once.create_target('secret', 'secret', '{\"match\": [[\"name\"]]}'); SELECT once.create_feed('s', 'secret', '{}')")?;
    assert_eq!(refused_well(&mut weak, "SELECT once.run_feed('s', '[]')", &[])?, "42704");
    assert_eq!(text(&mut weak, "SELECT count(*)::text FROM once.feed_health")?, "2");
    Ok(())
}
