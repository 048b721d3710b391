//! Why a build failed, from its output and from the state of the builder and of the
//! registry: the cause comes first, with a command to type.

use foundation::ctx::binfmt;
use foundation::ctx::buildx::{self, Builder, CurrentBuilder};
use foundation::ctx::containers;
use foundation::ctx::image_reference;
use foundation::ctx::registry_api::Api;
use foundation::failure::Failure;
use foundation::{program, typed};

use crate::app::App;

/// A cause and a command.
#[derive(Debug, PartialEq, Eq)]
struct Reason {
    cause: String,
    hint: String,
}

/// What is known besides the output.
trait State {
    fn builder(&self) -> Option<CurrentBuilder>;
    /// Whether the builder shares the network of this machine; none if unknown.
    fn shares_network(&self) -> Option<bool>;
    /// Whether a registry answers at a port of 127.0.0.1.
    fn answers(&self, port: u16) -> bool;
    /// The last lines of the log of the container that publishes a port.
    fn log_of(&self, port: u16) -> Vec<String>;
    /// The foreign architecture whose programs this host does not run.
    fn foreign(&self) -> Option<&'static str>;
}

/// Adds the cause to the failure of a build, if it is a known one.
pub(crate) fn explain(app: &App<'_>, failure: Failure) -> Failure {
    explain_with(&Here { app }, failure)
}

fn explain_with(state: &dyn State, mut failure: Failure) -> Failure {
    // The error of buildx, or the last line of the failed step that has a cause.
    let mut lines = failure
        .causes
        .iter()
        .rev()
        .chain(failure.excerpt.iter().rev());
    let reason = lines.find_map(|line| reason(state, line));
    if let Some(Reason { cause, hint }) = reason {
        failure.causes.insert(0, cause);
        failure.hint = Some(hint);
    }
    failure
}

fn reason(state: &dyn State, line: &str) -> Option<Reason> {
    of_command(line)
        .or_else(|| of_builder(state, line))
        .or_else(|| of_space(state, line))
        .or_else(|| of_network(state, line))
        .or_else(|| of_login(line))
}

/// What the command of the build does not allow.
fn of_command(line: &str) -> Option<Reason> {
    let (_, refused) = line.split_once("failed to load LLB: ")?;
    let entitlement = refused.strip_suffix(" is not allowed")?;
    Some(Reason {
        cause: format!("the command does not allow the entitlement {entitlement} for this build"),
        hint: format!("`TARGET_ARGS=--allow={entitlement}`, if the recipe passes TARGET_ARGS on"),
    })
}

/// What the builder or this host cannot do.
fn of_builder(state: &dyn State, line: &str) -> Option<Reason> {
    let has = |text: &str| line.contains(text);
    if let Some(entitlement) = ["security.insecure", "network.host"]
        .into_iter()
        .find(|it| has(it) && (has("not allowed") || has("is not granted")))
    {
        return Some(Reason {
            cause: format!(
                "{} does not grant the entitlement {entitlement}",
                builder(state)
            ),
            hint: create_or_repair(state),
        });
    }
    if has("exec format error") {
        let foreign = state.foreign();
        return Some(Reason {
            cause: match foreign {
                Some(arch) => {
                    format!("this host does not run programs of {arch}: binfmt has no handler")
                }
                None => "a program is of another architecture than this host".to_owned(),
            },
            hint: match foreign {
                Some(_) => typed!("setup"),
                None => {
                    "`--platform linux/amd64` or linux/arm64, whichever the image is of".to_owned()
                }
            },
        });
    }
    if has("no match for platform in manifest") || has("no matching manifest for") {
        return Some(Reason {
            cause: "an image that the build uses is not available for the platform".to_owned(),
            hint: "build for the platform that it has, such as `--platform linux/amd64`".to_owned(),
        });
    }
    None
}

/// A full disk.
fn of_space(state: &dyn State, line: &str) -> Option<Reason> {
    let has = |text: &str| line.contains(text);
    let push = line.split_once("failed to push ").map(|(_, rest)| rest);
    if let Some(named) = push.and_then(registry) {
        // A registry answers with many words; its log has the cause.
        let port = local_port(&named);
        let log = port.map(|port| state.log_of(port)).unwrap_or_default();
        let is_full = |line: &str| line.contains("no space left on device");
        let is_in_log = log.iter().any(|line| is_full(line));
        return (is_in_log || is_full(line)).then(|| Reason {
            cause: if is_in_log {
                format!("the disk of {named} is full, according to its log")
            } else {
                format!("the disk of {named} is full")
            },
            hint: if port == Some(talos::version::LOCAL_REGISTRY_PORT) {
                typed!("registry prune")
            } else {
                format!("free space for {named}")
            },
        });
    }
    // Of Go programs, and of those that use strerror.
    if has("no space left on device") || has("No space left on device") {
        let is_of_builder = has("ResourceExhausted") || has("/var/lib/buildkit");
        return Some(Reason {
            cause: if is_of_builder {
                "the disk of the builder is full".to_owned()
            } else {
                "the disk of the builder is full, or a tmpfs of this step".to_owned()
            },
            hint: typed!("builder prune"),
        });
    }
    None
}

/// A registry that the builder does not reach.
fn of_network(state: &dyn State, line: &str) -> Option<Reason> {
    let has = |text: &str| line.contains(text);
    let registry = registry(line);
    let named = registry.as_deref().unwrap_or("the registry");
    let port = registry.as_deref().and_then(local_port);
    if has("server gave HTTP response to HTTPS client") {
        return Some(Reason {
            cause: format!(
                "{named} speaks plain HTTP, and {} expects TLS of it",
                builder(state)
            ),
            hint: "use 127.0.0.1, where plain HTTP is expected, or name the registry in the \
                   builder's configuration with `http = true`"
                .to_owned(),
        });
    }
    if has("connection refused")
        && let Some(port) = port
    {
        if !state.answers(port) {
            return Some(Reason {
                cause: format!("no registry answers at {named}"),
                hint: if port == talos::version::LOCAL_REGISTRY_PORT {
                    typed!("registry up")
                } else {
                    format!("start the registry of {named}, or use another with `--registry`")
                },
            });
        }
        if state.shares_network() == Some(false) {
            return Some(Reason {
                cause: format!(
                    "{named} answers on this machine, but {} has a network of its own, without network=host",
                    builder(state)
                ),
                hint: typed!("builder repair"),
            });
        }
        return None;
    }
    let is_unreachable = [
        "network is unreachable",
        "no route to host",
        "no such host",
        "i/o timeout",
        "server misbehaving",
    ];
    if has("failed to do request") && is_unreachable.iter().any(|text| has(text)) {
        let hint = if has("failed to push") {
            let local = talos::version::LOCAL_REGISTRY_PORT;
            format!("push to a registry that it reaches, such as `--registry 127.0.0.1:{local}`")
        } else {
            program!("curl -I {}", format!("https://{named}/v2/"))
        };
        return Some(Reason {
            cause: format!("{} does not reach {named}", builder(state)),
            hint,
        });
    }
    None
}

/// A registry that refuses the user.
fn of_login(line: &str) -> Option<Reason> {
    let has = |text: &str| line.contains(text);
    let registry = registry(line);
    let named = registry.as_deref().unwrap_or("the registry");
    if has("toomanyrequests") || has("429 Too Many Requests") {
        return Some(Reason {
            cause: format!("{named} limits the rate of pulls"),
            hint: format!(
                "log in, which raises the limit: {}",
                login(registry.as_deref())
            ),
        });
    }
    let is_refused = [
        "401 Unauthorized",
        "403 Forbidden",
        "unauthorized:",
        "denied:",
        "insufficient_scope",
    ];
    // A program of a step may be refused by other servers.
    let is_of_image = has("failed to") || has("push access") || has("pull access");
    if is_of_image && is_refused.iter().any(|text| has(text)) {
        return Some(Reason {
            cause: format!("{named} does not accept the login of this user, or it has expired"),
            hint: login(registry.as_deref()),
        });
    }
    None
}

fn builder(state: &dyn State) -> String {
    state.builder().map_or_else(
        || "docker's own builder".to_owned(),
        |builder| format!("the builder `{}`", builder.name),
    )
}

fn create_or_repair(state: &dyn State) -> String {
    match state.builder() {
        None => typed!("builder create"),
        Some(_) => typed!("builder repair"),
    }
}

fn login(registry: Option<&str>) -> String {
    match registry {
        None => "docker login".to_owned(),
        Some(registry) if registry.ends_with("docker.io") => "docker login".to_owned(),
        Some(registry) => program!("docker login {}", registry),
    }
}

/// The registry that a line names: in a URL, or in the reference of an image.
fn registry(line: &str) -> Option<String> {
    let of_url = |scheme: &str| {
        let (_, rest) = line.split_once(scheme)?;
        let end = rest.find(['/', '"', '\'', ' ']).unwrap_or(rest.len());
        Some(rest[..end].to_owned())
    };
    of_url("https://")
        .or_else(|| of_url("http://"))
        .or_else(|| {
            line.split([' ', '"', '\'', ',']).find_map(|word| {
                let word = word.trim_end_matches(':');
                let host = image_reference::split(word).map(|(registry, ..)| registry)?;
                let is_host = host.contains(['.', ':']) && !host.starts_with(['.', '$']);
                is_host.then(|| host.to_owned())
            })
        })
}

/// The port of a registry on this machine.
fn local_port(registry: &str) -> Option<u16> {
    if !image_reference::is_local(registry) {
        return None;
    }
    let (_, port) = registry.rsplit_once(':')?;
    port.parse().ok()
}

struct Here<'a> {
    app: &'a App<'a>,
}

impl State for Here<'_> {
    fn builder(&self) -> Option<CurrentBuilder> {
        buildx::current_builder(&self.app.ctx.dirs.home)
    }

    fn shares_network(&self) -> Option<bool> {
        let all = buildx::list().ok()?;
        let current = self.builder()?;
        let Builder { driver, nodes, .. } = all.into_iter().find(|it| it.name == current.name)?;
        let options = nodes.into_iter().next()?.driver_opts.unwrap_or_default();
        Some(driver != "docker-container" || options.get("network").is_some_and(|it| it == "host"))
    }

    fn answers(&self, port: u16) -> bool {
        Api::on_loopback(port).ping().is_ok()
    }

    fn log_of(&self, port: u16) -> Vec<String> {
        let container = containers::publishing(port).ok().flatten();
        container.map_or_else(Vec::new, |name| containers::last_lines(&name, 40))
    }

    fn foreign(&self) -> Option<&'static str> {
        let foreign = binfmt::foreign(self.app.ctx.host.arch);
        let is_ready = matches!(binfmt::probe(foreign), binfmt::Binfmt::Ready { .. });
        (!is_ready).then_some(foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A builder without network=host, a registry at 5005, a full one at 5006, and no
    /// emulation.
    struct Bare;

    impl State for Bare {
        fn builder(&self) -> Option<CurrentBuilder> {
            Some(CurrentBuilder {
                name: "local1".to_owned(),
                driver: "docker-container".to_owned(),
                endpoint: String::new(),
                node: String::new(),
            })
        }
        fn shares_network(&self) -> Option<bool> {
            Some(false)
        }
        fn answers(&self, port: u16) -> bool {
            port == 5005
        }
        fn log_of(&self, port: u16) -> Vec<String> {
            let full = "level=error msg=\"write: no space left on device\"".to_owned();
            if port == 5006 { vec![full] } else { Vec::new() }
        }
        fn foreign(&self) -> Option<&'static str> {
            Some("arm64")
        }
    }

    #[test]
    fn each_known_end_has_its_cause_and_a_command() {
        // Recorded with buildx 0.29.1 and BuildKit 0.25.2; names of registries and images are
        // others.
        for (line, cause, hint) in [
            (
                "failed to build: failed to solve: granting entitlement security.insecure is not allowed by build daemon configuration",
                "the builder `local1` does not grant the entitlement security.insecure",
                "builder repair",
            ),
            (
                "failed to build: failed to solve: failed to push 127.0.0.1:5005/u/imager:v1: failed to do request: Head \"http://127.0.0.1:5005/v2/u/imager/blobs/sha256:ab\": dial tcp 127.0.0.1:5005: connect: connection refused",
                "127.0.0.1:5005 answers on this machine, but the builder `local1` has a network of its own, without network=host",
                "builder repair",
            ),
            (
                "failed to push 127.0.0.1:5999/u/imager:v1: failed to do request: Head \"http://127.0.0.1:5999/v2/\": dial tcp 127.0.0.1:5999: connect: connection refused",
                "no registry answers at 127.0.0.1:5999",
                "start the registry of 127.0.0.1:5999",
            ),
            (
                "failed to push 10.5.0.1:5005/u/imager:v1: failed to do request: Head \"https://10.5.0.1:5005/v2/u/imager/\": http: server gave HTTP response to HTTPS client",
                "10.5.0.1:5005 speaks plain HTTP, and the builder `local1` expects TLS of it",
                "http = true",
            ),
            (
                "failed to build: failed to solve: failed to push ghcr.io/u/imager:v1: failed to do request: Head \"https://ghcr.io/v2/u/imager/blobs/sha256:ab\": dial tcp: lookup ghcr.io on 10.255.255.53:53: dial udp 10.255.255.53:53: connect: network is unreachable",
                "the builder `local1` does not reach ghcr.io",
                "--registry 127.0.0.1:5005",
            ),
            (
                "failed to build: failed to solve: failed to push 127.0.0.1:5006/u/imager:v1: unknown: blob upload invalid",
                "the disk of 127.0.0.1:5006 is full, according to its log",
                "free space",
            ),
            (
                "failed to build: failed to solve: ResourceExhausted: write /var/lib/buildkit/runc-overlayfs/snapshots/snapshots/3/fs/initramfs: no space left on device",
                "the disk of the builder is full",
                "builder prune",
            ),
            (
                "0.130 dd: error writing '/big': No space left on device",
                "the disk of the builder is full, or a tmpfs of this step",
                "builder prune",
            ),
            (
                "failed to build: failed to solve: failed to load LLB: network.host is not allowed",
                "the command does not allow the entitlement network.host for this build",
                "TARGET_ARGS=--allow=network.host",
            ),
            (
                "0.109 exec /foreign: exec format error",
                "this host does not run programs of arm64: binfmt has no handler",
                "setup",
            ),
            (
                "failed to build: failed to solve: docker.io/library/alpine:3: failed to resolve source metadata for docker.io/library/alpine:3: unexpected status from HEAD request to https://registry-1.docker.io/v2/library/alpine/manifests/3: 429 Too Many Requests",
                "registry-1.docker.io limits the rate of pulls",
                "docker login",
            ),
            (
                "failed to build: failed to solve: failed to push ghcr.io/u/imager:v1: unexpected status from HEAD request to https://ghcr.io/v2/u/imager/blobs/sha256:ab: 401 Unauthorized",
                "ghcr.io does not accept the login of this user, or it has expired",
                "docker login ghcr.io",
            ),
            (
                "failed to build: failed to solve: ghcr.io/u/kernel:v1: failed to resolve source metadata for ghcr.io/u/kernel:v1: no match for platform in manifest: not found",
                "an image that the build uses is not available for the platform",
                "--platform",
            ),
        ] {
            let failure = explain_with(&Bare, Failure::step("x").cause(line));
            assert_eq!(failure.causes[0], cause, "{line}");
            assert!(failure.hint.as_ref().unwrap().contains(hint), "{failure:?}");
        }
        let other = explain_with(&Bare, Failure::step("x").cause("exit code: 7"));
        assert_eq!((other.causes.len(), other.hint), (1, None));
    }
}
