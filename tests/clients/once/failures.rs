//! A server that is not there, goes away, refuses or has no room: said, and what was loaded before stays.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use once_tests::Db;
use once_tests::json;
use once_tests::once::{Folder, command, once, run, start};
use once_tests::promo::{self, call, text};
use once_tests::wait::until;
use xtask::server::user;

use super::interrupted::held;
use super::{A, B, about, files, many, says, staged, staged_count, until_waiting};

#[test]
fn a_server_that_is_not_there_or_refuses_is_told() -> Result<()> {
    let folder = Folder::new("refused")?;
    folder.file("a.csv", format!("merchant_id,code\n{A},a\n"))?;
    let load = ["load", folder.arg()];
    let bare = Db::bare("bare")?;
    says(&once(&bare, &load)?, 3, &["pg_once is not installed", "hint: ", "CREATE EXTENSION pg_once"]);
    let empty = Db::new("empty")?;
    says(&once(&empty, &load)?, 3, &["no target is registered", "hint: ", "install_kit"]);

    let ran = run(command(&bare, &load)?.env("PGHOST", folder.arg()))?;
    says(&ran, 3, &[folder.arg(), "No such file", "hint: "]);
    let ran = run(command(&bare, &load)?.env("PGUSER", "nobody_at_all"))?;
    says(&ran, 3, &["role \"nobody_at_all\" does not exist", "28000"]);
    let ran = run(command(&bare, &load)?.env("PGDATABASE", "no_such_database"))?;
    says(&ran, 3, &["database \"no_such_database\" does not exist", "3D000"]);
    let ran = run(command(&bare, &[&load[..], &["--json"]].concat())?.env("PGPORT", "1"))?.exits(3)?;
    assert_eq!((&ran.json()?["success"], &ran.json()?["exit"]), (&json!(false), &json!(3)));
    Ok(())
}

#[test]
fn who_may_not_stage_is_told_whom_to_ask_and_who_may_can() -> Result<()> {
    let (db, mut owner) = promo::install("rights")?;
    let role = db.create_role("importer")?;
    let folder = Folder::new("rights")?;
    folder.file("a.csv", format!("merchant_id,code,points\n{A},a,1\n{A},b,x\n"))?;
    let load = |options: &[&str]| run(command(&db, &[&["load", folder.arg()], options].concat())?.env("PGUSER", &role));
    owner.batch_execute("REVOKE USAGE ON SCHEMA once FROM PUBLIC")?;
    says(&load(&[])?, 3, &["permission denied for schema once", "42501"]);
    owner.batch_execute("GRANT USAGE ON SCHEMA once TO PUBLIC")?;
    says(&load(&[])?, 3, &["a.csv: ", "42501", "hint: ", "grant_import_access"]);
    assert_eq!((staged(&mut owner)?, files(&mut owner)?), (vec![], vec![]));

    owner.execute("SELECT once.grant_import_access('codes', $1)", &[&role])?;
    load(&["--max-rejects", "1"])?.exits(0)?;
    assert_eq!((staged(&mut owner)?, files(&mut owner)?), (vec!["A|a".into()], vec!["a.csv A 1".into()]));
    assert_eq!(text(&mut owner, "SELECT rejected_by FROM once.import_rejects")?, role);
    assert_eq!(load(&["--max-rejects", "1", "--json"])?.exits(0)?.json()?["skipped"], 1);
    run(command(&db, &["clear", A, "--yes"])?.env("PGUSER", &role))?.exits(0)?;
    drop(owner);
    db.psql(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")).map(drop)
}

/// A server of its own: its password is asked for, it is stopped in the middle of a load, and killed after one.
#[test]
fn a_server_that_goes_away_leaves_whole_files() -> Result<()> {
    let db = Db::on_own_cluster("gone", &[])?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    let (folder, mut keeper) = held(&db, &mut client, "gone")?;
    let load = ["load", folder.arg(), "--scope", A];

    client.batch_execute("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right'")?;
    let hba = PathBuf::from(text(&mut client, "SHOW hba_file")?);
    fs::write(&hba, format!("local all guarded scram-sha-256\n{}", fs::read_to_string(&hba)?))?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    let with = |password: &str| run(command(&db, &["jobs"])?.env("PGUSER", "guarded").env("PGPASSWORD", password));
    until("the password is asked for", || Ok(with("wrong")?.exit == 3))?;
    let ran = with("wrong")?;
    says(&ran, 3, &["password authentication failed", "28P01", "hint: "]);
    assert!(!format!("{ran:?}").contains("wrong"), "{ran:?}");
    with("right")?.exits(0)?;

    // Earlier files are on disk: only a crash takes an unlogged table's rows, and this is one.
    client.batch_execute("ALTER TABLE codes_check_temp SET LOGGED")?;
    let running = start(&db, &[&load[..], &["--json"]].concat())?;
    until_waiting(&mut keeper, 1)?;
    db.cluster().stop_immediate()?;
    let ran = running.wait()?;
    says(
        &ran,
        3,
        &["big.csv: ", "hint: The server ended the connection", "2 files not loaded", "What was loaded before stays"],
    );
    let answer = ran.json()?;
    assert_eq!((&answer["loaded"], &answer["not_tried"], &answer["rows"]), (&json!(1), &json!(2), &json!(2)));
    assert_eq!(about(&answer, "a.csv")?["status"], "loaded");
    says(&once(&db, &load)?, 3, &["hint: "]);

    db.cluster().start()?;
    let mut client = db.client()?;
    assert_eq!(
        (staged(&mut client)?, files(&mut client)?),
        (vec!["A|a1".into(), "A|a2".into()], vec!["a.csv A 2".into()])
    );
    let answer = once(&db, &[&load[..], &["--json"]].concat())?.exits(0)?.json()?;
    assert_eq!((&answer["loaded"], &answer["skipped"]), (&json!(2), &json!(1)));
    assert_eq!(staged_count(&mut client)?, (9_003, 9_003));

    // As it is by default, a crash empties it; that the files are listed hides no row.
    client.batch_execute("ALTER TABLE codes_check_temp SET UNLOGGED")?;
    drop(client);
    db.cluster().kill9()?;
    db.cluster().start()?;
    let mut client = db.client()?;
    assert_eq!(staged_count(&mut client)?.0, 0);
    // Not all that was lost is here, so it is not passed over.
    let rest = Folder::new("rest")?;
    rest.file("a.csv", fs::read(folder.path().join("a.csv"))?)?;
    rest.file("b.csv", format!("merchant_id,code\n{B},b\n"))?;
    says(&once(&db, &["load", rest.arg(), "--scope", A])?, 3, &["a.csv: ", "crash", "55000", "hint: ", "once clear"]);
    assert_eq!(staged_count(&mut client)?.0, 0);
    once(&db, &["clear", A, "--yes"])?.exits(0)?;
    once(&db, &load)?.exits(0)?;
    assert_eq!(staged_count(&mut client)?, (9_003, 9_003));
    assert_eq!(files(&mut client)?, ["a.csv A 2", "big.csv A 9000", "z.csv A 1"]);
    // Whoever may have lost rows by other ways has to be cleared as well.
    says(&once(&db, &["load", rest.arg(), "--scope", A])?, 3, &["b.csv: ", B, "55000", "once clear"]);
    Ok(())
}

/// A disk of 8 MB for a server's tablespace, taken away at the end.
struct Disk(PathBuf);

impl Disk {
    fn new(folder: &Folder) -> Result<Self> {
        let path = folder.path().join("disk");
        fs::create_dir_all(&path)?;
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs"]).arg(&path).output()?;
        ensure!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
        Ok(Self(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server that uses it is stopped later.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_load_and_leaves_whole_files() -> Result<()> {
    let folder = Folder::new("full")?;
    let db = Db::on_own_cluster("full", &[])?;
    let mut client = db.client()?;
    call(&mut client, "install_kit('promo_codes', 'public')", &[])?;
    // Not every root may mount.
    let disk = if user::is_root()? { Disk::new(&folder).ok() } else { None };
    match &disk {
        Some(disk) => {
            user::give(&disk.0)?;
            client.batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.display()))?;
            client.batch_execute("ALTER TABLE codes_check_temp SET TABLESPACE small")?;
        }
        None => limit_backends(&db, &mut client)?,
    }
    folder.file("a.csv", many(1_000, 100))?;
    let rows = if disk.is_some() { 70_000 } else { 150_000 };
    folder.file("b.csv", many(rows, 100).replace('C', "D"))?;
    folder.file("c.csv", "code\nc\n")?;
    let ran = once(&db, &["load", folder.arg(), "--scope", A, "--json"])?;
    says(&ran, 3, &["b.csv: could not extend file", "2 files not loaded", "What was loaded before stays"]);
    let answer = ran.json()?;
    if disk.is_some() {
        says(&ran, 3, &["No space left on device", "SQLSTATE 53100", "hint: "]);
        assert_eq!(answer["error"]["sqlstate"], "53100");
    }
    assert_eq!((&answer["loaded"], &answer["not_tried"]), (&json!(1), &json!(2)));
    assert_eq!(staged_count(&mut client)?, (1_000, 1_000));
    assert_eq!(files(&mut client)?, ["a.csv A 1000"]);
    // With room again, what failed is loaded.
    if disk.is_some() {
        client.batch_execute("ALTER TABLE codes_check_temp SET TABLESPACE pg_default")?;
        once(&db, &["load", folder.arg(), "--scope", A])?.exits(0)?;
        assert_eq!(staged_count(&mut client)?, (71_001, 71_001));
    }
    drop(client);
    db.cluster().stop_immediate()
}

/// Who may not mount has no small disk; a limit on the size of files is met in the same place, with another errno.
/// It is above 16 MB, which the files of the WAL have.
fn limit_backends(db: &Db, client: &mut once_tests::postgres::Client) -> Result<()> {
    let data = text(client, "SHOW data_directory")?;
    let pid_file = fs::read_to_string(PathBuf::from(data).join("postmaster.pid"))?;
    let postmaster = pid_file.lines().next().context("no postmaster")?;
    let limit = ["--pid", postmaster, "--fsize=16781312"];
    ensure!(user::server_command("prlimit")?.args(limit).status()?.success(), "prlimit");
    ensure!(db.client()?.is_valid(std::time::Duration::from_secs(5)).is_ok(), "no connection");
    Ok(())
}
