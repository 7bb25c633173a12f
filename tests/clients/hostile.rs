//! Hostile names and values: everything arrives as it was, and nothing of it is ever run.

use anyhow::{Context, Result};
use once_tests::postgres::Client;
use once_tests::promo::{self, A, call, codes, copy, imported, mark, refused, stage, text, texts};
use once_tests::{Db, json};

/// What a test of an injection would destroy.
const CANARY: &str = "CREATE TABLE canary (id integer)";

/// Names and values that would break out of quotes, of a format string, of a placeholder or of an encoding.
fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "it's",
        r#""; DROP TABLE canary; --"#,
        "'; DROP TABLE canary; --",
        r"\'; DROP TABLE canary; --",
        r"back\slash \n \x41 \\",
        "%s %I %L %1$s %",
        "$1 $2 $$ $once$ :name ?",
        "@schema@ @prefix@ @jobs@ @extschema@",
        "{} {0} {{",
        "NULL",
        r"\N",
        r"\.",
        "קופון־מתנה",
        "🎁👩‍👩‍👧‍👦",
        "e\u{301}",
        "\u{e9}",
        "tab\tnew\nline\r",
        " leading and trailing ",
        "\u{202e}desrever\u{200b}",
    ]
    .map(String::from)
    .into();
    // Every byte but NUL as a character, then every length of encoding up to the last character there is.
    all.push((1..=255).map(char::from).collect());
    all.push("\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".into());
    all.push("x".repeat(2_000));
    all
}

#[test]
fn hostile_codes_come_back_as_they_were() -> Result<()> {
    let (_db, mut client) = promo::install("values")?;
    client.batch_execute(CANARY)?;
    let mut sent = hostile();
    stage(&mut client, A, &sent)?;
    // All differ, NFC and NFD too; staged twice, each is the duplicate of itself alone.
    stage(&mut client, A, &sent)?;
    let marked = mark(&mut client, A)?;
    assert_eq!((&marked["clean_count"], &marked["internal_duplicates"]), (&json!(sent.len()), &json!(sent.len())));
    let job = imported(&promo::insert(&mut client, A)?)?;
    sent.sort();
    assert_eq!(codes(&mut client, A)?, sent);
    let marked = mark(&mut client, A)?;
    assert_eq!(marked["database_duplicates"], sent.len() * 2);
    let mut reported =
        texts(&mut client, &format!("SELECT code FROM once.get_duplicate_report('{A}') WHERE duplicates_row IS NULL"))?;
    reported.sort();
    assert_eq!(reported, sent);
    assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], sent.len());
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM canary")?, "0");
    Ok(())
}

/// A value that is named as faulty is still only a value.
#[test]
fn hostile_faulty_values_are_named_as_they_are() -> Result<()> {
    let (_db, mut client) = promo::install("named")?;
    let all = hostile();
    client.batch_execute(
        "ALTER TABLE codes ADD CONSTRAINT \"never '; \\n %s $1\" CHECK (sku = code || 'x'), ADD CHECK (serial <> '')",
    )?;
    let merchant = A.to_string();
    let rows: Vec<_> = all.iter().map(|v| vec![Some(merchant.as_str()), Some(v), Some(v.as_str()), Some("")]).collect();
    copy(&mut client, "codes_check_temp (merchant_id, code, sku, serial)", &rows)?;
    mark(&mut client, A)?;
    let answer = promo::insert(&mut client, A)?;
    let errors = answer["errors"].as_array().context("no errors")?;
    for (row, value) in (1..).zip(&all) {
        let error =
            errors.iter().find(|error| error["row"] == row && error["column"] != "serial").context("not named")?;
        let shown = error["value"].as_str().context("no value")?;
        assert_eq!(error["reason"], "violates check constraint \"never '; \\n %s $1\"");
        // Two columns: shown as a row, where quotes and backslashes are doubled.
        let row = text(
            &mut client,
            &format!("SELECT ROW(code, sku)::text FROM codes_check_temp WHERE code = {}", literal(value)),
        )?;
        assert_eq!(shown, row);
    }
    Ok(())
}

fn literal(value: &str) -> String {
    format!("E'{}'", value.replace('\\', r"\\").replace('\'', "''"))
}

/// What no index can hold fails its job, and no more than that.
#[test]
fn a_code_too_long_for_the_index_fails_the_job() -> Result<()> {
    let (_db, mut client) = promo::install("too_long")?;
    let mut state = 88_172_645_463_325_252_u64;
    let long: String = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 94) as u8)
    })
    .take(3_000)
    .collect();
    stage(&mut client, A, &["short", &long])?;
    let answer = promo::import(&mut client, A)?;
    assert_eq!((&answer["success"], &answer["sqlstate"]), (&json!(false), &json!("54000")), "{answer}");
    assert_eq!(codes(&mut client, A)?, [""; 0]);
    assert_eq!(texts(&mut client, "SELECT status FROM codes_import_jobs")?, ["failed"]);
    client.execute("DELETE FROM codes_check_temp WHERE length(code) = 3000", &[])?;
    imported(&promo::import(&mut client, A)?)?;
    assert_eq!(codes(&mut client, A)?, ["short"]);
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As an identifier: at most 63 bytes, with room for what staging adds to it.
fn names() -> Vec<String> {
    hostile().into_iter().filter(|name| name.len() < 50).collect()
}

/// Every name there is — schema, table, columns, staging, target, scope — is hostile at once.
#[test]
fn hostile_names_are_only_names() -> Result<()> {
    let db = Db::new("names")?;
    let mut client = db.client()?;
    client.batch_execute(CANARY)?;
    for (index, name) in names().iter().enumerate() {
        let (schema, table, staging) = (format!("{name}s{index}"), format!("{name}t"), format!("{name}i"));
        let column = |suffix: &str| quoted(&format!("{name}{suffix}"));
        let relation = format!("{}.{}", quoted(&schema), quoted(&table));
        client.batch_execute(&format!(
            "CREATE SCHEMA {}; CREATE TABLE {relation} ({scope} text, {key} text, {value} text, {job} uuid, {kept} boolean, PRIMARY KEY ({scope}, {key}))",
            quoted(&schema),
            scope = column("1"), key = column("2"), value = column("3"), job = column("4"), kept = column("5"),
        ))?;
        let field = |suffix: &str| format!("{name}{suffix}");
        let spec = json!({"scope": field("1"), "key": [field("2")], "columns": [field("3")], "required": [field("3")],
                          "job_column": field("4"), "protect": field("5"), "staging": staging});
        let create = "create_target($1, (SELECT oid::regclass FROM pg_class WHERE relname = $2::text), $3)";
        let created = call(&mut client, create, &[name, &table, &spec])?;
        assert_eq!((&created["target"], &created["relation"]), (&json!(name), &json!(relation)));
        let into =
            format!("{}.{} ({}, {}, {})", quoted(&schema), quoted(&staging), column("1"), column("2"), column("3"));
        let row = |key| vec![Some(name.as_str()), Some(key), Some(name.as_str())];
        copy(&mut client, &into, &[row("a"), row(name), row("a")])?;
        let rejects = json!([{"line": 1, "column": name, "value": name, "reason": name, "sqlstate": name}]);
        let end = "SELECT once.end_file($1, repeat('0', 64), $1, jsonb_build_object($1::text, 3), $2)";
        assert_eq!(client.query_one(end, &[name, &rejects])?.try_get::<_, i64>(0)?, 3, "{name}");
        let begin = "SELECT scope = $1 AND name = $1 AND rows = 3 FROM once.begin_file($1, repeat('0', 64), $1)";
        assert!(client.query_one(begin, &[name])?.try_get::<_, bool>(0)?, "{name}");
        let kept = "SELECT bool_and(t = $1) FROM once.import_rejects, unnest(ARRAY[target, file, column_name, value, reason, sqlstate]) t
                    WHERE target = $1";
        assert!(client.query_one(kept, &[name])?.try_get::<_, bool>(0)?, "{name}");

        let marked = call(&mut client, "mark_duplicates($1, $1)", &[name]).with_context(|| name.clone())?;
        assert_eq!(marked["clean_count"], 2, "{name}");
        assert_eq!(call(&mut client, "validate_staged($1, $1)", &[name])?["valid"], true, "{name}");
        let job = imported(&call(&mut client, "insert_clean($1, $1, to_jsonb($1::text))", &[name])?)?;
        let rows =
            client.query("SELECT staged ->> $2, status FROM once.duplicate_report($1, $1)", &[name, &field("1")])?;
        assert!(rows.len() == 3 && rows.iter().all(|row| row.get::<_, &str>(0) == name), "{name}");
        let found =
            client.query(&format!("SELECT {0} FROM {relation} ORDER BY {0} COLLATE \"C\"", column("2")), &[])?;
        let mut keys = ["a", name.as_str()];
        keys.sort_unstable();
        assert_eq!(found.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), keys);
        assert_eq!(call(&mut client, "verify_import_job($1)", &[&job])?["verified"], true, "{name}");
        assert_eq!(call(&mut client, "rollback_import_job($1)", &[&job])?["codes_deleted"], 2, "{name}");
        assert_eq!(call(&mut client, "staging_status($1, $1)", &[name])?["files"][0]["name"], json!(name));
        assert_eq!(call(&mut client, "clear_staging($1, $1)", &[name])?["rows_deleted"], 3, "{name}");
        assert_eq!(call(&mut client, "staging_status($1, $1)", &[name])?["files"], json!([]), "{name}");

        // And an importer's grants reach a role of that name, on tables of these.
        let role = format!("{}{name}", db.name());
        let role: String = role.chars().take_while(|c| *c != '\n').take(30).collect();
        client.batch_execute(&format!("CREATE ROLE {}", quoted(&role)))?;
        let granted = client.execute("SELECT once.grant_import_access($1, $2)", &[name, &role]);
        client.batch_execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", quoted(&role)))?;
        granted.with_context(|| role)?;
        client.execute("SELECT once.drop_target($1)", &[name])?;
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM canary")?, "0");
    Ok(())
}

#[test]
fn a_kit_goes_into_the_schema_of_any_name() -> Result<()> {
    let db = Db::new("schemas")?;
    let mut client = db.client()?;
    client.batch_execute(CANARY)?;
    for (index, name) in names().iter().enumerate().filter(|(_, name)| !name.contains('@')) {
        install_into(&mut client, name, &format!("k{index}_"))?;
    }
    assert_eq!(text(&mut client, "SELECT count(*)::text FROM canary")?, "0");
    Ok(())
}

/// The kit's own placeholders are names like any other.
#[test]
fn a_kit_goes_into_a_schema_named_as_its_placeholders() -> Result<()> {
    let db = Db::new("placeholders")?;
    let mut client = db.client()?;
    for (index, name) in ["@schema@", "@jobs@", "a@prefix@b"].iter().enumerate() {
        install_into(&mut client, name, &format!("k{index}_"))?;
    }
    Ok(())
}

fn install_into(client: &mut Client, schema: &str, prefix: &str) -> Result<()> {
    client.batch_execute(&format!("CREATE SCHEMA {}", quoted(schema)))?;
    let target = format!("{prefix}codes");
    let installed =
        call(client, "install_kit('promo_codes', $1, $2)", &[&schema, &prefix]).context(schema.to_owned())?;
    assert_eq!((&installed["target"], &installed["schema"]), (&json!(target), &json!(schema)));
    let staging = format!("{}.{prefix}codes_check_temp (merchant_id, code)", quoted(schema));
    copy(client, &staging, &[vec![Some(A.to_string()), Some(schema.into())]])?;
    call(client, "mark_duplicates_in_temp($1, 10, $2)", &[&A, &target])?;
    imported(&call(client, "insert_clean_codes_to_production($1, NULL, $2)", &[&A, &target])?)?;
    let found = "SELECT concat(code, codes_inserted) FROM {}codes, {}codes_import_jobs";
    let found = found.replace("{}", &format!("{}.{prefix}", quoted(schema)));
    assert_eq!(texts(client, &found)?, [format!("{schema}1")]);
    Ok(())
}

/// The statement that a hint offers can be run as it stands.
#[test]
fn the_hint_for_a_hostile_target_can_be_run() -> Result<()> {
    let db = Db::new("hints")?;
    let mut client = db.client()?;
    client.batch_execute("CREATE TABLE t (k text PRIMARY KEY, import_job_id uuid)")?;
    let role = db.create_role("o'brien")?;
    call(&mut client, r#"create_target('it''s', 't', '{"key": ["k"]}')"#, &[])?;
    client.batch_execute(&format!("GRANT USAGE ON SCHEMA once TO \"{role}\""))?;
    let mut session = db.client_as(&role)?;
    let error = refused(&mut session, "SELECT once.mark_duplicates('it''s', NULL)", &[])?;
    let statement = promo::advised(&error)?;
    client.batch_execute(&statement).with_context(|| statement.clone())?;
    call(&mut session, "mark_duplicates('it''s', NULL)", &[])?;
    Ok(())
}
