//! The user that the helper works for: always the user that sudo names, whatever
//! a request names; root if sudo was not used.

use rustix::process::{getegid, geteuid};

use crate::failure::{Failure, Result};
use crate::files;

/// A user with the group that new files get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// # Errors
    /// When we are not root, or sudo's variables are not numbers.
    pub(super) fn of_caller() -> Result<Self> {
        if !geteuid().is_root() {
            return Err(Failure::host("the helper of tests as root is not root"));
        }
        let variable = |name| std::env::var_os(name).map(std::ffi::OsString::into_string);
        match (variable("SUDO_UID"), variable("SUDO_GID")) {
            (None, None) => Some(Self {
                uid: 0,
                gid: getegid().as_raw(),
            }),
            (Some(Ok(uid)), Some(Ok(gid))) => Self::parse(&uid, &gid),
            _ => None,
        }
        .ok_or_else(|| Failure::host("`SUDO_UID` and `SUDO_GID` do not name a user"))
    }

    fn parse(uid: &str, gid: &str) -> Option<Self> {
        // All bits set is "no user" for chown.
        let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        Some(Self {
            uid: number(uid)?,
            gid: number(gid)?,
        })
    }

    pub(super) fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Whether the user is the only member of group `gid`. Only a group with the
    /// number of the user, which many systems make for each user, can be that.
    pub(super) fn is_alone_in(self, gid: u32) -> bool {
        if gid != self.gid || self.gid != self.uid {
            return false;
        }
        let read = |path: &str| files::read_text(path.into(), files::MEDIUM);
        // A host without these files has its users elsewhere: unknown.
        match (read("/etc/passwd"), read("/etc/group")) {
            (Ok(Some(passwd)), Ok(Some(group))) => !self.has_company(gid, &passwd, &group),
            _ => false,
        }
    }

    fn has_company(self, gid: u32, passwd: &str, group: &str) -> bool {
        let (uid, gid) = (self.uid.to_string(), gid.to_string());
        let mut names = Vec::new();
        for line in passwd.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [name, _, its, ..] if its == uid => names.push(name),
                [_, _, _, its, ..] if its == gid => return true,
                _ => {}
            }
        }
        let mut members = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [_, _, its, members] if its == gid => Some(members),
                _ => None,
            }
        });
        members.any(|members| {
            let mut members = members.split(',').map(str::trim);
            members.any(|member| !member.is_empty() && !names.contains(&member))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_group_has_one_member() {
        let owner = Owner { uid: 7, gid: 7 };
        let passwd = "root:x:0:0::/:\nu:x:7:7::/home/u:/bin/sh\nv:x:8:8::/:\n";
        let company = |passwd: &str, group: &str| owner.has_company(7, passwd, group);
        assert!(!company(passwd, "u:x:7:\nv:x:8:u\n"));
        assert!(!company(passwd, "u:x:7:u\n"));
        assert!(company(passwd, "u:x:7:u,v\n"));
        assert!(company(passwd, "u:x:7:\nagain:x:7:v\n"));
        assert!(company(
            &format!("{passwd}w:x:9:7::/:\n"),
            "u:x:7:\nv:x:8:\n"
        ));
        assert!(!owner.is_alone_in(0) && !owner.is_alone_in(8));
        assert!(!Owner { uid: 7, gid: 8 }.is_alone_in(8));
    }

    #[test]
    fn a_user_is_two_numbers() {
        assert_eq!(Owner::parse("7", "8"), Some(Owner { uid: 7, gid: 8 }));
        for (uid, gid) in [("", "1"), ("1", "-1"), ("4294967295", "1"), ("1", "u")] {
            assert_eq!(Owner::parse(uid, gid), None);
        }
    }
}
