//! The command `once` connects as psql does: the same settings let both in, in the same way, or neither.

#[path = "connect/server.rs"]
mod server;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use once_tests::once::{command, start_command};
use once_tests::wait::until;

use server::{HOST, MARK, PASSWORD, Server, WRONG, chmod, own_address, path, private};

#[test]
fn sslmode_decides_as_it_does_for_psql() -> Result<()> {
    let server = Server::new("tls")?;
    let [ca, other, none] = ["ca.crt", "other.crt", "none.crt"].map(|name| path(&server.folder, name));
    let refused: &[&str] = &["pg_hba.conf", "SQLSTATE 28000", "hint: Check user, database and sslmode"];
    let untrusted: &[&str] = &["certificate verify failed", "hint: Name the CA", "PGSSLROOTCERT"];
    let misnamed: &[&str] = &["mismatch", "hint: Connect by the name that the server's certificate has"];
    let rootless: &[&str] = &["root certificate file", "does not exist", "PGSSLROOTCERT"];
    let nameless: &[&str] = &["needs the name of the host", "PGHOST"];
    let env = |user, mode, root, host| {
        // What the system trusts doesn't count, even where it is the right CA.
        let [key, system] = [("PGPASSWORD", PASSWORD), ("SSL_CERT_FILE", ca.as_str())];
        [key, system, ("PGUSER", user), ("PGSSLMODE", mode), ("PGSSLROOTCERT", root), ("PGHOST", host)]
    };
    for (user, mode, root, host, tls) in [
        ("plain", "disable", "", HOST, ""),
        ("plain", "prefer", "", HOST, ""),
        ("either", "prefer", "", HOST, "+"),
        ("either", "prefer", &other, HOST, ""),
        ("tls", "prefer", "", HOST, "+"),
        ("tls", "require", "", "other.test", "+"),
        ("tls", "require", &ca, "other.test", "+"),
        ("tls", "verify-ca", &ca, "other.test", "+"),
        ("tls", "verify-full", &ca, HOST, "+"),
    ] {
        server.admits(&env(user, mode, root, host), None, &format!("{user}{tls}"))?;
    }
    for (user, mode, root, host, exit, words) in [
        ("tls", "disable", "", HOST, 3, refused),
        ("plain", "require", "", HOST, 3, refused),
        ("tls", "prefer", &other, HOST, 3, untrusted),
        ("tls", "require", &other, HOST, 3, untrusted),
        ("tls", "verify-ca", &other, HOST, 3, untrusted),
        ("tls", "verify-ca", "", HOST, 2, rootless),
        ("tls", "verify-full", &other, HOST, 3, untrusted),
        ("tls", "verify-full", &ca, "other.test", 3, misnamed),
        ("tls", "verify-full", &ca, &server.address, 3, misnamed),
        ("tls", "verify-full", &ca, "", 2, nameless),
        ("tls", "verify-full", &none, HOST, 2, rootless),
    ] {
        server.fails(&env(user, mode, root, host), None, exit, words)?;
    }
    // Unless it is asked for, which psql can do since 16.
    server.once(&env("tls", "", "system", HOST), &["jobs"])?.exits(0)?;
    server.once(&env("tls", "", "system", "other.test"), &["jobs"])?.exits(3)?;
    // The password is proved over this very TLS, or not at all.
    let bound = [("PGPASSWORD", PASSWORD), ("PGCHANNELBINDING", "require")];
    server.admits(&bound, None, "either+")?;
    server.fails(&bound, Some("sslmode=disable"), 3, &["channel binding", "hint: Channel binding needs TLS"])?;

    // Without a variable, the root file is the one at home.
    fs::create_dir(server.folder.path().join("home/.postgresql"))?;
    fs::copy(&other, server.folder.path().join("home/.postgresql/root.crt"))?;
    server.fails(&env("tls", "require", "", HOST), None, 3, untrusted)?;

    // A server that is not trusted is not even told the user's name: the server's process ends before that.
    for (root, host) in [(&other, HOST), (&ca, "other.test")] {
        let before = server.log()?.len();
        server.once(&env("tls", "verify-full", root, host), &["jobs"])?.exits(3)?;
        until("the server gives up", || Ok(server.log()?[before..].contains("could not accept SSL connection")))?;
        let told = server.log()?.split_off(before);
        ensure!(!told.contains("\"tls\"") && !told.contains("user=") && !told.contains("FATAL"), "{told}");
    }

    // A certificate instead of a password.
    let [certificate, key] = ["badge.crt", "badge.key"].map(|name| path(&server.folder, name));
    let badge = [("PGUSER", "badge"), ("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", &ca)];
    let with_key = [&badge[..], &[("PGSSLCERT", &certificate), ("PGSSLKEY", &key)]].concat();
    server.admits(&with_key, None, "badge+")?;
    server.fails(&badge, None, 3, &["client certificate", "hint: Name a certificate of yours", "PGSSLCERT"])?;
    chmod(Path::new(&key), 0o644)?;
    server.fails(&with_key, None, 2, &["private key", "chmod 600"])?;

    // A server without TLS.
    server.db.psql("ALTER SYSTEM SET ssl = off; SELECT pg_reload_conf();")?;
    until("TLS is off", || Ok(server.db.psql("SHOW ssl")? == "off"))?;
    let refused = ["does not support TLS", "hint: Turn on ssl", "sslmode"];
    server.fails(&env("either", "require", "", HOST), None, 3, &refused)?;
    server.admits(&env("either", "prefer", "", HOST), None, "either")?;
    server.has_logged_no_password()
}

#[test]
fn passwords_come_from_where_psql_takes_them_and_go_nowhere_else() -> Result<()> {
    let server = Server::new("password")?;
    file_variable_and_service(&server)?;
    command_line(&server)?;
    at_work(&server)?;
    server.has_logged_no_password()
}

fn file_variable_and_service(server: &Server) -> Result<()> {
    let line = format!("{HOST}:5432:{}:either:", server.db.name());
    let ran = server.fails(&[], None, 3, &["the server asks for a password", "PGPASSWORD", "chmod 600", &line])?;
    let advice = ran.err.split_once("add the line ").and_then(|(_, rest)| rest.split_once(" to the password file "));
    let (line, file) = advice.with_context(|| ran.err.clone())?;
    let home = path(&server.folder, "home/.pgpass");
    ensure!(file.starts_with(&home), "{file} is not {home}");

    // Doing what the hint says helps; the file is read as psql reads it, and one that others may read is not.
    let line = line.replace("<password>", &PASSWORD.replace('\\', r"\\").replace(':', r"\:"));
    let file = format!("# all\n{HOST}:5432:*:nobody:{WRONG}\n{line}\n*:*:*:*:{WRONG}\n");
    private(&server.folder, "home/.pgpass", &file)?;
    server.admits(&[], None, "either+")?;
    let own = private(&server.folder, "own", &file)?;
    chmod(Path::new(&home), 0o640)?;
    let ignored: &[&str] = &["warning: the password file", "is ignored", &format!("chmod 600 {home}")];
    server.fails(&[], None, 3, ignored)?;
    server.admits(&[("PGPASSFILE", &own)], None, "either+")?;
    chmod(Path::new(&home), 0o600)?;
    server.fails(&[("PGPASSFILE", "/none")], None, 3, &["asks for a password", "to the password file /none"])?;

    // A variable goes before the file, and what was wrong is named by its place.
    let wrong = private(&server.folder, "wrong", format!("*:*:*:*:{WRONG}"))?;
    let failed = "password authentication failed for user \"either\"";
    server.fails(&[("PGPASSFILE", &wrong)], None, 3, &[failed, "SQLSTATE 28P01", &wrong])?;
    server.admits(&[("PGPASSFILE", &wrong), ("PGPASSWORD", PASSWORD)], None, "either+")?;
    server.fails(&[("PGPASSWORD", WRONG)], None, 3, &[failed, "comes from the environment variable PGPASSWORD"])?;

    // A service goes before the variables.
    let (address, name) = (&server.address, server.db.name());
    let service = format!(
        "[shop]\nhost={HOST}\nhostaddr={address}\nport=5432\nuser=tls\ndbname={name}\npassword={PASSWORD}\n\
         sslmode=verify-full\nsslrootcert={}\n\n[stale]\nuser=tls\npassword={WRONG}\n",
        path(&server.folder, "ca.crt")
    );
    let services = private(&server.folder, "services", &service)?;
    let elsewhere = [("PGHOSTADDR", "127.0.0.9"), ("PGPORT", "1"), ("PGUSER", "nobody"), ("PGSSLMODE", "disable")];
    let shop = [&elsewhere[..], &[("PGSERVICE", "shop"), ("PGPASSWORD", WRONG), ("PGDATABASE", "")]].concat();
    server.admits(&[&shop[..], &[("PGSERVICEFILE", &services)]].concat(), None, "tls+")?;
    server.fails(&shop, None, 2, &["there is no service \"shop\"", "home/.pg_service.conf", "[shop]"])?;
    private(&server.folder, "home/.pg_service.conf", &service)?;
    server.admits(&shop, None, "tls+")?;
    // The connection string goes before the service.
    server.admits(&shop, Some("user=either sslmode=disable"), "either")?;
    server.fails(&[], Some("service=stale"), 3, &["failed for user \"tls\"", "comes from the section [stale] of"])?;
    Ok(())
}

/// What a command line holds, everybody on the machine can read: no password is taken from one, or repeated.
fn command_line(server: &Server) -> Result<()> {
    let before = server.entries("once")?;
    let (address, name) = (&server.address, server.db.name());
    let in_url = PASSWORD.replace('%', "%25").replace('\\', "%5C").replace(' ', "%20").replace('=', "%3D");
    let in_words = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
    let whole = [
        format!("postgresql://either:{in_url}@{address}/{name}"),
        format!("postgres://either@{address}/{name}?password={in_url}&sslmode=require"),
        format!("user=either password='{in_words}' dbname={name}"),
    ];
    for dsn in &whole {
        // Without the refusal it would work.
        server.psql(&[], &[dsn])?.exits(0)?;
    }
    let broken = [
        format!("postgresql://either:{MARK}/3@{address}/{name}"),
        format!("either:{MARK}@{address}/{name}"),
        format!("user=either password='{MARK}"),
        format!("user=either {MARK}"),
        format!("password = {MARK} 3=4"),
    ];
    for dsn in whole.iter().chain(&broken) {
        for arguments in [&["jobs", "--dsn", dsn][..], &["--json", "--dsn", dsn, "jobs"]] {
            let ran = server.once(&[("PGPASSWORD", PASSWORD)], arguments)?.exits(2)?;
            ensure!(ran.err.contains("hint: "), "no hint: {ran:?}");
            let told = ran.err.contains("holds a secret: password") && ran.err.contains("put it into PGPASSWORD");
            ensure!(told || !whole.contains(dsn), "{ran:?}");
        }
    }
    ensure!(server.entries("once")? == before, "once connected with what it refused");
    Ok(())
}

/// Nor can it be seen while `once` works, and cancels its work by a second connection.
fn at_work(server: &Server) -> Result<()> {
    let before = server.entries("once")?.len();
    let mut keeper = server.db.client()?;
    let mut watcher = server.db.client()?;
    keeper.batch_execute("BEGIN; LOCK TABLE once.target_list")?;
    let mut once = command(&server.db, &["jobs"])?;
    server.around(&mut once, &[("PGPASSWORD", PASSWORD), ("PGSSLMODE", "require")]);
    let running = start_command(&mut once)?;
    let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'either' AND wait_event_type = 'Lock')";
    until("once waits", || Ok(watcher.query_one(waits, &[])?.try_get(0)?))?;
    let line = fs::read(format!("/proc/{}/cmdline", running.id()))?;
    ensure!(line.ends_with(b"once\0jobs\0"), "{}", String::from_utf8_lossy(&line));
    running.signal("INT")?;
    let ran = running.wait()?.exits(130)?;
    ensure!(!ran.out.contains(MARK) && !ran.err.contains(MARK), "a password is shown: {ran:?}");
    let entries = server.entries("once")?.split_off(before);
    ensure!(entries == vec![format!("either {}+", server.db.name()); 2], "{entries:?}");
    Ok(())
}

#[test]
fn the_server_is_found_as_psql_finds_it() -> Result<()> {
    let server = Server::new("where")?;
    let (address, name) = (server.address.as_str(), server.db.name());
    let key = ("PGPASSWORD", PASSWORD);
    let named = [key, ("PGHOST", address), ("PGHOSTADDR", "")];
    server.admits(&named, None, "either+")?;
    server.admits(&[key, ("PGPORT", "")], None, "either+")?;
    server.admits(&[key, ("PGUSER", "plain")], None, "plain")?;
    // Each of the variables counts.
    let dead = own_address();
    let hint_port = "hint: Is a server running on that host, and listening on TCP port 1?";
    server.fails(&[key, ("PGPORT", "1")], None, 3, &["Connection refused", hint_port])?;
    server.fails(&[key, ("PGHOST", &dead), ("PGHOSTADDR", "")], None, 3, &[&dead, "Connection refused"])?;
    server.fails(&[key, ("PGUSER", "nobody")], None, 3, &["failed for user \"nobody\"", "Check the user name"])?;
    let nowhere = ["database \"nowhere\" does not exist", "SQLSTATE 3D000", "hint: Check the database's name"];
    server.fails(&[key, ("PGDATABASE", "nowhere")], None, 3, &nowhere)?;
    // The database's name is the user's where none is set.
    server.fails(&[key, ("PGDATABASE", "")], None, 3, &["database \"either\" does not exist"])?;

    // The connection string goes before all of them.
    let astray =
        [key, ("PGHOST", "/none"), ("PGHOSTADDR", ""), ("PGPORT", "1"), ("PGUSER", "nobody"), ("PGDATABASE", "no")];
    for dsn in [
        format!("host={address} port=5432 user=tls dbname={name}"),
        format!("postgresql://tls@{address}:5432/{name}?sslmode=require"),
        format!("postgres://tls@/{name}?host={HOST}&hostaddr={address}&port=5432"),
        // The first server of a list that is there.
        format!("host=a,{HOST} hostaddr={dead},{address} port=5432 user=tls dbname={name}"),
    ] {
        server.admits(&astray, Some(&dsn), "tls+")?;
    }
    server.admits(&named, Some(name), "either+")?;
    server.fails(&named, Some("port=1"), 3, &["Connection refused", hint_port])?;

    // No server, and one that never answers.
    let home = path(&server.folder, "home");
    let absent = [&format!("{home}/.s.PGSQL.5432"), "No such file", "hint: Is a server running on this machine"];
    server.fails(&[("PGHOST", &home), ("PGHOSTADDR", "")], None, 3, &absent)?;
    let silent = TcpListener::bind((dead.as_str(), 0))?;
    let port = silent.local_addr()?.port().to_string();
    let env = [key, ("PGHOSTADDR", dead.as_str()), ("PGPORT", &port), ("PGCONNECT_TIMEOUT", "1")];
    server.fails(&env, None, 3, &["no connection within", "connect_timeout", "hint: Check host and port"])?;
    server.has_logged_no_password()
}
