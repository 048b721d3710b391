//! Steps that make the builder of CI: as on a developer's machine, or the remote
//! one of the settings, whose certificates are secrets of the repository.

use camino::Utf8Path;
use serde_json::Value;

use super::{Step, is_committed};
use crate::app::App;
use foundation::ctx::config::{BuilderConfig, BuilderDriver};
use foundation::failure::{Failure, Result};
use foundation::shell::quote;

const SETTINGS: &str = ".cargo/xtask.toml";

pub(super) fn steps(app: &App<'_>, checkout: &Utf8Path) -> Result<Vec<Step>> {
    let config = &app.ctx.config.builder;
    let create = Step::run(
        "Create the builder",
        ["cargo xtask builder create".to_owned()],
    );
    if config.driver != Some(BuilderDriver::Remote) {
        return Ok(vec![create]);
    }
    let Some(endpoint) = &config.endpoint else {
        return Err(Failure::usage(format!(
            "the remote builder of {SETTINGS} has no `endpoint`"
        ))
        .hint("endpoint = \"tcp://HOST:PORT\", below [builder]"));
    };
    let is_settled = is_committed(checkout, &[SETTINGS]);
    let mut lines = vec!["umask 077".to_owned()];
    let (mut paths, mut secrets) = (Vec::new(), Vec::new());
    for (name, file) in [
        ("cacert", &config.cacert),
        ("cert", &config.cert),
        ("key", &config.key),
    ] {
        let Some(file) = file else { continue };
        let path = if is_settled {
            let base = app.ctx.config.base.as_deref();
            let below = base.and_then(|base| file.strip_prefix(base).ok());
            quote(below.unwrap_or(file).as_str()).into_owned()
        } else {
            format!("\"$RUNNER_TEMP/builder/{name}.pem\"")
        };
        let secret = format!("BUILDER_{}", name.to_uppercase());
        lines.push(format!("mkdir -p \"$(dirname {path})\""));
        lines.push(format!("printf '%s\\n' \"${secret}\" >{path}"));
        paths.push((name, path));
        secrets.push(secret);
    }
    // Settings that are committed come with the sources.
    if !is_settled {
        lines.push("mkdir -p .cargo".to_owned());
        lines.push(format!("cat >{SETTINGS} <<EOF"));
        lines.extend(settings(config, endpoint, &paths));
        lines.push("EOF".to_owned());
    }
    let configure = Step::Run {
        name: "Configure the remote builder",
        lines,
        secrets,
    };
    Ok(vec![configure, create])
}

/// The text of the settings, in which a shell fills in the paths.
fn settings(config: &BuilderConfig, endpoint: &str, paths: &[(&str, String)]) -> Vec<String> {
    let mut lines = vec!["[builder]".to_owned(), "driver = \"remote\"".to_owned()];
    let mut set = |name: &str, value: Value| {
        lines.push(format!("{name} = {}", in_document(&value)));
    };
    set("endpoint", endpoint.into());
    if let Some(name) = &config.name {
        set("name", name.as_str().into());
    }
    for (name, caches) in [
        ("cache-from", &config.cache_from),
        ("cache-to", &config.cache_to),
    ] {
        if !caches.is_empty() {
            set(name, caches.as_slice().into());
        }
    }
    lines.extend(paths.iter().map(|(name, path)| format!("{name} = {path}")));
    lines
}

/// A value as JSON, which a shell leaves as it is in the text of `<<EOF`.
fn in_document(value: &Value) -> String {
    let text = value.to_string().replace('\\', "\\\\");
    text.replace('$', "\\$").replace('`', "\\`")
}
