//! Room on file systems.

use camino::{Utf8Path, Utf8PathBuf};

/// The file system that a path is on, or would be made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The nearest folder that exists.
    pub on: Utf8PathBuf,
    /// Bytes that this user may still write.
    pub free: u64,
}

/// None where no folder above can be asked.
pub fn room(path: &Utf8Path) -> Option<Room> {
    let on = path.ancestors().find(|dir| dir.exists())?;
    let found = rustix::fs::statvfs(on.as_std_path()).ok()?;
    Some(Room {
        on: on.to_owned(),
        free: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_to_be_made_has_the_room_of_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let found = room(&root.join("not/made/yet")).unwrap();
        assert_eq!(found.on, root);
        assert!(found.free > 0);
    }
}
