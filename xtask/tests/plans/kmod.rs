//! `kmod` from empty checkouts of pkgs and extensions to an installer: what is
//! written, and what docker and crane are called with. Both are stand-ins that write
//! down how they were called.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use crate::common::{Home, Said, assert_golden, git, run};

/// Line, version of Talos, first tag of pkgs.
const LINES: [(&str, &str, &str); 3] = [
    ("1.12", "v1.12.4", "v1.12.0"),
    ("1.13", "v1.13.1", "v1.13.0"),
    ("main", "v1.15.0-alpha.0", "v1.15.0-alpha.0"),
];

const KRES: &str = "---\nkind: pkgfile.Build\nspec:\n  targets:\n";
/// The parts of kres' Makefiles that lead to an image.
const HEAD: &str = "\
TAG ?= $(shell git describe --tag --always --dirty --match v[0-9]\\*)
ARTIFACTS := _out
REGISTRY ?= ghcr.io
USERNAME ?= siderolabs
PLATFORM ?= linux/amd64,linux/arm64
PUSH ?= false
CI_ARGS ?=
COMMON_ARGS = --file=Pkgfile
COMMON_ARGS += --platform=$(PLATFORM)
COMMON_ARGS += $(BUILD_ARGS)

";
const TAIL: &str = "
target-%:
\t@docker buildx build --target=$* $(COMMON_ARGS) $(TARGET_ARGS) $(CI_ARGS) .

docker-%:
\t@$(MAKE) target-$* TARGET_ARGS=\"$(TARGET_ARGS)\"

$(ARTIFACTS):
\t@mkdir -p $(ARTIFACTS)

";
const OF_PKGS: &str = ".PHONY: $(TARGETS)
$(TARGETS):
\t@$(MAKE) docker-$@ TARGET_ARGS=\"--tag=$(REGISTRY)/$(USERNAME)/$@:$(TAG) --push=$(PUSH)\"
";
const OF_EXTENSIONS: &str = "$(ARTIFACTS)/bldr: | $(ARTIFACTS)
\t@curl -sSL https://example.org/bldr -o $(ARTIFACTS)/bldr
\t@chmod +x $(ARTIFACTS)/bldr

.PHONY: $(TARGETS)
$(TARGETS): $(ARTIFACTS)/bldr
\t@$(MAKE) docker-$@ TARGET_ARGS=\"--tag=$(REGISTRY)/$(USERNAME)/$@:$(shell $(ARTIFACTS)/bldr eval --target $@ --build-arg TAG=$(TAG) '{{.VERSION}}' 2>/dev/null) --push=$(PUSH) --metadata-file=$(ARTIFACTS)/$@.metadata.json\"
";
const OF_TALOS: &str = "REGISTRY ?= ghcr.io
USERNAME ?= siderolabs
TAG ?= $(shell git describe --tag --always --dirty --match v[0-9]\\*)
IMAGE_REGISTRY ?= $(REGISTRY)
IMAGE_TAG_IN ?= $(TAG)
IMAGE_TAG_OUT ?= $(TAG)
ARTIFACTS := _out
REGISTRY_AND_USERNAME := $(IMAGE_REGISTRY)/$(USERNAME)
PLATFORM ?= linux/amd64
PUSH ?= false
PKGS ?= PIN
PKG_KERNEL ?= ghcr.io/siderolabs/kernel:$(PKGS)
INSTALLER_ARCH ?= all
IMAGER_ARGS ?=

target-%:
\t@docker buildx build --target=$* --file=Dockerfile --platform=$(PLATFORM) --push=$(PUSH) --build-arg=INSTALLER_ARCH=$(INSTALLER_ARCH) --build-arg=PKG_KERNEL=$(PKG_KERNEL) --build-arg=TAG=$(TAG) $(TARGET_ARGS) .

registry-%:
\t@$(MAKE) target-$* TARGET_ARGS=\"--output type=image,name=$(REGISTRY_AND_USERNAME)/$*:$(IMAGE_TAG_OUT),rewrite-timestamp=true $(TARGET_ARGS)\"

.PHONY: installer-base imager
installer-base imager:
\t@$(MAKE) registry-$@

image-%:
\t@docker pull $(REGISTRY_AND_USERNAME)/imager:$(IMAGE_TAG_IN)
\t@docker run --rm -v $(PWD)/$(ARTIFACTS):/out $(REGISTRY_AND_USERNAME)/imager:$(IMAGE_TAG_IN) $* --base-installer-image $(REGISTRY_AND_USERNAME)/installer-base:$(IMAGE_TAG_IN) $(IMAGER_ARGS)
";

/// Writes its arguments down, and the digest where buildx would; the digest is made
/// of the target's name.
const DOCKER: &str = r#"#!/bin/sh
echo "docker $*" >>"$HOME/calls"
digest() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }
for word in "$@"; do
  case $word in
    --target=*) target=${word#--target=} ;;
    --metadata-file=*) file=${word#--metadata-file=} ;;
  esac
done
[ -z "$file" ] || printf '{\n  "containerimage.digest": "sha256:%s"\n}\n' "$(digest "$target")" >"$file"
case "$*" in *"run --rm"*) mkdir -p _out; echo installer >_out/installer-amd64.tar ;; esac
"#;
const CRANE: &str = "#!/bin/sh\necho \"crane $*\" >>\"$HOME/calls\"\n";
/// Brings a bldr that knows one version.
const CURL: &str = "#!/bin/sh\necho \"curl $*\" >>\"$HOME/calls\"\nprintf '#!/bin/sh\\necho 1.2.3-dev\\n' >_out/bldr\n";

struct World {
    home: Home,
    commit: String,
    registry: String,
}

/// Three checkouts side by side; pkgs is one commit further than Talos pins.
fn world(version: &str, tag: &str) -> World {
    let home = Home::new();
    for (name, text) in [("docker", DOCKER), ("crane", CRANE), ("curl", CURL)] {
        home.program(&format!("bin/{name}"), text.as_bytes());
    }
    let plugin = home.program(".docker/cli-plugins/docker-buildx", b"#!/bin/sh\n");
    assert!(plugin.exists());
    let listed = |items: &[&str]| -> (String, String) {
        let kres = format!("    - {}\n", items.join("\n    - "));
        let first = format!("TARGETS = {}\n", items[0]);
        let make = items[1..].iter().map(|it| format!("TARGETS += {it}\n"));
        (kres, first + &make.collect::<String>())
    };
    let (kres, targets) = listed(&["musl", "kernel", "ena-pkg", "zfs-pkg"]);
    home.write(
        "pkgs/.kres.yaml",
        &format!("{KRES}{kres}  extraBuildArgs: []\n"),
    );
    home.write("pkgs/Makefile", &format!("{HEAD}{targets}{TAIL}{OF_PKGS}"));
    home.write(
        "pkgs/Pkgfile",
        "# syntax = x\n\nformat: v1alpha2\n\nvars:\n  TOOLS_REV: v1\n  LLVM_IMAGE: l\n\n  # renovate: datasource=x\n  ena_version: 2.1\n\n  linux_version: 6.18.1\n\n  zfs_version: 2.4.3\n\nlabels:\n  a: b\n",
    );
    home.write("pkgs/kernel/pkg.yaml", "name: kernel\n");
    let sh = git::repository(home.path("pkgs"));
    cmd!(sh, "git tag {tag}").quiet().run().unwrap();
    home.write("pkgs/kernel/pkg.yaml", "name: kernel # pinned\n");
    add(&sh);
    let commit = cmd!(sh, "git rev-parse HEAD").quiet().read().unwrap();
    home.write("pkgs/kernel/pkg.yaml", "name: kernel # newer\n");
    add(&sh);
    let (kres, targets) = listed(&["binfmt-misc", "zfs"]);
    home.write(
        "extensions/.kres.yaml",
        &format!("{KRES}{kres}  extraBuildArgs: []\n"),
    );
    let pin = format!("{tag}-1-g{}", &commit[..7]);
    let arguments = format!(
        "PKGS ?= {pin}\nPKGS_PREFIX ?= ghcr.io/siderolabs\nBUILD_ARGS = --build-arg=PKGS=\"$(PKGS)\"\nBUILD_ARGS += --build-arg=PKGS_PREFIX=\"$(PKGS_PREFIX)\"\n"
    );
    home.write(
        "extensions/Makefile",
        &format!("{HEAD}{arguments}{targets}{TAIL}{OF_EXTENSIONS}"),
    );
    home.write("extensions/.gitignore", "_out\n");
    home.write(
        "extensions/Pkgfile",
        "# syntax = x\n\nvars:\n  ZFS_DRIVER_VERSION: 2.4.3\n\nlabels:\n  a: b\n",
    );
    let sh = git::repository(home.path("extensions"));
    cmd!(sh, "git tag {version}").quiet().run().unwrap();
    home.write(
        "talos/go.mod",
        "module github.com/siderolabs/talos\n\ngo 1.25\n",
    );
    home.write("talos/pkg/machinery/gendata/data/tag", version);
    home.write("talos/Makefile", &OF_TALOS.replace("PIN", &pin));
    home.write("talos/.gitignore", "_out\n");
    let sh = git::repository(home.path("talos"));
    cmd!(sh, "git tag {version}").quiet().run().unwrap();
    let registry = registry();
    World {
        home,
        commit,
        registry,
    }
}

fn add(sh: &Shell) {
    cmd!(sh, "git add --all").quiet().run().unwrap();
    git::commit(sh);
}

/// A registry that has every image; it ends with the test.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap());
            let lines = request.lines().map_while(Result::ok);
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let digest = "a".repeat(64);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:{digest}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

impl World {
    fn kmod(&self, words: &[&str]) -> Said {
        let path = format!(
            "{}:{}",
            self.home.path("bin"),
            std::env::var("PATH").unwrap()
        );
        let mut command = self.home.xtask(&[&["kmod"], words].concat());
        command
            .current_dir(self.home.path("talos"))
            .env("PATH", path);
        run(&mut command)
    }

    fn run(&self, words: &[&str]) -> Said {
        let more = ["--arch", "amd64", "--no-lint", "--registry", &self.registry];
        self.kmod(&[&["run"], words, &more].concat())
    }

    /// What differs between machines and runs, by name.
    fn plain(&self, text: &str) -> String {
        text.replace(self.home.root.as_str(), "HOME")
            .replace(
                self.home
                    .root
                    .as_str()
                    .trim_start_matches('/')
                    .replace('/', "-")
                    .as_str(),
                "HOME",
            )
            .replace(&self.registry, "REGISTRY")
            .replace(&self.commit, "COMMIT")
            .replace(&self.commit[..7], "COMMIT")
    }

    fn changes(&self, repository: &str) -> String {
        let sh = Shell::new().unwrap();
        sh.change_dir(self.home.path(repository));
        cmd!(sh, "git add --intent-to-add --all")
            .quiet()
            .run()
            .unwrap();
        let diff = cmd!(sh, "git diff --no-color --unified=1")
            .quiet()
            .read()
            .unwrap();
        let lines = diff.lines().filter(|line| !line.starts_with("index "));
        lines
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect()
    }
}

fn archive(home: &Home) -> Utf8PathBuf {
    home.program("driver.tar.gz", b"\x1f\x8bno driver, but its first bytes")
}

const URL: &str = "https://github.com/me/hello/archive/refs/tags/v1.2.3.tar.gz";

#[test]
fn both_guides_from_empty_checkouts() {
    for (line, version, tag) in LINES {
        for guide in ["hello", "hailort"] {
            let world = world(version, tag);
            let archive = archive(&world.home);
            let new: &[&str] = match guide {
                "hello" => &[
                    "new",
                    "hello",
                    "--author",
                    "me",
                    "--source",
                    URL,
                    "--source-file",
                    archive.as_str(),
                ],
                _ => &["new", "hailort", "--author", "me", "--like", "hailort"],
            };
            let plan = world.kmod(&[new, &["-n"]].concat());
            assert_eq!(plan.code, Some(0), "{}", plan.stderr);
            assert!(world.changes("pkgs").is_empty(), "a dry run writes nothing");
            let made = world.kmod(new);
            assert_eq!(made.code, Some(0), "{}", made.stderr);
            let (pkgs, extensions) = (world.changes("pkgs"), world.changes("extensions"));
            let built = world.run(&[guide]);
            assert_eq!(built.code, Some(0), "{}", built.stderr);
            let calls = world.home.read("calls");
            let text = format!(
                "$ kmod {}\n{}\n== pkgs\n{pkgs}\n== extensions\n{extensions}\n$ kmod run {guide}\n{calls}\n== next\n{}",
                new.join(" "),
                plan.stdout,
                built.stdout
            );
            let path = format!(
                "{}/testdata/plans/kmod-{guide}-{line}.txt",
                env!("CARGO_MANIFEST_DIR")
            );
            assert_golden(&path, &world.plain(&text));
        }
    }
}

fn new_hello(archive: &Utf8Path) -> [&str; 8] {
    [
        "new",
        "hello",
        "--author",
        "me",
        "--source",
        URL,
        "--source-file",
        archive.as_str(),
    ]
}

#[test]
fn a_second_run_uses_what_the_first_one_built() {
    let world = world("v1.13.1", "v1.13.0");
    let archive = archive(&world.home);
    let new = new_hello(&archive);
    assert_eq!(world.kmod(&new).code, Some(0));
    // The same again is nothing to do.
    let again = world.kmod(&new);
    assert!(
        again.stdout.contains("nothing to do"),
        "{}{}",
        again.stdout,
        again.stderr
    );
    let targets = || -> Vec<String> {
        let calls = world.home.read("calls");
        std::fs::remove_file(world.home.path("calls")).unwrap();
        let words = calls
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("--target="));
        words.map(str::to_owned).collect()
    };
    assert_eq!(world.run(&["hello"]).code, Some(0));
    let all = ["kernel", "hello-pkg", "hello", "installer-base", "imager"];
    assert_eq!(targets(), all);
    let second = world.run(&["hello"]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert_eq!(targets(), all[3..]);
    let shown = world.run(&["hello", "-n"]).stdout;
    assert!(
        shown.contains("not built again: ") && shown.contains("/kernel@sha256:"),
        "{shown}"
    );
    // A changed source is built again, together with the kernel: the key must match.
    let package = world.home.read("pkgs/hello/pkg.yaml");
    world
        .home
        .write("pkgs/hello/pkg.yaml", &(package + "# changed\n"));
    let shown = world.run(&["hello", "-n"]).stdout;
    assert!(
        shown.contains("built again: ") && shown.contains("hello/pkg.yaml changed"),
        "{shown}"
    );
    assert_eq!(world.run(&["hello"]).code, Some(0));
    assert_eq!(targets(), all);
}

#[test]
fn what_others_wrote_is_kept() {
    let world = world("v1.13.1", "v1.13.0");
    let archive = archive(&world.home);
    let new = new_hello(&archive);
    world
        .home
        .write("extensions/drivers/hello/README.md", "mine\n");
    let before = world.home.tree();
    let said = world.kmod(&new);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    for wanted in ["README.md` exists and differs", "- mine", "--replace"] {
        assert!(said.stderr.contains(wanted), "{wanted}: {}", said.stderr);
    }
    assert_eq!(world.home.tree(), before);
    let replaced = world.kmod(&[&new[..], &["--replace"]].concat());
    assert_eq!(replaced.code, Some(0), "{}", replaced.stderr);
    assert!(
        world
            .home
            .read("extensions/drivers/hello/README.md")
            .starts_with("# hello")
    );
    // Another commit with changes is not taken away.
    let sh = Shell::new().unwrap();
    sh.change_dir(world.home.path("pkgs"));
    cmd!(sh, "git stash --quiet").quiet().run().unwrap();
    cmd!(sh, "git switch --quiet --detach HEAD~1")
        .quiet()
        .run()
        .unwrap();
    world
        .home
        .write("pkgs/kernel/pkg.yaml", "name: kernel # mine\n");
    let said = world.kmod(&["build", "hello"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("is not at the commit that Talos pins"),
        "{}",
        said.stderr
    );
    assert_eq!(
        world.home.read("pkgs/kernel/pkg.yaml"),
        "name: kernel # mine\n"
    );
}

#[test]
fn a_package_of_elsewhere_is_checked_and_taken() {
    let world = world("v1.13.1", "v1.13.0");
    let archive = archive(&world.home);
    let new = new_hello(&archive);
    assert_eq!(world.kmod(&new).code, Some(0));
    let text = world
        .home
        .read("pkgs/hello/pkg.yaml")
        .replace("name: hello", "name: other");
    world
        .home
        .write("mine/other/pkg.yaml", &text.replace("sha512:", "sha521:"));
    let dir = world.home.path("mine/other");
    let import = [
        "import",
        dir.as_str(),
        "--author",
        "me",
        "--driver-version",
        "2.0.1",
    ];
    let said = world.kmod(&import);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("unknown field `sha521`"),
        "{}",
        said.stderr
    );
    world
        .home
        .write("mine/other/pkg.yaml", &text.replace("      LLVM: 1\n", ""));
    let said = world.kmod(&import);
    assert!(said.stderr.contains("is built by clang"), "{}", said.stderr);
    world.home.write("mine/other/pkg.yaml", &text);
    let said = world.kmod(&import);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(world.home.read("pkgs/other/pkg.yaml"), text);
    assert!(
        world
            .home
            .read("pkgs/Makefile")
            .contains("TARGETS += other-pkg\n")
    );
    assert!(
        world
            .home
            .read("extensions/Pkgfile")
            .contains("OTHER_VERSION: 2.0.1")
    );
}
