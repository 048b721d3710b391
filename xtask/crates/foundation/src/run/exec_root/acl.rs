//! Access control lists (`acl(5)`): whether they let users or groups write besides
//! the owner and the owning group. The mode shows only the sum of all entries.

use std::os::fd::AsFd;

use rustix::fs::fgetxattr;
use rustix::io::Errno;

use super::owner::Owner;

const NAME: &str = "system.posix_acl_access";
/// The kernel's limit for an attribute.
const LONGEST: usize = 64 << 10;
/// As in `linux/posix_acl_xattr.h`.
const VERSION: u32 = 2;
const USER: u16 = 2;
const GROUP: u16 = 8;
const WRITE: u16 = 2;

/// Whether an entry for another user, or for a group, allows to write. A list
/// that cannot be read might.
pub(super) fn others_may_write(fd: impl AsFd, owner: Owner) -> bool {
    let mut list = vec![0; LONGEST];
    match fgetxattr(fd, NAME, &mut list[..]) {
        Ok(length) => allows_others(&list[..length], owner).unwrap_or(true),
        Err(Errno::NODATA | Errno::NOTSUP) => false,
        Err(_) => true,
    }
}

/// The caller checks the mask, which the mode shows as the group's bits.
fn allows_others(list: &[u8], owner: Owner) -> Option<bool> {
    let (version, entries) = list.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
        return None;
    }
    Some(entries.iter().any(|entry| {
        let [tag, tag2, may, may2, id @ ..] = *entry;
        let (tag, may) = (
            u16::from_le_bytes([tag, tag2]),
            u16::from_le_bytes([may, may2]),
        );
        let id = u32::from_le_bytes(id);
        let is_others = match tag {
            USER => id != 0 && id != owner.uid,
            GROUP => !owner.is_alone_in(id),
            _ => false,
        };
        is_others && may & WRITE != 0
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = VERSION.to_le_bytes().to_vec();
        for (tag, may, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(may.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    #[test]
    fn entries_of_others_count() {
        let owner = Owner { uid: 7, gid: 9 };
        let allows = |entry| {
            let base = [(1, 7, u32::MAX), (4, 5, u32::MAX), (32, 5, u32::MAX)];
            let entries: Vec<_> = base.into_iter().chain([entry, (16, 7, u32::MAX)]).collect();
            allows_others(&list(&entries), owner)
        };
        assert_eq!(allows((USER, 7, 8)), Some(true));
        assert_eq!(allows((USER, 5, 8)), Some(false));
        assert_eq!(allows((USER, 7, 7)), Some(false));
        assert_eq!(allows((USER, 7, 0)), Some(false));
        assert_eq!(allows((GROUP, 6, 9)), Some(true));
        assert_eq!(allows((GROUP, 4, 9)), Some(false));
        assert_eq!(allows_others(&[1, 0, 0, 0], owner), None);
        assert_eq!(allows_others(&list(&[])[..3], owner), None);
        assert_eq!(allows_others(&[2, 0, 0, 0, 1], owner), None);
    }
}
