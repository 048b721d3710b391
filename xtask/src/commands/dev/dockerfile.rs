//! What a stage of the Dockerfile is made of: stages before it, files of the checkout, and the
//! Go packages that it compiles. Read only as far as that.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

/// Where the checkout is in stages that compile.
const SOURCES: &str = "/src";

/// One `FROM`, with what follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) name: String,
    /// Stages and images.
    pub(super) uses: BTreeSet<String>,
    /// Paths of the checkout, possibly with patterns.
    pub(super) files: BTreeSet<String>,
    pub(super) programs: Vec<Program>,
}

/// A `go build` or `go test -c`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Program {
    /// `./internal/app/machined`, or an import path.
    pub(super) package: String,
    pub(super) is_test: bool,
    /// Literal build tags.
    pub(super) tags: String,
}

/// Reads the stages. `arguments` are values of build arguments, before the file's defaults.
pub(super) fn parse(text: &str, arguments: &[(&str, &str)]) -> Vec<Stage> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    let mut folders: BTreeMap<String, Utf8PathBuf> = BTreeMap::new();
    let mut folder = Utf8PathBuf::from("/");
    for instruction in instructions(text) {
        let (verb, rest) = instruction
            .split_once(char::is_whitespace)
            .unwrap_or((&instruction, ""));
        let words = shlex::split(rest)
            .unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
        match verb.to_ascii_uppercase().as_str() {
            "ARG" if stages.is_empty() => {
                let pairs = words.iter().filter_map(|word| word.split_once('='));
                values.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
                let given = arguments.iter().copied();
                values.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            "FROM" => {
                let mut names = words.iter().filter(|word| !word.starts_with("--"));
                let from = expanded(names.next().map_or("", String::as_str), &values, arguments);
                let name = words.last().cloned().unwrap_or_default();
                folder = folders.get(&from).cloned().unwrap_or_else(|| "/".into());
                folders.insert(name.clone(), folder.clone());
                stages.push(Stage {
                    name,
                    uses: BTreeSet::from([from]),
                    ..Stage::default()
                });
            }
            verb => {
                let Some(stage) = stages.last_mut() else {
                    continue;
                };
                match verb {
                    "WORKDIR" => {
                        folder.push(words.first().map_or("", String::as_str));
                        folders.insert(stage.name.clone(), folder.clone());
                    }
                    "COPY" | "ADD" => copied(stage, &words),
                    "RUN" => {
                        mounted(stage, &words);
                        stage.programs.extend(programs(&words, &folder));
                    }
                    _ => {}
                }
            }
        }
    }
    stages
}

/// Logical lines, without comments and without the text of here-documents.
fn instructions(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_empty()) {
            continue;
        }
        if let Some(first) = trimmed.strip_suffix('\\') {
            open.push_str(first);
            open.push(' ');
            continue;
        }
        open.push_str(trimmed);
        let instruction = std::mem::take(&mut open);
        let ends: Vec<String> = here_documents(&instruction).collect();
        all.push(instruction);
        for end in ends {
            lines.by_ref().find(|line| line.trim() == end);
        }
    }
    all
}

/// The words that end the here-documents of an instruction.
fn here_documents(instruction: &str) -> impl Iterator<Item = String> {
    let takes = ["RUN", "COPY", "ADD"]
        .iter()
        .any(|verb| instruction.to_ascii_uppercase().starts_with(verb));
    let words = instruction.split_whitespace().filter(move |_| takes);
    words.filter_map(|word| {
        let word = word.strip_prefix("<<")?.trim_start_matches('-');
        let word = word.trim_matches(['"', '\'']);
        let is_name = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
        is_name.then(|| word.to_owned())
    })
}

/// Replaces `${NAME}` and `$NAME`.
fn expanded(word: &str, values: &BTreeMap<String, String>, arguments: &[(&str, &str)]) -> String {
    let mut out = word.to_owned();
    let given = arguments.iter().copied();
    let defaults = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.chain(defaults) {
        out = out.replace(&format!("${{{name}}}"), value);
        if out == format!("${name}") {
            value.clone_into(&mut out);
        }
    }
    out
}

fn copied(stage: &mut Stage, words: &[String]) {
    if let Some(from) = words.iter().find_map(|word| word.strip_prefix("--from=")) {
        stage.uses.insert(from.to_owned());
        return;
    }
    let paths: Vec<&String> = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    let Some((_, sources)) = paths.split_last() else {
        return;
    };
    let of_checkout = sources
        .iter()
        .filter(|it| !it.starts_with("<<") && !it.contains("://"));
    stage.files.extend(of_checkout.map(|it| plain(it)));
}

fn mounted(stage: &mut Stage, words: &[String]) {
    for mount in words.iter().filter_map(|it| it.strip_prefix("--mount=")) {
        let option = |names: &[&str]| {
            let mut options = mount.split(',').filter_map(|it| it.split_once('='));
            options.find_map(|(name, value)| names.contains(&name).then_some(value))
        };
        if let Some(from) = option(&["from"]) {
            stage.uses.insert(from.to_owned());
        } else if option(&["type"]).unwrap_or("bind") == "bind" {
            let source = option(&["source", "src"]).unwrap_or(".");
            stage.files.insert(plain(source));
        }
    }
}

/// A path of the checkout without `./` and `/` around it.
fn plain(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_matches('/');
    if path.is_empty() {
        ".".to_owned()
    } else {
        path.to_owned()
    }
}

/// The programs that a command line compiles.
fn programs(words: &[String], folder: &Utf8Path) -> Vec<Program> {
    let mut found = Vec::new();
    let ends = |word: &str| ["&&", "||", ";", "|", ">"].contains(&word);
    for (at, pair) in words.windows(2).enumerate() {
        let is_test = pair[1] == "test";
        if pair[0] != "go" || !(is_test || pair[1] == "build") {
            continue;
        }
        let mut rest = words[at + 2..].iter().take_while(|word| !ends(word));
        let (mut package, mut tags, mut is_compiled) = (None, String::new(), !is_test);
        while let Some(word) = rest.next() {
            match word.as_str() {
                "-c" => is_compiled = true,
                "-tags" => tags = rest.next().cloned().unwrap_or_default(),
                "-o" | "-ldflags" | "-gcflags" | "-asmflags" | "-mod" | "-p" => {
                    rest.next();
                }
                flag if flag.starts_with("-tags=") => flag["-tags=".len()..].clone_into(&mut tags),
                flag if flag.starts_with(['-', '$']) => {}
                other => package = Some(other.to_owned()),
            }
        }
        let here = folder.strip_prefix(SOURCES).unwrap_or(Utf8Path::new(""));
        let package = match package {
            None => format!("./{here}"),
            Some(path) if path.starts_with('.') => {
                format!("./{}", here.join(path.trim_start_matches("./")))
            }
            Some(path) => path,
        };
        // Patterns are of linters and unit tests.
        if is_compiled && !package.contains("...") {
            found.push(Program {
                package,
                is_test,
                tags,
            });
        }
    }
    found
}

/// The stage with everything that it is made of, itself first; none if there is no such stage.
pub(super) fn reached<'a>(stages: &'a [Stage], name: &str) -> Vec<&'a Stage> {
    let find = |name: &str| stages.iter().rev().find(|stage| stage.name == name);
    let mut found: Vec<&Stage> = find(name).into_iter().collect();
    let mut next = 0;
    while let Some(stage) = found.get(next) {
        for used in stage.uses.iter().filter_map(|name| find(name)) {
            if !found.iter().any(|known| known.name == used.name) {
                found.push(used);
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# syntax = docker/dockerfile:1
ARG PKG=scratch
ARG EMBED=embed
FROM ${PKG} AS pkg
FROM --platform=linux/amd64 scratch AS embed
FROM pkg AS base
WORKDIR /src
COPY ./go.mod ./go.sum ./
COPY ./cmd ./cmd
COPY --link --from=embed / ./
FROM base AS machined-build-amd64
WORKDIR /src/internal/app/machined
RUN --mount=type=cache,target=/.cache GOOS=linux go build ${FLAGS} -ldflags \"${LD} -x\" -o /machined
FROM machined-build-${TARGETARCH} AS machined-build
FROM base AS rootfs
RUN --mount=type=bind,source=hack/cleanup.sh,target=/x.sh --mount=type=bind,from=machined-build,source=/a,target=/b <<EOF
COPY not/a/file /x
EOF
COPY --chmod=0644 hack/a.rules hack/b.rules /rules/
ADD https://example.org/x /x
COPY <<END /motd
text
END
FROM scratch AS initramfs
COPY --from=rootfs / /
FROM base AS test
RUN go test -v -c ${FLAGS} \\
    # a comment
    -tags integration,integration_api \\
    ./internal/integration
RUN go test ./... && go vet ./...
FROM ${EMBED} AS other
";

    #[test]
    fn stages_are_what_they_use_copy_and_compile() {
        let stages = parse(TEXT, &[("TARGETARCH", "amd64")]);
        let reached = reached(&stages, "initramfs");
        let names: Vec<&str> = reached.iter().map(|stage| stage.name.as_str()).collect();
        let all = [
            "initramfs",
            "rootfs",
            "base",
            "machined-build",
            "embed",
            "pkg",
            "machined-build-amd64",
        ];
        assert_eq!(names, all);
        let files: Vec<&String> = reached.iter().flat_map(|stage| &stage.files).collect();
        let expected = [
            "hack/a.rules",
            "hack/b.rules",
            "hack/cleanup.sh",
            "cmd",
            "go.mod",
            "go.sum",
        ];
        assert_eq!(files, expected);
        let programs: Vec<&Program> = reached.iter().flat_map(|stage| &stage.programs).collect();
        let [machined] = programs[..] else {
            panic!("{programs:?}");
        };
        assert_eq!(machined.package, "./internal/app/machined");
        let test = stages.iter().find(|stage| stage.name == "test").unwrap();
        let program = Program {
            package: "./internal/integration".to_owned(),
            is_test: true,
            tags: "integration,integration_api".to_owned(),
        };
        assert_eq!(test.programs, [program]);
        assert!(stages.last().unwrap().uses.contains("embed"));
    }
}
