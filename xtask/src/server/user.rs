//! Who server programs run as: ourselves, or `postgres` when we are root, since Postgres
//! refuses to run as root.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::run::{output, succeeds};

/// The unprivileged user that Debian's package creates.
pub const SERVER_USER: &str = "postgres";

/// Our own numeric user id.
pub fn uid() -> Result<u32> {
    static UID: OnceLock<u32> = OnceLock::new();
    match UID.get() {
        Some(uid) => Ok(*uid),
        None => {
            let uid = output(Command::new("id").arg("-u"))?.parse()?;
            Ok(*UID.get_or_init(|| uid))
        }
    }
}

/// Whether we are root.
pub fn is_root() -> Result<bool> {
    Ok(uid()? == 0)
}

/// A command for a server program, run as the server's user.
pub fn server_command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = if is_root()? {
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={SERVER_USER}"), format!("--regid={SERVER_USER}")])
            .args(["--init-groups", "--reset-env", "--"])
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    without_pg_variables(&mut command).current_dir("/");
    Ok(command)
}

/// Takes away `PGHOST`, `PGOPTIONS` and the like, which are meant for another server.
pub fn without_pg_variables(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PG") && !name.starts_with("PGRX") {
            command.env_remove(name);
        }
    }
    command
}

/// Gives a file or folder to the server's user.
pub fn give(path: &Path) -> Result<()> {
    if is_root()? {
        let id = |flag| -> Result<u32> {
            output(Command::new("id").args([flag, SERVER_USER]))?
                .parse()
                .with_context(|| format!("the user {SERVER_USER} has no numeric id"))
        };
        chown(path, Some(id("-u")?), Some(id("-g")?))
            .with_context(|| format!("could not give {} to {SERVER_USER}", path.display()))?;
    }
    Ok(())
}

/// Whether the server's user can enter a folder.
pub fn can_enter(dir: &Path) -> bool {
    server_command("test").is_ok_and(|mut test| succeeds(test.arg("-x").arg(dir)))
}
