//! The paths of this program.

use camino::Utf8PathBuf;

use crate::failure::{Because, Failure, Result};

/// A path that starts this program again, also after a build has replaced its
/// file; in that case it is valid only while this process runs.
///
/// # Errors
/// When the system does not know the path, or it is not UTF-8.
pub fn own_executable() -> Result<Utf8PathBuf> {
    let path =
        std::env::current_exe().because(|| "cannot find the path of this program".to_owned())?;
    if cfg!(target_os = "linux") && !path.exists() {
        return Ok(format!("/proc/{}/exe", std::process::id()).into());
    }
    Utf8PathBuf::from_path_buf(path).map_err(|path| {
        Failure::host(format!(
            "the path of this program, {}, is not UTF-8",
            path.display()
        ))
    })
}

/// The path where this program was built or installed, to find what is near it.
/// After a build has replaced its file, the folder is still the right one.
pub fn built_at() -> Option<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(std::env::current_exe().ok()?).ok()
}
