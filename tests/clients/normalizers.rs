//! What the normalisers of columns say in SQL. Their rules are tested in once-core.

use anyhow::Result;
use once_tests::promo::{refused, refused_well, text, texts};
use once_tests::{Db, sqlstate};

#[test]
fn values_are_brought_to_one_form() -> Result<()> {
    let db = Db::new("normal")?;
    let mut client = db.client()?;
    for (call, normal) in [
        ("normalize_phone('012-345 6789', 'MY')", Some("+60123456789")),
        ("normalize_phone('60123456789', 'my')", Some("+60123456789")),
        ("normalize_phone('+44 20 7946 0018', 'MY')", Some("+442079460018")),
        ("normalize_phone(E'\\u202a٠١٢-٣٤٥\\u00a0٦٧٨٩\\u202c', 'MY')", Some("+60123456789")),
        ("normalize_phone(value => '(202) 555-0173', region => 'US')", Some("+12025550173")),
        ("normalize_phone('6.0123456789E10', 'MY')", None),
        ("normalize_phone('none', 'MY')", None),
        ("normalize_phone(' ', 'MY')", None),
        ("normalize_phone(NULL, 'MY')", None),
        ("normalize_email(' Ali.B@Example.COM ')", Some("Ali.B@example.com")),
        ("normalize_email('a@BÜCHER.example')", Some("a@bücher.example")),
        ("normalize_email('Ali <a@b.co>')", None),
        ("normalize_email('')", None),
        ("normalize_email(NULL)", None),
        ("normalize_email_lower(' Ali.B@Example.COM ')", Some("ali.b@example.com")),
        ("normalize_email_lower('Ali')", None),
        ("normalize_whitespace(E'  Ali \\t\\n bin\\u3000Abu ')", Some("Ali bin Abu")),
        ("normalize_whitespace(E' \\u00a0')", None),
        ("normalize_whitespace(NULL)", None),
        ("normalize_lower(' ÖMER ')", Some("ömer")),
        ("normalize_lower(NULL)", None),
        ("normalize_upper('straße')", Some("STRASSE")),
        ("normalize_upper(NULL)", None),
        ("normalize_digits('900101-14-५६๗８')", Some("900101145678")),
        ("normalize_digits('none')", None),
        ("normalize_digits(NULL)", None),
        ("normalize_code(' ab-１２ cd ')", Some("AB-12CD")),
        ("normalize_code(NULL)", None),
        ("normalize_phone('p:+60123456789', 'MY')", Some("+60123456789")),
        ("normalize_unprefixed(' ag:23845 ')", Some("23845")),
        ("normalize_unprefixed('l:')", None),
        ("normalize_unprefixed(NULL)", None),
    ] {
        let given: Option<String> = client.query_one(&format!("SELECT once.{call}"), &[])?.try_get(0)?;
        assert_eq!(given.as_deref(), normal, "{call}");
    }
    Ok(())
}

#[test]
fn a_region_must_be_known() -> Result<()> {
    let db = Db::new("region")?;
    let mut client = db.client()?;
    for value in ["'012-345 6789'", "NULL", "''"] {
        let call = |region: &str| format!("SELECT once.normalize_phone({value}, {region})");
        assert_eq!(refused_well(&mut client, &call("NULL"), &[])?, "22004");
        for unknown in ["'UK'", "'ZZ'", "'001'", "''", "'Malaysia'", "'é'", "' MY'"] {
            assert_eq!(refused_well(&mut client, &call(unknown), &[])?, "22023", "{unknown}");
        }
    }
    let error = refused(&mut client, "SELECT once.normalize_phone('1', 'UK')", &[])?;
    assert!(error.message().contains("\"UK\"") && error.hint().is_some_and(|hint| hint.contains("GB")), "{error:?}");
    Ok(())
}

/// The rules change with the versions of pg_once, so that an index on them would lie one day.
#[test]
fn no_index_can_stand_on_them() -> Result<()> {
    let db = Db::new("index")?;
    let mut client = db.client()?;
    let kinds = "SELECT DISTINCT concat(provolatile, proparallel, proisstrict, prosecdef, proconfig) FROM pg_proc
                 WHERE pronamespace = 'once'::regnamespace AND proname LIKE 'normalize\\_%'";
    assert_eq!(texts(&mut client, kinds)?, ["ssff{\"search_path=pg_catalog, pg_temp\"}"]);
    client.batch_execute("CREATE TABLE people (phone text)")?;
    for function in ["normalize_phone(phone, 'MY')", "normalize_lower(phone)"] {
        let error = client.batch_execute(&format!("CREATE INDEX ON people (once.{function})")).unwrap_err();
        assert_eq!(sqlstate(&error), Some("42P17"), "{function}");
    }
    Ok(())
}

/// By workers, too, each of which reads the numbering plans for itself.
#[test]
fn a_whole_table_is_gone_through_by_parallel_workers() -> Result<()> {
    let db = Db::new("table")?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE people AS SELECT format('012-%s %s', n / 10000, lpad((n % 10000)::text, 4, '0')) AS phone,
                n AS id FROM generate_series(2000000, 2099999) n;
         ALTER TABLE people SET (parallel_workers = 2);
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
    )?;
    let count = "SELECT count(*)::text FROM people WHERE once.normalize_phone(phone, 'MY') = '+6012' || id";
    let plan = texts(&mut client, &format!("EXPLAIN {count}"))?.join("\n");
    assert!(plan.contains("Workers Planned: 2"), "{plan}");
    assert_eq!(text(&mut client, count)?, "100000");
    Ok(())
}
