//! What bldr reads of a `pkg.yaml`. bldr ignores unknown keys, so a typing mistake
//! such as `sha521` fails late and with another message.

use serde::Deserialize;
use std::collections::BTreeMap;

use regex::Regex;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Package {
    pub(super) name: String,
    variant: String,
    #[expect(dead_code, reason = "a known key")]
    shell: Option<String>,
    #[serde(default)]
    install: Vec<String>,
    #[expect(dead_code, reason = "a known key")]
    build_platform: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(super) steps: Vec<BuildStep>,
    #[serde(default)]
    finalize: Vec<Finalize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependency {
    image: Option<String>,
    stage: Option<String>,
    #[expect(dead_code, reason = "a known key")]
    from: Option<String>,
    #[expect(dead_code, reason = "a known key")]
    to: Option<String>,
    #[expect(dead_code, reason = "a known key")]
    platform: Option<String>,
    #[expect(dead_code, reason = "a known key")]
    runtime: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BuildStep {
    #[serde(default)]
    sources: Vec<Source>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, yaml_serde::Value>,
    #[expect(dead_code, reason = "a known key")]
    cache_paths: Option<yaml_serde::Value>,
    #[serde(default)]
    prepare: Vec<String>,
    #[serde(default)]
    build: Vec<String>,
    #[serde(default)]
    install: Vec<String>,
    #[serde(default)]
    test: Vec<String>,
    #[expect(dead_code, reason = "a known key")]
    sbom: Option<yaml_serde::Value>,
    #[expect(dead_code, reason = "a known key")]
    network: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    url: String,
    #[expect(dead_code, reason = "a known key, required")]
    destination: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    sha512: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finalize {
    #[expect(dead_code, reason = "a known key")]
    from: Option<String>,
    #[expect(dead_code, reason = "a known key")]
    to: Option<String>,
}

impl Package {
    /// Reads a `pkg.yaml`; each template of Go becomes the letter `x`.
    ///
    /// # Errors
    /// What bldr refuses or ignores, as text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let package: Self =
            yaml_serde::from_str(&without_templates(text)).map_err(|error| error.to_string())?;
        package.check()?;
        Ok(package)
    }

    fn check(&self) -> Result<(), String> {
        if !matches!(self.variant.as_str(), "alpine" | "scratch") {
            return Err(format!(
                "`variant` is `{}`, not alpine or scratch",
                self.variant
            ));
        }
        if self.variant == "scratch" && !self.install.is_empty() {
            return Err("`install` needs the variant alpine".to_owned());
        }
        if self.finalize.is_empty() && !self.steps.is_empty() {
            return Err("`finalize` is missing: the image would be empty".to_owned());
        }
        for dependency in &self.dependencies {
            if dependency.image.is_some() == dependency.stage.is_some() {
                return Err("a dependency needs either `image` or `stage`".to_owned());
            }
        }
        let sources = self.steps.iter().flat_map(|step| &step.sources);
        for source in sources {
            for (name, sum) in [("sha256", &source.sha256), ("sha512", &source.sha512)] {
                if sum.is_empty() {
                    return Err(format!("`{name}` of {} is missing", source.url));
                }
            }
        }
        Ok(())
    }

    pub(super) fn has_stage(&self, name: &str) -> bool {
        let mut stages = self
            .dependencies
            .iter()
            .filter_map(|it| it.stage.as_deref());
        stages.any(|stage| stage == name)
    }

    /// The lines of all its scripts.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter();
        let scripts =
            steps.flat_map(|step| [&step.prepare, &step.build, &step.install, &step.test]);
        scripts.flatten().flat_map(|script| script.lines())
    }
}

/// A line that is only templates, such as `{{ if … }}`, is left out.
fn without_templates(text: &str) -> String {
    let Ok(template) = Regex::new(r"\{\{[^{}]*\}\}") else {
        return text.to_owned();
    };
    let lines = text.lines().filter_map(|line| {
        let replaced = template.replace_all(line, "x");
        let is_alone = replaced != line && template.replace_all(line, "").trim().is_empty();
        (!is_alone).then(|| replaced.into_owned() + "\n")
    });
    lines.collect()
}

/// The names of variables that templates read.
pub(super) fn variables(text: &str) -> Vec<String> {
    let (Ok(template), Ok(name)) = (
        Regex::new(r"\{\{[^{}]*\}\}"),
        Regex::new(r"(^|[\s(])\.([A-Za-z][A-Za-z0-9_]*)"),
    ) else {
        return Vec::new();
    };
    let mut found: Vec<String> = template
        .find_iter(text)
        .flat_map(|it| name.captures_iter(it.as_str()))
        .filter_map(|it| Some(it.get(2)?.as_str().to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: a-pkg\nvariant: scratch\ndependencies:\n  - stage: base\nsteps:\n  - sources:\n      - url: u\n        destination: d\n        sha256: \"{{ .a }}\"\n        sha512: b\n    env:\n      ARCH: {{ if eq .ARCH \"aarch64\" }}arm64{{ else }}x86_64{{ end }}\n    test:\n      - |\n        true\nfinalize:\n  - from: /rootfs\n    to: /\n";

    #[test]
    fn mistakes_that_bldr_ignores_are_found() {
        Package::parse(GOOD).unwrap();
        for (from, to, wanted) in [
            ("sha512:", "sha521:", "sha521"),
            ("        sha512: b\n", "", "`sha512` of u is missing"),
            ("scratch", "slim", "slim"),
            ("  - stage: base", "  - stage: base\n    image: i", "either"),
            (
                "finalize:\n  - from: /rootfs\n    to: /\n",
                "",
                "`finalize` is missing",
            ),
            ("name: a-pkg\n", "", "name"),
            ("        destination: d\n", "", "destination"),
        ] {
            let error = Package::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(wanted), "{to}: {error}");
        }
    }

    #[test]
    fn variables_of_templates() {
        assert_eq!(
            variables("{{ .b_sha256 }} {{ if eq .ARCH \"x.y\" }} .none {{ .b_sha256 }}"),
            ["ARCH", "b_sha256"]
        );
        assert_eq!(
            without_templates("{{ if .A }}\n a: {{ .B }}\n{{ end }}\n"),
            " a: x\n"
        );
    }
}
