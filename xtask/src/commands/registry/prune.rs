//! `registry prune`: manifests that no tag leads to are deleted, and the
//! registry's own garbage collection frees what only they used.
//!
//! Not with its `--delete-untagged`: that takes the manifests of multi-platform
//! images too, which have no tags of their own (distribution#3178).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::ls::{is_meant, silent};
use super::stand::{self, DATA, Stood};
use super::up;
use crate::commands::App;
use crate::commands::cluster::HalfMade;
use foundation::ctx::containers::{self, Container};
use foundation::ctx::registry_api::{Api, ApiError, Tagged};
use foundation::ctx::{probe, registries};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Action, AwaitedRegistry, Effect, Plan, Step};
use foundation::ui;
use foundation::{program, typed};

/// It reads every manifest from disk.
const COLLECT_DEADLINE: u64 = 1800;

/// What is going to be deleted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chosen {
    /// Repository and digest.
    manifests: Vec<(String, String)>,
    /// For people.
    tags: Vec<String>,
}

pub(super) fn run(app: &App<'_>, images: &[String]) -> Result<u8> {
    let _lock = super::lock(app, "registry prune")?;
    let spec = registries::local();
    let stood = stand::look(std::slice::from_ref(&spec))?;
    let (Some(stood), Some(container)) = (stood.first(), stood.first().and_then(Stood::container))
    else {
        return Err(
            Failure::new(Exit::HostNotReady, "there is no registry of ours")
                .hint(typed!("registry up")),
        );
    };
    if !stood.answers {
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
        Refused::Usage(failure) => failure,
        Refused::Api(error) => silent(&spec.host, &error),
    })?;
    let before = stood.size(&containers::volume_sizes());
    let (collect, start) = plans(&spec.host, container, &chosen, spec.port);
    if app.is_dry() {
        let mut plan = collect;
        plan.steps.extend(start.steps);
        return app.show(&plan).map(|()| 0);
    }
    let collected = app.runner().execute(&collect, &HalfMade);
    // However that ended, the registry is wanted again.
    let started = app.runner().execute(&start, &HalfMade);
    collected.and(started)?;
    let after = stood.size(&containers::volume_sizes());
    ui::print(&report(&chosen, before, after));
    Ok(0)
}

enum Refused {
    Usage(Failure),
    Api(ApiError),
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// All manifests that are stored, less those that the remaining tags lead to.
fn choose(api: &Api, container: &Container, images: &[String]) -> Result<Chosen, Refused> {
    let tagged = api.tagged()?;
    let going = going(&tagged, images).map_err(Refused::Usage)?;
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
    let stored = if may_delete {
        stored(&container.name)
    } else {
        Vec::new()
    };
    let is_kept = |repository: &str, digest: &String| {
        kept.get(repository)
            .is_some_and(|digests| digests.contains(digest))
    };
    Ok(Chosen {
        manifests: stored
            .into_iter()
            .filter(|(repository, digest)| !is_kept(repository, digest))
            .collect(),
        tags: going
            .iter()
            .map(|image| format!("{}:{}", image.repository, image.tag))
            .collect(),
    })
}

/// The tags that `images` name. A manifest goes with all its tags, so that one
/// that another tag needs is refused.
fn going<'a>(tagged: &'a [Tagged], images: &[String]) -> Result<Vec<&'a Tagged>> {
    let mut going: Vec<&Tagged> = Vec::new();
    for name in images {
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name.as_str(), None),
        };
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

/// Repository and digest of every manifest, as the registry's files say: its
/// API does not list what has no tag.
fn stored(container: &str) -> Vec<(String, String)> {
    let folder = format!("{container}:{DATA}/docker/registry/v2/repositories");
    let script = "docker cp \"$0\" - | tar -t";
    let listed = probe::stdout(&["sh", "-c", script, &folder], None).unwrap_or_default();
    listed.lines().filter_map(stored_manifest).collect()
}

/// `repositories/REPOSITORY/_manifests/revisions/sha256/HEX/link`
fn stored_manifest(path: &str) -> Option<(String, String)> {
    let (repository, rest) = path
        .strip_prefix("repositories/")?
        .split_once("/_manifests/revisions/")?;
    let (algorithm, rest) = rest.split_once('/')?;
    let hex = rest.strip_suffix("/link")?;
    let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| (repository.to_owned(), format!("{algorithm}:{hex}")))
}

/// What frees, and what brings the registry back.
fn plans(address: &str, container: &Container, chosen: &Chosen, port: u16) -> (Plan, Plan) {
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

fn report(chosen: &Chosen, before: Option<u64>, after: Option<u64>) -> String {
    use foundation::units::human_size;
    let mut out = String::new();
    for tag in &chosen.tags {
        let _ = writeln!(out, "deleted {tag}");
    }
    let freed = match (before, after) {
        (Some(before), Some(after)) => format!(
            "freed {}; {} are left",
            human_size(before.saturating_sub(after)),
            human_size(after)
        ),
        _ => "freed what nothing refers to; docker does not tell how much".to_owned(),
    };
    let manifests = chosen.manifests.len();
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
            format!("repositories/a/_manifests/tags/v1/index/sha256/{hex}/link"),
            format!("repositories/a/_layers/sha256/{hex}/link"),
            "repositories/a/_manifests/revisions/sha256/".to_owned(),
        ] {
            assert_eq!(stored_manifest(&other), None, "{other}");
        }
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
