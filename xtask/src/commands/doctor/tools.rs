//! Checks root, and the tools that talosctl calls as root.

use std::time::Duration;

use super::finding::Finding;
use super::inputs::Inputs;
use super::packages::{Need, with_package};
use foundation::ctx::host::Host;
use foundation::ctx::probe::Probe;

/// talosctl makes bridges, namespaces and packet filter rules: as root only.
pub(super) fn root(inputs: &Inputs) -> Vec<Finding> {
    if inputs.ctx.host.is_root() {
        return vec![Finding::ok("root", "you are root")];
    }
    if Host::which("sudo").is_none() {
        let finding = Finding::missing("root", "you are not root, and there is no `sudo`")
            .why("`talosctl cluster create` makes bridges and namespaces");
        return vec![with_package(finding, Need::Sudo, true)];
    }
    let sudo_true = Probe::new(["sudo", "-n", "true"]).timeout(Duration::from_secs(3));
    let (granted, stderr) = match sudo_true.run() {
        Ok(output) => (output.success, output.stderr),
        Err(_) => (false, String::new()),
    };
    vec![sudo(granted, &stderr)]
}

/// sudo asks for a password once, before the first step; that is not a problem.
fn sudo(granted: bool, stderr: &str) -> Finding {
    let refuses = ["not in the sudoers", "may not run sudo", "not allowed"];
    match (
        granted,
        stderr
            .lines()
            .find(|line| refuses.iter().any(|words| line.contains(words))),
    ) {
        (true, _) => Finding::ok("root", "root through `sudo`, without a password"),
        (false, Some(line)) => Finding::missing("root", "`sudo` does not let you become root")
            .why(line.trim())
            .cure("have an administrator add you to the sudoers"),
        (false, None) => Finding::ok("root", "root through `sudo`, which asks for a password"),
    }
}

pub(super) fn iptables(inputs: &Inputs) -> Vec<Finding> {
    tool(
        inputs,
        "iptables",
        Need::Iptables,
        "talosctl refuses to create without it",
    )
}

pub(super) fn ip(inputs: &Inputs) -> Vec<Finding> {
    tool(
        inputs,
        "ip",
        Need::Ip,
        "which networks are taken, and what a cluster left, is asked of it",
    )
}

/// Checks that a program exists and starts: a program without its libraries
/// does not count.
fn tool(inputs: &Inputs, name: &str, need: Need, why: &str) -> Vec<Finding> {
    let id = name.to_owned();
    let root = inputs.ctx.host.is_root();
    let Some(path) = Host::which_as_root(name) else {
        let finding = Finding::missing(id, format!("no `{name}`")).why(why);
        return vec![with_package(finding, need, root)];
    };
    let version = if name == "ip" { "-V" } else { "--version" };
    let start = Probe::new([path.as_str(), version]).timeout(Duration::from_secs(3));
    match start.stdout() {
        Ok(_) => vec![Finding::ok(id, format!("`{path}`"))],
        Err(error) => {
            let finding = Finding::missing(id, format!("`{path}` does not start"));
            vec![with_package(finding.why(error.to_string()), need, root)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    #[test]
    fn a_password_is_no_refusal() {
        assert_eq!(sudo(true, "").status, Status::Ok);
        assert_eq!(
            sudo(false, "sudo: a password is required\n").status,
            Status::Ok
        );
        let refused = sudo(false, "\nSorry, user dev may not run sudo on this-host.\n");
        assert_eq!(refused.status, Status::Missing);
    }
}
