//! Finds contexts of removed clusters in talosconfig and kubeconfig.

use super::finding::Finding;
use super::inputs::Inputs;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::kubeconfig::Kubeconfig;
use foundation::program;

/// `cluster destroy` of talosctl leaves its contexts, and the next create of
/// that name makes `NAME-1` (T14).
pub(super) fn look(inputs: &Inputs) -> Vec<Finding> {
    let ctx = &inputs.ctx;
    let asked_name = inputs.settings.name.as_str();
    // Contexts of a cluster that cannot be read do not count as left over.
    let existing = match ClusterView::try_names(ctx) {
        Ok(existing) => existing,
        Err(failure) => {
            return vec![unread(&failure.what, &failure.causes.join("; "))];
        }
    };
    let mut unread_files = Vec::new();
    let talosconfig: Vec<String> = match ctx.try_talosconfig() {
        Ok(config) => config.map_or_else(Vec::new, |config| config.contexts.into_keys().collect()),
        Err(error) => {
            let what = format!("cannot read `{}`", ctx.talosconfig_path());
            unread_files.push(unread(&what, &error.to_string()));
            Vec::new()
        }
    };
    let kubeconfig: Vec<String> = match Kubeconfig::read(&ctx.kubeconfig_path()) {
        Ok(config) => config.map_or_else(Vec::new, |config| {
            config.contexts().into_iter().map(str::to_owned).collect()
        }),
        Err(error) => {
            let what = format!("cannot read `{}`", ctx.kubeconfig_path());
            unread_files.push(unread(&what, &error.to_string()));
            Vec::new()
        }
    };
    let mut findings = unread_files;
    for name in left_contexts("", &talosconfig, &existing, asked_name) {
        findings.push(
            Finding::warn(
                "talosconfig-context",
                format!("talosconfig has a context `{name}` of a cluster that is gone"),
            )
            .cure(program!("talosctl config remove {}", name)),
        );
    }
    for name in left_contexts("admin@", &kubeconfig, &existing, asked_name) {
        findings.push(
            Finding::warn(
                "kubeconfig-context",
                format!("kubeconfig has a context `{name}` of a cluster that is gone"),
            )
            .cure(program!("kubectl config delete-context {}", name)),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "contexts",
            "no contexts of clusters that are gone",
        ));
    }
    findings
}

fn unread(what: &str, why: &str) -> Finding {
    Finding::warn("contexts", what).why(why)
}

/// Returns those of `contexts` that `NAME`, `NAME-1`, … of this user's clusters
/// have left. An existing cluster uses the last of them.
fn left_contexts(
    prefix: &str,
    contexts: &[String],
    existing: &[String],
    inputs: &str,
) -> Vec<String> {
    let mut bases: Vec<&str> = existing.iter().map(String::as_str).collect();
    if !bases.contains(&inputs) {
        bases.push(inputs);
    }
    let mut left = Vec::new();
    for base in bases {
        let number = |context: &String| {
            let rest = context.strip_prefix(prefix)?.strip_prefix(base)?;
            match rest.strip_prefix('-') {
                None if rest.is_empty() => Some(0),
                // The name may belong to another cluster.
                Some(_)
                    if existing
                        .iter()
                        .any(|other| context.strip_prefix(prefix) == Some(other)) =>
                {
                    None
                }
                Some(digits) => digits.parse::<u32>().ok(),
                None => None,
            }
        };
        let mut numbered: Vec<(u32, &String)> = contexts
            .iter()
            .filter_map(|context| Some((number(context)?, context)))
            .collect();
        numbered.sort_unstable();
        if existing.iter().any(|name| name == base) {
            numbered.pop();
        }
        left.extend(numbered.into_iter().map(|(_, context)| context.clone()));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_living_cluster_keeps_its_last_context() {
        let contexts = names(&["lab", "lab-1", "lab-2", "prod", "lab-x", "lab-10"]);
        let left = left_contexts("", &contexts, &names(&["lab"]), "talos-default");
        assert_eq!(left, ["lab", "lab-1", "lab-2"]);
        let left = left_contexts("", &contexts, &names(&["lab", "lab-1"]), "lab");
        assert_eq!(left, ["lab", "lab-2"]);
    }

    #[test]
    fn a_cluster_that_is_gone_keeps_none() {
        let contexts = names(&[
            "admin@talos-default",
            "admin@talos-default-1",
            "admin@prod-1",
        ]);
        let left = left_contexts("admin@", &contexts, &[], "talos-default");
        assert_eq!(left, ["admin@talos-default", "admin@talos-default-1"]);
    }
}
