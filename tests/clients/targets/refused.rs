//! What can't be registered, and what the error says to do about it.

use anyhow::{Context, Result};
use once_tests::Db;
use once_tests::postgres::error::DbError;
use once_tests::promo::{call, refused, refused_well, text};

use super::{CREATE, GIFT_CARDS, SPEC, gift_cards};

/// A database with a plain table `t` that fits, and the refusal of a spec for it.
fn refusal_of(client: &mut once_tests::postgres::Client, spec: &str) -> Result<DbError> {
    refused(client, "SELECT once.create_target('mine', 't', $1::text::jsonb)", &[&spec])
}

const T: &str =
    "CREATE TABLE t (org integer NOT NULL, k text NOT NULL, v text, w text, taken boolean, row_number bigint, job uuid,
                                 UNIQUE (org, k), UNIQUE (org, row_number))";

#[test]
fn each_mistake_in_a_spec_names_its_field() -> Result<()> {
    let db = Db::new("mistakes")?;
    let mut client = db.client()?;
    client.batch_execute(T)?;
    for (spec, field) in [
        ("[]", "spec"),
        ("{}", "key"),
        (r#"{"key": []}"#, "key"),
        (r#"{"key": "k"}"#, "key"),
        (r#"{"key": ["k", "k"]}"#, "key"),
        (r#"{"key": [7]}"#, "key"),
        (r#"{"key": ["k"], "kee": ["k"]}"#, "kee"),
        (r#"{"key": ["k"], "scope": 7}"#, "scope"),
        (r#"{"key": ["k"], "scope": ["org"]}"#, "scope"),
        (r#"{"key": ["k", "org"], "scope": "org"}"#, "scope"),
        (r#"{"key": ["k"], "scope": "org", "staging": {}}"#, "staging"),
        (r#"{"key": ["k"], "scope": "org", "job_column": null}"#, "job_column"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "k"}"#, "job_column"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "protect": true}"#, "protect"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "columns": "v"}"#, "columns"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "columns": ["v", "v"]}"#, "columns"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "columns": ["job"]}"#, "columns"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "protect": "taken", "columns": ["taken"]}"#, "columns"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "required": {"v": 1}}"#, "required"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": ["v"]}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": null}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"a": ["v"]}}"#, "aliases"),
        // For what is not copied, or is no column at all; and by the name of a column that files have too.
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "columns": ["v"], "aliases": {"a": "w"}}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"a": "nope"}}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"a": "row_number"}}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"a": "job"}}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"a": "v", "w": "v"}}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"org": "k"}}"#, "aliases"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "job", "aliases": {"k": "k"}}"#, "aliases"),
    ] {
        let error = refusal_of(&mut client, spec)?;
        assert_eq!(error.code().code(), "22023", "{spec}: {error:?}");
        assert!(error.message().contains("\"mine\""), "{error:?}");
        assert!(
            error.detail().is_some_and(|detail| detail.contains(&format!("field \"{field}\""))),
            "{spec}: {error:?}"
        );
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{spec}: {error:?}");
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM once.targets")?, "0");
    Ok(())
}

/// A column that is not copied can't be required: the check would never look at it.
#[test]
fn a_required_column_must_be_copied() -> Result<()> {
    let db = Db::new("required")?;
    let mut client = db.client()?;
    client.batch_execute(T)?;
    let spec = r#"{"key": ["k"], "scope": "org", "job_column": "job", "columns": ["v"], "required": ["w"]}"#;
    let error = refusal_of(&mut client, spec)?;
    assert_eq!(error.code().code(), "22023", "{error:?}");
    Ok(())
}

/// The staging table has these columns for itself.
#[test]
fn a_column_that_staging_has_of_its_own_is_refused_by_name() -> Result<()> {
    let db = Db::new("own_columns")?;
    let mut client = db.client()?;
    client.batch_execute(T)?;
    let spec = r#"{"key": ["row_number"], "scope": "org", "job_column": "job"}"#;
    let error = refusal_of(&mut client, spec)?;
    assert_eq!(error.code().code(), "22023", "{error:?}");
    Ok(())
}

/// Or clearing the staged rows would clear production.
#[test]
fn a_table_is_never_its_own_staging_table() -> Result<()> {
    let db = Db::new("itself")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE t (k text PRIMARY KEY, job uuid, row_number bigint GENERATED BY DEFAULT AS IDENTITY UNIQUE,
                         internal_dup boolean NOT NULL DEFAULT false, existing_dup boolean NOT NULL DEFAULT false)",
    )?;
    let error = refusal_of(&mut client, r#"{"key": ["k"], "job_column": "job", "staging": "t"}"#)?;
    assert_eq!(error.code().code(), "22023", "{error:?}");
    Ok(())
}

#[test]
fn a_key_without_its_index_is_refused_with_the_statement_that_makes_it() -> Result<()> {
    let db = Db::new("no_index")?;
    let mut client = db.client()?;
    client.batch_execute(&GIFT_CARDS.replace(r#", UNIQUE ("Card No", "Shop", "Series")"#, ""))?;
    // None of these is an arbiter for the key.
    client.batch_execute(
        r#"CREATE UNIQUE INDEX ON shop."Gift Cards" ("Shop", "Series");
           CREATE UNIQUE INDEX ON shop."Gift Cards" ("Shop", "Series", "Card No", note);
           CREATE UNIQUE INDEX ON shop."Gift Cards" ("Shop", "Series", "Card No") WHERE note IS NULL;
           CREATE UNIQUE INDEX ON shop."Gift Cards" ("Shop", lower("Series"), "Card No");
           ALTER TABLE shop."Gift Cards" ADD UNIQUE ("Shop", "Series", "Card No") DEFERRABLE;
           CREATE INDEX ON shop."Gift Cards" ("Shop", "Series", "Card No")"#,
    )?;
    let create = format!("SELECT once.{CREATE}");
    let error = refused(&mut client, &create, &[&SPEC])?;
    assert_eq!(error.code().code(), "42P10", "{error:?}");
    let statement = error.hint().context("no hint")?;
    assert!(statement.starts_with("CREATE UNIQUE INDEX CONCURRENTLY ON "), "{statement}");
    client.execute(statement, &[])?;
    assert_eq!(call(&mut client, CREATE, &[&SPEC])?["created"], true);
    Ok(())
}

#[test]
fn what_does_not_fit_the_tables_is_refused_with_the_statement_that_helps() -> Result<()> {
    let db = Db::new("misfits")?;
    let mut client = db.client()?;
    client.batch_execute(T)?;
    client.batch_execute("CREATE VIEW v AS SELECT * FROM t; CREATE TABLE thin (org integer, k text)")?;
    let fine = r#""key": ["k"], "scope": "org", "job_column": "job""#;
    for (spec, code) in [
        (r#"{"key": ["nope"], "scope": "org", "job_column": "job"}"#.into(), "42703"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "nope"}"#.into(), "42703"),
        (r#"{"key": ["k"], "scope": "org", "job_column": "v"}"#.into(), "42804"),
        (format!(r#"{{{fine}, "protect": "v"}}"#), "42804"),
        (format!(r#"{{{fine}, "columns": ["nope"]}}"#), "42703"),
        (format!(r#"{{{fine}, "required": ["nope"]}}"#), "42703"),
        (format!(r#"{{{fine}, "staging": "{}"}}"#, "x".repeat(64)), "42622"),
        // A staging table that is there already, without what is needed.
        (format!(r#"{{{fine}, "staging": "thin", "columns": ["v"]}}"#), "42703"),
    ] {
        let error = refusal_of(&mut client, &spec)?;
        assert_eq!(error.code().code(), code, "{spec}: {error:?}");
        assert!(error.detail().is_some() && error.hint().is_some(), "{error:?}");
    }
    let of_view = format!("SELECT once.create_target('mine', 'v', '{{{fine}}}')");
    assert_eq!(refused_well(&mut client, &of_view, &[])?, "42809");

    // The hint for the staging table can be followed.
    let thin = format!(r#"{{{fine}, "staging": "thin", "columns": ["v"]}}"#);
    let hint = refusal_of(&mut client, &thin)?;
    client.execute(hint.hint().context("no hint")?, &[])?;
    assert_eq!(call(&mut client, "create_target('mine', 't', $1::text::jsonb)", &[&thin])?["created"], true);

    // And columns that go later are missed as well.
    client.execute("ALTER TABLE thin DROP COLUMN v", &[])?;
    assert_eq!(refused_well(&mut client, "SELECT once.mark_duplicates('mine', '1')", &[])?, "42703");
    Ok(())
}

#[test]
fn only_the_owner_registers_and_drops() -> Result<()> {
    let (db, mut client) = gift_cards("owner")?;
    let stranger = db.create_role("stranger")?;
    client.batch_execute(&format!(
        r#"GRANT USAGE ON SCHEMA once, shop TO "{stranger}"; GRANT ALL ON ALL TABLES IN SCHEMA shop TO "{stranger}";
           GRANT CREATE ON SCHEMA shop TO "{stranger}""#
    ))?;
    let before = text(&mut client, "SELECT string_agg(t::text, ';') FROM once.targets t")?;
    let mut session = db.client_as(&stranger)?;
    session.batch_execute("CREATE TABLE shop.bait (a integer)")?;
    let register = CREATE.replace("'cards'", "'theirs'");
    assert_eq!(refused_well(&mut session, &format!("SELECT once.{register}"), &[&SPEC])?, "42501");
    let insert = "INSERT INTO once.targets (name, schema_name, table_name, staging_name, spec, registered_by)
                  SELECT 'theirs', 'shop', 'Gift Cards', $1::text, $2::text::jsonb, 'postgres'";
    // Neither with the staging table that is there, nor with one of their own.
    for staging in ["Gift Cards_staging", "bait", "Gift Cards"] {
        assert_eq!(refused_well(&mut session, insert, &[&staging, &SPEC])?, "42501", "{staging}");
    }
    assert_eq!(refused_well(&mut session, "SELECT once.drop_target('cards')", &[])?, "42501");
    for sql in ["DELETE FROM once.targets", "UPDATE once.targets SET name = 'x'", "TRUNCATE once.targets"] {
        assert_eq!(refused(&mut session, sql, &[])?.code().code(), "42501", "{sql}");
    }
    assert_eq!(text(&mut client, "SELECT string_agg(t::text, ';') FROM once.targets t")?, before);
    Ok(())
}

/// Whoever owned the table yesterday does not vouch for the one of that name today.
#[test]
fn a_table_made_anew_by_another_owner_is_not_registered() -> Result<()> {
    let (db, mut client) = gift_cards("vouched")?;
    let (former, next) = (db.create_role("former")?, db.create_role("next")?);
    client.batch_execute(&format!(
        r#"SELECT once.drop_target('cards'); GRANT USAGE ON SCHEMA once, shop TO "{former}";
           ALTER TABLE shop."Gift Cards" OWNER TO "{former}"; ALTER TABLE shop."Gift Cards_staging" OWNER TO "{former}""#
    ))?;
    call(&mut db.client_as(&former)?, CREATE, &[&SPEC])?;
    client.batch_execute(&format!(r#"ALTER TABLE shop."Gift Cards" OWNER TO "{next}""#))?;
    assert_eq!(refused_well(&mut client, "SELECT once.mark_duplicates('cards', '7')", &[])?, "42501");
    Ok(())
}
