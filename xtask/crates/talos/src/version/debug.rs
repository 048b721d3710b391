//! Debug listeners of Talos services.
//!
//! Source: docs/talos-facts.md#debug-ports.

use super::TalosVersion;

/// A `net/http/pprof` listener of a debug build (`WITH_DEBUG=1`), on all
/// addresses of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PprofPort {
    pub port: u16,
    pub service: &'static str,
    /// Only control plane nodes run it.
    pub control_plane_only: bool,
}

const PORTS: [PprofPort; 4] = [
    PprofPort {
        port: 9981,
        service: "apid",
        control_plane_only: false,
    },
    PprofPort {
        port: 9982,
        service: "machined",
        control_plane_only: false,
    },
    PprofPort {
        port: 9983,
        service: "trustd",
        control_plane_only: true,
    },
    PprofPort {
        port: 9984,
        service: "dashboard",
        control_plane_only: false,
    },
];

impl TalosVersion {
    /// Profiled services; the dashboard's port is 1.13+ (bdcc9321b, backported).
    pub fn pprof_ports(&self) -> &'static [PprofPort] {
        if self.since(13) { &PORTS } else { &PORTS[..3] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_listens_late() {
        let count = |v: &str| TalosVersion::parse(v).unwrap().pprof_ports().len();
        assert_eq!((count("v1.12.0"), count("v1.13.0")), (3, 4));
    }
}
