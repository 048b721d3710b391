//! `--fix`: a plan of the fixes that are safe.

use super::finding::{Finding, Fix};
use crate::app::App;
use foundation::plan::{Effect, Plan, Step};

/// Asks before it installs packages: `--yes` answers, and without a terminal
/// a note names the packages that are left out.
pub(super) fn plan(app: &App<'_>, findings: &[Finding]) -> Plan {
    let packages = packages(findings);
    let question = format!("install {}?", packages.join(", "));
    let install = !packages.is_empty()
        && (app.is_dry()
            || app.ui.confirm(&question).unwrap_or_else(|| {
                app.ui.note(&format!(
                    "not installed: there is no terminal to ask on: {}; pass `--yes` to install",
                    packages.join(", ")
                ));
                false
            }));
    plan_fix(findings, if install { &packages } else { &[] })
}

fn plan_fix(findings: &[Finding], packages: &[&str]) -> Plan {
    let mut plan = Plan::new("fix what can be fixed safely");
    if !packages.is_empty() {
        let apt = |why: &str, words: &[&str], seconds| {
            Step::run(why, [&["apt-get"], words].concat())
                .env("DEBIAN_FRONTEND", "noninteractive")
                .effect(Effect::Creates)
                .as_root()
                .deadline(seconds)
        };
        let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
        plan.push(apt("fetch apt's package lists", &["update"], 600));
        plan.push(apt("install what a cluster needs", &install, 1800));
    }
    for finding in findings {
        if let Some(Fix::Steps(steps)) = &finding.fix {
            plan.steps.extend(steps.iter().cloned());
        }
    }
    plan
}

fn packages(findings: &[Finding]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for finding in findings {
        if let Some(Fix::Package(package)) = finding.fix
            && !packages.contains(&package)
        {
            packages.push(package);
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundation::plan::Privilege;

    #[test]
    fn packages_are_installed_together_and_as_root() {
        let step = Step::run("load", ["modprobe", "kvm_amd"]).as_root();
        let findings = [
            Finding::missing("qemu", "").fix(Some(Fix::Package("qemu-system-x86"))),
            Finding::missing("uefi-firmware", "").fix(Some(Fix::Package("ovmf"))),
            Finding::warn("kvm", "").fix(Some(Fix::Steps(vec![step.clone()]))),
            Finding::missing("x", "").fix(Some(Fix::Package("ovmf"))),
        ];
        let packages = packages(&findings);
        assert_eq!(packages, ["qemu-system-x86", "ovmf"]);
        let plan = plan_fix(&findings, &packages);
        assert_eq!(plan.steps.len(), 3);
        assert!(
            plan.steps
                .iter()
                .all(|step| step.privilege == Privilege::Root)
        );
        assert_eq!(plan.steps[2], step);
        assert!(plan_fix(&findings[..1], &[]).steps.is_empty());
    }
}
