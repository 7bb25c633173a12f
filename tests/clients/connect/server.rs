//! A server that is reached by TCP, with TLS and passwords, and the two clients of it: `once` and psql.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, ensure};
use once_tests::Db;
use once_tests::once::{Folder, Ran, command, run};
use xtask::server::{UNSAFE_BUT_QUICK, user};

/// A name that no resolver knows: the address is always told beside it.
pub const HOST: &str = "db.example.test";
/// In each password, so that it is found wherever one leaks.
pub const MARK: &str = "tr0ub4dor";
/// What the password file, the service file and a URL each have to write in their own way.
pub const PASSWORD: &str = r"tr0ub4dor:3\ü 'q%=";
pub const WRONG: &str = "tr0ub4dor";

pub type Env<'a> = &'a [(&'a str, &'a str)];

/// A server that is reached by TCP, with TLS: `tls` only so, `plain` only without, `either` both ways, `badge` by a
/// certificate. All but the last have a password.
pub struct Server {
    pub db: Db,
    pub folder: Folder,
    pub address: String,
}

impl Server {
    pub fn new(label: &str) -> Result<Self> {
        let folder = Folder::new(label)?;
        fs::create_dir(folder.path().join("home"))?;
        certificates(&folder)?;
        let hba = "local all all trust\nhostssl all tls all scram-sha-256\nhostnossl all plain all scram-sha-256\n\
                   hostssl all badge all cert\nhost all either,nobody all scram-sha-256\n";
        let hba = folder.file("hba", hba)?.display().to_string();
        let address = own_address();
        let [key, certificate, ca] = ["server.key", "server.crt", "ca.crt"].map(|name| path(&folder, name));
        let settings = [
            ("listen_addresses", address.as_str()),
            ("hba_file", &hba),
            ("ssl", "on"),
            ("ssl_key_file", &key),
            ("ssl_cert_file", &certificate),
            ("ssl_ca_file", &ca),
            ("log_statement", "all"),
            ("log_connections", "on"),
        ];
        let db = Db::on_own_cluster(label, &[&settings, UNSAFE_BUT_QUICK].concat())?;
        let quoted = PASSWORD.replace('\'', "''");
        // What psql sends here is the only password that a log could have for a good reason.
        db.psql(&format!(
            "SET log_statement = none;
             CREATE ROLE tls LOGIN PASSWORD '{quoted}'; CREATE ROLE plain LOGIN PASSWORD '{quoted}';
             CREATE ROLE either LOGIN PASSWORD '{quoted}'; CREATE ROLE badge LOGIN;
             GRANT USAGE ON SCHEMA once TO public; GRANT SELECT ON ALL TABLES IN SCHEMA once TO public;"
        ))?;
        Ok(Self { db, folder, address })
    }

    /// The environment of a client of this server, which has a home of its own.
    pub fn around(&self, command: &mut Command, env: Env) {
        command
            .stdin(Stdio::null())
            .env("HOME", self.folder.path().join("home"))
            .envs([("PGHOST", HOST), ("PGHOSTADDR", &self.address), ("PGPORT", "5432"), ("PGUSER", "either")])
            .env("PGDATABASE", self.db.name());
        for (name, value) in env {
            match *value {
                "" => command.env_remove(name),
                _ => command.env(name, value),
            };
        }
    }

    pub fn once(&self, env: Env, arguments: &[&str]) -> Result<Ran> {
        let mut once = command(&self.db, arguments)?;
        self.around(&mut once, env);
        let ran = run(&mut once)?;
        ensure!(!ran.out.contains(MARK) && !ran.err.contains(MARK), "a password is shown: {ran:?}");
        Ok(ran)
    }

    pub fn psql(&self, env: Env, dsn: &[&str]) -> Result<Ran> {
        let mut psql = Command::new(self.db.cluster().installation().program("psql"));
        user::without_pg_variables(&mut psql).args(["-wXAtqc", "SELECT 1"]).args(dsn);
        self.around(&mut psql, env);
        run(&mut psql)
    }

    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.db.cluster().log())?)
    }

    /// The roles that a program came in as, and the databases; `+` tells TLS.
    pub fn entries(&self, program: &str) -> Result<Vec<String>> {
        let field = |line: &str, name: &str| line.split_once(name)?.1.split(' ').next().map(str::to_owned);
        let entry = |line: &str| {
            let ours = line.contains(&format!(" application_name={program}")) && !line.contains("user=postgres ");
            let tls = if line.contains(" SSL enabled") { "+" } else { "" };
            ours.then_some(format!("{} {}{tls}", field(line, ": user=")?, field(line, " database=")?))
        };
        Ok(self.log()?.lines().filter(|line| line.contains("connection authorized")).filter_map(entry).collect())
    }

    /// Requires that the environment and the connection string let both in as this role, with `+` by TLS.
    pub fn admits(&self, env: Env, dsn: Option<&str>, role: &str) -> Result<()> {
        let (ran, entries) = self.both(env, dsn)?;
        let (role, tls) = role.strip_suffix('+').map_or((role, ""), |role| (role, "+"));
        let expected = [format!("{role} {}{tls}", self.db.name())];
        ensure!(ran.exit == 0 && entries == expected, "{env:?} {dsn:?}: not {expected:?} but {entries:?} {ran:?}");
        Ok(())
    }

    /// Requires that neither gets in, and what `once` says.
    pub fn fails(&self, env: Env, dsn: Option<&str>, exit: i32, words: &[&str]) -> Result<Ran> {
        let (ran, _) = self.both(env, dsn)?;
        let silent: Vec<_> = words.iter().filter(|word| !ran.err.contains(**word)).collect();
        ensure!(ran.exit == exit && silent.is_empty(), "{env:?} {dsn:?}: not {exit} {silent:?} but {ran:?}");
        Ok(ran)
    }

    /// Runs `once` and psql. Requires that they come in alike, or fail both; gives how `once` did.
    fn both(&self, env: Env, dsn: Option<&str>) -> Result<(Ran, Vec<String>)> {
        let [once_before, psql_before] = [self.entries("once")?.len(), self.entries("psql")?.len()];
        let ran = self.once(env, &dsn.map_or(vec!["jobs"], |dsn| vec!["jobs", "--dsn", dsn]))?;
        let psql = self.psql(env, dsn.as_slice())?;
        let [once_in, psql_in] =
            [self.entries("once")?.split_off(once_before), self.entries("psql")?.split_off(psql_before)];
        let alike = (psql.exit == 0) == (ran.exit == 0) && psql_in == once_in;
        ensure!(alike, "{env:?} {dsn:?}: {once_in:?} {ran:?}, but {psql_in:?} {psql:?}");
        Ok((ran, once_in))
    }

    /// Requires that the log has no password. (It has what `once` did.)
    pub fn has_logged_no_password(&self) -> Result<()> {
        let log = self.log()?;
        ensure!(log.contains("application_name=once") && log.contains("pg_catalog.pg_extension"), "not logged:\n{log}");
        ensure!(!log.contains(MARK), "a password is logged:\n{log}");
        Ok(())
    }
}

/// Each server has an address of this machine for itself, and so the usual port.
pub fn own_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(80);
    let [_, a, b, c] = process::id().to_be_bytes();
    format!("127.{}.{b}.{c}", NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(a))
}

pub fn path(folder: &Folder, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// A CA, which signed the server's and a client's certificate, and another CA.
fn certificates(folder: &Folder) -> Result<()> {
    let openssl = |arguments: &str| {
        let ran = run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()))?;
        ran.exits(0).with_context(|| format!("openssl {arguments}"))
    };
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for ca in ["ca", "other"] {
        openssl(&format!("req -x509 {KEY} -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.crt"))?;
    }
    folder.file("names", format!("subjectAltName=DNS:{HOST}"))?;
    for (name, subject) in [("server", HOST), ("badge", "badge")] {
        openssl(&format!("req {KEY} -subj /CN={subject} -keyout {name}.key -out {name}.csr"))?;
        openssl(&format!(
            "x509 -req -days 2 -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out {name}.crt"
        ))?;
    }
    for name in ["server.key", "badge.key"] {
        chmod(&folder.path().join(name), 0o600)?;
    }
    user::give(&folder.path().join("server.key"))
}

pub fn chmod(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

pub fn private(folder: &Folder, name: &str, content: impl AsRef<[u8]>) -> Result<String> {
    chmod(&folder.file(name, content)?, 0o600)?;
    Ok(path(folder, name))
}
