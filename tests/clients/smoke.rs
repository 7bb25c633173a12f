//! The extension can be created, and every test has a database of its own.

use anyhow::Result;
use once_tests::{Db, pg_version};

#[test]
fn the_extension_is_there() -> Result<()> {
    let db = Db::new("smoke")?;
    let row = db.client()?.query_one(
        "SELECT n.nspname, current_setting('server_version_num')::int / 10000
         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_once'",
        &[],
    )?;
    assert_eq!(row.try_get::<_, String>(0)?, "once");
    assert_eq!(row.try_get::<_, i32>(1)?, i32::from(pg_version()?));
    Ok(())
}

#[test]
fn databases_are_apart_and_are_dropped() -> Result<()> {
    let (one, two) = (Db::new("apart")?, Db::new("apart")?);
    one.psql("CREATE TABLE t ()")?;
    assert_eq!(two.psql("SELECT to_regclass('t') IS NULL")?, "t");
    let name = one.name().to_owned();
    let _still_connected = one.client()?;
    drop(one);
    assert_eq!(two.psql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"))?, "0");
    Ok(())
}

#[test]
fn a_role_of_the_test_can_connect() -> Result<()> {
    let db = Db::new("roles")?;
    let role = db.create_role("importer")?;
    let row = db.client_as(&role)?.query_one("SELECT current_user::text", &[])?;
    assert_eq!(row.try_get::<_, String>(0)?, role);
    Ok(())
}

#[test]
fn a_cluster_of_ones_own_survives_being_killed() -> Result<()> {
    let db = Db::on_own_cluster("crash", &[])?;
    db.psql("CREATE TABLE kept AS SELECT 1 AS n; CREATE UNLOGGED TABLE lost AS SELECT 1 AS n")?;
    db.cluster().kill9()?;
    db.cluster().start()?;
    assert_eq!(db.psql("SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM lost)")?, "1|0");
    Ok(())
}
