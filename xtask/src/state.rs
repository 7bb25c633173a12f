//! The one directory in which everything is kept that isn't a build product.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::server::user;

/// The state directory, held by one process at a time.
pub struct State {
    dir: PathBuf,
    _lock: File,
}

impl State {
    /// Opens the state directory of this checkout, `<TMPDIR>/pg_once-<uid>-<hash of its path>`,
    /// and waits until no other `cargo xtask` works in it.
    pub fn open() -> Result<Self> {
        let dir = base().join(format!("pg_once-{}-{:08x}", user::uid()?, hash(&workspace())));
        if !dir.exists() {
            // The server's user must be able to enter it.
            fs::DirBuilder::new()
                .mode(0o755)
                .create(&dir)
                .with_context(|| format!("could not create {}", dir.display()))?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        }
        // Names in /tmp can be guessed: never work in what somebody else has put there.
        let found = fs::symlink_metadata(&dir)?;
        if !found.is_dir() || found.uid() != user::uid()? {
            bail!("{} is not a directory of yours; please remove it", dir.display());
        }
        let lock = File::create(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("waiting for another `cargo xtask` to end …");
                lock.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self { dir, _lock: lock })
    }

    /// A path inside the state directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The root of the checkout.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// `TMPDIR` where it can serve, else `/tmp`: a socket's path has at most 107 bytes, and the
/// server's user, who isn't always ourselves, must be able to enter.
fn base() -> PathBuf {
    let tmp = std::env::temp_dir();
    if tmp.as_os_str().len() <= 50 && user::can_enter(&tmp) { tmp } else { "/tmp".into() }
}

/// FNV-1a: short, and the same with every compiler.
fn hash(path: &Path) -> u32 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
