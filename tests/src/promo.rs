//! What tests of the bulk path share: the kit, staging by COPY, calls and refusals.

use std::io::Write;

use anyhow::{Context, Result, bail};
use postgres::error::DbError;
use postgres::types::ToSql;
use postgres::{Client, GenericClient};

use crate::{Db, Uuid, Value};

/// A merchant.
pub const A: Uuid = Uuid::from_u128(0xaaaa_aaaa_aaaa_4aaa_8aaa_aaaa_aaaa_aaaa);
/// Another merchant.
pub const B: Uuid = Uuid::from_u128(0xbbbb_bbbb_bbbb_4bbb_8bbb_bbbb_bbbb_bbbb);

/// Values for the parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A new database with the kit in `public`, and a connection of the kit's owner.
pub fn install(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    Ok((db, client))
}

/// Copies rows into `into` (a table, or a table with its columns) as psql's `\copy` does.
pub fn copy<F: AsRef<str>>(client: &mut impl GenericClient, into: &str, rows: &[Vec<Option<F>>]) -> Result<u64> {
    let mut text = String::new();
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| escape(field.as_ref().map(AsRef::as_ref))).collect();
        text.push_str(&fields.join("\t"));
        text.push('\n');
    }
    let mut writer = client.copy_in(&format!("COPY {into} FROM STDIN"))?;
    writer.write_all(text.as_bytes())?;
    Ok(writer.finish()?)
}

fn escape(field: Option<&str>) -> String {
    let Some(text) = field else { return r"\N".into() };
    text.replace('\\', r"\\").replace('\t', r"\t").replace('\n', r"\n").replace('\r', r"\r")
}

/// Stages codes of a merchant.
pub fn stage<S: AsRef<str>>(client: &mut Client, merchant: Uuid, codes: &[S]) -> Result<u64> {
    let merchant = merchant.to_string();
    let rows: Vec<_> = codes.iter().map(|code| vec![Some(merchant.as_str()), Some(code.as_ref())]).collect();
    copy(client, "public.codes_check_temp (merchant_id, code)", &rows)
}

/// Puts codes of a merchant into production, as an application would.
pub fn produce<S: AsRef<str>>(client: &mut Client, merchant: Uuid, codes: &[S]) -> Result<()> {
    let codes: Vec<&str> = codes.iter().map(AsRef::as_ref).collect();
    client
        .execute("INSERT INTO public.codes (merchant_id, code) SELECT $1, unnest($2::text[])", &[&merchant, &codes])?;
    Ok(())
}

/// Calls a function of the extension that gives jsonb: `call(client, "clear_temp_data($1)", &[&A])`.
pub fn call(client: &mut impl GenericClient, call: &str, params: Params) -> Result<Value> {
    let row = client.query_one(&format!("SELECT once.{call}"), params).with_context(|| call.to_owned())?;
    Ok(row.try_get(0)?)
}

/// Marks a merchant's staged rows.
pub fn mark(client: &mut Client, merchant: Uuid) -> Result<Value> {
    call(client, "mark_duplicates_in_temp($1)", &[&merchant])
}

/// Marks and inserts; the answer of the insert.
pub fn import(client: &mut Client, merchant: Uuid) -> Result<Value> {
    mark(client, merchant)?;
    insert(client, merchant)
}

/// Inserts a merchant's clean rows.
pub fn insert(client: &mut Client, merchant: Uuid) -> Result<Value> {
    call(client, "insert_clean_codes_to_production($1)", &[&merchant])
}

/// The job that an answer names.
pub fn job_of(answer: &Value) -> Result<Uuid> {
    let id = answer["job_id"].as_str().with_context(|| format!("no job in {answer}"))?;
    Ok(id.parse()?)
}

/// The job of an insert that must have gone well.
pub fn imported(answer: &Value) -> Result<Uuid> {
    if answer["success"] != true {
        bail!("the insert failed: {answer}");
    }
    job_of(answer)
}

/// The error that the server answers a statement with.
pub fn refused(client: &mut impl GenericClient, sql: &str, params: Params) -> Result<DbError> {
    match client.query(sql, params) {
        Ok(_) => bail!("not refused: {sql}"),
        Err(error) => error.as_db_error().cloned().with_context(|| format!("{sql}: {error}")),
    }
}

/// The SQLSTATE of a statement's refusal, which must have both a DETAIL and a HINT.
pub fn refused_well(client: &mut impl GenericClient, sql: &str, params: Params) -> Result<String> {
    let error = refused(client, sql, params)?;
    if error.detail().is_none() || error.hint().is_none() {
        bail!("no DETAIL or no HINT: {sql}: {error:?}");
    }
    Ok(error.code().code().into())
}

/// The call that a refusal's hint advises.
pub fn advised(error: &DbError) -> Result<String> {
    let hint = error.hint().context("no hint")?;
    let call = hint.find("SELECT ").and_then(|start| hint[start..].split_inclusive(';').next());
    Ok(call.with_context(|| format!("no call in {hint}"))?.to_owned())
}

/// One column of a statement's result, as text, in its order.
pub fn texts(client: &mut impl GenericClient, sql: &str) -> Result<Vec<String>> {
    let rows = client.query(sql, &[]).with_context(|| sql.to_owned())?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The single text of a result.
pub fn text(client: &mut impl GenericClient, sql: &str) -> Result<String> {
    Ok(client.query_one(sql, &[]).with_context(|| sql.to_owned())?.try_get(0)?)
}

/// The codes that a merchant has in production, sorted.
pub fn codes(client: &mut Client, merchant: Uuid) -> Result<Vec<String>> {
    texts(
        client,
        &format!("SELECT code FROM public.codes WHERE merchant_id = '{merchant}' ORDER BY code COLLATE \"C\""),
    )
}
