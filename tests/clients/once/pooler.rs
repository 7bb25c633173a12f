//! Behind pgbouncer in transaction pooling, with fewer connections than clients.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use once_tests::once::{Folder, command, pgbouncer, run, start_command};
use once_tests::promo::{codes, install, text};
use once_tests::wait::until;
use once_tests::{Db, promo};
use xtask::server::user;

use super::interrupted::held;
use super::{A, B, files, open_gate, says, staged, staged_count, until_idle, until_waiting};

/// A pgbouncer before a test's database, on a socket of its own.
struct Pooler {
    process: Child,
    folder: Folder,
}

impl Pooler {
    fn new(db: &Db, connections: u8) -> Result<Self> {
        let folder = Folder::new("pool")?;
        user::give(folder.path())?;
        // With auth_type any, the database's line says as whom to connect.
        let config = format!(
            "[databases]\n* = host={} port=5432 user=postgres\n[pgbouncer]\npool_mode = transaction\nauth_type = any\n\
             listen_port = 6432\nunix_socket_dir = {}\ndefault_pool_size = {connections}\nmax_client_conn = 50\n",
            db.cluster().socket_dir().display(),
            folder.path().display()
        );
        let path = folder.file("pgbouncer.ini", config)?;
        let mut pgbouncer = user::server_command(pgbouncer()?)?;
        let log = fs::File::create(folder.path().join("log"))?;
        let process = pgbouncer.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let pooler = Self { process, folder };
        until("pgbouncer listens", || Ok(pooler.folder.path().join(".s.PGSQL.6432").exists()))?;
        Ok(pooler)
    }

    fn command(&self, db: &Db, arguments: &[&str]) -> Result<Command> {
        let mut command = command(db, arguments)?;
        command.env("PGHOST", self.folder.path()).env("PGPORT", "6432");
        Ok(command)
    }

    fn is_alive(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn job_of(answer: &once_tests::Value) -> Result<String> {
    Ok(promo::job_of(answer)?.to_string())
}

fn write_files(folder: &Path, prefix: &str, merchant: &str) -> Result<()> {
    for file in 0..6 {
        let rows: String = (0..200).map(|row| format!("{merchant},{prefix}{}\n", (file * 150 + row))).collect();
        fs::write(folder.join(format!("{prefix}{file}.csv")), format!("merchant_id,code\n{rows}"))?;
    }
    Ok(())
}

/// Two clients do the whole journey at once, each with two files at a time, on two connections.
#[test]
fn the_whole_journey_on_connections_that_are_shared() -> Result<()> {
    let (db, mut client) = install("journey")?;
    let pooler = Pooler::new(&db, 2)?;
    let folders = [Folder::new("pool_a")?, Folder::new("pool_b")?];
    let journey = |folder: &Folder, prefix: &str, merchant: &str| -> Result<()> {
        write_files(folder.path(), prefix, merchant)?;
        let once = |arguments: &[&str]| {
            let ran = run(&mut pooler.command(&db, &[arguments, &["--json"]].concat())?)?.exits(0)?;
            ran.json()
        };
        for round in 0..3 {
            once(&["check", folder.arg()])?;
            // 6 files of 200 rows, each of which shares 50 with the next one.
            let loaded = once(&["load", folder.arg(), "--jobs", "2"])?;
            ensure!(loaded["rows"] == 1_200 && loaded["loaded"] == 6, "{loaded}");
            ensure!(once(&["load", folder.arg(), "--jobs", "2"])?["skipped"] == 6, "not skipped");
            let deduped = once(&["dedupe", merchant])?;
            ensure!(
                deduped["after"]["clean_count"] == 950 && deduped["after"]["internal_duplicates"] == 250,
                "{deduped}"
            );
            let file = folder.path().join("duplicates.txt");
            let exported = once(&["export", merchant, file.to_str().unwrap_or_default()])?;
            ensure!(exported["rows"] == 250, "{exported}");
            let inserted = once(&["insert", merchant, "--yes"])?;
            ensure!(inserted["codes_inserted"] == 950 && inserted["verified"] == true, "{inserted}");
            let job = job_of(&inserted)?;
            ensure!(once(&["verify", &job])?["verified"] == true, "not verified");
            once(&["job", &job])?;
            if round < 2 {
                ensure!(once(&["rollback", &job, "--yes"])?["codes_deleted"] == 950, "not all deleted");
            }
            let cleared = once(&["clear", merchant, "--yes"])?;
            ensure!(cleared["rows_deleted"] == 1_200, "{cleared}");
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(|| journey(&folders[1], "b", B));
        journey(&folders[0], "a", A)?;
        other.join().map_err(|_| anyhow!("the other panicked"))?
    })?;
    for (merchant, prefix) in [(promo::A, "a"), (promo::B, "b")] {
        let mut expected: Vec<String> = (0..950).map(|n| format!("{prefix}{n}")).collect();
        expected.sort();
        assert_eq!(codes(&mut client, merchant)?, expected);
    }
    assert_eq!((staged(&mut client)?, files(&mut client)?), (vec![], vec![]));
    // Two connections served them all.
    let backends = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        db.name()
    );
    assert_eq!(text(&mut client, &backends)?, "2");
    Ok(())
}

/// Ctrl-C ends what the database does and leaves pgbouncer, and the other client on the same connections, alone.
#[test]
fn ctrl_c_behind_a_pooler_ends_only_its_own_work() -> Result<()> {
    let (db, mut client) = install("pool_ctrl_c")?;
    let mut pooler = Pooler::new(&db, 2)?;
    let (folder, mut keeper) = held(&db, &mut client, "pool_ctrl_c")?;
    let running = start_command(&mut pooler.command(&db, &["load", folder.arg(), "--scope", A])?)?;
    let loader = until_waiting(&mut keeper, 1)?;
    running.signal("INT")?;
    says(&running.wait()?, 130, &["big.csv: interrupted"]);
    until_idle(&mut keeper, loader)?;
    assert!(pooler.is_alive()?, "{}", pooler.log());
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2"]);
    open_gate(&mut keeper)?;
    run(&mut pooler.command(&db, &["load", folder.arg(), "--scope", A])?)?.exits(0)?;
    assert_eq!(staged_count(&mut client)?, (9_003, 9_003));
    Ok(())
}

/// Where no connection is left to cancel by, a second Ctrl-C ends it at once, and the pooler lets go of the work.
#[test]
fn a_second_ctrl_c_ends_it_where_the_pooler_has_no_connection_left() -> Result<()> {
    let (db, mut client) = install("pool_full")?;
    let mut pooler = Pooler::new(&db, 1)?;
    let (folder, mut keeper) = held(&db, &mut client, "pool_full")?;
    let mut running = start_command(&mut pooler.command(&db, &["load", folder.arg(), "--scope", A])?)?;
    let loader = until_waiting(&mut keeper, 1)?;
    until("it has ended", || {
        running.signal("INT")?;
        running.is_over()
    })?;
    assert_eq!(running.wait()?.exit, 130);
    open_gate(&mut keeper)?;
    until_idle(&mut keeper, loader)?;
    assert!(pooler.is_alive()?, "{}", pooler.log());
    assert_eq!(staged(&mut client)?, ["A|a1", "A|a2"]);
    run(&mut pooler.command(&db, &["load", folder.arg(), "--scope", A])?)?.exits(0)?;
    assert_eq!(staged_count(&mut client)?, (9_003, 9_003));
    Ok(())
}
