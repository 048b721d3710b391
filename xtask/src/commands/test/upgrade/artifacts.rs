//! What the released versions boot: `release-artifacts` of the Makefile, but with
//! checksums, resumed where a transfer broke, and nothing asked for twice.

use camino::Utf8Path;

use crate::commands::App;
use crate::commands::build::repository::Repository;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::host::Host;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Action, Effect, Plan, Step};

/// Where Talos is released; `[upgrade] releases` of the settings says otherwise.
const RELEASES: &str = "https://github.com/siderolabs/talos/releases/download";
/// What a cluster of a release boots, and what it is called where it is released.
const RELEASED: [(&str, &str); 2] = [
    ("vmlinuz", "vmlinuz-amd64"),
    ("initramfs.xz", "initramfs-amd64.xz"),
];
const SUMS: &str = "sha256sum.txt";
/// Seconds for one file.
const LIMIT: u64 = 3600;

/// Arguments: URL, the file as it is released, the file as it is wanted. A part
/// that is there is gone on with; one that is not what it should be goes, and
/// only a whole file gets its name. 22 and 33 of curl: the server has no such
/// range.
const FETCH: &str = r#"part=$3.part
is_whole() {
  sed -n "s#^\([0-9a-f]\{64\}\) .*\b$2\$#\1  $part#p" sha256sum.txt |
    sha256sum --check --strict --status -
}
get() { curl --fail --location --no-progress-meter --connect-timeout 30 "$@"; }
for try in 1 2 3; do
  if [ -s "$part" ] && is_whole "$@"; then break; fi
  code=0
  get --continue-at - --output "$part" "$1" || code=$?
  if [ $code = 0 ] && is_whole "$@"; then break; fi
  case $code in 0|22|33) rm -f "$part" ;; esac
done
if [ ! -s "$part" ]; then
  echo "$2: not to be had, or not what sha256sum.txt says" >&2
  exit 1
elif ! is_whole "$@"; then
  echo "$2: the transfer broke three times; what came is kept" >&2
  exit 1
fi
mv "$part" "$3""#;

/// What is there is not asked for again.
pub(super) fn plan(app: &App<'_>, checkout: &Checkout) -> Result<Plan> {
    let repository = Repository::open(&checkout.dir)?;
    let releases = releases(&checkout.dir, &repository)?;
    let from = app.ctx.config.upgrade.releases.as_deref();
    let from = from.unwrap_or(RELEASES).trim_end_matches('/');
    let mut plan = Plan::new(format!("Kernels and initramfs of {}", releases.join(", ")));
    for release in &releases {
        let folder = checkout.out().join(release);
        let missing: Vec<_> = RELEASED
            .iter()
            .filter(|(file, _)| !folder.join(file).is_file())
            .collect();
        if missing.is_empty() {
            app.ui.progress(&format!("_out/{release} is there"));
            continue;
        }
        let url = format!("{from}/{release}");
        plan.push(Step::new(
            format!("{release} goes there"),
            Action::CreateDir {
                path: folder.clone(),
            },
        ));
        plan.push(sums(&folder, release, &format!("{url}/{SUMS}")));
        for (file, released) in missing {
            let url = format!("{url}/{released}");
            let words = ["sh", "-ec", FETCH, "fetch", &url, released, file];
            plan.push(
                Step::run(format!("{released} of {release}, checked"), words)
                    .cwd(folder.clone())
                    .effect(Effect::Creates)
                    .deadline(LIMIT),
            );
        }
    }
    if !plan.steps.is_empty() && !app.is_dry() && Host::which("curl").is_none() {
        return Err(
            Failure::host("releases are fetched, and there is no `curl`")
                .hint("install curl; or put the files there yourself"),
        );
    }
    Ok(plan)
}

fn sums(folder: &Utf8Path, release: &str, url: &str) -> Step {
    let words = [
        "curl",
        "--fail",
        "--location",
        "--retry",
        "3",
        "--no-progress-meter",
        "--connect-timeout",
        "30",
        "--output",
        SUMS,
        url,
    ];
    Step::run(format!("checksums of {release}"), words)
        .cwd(folder)
        .effect(Effect::Creates)
        .deadline(LIMIT)
}

/// `RELEASES` as the Makefile has it; the environment may say otherwise.
fn releases(dir: &Utf8Path, repository: &Repository) -> Result<Vec<String>> {
    let path = dir.join("Makefile");
    let text = files::text(&path, files::MEDIUM)?
        .ok_or_else(|| Failure::host(format!("there is no `{path}`")))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RELEASES ?="));
    let named = repository
        .environment
        .get("RELEASES")
        .map(String::as_str)
        .or(line);
    let releases: Vec<String> = named
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let sound = |release: &String| talos::version::TalosVersion::parse(release).is_ok();
    if releases.is_empty() || !releases.iter().all(sound) {
        return Err(Failure::host(format!(
            "`{path}` names no RELEASES to upgrade from"
        )));
    }
    Ok(releases)
}
