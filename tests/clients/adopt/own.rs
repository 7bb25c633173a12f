//! A user's own tables under their own names, with numbers for ids, as a target.

use anyhow::Result;
use once_tests::postgres::Client;
use once_tests::promo::{call, refused, text, texts};
use once_tests::{Db, json};

use super::{adopt, figures};

const SPEC: &str = r#"{"kind": "document", "scope": "Club", "id": "No", "content": "Body", "checksum": "Sum", "normalizer": "keep_lines",
  "normalizer_version": "How", "source": "From", "source_ref": "Ref", "tags": "Labels", "received_at": "At",
  "drafts": {"table": "Tries", "id": "No", "document": "Letter"},
  "records": {"table": "Orders", "id": "No", "document": "Letter", "draft": "Try", "content_hash": "Print", "parsed": "All", "created_at": "Made",
              "key": ["Day"], "fields": {"Day": "day"}}}"#;

/// Letters that were adopted by hand as far as a registration needs it, and spoilt then by one who has no idea.
fn letters(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(
        r#"CREATE SCHEMA "Post"; SET search_path = "Post", public;
           CREATE TABLE "Letters" ("No" serial PRIMARY KEY, "Club" int, "Body" text, "Sum" text, "How" text, "From" text, "Ref" text, "Labels" text[], "At" timestamptz DEFAULT now());
           CREATE UNIQUE INDEX "Letters Key" ON "Letters" ("Sum", "Club") NULLS NOT DISTINCT WHERE NOT ("Labels" @> ARRAY['duplicate_archived'::text]);
           CREATE TABLE "Tries" ("No" bigserial PRIMARY KEY, "Letter" int REFERENCES "Letters");
           CREATE TABLE "Orders" ("No" serial PRIMARY KEY, "Letter" int REFERENCES "Letters", "Try" bigint, "Club" int, "Print" text, "All" jsonb, "Made" timestamptz DEFAULT now(), "Day" date,
             UNIQUE ("Club", "Day", "Print"), UNIQUE ("Try"))"#,
    )?;
    call(&mut client, r#"create_target('letters', '"Post"."Letters"', $1::text::jsonb)"#, &[&SPEC])?;
    // NULL labels stand outside the key.
    client.batch_execute(
        r#"INSERT INTO "Letters" ("Club", "Body", "Sum", "At") VALUES
             (1, E'a\nb', encode(sha256(E'a\nb'::text::bytea), 'hex'), '2024-01-02'), (1, E'a \n\n b', NULL, '2024-01-01'), (1, 'a b', NULL, '2024-01-03'),
             (2, E'a\nb', NULL, '2024-01-04'), (NULL, 'a b', 'x', NULL), (NULL, 'a  b', 'y', '1999-01-01');
           INSERT INTO "Orders" ("Letter", "Club", "Day", "Print") VALUES (1, 1, '2024-01-01', NULL), (2, 1, '2024-01-01', NULL), (3, 1, '2024-01-01', NULL), (5, 3, '2024-01-01', 'x')"#,
    )?;
    Ok((db, client))
}

#[test]
fn a_table_with_names_and_numbers_of_its_own_is_adopted() -> Result<()> {
    let (_db, mut client) = letters("letters")?;
    let relation = r#"'"Post"."Letters"'"#;
    let mut told = adopt(&mut client, relation)?;
    let done = adopt(&mut client, &format!("{relation}, false"))?;
    assert_eq!(figures(&done), [6, 5, 2, 2, 3, 1], "{done}");
    told["dry_run"] = json!(false);
    assert_eq!(told, done);
    assert_eq!(done["relation"], r#""Post"."Letters""#);
    // A line break counts here; who has no date is from before all that have one.
    let letters = r#"SELECT concat_ws(' ', "No", "Labels", "How") FROM "Letters" ORDER BY "No""#;
    let expected = [
        "1 {duplicate_archived}",
        "2 {} keep_lines/1",
        "3 {} keep_lines/1",
        "4 {} keep_lines/1",
        "5 {} keep_lines/1",
        "6 {duplicate_archived} keep_lines/1",
    ];
    assert_eq!(texts(&mut client, letters)?, expected);
    let sums = r#"SELECT string_agg(CASE "Sum" WHEN encode(sha256(E'a\nb'::text::bytea), 'hex') THEN 'n' WHEN encode(sha256('a b'), 'hex') THEN 's' END, '' ORDER BY "No") FROM "Letters""#;
    assert_eq!(text(&mut client, sums)?, "nnsnss");
    let orders = r#"SELECT concat("No", ' ', (SELECT string_agg(l."No"::text, ',' ORDER BY l."No") FROM "Letters" l WHERE l."Sum" = o."Print")) FROM "Orders" o ORDER BY 1"#;
    assert_eq!(texts(&mut client, orders)?, ["1 1,2,4", "2 ", "3 3,5,6", "4 3,5,6"]);
    let import = r#"SELECT concat(document_id, is_duplicate) FROM once.import_document('letters', '1', E'a\n b', 's')"#;
    assert_eq!(text(&mut client, import)?, "2t");
    let error =
        refused(&mut client, r#"INSERT INTO "Letters" ("Club", "Body", "Sum") VALUES (1, 'x', 'y') RETURNING 1"#, &[])?;
    assert_eq!(error.code().code(), "23514");
    let again = adopt(&mut client, &format!("{relation}, false"))?;
    assert_eq!((figures(&again), &again["constraints_added"]), ([6, 0, 0, 0, 0, 1], &json!([])), "{again}");
    Ok(())
}

/// A target without a scope, whose one key is on the checksum alone.
fn unscoped(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    client.batch_execute(
        "CREATE TABLE texts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, content text, checksum_sha256 text UNIQUE, normalizer_version text, source text, source_ref text,
           tags text[] DEFAULT '{}', received_at timestamptz DEFAULT now())",
    )?;
    call(&mut client, r#"create_target('texts', 'texts', '{"kind": "document"}')"#, &[])?;
    Ok((db, client))
}

/// Without a scope the whole table is one owner's, and the key on the checksum alone is the right one.
#[test]
fn a_table_without_a_scope_keeps_its_global_key() -> Result<()> {
    let (_db, mut client) = unscoped("unscoped")?;
    client.batch_execute("INSERT INTO texts (content, checksum_sha256, received_at) VALUES ('a', NULL, '2024-01-02'), ('b', NULL, '2024-01-01'), ('c', md5('c'), '2024-01-01')")?;
    let done = adopt(&mut client, "'texts', false")?;
    assert_eq!((figures(&done), &done["keys_replaced"]), ([3, 3, 1, 0, 0, 0], &json!([])), "{done}");
    let import = "SELECT string_agg(concat(document_id, is_duplicate), ' ') FROM unnest('{a,b,c,d}'::text[]) WITH ORDINALITY u (t, n), LATERAL once.import_document('texts', NULL, t, 's')";
    assert!(text(&mut client, import)?.starts_with("1t 2t 3t "));
    Ok(())
}

/// And where rows that had no checksum turn out to repeat one another, that key must not keep them from being adopted.
#[test]
fn a_table_without_a_scope_is_adopted_with_its_duplicates() -> Result<()> {
    let (_db, mut client) = unscoped("unscoped_twice")?;
    client.batch_execute("INSERT INTO texts (content, received_at) VALUES ('a', '2024-01-02'), ('a', '2024-01-01')")?;
    let done = adopt(&mut client, "'texts', false")?;
    assert_eq!(figures(&done), [2, 2, 0, 1, 0, 0], "{done}");
    assert_eq!(
        text(
            &mut client,
            "SELECT concat(document_id, is_duplicate) FROM once.import_document('texts', NULL, 'a', 's')"
        )?,
        "2t"
    );
    Ok(())
}
