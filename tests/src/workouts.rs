//! What tests of the documents path share: the kit workouts, imports, drafts and commits, and the same by the generic
//! functions.

use anyhow::{Context, Result};
use postgres::{Client, Error, GenericClient, Row};

use crate::promo::{call, text};
use crate::{Db, Uuid};

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub id: Uuid,
    pub is_duplicate: bool,
    pub message: String,
    pub checksum: String,
}

/// What became of a document or record of any target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub id: String,
    pub is_duplicate: bool,
    pub message: String,
}

/// A new database with the kit in `public`, and a connection of the kit's owner.
pub fn install(label: &str) -> Result<(Db, Client)> {
    let db = Db::new(label)?;
    let client = install_into(&db)?;
    Ok((db, client))
}

/// The kit in `public` of a database that is there.
pub fn install_into(db: &Db) -> Result<Client> {
    let mut client = db.client()?;
    call(&mut client, "install_kit('workouts', 'public')", &[])?;
    Ok(client)
}

/// Imports a text of an athlete, as a client does: by named arguments.
pub fn import(client: &mut impl GenericClient, athlete: Option<Uuid>, text: &str) -> Result<Import, Error> {
    let sql = "SELECT * FROM once.import_raw_text_idempotent(athlete_id => $1, raw_text => $2, source => 'coach')";
    import_of(&client.query_one(sql, &[&athlete, &text])?)
}

/// The row that an import gives.
pub fn import_of(row: &Row) -> Result<Import, Error> {
    Ok(Import {
        id: row.try_get("import_id")?,
        is_duplicate: row.try_get("is_duplicate")?,
        message: row.try_get("message")?,
        checksum: row.try_get("checksum")?,
    })
}

/// A new draft of an import.
pub fn draft(client: &mut impl GenericClient, import: Uuid) -> Result<Uuid> {
    let sql = "INSERT INTO public.workout_drafts (import_id, parsed_draft) VALUES ($1, '{}') RETURNING draft_id";
    Ok(client.query_one(sql, &[&import])?.try_get(0)?)
}

/// A text that is imported, with a draft of it.
pub fn drafted(client: &mut impl GenericClient, athlete: Option<Uuid>, text: &str) -> Result<(Import, Uuid)> {
    let import = import(client, athlete, text)?;
    let draft = draft(client, import.id)?;
    Ok((import, draft))
}

/// Commits a draft; `parsed` is JSON as text, so that no client library changes its numbers.
pub fn commit(client: &mut impl GenericClient, draft: Uuid, parsed: &str) -> Result<Outcome, Error> {
    let sql = "SELECT workout_id::text, is_duplicate, message FROM once.commit_workout_idempotent(\
               draft_id => $1, parsed_workout => $2::text::jsonb)";
    outcome_of(&client.query_one(sql, &[&draft, &parsed])?)
}

/// Takes a document of any target in.
pub fn take(
    client: &mut impl GenericClient,
    target: &str,
    owner: Option<&str>,
    content: &str,
) -> Result<Outcome, Error> {
    let sql = "SELECT document_id, is_duplicate, message FROM once.import_document($1, $2, $3, 'source')";
    outcome_of(&client.query_one(sql, &[&target, &owner, &content])?)
}

/// Commits a draft of any target.
pub fn commit_draft(
    client: &mut impl GenericClient,
    target: &str,
    draft: &str,
    parsed: &str,
) -> Result<Outcome, Error> {
    let sql = "SELECT record_id, is_duplicate, message FROM once.commit_document($1, $2, $3::text::jsonb)";
    outcome_of(&client.query_one(sql, &[&target, &draft, &parsed])?)
}

fn outcome_of(row: &Row) -> Result<Outcome, Error> {
    Ok(Outcome { id: row.try_get(0)?, is_duplicate: row.try_get(1)?, message: row.try_get(2)? })
}

/// How many imports, drafts and workouts there are, as `2 1 0`.
pub fn counts(client: &mut impl GenericClient) -> Result<String> {
    text(
        client,
        "SELECT concat_ws(' ', (SELECT count(*) FROM public.imports), (SELECT count(*) FROM public.workout_drafts), \
         (SELECT count(*) FROM public.workouts))",
    )
}

/// SHA-256 of a text as Postgres has it.
pub fn sha256(client: &mut impl GenericClient, plain: &str) -> Result<String> {
    let row = client.query_one("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", &[&plain])?;
    row.try_get(0).context("no hash")
}
