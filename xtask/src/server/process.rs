//! The processes of one cluster, and signals to them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::run::output;

/// The server processes that work in a data directory: a postmaster and its children change into it.
/// Safer than the id in `postmaster.pid`, which may by now be somebody else's.
pub fn working_in(data: &Path) -> Result<Vec<u32>> {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let deleted = format!("{} (deleted)", data.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(folder) = fs::read_link(entry.path().join("cwd")) else { continue };
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        let is_server = program.file_name().is_some_and(|name| {
            // "postgres (deleted)" once its installation has been replaced.
            name.to_string_lossy().starts_with("postgres")
        });
        if is_server && (folder == data || folder.as_os_str() == deleted.as_str()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Sends a signal; that a process has ended meanwhile is no error.
pub fn signal(name: &str, pids: &[u32]) -> Result<()> {
    for pid in pids {
        // The shell's own `kill`: a minimal Debian has no other.
        let sent = output(Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, name, &pid.to_string()]));
        if let Err(error) = sent
            && Path::new("/proc").join(pid.to_string()).exists()
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Waits until nothing works in a data directory any more.
pub fn wait_until_gone(data: &Path, patience: Duration) -> Result<()> {
    wait(patience, || Ok(working_in(data)?.is_empty()))
        .with_context(|| format!("processes still work in {}", data.display()))
}

/// Waits until not even a zombie of a process is left.
pub fn wait_until_reaped(pid: u32, patience: Duration) -> Result<()> {
    wait(patience, || Ok(!Path::new("/proc").join(pid.to_string()).exists()))
}

fn wait(patience: Duration, done: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > patience {
            bail!("gave up after {patience:?}");
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Ends whatever an earlier run left behind: an immediate shutdown (which tidies up its shared
/// memory), and by force what doesn't heed it.
pub fn end_leftovers(data: &Path) -> Result<()> {
    signal("QUIT", &working_in(data)?)?;
    if wait_until_gone(data, Duration::from_secs(10)).is_err() {
        signal("KILL", &working_in(data)?)?;
        wait_until_gone(data, Duration::from_secs(10))?;
    }
    Ok(())
}
