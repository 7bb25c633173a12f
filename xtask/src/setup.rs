//! Installs what is missing: a Postgres server with its headers and test tools, libclang, cargo-pgrx.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{output, run, succeeds};
use crate::server::Installation;
use crate::server::installation::major_version;
use crate::server::user::is_root;

const CARGO_PGRX_VERSION: &str = "0.18.1";
/// What npm installs where Debian's node-pg doesn't go with the machine's Node.js.
const NODE_POSTGRES: &str = "pg@8.16.3";
/// Where Debian's packages for Node.js are.
const DEBIAN_NODE_MODULES: &str = "/usr/share/nodejs";

/// Makes sure that everything needed for Postgres `pg` is there and returns its `pg_config`.
/// With `install` false, what is missing is an error.
pub fn prepare(pg: u16, install: bool) -> Result<PathBuf> {
    let pg_config = postgres(pg, install)?;
    let has_openssl = || succeeds(Command::new("pkg-config").args(["--exists", "openssl"]));
    debian_package("libssl-dev", "OpenSSL's headers, for `once`", has_openssl, install)?;
    cargo_pgrx(install)?;
    Ok(pg_config)
}

/// PgBouncer, behind which the tests run `once`.
pub fn pgbouncer() -> Result<PathBuf> {
    let path = Path::new("/usr/sbin/pgbouncer");
    debian_package("pgbouncer", "PgBouncer, for a test", || path.exists(), true)?;
    Ok(path.into())
}

/// A Python that has psycopg 3, by which the tests call the extension.
pub fn python() -> Result<PathBuf> {
    let has_psycopg = |python: &&str| succeeds(Command::new(python).args(["-c", "import psycopg"]));
    let find = || ["python3", "/usr/bin/python3"].into_iter().find(has_psycopg);
    debian_package("python3-psycopg", "psycopg 3, for a test", || find().is_some(), true)?;
    find().map(PathBuf::from).context("no Python has psycopg 3")
}

/// Node.js's folder of modules with node-postgres, by which the tests call the extension. It may be put into `folder`.
pub fn node_modules(folder: &Path) -> Result<PathBuf> {
    let has_postgres = |modules: &PathBuf| {
        let mut node = Command::new("node");
        modules.join("pg").exists() && succeeds(node.args(["-e", "require('pg')"]).env("NODE_PATH", modules))
    };
    let find = || [folder.join("node_modules"), DEBIAN_NODE_MODULES.into()].into_iter().find(has_postgres);
    debian_package("nodejs", "Node.js, for a test", || succeeds(Command::new("node").arg("--version")), true)?;
    let has_npm = succeeds(Command::new("npm").arg("--version"));
    if find().is_none() && has_npm {
        // A Node.js that is not Debian's, which its packages can't be installed beside; and it takes no root.
        println!("node-postgres, for a test: not found; installing it into {}", folder.display());
        fs::create_dir_all(folder)?;
        run(Command::new("npm")
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(folder)
            .arg(NODE_POSTGRES))?;
    }
    debian_package("node-pg", "node-postgres, for a test", || find().is_some(), true)?;
    find().context("Node.js does not find node-postgres")
}

/// pg_cron, which a test has run a feed: in the installation, which is a copy of the machine's.
pub fn pg_cron(installation: &Installation) -> Result<()> {
    let [libraries, shared] = ["--pkglibdir", "--sharedir"].map(|option| installation.ask(option));
    let (libraries, shared) = (libraries?, shared?.join("extension"));
    let is_there = || libraries.join("pg_cron.so").exists() && shared.join("pg_cron.control").exists();
    if is_there() {
        return Ok(());
    }
    let pg = installation.major();
    let package = format!("postgresql-{pg}-cron");
    let (from, script) = (
        PathBuf::from(format!("/usr/lib/postgresql/{pg}/lib")),
        PathBuf::from(format!("/usr/share/postgresql/{pg}/extension")),
    );
    debian_package(&package, "pg_cron, for a test", || from.join("pg_cron.so").exists(), true)?;
    fs::copy(from.join("pg_cron.so"), libraries.join("pg_cron.so"))?;
    for file in fs::read_dir(script)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("pg_cron") {
            fs::copy(file.path(), shared.join(file.file_name()))?;
        }
    }
    installation.open_up()
}

fn debian_package(name: &str, what: &str, is_there: impl Fn() -> bool, install: bool) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    if install {
        println!("{what}: not found; installing it");
        apt(&["update"])?;
        apt(&["install", "-y", name])?;
    }
    if is_there() { Ok(()) } else { bail!("{what}: not found; on Debian: apt-get install {name}") }
}

fn postgres(pg: u16, install: bool) -> Result<PathBuf> {
    if let Found::Complete(pg_config) = find(pg)? {
        return Ok(pg_config);
    }
    let packages = [
        format!("postgresql-{pg}"),
        format!("postgresql-server-dev-{pg}"),
        "clang".into(),
        "libclang-dev".into(),
        "pkg-config".into(),
    ];
    if install {
        println!("PostgreSQL {pg}: {}; installing it", find(pg)?.lack());
        apt(&["update"])?;
        if !has_candidate(&packages[0]) {
            bail!(
                "this machine's package sources have no {}. Add PostgreSQL's own \
                 (https://wiki.postgresql.org/wiki/Apt), or set PGRX_PG_CONFIG_PATH to the \
                 pg_config of a PostgreSQL {pg} with its server headers",
                packages[0]
            );
        }
        let mut arguments = vec!["install", "-y"];
        arguments.extend(packages.iter().map(String::as_str));
        apt(&arguments)?;
    }
    match find(pg)? {
        Found::Complete(pg_config) => Ok(pg_config),
        found => bail!("PostgreSQL {pg}: {}; on Debian: apt-get install {}", found.lack(), packages.join(" ")),
    }
}

enum Found {
    Complete(PathBuf),
    Lacking(Vec<String>),
    Nothing,
}

impl Found {
    fn lack(&self) -> String {
        match self {
            Self::Complete(_) => "nothing is missing".into(),
            Self::Lacking(parts) => format!("missing {}", parts.join(", ")),
            Self::Nothing => "not found".into(),
        }
    }
}

/// Looks for an installation of Postgres `pg` that has every part.
fn find(pg: u16) -> Result<Found> {
    let mut found = Found::Nothing;
    for candidate in candidates(pg) {
        if major_version(&candidate).ok() != Some(pg) {
            continue;
        }
        let lacking = missing_parts(&candidate)?;
        if lacking.is_empty() {
            return Ok(Found::Complete(candidate));
        }
        if matches!(found, Found::Nothing) {
            found = Found::Lacking(lacking);
        }
    }
    Ok(found)
}

fn candidates(pg: u16) -> Vec<PathBuf> {
    let named = env::var_os("PGRX_PG_CONFIG_PATH").map(PathBuf::from);
    if let Some(path) = &named
        && major_version(path).ok() != Some(pg)
    {
        println!("PGRX_PG_CONFIG_PATH is not PostgreSQL {pg}: looking elsewhere");
    }
    let mut candidates: Vec<_> = named.into_iter().collect();
    candidates.push(format!("/usr/lib/postgresql/{pg}/bin/pg_config").into());
    candidates.push(format!("/usr/pgsql-{pg}/bin/pg_config").into());
    let path = env::var_os("PATH").unwrap_or_default();
    candidates.extend(env::split_paths(&path).map(|folder| folder.join("pg_config")));
    candidates.retain(|candidate| candidate.exists());
    candidates
}

/// A pg_config alone proves little: Debian's libpq-dev brings one, without a server.
fn missing_parts(pg_config: &Path) -> Result<Vec<String>> {
    let ask = |option| output(Command::new(pg_config).arg(option)).map(PathBuf::from);
    let bin = ask("--bindir")?;
    let mut needed: Vec<_> =
        ["pg_config", "postgres", "initdb", "pg_ctl", "psql", "createdb"].map(|p| bin.join(p)).into();
    needed.push(ask("--includedir-server")?.join("postgres.h"));
    let mut missing: Vec<_> = needed.iter().filter(|p| !p.exists()).map(|p| p.display().to_string()).collect();
    if !has_libclang() {
        missing.push("libclang".into());
    }
    if !succeeds(Command::new("clang").arg("--version")) {
        missing.push("clang".into());
    }
    Ok(missing)
}

/// Where bindgen looks for it.
fn has_libclang() -> bool {
    let mut folders: Vec<PathBuf> = env::var_os("LIBCLANG_PATH").map(Into::into).into_iter().collect();
    for parent in ["/usr/lib", "/usr/lib64"] {
        folders.push(parent.into());
        for entry in Path::new(parent).read_dir().into_iter().flatten().flatten() {
            folders.push(entry.path().join("lib"));
            folders.push(entry.path());
        }
    }
    folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("libclang") && !name.starts_with("libclang-cpp") && name.contains(".so")
    })
}

fn has_candidate(package: &str) -> bool {
    output(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|said| said.contains("Candidate:") && !said.contains("Candidate: (none)"))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = if is_root()? {
        Command::new("env")
    } else if succeeds(Command::new("sudo").arg("--version")) {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    } else {
        bail!("needs root or sudo: apt-get {}", arguments.join(" "));
    };
    run(command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]).args(arguments))
}

fn cargo_pgrx(install: bool) -> Result<()> {
    let wanted = format!("cargo-pgrx {CARGO_PGRX_VERSION}");
    let found = output(Command::new("cargo").args(["pgrx", "--version"])).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    let found = if found.is_empty() { "not installed".into() } else { format!("found {found}") };
    if !install {
        bail!("{wanted} is needed ({found}): cargo install --locked cargo-pgrx@{CARGO_PGRX_VERSION}");
    }
    println!("{wanted} is needed ({found}); installing it, which takes about two minutes");
    // It only has to run, not to run fast: this saves minutes. Its one default feature
    // adds TLS for downloading Postgres, which we don't do.
    run(Command::new("cargo")
        .args(["install", "--locked", "cargo-pgrx", "--version", CARGO_PGRX_VERSION])
        .arg("--no-default-features")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off"))
}
