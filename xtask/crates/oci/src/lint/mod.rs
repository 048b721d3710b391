//! Lint of system extensions: what fails in the imager or on the node, found before.
//!
//! Each image is read once ([`scan`]), then judged alone and with the others that would
//! be installed beside it ([`check`]). The rules are a table ([`RULES`]).

mod constraint;
mod contents;
mod exceptions;
mod files;
mod finding;
mod imager;
mod kernel;
mod manifest;
mod modules;
mod rule;
mod scan;
mod service;
mod set;

use talos::TalosVersion;

pub use exceptions::Exception;
pub use finding::{Finding, Level, Report};
pub use kernel::Kernel;
pub use rule::{RULES, Rule, Upstream};
pub use scan::{Scan, scan};

/// What images are judged against.
#[derive(Debug, Clone)]
pub struct Against {
    pub version: TalosVersion,
    /// Beginnings of allowed paths, with the leading slash.
    pub allowed: Vec<String>,
    /// `6.18.45-talos`, if it is known.
    pub kernel_release: Option<String>,
    /// The image of the kernel that Talos is built with, for each platform.
    pub kernels: Vec<Kernel>,
    /// Files that extensions share on purpose.
    pub exceptions: Vec<Exception>,
}

impl Against {
    /// The kernel for an image; one image or kernel may not name its platform.
    pub(crate) fn kernel(&self, scan: &Scan) -> Option<&Kernel> {
        let same = |it: &&Kernel| it.architecture == scan.arch;
        let unnamed = |it: &&Kernel| it.architecture.is_empty() || scan.arch.is_empty();
        let kernels = self.kernels.iter();
        kernels
            .clone()
            .find(same)
            .or_else(|| kernels.clone().find(unnamed))
    }

    /// The kernel's release, as the image of the kernel has it or else the sources.
    pub(crate) fn release(&self, scan: &Scan) -> Option<&str> {
        let kernel = self.kernel(scan).map(|kernel| kernel.release.as_str());
        kernel.or(self.kernel_release.as_deref())
    }
}

/// Judges images for one platform each; those of one platform are judged as a set, too.
pub fn check(scans: &[Scan], against: &Against) -> Vec<Report> {
    let mut reports: Vec<Report> = scans
        .iter()
        .map(|scan| {
            let mut findings = scan.found.clone();
            manifest::check(scan, against, &mut findings);
            contents::check(scan, against, &mut findings);
            imager::check(scan, against, &mut findings);
            modules::check(scan, against, &mut findings);
            Report {
                name: scan.name.clone(),
                platform: scan.platform.clone(),
                extension: manifest::title(scan),
                modules: scan.modules.len(),
                findings,
            }
        })
        .collect();
    let mut platforms: Vec<&str> = scans.iter().map(Scan::architecture).collect();
    platforms.sort_unstable();
    platforms.dedup();
    for platform in platforms {
        let set: Vec<usize> = (0..scans.len())
            .filter(|at| scans[*at].architecture() == platform)
            .collect();
        let members: Vec<&Scan> = set.iter().map(|at| &scans[*at]).collect();
        let files = set::merged(&members);
        for &at in &set {
            let findings = &mut reports[at].findings;
            service::check(&scans[at], &files, findings);
            modules::check_set(&scans[at], &members, against, findings);
        }
        if let Some(&last) = set.last() {
            set::check(&members, against, &mut reports[last].findings);
        }
    }
    for report in &mut reports {
        report.findings.sort();
        report.findings.dedup();
    }
    reports
}
