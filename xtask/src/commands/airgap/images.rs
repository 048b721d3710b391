//! Images that were asked for, against the list of what a mirror has.

use std::collections::BTreeSet;

use talos::version::TalosVersion;
use traffic::{Contact, Kind, Pull, Report, State};

use foundation::ctx::airgap::AirGap;
use foundation::ctx::probe::Probe;
use foundation::ctx::talosctl::Talosctl;

/// The host of Image Factory.
const FACTORY: &str = "factory.talos.dev";

/// What a list of images does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Images {
    /// Ready to be added to the list; `None` without a list.
    pub(super) missing: Option<Vec<String>>,
    /// Registries whose images were asked for inside TLS, so that nothing shows which.
    pub(super) unlisted: Vec<String>,
    /// Why a list of that Talos line does not have them.
    pub(super) traps: Vec<String>,
}

impl Images {
    pub(super) fn new(
        report: &Report,
        list: Option<&str>,
        version: Option<&TalosVersion>,
        gap: &AirGap,
    ) -> Self {
        let missing = list.map(|list| missing_images(&report.pulls, list));
        let has_factory = gap.mirrors.iter().any(|(_, host, _)| host == FACTORY);
        let traps = version.map(|version| {
            traps(
                version,
                report,
                missing.as_deref().unwrap_or_default(),
                has_factory,
            )
        });
        let is_hidden = |contact: &&Contact| {
            let pulls = matches!(contact.kind, Kind::Registry | Kind::Factory);
            pulls && contact.inside_tls && contact.state == State::Reached
        };
        let hidden = report.contacts.iter().filter(is_hidden);
        let unlisted: BTreeSet<String> = hidden.map(Contact::name).collect();
        Self {
            missing,
            unlisted: unlisted.into_iter().collect(),
            traps: traps.unwrap_or_default(),
        }
    }
}

/// `talosctl image default` prints one image a line.
pub(super) fn default_list(talosctl: &Talosctl) -> Option<String> {
    let argv = [talosctl.path.as_str(), "image", "default"];
    Probe::new(argv).stdout().ok()
}

/// Images that were asked for and are not on the list, sorted; an image with both tag and
/// digest on the list is on it by either.
fn missing_images(pulls: &[Pull], list: &str) -> Vec<String> {
    let listed: Vec<&str> = list
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .collect();
    let is_listed = |pull: &Pull| {
        listed.iter().any(|line| {
            let (tagged, digest) = line.split_once('@').unwrap_or((line, ""));
            let (repository, _) = pull.image.split_once('@').unwrap_or((&pull.image, ""));
            *line == pull.image
                || tagged == pull.image
                || (!digest.is_empty() && pull.image.ends_with(&format!("@{digest}")) && {
                    tagged
                        .strip_prefix(repository)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                })
        })
    };
    let missing = pulls.iter().filter(|pull| !is_listed(pull));
    let mut missing: Vec<String> = missing.map(|pull| pull.image.clone()).collect();
    missing.sort();
    missing.dedup();
    missing
}

/// What a list of images of that line does not have, as far as it was asked for.
fn traps(
    version: &TalosVersion,
    report: &Report,
    missing: &[String],
    has_factory_mirror: bool,
) -> Vec<String> {
    let mut traps = Vec::new();
    let line = version.line();
    let is_installer = |image: &&String| repository_name(image).contains("installer");
    if !version.lists_installer_as_default_image()
        && let Some(image) = missing.iter().find(is_installer)
    {
        traps.push(format!(
            "{image} is an installer, which `talosctl image default` of Talos {line} does not list"
        ));
    }
    let asks_factory = report
        .contacts
        .iter()
        .any(|contact| contact.host == FACTORY)
        || report
            .pulls
            .iter()
            .any(|pull| pull.image.starts_with(FACTORY) && !pull.was_found());
    if version.installs_from_factory() && asks_factory && !has_factory_mirror {
        traps.push(format!(
            "the default installer of Talos {line} comes from {FACTORY}, for which there is no mirror"
        ));
    }
    if version.pulls_signatures() {
        let absent = report.pulls.iter().filter(|pull| !pull.was_found());
        for pull in absent {
            if let Some(digest) = pull.signed() {
                let repository = pull.image.rsplit_once(':').map_or("", |(name, _)| name);
                traps.push(format!(
                    "the signature tag of {repository}@{digest} is missing: Talos {line} verifies images"
                ));
            }
        }
    }
    traps
}

/// The last part of the repository: `installer` of `ghcr.io/siderolabs/installer:v1`.
fn repository_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(image: &str, statuses: &[u16]) -> Pull {
        Pull {
            image: image.into(),
            endpoint: "172.20.0.1:5000".into(),
            digest: None,
            statuses: statuses.iter().copied().collect(),
            inside_tls: false,
            bytes: 0,
            first: 0,
            last: 0,
            nodes: BTreeSet::new(),
            boots: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_list_names_images_by_tag_or_digest() {
        let pulls = [
            pull("docker.io/a:1", &[200]),
            pull("docker.io/b:1", &[200]),
            pull("docker.io/c@sha256:00", &[200]),
            pull("docker.io/cc@sha256:00", &[200]),
        ];
        let list = "# images\ndocker.io/a:1\ndocker.io/c:9@sha256:00\n";
        assert_eq!(
            missing_images(&pulls, list),
            ["docker.io/b:1", "docker.io/cc@sha256:00"]
        );
    }

    #[test]
    fn each_line_has_its_traps() {
        let signature = "ghcr.io/siderolabs/kubelet:sha256-0a.sig";
        let report = Report {
            pulls: vec![
                pull("ghcr.io/siderolabs/installer:v1", &[200]),
                pull("factory.talos.dev/metal-installer/ab:v1", &[404]),
                pull(signature, &[404]),
                pull("ghcr.io/siderolabs/etcd:sha256-0b.sig", &[200]),
            ],
            ..Report::default()
        };
        let missing = missing_images(&report.pulls, "");
        let of = |minor, has_mirror| {
            let version = TalosVersion::release(1, minor, 0);
            traps(&version, &report, &missing, has_mirror)
        };
        // The installer was listed.
        assert!(of(11, false).is_empty());
        let installer = "ghcr.io/siderolabs/installer:v1 is an installer";
        let [only] = &of(12, false)[..] else {
            panic!("{:?}", of(12, false));
        };
        assert!(
            only.starts_with(installer) && only.contains("Talos 1.12"),
            "{only}"
        );
        let signed = "the signature tag of ghcr.io/siderolabs/kubelet@sha256:0a is missing";
        let [_, tag] = &of(13, false)[..] else {
            panic!("{:?}", of(13, false));
        };
        assert!(tag.starts_with(signed), "{tag}");
        let [_, factory, _] = &of(14, false)[..] else {
            panic!("{:?}", of(14, false));
        };
        assert!(factory.contains(FACTORY), "{factory}");
        assert_eq!(of(14, true).len(), 2);
    }
}
