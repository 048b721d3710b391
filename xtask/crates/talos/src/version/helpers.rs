//! Which helper processes a cluster of a line has.

use super::TalosVersion;
use crate::process::Helper;

impl TalosVersion {
    /// Helper processes that a cluster of this line may have, each with a
    /// `<name>.pid` and `<name>.log` in its state folder.
    ///
    /// dnsd and image-cache 1.12+ (c0772b8ed), virtiofsd 1.13+ (694f45413),
    /// bgp 1.14+ (2193b5781).
    pub fn helpers(&self) -> Vec<Helper> {
        Helper::ALL
            .into_iter()
            .filter(|helper| self.has_helper(*helper))
            .collect()
    }

    /// Helpers that every cluster of this line has, whatever its flags.
    pub fn required_helpers(&self) -> &'static [Helper] {
        if self.serves_dns() {
            &[Helper::Dhcpd, Helper::LoadBalancer, Helper::Dnsd]
        } else {
            &[Helper::Dhcpd, Helper::LoadBalancer]
        }
    }

    fn has_helper(&self, helper: Helper) -> bool {
        match helper {
            Helper::Dhcpd
            | Helper::LoadBalancer
            | Helper::Kms
            | Helper::JsonLogs
            | Helper::Siderolink => true,
            Helper::Dnsd | Helper::ImageCache => self.since(12),
            Helper::Virtiofsd => self.since(13),
            Helper::Bgp => self.since(14),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(minor: u64) -> TalosVersion {
        TalosVersion::parse(&format!("v1.{minor}.0")).unwrap()
    }

    #[test]
    fn helpers_grow_with_the_lines() {
        assert_eq!(v(9).helpers().len(), 5);
        assert_eq!(v(12).helpers().len(), 7);
        assert_eq!(v(13).helpers().len(), 8);
        assert_eq!(v(15).helpers().len(), 9);
        for minor in 9..=15 {
            let all = v(minor).helpers();
            assert!(v(minor).required_helpers().iter().all(|h| all.contains(h)));
        }
    }
}
