//! What is downloaded once and kept.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::Result;

/// Beside what cargo builds, whose folder has a tag; else where caches of the user are.
pub(crate) fn folder(name: &str) -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    match target {
        Some(target) => target.join(name),
        None => env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))
            .unwrap_or_else(env::temp_dir)
            .join("unibatch"),
    }
}

/// The folder `name` in a cache, which `make` fills if it is not there. It is made beside it and moved
/// there whole, so that programs that start at once do not see each other's halves; `made` is what of it is kept.
pub(crate) fn kept(
    cache: &Path,
    name: &str,
    made: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let kept = cache.join(name);
    if kept.is_dir() {
        return Ok(kept);
    }
    fs::create_dir_all(cache)?;
    let fresh = tempfile::Builder::new().prefix(".fresh-").tempdir_in(cache)?;
    make(fresh.path())?;
    let made = fresh.path().join(made);
    if let Err(error) = fs::rename(&made, &kept)
        && !kept.is_dir()
    {
        return Err(format!("{} cannot be kept: {error}", made.display()).into());
    }
    Ok(kept)
}
