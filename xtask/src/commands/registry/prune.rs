//! `registry prune`: deletes manifests that no tag refers to; the registry's
//! own garbage collection frees what only they used.
//!
//! Not with its `--delete-untagged`: that also removes the manifests of
//! multi-platform images, which have no tags of their own (distribution#3178).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::ls::{is_meant, parts, plain, silent};
use super::up;
use super::view::{self, DATA, RegistryView};
use crate::app::App;
use foundation::ctx::containers::{self, Container, files};
use foundation::ctx::registries;
use foundation::ctx::registry_api::{Api, ApiError, Tagged, names};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Action, AwaitedRegistry, Effect, Plan, Step};
use foundation::run::Options;
use foundation::ui;
use foundation::{program, typed};

/// Maximum number of remaining images in an error.
const SHOWN: usize = 20;
/// The garbage collection reads every manifest from disk.
const COLLECT_DEADLINE: u64 = 1800;

/// What is to be deleted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selected {
    /// Repository and digest.
    manifests: Vec<(String, String)>,
    /// Repository and tag of the named images.
    tags: Vec<(String, String)>,
}

pub(super) fn run(app: &App<'_>, images: &[String]) -> Result<u8> {
    let _lock = super::lock(app, "registry prune")?;
    let spec = registries::local();
    let views = view::read_views(std::slice::from_ref(&spec))?;
    let (Some(view), Some(container)) = (
        views.first(),
        views.first().and_then(RegistryView::container),
    ) else {
        return Err(
            Failure::new(Exit::HostNotReady, "the registry is not running")
                .hint(typed!("registry up")),
        );
    };
    if !view.answers {
        return Err(silent(&spec.host, &"its container does not run"));
    }
    if !container.volumes.iter().any(|(_, at)| at == DATA) {
        return Err(Failure::new(
            Exit::HostNotReady,
            format!(
                "container `{}` has no volume at {DATA}: what it holds cannot be reached",
                container.name
            ),
        )
        .hint(format!(
            "{}, then {}",
            program!("docker rm -f {}", container.name),
            typed!("registry up")
        )));
    }
    let api = Api::on_loopback(spec.port);
    let chosen = choose(&api, container, images).map_err(|error| match error {
        Refused::Failed(failure) => failure,
        Refused::Api(error) => silent(&spec.host, &error),
    })?;
    let before = view.size(&containers::volume_sizes());
    let (collect, start) = plans(&spec.host, container, &chosen, spec.port);
    if app.is_dry() {
        let mut plan = collect;
        plan.steps.extend(start.steps);
        return app.show(&plan).map(|()| 0);
    }
    let collected = app.runner().run(&collect, Options::default());
    // Whatever the result, the registry is started again.
    let started = app.runner().run(&start, Options::default());
    collected.and(started)?;
    // Only what a second look does not find is reported as deleted.
    let left = left(&api, &chosen)?;
    let after = view.size(&containers::volume_sizes());
    ui::print(&report(&chosen, &left, before, after));
    if left.is_empty() {
        return Ok(0);
    }
    let mut failure = Failure::step(format!(
        "the registry {} still has {} of what was to be deleted",
        spec.host,
        left.len()
    ));
    failure.causes = left.into_iter().take(SHOWN).collect();
    Err(failure.hint(typed!("registry ls")))
}

/// Returns selected images that the registry still serves.
///
/// # Errors
/// When the registry does not respond.
fn left(api: &Api, chosen: &Selected) -> Result<Vec<String>> {
    let tags = chosen.tags.iter().map(|of| (of, ':'));
    let manifests = chosen.manifests.iter().map(|of| (of, '@'));
    let mut left = Vec::new();
    for ((repository, reference), separator) in tags.chain(manifests) {
        let name = format!("{repository}{separator}{reference}");
        match api.manifest(repository, reference) {
            Err(error) if error.is_absence() => {}
            Ok(_) => left.push(name),
            Err(error) => {
                return Err(Failure::step(format!(
                    "the registry does not say whether {name} is gone"
                ))
                .cause(error)
                .hint(typed!("registry ls")));
            }
        }
    }
    Ok(left)
}

enum Refused {
    Failed(Failure),
    Api(ApiError),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Selects all stored manifests, except those that the remaining tags refer to.
fn choose(api: &Api, container: &Container, images: &[String]) -> Result<Selected, Refused> {
    let tagged = api.tagged()?;
    let going = going(&tagged, images)?;
    let mut kept: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for image in tagged.iter().filter(|image| !going.contains(image)) {
        let manifest = api.manifest(&image.repository, &image.digest)?;
        let tree = api.tree(&image.repository, &manifest)?;
        let digests = kept.entry(&image.repository).or_default();
        digests.extend(tree.into_iter().map(|manifest| manifest.digest));
    }
    let may_delete = container.is_ours
        || container.variable("REGISTRY_STORAGE_DELETE_ENABLED") == Some("true")
        || !going.is_empty();
    // Without repositories there is no folder to list.
    let stored = if may_delete && !api.repositories()?.is_empty() {
        stored(&container.name)?
    } else {
        Vec::new()
    };
    check_listed(&tagged, &stored, may_delete)?;
    let is_kept = |repository: &str, digest: &String| {
        kept.get(repository)
            .is_some_and(|digests| digests.contains(digest))
    };
    Ok(Selected {
        manifests: stored
            .into_iter()
            .filter(|(repository, digest)| !is_kept(repository, digest))
            .collect(),
        tags: going
            .iter()
            .map(|image| (image.repository.clone(), image.tag.clone()))
            .collect(),
    })
}

/// Checks that everything with a tag is in the registry's files: a listing
/// without it would be of another registry, or incomplete.
fn check_listed(tagged: &[Tagged], stored: &[(String, String)], was_listed: bool) -> Result<()> {
    let is_listed = |image: &&Tagged| {
        stored
            .iter()
            .any(|(repository, digest)| *repository == image.repository && *digest == image.digest)
    };
    match tagged.iter().find(|image| !is_listed(image)) {
        Some(image) if was_listed => Err(Failure::step(format!(
            "the registry's files do not list {}:{}, which it gives out",
            image.repository, image.tag
        ))
        .cause(format!("they were read at {DATA} of its container"))
        .hint(typed!("registry status"))),
        _ => Ok(()),
    }
}

/// Returns the tags that `images` name. A manifest is deleted with all its
/// tags, so a manifest that another tag needs is refused.
fn going<'a>(tagged: &'a [Tagged], images: &[String]) -> Result<Vec<&'a Tagged>> {
    let mut going: Vec<&Tagged> = Vec::new();
    for name in images {
        let (repository, tag) = parts(plain(name, &registries::local().host));
        let before = going.len();
        going.extend(tagged.iter().filter(|image| {
            is_meant(repository, &image.repository) && tag.is_none_or(|tag| tag == image.tag)
        }));
        if going.len() == before {
            return Err(
                Failure::usage(format!("the registry has no `{name}`")).hint(typed!("registry ls"))
            );
        }
    }
    let shared = tagged.iter().find(|other| {
        !going.contains(other)
            && going
                .iter()
                .any(|image| image.digest == other.digest && image.repository == other.repository)
    });
    match shared {
        Some(other) => Err(Failure::usage(format!(
            "`{}:{}` is the same image, and would go too",
            other.repository, other.tag
        ))
        .hint(format!(
            "name it as well: {}:{}",
            other.repository, other.tag
        ))),
        None => Ok(going),
    }
}

/// Returns repository and digest of every manifest, from the registry's files:
/// its API does not list manifests without a tag.
///
/// # Errors
/// When they cannot be listed.
fn stored(container: &str) -> Result<Vec<(String, String)>> {
    let folder = format!("{DATA}/docker/registry/v2/repositories");
    let listed = files::list(container, &folder)?;
    Ok(listed
        .iter()
        .filter_map(|path| stored_manifest(path))
        .collect())
}

/// `repositories/REPOSITORY/_manifests/revisions/sha256/HEX/link`
fn stored_manifest(path: &str) -> Option<(String, String)> {
    let (repository, rest) = path
        .strip_prefix("repositories/")?
        .split_once("/_manifests/revisions/")?;
    let (algorithm, rest) = rest.split_once('/')?;
    let hex = rest.strip_suffix("/link")?;
    let digest = format!("{algorithm}:{hex}");
    let is_sound = names::is_repository(repository) && names::is_digest(&digest);
    is_sound.then(|| (repository.to_owned(), digest))
}

/// Returns the steps that free space, and those that start the registry again.
fn plans(address: &str, container: &Container, chosen: &Selected, port: u16) -> (Plan, Plan) {
    let name = container.name.as_str();
    let mut collect = Plan::new("free what no tag leads to");
    if !chosen.manifests.is_empty() {
        let action = Action::DeleteManifests {
            address: address.to_owned(),
            manifests: chosen.manifests.clone(),
        };
        let step = Step::new("delete what has no tag, or was named", action);
        collect.push(step.effect(Effect::Destroys));
    }
    let why = "stop the registry: what is pushed during a collection would be lost";
    collect.push(up::docker(why, &["stop", name], Effect::Changes));
    let config = container
        .command
        .iter()
        .rfind(|word| word.starts_with("/etc/"))
        .map_or("/etc/docker/registry/config.yml", String::as_str);
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "--volumes-from",
        name,
        "--entrypoint",
        "registry",
        &container.image_id,
        "garbage-collect",
        config,
    ];
    let why = "the registry's own garbage collection, on its volume";
    collect.push(up::docker(why, &words, Effect::Destroys).deadline(COLLECT_DEADLINE));
    let mut start = Plan::new("start the registry again");
    start.push(up::docker(
        "start the registry again",
        &["start", name],
        Effect::Changes,
    ));
    let registries = vec![AwaitedRegistry {
        container: name.to_owned(),
        port,
    }];
    let action = Action::WaitRegistries { registries };
    start.push(Step::new("wait until it answers", action).effect(Effect::Reads));
    (collect, start)
}

fn report(chosen: &Selected, left: &[String], before: Option<u64>, after: Option<u64>) -> String {
    use foundation::units::human_size;
    let mut out = String::new();
    for (repository, tag) in &chosen.tags {
        let name = format!("{repository}:{tag}");
        if !left.contains(&name) {
            let _ = writeln!(out, "deleted {name}");
        }
    }
    let freed = match (before, after) {
        (Some(before), Some(after)) => format!(
            "freed {}; {} are left",
            human_size(before.saturating_sub(after)),
            human_size(after)
        ),
        _ => "freed what nothing refers to; docker does not tell how much".to_owned(),
    };
    let is_left =
        |(repository, digest): &&(String, String)| left.contains(&format!("{repository}@{digest}"));
    let manifests = chosen.manifests.len() - chosen.manifests.iter().filter(is_left).count();
    format!("{out}{freed} ({manifests} manifest(s) deleted)\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(repository: &str, tag: &str, digest: &str) -> Tagged {
        Tagged {
            repository: repository.into(),
            tag: tag.into(),
            digest: digest.into(),
            size: 1,
        }
    }

    #[test]
    fn only_links_to_manifests_are_stored_manifests() {
        let hex = "ab".repeat(32);
        let path = format!("repositories/a/b/_manifests/revisions/sha256/{hex}/link");
        assert_eq!(
            stored_manifest(&path),
            Some(("a/b".into(), format!("sha256:{hex}")))
        );
        for other in [
            format!("repositories/../a/_manifests/revisions/sha256/{hex}/link"),
            format!("repositories/a/_manifests/tags/v1/index/sha256/{hex}/link"),
            format!("repositories/a/_layers/sha256/{hex}/link"),
            "repositories/a/_manifests/revisions/sha256/".to_owned(),
        ] {
            assert_eq!(stored_manifest(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_left_is_not_said_to_be_deleted() {
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let chosen = Selected {
            manifests: vec![pair("u/x", "sha256:1"), pair("u/y", "sha256:2")],
            tags: vec![pair("u/x", "a"), pair("u/y", "a")],
        };
        let left = ["u/x:a", "u/x@sha256:1"].map(str::to_owned);
        let text = report(&chosen, &left, Some(2), Some(1));
        assert_eq!(
            text,
            "deleted u/y:a\nfreed 1 B; 1 B are left (1 manifest(s) deleted)\n"
        );
    }

    #[test]
    fn a_listing_without_what_has_a_tag_is_refused() {
        let all = [tagged("u/x", "a", "1")];
        let stored = [("u/x".to_owned(), "1".to_owned())];
        check_listed(&all, &stored, true).unwrap();
        let failure = check_listed(&all, &[], true).unwrap_err();
        assert_eq!(failure.exit, Exit::Step);
        // Nothing was listed, and nothing is deleted.
        check_listed(&all, &[], false).unwrap();
    }

    #[test]
    fn a_tag_takes_no_other_along() {
        let all = [
            tagged("u/x", "a", "1"),
            tagged("u/x", "b", "1"),
            tagged("u/y", "a", "1"),
        ];
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            going(&all, &names).map(|going| going.len())
        };
        assert!(named(&["x:a"]).unwrap_err().to_string().contains("u/x:b"));
        assert_eq!(named(&["x:a", "x:b"]), Ok(2));
        assert_eq!(named(&["u/y"]), Ok(1));
        assert!(named(&["z"]).is_err());
        assert_eq!(named(&[]), Ok(0));
    }
}
