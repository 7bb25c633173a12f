//! A loader of files as clients write one: a transaction a file, COPY of what is not staged yet, and a look at
//! whether as many rows were copied as the list of files has counted.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use postgres::{Client, GenericClient};

use crate::promo::{call, copy};
use crate::{Uuid, Value, json};

/// A file of the kit's: a merchant and a code a row.
#[derive(Clone)]
pub struct File {
    pub name: String,
    pub rows: Vec<(Uuid, String)>,
}

impl File {
    pub fn new<S: AsRef<str>>(name: &str, rows: impl IntoIterator<Item = (Uuid, S)>) -> Self {
        let rows = rows.into_iter().map(|(merchant, code)| (merchant, code.as_ref().to_owned())).collect();
        Self { name: name.to_owned(), rows }
    }

    /// How it is known: by what is in it, not by its name.
    pub fn sha256(&self, client: &mut impl GenericClient) -> Result<String> {
        let content: String = self.rows.iter().map(|(merchant, code)| format!("{merchant},{code}\n")).collect();
        Ok(client.query_one("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", &[&content])?.try_get(0)?)
    }

    fn counts(&self) -> Value {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for (merchant, _) in &self.rows {
            *counts.entry(merchant.to_string()).or_default() += 1;
        }
        json!(counts)
    }
}

/// Where a file is staged, and how many rows of it: what `begin_file` says.
pub fn begin(client: &mut impl GenericClient, file: &File) -> Result<BTreeMap<Uuid, i64>> {
    let sha256 = file.sha256(client)?;
    let rows = client.query("SELECT scope::uuid, rows FROM once.begin_file('codes', $1)", &[&sha256])?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Copies the file's rows, but for those of merchants that have it already.
pub fn copy_new(client: &mut impl GenericClient, file: &File, there: &BTreeMap<Uuid, i64>) -> Result<i64> {
    let new = file.rows.iter().filter(|(merchant, _)| !there.contains_key(merchant));
    let rows: Vec<_> = new.map(|(merchant, code)| vec![Some(merchant.to_string()), Some(code.clone())]).collect();
    Ok(copy(client, "public.codes_check_temp (merchant_id, code)", &rows)?.try_into()?)
}

/// Has the file listed; the number of rows that must have been copied.
pub fn end(client: &mut impl GenericClient, file: &File) -> Result<i64> {
    ended(client, file, false)
}

/// Has the file listed of which all rows were copied, be they staged already or not.
pub fn end_again(client: &mut impl GenericClient, file: &File) -> Result<i64> {
    ended(client, file, true)
}

fn ended(client: &mut impl GenericClient, file: &File, again: bool) -> Result<i64> {
    let sha256 = file.sha256(client)?;
    let end = "SELECT once.end_file('codes', $1, $2, $3, again => $4)";
    let row = client.query_one(end, &[&sha256, &file.name, &file.counts(), &again])?;
    Ok(row.try_get(0)?)
}

/// All that, in the transaction of the caller; the number of rows that were new.
pub fn stage_file(client: &mut impl GenericClient, file: &File) -> Result<i64> {
    let there = begin(client, file)?;
    let copied = copy_new(client, file, &there)?;
    let new = end(client, file)?;
    ensure!(copied == new, "{}: {copied} rows were copied where {new} are new", file.name);
    Ok(new)
}

/// All that, in a transaction of its own; once more where the list changed meanwhile.
pub fn load(client: &mut Client, file: &File) -> Result<i64> {
    for _ in 0..100 {
        let mut transaction = client.transaction()?;
        let there = begin(&mut transaction, file)?;
        let copied = copy_new(&mut transaction, file, &there)?;
        if end(&mut transaction, file)? == copied {
            transaction.commit()?;
            return Ok(copied);
        }
    }
    bail!("{} was never loaded", file.name)
}

/// What is staged of a merchant.
pub fn status(client: &mut impl GenericClient, merchant: Uuid) -> Result<Value> {
    call(client, "staging_status('codes', $1::uuid::text)", &[&merchant])
}

/// The names of a merchant's files.
pub fn names(client: &mut impl GenericClient, merchant: Uuid) -> Result<Vec<String>> {
    let status = status(client, merchant)?;
    let files = status["files"].as_array().context("no files")?;
    Ok(files.iter().filter_map(|file| file["name"].as_str()).map(str::to_owned).collect())
}
