//! What Docker in the lab is made of, beside the parts of a plain lab: only
//! commands that build or push images ask for it.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use super::build::{argv, begin, carried_part, finish, go, prune, quietly, shell};
use super::carried::{self, DOCKER, TALOS_MINI};
use super::folder::LabFolder;
use super::packages;
use super::parts::{self, Part};
use foundation::failure::Result;
use foundation::plan::{Plan, Step};

/// Pinned: these were seen to work together with Debian's engine.
const BUILDX: (&str, &str) = ("github.com/docker/buildx", "0.29.1");
const BUILDKIT: (&str, &str) = ("github.com/moby/buildkit", "0.25.2");
const CRANE: (&str, &str) = ("github.com/google/go-containerregistry", "0.20.6");
/// A slot: only the package lists know, and they may have to be fetched first.
const UNKNOWN: &str = "<docker.io version>";
/// Debian's packages, which are unpacked and not installed: a Docker of the
/// user's own stays as it is. `docker-cli` is a package of its own from Debian
/// 13 on, and libraries are there for hosts without them.
const PACKAGES: [&str; 7] = [
    "docker.io",
    "containerd",
    "runc",
    "tini",
    "busybox-static",
    "docker-registry",
    "libseccomp2",
];
const PACKAGES_WHERE_LISTED: [&str; 2] = ["docker-cli", "libdevmapper1.02.1"];
const DEADLINE: u64 = 600;

/// All parts of Docker in the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DockerParts {
    /// Engine, client, containerd, runc, the registry's program.
    pub(super) docker: Part,
    pub(super) buildx: Part,
    pub(super) buildkit: Part,
    /// Roots of the images that offline hosts cannot pull.
    pub(super) images: Part,
    pub(super) crane: Part,
    /// How Docker is started, carried in this program.
    pub(super) scripts: Part,
}

impl DockerParts {
    pub(super) fn wanted(lab_folder: &LabFolder) -> Self {
        let root = &lab_folder.parts;
        // An existing file stays valid, as the kernel does.
        let docker = parts::versions(root, "docker")
            .pop()
            .or_else(|| packages::candidate("docker.io"))
            .unwrap_or_else(|| UNKNOWN.to_owned());
        let scripts = carried::hash(&[DOCKER, TALOS_MINI], &[]);
        let images = carried::hash(&[DOCKER], &[&docker, BUILDKIT.1]);
        Self {
            docker: Part::at(root, "docker", docker),
            buildx: Part::at(root, "buildx", BUILDX.1),
            buildkit: Part::at(root, "buildkit", BUILDKIT.1),
            images: Part::at(root, "images", images),
            crane: Part::at(root, "crane", CRANE.1),
            scripts: Part::at(root, "scripts", scripts),
        }
    }

    pub(super) fn all(&self) -> [&Part; 6] {
        [
            &self.scripts,
            &self.docker,
            &self.buildx,
            &self.buildkit,
            &self.images,
            &self.crane,
        ]
    }

    pub(super) fn needs_go(&self) -> bool {
        !(self.buildx.is_built && self.buildkit.is_built && self.crane.is_built)
    }

    /// Whether the package lists, or a former build, said which Docker.
    pub(super) fn is_docker_known(&self) -> bool {
        self.docker.version != UNKNOWN
    }

    /// Debian's packages, unpacked.
    pub(super) fn root(&self) -> Utf8PathBuf {
        self.docker.dir.join("root")
    }

    /// For the PATH inside.
    pub(super) fn path(&self) -> Vec<Utf8PathBuf> {
        vec![self.root().join("usr/bin"), self.crane.dir.clone()]
    }

    pub(super) fn script(&self, name: &str) -> Utf8PathBuf {
        self.scripts.dir.join(DOCKER).join(name)
    }

    pub(super) fn talos_mini(&self) -> Utf8PathBuf {
        self.scripts.dir.join(TALOS_MINI)
    }

    pub(super) fn json(&self) -> Value {
        self.all().map(Part::json).into()
    }
}

/// The steps for what is not there yet. `exe` is this program.
///
/// # Errors
/// When the current folder is gone.
pub(super) fn plan(plan: &mut Plan, parts: &DockerParts, exe: &Utf8Path) -> Result<()> {
    let sh = &shell()?;
    if !parts.scripts.is_built {
        let why =
            "write how the lab starts Docker and what it builds from, carried in this program";
        carried_part(sh, plan, &parts.scripts, exe, why, &[DOCKER, TALOS_MINI]);
    }
    if !parts.docker.is_built {
        docker(sh, plan, &parts.docker);
    }
    if !parts.crane.is_built {
        let programs = [("crane", "cmd/crane")];
        programs_of(sh, plan, &parts.crane, CRANE, &programs, "");
    }
    if !parts.buildx.is_built {
        let programs = [("docker-buildx", "cmd/buildx")];
        programs_of(sh, plan, &parts.buildx, BUILDX, &programs, "");
    }
    if !parts.buildkit.is_built {
        let programs = [("buildkitd", "cmd/buildkitd"), ("buildctl", "cmd/buildctl")];
        // Without the tag `RUN --security=insecure` is an unknown flag.
        programs_of(
            sh,
            plan,
            &parts.buildkit,
            BUILDKIT,
            &programs,
            "dfrunsecurity",
        );
    }
    if !parts.images.is_built {
        images(plan, parts);
        prune(plan, &parts.images);
    }
    Ok(())
}

/// Nothing is installed on the host: packages are only unpacked.
fn docker(sh: &Shell, plan: &mut Plan, part: &Part) {
    let from = begin(plan, part);
    let at = part.staging();
    let listed = PACKAGES_WHERE_LISTED
        .into_iter()
        .filter(|package| packages::is_listed(package));
    let mut step = |why: &str, cmd: Cmd<'_>| {
        let step = Step::run(why, argv(cmd));
        plan.push(quietly(step.cwd(at.clone()).deadline(DEADLINE)));
    };
    step(
        "download Docker's packages; they are not installed, no Docker of yours is touched",
        cmd!(sh, "apt-get download {PACKAGES...} {listed...}"),
    );
    let unpack =
        "for package in ./*.deb; do dpkg-deb -x \"$package\" root || exit; done; rm -- ./*.deb";
    step("unpack Docker", cmd!(sh, "sh -c {unpack}"));
    finish(plan, part, from);
}

/// Programs of a Go module, from a module of our own: buildx's has replace
/// directives, which `go install PACKAGE@VERSION` refuses.
fn programs_of(
    sh: &Shell,
    plan: &mut Plan,
    part: &Part,
    (module, version): (&str, &str),
    programs: &[(&str, &str)],
    tags: &str,
) {
    let from = begin(plan, part);
    let at = part.staging();
    let name = part.name;
    let mut step = |why: String, cmd: Cmd<'_>| plan.push(quietly(go(&why, cmd, &at)));
    step(
        format!("a Go module to build {name} from"),
        cmd!(sh, "go mod init lab.invalid/{name}"),
    );
    let sources = programs
        .iter()
        .map(|(_, path)| format!("{module}/{path}@v{version}"));
    step(
        format!("fetch {name}'s sources"),
        cmd!(sh, "go get -tool {sources...}"),
    );
    for (program, path) in programs {
        let source = format!("{module}/{path}");
        // For those that keep their version there; the linker passes over crane.
        let flags = format!("-s -w -X {module}/version.Version=v{version}");
        step(
            format!("build {program}: the first time takes a minute or two"),
            cmd!(
                sh,
                "go build -v -trimpath -tags {tags} -ldflags {flags} -o {program} {source}"
            ),
        );
    }
    finish(plan, part, from);
}

fn images(plan: &mut Plan, parts: &DockerParts) {
    let from = begin(plan, &parts.images);
    let script = parts.script("pack-images");
    let (root, out) = (parts.root(), parts.images.staging());
    let words = [&script, &root, &parts.buildkit.dir, &out].map(|path| path.as_str());
    let why = "the images of BuildKit and the registry, from what was built and unpacked";
    plan.push(Step::run(why, words).deadline(DEADLINE));
    finish(plan, &parts.images, from);
}
