//! Files of this user that belong to root since talosctl ran under sudo: it
//! does not give them back to the user (T14).

use std::os::unix::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};

use crate::files;

/// Returns files of root that talosctl and kubectl must write as the user
/// `uid`, and what talosctl downloaded. The clusters' folders are left out, because
/// they belong to root while their VMs run.
pub fn root_owned(talos_home: &Utf8Path, home: &Utf8Path, uid: u32) -> Vec<Utf8PathBuf> {
    owned_by(&paths(talos_home, home), 0, uid)
}

fn paths(talos_home: &Utf8Path, home: &Utf8Path) -> Vec<Utf8PathBuf> {
    let kube = home.join(".kube");
    let mut paths = vec![
        talos_home.to_owned(),
        talos_home.join("config"),
        talos_home.join("clusters"),
        talos_home.join("cache"),
    ];
    paths.extend([kube.join("config"), kube.join("cache"), kube]);
    paths.extend(["cni", "cni/cache", "cni/cache/results"].map(|dir| talos_home.join(dir)));
    for dir in ["cni/bin", "cni/conf.d"].map(|dir| talos_home.join(dir)) {
        let names = files::names_in(&dir).unwrap_or_default();
        paths.extend(names.iter().map(|name| dir.join(name)));
        paths.push(dir);
    }
    paths
}

/// Returns those of `paths` that belong to `other`. Symbolic links are not
/// followed.
fn owned_by(paths: &[Utf8PathBuf], other: u32, uid: u32) -> Vec<Utf8PathBuf> {
    let is_others = |path: &&Utf8PathBuf| {
        std::fs::symlink_metadata(path).is_ok_and(|meta| meta.uid() == other && meta.uid() != uid)
    };
    paths.iter().filter(is_others).cloned().collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test creates the files")]
mod tests {
    use super::*;

    #[test]
    fn only_what_exists_and_is_anothers_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(dir.path()).unwrap();
        let talos_home = home.join(".talos");
        std::fs::create_dir_all(talos_home.join("clusters/a")).unwrap();
        std::fs::write(talos_home.join("config"), "").unwrap();
        let me = std::fs::metadata(home).unwrap().uid();
        let all = paths(&talos_home, home);
        let found = owned_by(&all, me, me + 1);
        assert_eq!(
            found,
            [
                talos_home.clone(),
                talos_home.join("config"),
                talos_home.join("clusters")
            ]
        );
        // For root, files of root are not foreign.
        assert!(owned_by(&all, me, me).is_empty());
    }
}
