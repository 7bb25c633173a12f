//! A connection, and the transactions that a command runs on it. Nothing is kept in the session between them, so
//! that each may be served by another connection of a pooler.

use once_core::ident::{literal, quote};
use postgres::types::{ToSql, Type};
use postgres::{Client, CopyInWriter, Row, SimpleQueryMessage, Transaction};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;

use crate::args::Global;
use crate::connect::Connector;
use crate::error::{Failure, Remedy, Result};
use crate::interrupt::{self, Cancels};

/// A parameter of a statement with its type: statements are not prepared, which poolers would not keep.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

pub struct Session {
    connector: Connector,
    client: Client,
    timeout: String,
    /// The extension's schema, quoted.
    schema: String,
}

/// A registered target that takes rows in bulk, as `target_list` shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    pub name: String,
    /// The table, quoted and qualified.
    pub relation: String,
    /// The staging table, quoted and qualified.
    pub staging: String,
    pub key: Vec<String>,
    pub scope: Option<String>,
    pub columns: Vec<String>,
    pub aliases: BTreeMap<String, String>,
}

impl Target {
    /// The columns that a file may fill.
    pub fn filled(&self) -> impl Iterator<Item = &String> {
        self.scope.iter().chain(&self.key).chain(&self.columns)
    }
}

impl Session {
    /// Connects, and finds the extension.
    pub fn open(global: &Global) -> Result<Self> {
        Self::connect(Connector::resolve(global.dsn.as_deref())?, global.timeout.clone())
    }

    /// A second session like this one, for work beside it.
    pub fn another(&self) -> Result<Self> {
        Self::connect(self.connector.clone(), self.timeout.clone())
    }

    /// Connects by settings that are known; `timeout` is that of `--timeout`.
    pub fn connect(connector: Connector, timeout: String) -> Result<Self> {
        let client = connector.connect()?;
        let mut session = Self { connector, client, timeout, schema: String::new() };
        session.schema = session.find_extension()?;
        Ok(session)
    }

    fn find_extension(&mut self) -> Result<String> {
        let place = self.connector.describe();
        let found = self.transaction()?.rows(
            "SELECT n.nspname::text FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_once'",
            &[],
        )?;
        match found.first() {
            Some(row) => Ok(quote(&row.try_get::<_, String>(0)?)),
            None => Err(Failure::database(format!("pg_once is not installed in {place}"))
                .hint(
                    "CREATE SCHEMA once; CREATE EXTENSION pg_once SCHEMA once; or connect to the database that has it.",
                )
                .remedy(Remedy::Setup)),
        }
    }

    /// Begins a transaction with the command's own timeout: the default of 60 s that is usual behind poolers is
    /// too short for millions of rows.
    pub fn transaction(&mut self) -> Result<Work<'_>> {
        interrupt::check()?;
        let mut transaction = self.client.transaction()?;
        // What a role or a pooler sets for quick requests would end hours of work; the last is Postgres 17's. COPY's option
        // ENCODING does not reach text in binary rows: that is read as the session's encoding says.
        let begin = format!(
            "SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SET LOCAL client_encoding = 'UTF8'; \
             SELECT pg_catalog.pg_backend_pid(), extract(epoch FROM pg_catalog.now()), \
             CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL \
             THEN pg_catalog.set_config('transaction_timeout', '0', true) END",
            literal(&self.timeout)
        );
        let answers = transaction.simple_query(&begin)?;
        let row = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)?.to_string())),
            _ => None,
        });
        let (pid, began) = row.ok_or_else(|| Failure::database("the server does not tell its process"))?;
        let cancels = interrupt::cancels(&self.connector, pid, began);
        // A Ctrl-C just before did not know of it.
        interrupt::check()?;
        Ok(Work {
            transaction,
            schema: &self.schema,
            connector: &self.connector,
            timeout: &self.timeout,
            pid,
            _cancels: cancels,
        })
    }

    /// Runs one statement that gives a JSON answer, in a transaction of its own: `call` as in `mark_duplicates($1, $2)`.
    pub fn call(&mut self, call: &str, params: &[Param<'_>]) -> Result<Value> {
        let mut work = self.transaction()?;
        let answer = work.call(call, params)?;
        work.commit()?;
        Ok(answer)
    }

    /// The target of this name; with none, the only one that is registered.
    pub fn target(&mut self, name: Option<&str>) -> Result<Target> {
        let mut work = self.transaction()?;
        let sql =
            format!("SELECT to_jsonb(t.*) FROM {} t WHERE t.kind = 'bulk' ORDER BY t.name", work.own("target_list"));
        let rows = work.rows(&sql, &[])?;
        drop(work);
        let mut targets = Vec::new();
        for row in rows {
            let target: Value = row.try_get(0)?;
            targets.push(serde_json::from_value::<Target>(target).map_err(|error| {
                Failure::database(format!("the registry of targets can't be read: {error}"))
                    .hint("Is pg_once in the database as new as this program? ALTER EXTENSION pg_once UPDATE;")
            })?);
        }
        let names = targets.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, targets.len()) {
            (_, 0) => Err(Failure::database("no target is registered")
                .hint("SELECT once.install_kit('promo_codes', 'public'); or once.create_target(…), by the owner of the tables.")),
            (Some(name), _) => targets.into_iter().find(|t| t.name == name).ok_or_else(|| {
                Failure::usage(format!("there is no target \"{name}\" for rows")).hint(format!("Registered are {names}."))
            }),
            (None, 1) => targets.pop().ok_or_else(|| Failure::database("no target is registered")),
            (None, _) => Err(Failure::usage("several targets are registered: say which one is meant")
                .hint(format!("--target NAME, or ONCE_TARGET; registered are {names}."))),
        }
    }
}

/// A transaction; dropped without `commit`, it is rolled back.
pub struct Work<'a> {
    transaction: Transaction<'a>,
    schema: &'a str,
    connector: &'a Connector,
    timeout: &'a str,
    /// The server's process.
    pub pid: i32,
    _cancels: Cancels,
}

impl<'a> Work<'a> {
    /// An object of the extension's schema, quoted and qualified.
    pub fn own(&self, name: &str) -> String {
        format!("{}.{}", self.schema, quote(name))
    }

    /// What opens a second session, for a thread that looks on while this one works.
    pub fn opener(&self) -> impl FnOnce() -> Result<Session> + Send + use<> {
        let (connector, timeout) = (self.connector.clone(), self.timeout.to_string());
        move || Session::connect(connector, timeout)
    }

    pub fn rows(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        self.transaction.query_typed(sql, params).map_err(failed)
    }

    /// Statements without parameters, whose results do not matter.
    pub fn execute(&mut self, sql: &str) -> Result<()> {
        self.transaction.batch_execute(sql).map_err(failed)
    }

    /// Calls a function of the extension that gives one jsonb.
    pub fn call(&mut self, call: &str, params: &[Param<'_>]) -> Result<Value> {
        let sql = format!("SELECT {}.{call}", self.schema);
        let row = self.transaction.query_typed_one(&sql, params).map_err(failed)?;
        Ok(row.try_get(0)?)
    }

    /// The types of a table's columns, as OIDs; from here on they stay so until the transaction ends.
    pub fn column_types(&mut self, table: &str, columns: &[String]) -> Result<Vec<u32>> {
        self.execute(&format!("LOCK TABLE {table} IN ACCESS SHARE MODE"))?;
        // Of the catalog, a transaction may see an older state than COPY works by. This reads no table.
        let types: Vec<String> =
            columns.iter().map(|column| format!("pg_catalog.pg_typeof((NULL::{table}).{})", quote(column))).collect();
        let rows = self.rows(&format!("SELECT ARRAY[{}]::pg_catalog.oid[]", types.join(", ")), &[])?;
        Ok(rows.first().map_or(Ok(Vec::new()), |row| row.try_get(0))?)
    }

    /// Runs a COPY FROM STDIN; gives the number of rows that were written.
    pub fn copy_in(
        &mut self,
        statement: &str,
        write: impl FnOnce(&mut CopyInWriter<'_>) -> io::Result<()>,
    ) -> Result<u64> {
        let mut writer = self.transaction.copy_in(statement).map_err(failed)?;
        let written = write(&mut writer);
        // Where the server gave up, finishing tells why.
        let copied = writer.finish().map_err(failed)?;
        written.map_err(|error| interrupt::explain(Failure::database(format!("COPY broke off: {error}"))))?;
        Ok(copied)
    }

    /// The transaction itself, for COPY and for results that are streamed.
    pub fn raw(&mut self) -> &mut Transaction<'a> {
        &mut self.transaction
    }

    pub fn commit(self) -> Result<()> {
        self.transaction.commit().map_err(failed)
    }
}

fn failed(error: postgres::Error) -> Failure {
    interrupt::explain(error.into())
}
