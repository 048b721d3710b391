//! An unprivileged user for tests in a mount namespace of their own: in no file of this
//! host, because /etc/passwd and the like are copies.

/// A part of a shell script that root runs. `$etc` is an empty folder for the copies, `$home` the
/// user's home, `$SUDOERS` the rules for sudo. The user has the id 64123.
pub(crate) const MAKE_USER: &str = r#"
[ ! -d /var/lib/sudo ] || mount -t tmpfs -o mode=0700 tmpfs /var/lib/sudo
cd "$etc"
cp /etc/passwd /etc/group /etc/shadow .
echo "xtasktest:x:64123:64123::$home:/bin/sh" >>passwd
echo "xtasktest:x:64123:" >>group
echo "xtasktest:*:19000:0:99999:7:::" >>shadow
printf '%s\n' 'Defaults env_reset, !syslog' "$SUDOERS" >sudoers
chmod 0440 sudoers shadow; chmod 0644 passwd group
for file in passwd group shadow sudoers; do mount --bind $file /etc/$file; done
"#;

/// All commands without a password.
pub(crate) const MAY: &str = "xtasktest ALL=(ALL:ALL) NOPASSWD: ALL";
