//! A Postgres installation that is ours to write to, made by copying the machine's.
//!
//! Postgres finds its folders relative to the running program when the tree keeps its shape, so
//! that an extension can be installed into a copy without root and without touching the system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{output, succeeds};

/// An installation of Postgres, known by its folder of programs.
#[derive(Clone, Debug)]
pub struct Installation {
    bin: PathBuf,
    major: u16,
}

impl Installation {
    /// The installation whose programs are in `bin`.
    pub fn open(bin: impl Into<PathBuf>) -> Result<Self> {
        let bin = bin.into();
        let major = major_version(&bin.join("pg_config"))?;
        Ok(Self { bin, major })
    }

    /// A private copy in `root` of the installation that `pg_config` belongs to, made when there
    /// is none or the machine's version has changed. Where a copy can't work, the installation itself.
    pub fn private(pg_config: &Path, root: &Path) -> Result<Self> {
        let original = Self::open(ask(pg_config, "--bindir")?)?;
        let stamp_file = root.join("copied-from");
        let version = output(Command::new(original.program("postgres")).arg("--version"))?;
        let stamp = format!("{}\n{version}\n", original.bin.display());

        let Some(layout) = Layout::of(&original)? else {
            println!("{} can't be copied: using it itself", original.bin.display());
            return Ok(original);
        };
        let copy = root.join(&layout.bin);
        if fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) {
            return Self::open(copy);
        }
        println!("copying {version} to {}", root.display());
        if root.exists() {
            fs::remove_dir_all(root)?;
        }
        layout.copy_to(root)?;
        let copy = Self::open(copy)?;
        if !copy.works_in(root)? {
            println!("the copy doesn't work there: using {}", original.bin.display());
            fs::remove_dir_all(root)?;
            return Ok(original);
        }
        copy.let_all_read(root)?;
        fs::write(stamp_file, stamp)?;
        Ok(copy)
    }

    /// The folder of programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u16 {
        self.major
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// What the installation's `pg_config` answers to an option such as `--pgxs`.
    pub fn ask(&self, option: &str) -> Result<PathBuf> {
        ask(&self.program("pg_config"), option)
    }

    /// Lets the server's user read what was just installed, whatever our umask is.
    pub fn open_up(&self) -> Result<()> {
        for option in ["--pkglibdir", "--sharedir"] {
            self.let_all_read(&self.ask(option)?)?;
        }
        Ok(())
    }

    fn let_all_read(&self, folder: &Path) -> Result<()> {
        output(Command::new("chmod").args(["-R", "a+rX"]).arg(folder)).map(drop)
    }

    /// Whether the programs run and find libraries, shared files and headers below `root`.
    fn works_in(&self, root: &Path) -> Result<bool> {
        let runs = |program| succeeds(Command::new(self.program(program)).arg("--version"));
        Ok(["postgres", "initdb", "psql"].into_iter().all(runs)
            && self.ask("--pkglibdir")?.starts_with(root)
            && self.ask("--sharedir")?.starts_with(root)
            && self.ask("--includedir-server")?.join("postgres.h").exists())
    }
}

/// The parts of an installation, relative to the folder that they have in common.
struct Layout {
    /// What they have in common, such as `/usr`.
    prefix: PathBuf,
    bin: PathBuf,
    /// What is copied; nothing means everything.
    copied: Vec<PathBuf>,
    /// Headers are only read: a link will do.
    headers: Option<PathBuf>,
}

impl Layout {
    fn of(installation: &Installation) -> Result<Option<Self>> {
        let [bin, lib, share, headers] =
            ["--bindir", "--pkglibdir", "--sharedir", "--pkgincludedir"].map(|o| installation.ask(o));
        let (bin, lib, share, headers) = (bin?, lib?, share?, headers?);
        let prefix = common(&common(&bin, &lib), &share);
        let below = |path: &Path| path.strip_prefix(&prefix).map(Path::to_path_buf);

        // Shared with the rest of the machine, as Debian's `/usr` is?
        let shared = ["/", "/usr", "/usr/local"].iter().any(|dir| prefix == Path::new(dir));
        if !shared {
            return Ok(Some(Self { bin: below(&bin)?, copied: vec![], headers: None, prefix }));
        }
        let own = common(&bin, &lib);
        if own == prefix || !headers.starts_with(&prefix) {
            return Ok(None);
        }
        Ok(Some(Self {
            bin: below(&bin)?,
            copied: vec![below(&own)?, below(&share)?],
            headers: Some(below(&headers)?),
            prefix,
        }))
    }

    fn copy_to(&self, root: &Path) -> Result<()> {
        let parts = if self.copied.is_empty() { vec![PathBuf::new()] } else { self.copied.clone() };
        for part in parts {
            let target = root.join(&part);
            fs::create_dir_all(&target)?;
            let from = self.prefix.join(&part).join(".");
            output(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(target))?;
        }
        if let Some(headers) = &self.headers {
            let link = root.join(headers);
            fs::create_dir_all(link.parent().unwrap_or(root))?;
            symlink(self.prefix.join(headers), link)?;
        }
        Ok(())
    }
}

/// The major version that a `pg_config` speaks for.
pub fn major_version(pg_config: &Path) -> Result<u16> {
    let said = output(Command::new(pg_config).arg("--version"))?;
    said.split_whitespace()
        .nth(1)
        .map(|version| version.chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("{} says no version: {said}", pg_config.display()))
}

fn ask(pg_config: &Path, option: &str) -> Result<PathBuf> {
    let answer = output(Command::new(pg_config).arg(option))?;
    if answer.is_empty() {
        bail!("{} {option} says nothing", pg_config.display());
    }
    Ok(answer.into())
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}
