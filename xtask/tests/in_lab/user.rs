//! An unprivileged user with sudo, who is made in a lab: in a mount namespace of the lab,
//! with a home and a checkout of its own.

use tempfile::TempDir;

use super::Lab;
use crate::common::skip;
use crate::common::user::{MAKE_USER, MAY};

/// In the user's home, seen from the checkout.
pub(super) const BINARY: &str = "../xtask";
/// A process of the lab keeps the mount namespace and its id here.
const KEEPER: &str = "/run/user-of-the-test.pid";
const MAKE: &str = r#"
set -e
cp -aL "$HOME/talos" "$home/"
setsid -f unshare --mount --propagation private \
  sh -ec "$IN_NAMESPACE"' echo $$ >"$keeper"; exec sleep infinity 2>/dev/null' >/dev/null
until test -s "$keeper"; do sleep 0.01; done
chown -R 64123:64123 "$home"
"#;
/// The binary stays the one of this build.
const BIND: &str = r#"
cd "$home"; touch xtask; mount --bind "$XTASK" xtask
"#;

pub(super) struct User {
    /// The home is `h` in it.
    dir: TempDir,
}

impl User {
    /// `None` where tools are missing: then the test says so.
    pub(super) fn make(lab: &Lab, test: &str) -> Option<Self> {
        let missing = ["sudo", "setpriv", "unshare", "nsenter"]
            .into_iter()
            .find(|name| foundation::ctx::host::Host::which(name).is_none());
        if let Some(missing) = missing {
            skip(test, &format!("`{missing}` is missing"));
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("xu-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap();
        let user = Self { dir };
        for name in ["h", "etc"] {
            std::fs::create_dir(user.dir.path().join(name)).unwrap();
        }
        let quoted = |text: &str| shlex::try_quote(text).unwrap().into_owned();
        lab.sh(&format!(
            "export XTASK={} SUDOERS={} IN_NAMESPACE={} keeper={KEEPER} home={} etc={}{MAKE}",
            env!("CARGO_BIN_EXE_xtask"),
            quoted(MAY),
            quoted(&[MAKE_USER, BIND].concat()),
            user.home(),
            user.dir.path().join("etc").display(),
        ));
        Some(user)
    }

    fn home(&self) -> String {
        format!("{}/h", self.dir.path().display())
    }

    /// What enters the user's files and network, as root.
    pub(super) fn as_root(&self) -> Vec<String> {
        let home = format!("HOME={}", self.home());
        let dir = format!("--wdns={}/talos", self.home());
        let script = format!("exec nsenter --mount --target $(cat {KEEPER}) \"$@\"");
        let enter = ["sh", "-c", &script, "sh", &dir, "env", &home];
        enter.map(str::to_owned).to_vec()
    }

    /// The user, with nothing of root's environment but PATH.
    pub(super) fn itself(&self) -> Vec<String> {
        let script = "exec setpriv --reuid 64123 --regid 64123 --clear-groups \
                      env -i HOME=$HOME PATH=$PATH XTASK_INSIDE_LAB=shell \"$@\"";
        let mut words = self.as_root();
        words.extend(["sh", "-c", script, "sh"].map(str::to_owned));
        words
    }
}
