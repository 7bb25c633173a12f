//! pg_cron, really: it runs a feed, and makes up for what was missed while the server was down.

use anyhow::Result;
use once_tests::Db;
use once_tests::promo::{call, text};
use once_tests::wait::until;

#[test]
fn pg_cron_runs_a_feed() -> Result<()> {
    let settings = [("shared_preload_libraries", "pg_cron"), ("cron.use_background_workers", "on")];
    let db = Db::on_own_cluster("feed_cron", &settings)?;
    db.psql(&format!("ALTER SYSTEM SET cron.database_name = '{}'", db.name()))?;
    db.cluster().restart()?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE EXTENSION pg_cron;
         CREATE TABLE people (name text PRIMARY KEY); CREATE TABLE landing (name text); INSERT INTO landing VALUES ('a');
         SELECT once.create_target('people', 'people', '{\"match\": [[\"name\"]]}');
         SELECT once.create_feed('it''s', 'people', '{\"source\": {\"relation\": \"public.landing\"}}');",
    )?;
    let planned = call(&mut client, "schedule_feed('it''s', '* * * * *')", &[])?;
    assert_eq!(planned["schedule"], "* * * * *");
    let names = "SELECT string_agg(name, ',' ORDER BY name) FROM people";
    until("pg_cron has run the feed", || Ok(text(&mut client, &format!("SELECT coalesce(({names}), '')"))? == "a"))?;

    // Once a year, and just then the server was down.
    call(&mut client, "schedule_feed('it''s', '0 0 1 1 *')", &[])?;
    assert_eq!(text(&mut client, "SELECT concat_ws(' ', count(*), count(DISTINCT jobname)) FROM cron.job")?, "2 2");
    client.batch_execute(
        "INSERT INTO landing VALUES ('b'); UPDATE once.import_states SET next_run_at = now() - interval '1 hour'",
    )?;
    assert_eq!(text(&mut client, "SELECT overdue::text FROM once.feed_health")?, "true");
    drop(client);
    db.cluster().restart()?;
    let mut client = db.client()?;
    until("the missed run is made up", || Ok(text(&mut client, names)? == "a,b"))?;
    until("the next run is planned", || {
        Ok(text(&mut client, "SELECT overdue::text FROM once.feed_health")? == "false")
    })?;
    client.batch_execute("SELECT once.unschedule_feed('it''s')")?;
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM cron.job")?, "0");
    assert_eq!(text(&mut client, "SELECT coalesce(next_run_at::text, 'never') FROM once.import_states")?, "never");
    Ok(())
}
